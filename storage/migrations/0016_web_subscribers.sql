-- Who subscribed by UPS-RS is told over a WebSocket that it opens, not over an association.
alter table workitem_subscriber add column by_web bigint not null default 0;
