//! Orders as scheduled procedure steps: what Modality Worklist gives out (PS3.4 Annex K).
//!
//! | module | what |
//! |---|---|
//! | `order` | orders come in, change, and go |
//! | `find` | steps that match a query |

mod find;
mod order;

pub(crate) use order::{set_status, step_of};

use crate::error::ArchiveError;
use pacs_core::{Item, Uid, worklist::StepStatus};
use sqlx::{Row, any::AnyRow};

/// A scheduled procedure step with all that is known of its order and patient.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduledStep {
    /// Stands for this step in the archive.
    pub number: i64,
    pub study: Uid,
    /// Scheduled Procedure Step ID; unique within the study.
    pub step_id: String,
    pub status: StepStatus,
    /// The worklist item, of this one step.
    pub item: Item,
    /// Milliseconds since 1970-01-01 UTC.
    pub changed_at: i64,
}

fn scheduled_step(row: &AnyRow) -> Result<ScheduledStep, ArchiveError> {
    let fault = |what: &str| ArchiveError::Internal(format!("scheduled step: {what}"));
    let (study, status, json): (String, String, String) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
    Ok(ScheduledStep {
        number: row.try_get(0)?,
        study: study.parse().map_err(|_| fault("study"))?,
        step_id: row.try_get(2)?,
        status: status.parse().map_err(|_| fault("status"))?,
        item: serde_json::from_str(&json).map_err(|_| fault("item"))?,
        changed_at: row.try_get(5)?,
    })
}
