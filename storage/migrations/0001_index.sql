-- The first catalog: what is held, what happened, what is to be done, and who may ask.
-- One text for SQLite and PostgreSQL: text and bigint columns, keys made by us, '' for an absent value.
-- Names, dates, times and integers have columns beside the value as sent, in the form in which they are matched.

-- The one row that every change of the catalog locks first. It hands out keys, which are the positions of events too, so
-- that positions rise in commit order also with several processes, and readers of the outbox miss nothing.
create table head (
    id bigint primary key,
    last_key bigint not null,
    audit_position bigint not null,
    audit_hash text not null
);
insert into head (id, last_key, audit_position, audit_hash) values (1, 0, 0, '');

-- patient_key: Patient ID and issuer; a study without Patient ID has a patient of its own.
create table patient (
    patient_key text primary key,
    patient_name text not null default '',
    patient_name_alphabetic text not null default '',
    patient_name_ideographic text not null default '',
    patient_name_phonetic text not null default '',
    patient_id text not null default '',
    issuer_of_patient_id text not null default '',
    patient_birth_date text not null default '',
    patient_birth_date_match text not null default '',
    patient_birth_time text not null default '',
    patient_birth_time_match text not null default '',
    patient_sex text not null default '',
    number_of_studies bigint not null
);
create index patient_by_id on patient (patient_id);
create index patient_by_alphabetic on patient (patient_name_alphabetic);
create index patient_by_ideographic on patient (patient_name_ideographic);
create index patient_by_phonetic on patient (patient_name_phonetic);

-- changed_position: of the last event that changed what a reader of the study would see.
create table study (
    study_key bigint primary key,
    patient_key text not null,
    study_instance_uid text not null default '',
    study_date text not null default '',
    study_date_match text not null default '',
    study_time text not null default '',
    study_time_match text not null default '',
    accession_number text not null default '',
    study_id text not null default '',
    study_description text not null default '',
    referring_physician_name text not null default '',
    referring_physician_name_alphabetic text not null default '',
    referring_physician_name_ideographic text not null default '',
    referring_physician_name_phonetic text not null default '',
    name_of_physicians_reading_study text not null default '',
    name_of_physicians_reading_study_alphabetic text not null default '',
    name_of_physicians_reading_study_ideographic text not null default '',
    name_of_physicians_reading_study_phonetic text not null default '',
    patient_age text not null default '',
    institution_name text not null default '',
    timezone_offset_from_utc text not null default '',
    modalities_in_study text not null default '',
    number_of_study_related_series bigint not null,
    number_of_study_related_instances bigint not null,
    byte_len bigint not null,
    changed_at bigint not null,
    changed_position bigint not null
);
create unique index study_by_uid on study (study_instance_uid);
create index study_by_patient on study (patient_key);
create index study_by_date on study (study_date_match, study_time_match, study_key);
create index study_by_accession on study (accession_number);

-- A series belongs to one study: the same Series Instance UID in two studies is two series.
create table series (
    series_key bigint primary key,
    study_key bigint not null references study (study_key),
    series_instance_uid text not null default '',
    modality text not null default '',
    series_number text not null default '',
    series_number_match text not null default '',
    series_description text not null default '',
    series_date text not null default '',
    series_date_match text not null default '',
    series_time text not null default '',
    series_time_match text not null default '',
    body_part_examined text not null default '',
    laterality text not null default '',
    protocol_name text not null default '',
    frame_of_reference_uid text not null default '',
    manufacturer text not null default '',
    manufacturer_model_name text not null default '',
    station_name text not null default '',
    performed_procedure_step_start_date text not null default '',
    performed_procedure_step_start_date_match text not null default '',
    performed_procedure_step_start_time text not null default '',
    performed_procedure_step_start_time_match text not null default '',
    performed_procedure_step_id text not null default '',
    scheduled_procedure_step_id text not null default '',
    requested_procedure_id text not null default '',
    series_order bigint not null,
    number_of_series_related_instances bigint not null,
    byte_len bigint not null,
    changed_at bigint not null,
    changed_position bigint not null,
    announced bigint not null
);
create unique index series_by_uid on series (study_key, series_instance_uid);
create index series_by_own_uid on series (series_instance_uid);
create index series_by_modality on series (modality, study_key);
create index series_unannounced on series (changed_at) where announced = 0;

-- Instances of a series that arrived together, as one object of the store. Until it is sealed it is a file in the spool of
-- one process; then it has metadata and index of its instances in it, and metadata_position tells at which change of the
-- series that metadata was true.
create table pack (
    pack_key bigint primary key,
    series_key bigint not null,
    object_key text not null,
    sealed bigint not null,
    compact bigint not null,
    byte_len bigint not null,
    metadata_offset bigint not null,
    metadata_len bigint not null,
    index_offset bigint not null,
    index_len bigint not null,
    metadata_position bigint not null
);
create unique index pack_by_object on pack (object_key);
create index pack_by_series on pack (series_key);
create index pack_to_seal on pack (pack_key) where sealed = 0;
create index pack_to_compact on pack (pack_key) where compact = 1;

-- Within a series a SOP Instance UID may be held with several contents: versions 1, 2, …, one of them current. In another
-- series the same UID is simply another instance. received_from: the AE title, user or room that brought it.
-- The Part 10 file lies at pack_offset in its pack, its record in the second block behind it.
create table instance (
    instance_key bigint primary key,
    series_key bigint not null references series (series_key),
    sop_instance_uid text not null default '',
    sop_class_uid text not null default '',
    version bigint not null,
    is_current bigint not null,
    instance_number text not null default '',
    instance_number_match text not null default '',
    content_date text not null default '',
    content_date_match text not null default '',
    content_time text not null default '',
    content_time_match text not null default '',
    acquisition_number text not null default '',
    acquisition_number_match text not null default '',
    rows text not null default '',
    columns text not null default '',
    bits_allocated text not null default '',
    number_of_frames text not null default '',
    number_of_frames_match text not null default '',
    available_transfer_syntax_uid text not null,
    instance_order bigint not null,
    pack_key bigint not null,
    pack_offset bigint not null,
    byte_len bigint not null,
    record_len bigint not null,
    data_set_offset bigint not null,
    data_set_digest text not null,
    checksum bigint not null,
    frame_layout text not null default '',
    received_from text not null default '',
    stored_at bigint not null
);
create unique index instance_by_uid on instance (sop_instance_uid, series_key, version);
create index instance_by_series on instance (series_key, instance_order, instance_key);
create unique index instance_by_place on instance (pack_key, pack_offset);

-- Palettes, protocols, templates (PS3.4 Annex GG): no patient, study or series. DICOM JSON is beside them, as they are
-- small and few.
create table non_patient_object (
    non_patient_key bigint primary key,
    sop_instance_uid text not null,
    sop_class_uid text not null,
    version bigint not null,
    is_current bigint not null,
    available_transfer_syntax_uid text not null,
    byte_len bigint not null,
    data_set_offset bigint not null,
    data_set_digest text not null,
    pack_key bigint not null,
    pack_offset bigint not null,
    record_len bigint not null,
    checksum bigint not null,
    json text not null,
    received_from text not null,
    stored_at bigint not null
);
create unique index non_patient_object_by_uid on non_patient_object (sop_instance_uid, version);
create index non_patient_object_by_class on non_patient_object (sop_class_uid);
create index non_patient_object_by_place on non_patient_object (pack_key, pack_offset);

-- Instances that were deleted while their pack was open: what is read from it after a crash must not bring them back.
create table tombstone (
    pack_key bigint not null,
    pack_offset bigint not null,
    primary key (pack_key, pack_offset)
);

-- Objects whose rows are gone; removed from the store when they are due, again and again until it succeeds.
create table doomed_object (
    object_key text primary key,
    due_at bigint not null
);

create table event (
    position bigint primary key,
    kind text not null,
    at bigint not null,
    study text not null,
    series text not null,
    sop_instance text not null,
    sop_class text not null
);

create table consumer (
    name text primary key,
    position bigint not null
);

create table job (
    job_id text primary key,
    kind text not null,
    job_key text not null,
    payload text not null,
    state text not null,
    attempts bigint not null,
    due_at bigint not null,
    worker text not null,
    last_error text not null,
    result text not null,
    created_at bigint not null,
    changed_at bigint not null
);
create unique index job_by_key on job (kind, job_key);
create index job_by_due on job (kind, state, due_at);

create table person (
    name text primary key,
    password_hash text not null,
    roles text not null
);

-- Sessions and API tokens by the hash of their secret; expires_at is 0 for a token, token_name '' for a session.
create table credential (
    secret_hash text primary key,
    person text not null references person (name),
    token_name text not null,
    created_at bigint not null,
    expires_at bigint not null
);
create index credential_by_person on credential (person, token_name);
create unique index credential_by_token on credential (person, token_name) where token_name <> '';

create table peer (
    ae_title text primary key,
    host text not null,
    port bigint not null,
    may_store bigint not null,
    may_find bigint not null
);

-- Append only; each hash covers the row and the hash before it.
create table audit (
    position bigint primary key,
    at bigint not null,
    action text not null,
    actor text not null,
    origin text not null,
    success bigint not null,
    study text not null,
    detail text not null,
    hash text not null
);
