//! Where instances gather before they are whole: a folder for each running process.
//!
//! A locked file beside the folder tells that its process lives; the lock goes with the process, however it ends.

use crate::error::ArchiveError;
use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// This process' part of the spool; removed when dropped.
pub(crate) struct Spool {
    folder: PathBuf,
    lock: PathBuf,
    _held: File,
}

impl Spool {
    /// Makes a folder below `root`; removes those whose processes are gone.
    pub(crate) fn open(root: &Path) -> Result<Self, ArchiveError> {
        std::fs::create_dir_all(root)?;
        sweep(root)?;
        loop {
            let folder = root.join(format!("{:016x}", rand::random::<u64>()));
            let lock = folder.with_extension("lock");
            let held = File::create_new(&lock)?;
            // Another process that starts now may sweep the file between its making and its locking.
            if held.try_lock().is_ok() && lock.exists() {
                std::fs::create_dir(&folder)?;
                return Ok(Self { folder, lock, _held: held });
            }
        }
    }

    pub(crate) fn new_file(&self) -> Result<NamedTempFile, ArchiveError> {
        Ok(NamedTempFile::new_in(&self.folder)?)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(&self.lock);
    }
}

fn sweep(root: &Path) -> Result<(), ArchiveError> {
    for entry in std::fs::read_dir(root)? {
        let lock = entry?.path();
        if lock.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        match File::open(&lock).map(|file| (file.try_lock(), file)) {
            Ok((Ok(()), _held)) => remove(&lock)?,
            Ok((Err(TryLockError::WouldBlock), _)) => {}
            Ok((Err(TryLockError::Error(error)), _)) => return Err(error.into()),
            // Another process swept it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn remove(lock: &Path) -> Result<(), ArchiveError> {
    let folder = lock.with_extension("");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
        tracing::info!("spool of an ended process removed");
    }
    Ok(std::fs::remove_file(lock)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_of_a_living_process_stays_and_a_dead_one_s_goes() {
        let root = tempfile::tempdir().expect("a folder");
        let living = Spool::open(root.path()).expect("a spool");
        let file = living.new_file().expect("a file");
        let dead = root.path().join("0123456789abcdef");
        std::fs::create_dir(&dead).expect("a folder");
        std::fs::write(dead.join("half"), "half an instance").expect("a file");
        std::fs::write(dead.with_extension("lock"), "").expect("a file");
        let other = Spool::open(root.path()).expect("a second spool");
        assert!(file.path().exists());
        assert!(!dead.exists() && !dead.with_extension("lock").exists());
        drop((file, living, other));
        assert_eq!(std::fs::read_dir(root.path()).expect("a folder").count(), 0);
    }
}
