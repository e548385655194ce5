-- What a peer sees ('' is everything), as matching keys, and how many associations it may have (0: no limit of its own).
alter table peer add column patient_view text not null default '';
alter table peer add column max_associations bigint not null default 0;
