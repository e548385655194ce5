//! Back-off of failed sign-ins, in memory: per user name and network, and far more widely per user name.
//!
//! Whoever guesses from one network slows down himself and nobody else: with the right password the same user gets in
//! from another. Guesses from many networks share the wide limit of the name.

use crate::error::ArchiveError;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Typing errors that cost nothing.
const FREE: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Failures older than this are forgotten.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);
/// Attempts for one name from everywhere that may come at once, and how often one more may. A guesser on one network,
/// at one a [`LONGEST_WAIT`], never uses them up.
const BURST: f64 = 100.0;
const SECONDS_EACH: f64 = 6.0;
/// Names, and pairs of name and network, that are kept in mind. Beyond, the one that has rested longest is forgotten:
/// checking that many passwords takes longer than the waits that are gained.
const KEPT: usize = 10_000;

#[derive(Default)]
pub(crate) struct SignIns(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_network: HashMap<(String, String), Attempts>,
    by_name: HashMap<String, Budget>,
}

struct Attempts {
    count: u32,
    last: Instant,
}

/// What is left of [`BURST`], at a time.
struct Budget {
    left: f64,
    at: Instant,
}

impl SignIns {
    /// Counts an attempt from an address, to be forgiven on success, or refuses it. Counted before the check, so that
    /// parallel guesses gain nothing.
    pub(crate) fn admit(&self, name: &str, address: &str) -> Result<(), ArchiveError> {
        self.admit_at(name, address, Instant::now())
    }

    /// After a success: what failed before from that network was typing.
    pub(crate) fn forgive(&self, name: &str, address: &str) {
        let mut table = self.lock();
        table.by_network.remove(&(name.to_owned(), network(address)));
        if let Some(budget) = table.by_name.get_mut(name) {
            budget.left = (budget.left + 1.0).min(BURST);
        }
    }

    /// After a change of password: nothing that was guessed counts.
    pub(crate) fn forget(&self, name: &str) {
        let mut table = self.lock();
        table.by_network.retain(|(of, _), _| of != name);
        table.by_name.remove(name);
    }

    fn admit_at(&self, name: &str, address: &str, now: Instant) -> Result<(), ArchiveError> {
        let mut table = self.lock();
        let Table { by_network, by_name } = &mut *table;
        let pair = (name.to_owned(), network(address));
        let count = match by_network.get(&pair) {
            Some(attempts) => attempts.admit(now)?,
            None => 0,
        };
        let left = by_name.get(name).map_or(BURST, |budget| budget.at(now));
        if left < 1.0 {
            return Err(ArchiveError::TooManyAttempts(SECONDS_EACH as u64));
        }
        make_room(by_network, |attempts| attempts.last);
        make_room(by_name, |budget| budget.at);
        by_network.insert(pair, Attempts { count: count + 1, last: now });
        by_name.insert(name.to_owned(), Budget { left: left - 1.0, at: now });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts {
    /// How many attempts count still, if one more may be made now.
    fn admit(&self, now: Instant) -> Result<u32, ArchiveError> {
        let since = now.saturating_duration_since(self.last);
        let count = if since > REMEMBERED { 0 } else { self.count };
        let wait = wait_after(count);
        if since < wait {
            return Err(ArchiveError::TooManyAttempts((wait - since).as_secs() + 1));
        }
        Ok(count)
    }
}

impl Budget {
    fn at(&self, now: Instant) -> f64 {
        (self.left + now.saturating_duration_since(self.at).as_secs_f64() / SECONDS_EACH).min(BURST)
    }
}

fn make_room<K: Clone + Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, last: impl Fn(&V) -> Instant) {
    if map.len() >= KEPT
        && let Some(oldest) = map.iter().min_by_key(|(_, value)| last(value)).map(|(key, _)| key.clone())
    {
        map.remove(&oldest);
    }
}

/// What one party holds of the address space: an IPv6 /64 is one (RFC 6177). Text that is no address is its own.
fn network(address: &str) -> String {
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).to_string(),
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
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

    const HERE: &str = "10.0.0.1";

    #[test]
    fn guessing_slows_down_and_success_forgives() {
        let sign_ins = SignIns::default();
        let start = Instant::now();
        for _ in 0..FREE {
            sign_ins.admit_at("admin", HERE, start).expect("free attempts");
        }
        assert!(matches!(sign_ins.admit_at("admin", HERE, start), Err(ArchiveError::TooManyAttempts(1 | 2))));
        assert!(sign_ins.admit_at("another", HERE, start).is_ok());
        let later = start + Duration::from_secs(1);
        assert!(sign_ins.admit_at("admin", HERE, later).is_ok());
        assert!(sign_ins.admit_at("admin", HERE, later + Duration::from_secs(1)).is_err());
        sign_ins.forgive("admin", HERE);
        assert!(sign_ins.admit_at("admin", HERE, later).is_ok());
    }

    #[test]
    fn a_guesser_keeps_nobody_out_who_comes_from_elsewhere() {
        let sign_ins = SignIns::default();
        let start = Instant::now();
        // A day of guesses, as fast as they are let in.
        let mut guesses = 0;
        for second in 0..86_400 {
            guesses += u32::from(sign_ins.admit_at("admin", HERE, start + Duration::from_secs(second)).is_ok());
        }
        assert!((1000..2000).contains(&guesses), "{guesses}");
        let now = start + Duration::from_secs(86_400);
        assert!(sign_ins.admit_at("admin", "10.0.0.2", now).is_ok());
        assert!(sign_ins.admit_at("admin", "::ffff:10.0.0.3", now).is_ok());
    }

    #[test]
    fn guesses_from_many_networks_share_a_wide_limit_until_the_password_changes() {
        let sign_ins = SignIns::default();
        let start = Instant::now();
        let from = |n: u32| format!("2001:db8:0:{n:x}::1");
        let admitted = (0..1000).filter(|&n| sign_ins.admit_at("admin", &from(n), start).is_ok()).count();
        assert_eq!(admitted, BURST as usize);
        assert!(sign_ins.admit_at("another", &from(1000), start).is_ok());
        assert!(sign_ins.admit_at("admin", &from(1000), start + Duration::from_secs(7)).is_ok());
        assert!(sign_ins.admit_at("admin", &from(1001), start + Duration::from_secs(7)).is_err());
        sign_ins.forget("admin");
        assert!(sign_ins.admit_at("admin", &from(1001), start + Duration::from_secs(7)).is_ok());
    }

    #[test]
    fn one_party_is_one_network() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(network("unknown"), "unknown");
    }

    #[test]
    fn made_up_names_neither_fill_the_memory_nor_keep_others_out() {
        let sign_ins = SignIns::default();
        let start = Instant::now();
        for n in 0..KEPT + 50 {
            let now = start + Duration::from_millis(n as u64);
            assert!(sign_ins.admit_at(&n.to_string(), HERE, now).is_ok(), "{n}");
        }
        let table = sign_ins.lock();
        assert!(table.by_name.len() <= KEPT && table.by_network.len() <= KEPT);
    }

    #[test]
    fn the_wait_is_bounded() {
        assert_eq!(wait_after(4), Duration::ZERO);
        assert_eq!(wait_after(5), Duration::from_secs(1));
        assert_eq!(wait_after(u32::MAX), LONGEST_WAIT);
    }
}
