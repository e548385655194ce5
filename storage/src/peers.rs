//! Configured application entities.

use pacs_core::AeTitle;

/// A peer that may call us, and where it can be called.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Peer {
    pub ae_title: AeTitle,
    /// Host name or address; when set, calls from other addresses are refused.
    pub host: Option<String>,
    pub port: Option<u16>,
    pub may_store: bool,
    pub may_find: bool,
}
