//! A second site: packs and catalog copied continuously to another folder or bucket, and the way to bring it up.
//!
//! | at the replica | what |
//! |---|---|
//! | `XX/…/NUMBER.tar` | packs, under the keys and with the bytes that they have in the store |
//! | `replica/base/TIME.…gz` | a dump of the catalog, as backups have it |
//! | `replica/changes/TIME/NUMBER.…gz` | what changed after that base: rows written and removed, in the order of the numbers |
//! | `replica/removed/…` | packs that the archive let go, for `storage.replica_keep_days` |
//! | `replica/taken-over` | the second site has been brought up on it: nothing is copied here any more |
//!
//! | module | what |
//! |---|---|
//! | `capture` | triggers that note which rows change |
//! | `changes` | bases and segments |
//! | `packs` | packs copied, and put out of the way |
//! | `bring_up` | the way back |
//!
//! Whichever process has the lease works. Every step may be broken off and made again: packs never change, a segment tells
//! of rows as they are at one moment, and what it tells of is forgotten only when it is there.

mod bring_up;
mod capture;
mod changes;
mod packs;

pub(crate) use bring_up::is_replica;

use crate::{
    archive::{Archive, Inner},
    clock::now,
    error::ArchiveError,
    objects::Objects,
    store::Store,
};
use sqlx::Row;
use std::{pin::pin, time::Duration};
use tokio::sync::OnceCell;

/// How long a process that works has the lease; it is extended while it does.
const LEASE_MILLISECONDS: i64 = 60_000;
const EXTEND: Duration = Duration::from_secs(15);
/// Stands at a replica that serves now.
const TAKEN_OVER: &str = "replica/taken-over";

/// The other place.
type Replica = Objects;

/// How far the replica has come.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReplicaStatus {
    /// Sealed packs that are not there yet, and their bytes.
    pub packs: i64,
    pub bytes: i64,
    /// Changes of the catalog that are not there yet.
    pub changes: i64,
    /// Everything that was committed and sealed so long ago is there.
    pub lag_milliseconds: i64,
    /// Why the last attempt failed; empty if it did not.
    pub error: String,
}

/// Copies to the replica; kept by who runs it, for the way there is opened once.
pub struct Replicator {
    archive: Archive,
    replica: OnceCell<Replica>,
}

impl Replicator {
    /// `None` if no replica is configured.
    pub fn new(archive: &Archive) -> Option<Self> {
        archive.inner.config.replica_url.as_ref()?;
        Some(Self { archive: archive.clone(), replica: OnceCell::new() })
    }

    /// Copies what waits, a few packs and some thousand changes of the catalog at most; `true` if there is more to do.
    /// Does nothing while another process is at it.
    pub async fn step(&self) -> Result<bool, ArchiveError> {
        let archive = &self.archive.inner;
        capture::begin(&archive.database).await?;
        if !archive.is_behind().await? || !archive.take_lease(None).await? {
            return Ok(false);
        }
        let outcome = self.under_lease().await;
        let error = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        archive.set("error", 0, &error).await?;
        archive.give_lease().await?;
        outcome
    }

    async fn under_lease(&self) -> Result<bool, ArchiveError> {
        let archive = &self.archive.inner;
        let mut round = pin!(self.round());
        loop {
            tokio::select! {
                outcome = &mut round => return outcome,
                () = tokio::time::sleep(EXTEND) => {}
            }
            if !archive.take_lease(Some(())).await? {
                return Err(ArchiveError::Conflict("the lease on the replica is lost".into()));
            }
        }
    }

    async fn round(&self) -> Result<bool, ArchiveError> {
        let archive = &self.archive.inner;
        let replica = self.replica.get_or_try_init(|| archive.open_replica()).await?;
        if replica.store.len(TAKEN_OVER).await?.is_some() {
            return Err(ArchiveError::Conflict(
                "the replica was brought up as a second site: name another storage.replica_url, or none".into(),
            ));
        }
        let failure = archive.copy_packs(replica).await?;
        // Before the segment, which then tells of their end too.
        let gone = archive.gone_packs().await?;
        archive.write_changes(replica).await?;
        archive.let_go(replica, gone).await?;
        match failure {
            Some(failure) => Err(failure),
            None => archive.is_behind().await,
        }
    }
}

impl Archive {
    /// How far the replica has come; `None` if no replica is kept.
    pub async fn replica_status(&self) -> Result<Option<ReplicaStatus>, ArchiveError> {
        let pool = &self.inner.database.pool;
        if self.inner.config.replica_url.is_none() || capture::schema(&self.inner.database).await.is_none() {
            return Ok(None);
        }
        let row = sqlx::query(BEHIND).fetch_one(pool).await?;
        let (packs, bytes, changes): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let oldest = row.try_get::<i64, _>(3)?.min(row.try_get(4)?);
        let lag_milliseconds = now().saturating_sub(oldest).max(0);
        let error = self.inner.state("error").await?.map(|(_, error)| error).unwrap_or_default();
        Ok(Some(ReplicaStatus { packs, bytes, changes, lag_milliseconds, error }))
    }

    /// Forgets what waits for a replica that is no longer kept: until then it piles up in the catalog.
    pub async fn stop_replica(&self) -> Result<(), ArchiveError> {
        capture::end(&self.inner.database).await
    }
}

impl Inner {
    async fn open_replica(&self) -> Result<Replica, ArchiveError> {
        let url = self.config.replica_url.as_deref().unwrap_or_default();
        Objects::in_store(Store::at(url).await?, &self.config).await
    }

    /// Whether anything waits.
    async fn is_behind(&self) -> Result<bool, ArchiveError> {
        Ok(sqlx::query(ANY).bind(self.let_go_due()).fetch_optional(&self.database.pool).await?.is_some())
    }

    /// Packs that lie out of the way at the replica since before this are removed.
    fn let_go_due(&self) -> i64 {
        now().saturating_sub(i64::from(self.config.replica_keep_days).saturating_mul(86_400_000))
    }

    /// Takes the lease if nobody has it, or extends what is ours.
    async fn take_lease(&self, held: Option<()>) -> Result<bool, ArchiveError> {
        let worker = self.packs.folder().display().to_string();
        sqlx::query(FIRST_LEASE).execute(&self.database.pool).await?;
        let free_since = if held.is_some() { 0 } else { now() };
        let statement = sqlx::query(LEASE).bind(now() + LEASE_MILLISECONDS).bind(&worker).bind(free_since);
        Ok(self.database.execute(statement).await?.rows_affected() == 1)
    }

    async fn give_lease(&self) -> Result<(), ArchiveError> {
        let worker = self.packs.folder().display().to_string();
        self.database.execute(sqlx::query(GIVE).bind(worker)).await?;
        Ok(())
    }

    async fn state(&self, name: &str) -> Result<Option<(i64, String)>, ArchiveError> {
        let row = sqlx::query(STATE).bind(name).fetch_optional(&self.database.pool).await?;
        Ok(row.map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?)
    }

    async fn set(&self, name: &str, number: i64, word: &str) -> Result<(), ArchiveError> {
        self.database.execute(sqlx::query(SET).bind(name).bind(number).bind(word)).await?;
        Ok(())
    }
}

const BEHIND: &str = "select (select count(*) from replica_pack),
    (select cast(coalesce(sum(p.byte_len), 0) as bigint) from replica_pack r join pack p on p.object_key = r.object_key),
    (select count(*) from replica_log),
    (select coalesce(min(queued_at), 9000000000000000) from replica_pack),
    (select coalesce((select written_at from replica_log order by id limit 1), 9000000000000000))";

const ANY: &str = "select 1 from replica_state where name = 'schema' and (
    exists (select 1 from replica_pack) or exists (select 1 from replica_log)
    or exists (select 1 from replica_gone where gone_at >= 0 or -gone_at <= $1)
    or not exists (select 1 from replica_state base where base.name = 'base'))";

const FIRST_LEASE: &str = "insert into replica_state (name, number, word) values ('lease', 0, '')
    on conflict (name) do nothing";

const LEASE: &str = "update replica_state set number = $1, word = $2
    where name = 'lease' and (word = $2 or word = '' or number < $3)";

const GIVE: &str = "update replica_state set number = 0, word = '' where name = 'lease' and word = $1";

const STATE: &str = "select number, word from replica_state where name = $1";

pub(crate) const SET: &str = "insert into replica_state (name, number, word) values ($1, $2, $3)
    on conflict (name) do update set number = excluded.number, word = excluded.word";
