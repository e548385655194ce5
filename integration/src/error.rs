//! What the room and a single delivery can fail with.

use crate::{
    fhir::OutcomeError,
    hl7::{AckError, CharsetError, MllpError, Severity},
    imaging_result::ResultError,
};
use pacs_core::Failure;
use storage::ArchiveError;

/// Why the room cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("route {0}: {1}")]
    Route(String, &'static str),
    #[error("HTTP client of route {0}")]
    Client(String, #[source] reqwest::Error),
}

impl RelayError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Route(..) => Failure::BadRequest,
            Self::Client(..) => Failure::Internal,
        }
    }
}

/// Why one delivery did not happen. The text may quote the receiver: kept with the job, never logged.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("{0} took longer than allowed")]
    Timeout(&'static str),
    #[error("connection broke: {0}")]
    Connection(#[from] std::io::Error),
    #[error("the receiver closed the connection before the acknowledgement")]
    Closed,
    #[error("answer: {0}")]
    Frame(#[from] MllpError),
    #[error("{0}")]
    Acknowledgement(#[from] AckError),
    #[error("message cannot be written: {0}")]
    Charset(#[from] CharsetError),
    #[error("HTTP: {0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Outcome(#[from] OutcomeError),
    #[error("{0}")]
    Result(#[from] ResultError),
    #[error("archive: {0}")]
    Archive(#[from] ArchiveError),
    #[error("job: {0}")]
    Job(#[from] serde_json::Error),
}

/// What a failed delivery says about the ones to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The receiver is away, overloaded or talks nonsense: the route waits, with this message first.
    Unreachable,
    /// The receiver will not have this message now: it is tried a few times, others go on.
    Refused,
    /// Sending it again cannot help.
    Final,
}

impl DeliveryError {
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Acknowledgement(error) => match error.severity() {
                Severity::NoAnswer => FailureKind::Unreachable,
                Severity::Temporary => FailureKind::Refused,
                Severity::Final => FailureKind::Final,
            },
            Self::Outcome(error) => error.kind(),
            Self::Archive(ArchiveError::NotFound(_)) => FailureKind::Final,
            Self::Charset(_) | Self::Result(_) | Self::Job(_) => FailureKind::Final,
            Self::Connect(_)
            | Self::Timeout(_)
            | Self::Connection(_)
            | Self::Closed
            | Self::Frame(_)
            | Self::Http(_)
            | Self::Archive(_) => FailureKind::Unreachable,
        }
    }
}
