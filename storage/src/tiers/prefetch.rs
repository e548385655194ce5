//! Which packs are brought near before somebody asks for their bytes: those of a study that is opened, and of the newest other
//! studies of its patient.

use super::cache::CacheUse;
use crate::{archive::Archive, corrections::PatientKey, error::ArchiveError};
use hashlink::LruCache;
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Other studies of a patient.
const PRIORS: u32 = 3;
/// A study that was opened is not looked at again for so long.
const NOT_AGAIN: Duration = Duration::from_secs(600);
/// Studies whose opening is remembered.
const REMEMBERED: usize = 1024;
/// Studies that wait for their turn; more are not prefetched.
const WAITING: usize = 16;
/// What one opening may bring, in percent of the cache.
const SHARE: u64 = 25;

/// What was brought near.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Prefetched {
    pub packs: u64,
    /// As they are in the store, in bytes.
    pub byte_len: u64,
    /// Packs that were near already.
    pub near: u64,
    /// Packs for which there is no room.
    pub left: u64,
}

/// Studies that were opened a moment ago.
pub(crate) struct Opened {
    when: Mutex<LruCache<Uid, Instant>>,
    waiting: Semaphore,
    turn: Semaphore,
}

impl Default for Opened {
    fn default() -> Self {
        let when = Mutex::new(LruCache::new(REMEMBERED));
        Self { when, waiting: Semaphore::new(WAITING), turn: Semaphore::new(1) }
    }
}

impl Opened {
    /// Whether it was not opened lately.
    fn is_news(&self, study: &Uid, now: Instant) -> bool {
        let mut when = self.when.lock().unwrap_or_else(PoisonError::into_inner);
        if when.get(study).is_some_and(|last| now.saturating_duration_since(*last) < NOT_AGAIN) {
            return false;
        }
        when.insert(study.clone(), now);
        true
    }
}

impl Archive {
    /// Somebody opens a study: its packs, and some earlier ones of its patient, are brought near in the background.
    pub fn opened(&self, study: &Uid) {
        if self.inner.objects.cache().is_none() || !self.inner.opened.is_news(study, Instant::now()) {
            return;
        }
        let (archive, study) = (self.clone(), study.clone());
        tokio::spawn(async move {
            let opened = &archive.inner.opened;
            let Ok(_waiting) = opened.waiting.try_acquire() else { return };
            let Ok(_turn) = opened.turn.acquire().await else { return };
            match archive.prefetch_study(&study).await {
                Ok(Prefetched { packs: 0, .. }) => {}
                Ok(done) => {
                    tracing::debug!(%study, packs = done.packs, bytes = done.byte_len, "packs were brought near")
                }
                Err(error) => tracing::warn!(%error, %study, "bringing the packs of a study near failed"),
            }
        });
    }

    /// Brings the packs of a study near, and those of the newest other studies of its patient, as far as there is room.
    pub async fn prefetch_study(&self, study: &Uid) -> Result<Prefetched, ArchiveError> {
        let pool = &self.inner.database.pool;
        let others = sqlx::query(OTHERS).bind(study.as_str()).bind(i64::from(PRIORS)).fetch_all(pool).await?;
        let mut studies = vec![study.to_string()];
        studies.extend(uids(&others)?);
        self.prefetch(&studies).await
    }

    /// For an order: brings the packs of the newest `studies` studies of a patient near, as far as there is room.
    pub async fn prefetch_priors(&self, patient: &PatientKey, studies: u32) -> Result<Prefetched, ArchiveError> {
        let key = format!("id {}\\{}", patient.issuer, patient.id);
        let statement = sqlx::query(NEWEST).bind(key).bind(i64::from(studies));
        let newest = statement.fetch_all(&self.inner.database.pool).await?;
        self.prefetch(&uids(&newest)?).await
    }

    async fn prefetch(&self, studies: &[String]) -> Result<Prefetched, ArchiveError> {
        let mut done = Prefetched::default();
        let objects = &self.inner.objects;
        let Some(cache) = objects.cache() else { return Ok(done) };
        let room = cache.limit() / 100 * SHARE;
        for study in studies {
            for row in sqlx::query(PACKS).bind(study).fetch_all(&self.inner.database.pool).await? {
                let (key, len): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
                // What is a file of ours is near already.
                let Some(near) = objects.near(&key) else { continue };
                if near.len(&key).await.is_some() {
                    done.near += 1;
                } else if done.byte_len.saturating_add(len.unsigned_abs()) > room {
                    done.left += 1;
                } else {
                    done.byte_len += objects.fetch(&key).await?;
                    done.packs += 1;
                }
            }
        }
        Ok(done)
    }

    /// What is kept near; `None` where nothing is, by configuration or because the store is a folder.
    pub async fn cache_use(&self) -> Result<Option<CacheUse>, ArchiveError> {
        match self.inner.objects.cache() {
            Some(cache) => cache.usage().await.map(Some),
            None => Ok(None),
        }
    }
}

fn uids(rows: &[AnyRow]) -> Result<Vec<String>, sqlx::Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

const OTHERS: &str = "select o.study_instance_uid from study st join study o on o.patient_key = st.patient_key
    where st.study_instance_uid = $1 and o.study_key <> st.study_key
    order by o.study_date_match desc, o.study_key desc limit $2";

const NEWEST: &str = "select study_instance_uid from study where patient_key = $1
    order by study_date_match desc, study_key desc limit $2";

const PACKS: &str = "select p.object_key, p.byte_len from study st join series se on se.study_key = st.study_key
        join pack p on p.series_key = se.series_key
    where st.study_instance_uid = $1 and p.sealed = 1 order by se.series_order, p.pack_key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_news_once_in_a_while() {
        let (opened, study) = (Opened::default(), "1.2.3".parse().expect("a UID"));
        let now = Instant::now();
        let news = [0, 1, 599, 600, 601].map(|seconds| opened.is_news(&study, now + Duration::from_secs(seconds)));
        assert_eq!(news, [true, false, false, true, false]);
    }
}
