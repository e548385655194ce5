//! The archive: the one front door to everything that is kept.
//!
//! | module | what |
//! |---|---|
//! | [`archive`] | [`Archive`]: open, ingest, find, read, delete |
//! | [`ingest`] | [`Incoming`]: bytes stream to the spool, are made durable, then committed with their rows and event |
//! | [`index`] | all SQL over patient, study, series, instance |
//! | [`objects`] | instances by key in an object store, with ranged reads |
//! | [`outbox`] | events, written in the transaction that caused them |
//! | [`jobs`] | leased work: enqueue, claim, extend, finish, fail |
//! | [`accounts`] | users, roles, sessions, API tokens |
//! | [`peers`] | configured application entities |
//! | [`audit`] | who saw and changed what, append only |
//! | [`config`], [`error`] | settings and failures |
//!
//! Invariants: success is answered only after the bytes are synced and the rows committed; an instance never
//! changes after that; consumers of events and jobs see each at least once.

pub mod accounts;
pub mod archive;
pub mod audit;
pub mod config;
pub mod error;
pub mod ingest;
pub mod jobs;
pub mod outbox;
pub mod peers;

pub use accounts::{Principal, Role};
pub use archive::{Archive, Row, StoredInstance};
pub use audit::{AuditAction, AuditRecord};
pub use config::StorageConfig;
pub use error::ArchiveError;
pub use ingest::{Expected, Incoming, Ingested, Origin, Outcome};
pub use jobs::{Job, JobState};
pub use outbox::{Event, EventKind};
pub use peers::Peer;
