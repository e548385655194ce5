//! What the node can fail with.

use pacs_core::Failure;
use storage::ArchiveError;

#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("configuration: {0}")]
    Config(String),
    #[error("listening")]
    Listen(#[from] std::io::Error),
    #[error("archive")]
    Archive(#[from] ArchiveError),
}

impl NodeError {
    pub fn failure(&self) -> Failure {
        match self {
            Self::Archive(error) => error.failure(),
            Self::Config(_) | Self::Listen(_) => Failure::Internal,
        }
    }
}
