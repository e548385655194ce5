//! Workitems of Unified Procedure Step (PS3.4 Annex CC), for DIMSE and UPS-RS alike. What may change is decided by
//! [`pacs_core::ups`]; here it is made to last, in one transaction with the notifications of who is subscribed.
//!
//! | module | what |
//! |---|---|
//! | `change` | created, changed, claimed, ended |
//! | `find` | one, and those that match a query |
//! | `subscribe` | who hears of them |
//! | `notify` | notifications as jobs, one for each subscriber |

mod change;
mod find;
mod notify;
mod subscribe;

pub use find::KeptWorkitem;
pub use notify::{NOTIFICATION, Notification, Way, web_notification};
pub use subscribe::Subscription;

use crate::error::ArchiveError;
use pacs_core::{
    Item, Uid,
    ups::{State, Workitem},
};
use sqlx::{Row, any::AnyRow};
use time::{OffsetDateTime, macros::format_description};

/// The moment as a DT value, in UTC.
fn moment(milliseconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    let format = format_description!("[year][month][day][hour][minute][second].[subsecond digits:6]+0000");
    at.ok().and_then(|at| at.format(format).ok()).unwrap_or_default()
}

fn fault(what: &str) -> ArchiveError {
    ArchiveError::Internal(format!("workitem: {what}"))
}

/// From `procedure_step_state, transaction_uid, json` at `first`.
fn workitem(row: &AnyRow, first: usize) -> Result<Workitem, ArchiveError> {
    let (state, transaction, json): (String, String, String) =
        (row.try_get(first)?, row.try_get(first + 1)?, row.try_get(first + 2)?);
    let transaction = if transaction.is_empty() {
        None
    } else {
        Some(transaction.parse::<Uid>().map_err(|_| fault("Transaction UID"))?)
    };
    Ok(Workitem {
        state: state.parse::<State>().map_err(|_| fault("state"))?,
        transaction,
        item: serde_json::from_str::<Item>(&json).map_err(|_| fault("item"))?,
    })
}
