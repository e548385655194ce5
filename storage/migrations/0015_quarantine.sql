-- Instances from callers that nobody has configured, each an object of its own, until somebody decides. detail: what a
-- person needs to decide, as JSON.
create table stranger (
    stranger_key bigint primary key,
    object_key text not null,
    calling text not null,
    study text not null,
    digest text not null,
    byte_len bigint not null,
    detail text not null
);
create unique index stranger_by_content on stranger (calling, digest);
create index stranger_by_study on stranger (study, stranger_key);
