-- What must stay, and what was deleted because it need not stay any longer.

-- Held until released_at is set; rows stay, as the history of what was held, by whom and why. Either of a study or of a
-- patient: the other is ''.
create table legal_hold (
    hold_key bigint primary key,
    study_instance_uid text not null,
    patient_key text not null,
    held_at bigint not null,
    held_by text not null,
    reason text not null,
    released_at bigint not null,
    released_by text not null,
    release_reason text not null
);
create index legal_hold_by_study on legal_hold (study_instance_uid) where released_at = 0;
create index legal_hold_by_patient on legal_hold (patient_key) where released_at = 0;

-- What a correction gave to another patient is held with the one that its instances name.
create index study_by_received_patient on study (received_patient_key) where received_patient_key <> '';

-- What the patient of a study was to the house. set_by is '' where it was read from a data set of the study, as it was at
-- changed_position; patient_class is '' where that told nothing.
create table patient_class (
    study_instance_uid text primary key,
    patient_class text not null,
    set_by text not null,
    changed_position bigint not null
);

-- Studies that were deleted because their term was over, by the run that did it: nothing of the patient is kept.
create table deletion (
    deletion_key bigint primary key,
    run bigint not null,
    study_instance_uid text not null,
    study_date text not null,
    accession_number text not null,
    modalities_in_study text not null,
    instances bigint not null,
    byte_len bigint not null,
    rule text not null,
    kept_until text not null,
    deleted_at bigint not null,
    deleted_by text not null
);
create index deletion_by_run on deletion (run, deletion_key);
