-- Other content under a held SOP Instance UID is kept as a further version; objects of no patient find a place.

-- Within a series a SOP Instance UID may be held with several contents: versions 1, 2, …, one of them current. In another
-- series the same UID is simply another instance. received_from: the AE title, user or room that brought it.
alter table instance add column version bigint not null default 1;
alter table instance add column is_current bigint not null default 1;
alter table instance add column received_from text not null default '';
drop index instance_by_uid;
create unique index instance_by_uid on instance (sop_instance_uid, series_key, version);

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
    object_key text not null,
    json text not null,
    received_from text not null,
    stored_at bigint not null
);
create unique index non_patient_object_by_uid on non_patient_object (sop_instance_uid, version);
create index non_patient_object_by_class on non_patient_object (sop_class_uid);
