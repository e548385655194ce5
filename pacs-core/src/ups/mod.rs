//! Unified Procedure Step: the states of a workitem, and who may change what (PS3.4 Annex CC). One machine for DIMSE and UPS-RS.
//!
//! ```text
//! SCHEDULED ── claimed with a Transaction UID ──▶ IN PROGRESS ──▶ COMPLETED | CANCELED
//!     └─────────────── cancellation asked for ─────────────────────────▶ CANCELED
//! ```

mod event;
mod status;
#[cfg(test)]
mod tests;
mod workitem;

pub use event::{UpsEvent, cancel_requested, reports, restarted, state_report};
pub use status::{UpsError, Warning};
pub use workitem::{Cancel, FIXED, NEEDED, NEEDED_IN_THE_END, Workitem};

use std::str::FromStr;

/// The SOP Class of every workitem (PS3.4 §CC.3.1).
pub const UPS_PUSH: &str = "1.2.840.10008.5.1.4.34.6.1";
pub const UPS_WATCH: &str = "1.2.840.10008.5.1.4.34.6.2";
pub const UPS_PULL: &str = "1.2.840.10008.5.1.4.34.6.3";
pub const UPS_EVENT: &str = "1.2.840.10008.5.1.4.34.6.4";
pub const UPS_QUERY: &str = "1.2.840.10008.5.1.4.34.6.5";

/// The instance to subscribe to all workitems by, and the one for those that match (PS3.4 §CC.2.3).
pub const GLOBAL_SUBSCRIPTION: &str = "1.2.840.10008.5.1.4.34.5";
pub const FILTERED_GLOBAL_SUBSCRIPTION: &str = "1.2.840.10008.5.1.4.34.5.1";

/// Procedure Step State (PS3.4 Table CC.1.1-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Scheduled,
    InProgress,
    Completed,
    Canceled,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Scheduled, Self::InProgress, Self::Completed, Self::Canceled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }
}

impl FromStr for State {
    type Err = UpsError;

    fn from_str(text: &str) -> Result<Self, UpsError> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or(UpsError::Invalid("ProcedureStepState"))
    }
}
