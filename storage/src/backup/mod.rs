//! Backup: the packs and a portable dump of the catalog, in another folder or bucket; and the way back.
//!
//! | in the backup | what |
//! |---|---|
//! | `packs/…` | objects of packs as they lie in the store, under the same names |
//! | `open/TIME/…` | packs that were in the spool, as far as the dump of this time knows them |
//! | `catalog/TIME.…gz` | the dump, written last: what has one is whole |
//!
//! Dump and open packs are encrypted by the key ring if new packs are. Packs never change, so that a backup needs those
//! only that it lacks, and one that was broken off goes on where it was.

pub(crate) mod catalog;
pub(crate) mod restore;

pub use restore::Restored;

use crate::{
    archive::{Archive, Inner},
    clock::now,
    error::ArchiveError,
    objects::Objects,
    store::Store,
};
use catalog::{Snapshot, SnapshotPack};
use futures::TryStreamExt;
use std::{collections::HashSet, fs::File};

const PACKS: &str = "packs/";
const OPEN: &str = "open/";
const CATALOG: &str = "catalog/";
/// How often a snapshot is taken anew because packs went away while it was copied.
const ATTEMPTS: usize = 5;

/// What a backup did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Packs of the catalog.
    pub packs: u64,
    /// Packs looked at.
    pub done: u64,
    /// Packs that were not in the backup before.
    pub copied: u64,
    pub bytes: u64,
    /// Packs that are in the spool of another machine: back up there too, or again when they are sealed.
    pub elsewhere: Vec<String>,
    /// Packs that the catalog knows and the store lacks.
    pub missing: Vec<String>,
}

impl BackedUp {
    /// Whether everything that the catalog knows is in the backup.
    pub fn is_whole(&self) -> bool {
        self.elsewhere.is_empty() && self.missing.is_empty()
    }
}

/// What became of a pack.
enum Copied {
    New(u64),
    Held,
    Nowhere,
}

impl Archive {
    /// Brings a backup up to date. `to`: a folder, or the URL of a bucket. `progress` hears what was done so far.
    pub async fn backup(&self, to: &str, progress: impl Fn(&BackedUp)) -> Result<BackedUp, ArchiveError> {
        let target = self.inner.backup_at(to).await?;
        let mut held: HashSet<String> = target.store.list().map_ok(|(key, _)| key).try_collect().await?;
        let mut done = BackedUp::default();
        let mut lost_before = None;
        for _ in 0..ATTEMPTS {
            let snapshot = self.inner.snapshot().await?;
            let stamp = format!("{:015}", now());
            (done.packs, done.done) = (snapshot.packs.len() as u64, 0);
            done.elsewhere.clear();
            done.missing.clear();
            for pack in &snapshot.packs {
                match self.inner.back_up_pack(pack, &target, &stamp, &mut held).await? {
                    Copied::New(bytes) => (done.copied, done.bytes) = (done.copied + 1, done.bytes + bytes),
                    Copied::Held => {}
                    Copied::Nowhere if pack.sealed => done.missing.push(pack.key.clone()),
                    Copied::Nowhere => done.elsewhere.push(pack.key.clone()),
                }
                done.done += 1;
                progress(&done);
            }
            // Deleted or made anew since the snapshot: the next one does not know them.
            if done.missing.is_empty() || lost_before.replace(done.missing.clone()).as_ref() == Some(&done.missing) {
                target.put_new(snapshot.file.path(), &target.named(&format!("{CATALOG}{stamp}"), "gz")).await?;
                return Ok(done);
            }
        }
        Err(ArchiveError::Internal(
            "packs went away faster than they could be copied; try again at a quieter time".into(),
        ))
    }

    /// Removes from a backup all but the newest dump and what it needs: what was deleted from the archive is then deleted
    /// there too. Returns how many objects.
    pub async fn prune_backup(&self, of: &str) -> Result<u64, ArchiveError> {
        let target = self.inner.backup_at(of).await?;
        let newest = newest_dump(&target).await?;
        let stamp = stamp_of(&newest).to_owned();
        let needed: HashSet<String> = self.inner.packs_in(&target, &newest).await?.into_iter().collect();
        let mut removed = 0;
        let listed: Vec<String> = target.store.list().map_ok(|(key, _)| key).try_collect().await?;
        for key in listed {
            let is_needed = match (key.strip_prefix(PACKS), key.strip_prefix(OPEN)) {
                (Some(pack), _) => needed.contains(pack),
                (_, Some(open)) => open.starts_with(&stamp),
                _ => !key.starts_with(CATALOG) || key == newest,
            };
            if !is_needed {
                target.remove(&key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Inner {
    async fn backup_at(&self, place: &str) -> Result<Objects, ArchiveError> {
        Objects::in_store(Store::at(place).await?, &self.config).await
    }

    async fn back_up_pack(
        &self,
        pack: &SnapshotPack,
        target: &Objects,
        stamp: &str,
        held: &mut HashSet<String>,
    ) -> Result<Copied, ArchiveError> {
        let copy = format!("{PACKS}{}", pack.key);
        if held.contains(&copy) {
            return Ok(Copied::Held);
        }
        if let (false, Some(path)) = (pack.sealed, self.packs.file_of(&pack.key)?) {
            match File::open(path) {
                Ok(file) => {
                    target.put_start(file, pack.end, &format!("{OPEN}{stamp}/{}", pack.key)).await?;
                    return Ok(Copied::New(pack.end));
                }
                // Sealed since: then it is in the store.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        match copy_object(&self.objects.store, &pack.key, &target.store, &copy).await {
            Ok(bytes) => {
                held.insert(copy);
                Ok(Copied::New(bytes))
            }
            Err(ArchiveError::Store(object_store::Error::NotFound { .. })) => Ok(Copied::Nowhere),
            Err(error) => Err(error),
        }
    }

    async fn snapshot(&self) -> Result<Snapshot, ArchiveError> {
        Snapshot::take(&self.database, self.packs.scratch()?).await
    }
}

/// Copies an object as it is; returns how many bytes.
pub(crate) async fn copy_object(from: &Store, key: &str, to: &Store, copy: &str) -> Result<u64, ArchiveError> {
    let (bytes, len) = from.stream_whole(key).await?;
    to.put_stream(bytes, len, copy).await?;
    match to.len(copy).await? {
        Some(there) if there == len => Ok(len),
        there => {
            to.remove(copy).await?;
            let actual = there.unwrap_or_default();
            Err(ArchiveError::Truncated { key: copy.to_owned(), expected: len, actual })
        }
    }
}

/// The newest dump of a backup.
async fn newest_dump(backup: &Objects) -> Result<String, ArchiveError> {
    let dumps = backup.store.list().map_ok(|(key, _)| key);
    let dumps: Vec<String> = dumps.try_filter(|key| std::future::ready(key.starts_with(CATALOG))).try_collect().await?;
    dumps.into_iter().max().ok_or_else(|| ArchiveError::NotFound("a whole backup of this name".into()))
}

/// The time in the name of a dump.
fn stamp_of(dump: &str) -> &str {
    let name = dump.strip_prefix(CATALOG).unwrap_or(dump);
    name.split('.').next().unwrap_or(name)
}
