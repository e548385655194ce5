//! Packs at the replica: copied as they lie in the store, and put out of the way after the archive let them go.

use super::Replica;
use crate::{archive::Inner, backup::copy_object, clock::now, error::ArchiveError};
use futures::{StreamExt, stream};
use sqlx::Row;
use std::sync::Arc;

/// Packs of one round.
const AT_ONCE: i64 = 32;
/// Packs on their way at the same time.
const ON_THE_WAY: usize = 4;
/// Packs that were let go lie here, under names that are no longer those of packs.
const REMOVED: &str = "replica/removed";
const ENDING: &str = ".removed";
/// Bytes at the end of a copy that are compared.
const COMPARED: u64 = 64 << 10;
/// Who finds damage here.
const BY: &str = "replica";

impl Inner {
    /// Copies the packs that wait longest; returns the first failure: others are not kept waiting by it.
    pub(super) async fn copy_packs(self: &Arc<Self>, replica: &Replica) -> Result<Option<ArchiveError>, ArchiveError> {
        let rows = sqlx::query(QUEUED).bind(AT_ONCE).fetch_all(&self.database.pool).await?;
        let keys = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        let copied = stream::iter(keys).map(|key| async move { self.copy_pack(replica, &key).await });
        let mut outcomes = copied.buffer_unordered(ON_THE_WAY);
        let mut failure = None;
        while let Some(outcome) = outcomes.next().await {
            failure = failure.or(outcome.err());
        }
        Ok(failure)
    }

    async fn copy_pack(self: &Arc<Self>, replica: &Replica, key: &str) -> Result<(), ArchiveError> {
        match self.copied(replica, key).await {
            // Let go meanwhile.
            Err(ArchiveError::Store(object_store::Error::NotFound { .. })) if !self.is_pack(key).await? => {}
            copied => {
                copied.inspect_err(|error| tracing::warn!(%error, pack = key, "copying to the replica failed"))?
            }
        }
        self.database.execute(sqlx::query(COPIED).bind(key)).await?;
        Ok(())
    }

    /// Copies a pack, or leaves a copy as it is that came there before: packs never change, so that of two that differ one
    /// is damaged, and it may be ours.
    async fn copied(self: &Arc<Self>, replica: &Replica, key: &str) -> Result<(), ArchiveError> {
        let store = &self.objects.store;
        let (here, there) = (store.len(key).await?, replica.store.len(key).await?);
        if here.is_some() && here == there && self.ends_alike(replica, key, here).await? {
            return Ok(());
        }
        if (here.is_none() || there.is_some()) && self.is_pack(key).await? && !self.is_pack_whole(key, BY).await? {
            tracing::warn!(pack = key, "a damaged pack is not copied to the replica");
            return Ok(());
        }
        let len = copy_object(store, key, &replica.store, key).await?;
        match self.ends_alike(replica, key, Some(len)).await? {
            true => Ok(()),
            // It stays and is looked at again: it may be the answer that was garbled.
            false => Err(ArchiveError::Internal(format!("the copy of {key} is not what was copied"))),
        }
    }

    async fn ends_alike(&self, replica: &Replica, key: &str, len: Option<u64>) -> Result<bool, ArchiveError> {
        let len = len.unwrap_or_default();
        let end = len.saturating_sub(COMPARED)..len;
        let ends =
            [&self.objects.store, &replica.store].map(|store| store.read_ranges(key, std::slice::from_ref(&end)));
        let [here, there] = ends;
        Ok(here.await? == there.await?)
    }

    /// Whether the catalog knows a pack by this key.
    pub(crate) async fn is_pack(&self, key: &str) -> Result<bool, ArchiveError> {
        Ok(sqlx::query(IS_PACK).bind(key).fetch_optional(&self.database.pool).await?.is_some())
    }

    /// What the archive let go and still lies among the packs of the replica.
    pub(super) async fn gone_packs(&self) -> Result<Vec<String>, ArchiveError> {
        let rows = sqlx::query(GONE).bind(AT_ONCE).fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Puts them out of the way, and removes what has lain there long enough. The catalog at the replica must know already.
    pub(super) async fn let_go(&self, replica: &Replica, gone: Vec<String>) -> Result<(), ArchiveError> {
        for key in gone {
            replica.store.rename(&key, &removed(&key)).await?;
            self.database.execute(sqlx::query(PUT_AWAY).bind(&key).bind(now())).await?;
        }
        let due = sqlx::query(DUE).bind(self.let_go_due()).bind(AT_ONCE);
        for row in due.fetch_all(&self.database.pool).await? {
            let key: String = row.try_get(0)?;
            replica.store.remove(&removed(&key)).await?;
            self.database.execute(sqlx::query(FORGET).bind(&key)).await?;
        }
        Ok(())
    }
}

fn removed(key: &str) -> String {
    format!("{REMOVED}/{key}{ENDING}")
}

const QUEUED: &str = "select object_key from replica_pack order by queued_at, object_key limit $1";

const COPIED: &str = "delete from replica_pack where object_key = $1";

const IS_PACK: &str = "select pack_key from pack where object_key = $1";

// A negative time: put away then.
const GONE: &str = "select object_key from replica_gone where gone_at >= 0 limit $1";

const PUT_AWAY: &str = "update replica_gone set gone_at = -$2 where object_key = $1";

const DUE: &str = "select object_key from replica_gone where gone_at < 0 and -gone_at <= $1 limit $2";

const FORGET: &str = "delete from replica_gone where object_key = $1";
