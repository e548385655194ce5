//! A small map that forgets: the least recently used beyond its capacity, and everything after a while.

use hashlink::LruCache;
use std::{
    borrow::Borrow,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub struct Cache<K, V> {
    entries: Mutex<LruCache<K, (Instant, V)>>,
    keep: Duration,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds `capacity` entries, each for `keep` after it was put.
    pub fn new(capacity: usize, keep: Duration) -> Self {
        Self { entries: Mutex::new(LruCache::new(capacity)), keep }
    }

    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.lock().get(key).filter(|(since, _)| since.elapsed() < self.keep).map(|(_, value)| value.clone())
    }

    pub fn put(&self, key: K, value: V) {
        self.lock().insert(key, (Instant::now(), value));
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.lock().remove(key);
    }

    // Nothing runs under the lock that can panic half way, so a poisoned map is sound.
    fn lock(&self) -> MutexGuard<'_, LruCache<K, (Instant, V)>> {
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
    fn an_entry_is_forgotten_in_time() {
        let cache = Cache::new(2, Duration::ZERO);
        cache.put("a", 1);
        assert_eq!(cache.get("a"), None);
    }
}
