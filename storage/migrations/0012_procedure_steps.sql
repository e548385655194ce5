-- Orders as scheduled procedure steps, what was performed for them, and workitems (PS3.4 Annexes K, F, CC).

-- One row for each step of an order; json is the worklist item, texts are '' where nothing is said.
create table scheduled_step (
    step_key bigint primary key,
    study_instance_uid text not null,
    scheduled_procedure_step_id text not null,
    accession_number text not null,
    requested_procedure_id text not null,
    placer_order_number text not null,
    filler_order_number text not null,
    patient_id text not null,
    issuer_of_patient_id text not null,
    start_date text not null,
    start_time text not null,
    status text not null,
    is_open bigint not null,
    json text not null,
    changed_at bigint not null
);
create unique index scheduled_step_by_study on scheduled_step (study_instance_uid, scheduled_procedure_step_id);
create index scheduled_step_by_start on scheduled_step (is_open, start_date, start_time, step_key);
create index scheduled_step_by_patient on scheduled_step (patient_id);
create index scheduled_step_by_accession on scheduled_step (accession_number) where accession_number <> '';
create index scheduled_step_by_placer on scheduled_step (placer_order_number) where placer_order_number <> '';
create index scheduled_step_by_filler on scheduled_step (filler_order_number) where filler_order_number <> '';

create table performed_step (
    sop_instance_uid text primary key,
    performed_procedure_step_id text not null,
    study_instance_uid text not null,
    patient_id text not null,
    status text not null,
    performed_by text not null,
    json text not null,
    created_at bigint not null,
    changed_at bigint not null
);
create index performed_step_by_study on performed_step (study_instance_uid);
create index performed_step_by_time on performed_step (created_at, sop_instance_uid);

-- For what it was performed, as it says: the order may come later, or never.
create table performed_for (
    performed_for_key bigint primary key,
    sop_instance_uid text not null,
    study_instance_uid text not null,
    scheduled_procedure_step_id text not null
);
create index performed_for_by_step on performed_for (study_instance_uid, scheduled_procedure_step_id);
create index performed_for_by_performed on performed_for (sop_instance_uid);

-- transaction_uid is '' until somebody performs it.
create table workitem (
    sop_instance_uid text primary key,
    procedure_step_state text not null,
    transaction_uid text not null,
    start_date_time text not null,
    json text not null,
    created_at bigint not null,
    changed_at bigint not null
);
create index workitem_by_state on workitem (procedure_step_state, start_date_time, sop_instance_uid);

-- Who hears of a workitem, or of all that will come: then sop_instance_uid is that of the global subscription, and
-- matching_keys, if not '', what such a workitem must match.
create table workitem_subscriber (
    ae_title text not null,
    sop_instance_uid text not null,
    deletion_lock bigint not null,
    matching_keys text not null,
    primary key (ae_title, sop_instance_uid)
);
create index workitem_subscriber_by_workitem on workitem_subscriber (sop_instance_uid);

-- What peers may do with these: worklist is '', 'own' (steps for its station) or 'all'. Nobody may until an administrator
-- says so. wants_availability: it is told of series that are complete.
alter table peer add column worklist text not null default '';
alter table peer add column may_perform bigint not null default 0;
alter table peer add column may_workitems bigint not null default 0;
alter table peer add column wants_availability bigint not null default 0;
