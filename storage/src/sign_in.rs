//! Back-off of failed sign-ins, per user name and in memory.

use crate::error::ArchiveError;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Typing errors that cost nothing.
const FREE: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Failures older than this are forgotten.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
const NAMES_AT_MOST: usize = 10_000;

struct Attempts {
    count: u32,
    last: Instant,
}

#[derive(Default)]
pub(crate) struct SignIns(Mutex<HashMap<String, Attempts>>);

impl SignIns {
    /// Counts an attempt, to be forgiven on success, or refuses it. Counted before the check, so that parallel guesses
    /// gain nothing.
    pub(crate) fn admit(&self, name: &str) -> Result<(), ArchiveError> {
        self.admit_at(name, Instant::now())
    }

    pub(crate) fn forgive(&self, name: &str) {
        self.lock().remove(name);
    }

    fn admit_at(&self, name: &str, now: Instant) -> Result<(), ArchiveError> {
        let mut names = self.lock();
        if names.len() >= NAMES_AT_MOST {
            names.retain(|_, attempts| now.duration_since(attempts.last) < LONGEST_WAIT);
        }
        if names.len() >= NAMES_AT_MOST {
            return Err(ArchiveError::TooManyAttempts(LONGEST_WAIT.as_secs()));
        }
        let attempts = names.entry(name.to_owned()).or_insert(Attempts { count: 0, last: now });
        let since = now.duration_since(attempts.last);
        if since > REMEMBERED {
            attempts.count = 0;
        }
        let wait = wait_after(attempts.count);
        if since < wait {
            return Err(ArchiveError::TooManyAttempts((wait - since).as_secs() + 1));
        }
        *attempts = Attempts { count: attempts.count + 1, last: now };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Attempts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait_after(attempts: u32) -> Duration {
    match attempts.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(excess) => Duration::from_secs(1 << excess.min(6)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_slows_down_and_success_forgives() {
        let sign_ins = SignIns::default();
        let start = Instant::now();
        for _ in 0..FREE {
            sign_ins.admit_at("admin", start).expect("free attempts");
        }
        assert!(matches!(sign_ins.admit_at("admin", start), Err(ArchiveError::TooManyAttempts(1 | 2))));
        assert!(sign_ins.admit_at("another", start).is_ok());
        let later = start + Duration::from_secs(1);
        assert!(sign_ins.admit_at("admin", later).is_ok());
        assert!(sign_ins.admit_at("admin", later + Duration::from_secs(1)).is_err());
        sign_ins.forgive("admin");
        assert!(sign_ins.admit_at("admin", later).is_ok());
    }

    #[test]
    fn the_wait_is_bounded() {
        assert_eq!(wait_after(4), Duration::ZERO);
        assert_eq!(wait_after(5), Duration::from_secs(1));
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
