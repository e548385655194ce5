//! Room that is kept for getting rid of packs when the disk is full.
//!
//! Sealing writes an index into a pack before the pack may leave the spool, and the catalog grows by it: without a reserve a
//! full disk would stay full for ever.

use rand::RngExt;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Indexes and metadata of the largest packs that are sealed at the same time, and the catalog's log, in bytes.
const LEN: usize = 16 << 20;
const PIECE: usize = 1 << 20;

/// A file that takes up room until room is needed. Nothing is received from then on until it is back.
pub(crate) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been received yet.
    Unneeded,
    Held,
    /// The disk was full.
    Spent,
}

impl Reserve {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("reserve"), state: Mutex::new(State::Unneeded) }
    }

    /// Whether anything may be received: an error of no room, as the disk would give, while the reserve is spent.
    pub(crate) fn admit(&self) -> io::Result<()> {
        if self.is_spent() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(crate) fn is_spent(&self) -> bool {
        *self.state() == State::Spent
    }

    /// Whether [`Self::prepare`] is still to be called.
    pub(crate) fn is_unneeded(&self) -> bool {
        *self.state() == State::Unneeded
    }

    /// Before the first instance is received.
    pub(crate) fn prepare(&self) {
        let mut state = self.state();
        if *state == State::Unneeded {
            *state = self.take();
        }
    }

    /// The disk is full: makes room for sealing.
    pub(crate) fn spend(&self) {
        let mut state = self.state();
        if *state == State::Held {
            tracing::error!("the disk is full; nothing is received until there is room again");
            *state = State::Spent;
            self.remove();
        }
    }

    /// After packs have left the spool: receiving goes on if there is room for the reserve again.
    pub(crate) fn restore(&self) {
        let mut state = self.state();
        if *state == State::Spent {
            *state = self.take();
            if *state == State::Held {
                tracing::info!("there is room again");
            }
        }
    }

    fn take(&self) -> State {
        match fill(&self.path) {
            Ok(()) => State::Held,
            Err(error) => {
                tracing::warn!(%error, "there is no room for the reserve of the spool");
                self.remove();
                State::Spent
            }
        }
    }

    fn remove(&self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the reserve of the spool cannot be removed");
            }
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What a file system could compress away would hold no room.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    let mut piece = vec![0; PIECE];
    for _ in 0..LEN / PIECE {
        rand::rng().fill(&mut piece[..]);
        file.write_all(&piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_reserve_keeps_the_door_shut_until_it_is_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let reserve = Reserve::new(folder.path());
        let held = || folder.path().join("reserve").metadata().map(|file| file.len()).ok();
        reserve.restore();
        assert_eq!((held(), reserve.is_unneeded()), (None, true));
        reserve.prepare();
        reserve.admit().expect("room");
        assert_eq!(held(), Some(LEN as u64));
        reserve.spend();
        assert_eq!(held(), None);
        assert_eq!(reserve.admit().expect_err("spent").kind(), io::ErrorKind::StorageFull);
        reserve.restore();
        reserve.admit().expect("room again");
        drop(reserve);
        assert_eq!(held(), None);
    }
}
