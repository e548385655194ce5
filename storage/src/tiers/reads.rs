//! When a study was last read, to the day: for rules that ask.

use crate::{
    archive::Inner,
    audit::{AuditAction, AuditRecord},
    clock::now,
};
use hashlink::LruCache;
use std::sync::{Arc, Mutex, PoisonError};

/// A reading is noted again after so long.
const AGAIN_MILLISECONDS: i64 = 86_400_000 / 2;
/// Studies whose reading is remembered as noted.
const REMEMBERED: usize = 4096;

/// What this process noted a while ago.
pub(crate) struct Reads(Mutex<LruCache<String, i64>>);

impl Default for Reads {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Reads {
    fn is_news(&self, study: &str, now: i64) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.get(study).is_some_and(|at| now.abs_diff(*at) < AGAIN_MILLISECONDS.unsigned_abs()) {
            return false;
        }
        noted.insert(study.to_owned(), now);
        true
    }
}

impl Inner {
    /// Looks at what is written into the audit trail: who reads or exports is told of there, whichever way it is.
    pub(crate) fn note_read(self: &Arc<Self>, record: &AuditRecord) {
        let is_read = matches!(record.action, AuditAction::Read | AuditAction::Export) && record.success;
        let Some(study) = record.study.as_ref().filter(|_| is_read && self.config.cold_url.is_some()) else { return };
        let now = now();
        if !self.reads.is_news(study, now) {
            return;
        }
        // Nobody waits for it, and little is lost with it.
        let (archive, study) = (self.clone(), study.clone());
        tokio::spawn(async move {
            let noted = archive.database.execute(sqlx::query(NOTE).bind(&study).bind(now)).await;
            if let Err(error) = noted {
                tracing::debug!(%error, study, "that a study was read is not noted");
            }
        });
    }
}

const NOTE: &str = "insert into study_read (study_key, read_at)
    select study_key, $2 from study where study_instance_uid = $1
    on conflict (study_key) do update set read_at = excluded.read_at";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_noted_twice_a_day_at_most() {
        let reads = Reads::default();
        let hours = |hours: i64| reads.is_news("1.2", hours * 3_600_000);
        assert_eq!([hours(100), hours(101), hours(111), hours(112), hours(10)], [true, false, false, true, true]);
    }
}
