-- Studies that a hold on a patient reached when a correction gave them to another patient: they stay held by it.
create table held_study (
    hold_key bigint not null,
    study_instance_uid text not null,
    primary key (study_instance_uid, hold_key)
);
create index held_study_by_hold on held_study (hold_key);

-- 1: it is in the store as it is here, for a catalog that is made anew.
alter table legal_hold add column in_store bigint not null default 0;
create index legal_hold_to_store on legal_hold (hold_key) where in_store = 0;
