-- Damage that was found in what is stored, and what became of it.

-- Of an instance or an object of no patient in one pack, or of a pack's own parts (instance_key 0). hides: whether the
-- instance cannot be read; its row keeps it from being read until mended_at is set.
create table damage (
    damage_key bigint primary key,
    instance_key bigint not null,
    object_key text not null,
    study text not null,
    series text not null,
    sop_instance text not null,
    what text not null,
    hides bigint not null,
    found_at bigint not null,
    found_by text not null,
    mended_at bigint not null,
    mended_by text not null
);
create unique index damage_by_place on damage (object_key, instance_key);
create index damage_unmended on damage (instance_key) where mended_at = 0;

-- An object that was damaged is set aside instead of removed.
alter table doomed_object add column keep bigint not null default 0;
