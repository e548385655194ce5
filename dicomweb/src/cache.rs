//! A small map that forgets: the least recently used beyond its capacity, and everything after a while.
//!
//! Capacity is of entries, or of what they weigh together.

use hashlink::LruCache;
use std::{
    borrow::Borrow,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub struct Cache<K, V> {
    entries: Mutex<Entries<K, V>>,
    keep: Duration,
    weight: fn(&V) -> usize,
}

struct Entries<K, V> {
    map: LruCache<K, (Instant, V)>,
    capacity: usize,
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds `capacity` entries, each for `keep` after it was put.
    pub fn new(capacity: usize, keep: Duration) -> Self {
        Self::weighing(capacity, keep, |_| 1)
    }

    /// Holds entries of `capacity` together, each for `keep` after it was put.
    pub fn weighing(capacity: usize, keep: Duration, weight: fn(&V) -> usize) -> Self {
        let entries = Entries { map: LruCache::new_unbounded(), capacity, weight: 0 };
        Self { entries: Mutex::new(entries), keep, weight }
    }

    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.lock().map.get(key).filter(|(since, _)| since.elapsed() < self.keep).map(|(_, value)| value.clone())
    }

    /// What is too heavy for all of the capacity is not kept.
    pub fn put(&self, key: K, value: V) {
        let own = (self.weight)(&value);
        let mut entries = self.lock();
        if own > entries.capacity {
            return;
        }
        entries.weight += own;
        let replaced = entries.map.insert(key, (Instant::now(), value));
        entries.weight -= replaced.map_or(0, |(_, value)| (self.weight)(&value));
        while entries.weight > entries.capacity
            && let Some((_, (_, oldest))) = entries.map.remove_lru()
        {
            entries.weight -= (self.weight)(&oldest);
        }
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut entries = self.lock();
        let removed = entries.map.remove(key);
        entries.weight -= removed.map_or(0, |(_, value)| (self.weight)(&value));
    }

    // Nothing runs under the lock that can panic half way, so a poisoned map is sound.
    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = Cache::new(2, Duration::from_secs(60));
        cache.put("a", 1);
        cache.put("b", 2);
        assert_eq!(cache.get("a"), Some(1));
        cache.put("c", 3);
        assert_eq!((cache.get("a"), cache.get("b"), cache.get("c")), (Some(1), None, Some(3)));
    }

    #[test]
    fn what_is_heavy_takes_the_place_of_much_that_is_not() {
        let cache = Cache::weighing(10, Duration::from_secs(60), Vec::len);
        for key in 0..5 {
            cache.put(key, vec![0; 2]);
        }
        cache.put(5, vec![0; 5]);
        let held = |range: std::ops::Range<i32>| range.filter(|key| cache.get(key).is_some()).collect::<Vec<_>>();
        assert_eq!(held(0..6), [3, 4, 5]);
        cache.put(6, vec![0; 11]);
        cache.put(5, vec![0; 1]);
        cache.remove(&4);
        cache.put(7, vec![0; 7]);
        assert_eq!(held(0..8), [3, 5, 7]);
    }

    #[test]
    fn an_entry_is_forgotten_in_time() {
        let cache = Cache::new(2, Duration::ZERO);
        cache.put("a", 1);
        assert_eq!(cache.get("a"), None);
    }
}
