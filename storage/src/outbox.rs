//! Events: what happened, in order, written in the transaction that made it true.

use pacs_core::Uid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Rises by one; readers resume after it.
    pub position: i64,
    pub kind: EventKind,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    pub study: Uid,
    pub series: Option<Uid>,
    pub sop_instance: Option<Uid>,
    pub sop_class: Option<Uid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    InstanceStored,
    /// No instance has come for the configured time, or its association closed.
    SeriesComplete,
    Deleted,
}
