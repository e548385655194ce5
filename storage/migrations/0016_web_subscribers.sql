-- Who subscribed by UPS-RS is told over a WebSocket that it opens, not over an association. What waits for that is nothing that
-- anybody here has to look for.
alter table workitem_subscriber add column by_web bigint not null default 0;
drop index job_open;
create index job_open on job (due_at) where state in ('due', 'leased') and substr(kind, 1, 7) <> 'ups-rs ';
