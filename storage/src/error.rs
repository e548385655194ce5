//! What the archive can fail with.

use crate::encryption::EncryptionError;
use pacs_core::{
    Failure, data_set::ScanError, instance::InstanceError, mpps::MppsError, query::QueryError, ups::UpsError,
    worklist::WorklistError,
};
use std::io::{self, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("not readable as DICOM")]
    Scan(#[from] ScanError),
    #[error("cannot be indexed")]
    Instance(#[from] InstanceError),
    #[error("the order cannot be put on the worklist: {0}")]
    Worklist(#[from] WorklistError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("the performed procedure step is refused: {0}")]
    Performed(#[from] MppsError),
    #[error("the workitem is as it was: {0}")]
    Workitem(#[from] UpsError),
    #[error("{what} of the data set is {actual}, {expected} was announced")]
    Mismatch { what: &'static str, expected: String, actual: String },
    #[error("instance {0} is already held with other content")]
    Duplicate(String),
    #[error("{0} is not in the archive")]
    NotFound(String),
    /// Its bytes are not those that were received.
    #[error("the stored bytes of {0} are damaged; an administrator finds the remedy by `pacs damage list`")]
    Damaged(String),
    /// Once more may give the whole.
    #[error("the store gave {actual} of {expected} bytes of {key}")]
    Truncated { key: String, expected: u64, actual: u64 },
    /// Its pack grows in the spool of another process.
    #[error("{0} was received by another process, which has not sealed it yet; try again in a moment")]
    Elsewhere(String),
    /// An encrypted pack cannot be read, or written.
    #[error("pack {object}: {why}")]
    Encryption { object: String, why: EncryptionError },
    #[error("instance is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the quarantine for unknown callers is full (storage.quarantine_megabytes)")]
    QuarantineFull,
    #[error("wrong user name or password")]
    Credentials,
    #[error("too many attempts, try again in {0} s")]
    TooManyAttempts(u64),
    #[error("{0}")]
    Conflict(String),
    /// A legal hold or a rule of retention forbids deletion.
    #[error("{0}")]
    Kept(String),
    #[error("configuration: {0}")]
    Config(String),
    #[error("object store")]
    Store(#[from] object_store::Error),
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A transaction shared with others failed.
    #[error("commit: {reason}")]
    Commit { failure: Failure, reason: String },
    #[error("database migration")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("local file")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Internal(String),
}

impl ArchiveError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Scan(ScanError::Io(_)) => Failure::Internal,
            Self::Scan(_) => Failure::CannotUnderstand,
            Self::Instance(_) | Self::Worklist(_) | Self::Performed(_) => Failure::MissingAttribute,
            Self::Mismatch { .. } => Failure::DataSetMismatch,
            Self::Duplicate(_) | Self::Workitem(UpsError::Duplicate) => Failure::DuplicateInstance,
            Self::Workitem(UpsError::NoSuchWorkitem) => Failure::NoSuchInstance,
            Self::Workitem(UpsError::Missing(_) | UpsError::NoValue(_)) => Failure::MissingAttribute,
            Self::Workitem(_) => Failure::BadRequest,
            Self::NotFound(_) => Failure::NoSuchInstance,
            Self::Query(_) => Failure::InvalidQuery,
            Self::Damaged(_) => Failure::Damaged,
            Self::TooLarge(_) => Failure::TooLarge,
            Self::QuarantineFull => Failure::NoRoom,
            Self::Credentials | Self::TooManyAttempts(_) => Failure::NotAuthenticated,
            Self::Conflict(_) => Failure::BadRequest,
            Self::Kept(_) => Failure::Kept,
            Self::Elsewhere(_) | Self::Truncated { .. } => Failure::Unavailable,
            Self::Io(e) => of_io(e),
            Self::Database(e) => of_database(e),
            Self::Commit { failure, .. } => *failure,
            // The store's own error says no more than that its answer was not the hoped-for one, or did not come.
            Self::Store(object_store::Error::Generic { store, .. }) if *store != LOCAL => Failure::Unavailable,
            Self::Config(_) | Self::Store(_) | Self::Migration(_) | Self::Encryption { .. } | Self::Internal(_) => {
                Failure::Internal
            }
        }
    }

    /// What an administrator can do where the object store is at fault.
    pub fn remedy(&self) -> Option<&'static str> {
        use object_store::Error::{Generic, NotFound, PermissionDenied, Unauthenticated};
        let Self::Store(error) = self else { return None };
        Some(match error {
            NotFound { .. } => "make the bucket, or mend its name in --store-url",
            Unauthenticated { .. } | PermissionDenied { .. } => {
                "mend the credentials in the environment (AWS_…, GOOGLE_…, AZURE_…); they must let objects be listed, read, \
                 written and removed"
            }
            Generic { .. } => {
                "see that it runs, and mend its address: AWS_ENDPOINT and AWS_REGION, or ?endpoint=… in --store-url"
            }
            _ => "see docs/storage.md",
        })
    }

    /// Another was first; once more will do.
    pub(crate) fn changed_meanwhile() -> Self {
        let reason = "what is held was changed meanwhile, send again".to_owned();
        Self::Commit { failure: Failure::Unavailable, reason }
    }

    /// A shared transaction failed, for one of those who share it.
    pub(crate) fn of_commit(error: &sqlx::Error) -> Self {
        Self::Commit { failure: of_database(error), reason: error.to_string() }
    }
}

fn of_io(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Failure::NoRoom,
        _ => Failure::Internal,
    }
}

/// By SQLite's result codes and PostgreSQL's SQLSTATE.
fn of_database(error: &sqlx::Error) -> Failure {
    use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, WorkerCrashed};
    match error {
        // A lost connection, not a local file: sqlx' own errors of files come from the database.
        Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed => Failure::Unavailable,
        Database(error) => match error.code().as_deref() {
            Some(code) if FULL.contains(&code) => Failure::NoRoom,
            Some(code) if AWAY.iter().any(|class| code.starts_with(class)) && code.len() == 5 => Failure::Unavailable,
            _ => Failure::Internal,
        },
        _ => Failure::Internal,
    }
}

/// What `object_store` calls a folder: one is never away.
pub(crate) const LOCAL: &str = "LocalFileSystem";

/// SQLITE_FULL, SQLITE_IOERR_SHMSIZE (its index of the log does not grow), disk_full.
const FULL: &[&str] = &["13", "4874", "53100"];

/// Connection exceptions, shutting down or starting, too many connections.
const AWAY: &[&str] = &["08", "57P0", "53300"];
