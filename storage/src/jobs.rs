//! Durable, leased work.

use crate::{archive::Archive, clock::now, database::Change, error::ArchiveError};
use sqlx::{Row, any::AnyRow};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// The clocks of machines that share a catalog differ by less, in milliseconds.
const FAR: i64 = 120_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: String,
    pub kind: String,
    /// What makes it the same job: e.g. series UID and instance count.
    pub key: String,
    pub payload: serde_json::Value,
    pub state: JobState,
    /// How often it was claimed since it was queued or revived, this time included.
    pub attempts: i64,
    pub last_error: Option<String>,
    pub result: Option<String>,
    /// When it was queued, or revived: milliseconds since 1970-01-01 UTC.
    pub created_at: i64,
    pub changed_at: i64,
    /// Who holds the lease.
    pub worker: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Due,
    Leased,
    Done,
    Dead,
}

impl JobState {
    const ALL: [Self; 4] = [Self::Due, Self::Leased, Self::Done, Self::Dead];

    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
        }
    }
}

impl Archive {
    /// Adds work; the same (kind, key) again is no second job. Returns whether it was new.
    pub async fn enqueue(&self, kind: &str, key: &str, payload: &serde_json::Value) -> Result<bool, ArchiveError> {
        let now = now();
        let statement = sqlx::query(ENQUEUE).bind(new_id(now)).bind(kind).bind(key).bind(payload.to_string()).bind(now);
        Ok(self.inner.database.execute(statement).await?.rows_affected() == 1)
    }

    /// Takes the oldest due job of a kind for `lease`; a job whose lease ran out is due again.
    pub async fn claim(&self, kind: &str, worker: &str, lease: Duration) -> Result<Option<Job>, ArchiveError> {
        loop {
            let now = now();
            let far = now + FAR;
            let statement = sqlx::query(CLAIM).bind(kind).bind(now).bind(now + millis(lease)).bind(worker).bind(far);
            if let Some(row) = self.inner.database.execute_returning(statement).await? {
                return job(&row).map(Some);
            }
            // On PostgreSQL a rival may have taken the row that we chose while others are due.
            let due =
                sqlx::query(ANY_DUE).bind(kind).bind(now).bind(far).fetch_optional(&self.inner.database.pool).await?;
            if due.is_none() {
                return Ok(None);
            }
        }
    }

    /// Whether there is a job of a kind that is not done, and whose key begins in a way and comes before another.
    pub(crate) async fn is_any_open(&self, kind: &str, begins: &str, before: &str) -> Result<bool, ArchiveError> {
        let statement = sqlx::query(ANY_OPEN).bind(kind).bind(begins).bind(before);
        Ok(statement.fetch_optional(&self.inner.database.pool).await?.is_some())
    }

    /// Holds a claimed job for `lease` from now.
    pub async fn extend(&self, job: &Job, lease: Duration) -> Result<(), ArchiveError> {
        self.settle(job, JobState::Leased, now() + millis(lease), None, None).await
    }

    /// `result` is kept for people to see.
    pub async fn finish(&self, job: &Job, result: &str) -> Result<(), ArchiveError> {
        self.settle(job, JobState::Done, 0, None, Some(result)).await
    }

    /// Due again after `retry_in`, or dead when `None`.
    pub async fn fail(&self, job: &Job, error: &str, retry_in: Option<Duration>) -> Result<(), ArchiveError> {
        match retry_in {
            Some(wait) => self.settle(job, JobState::Due, now() + millis(wait), Some(error), None).await,
            None => self.settle(job, JobState::Dead, 0, Some(error), None).await,
        }
    }

    /// Newest first; `kind_prefix` such as `"hl7:"`.
    pub async fn jobs(&self, kind_prefix: &str, state: Option<JobState>, limit: u32) -> Result<Vec<Job>, ArchiveError> {
        let rows = sqlx::query(JOBS)
            .bind(kind_prefix)
            .bind(state.map_or("", JobState::as_str))
            .bind(i64::from(limit))
            .fetch_all(&self.inner.database.pool)
            .await?;
        rows.iter().map(job).collect()
    }

    /// Makes a dead job due again, with as many attempts as a new one.
    pub async fn revive(&self, job_id: &str) -> Result<(), ArchiveError> {
        let revived = self.inner.database.execute(sqlx::query(REVIVE).bind(job_id).bind(now())).await?;
        if revived.rows_affected() == 0 {
            return Err(ArchiveError::NotFound(format!("dead job {job_id}")));
        }
        Ok(())
    }

    /// Ends or prolongs a lease. Only its holder may: whoever claimed the job since then has the say.
    async fn settle(
        &self,
        job: &Job,
        state: JobState,
        due_at: i64,
        error: Option<&str>,
        result: Option<&str>,
    ) -> Result<(), ArchiveError> {
        let statement = sqlx::query(SETTLE)
            .bind(&job.id)
            .bind(job.attempts)
            .bind(state.as_str())
            .bind(due_at)
            .bind(error)
            .bind(result)
            .bind(now())
            .bind(job.created_at);
        if self.inner.database.execute(statement).await?.rows_affected() == 0 {
            return Err(ArchiveError::Conflict(format!("the lease on job {} is lost", job.id)));
        }
        Ok(())
    }
}

/// As [`Archive::enqueue`], in the transaction of what the job is about.
pub(crate) async fn enqueue_within(
    change: &mut Change<'_>,
    kind: &str,
    key: &str,
    payload: &serde_json::Value,
) -> Result<(), sqlx::Error> {
    let now = now();
    let statement = sqlx::query(ENQUEUE).bind(new_id(now)).bind(kind).bind(key).bind(payload.to_string()).bind(now);
    statement.execute(&mut *change.transaction).await?;
    Ok(())
}

/// Jobs that one process queues sort in that order, also within a millisecond.
fn new_id(now: i64) -> String {
    static QUEUED: AtomicU32 = AtomicU32::new(0);
    format!("{now:012x}{:08x}{:08x}", QUEUED.fetch_add(1, Ordering::Relaxed), rand::random::<u32>())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn job(row: &AnyRow) -> Result<Job, ArchiveError> {
    let given = |index: usize| row.try_get::<String, _>(index).map(|text| Some(text).filter(|t| !t.is_empty()));
    let state: String = row.try_get(4)?;
    Ok(Job {
        id: row.try_get(0)?,
        kind: row.try_get(1)?,
        key: row.try_get(2)?,
        payload: serde_json::from_str(row.try_get(3)?)
            .map_err(|e| ArchiveError::Internal(format!("payload of a job: {e}")))?,
        state: JobState::ALL
            .into_iter()
            .find(|s| s.as_str() == state)
            .ok_or_else(|| ArchiveError::Internal(format!("job state {state:?}")))?,
        attempts: row.try_get(5)?,
        last_error: given(6)?,
        result: given(7)?,
        created_at: row.try_get(8)?,
        changed_at: row.try_get(9)?,
        worker: given(10)?,
    })
}

const ENQUEUE: &str = "insert into job (job_id, kind, job_key, payload, state, attempts, due_at, worker, last_error,
        result, created_at, changed_at)
    values ($1, $2, $3, $4, 'due', 0, $5, '', '', '', $5, $5) on conflict (kind, job_key) do nothing";

// `due_at` of a leased job is the end of its lease. The outer condition is looked at again when a rival was first.
// What was changed far in the future was so before the clock was put back: then it is due too.
const CLAIM: &str =
    "update job set state = 'leased', attempts = attempts + 1, due_at = $3, worker = $4, changed_at = $2
    where job_id = (select job_id from job where kind = $1 and state in ('due', 'leased')
            and (due_at <= $2 or changed_at > $5) order by created_at, job_id limit 1)
        and state in ('due', 'leased') and (due_at <= $2 or changed_at > $5)
    returning job_id, kind, job_key, payload, state, attempts, last_error, result, created_at, changed_at, worker";

const ANY_OPEN: &str = "select job_id from job where kind = $1 and substr(job_key, 1, length($2)) = $2 and job_key < $3
        and state in ('due', 'leased') limit 1";

const ANY_DUE: &str = "select job_id from job where kind = $1 and state in ('due', 'leased')
    and (due_at <= $2 or changed_at > $3) limit 1";

// Attempts count from 0 again after a revival: only with the time of it do they name a lease.
const SETTLE: &str = "update job set state = $3, due_at = $4, last_error = coalesce($5, last_error),
        result = coalesce($6, result), changed_at = $7, worker = case when $3 = 'leased' then worker else '' end
    where job_id = $1 and attempts = $2 and created_at = $8 and state = 'leased'";

const JOBS: &str = "select job_id, kind, job_key, payload, state, attempts, last_error, result, created_at, changed_at,
        worker
    from job where substr(kind, 1, length($1)) = $1 and ($2 = '' or state = $2)
    order by created_at desc, job_id desc limit $3";

const REVIVE: &str = "update job set state = 'due', attempts = 0, due_at = $2, created_at = $2, changed_at = $2
    where job_id = $1 and state = 'dead'";
