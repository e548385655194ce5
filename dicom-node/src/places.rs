//! How many associations there are, in all and of each peer.

use pacs_core::AeTitle;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Associations of all who are not known.
const UNKNOWN: u16 = 16;

/// Places for associations. Clones share them.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Of those who have any; `None`: of all who are not known.
    by_peer: HashMap<Option<AeTitle>, usize>,
}

/// The place of one association, given back when it is dropped.
pub(crate) struct Place {
    places: Places,
    peer: Option<AeTitle>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, taken: Mutex::default() }))
    }

    /// A place for an association of `peer`, which may have `most` at a time; `None` if there is none left. All who are not
    /// known share theirs: their titles are what they choose.
    pub(crate) fn take(&self, peer: Option<&AeTitle>, most: Option<u16>) -> Option<Place> {
        let peer = peer.cloned();
        let most = if peer.is_none() { Some(UNKNOWN) } else { most };
        let mut taken = self.lock();
        let own = taken.by_peer.get(&peer).copied().unwrap_or_default();
        if taken.all >= self.0.most || most.is_some_and(|most| own >= usize::from(most)) {
            return None;
        }
        taken.all += 1;
        taken.by_peer.insert(peer.clone(), own + 1);
        Some(Place { places: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        match taken.by_peer.get_mut(&self.peer) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = taken.by_peer.remove(&self.peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_own_limit_within_that_of_all_and_gives_places_back() {
        let (ct, mr): (AeTitle, AeTitle) = ("CT".parse().unwrap(), "MR".parse().unwrap());
        let places = Places::new(3);
        let first = places.take(Some(&ct), Some(1));
        assert!(first.is_some() && places.take(Some(&ct), Some(1)).is_none());
        let others = [places.take(Some(&mr), None), places.take(Some(&mr), None)];
        assert!(others.iter().all(Option::is_some) && places.take(Some(&mr), None).is_none());
        drop(first);
        assert!(places.take(Some(&ct), Some(1)).is_some());
        drop(others);
        assert!(places.lock().by_peer.is_empty() && places.lock().all == 0);
    }
}
