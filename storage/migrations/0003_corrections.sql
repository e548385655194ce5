-- Corrections lie over what was received, which stays as it is.

-- corrected: 1 once a correction was made about it. received_patient_key: the patient that the instances of the study name,
-- where a correction gave it to another one; else ''. merged_into: the patient to whom all belongs that comes for this one.
-- rejected: position of the correction that hides the instance.
alter table patient add column corrected bigint not null default 0;
alter table patient add column merged_into text not null default '';
alter table study add column corrected bigint not null default 0;
alter table study add column received_patient_key text not null default '';
alter table instance add column rejected bigint not null default 0;
create index patient_by_merge on patient (merged_into) where merged_into <> '';

-- patient_key is that of a correction about a patient; study to sop_instance are what any other is about. detail: what is
-- corrected, as JSON. A correction that was undone stays: what was seen at a time can be told for ever.
create table correction (
    correction_id text primary key,
    position bigint not null,
    patient_key text not null,
    study text not null,
    series text not null,
    sop_instance text not null,
    detail text not null,
    made_at bigint not null,
    made_by text not null,
    made_from text not null,
    made_why text not null,
    undone_at bigint not null default 0,
    undone_by text not null default '',
    undone_from text not null default '',
    undone_why text not null default '',
    in_store bigint not null default 0
);
create index correction_by_study on correction (study, position);
create index correction_by_patient on correction (patient_key, position);
create index correction_to_store on correction (position) where in_store = 0;

-- What a column held before its first correction. holder: the table and the key of the row.
create table received_value (
    holder text not null,
    tag text not null,
    value text not null,
    primary key (holder, tag)
);
