//! Whole packs brought from the store: when somebody asks, or when most of one was read in pieces.

use super::cache::Cache;
use crate::{error::ArchiveError, ingest::blocking, objects::Objects};
use futures::TryStreamExt;
use hashlink::LruCache;
use std::{
    io,
    sync::{Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// Packs that are brought at the same time for those who read pieces of them.
const FETCHES: usize = 2;
/// Packs whose pieces are counted.
const COUNTED: usize = 1024;
/// Who reads less of a pack, in bytes, wants a piece of it and not the whole.
const MUCH: u64 = 1 << 20;

/// How much was read of packs that are not kept near.
pub(crate) struct Misses {
    read: Mutex<LruCache<String, u64>>,
    fetches: Semaphore,
}

impl Default for Misses {
    fn default() -> Self {
        Self { read: Mutex::new(LruCache::new(COUNTED)), fetches: Semaphore::new(FETCHES) }
    }
}

impl Misses {
    /// What was read of a pack so far, if it has just doubled beyond what is much: to be compared with the whole.
    fn add(&self, key: &str, bytes: u64) -> Option<u64> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let before = read.get(key).copied().unwrap_or(0);
        let after = before.saturating_add(bytes);
        read.insert(key.to_owned(), after);
        (after >= MUCH && before.max(MUCH / 2).ilog2() < after.ilog2()).then_some(after)
    }
}

impl Objects {
    /// After bytes of a pack were read from the store. Once half of it was, it is brought whole, in the background.
    pub(crate) fn count_miss(&self, key: &str, bytes: u64) {
        if self.near(key).is_none() {
            return;
        }
        let Some(read) = self.misses.add(key, bytes) else { return };
        let (objects, key) = (self.clone(), key.to_owned());
        tokio::spawn(async move {
            // As many others are under way: this one's turn comes when more of it is read.
            let Ok(_turn) = objects.misses.fetches.try_acquire() else { return };
            let fetched = async {
                match (objects.near(&key), objects.store.len(&key).await?) {
                    (Some(near), Some(len)) if read.saturating_mul(2) >= len => {
                        objects.fetch_into(near, &key, len).await
                    }
                    _ => Ok(0),
                }
            };
            if let Err(error) = fetched.await {
                tracing::debug!(%error, pack = key, "a pack that is much read was not brought near");
            }
        });
    }

    /// Brings a pack near, if it is not; how many bytes were brought.
    pub(crate) async fn fetch(&self, key: &str) -> Result<u64, ArchiveError> {
        let Some(near) = self.near(key) else { return Ok(0) };
        if near.len(key).await.is_some() {
            return Ok(0);
        }
        let missing = || ArchiveError::NotFound(format!("pack {key}"));
        let len = self.store.len(key).await?.ok_or_else(missing)?;
        self.fetch_into(near, key, len).await
    }

    /// `len` is asked for by itself: an answer that was cut short may say that it is all.
    async fn fetch_into(&self, near: &Cache, key: &str, len: u64) -> Result<u64, ArchiveError> {
        let (mut bytes, _) = self.store.stream_whole(key).await?;
        let Some(mut filling) = near.begin(key, len).await else { return Ok(0) };
        while let Some(piece) = bytes.try_next().await? {
            filling = blocking(move || {
                filling.write(&piece)?;
                Ok(filling)
            })
            .await?;
        }
        match blocking(move || Ok(filling.finish(len))).await? {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ArchiveError::Truncated { key: key.to_owned(), expected: len, actual: 0 })
            }
            finished => Ok(finished.map(|()| len)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_looked_at_when_much_was_read_and_then_when_twice_as_much_was() {
        let misses = Misses::default();
        let told: Vec<_> = [MUCH / 2, MUCH / 2, 1000, MUCH, MUCH].map(|bytes| misses.add("a", bytes).is_some()).into();
        assert_eq!(told, [false, true, false, true, false]);
        assert!(misses.add("b", 5 * MUCH).is_some() && misses.add("c", 10).is_none());
    }
}
