-- C-GET and C-MOVE. Nobody may until an administrator says so.
alter table peer add column may_retrieve bigint not null default 0;
