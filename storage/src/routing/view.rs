//! What waits, what went, what failed and why.

use super::ForwardState;
use crate::{archive::Archive, error::ArchiveError};
use serde::Serialize;
use sqlx::{Row, any::AnyRow};

/// How many instances of a destination are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backlog {
    pub destination: String,
    pub state: ForwardState,
    pub instances: i64,
    pub bytes: i64,
    /// When the oldest of them was queued: milliseconds since 1970-01-01 UTC.
    pub oldest: i64,
}

/// An instance in the queue, or that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queued {
    pub destination: String,
    pub state: ForwardState,
    /// By which rule; empty: somebody asked for it.
    pub rule: String,
    pub study: String,
    pub series: String,
    pub sop_instance: String,
    /// The SOP Instance UID under which it went.
    pub sent_as: String,
    pub bytes: i64,
    pub attempts: i64,
    /// Why the last try failed, and the remedy.
    pub last_error: String,
    /// When it is tried next, its lease ends, or it was sent: milliseconds since 1970-01-01 UTC, as the others.
    pub due_at: i64,
    pub queued_at: i64,
    pub changed_at: i64,
}

impl Archive {
    /// By destination and state.
    pub async fn backlog(&self) -> Result<Vec<Backlog>, ArchiveError> {
        sqlx::query(BACKLOG).fetch_all(&self.inner.database.pool).await?.iter().map(backlog).collect()
    }

    /// The last changed first; of one destination, and in one state, or of all.
    pub async fn forwards(
        &self,
        destination: Option<&str>,
        state: Option<ForwardState>,
        limit: u32,
    ) -> Result<Vec<Queued>, ArchiveError> {
        let statement = sqlx::query(FORWARDS)
            .bind(destination.unwrap_or_default())
            .bind(state.map_or("", ForwardState::as_str))
            .bind(i64::from(limit));
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(queued).collect()
    }

    /// The last error of each destination that waits or has failed, most instances first.
    pub async fn forward_errors(&self) -> Result<Vec<(String, String, i64)>, ArchiveError> {
        let rows = sqlx::query(ERRORS).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

fn backlog(row: &AnyRow) -> Result<Backlog, ArchiveError> {
    Ok(Backlog {
        destination: row.try_get(0)?,
        state: ForwardState::read(row.try_get(1)?)?,
        instances: row.try_get(2)?,
        bytes: row.try_get(3)?,
        oldest: row.try_get(4)?,
    })
}

fn queued(row: &AnyRow) -> Result<Queued, ArchiveError> {
    Ok(Queued {
        destination: row.try_get(0)?,
        state: ForwardState::read(row.try_get(1)?)?,
        rule: row.try_get(2)?,
        study: row.try_get(3)?,
        series: row.try_get(4)?,
        sop_instance: row.try_get(5)?,
        sent_as: row.try_get(6)?,
        bytes: row.try_get(7)?,
        attempts: row.try_get(8)?,
        last_error: row.try_get(9)?,
        due_at: row.try_get(10)?,
        queued_at: row.try_get(11)?,
        changed_at: row.try_get(12)?,
    })
}

// PostgreSQL adds bigints up to a numeric, which nothing here reads.
const BACKLOG: &str = "select destination, state, count(*), cast(sum(byte_len) as bigint), min(queued_at) from forward
    group by destination, state order by destination, state";

const FORWARDS: &str = "select destination, state, rule, study, series, sop_instance, sent_as, byte_len, attempts,
        last_error, due_at, queued_at, changed_at
    from forward where ($1 = '' or destination = $1) and ($2 = '' or state = $2)
    order by changed_at desc, forward_key desc limit $3";

const ERRORS: &str = "select destination, last_error, count(*) from forward
    where state in ('due', 'failed', 'refused') and last_error <> '' group by destination, last_error
    order by 1, 3 desc, 2 limit 1000";
