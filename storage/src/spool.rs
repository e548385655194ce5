//! Where packs grow: a folder for each running process.
//!
//! A locked file beside the folder tells that its process lives; the lock goes with the process, however it ends. The next
//! process that starts on this machine takes over what it left.

use crate::error::ArchiveError;
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

/// Packs, whole or torn, end in this; everything else in a spool is a large instance that was not finished.
pub(crate) const PACK: &str = "tar";

/// This process' part of the spool.
pub(crate) struct Spool {
    root: PathBuf,
    folder: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Spool {
    /// Makes a folder below `root`.
    pub(crate) fn open(root: &Path) -> Result<Self, ArchiveError> {
        std::fs::create_dir_all(root)?;
        Self::make(root)
    }

    /// Moves the packs of processes that are gone here; returns where they are now.
    pub(crate) fn take_over(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        let mut moved = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let lock = entry?.path();
            if lock.extension().is_some_and(|extension| extension == "lock") && lock != self.lock {
                moved.extend(self.take_over_from(&lock)?);
            }
        }
        Ok(moved)
    }

    fn make(root: &Path) -> Result<Self, ArchiveError> {
        loop {
            let folder = root.join(format!("{:016x}", rand::random::<u64>()));
            let lock = folder.with_extension("lock");
            let held = File::create_new(&lock)?;
            // Another process that starts now may sweep the file between its making and its locking.
            if held.try_lock().is_ok() && lock.exists() {
                std::fs::create_dir(&folder)?;
                return Ok(Self { root: root.to_owned(), folder, lock, _held: held });
            }
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A pack in the spool of another process on this machine.
    pub(crate) fn elsewhere(&self, name: &Path) -> std::io::Result<Option<PathBuf>> {
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path().join(name);
            if path.is_file() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn take_over_from(&self, lock: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
        match File::open(lock).map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), _held)) => self.inherit(lock),
            Ok((Err(TryLockError::WouldBlock), _)) => Ok(Vec::new()),
            Ok((Err(TryLockError::Error(error)), _)) => Err(error.into()),
            // Another process was first.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn inherit(&self, lock: &Path) -> Result<Vec<PathBuf>, ArchiveError> {
        let folder = lock.with_extension("");
        let mut moved = Vec::new();
        if folder.is_dir() {
            for pack in packs(&folder)? {
                let here = self.folder.join(pack.file_name().unwrap_or_default());
                std::fs::rename(&pack, &here)?;
                moved.push(here);
            }
            crate::store::sync_folder(&self.folder)?;
            std::fs::remove_dir_all(&folder)?;
            tracing::info!(packs = moved.len(), "took over the spool of an ended process");
        }
        std::fs::remove_file(lock)?;
        Ok(moved)
    }
}

fn packs(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let paths = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    paths.filter(|path| path.as_ref().map_or(true, |p| p.extension().is_some_and(|e| e == PACK))).collect()
}

impl Drop for Spool {
    fn drop(&mut self) {
        // With packs in it the folder stays, and its lock file tells the next process to take over.
        if std::fs::remove_dir(&self.folder).is_ok() {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packs_of_a_dead_process_move_and_a_living_one_keeps_its_own() {
        let root = tempfile::tempdir().expect("a folder");
        let living = Spool::open(root.path()).expect("a spool");
        std::fs::write(living.folder().join("a.tar"), "mine").expect("a file");
        let dead = root.path().join("0123456789abcdef");
        std::fs::create_dir(&dead).expect("a folder");
        std::fs::write(dead.join("b.tar"), "a pack").expect("a file");
        std::fs::write(dead.join("half"), "half an instance").expect("a file");
        std::fs::write(dead.with_extension("lock"), "").expect("a file");
        let other = Spool::open(root.path()).expect("a second spool");
        assert_eq!(other.take_over().expect("a take-over"), [other.folder().join("b.tar")]);
        assert!(other.take_over().expect("nothing more").is_empty());
        assert_eq!(packs(living.folder()).expect("a list"), [living.folder().join("a.tar")]);
        assert_eq!(other.elsewhere(Path::new("a.tar")).expect("a look"), Some(living.folder().join("a.tar")));
        assert!(!dead.exists() && !dead.with_extension("lock").exists());
        std::fs::remove_file(living.folder().join("a.tar")).expect("removed");
        drop((living, other));
        // What still has a pack waits for the next process.
        assert_eq!(Spool::open(root.path()).and_then(|third| third.take_over()).expect("a list").len(), 1);
    }
}
