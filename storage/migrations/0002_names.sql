-- Names are found by keys: from each word on, in pinyin, by initials, and by what is inside of words.

-- patient_no: stands for the patient in the keys; 0 until the names of an older catalog have their keys, which happens
-- while the archive is in use. patient_search: the keys of whole words, each led by a space.
alter table patient add column patient_no bigint not null default 0;
alter table patient add column patient_search text not null default '';
create index patient_by_no on patient (patient_no);
drop index patient_by_ideographic;
drop index patient_by_phonetic;

-- UTF-8 bytes, so that both databases order the keys alike, whatever language they sort by.
create table patient_name_key (
    name_key bytea not null,
    patient_no bigint not null,
    primary key (name_key, patient_no)
) /* SQLite: without rowid */;
