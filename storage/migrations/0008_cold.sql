-- When somebody last read a study, to the day: what is long unread may go to a cold store.
create table study_read (
    study_key bigint primary key,
    read_at bigint not null
);
