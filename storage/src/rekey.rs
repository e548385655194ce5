//! After a change of keys or cipher: packs are encrypted again, and what each key is needed for is told.
//!
//! The name of an object tells how it is encrypted, so that what is left to do is known from the catalog alone, and a
//! rekeying that was broken off goes on where it was.

use crate::{
    archive::{Archive, Inner},
    encryption::Lock,
    error::ArchiveError,
};
use sqlx::Row;
use std::{collections::BTreeMap, sync::Arc};

/// Rows looked at in one go.
const PAGE: i64 = 500;

/// What a rekeying did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Packs that were encrypted otherwise than new ones are.
    pub due: u64,
    /// Of these, how many are now as new ones.
    pub packs: u64,
    pub bytes: u64,
    /// Packs that stay as they are, with the reason.
    pub failed: Vec<String>,
}

/// The packs that are encrypted alike, and what is in quarantine.
#[derive(Debug)]
pub struct KeyUse {
    /// `KEY.CIPHER`; `None`: plain.
    pub lock: Option<String>,
    /// Whether new packs are encrypted like this.
    pub is_for_new: bool,
    pub packs: u64,
    /// Whether one of them can be opened.
    pub opened: Result<(), ArchiveError>,
}

impl Archive {
    /// Encrypts again, by the first key, all packs in the store that are not; beside running servers, which must have the key
    /// too. `progress` hears what was done so far.
    pub async fn rekey(&self, progress: impl Fn(&Rekeyed)) -> Result<Rekeyed, ArchiveError> {
        let naming = self.inner.packs.naming();
        let due: Vec<_> = self.inner.sealed_packs().await?.into_iter().filter(|key| !naming.fits(key)).collect();
        let mut done = Rekeyed { due: due.len() as u64, ..Rekeyed::default() };
        for key in due {
            match self.inner.rekey(&key).await {
                Ok(bytes) => {
                    done.packs += 1;
                    done.bytes += bytes;
                }
                Err(error) => done.failed.push(format!("{key}: {error}")),
            }
            progress(&done);
        }
        self.inner.rekey_corrections().await?;
        self.inner.rekey_holds().await?;
        self.rekey_quarantined().await?;
        self.remove_doomed_objects().await?;
        Ok(done)
    }

    /// How new packs are encrypted, as `KEY.CIPHER`; `None`: they are plain.
    pub fn new_packs_lock(&self) -> Option<String> {
        self.inner.objects.lock().map(Lock::to_string)
    }

    /// How the packs in the store are encrypted, and whether the key ring opens them.
    pub async fn key_uses(&self) -> Result<Vec<KeyUse>, ArchiveError> {
        let mut packs: BTreeMap<Option<Lock>, (u64, String)> = BTreeMap::new();
        for key in self.inner.sealed_packs().await?.into_iter().chain(self.inner.quarantined_objects().await?) {
            let (count, newest) = packs.entry(Lock::of(&key)).or_default();
            *count += 1;
            *newest = key;
        }
        let mut uses = Vec::with_capacity(packs.len());
        for (lock, (packs, newest)) in packs {
            let opened = self.inner.objects.len(&newest).await;
            uses.push(KeyUse {
                is_for_new: lock.as_ref() == self.inner.objects.lock(),
                lock: lock.map(|lock| lock.to_string()),
                packs,
                opened: opened.map(|_| ()),
            });
        }
        Ok(uses)
    }
}

impl Inner {
    /// Objects of all packs in the store, oldest first.
    async fn sealed_packs(&self) -> Result<Vec<String>, ArchiveError> {
        let mut keys = Vec::new();
        let mut after = 0_i64;
        loop {
            let rows = sqlx::query(SEALED_PACKS).bind(after).bind(PAGE).fetch_all(&self.database.pool).await?;
            let Some(last) = rows.last() else { return Ok(keys) };
            after = last.try_get(0)?;
            for row in &rows {
                keys.push(row.try_get(1)?);
            }
        }
    }

    async fn quarantined_objects(&self) -> Result<Vec<String>, ArchiveError> {
        let rows = sqlx::query(QUARANTINED).fetch_all(&self.database.pool).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    async fn rekey(self: &Arc<Self>, key: &str) -> Result<u64, ArchiveError> {
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.relocate(key, &self.packs.naming().new_key(folder)).await
    }
}

const SEALED_PACKS: &str = "select pack_key, object_key from pack where sealed = 1 and pack_key > $1
    order by pack_key limit $2";

const QUARANTINED: &str = "select object_key from stranger order by stranger_key";
