//! Bytes in: spool → sync → scan → rows, audit line and event in one transaction → success.

use crate::error::ArchiveError;
use pacs_core::{AeTitle, Uid};

/// Who brought an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// C-STORE.
    Dimse { calling: AeTitle, address: String },
    /// STOW-RS.
    Web { user: String, address: String },
    /// `pacs import`.
    Import { path: String },
    /// A room of ours, e.g. `"ai-inference"`.
    Room(&'static str),
}

/// What the sender announced; checked against the data set before anything is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    pub study: Option<Uid>,
    pub sop_class: Option<Uid>,
    pub sop_instance: Option<Uid>,
}

/// An instance on its way in. Dropped without `commit`, it leaves nothing behind.
pub struct Incoming {
    // the storage helper fills this in
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// The same bytes (data set) were here already; nothing was stored.
    Identical,
    /// Other bytes under the same SOP Instance UID were here already; the first stays, this one was not stored.
    KeptFirst,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub outcome: Outcome,
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub sop_class: Uid,
}

impl Incoming {
    /// Appends bytes of a Part 10 file (preamble and meta included; see `pacs_core::part10::write_meta`).
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Makes the instance durable and visible. On `Ok` it survives a crash.
    pub async fn commit(self, expected: &Expected) -> Result<Ingested, ArchiveError> {
        todo!()
    }
}
