//! What the archive can fail with.

use pacs_core::{Failure, data_set::ScanError, instance::InstanceError};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("not readable as DICOM")]
    Scan(#[from] ScanError),
    #[error("cannot be indexed")]
    Instance(#[from] InstanceError),
    #[error("{what} of the data set is {actual}, {expected} was announced")]
    Mismatch { what: &'static str, expected: String, actual: String },
    #[error("instance {0} is already held with other content")]
    Duplicate(String),
    #[error("{0} is not in the archive")]
    NotFound(String),
    /// Its bytes are not those that were received.
    #[error("instance {0} is damaged in the store")]
    Damaged(String),
    #[error("instance is larger than {0} bytes")]
    TooLarge(u64),
    #[error("wrong user name or password")]
    Credentials,
    #[error("too many attempts, try again in {0} s")]
    TooManyAttempts(u64),
    #[error("{0}")]
    Conflict(String),
    #[error("configuration: {0}")]
    Config(String),
    #[error("object store")]
    Store(#[from] object_store::Error),
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// A transaction shared with others failed.
    #[error("commit: {0}")]
    Commit(String),
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
            Self::Instance(_) => Failure::MissingAttribute,
            Self::Mismatch { .. } => Failure::DataSetMismatch,
            Self::Duplicate(_) => Failure::DuplicateInstance,
            Self::NotFound(_) => Failure::NoSuchInstance,
            Self::TooLarge(_) => Failure::TooLarge,
            Self::Credentials | Self::TooManyAttempts(_) => Failure::NotAuthenticated,
            Self::Conflict(_) => Failure::BadRequest,
            Self::Io(e) if e.kind() == std::io::ErrorKind::StorageFull => Failure::NoRoom,
            Self::Database(sqlx::Error::PoolTimedOut) => Failure::NoRoom,
            Self::Config(_)
            | Self::Store(_)
            | Self::Database(_)
            | Self::Commit(_)
            | Self::Migration(_)
            | Self::Io(_)
            | Self::Damaged(_)
            | Self::Internal(_) => Failure::Internal,
        }
    }
}
