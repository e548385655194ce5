//! What the node can fail with.

use crate::tls::TlsError;
use pacs_core::Failure;
use storage::ArchiveError;

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("configuration: {0}")]
    Config(String),
    #[error("listening")]
    Listen(#[from] std::io::Error),
    #[error("TLS")]
    Tls(#[from] TlsError),
    #[error("archive")]
    Archive(#[from] ArchiveError),
}

impl NodeError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Archive(error) => error.failure(),
            Self::Config(_) | Self::Listen(_) | Self::Tls(_) => Failure::Internal,
        }
    }
}
