//! What must not be read, in memory: a look at it costs a reader of frames nothing.

use crate::{archive::Inner, error::ArchiveError};
use pacs_core::{Tag, query::Level, tags};
use sqlx::Row;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

/// Who keeps the position of the last change of the damage, among those who follow the archive.
pub(super) const MARK: &str = "damage";

/// Refreshed by each process within a second of a change by another.
#[derive(Default)]
pub(crate) struct Quarantine {
    /// How many instances are hidden; as long as it is 0 nobody looks further.
    hidden: AtomicUsize,
    /// Findings that are not mended, those too that hide nothing.
    found: AtomicUsize,
    /// Position of the change that was read last.
    seen: AtomicI64,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    /// Keys of rows.
    keys: HashSet<i64>,
    /// Studies, series and instances that are not whole.
    uids: HashSet<String>,
}

impl Quarantine {
    pub(crate) fn holds(&self, key: i64) -> bool {
        self.hidden.load(Ordering::Acquire) > 0 && self.look(|held| held.keys.contains(&key))
    }

    /// Whether a study, series or instance has something that cannot be read.
    fn touches(&self, uid: &str) -> bool {
        self.hidden.load(Ordering::Acquire) > 0 && self.look(|held| held.uids.contains(uid))
    }

    /// Says in a match that something of it cannot be read (Instance Availability, PS3.4 §C.4.1.1.3.2).
    pub(crate) fn mark(&self, values: &mut BTreeMap<Tag, String>, level: Level) {
        let uid = match level {
            Level::Patient => return,
            Level::Study => tags::STUDY_INSTANCE_UID,
            Level::Series => tags::SERIES_INSTANCE_UID,
            Level::Instance => tags::SOP_INSTANCE_UID,
        };
        if values.get(&uid).is_some_and(|uid| self.touches(uid)) {
            values.insert(tags::INSTANCE_AVAILABILITY, "UNAVAILABLE".to_owned());
        }
    }

    /// Findings that are not mended.
    pub(crate) fn found(&self) -> usize {
        self.found.load(Ordering::Acquire)
    }

    fn look(&self, at: impl FnOnce(&Held) -> bool) -> bool {
        at(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, held: Held, found: usize) {
        let hidden = held.keys.len();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        self.found.store(found, Ordering::Release);
        self.hidden.store(hidden, Ordering::Release);
    }
}

impl Inner {
    /// Learns what this or another process found or mended; one small read where nothing changed.
    pub(crate) async fn refresh_quarantine(&self) -> Result<(), ArchiveError> {
        let pool = &self.database.pool;
        let changed: i64 = match sqlx::query(CHANGED).bind(MARK).fetch_optional(pool).await? {
            Some(row) => row.try_get(0)?,
            None => return Ok(()),
        };
        if changed == self.quarantine.seen.load(Ordering::Acquire) {
            return Ok(());
        }
        let rows = sqlx::query(UNMENDED).fetch_all(pool).await?;
        let mut held = Held::default();
        for row in rows.iter().filter(|row| row.try_get::<i64, _>(1).is_ok_and(|hides| hides == 1)) {
            held.keys.insert(row.try_get(0)?);
            for column in 2..=4 {
                held.uids.insert(row.try_get(column)?);
            }
        }
        held.uids.remove("");
        self.quarantine.put(held, rows.len());
        self.quarantine.seen.store(changed, Ordering::Release);
        Ok(())
    }
}

const CHANGED: &str = "select position from consumer where name = $1";

const UNMENDED: &str = "select instance_key, hides, study, series, sop_instance from damage where mended_at = 0";
