//! The queue: instances are claimed a series at a time, under a lease, and settled one by one.

use crate::{
    archive::Archive,
    clock::now,
    error::ArchiveError,
    read::{StoredInstance, select_instances},
};
use pacs_core::Uid;
use serde::{Deserialize, Serialize};
use sqlx::{Row, any::AnyRow};
use std::time::Duration;

/// A lease that is not extended ends so soon: what a process leaves behind is due again then.
const LEASE: Duration = Duration::from_secs(30);
/// The clocks of machines that share a catalog differ by less.
const FAR: Duration = Duration::from_secs(120);
/// Tried again first after so long, then after twice that, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(900);
/// A receiver that cannot be reached is waited for so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(7 * 86_400);
/// One that says no is asked so often.
pub(super) const REFUSALS: i64 = 10;
/// What was sent is told of for so long.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// An instance on its way to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    pub(super) key: i64,
    pub instance_key: i64,
    /// By which rule; empty: somebody asked for it.
    pub rule: String,
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    /// How often it was claimed, this time included.
    pub attempts: i64,
    queued_at: i64,
    lease: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardState {
    /// It waits for its turn, or for the next try.
    Due,
    /// It is being sent.
    Leased,
    Sent,
    /// It was sent, and the receiver is to be asked whether it answers for it.
    Uncommitted,
    /// The receiver was asked.
    Asked,
    /// It was sent, and the receiver answers for it.
    Committed,
    /// It was given up; somebody may have it tried again.
    Failed,
    /// It must not be sent as it is: see the reason.
    Refused,
}

impl ForwardState {
    pub const ALL: [Self; 8] = [
        Self::Due,
        Self::Leased,
        Self::Sent,
        Self::Uncommitted,
        Self::Asked,
        Self::Committed,
        Self::Failed,
        Self::Refused,
    ];

    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Leased => "leased",
            Self::Sent => "sent",
            Self::Uncommitted => "uncommitted",
            Self::Asked => "asked",
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    pub(super) fn read(word: &str) -> Result<Self, ArchiveError> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| ArchiveError::Internal(format!("state {word:?} of a forward")))
    }
}

/// How a try ended. Texts say why, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Under this SOP Instance UID.
    Sent(String),
    /// The receiver cannot be reached, or has no room: it is tried again for days.
    Unreachable(String),
    /// The receiver does not want it: it is tried some times more.
    Declined(String),
    /// It is not in the archive any more, or cannot be read.
    Failed(String),
    /// It must not go there.
    Refused(String),
    /// Not tried: it is due at once.
    Untried,
}

impl Archive {
    /// Takes up to `limit` instances of one series that are due at a destination, those first that have waited longest; none
    /// of a destination that rests.
    pub async fn claim_forwards(&self, destination: &str, limit: u32) -> Result<Vec<Forward>, ArchiveError> {
        let now = now();
        let lease = format!("{:016x}", rand::random::<u64>());
        let statement = sqlx::query(CLAIM)
            .bind(destination)
            .bind(now)
            .bind(now + millis(LEASE))
            .bind(&lease)
            .bind(i64::from(limit));
        let (mut transaction, _turn) = self.inner.database.begin().await?;
        let rows = statement.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut claimed = rows.iter().map(forward).collect::<Result<Vec<_>, _>>()?;
        claimed.sort_by_key(|forward| forward.key);
        Ok(claimed)
    }

    /// Holds claimed instances further.
    pub async fn extend_forwards(&self, lease: &Forward) -> Result<(), ArchiveError> {
        let statement = sqlx::query(EXTEND).bind(&lease.lease).bind(now() + millis(LEASE));
        self.inner.database.execute(statement).await?;
        Ok(())
    }

    /// Writes down how tries ended. What was claimed by another since is the other's.
    pub async fn settle_forwards(&self, ended: &[(&Forward, Outcome)]) -> Result<(), ArchiveError> {
        if ended.is_empty() {
            return Ok(());
        }
        let rules = self.rules().await?;
        let (mut transaction, _turn) = self.inner.database.begin().await?;
        for (forward, outcome) in ended {
            let commits = rules.iter().any(|rule| rule.commits && rule.name == forward.rule);
            let settled = forward.settled(outcome, commits, now());
            let statement = sqlx::query(SETTLE)
                .bind(forward.key)
                .bind(&forward.lease)
                .bind(settled.state.as_str())
                .bind(settled.attempts)
                .bind(settled.due_at)
                .bind(settled.error)
                .bind(settled.sent_as)
                .bind(now());
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Lets what is left behind be due again, and what was sent long ago be forgotten; returns how many were left behind.
    pub async fn tend_forwards(&self) -> Result<u64, ArchiveError> {
        let now = now();
        let lost = sqlx::query(RELEASE).bind(now).bind(now + millis(FAR));
        let lost = self.inner.database.execute(lost).await?.rows_affected();
        self.inner.database.execute(sqlx::query(FORGET).bind(now - millis(KEPT))).await?;
        Ok(lost)
    }

    /// Has what failed tried again, and what waits for its next try at once: of a destination, or of all. With `refused` also
    /// what was refused. Returns how many.
    pub async fn retry_forwards(&self, destination: Option<&str>, refused: bool) -> Result<u64, ArchiveError> {
        if let Some(name) = destination {
            self.destination(name).await?;
        }
        let statement = sqlx::query(RETRY).bind(destination.unwrap_or_default()).bind(now()).bind(i64::from(refused));
        Ok(self.inner.database.execute(statement).await?.rows_affected())
    }

    /// Takes what is not sent out of the queue: all of it, or what failed or was refused. Returns how many.
    pub async fn drop_forwards(&self, destination: &str, only_failed: bool) -> Result<u64, ArchiveError> {
        self.destination(destination).await?;
        let statement = sqlx::query(DROP).bind(destination).bind(i64::from(only_failed));
        Ok(self.inner.database.execute(statement).await?.rows_affected())
    }

    /// A claimed instance as it is seen; `NotFound` if it was deleted or rejected since.
    pub async fn forwarded(&self, forward: &Forward) -> Result<StoredInstance, ArchiveError> {
        self.visible(forward.instance_key).await
    }

    pub(super) async fn visible(&self, instance_key: i64) -> Result<StoredInstance, ArchiveError> {
        let row = sqlx::query(INSTANCE).bind(instance_key).fetch_optional(&self.inner.database.pool).await?;
        let row = row.ok_or_else(|| ArchiveError::NotFound("an instance that arrived".to_owned()))?;
        let mut instances = [self.stored_instance(&row).await?];
        self.lay_over(Some(&row), &mut instances).await?;
        let [instance] = instances;
        Ok(instance)
    }
}

/// What a row becomes.
#[derive(Debug, PartialEq, Eq)]
struct Settled<'a> {
    state: ForwardState,
    attempts: i64,
    due_at: i64,
    error: &'a str,
    sent_as: &'a str,
}

impl Forward {
    /// By which rule, or on request: for the audit trail.
    pub fn occasion(&self) -> String {
        if self.rule.is_empty() { "on request".to_owned() } else { format!("by rule {}", self.rule) }
    }

    fn settled<'a>(&self, outcome: &'a Outcome, commits: bool, now: i64) -> Settled<'a> {
        use ForwardState::{Due, Failed, Refused, Sent, Uncommitted};
        let later = now + millis(pause(self.attempts));
        let (state, due_at, error, sent_as) = match outcome {
            Outcome::Sent(uid) if commits => (Uncommitted, now, "", uid.as_str()),
            Outcome::Sent(uid) => (Sent, now, "", uid.as_str()),
            Outcome::Unreachable(why) if now - self.queued_at < millis(PATIENCE) => (Due, later, why.as_str(), ""),
            Outcome::Declined(why) if self.attempts < REFUSALS => (Due, later, why.as_str(), ""),
            Outcome::Unreachable(why) | Outcome::Declined(why) | Outcome::Failed(why) => (Failed, 0, why.as_str(), ""),
            Outcome::Refused(why) => (Refused, 0, why.as_str(), ""),
            Outcome::Untried => (Due, now, "", ""),
        };
        let attempts = if *outcome == Outcome::Untried { self.attempts - 1 } else { self.attempts };
        Settled { state, attempts, due_at, error, sent_as }
    }
}

/// After so many tries.
fn pause(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).max(0)).unwrap_or(u32::MAX).min(16);
    FIRST_RETRY.saturating_mul(1 << doublings).min(LONGEST_RETRY)
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn forward(row: &AnyRow) -> Result<Forward, ArchiveError> {
    let uid = |index: usize| -> Result<Uid, ArchiveError> {
        let text: String = row.try_get(index)?;
        text.parse().map_err(|error| ArchiveError::Internal(format!("forward with UID {text:?}: {error}")))
    };
    Ok(Forward {
        key: row.try_get(0)?,
        instance_key: row.try_get(1)?,
        rule: row.try_get(2)?,
        study: uid(3)?,
        series: uid(4)?,
        sop_instance: uid(5)?,
        attempts: row.try_get(6)?,
        queued_at: row.try_get(7)?,
        lease: row.try_get(8)?,
    })
}

// The outer condition is looked at again when a rival was first.
const CLAIM: &str = "update forward set state = 'leased', attempts = attempts + 1, due_at = $3, lease = $4, changed_at = $2
    where forward_key in (
            select forward_key from forward where destination = $1 and state = 'due' and due_at <= $2
                and series_key = (select series_key from forward where destination = $1 and state = 'due' and due_at <= $2
                    order by due_at, forward_key limit 1)
            order by forward_key limit $5)
        and state = 'due' and due_at <= $2
        and exists (select 1 from destination where name = $1 and paused = 0)
    returning forward_key, instance_key, rule, study, series, sop_instance, attempts, queued_at, lease";

const EXTEND: &str = "update forward set due_at = $2 where lease = $1 and state = 'leased'";

const SETTLE: &str = "update forward set state = $3, attempts = $4, due_at = $5, last_error = $6, sent_as = $7,
        changed_at = $8, lease = ''
    where forward_key = $1 and lease = $2 and state = 'leased'";

// What is due far in the future became so before the clock was put back.
const RELEASE: &str = "update forward set state = 'due', lease = '', due_at = $1
    where state = 'leased' and (due_at <= $1 or due_at > $2)";

const FORGET: &str = "delete from forward where state in ('sent', 'committed') and due_at < $1";

const RETRY: &str = "update forward set due_at = $2, changed_at = $2,
        state = case when state in ('failed', 'refused') then 'due' else state end,
        attempts = case when state in ('failed', 'refused') then 0 else attempts end,
        queued_at = case when state in ('failed', 'refused') then $2 else queued_at end
    where ($1 = '' or destination = $1) and (state in ('due', 'uncommitted', 'asked') and due_at > $2
        or state = 'failed' or state = 'refused' and $3 = 1)";

const DROP: &str = "delete from forward where destination = $1
    and (state in ('failed', 'refused') or $2 = 0 and state = 'due')";

const INSTANCE: &str = select_instances!("", "where i.instance_key = $1 and i.is_current = 1");

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(attempts: i64) -> Forward {
        let uid: Uid = "1.2".parse().unwrap();
        Forward {
            key: 1,
            instance_key: 1,
            rule: String::new(),
            study: uid.clone(),
            series: uid.clone(),
            sop_instance: uid,
            attempts,
            queued_at: 0,
            lease: String::new(),
        }
    }

    fn check(attempts: i64, outcome: Outcome, now: i64, expected: (ForwardState, i64)) {
        let settled = tried(attempts).settled(&outcome, false, now);
        assert_eq!((settled.state, settled.due_at), expected, "{outcome:?} after {attempts} at {now}");
    }

    #[test]
    fn who_cannot_be_reached_is_waited_for_and_who_says_no_is_asked_ten_times() {
        use ForwardState::{Due, Failed, Refused, Sent};
        let week = millis(PATIENCE);
        check(1, Outcome::Unreachable("away".into()), 0, (Due, 5_000));
        check(3, Outcome::Unreachable("away".into()), 0, (Due, 20_000));
        check(i64::MAX, Outcome::Unreachable("away".into()), week - 1, (Due, week - 1 + 900_000));
        check(500, Outcome::Unreachable("away".into()), week, (Failed, 0));
        check(4, Outcome::Declined("no".into()), 0, (Due, 40_000));
        check(10, Outcome::Declined("no".into()), 0, (Failed, 0));
        check(1, Outcome::Refused("burned in".into()), 0, (Refused, 0));
        check(1, Outcome::Failed("gone".into()), 0, (Failed, 0));
        check(9, Outcome::Sent("1.2".into()), 0, (Sent, 0));
    }

    #[test]
    fn what_was_not_tried_is_due_at_once_and_that_is_no_attempt() {
        let settled = tried(3).settled(&Outcome::Untried, true, 7);
        assert_eq!((settled.state, settled.due_at, settled.attempts), (ForwardState::Due, 7, 2));
    }
}
