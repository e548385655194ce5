//! What was sent is asked for: does the receiver answer for it (PS3.4 Annex J)?

use super::{
    Destination, Receiver,
    queue::{PATIENCE, REFUSALS, millis},
    rules::destination,
};
use crate::{archive::Archive, clock::now, error::ArchiveError};
use pacs_core::{AeTitle, Uid};
use sqlx::Row;
use std::time::Duration;

/// Instances in one question.
const TOGETHER: i64 = 500;
/// An answer is waited for so long, then the question is asked again.
const ANSWER: Duration = Duration::from_secs(3600);
/// A question that did not get through is asked again after so long.
const AGAIN: Duration = Duration::from_secs(120);

/// A question about instances that were sent: SOP Class and SOP Instance UID of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub transaction: Uid,
    pub instances: Vec<(String, Uid)>,
}

impl Archive {
    /// Destinations that are to be asked for storage commitment.
    pub async fn uncommitted_destinations(&self) -> Result<Vec<Destination>, ArchiveError> {
        let statement = sqlx::query(UNCOMMITTED).bind(now());
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(destination).collect()
    }

    /// The next question to a destination, which counts as asked; `None` if there is none.
    pub async fn commitment_question(&self, destination: &str) -> Result<Option<Question>, ArchiveError> {
        let transaction = Uid::from_uuid(rand::random::<u128>());
        let now = now();
        let statement = sqlx::query(ASK)
            .bind(destination)
            .bind(now)
            .bind(now + millis(ANSWER))
            .bind(transaction.as_str())
            .bind(TOGETHER);
        let (mut change, _turn) = self.inner.database.begin().await?;
        let rows = statement.fetch_all(&mut *change).await?;
        change.commit().await?;
        let mut instances = Vec::with_capacity(rows.len());
        for row in &rows {
            let uid: String = row.try_get(1)?;
            let uid =
                uid.parse().map_err(|error| ArchiveError::Internal(format!("a forward sent as {uid:?}: {error}")))?;
            instances.push((row.try_get(0)?, uid));
        }
        Ok((!instances.is_empty()).then_some(Question { transaction, instances }))
    }

    /// The question did not get through: it is asked again, and in the end given up.
    pub async fn commitment_unasked(&self, transaction: &Uid, why: &str) -> Result<(), ArchiveError> {
        let now = now();
        let statement = sqlx::query(UNASKED)
            .bind(transaction.as_str())
            .bind(now + millis(AGAIN))
            .bind(why)
            .bind(now - millis(PATIENCE))
            .bind(now);
        self.inner.database.execute(statement).await?;
        Ok(())
    }

    /// The answer of an application entity: what it does not answer for is sent again. `NotFound` if it was not asked so.
    pub async fn commitment_answered(
        &self,
        by: &AeTitle,
        transaction: &Uid,
        failed: &[(Uid, u16)],
    ) -> Result<(), ArchiveError> {
        let absent = || ArchiveError::NotFound(format!("transaction {transaction}"));
        let asked = sqlx::query(ASKED).bind(transaction.as_str()).fetch_optional(&self.inner.database.pool).await?;
        let asked = destination(&asked.ok_or_else(absent)?)?;
        if !matches!(&asked.receiver, Receiver::Ae(ae_title) if ae_title == by) {
            return Err(absent());
        }
        let (mut change, _turn) = self.inner.database.begin().await?;
        for (uid, reason) in failed {
            let why = format!("the receiver does not answer for it (Failure Reason {reason:04X}H); it is sent again");
            let statement =
                sqlx::query(FAILED).bind(transaction.as_str()).bind(uid.as_str()).bind(why).bind(now()).bind(REFUSALS);
            statement.execute(&mut *change).await?;
        }
        let statement = sqlx::query(COMMITTED).bind(transaction.as_str()).bind(now());
        statement.execute(&mut *change).await?;
        change.commit().await?;
        Ok(())
    }
}

const UNCOMMITTED: &str = "select detail, paused from destination where paused = 0 and exists (
        select 1 from forward f where f.destination = destination.name and f.state in ('uncommitted', 'asked')
            and f.due_at <= $1)";

const ASK: &str = "update forward set state = 'asked', transaction_uid = $4, due_at = $3, changed_at = $2
    where forward_key in (select forward_key from forward where destination = $1 and state in ('uncommitted', 'asked')
            and due_at <= $2 order by forward_key limit $5)
        and state in ('uncommitted', 'asked') and due_at <= $2
    returning sop_class, sent_as";

const UNASKED: &str = "update forward set due_at = $2, last_error = $3, transaction_uid = '', changed_at = $5,
        state = case when queued_at < $4 then 'failed' else 'uncommitted' end
    where transaction_uid = $1 and state = 'asked'";

const ASKED: &str = "select d.detail, d.paused from destination d join forward f on f.destination = d.name
    where f.transaction_uid = $1 and f.state = 'asked' limit 1";

const FAILED: &str = "update forward set due_at = $4, last_error = $3, transaction_uid = '', changed_at = $4,
        state = case when attempts < $5 then 'due' else 'failed' end
    where transaction_uid = $1 and sent_as = $2 and state = 'asked'";

const COMMITTED: &str = "update forward set state = 'committed', due_at = $2, last_error = '', changed_at = $2
    where transaction_uid = $1 and state = 'asked'";
