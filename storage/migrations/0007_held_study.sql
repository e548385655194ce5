-- Studies that a hold on a patient reached when a correction gave them to another patient: they stay held by it.
create table held_study (
    hold_key bigint not null,
    study_instance_uid text not null,
    primary key (study_instance_uid, hold_key)
);
create index held_study_by_hold on held_study (hold_key);
