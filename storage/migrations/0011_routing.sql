-- What is sent on by rule: whereto, by which rules, and the queue. Also rules that correct what arrives.

-- detail: how it is reached and what is changed on the way, as JSON. secret: key of its pseudonyms, in hexadecimal digits; never
-- given out, and never changed as long as the destination is there.
create table destination (
    name text primary key,
    detail text not null,
    secret text not null,
    paused bigint not null
);

-- kind: 'forward' or 'coerce'. since: arrivals with a greater key are what the rule speaks of.
create table routing_rule (
    kind text not null,
    name text not null,
    detail text not null,
    since bigint not null,
    primary key (kind, name)
);

-- An instance to be sent on, or that was. due_at of a leased row is the end of its lease. sent_as: the SOP Instance UID under
-- which it went; transaction_uid: of the storage commitment that was asked for.
create table forward (
    forward_key bigint primary key,
    destination text not null,
    instance_key bigint not null,
    series_key bigint not null,
    rule text not null,
    study text not null,
    series text not null,
    sop_instance text not null,
    sop_class text not null,
    byte_len bigint not null,
    state text not null,
    attempts bigint not null,
    due_at bigint not null,
    lease text not null,
    last_error text not null,
    sent_as text not null,
    transaction_uid text not null,
    queued_at bigint not null,
    changed_at bigint not null
);
create unique index forward_by_instance on forward (destination, instance_key);
create index forward_by_due on forward (destination, state, due_at, forward_key);
create index forward_by_series on forward (destination, series_key, state);
create index forward_by_transaction on forward (transaction_uid) where transaction_uid <> '';
create index forward_by_state on forward (state, due_at);
