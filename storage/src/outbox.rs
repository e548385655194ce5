//! Events: what happened, in order, written in the transaction that made it true.
//!
//! The event of a stored instance is its row, so one that was deleted since is no longer told of; its deletion is.

use crate::{
    archive::{Archive, Inner},
    clock::now,
    database::Change,
    error::ArchiveError,
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use tokio::sync::watch;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Rises, with gaps; readers resume after it.
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
    /// A correction was made or undone: the study is seen otherwise than before.
    Corrected,
    /// A modality began, changed or ended a procedure step: `sop_instance` is that of the performed step.
    MppsChanged,
}

impl EventKind {
    pub const ALL: [Self; 5] =
        [Self::InstanceStored, Self::SeriesComplete, Self::Deleted, Self::Corrected, Self::MppsChanged];

    /// The word in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InstanceStored => "instance_stored",
            Self::SeriesComplete => "series_complete",
            Self::Deleted => "deleted",
            Self::Corrected => "corrected",
            Self::MppsChanged => "mpps_changed",
        }
    }
}

impl Archive {
    /// Events after a position, oldest first.
    pub async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, ArchiveError> {
        let rows = sqlx::query(EVENTS).bind(after).bind(i64::from(limit)).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(event).collect()
    }

    /// Changes to the newest position known to this process (other processes' events show within a second).
    pub fn newest_event(&self) -> watch::Receiver<i64> {
        self.inner.newest.subscribe()
    }

    /// How far a named consumer has come; 0 for a new one.
    pub async fn consumer_position(&self, consumer: &str) -> Result<i64, ArchiveError> {
        let row = sqlx::query(CONSUMER_POSITION).bind(consumer).fetch_optional(&self.inner.database.pool).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
    }

    /// Notes that a consumer is done with everything up to `position`; never moves it back.
    pub async fn acknowledge(&self, consumer: &str, position: i64) -> Result<(), ArchiveError> {
        self.inner.database.execute(sqlx::query(ACKNOWLEDGE).bind(consumer).bind(position)).await?;
        Ok(())
    }
}

impl Inner {
    /// Where one who goes through the archive round after round is to go on; unlike [`Archive::acknowledge`], back too.
    pub(crate) async fn keep_place(&self, name: &str, place: i64) -> Result<(), ArchiveError> {
        self.database.execute(sqlx::query(KEEP_PLACE).bind(name).bind(place)).await?;
        Ok(())
    }
}

/// What an event tells, before it has a position; texts are empty where nothing applies.
pub(crate) struct NewEvent<'a> {
    pub(crate) kind: EventKind,
    pub(crate) study: &'a str,
    pub(crate) series: &'a str,
    pub(crate) sop_instance: &'a str,
    pub(crate) sop_class: &'a str,
}

/// Returns the position of the event.
pub(crate) async fn write_event(change: &mut Change<'_>, event: NewEvent<'_>) -> Result<i64, sqlx::Error> {
    let position = change.head.next_key();
    sqlx::query(WRITE_EVENT)
        .bind(position)
        .bind(event.kind.as_str())
        .bind(now())
        .bind(event.study)
        .bind(event.series)
        .bind(event.sop_instance)
        .bind(event.sop_class)
        .execute(&mut *change.transaction)
        .await?;
    Ok(position)
}

/// The newest position in the database.
pub(crate) async fn newest_position(pool: &sqlx::AnyPool) -> Result<i64, sqlx::Error> {
    sqlx::query(NEWEST_POSITION).fetch_one(pool).await?.try_get(0)
}

fn event(row: &AnyRow) -> Result<Event, ArchiveError> {
    let kind: String = row.try_get(1)?;
    let uid = |index: usize| -> Result<Option<Uid>, ArchiveError> {
        let text: String = row.try_get(index)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|e| ArchiveError::Internal(format!("event with UID {text:?}: {e}")))
    };
    Ok(Event {
        position: row.try_get(0)?,
        kind: EventKind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .ok_or_else(|| ArchiveError::Internal(format!("event kind {kind:?}")))?,
        at: row.try_get(2)?,
        study: uid(3)?.ok_or_else(|| ArchiveError::Internal("event without study".into()))?,
        series: uid(4)?,
        sop_instance: uid(5)?,
        sop_class: uid(6)?,
    })
}

// An instance that was stored is its own event: its key is the position. Each part has a limit of its own, so that neither
// database sorts what lies behind it.
const EVENTS: &str = "select * from (
        select position, kind, at, study, series, sop_instance, sop_class from event
        where position > $1 order by position limit $2) as happened
    union all select * from (
        select i.instance_key as position, 'instance_stored' as kind, i.stored_at as at, st.study_instance_uid as study,
            se.series_instance_uid as series, i.sop_instance_uid as sop_instance, i.sop_class_uid as sop_class
        from instance i join series se on se.series_key = i.series_key join study st on st.study_key = se.study_key
        where i.instance_key > $1 order by i.instance_key limit $2) as stored
    order by position limit $2";

const WRITE_EVENT: &str = "insert into event (position, kind, at, study, series, sop_instance, sop_class)
    values ($1, $2, $3, $4, $5, $6, $7)";

const NEWEST_POSITION: &str = "select last_key from head where id = 1";

const KEEP_PLACE: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position";

const CONSUMER_POSITION: &str = "select position from consumer where name = $1";

const ACKNOWLEDGE: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position where consumer.position < excluded.position";
