//! The packs of this process: those that grow, and those that wait to be sealed.

use crate::{
    error::ArchiveError,
    objects::Naming,
    pack::{Found, Growing, OpenPack, Record, Slot, Undecided, path_of, scan},
    reserve::Reserve,
    spool::Spool,
};
use pacs_core::Uid;
use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tempfile::NamedTempFile;

/// A pack of so many bytes or instances is full: what is one object must still be moved and compacted in one go.
const FULL_BYTES: u64 = 1 << 30;
const FULL_INSTANCES: u32 = 4096;
/// Packs that grow at the same time; each is an open file.
const OPEN_AT_ONCE: usize = 256;

/// Where an instance was put.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Of the object that its pack will become.
    pub(crate) key: String,
    pub(crate) offset: u64,
    pub(crate) record_len: u64,
    /// Held until the catalog has decided; a pack in the store waits for nothing.
    pub(crate) _undecided: Option<Undecided>,
}

impl Placed {
    /// In a pack that is in the store already.
    pub(crate) fn sealed(key: &str, offset: u64, record_len: u64) -> Self {
        Self { key: key.to_owned(), offset, record_len, _undecided: None }
    }
}

/// What is known of an arrival without asking the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    Unknown,
    /// Its series was new to the catalog a moment ago, and the instance has not come since.
    NewSeries,
    /// The catalog is to be asked whether it holds the instance.
    HeldSeries,
}

/// A pack that an ended process left, and what it holds.
pub(crate) struct Adopted {
    pub(crate) pack: Arc<OpenPack>,
    pub(crate) instances: Vec<Found>,
}

pub(crate) struct Packs {
    // Goes before the spool, whose folder it is in.
    pub(crate) reserve: Reserve,
    spool: Spool,
    naming: Naming,
    state: Mutex<State>,
    /// Packs that were taken over and not yet adopted.
    pub(crate) left: tokio::sync::Mutex<Vec<PathBuf>>,
}

#[derive(Default)]
struct State {
    /// By the folder of the store that they will go to.
    open: HashMap<String, Arc<OpenPack>>,
    /// Closed and not yet sealed.
    waiting: Vec<Arc<OpenPack>>,
}

impl Packs {
    pub(crate) fn open(root: &Path, naming: Naming) -> Result<Self, ArchiveError> {
        let spool = Spool::open(root)?;
        Ok(Self {
            reserve: Reserve::new(spool.folder()),
            spool,
            naming,
            state: Mutex::default(),
            left: Default::default(),
        })
    }

    /// Moves the packs that ended processes left into this spool.
    pub(crate) fn take_over(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        self.spool.take_over()
    }

    /// A pack that was taken over, and what it holds, for the catalog may lack the last of it; `None` if it is empty. It is
    /// not in line for sealing yet. `known`: its key, and where by the catalog its last instance ends: what lies before that
    /// stays, also if it is damaged.
    pub(crate) fn adopt(&self, path: PathBuf, known: Option<(String, u64)>) -> Result<Option<Adopted>, ArchiveError> {
        let found = scan(&mut File::open(&path)?)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (key, end) = match (known, found.instances.first()) {
            (Some((key, end)), _) => (key, end.max(found.end)),
            (None, Some(first)) => (format!("{}/{name}", first.record.facts()?.folder()), found.end),
            (None, None) => {
                std::fs::remove_file(&path)?;
                return Ok(None);
            }
        };
        let pack = Arc::new(OpenPack::adopted(path, key, end)?);
        Ok(Some(Adopted { pack, instances: found.instances }))
    }

    /// Takes an adopted pack into line for sealing: once the catalog has all of it.
    pub(crate) fn queue(&self, pack: Arc<OpenPack>) {
        self.state().waiting.push(pack);
    }

    /// Adds an instance to the open pack of its folder. Durable when this returns.
    pub(crate) fn store(
        &self,
        folder: &str,
        part10: &[u8],
        record: &Record,
        packed: &[u8],
        is_new_series: bool,
    ) -> Result<Placed, ArchiveError> {
        loop {
            let pack = self.pack_of(folder, is_new_series)?;
            // Closed since: the next round finds or makes another.
            if let Some(appended) = pack.append(part10, record, packed)? {
                if let Err(error) = pack.sync(&appended) {
                    self.state().close(folder, &pack);
                    return Err(error.into());
                }
                let (bytes, instances) = pack.size();
                if bytes >= FULL_BYTES || instances >= FULL_INSTANCES {
                    self.state().close(folder, &pack);
                }
                return Ok(placed(&pack, appended.slot, appended.undecided));
            }
        }
    }

    /// What the open pack of a folder tells of an arrival: it knows what came since a series was new to the catalog.
    pub(crate) fn news(&self, folder: &str, sop_instance: &Uid) -> News {
        match self.state().open.get(folder) {
            None => News::Unknown,
            Some(pack) if pack.surely_lacks(sop_instance) => News::NewSeries,
            Some(_) => News::HeldSeries,
        }
    }

    /// An empty file beside the packs, swept after a crash.
    pub(crate) fn scratch(&self) -> Result<NamedTempFile, ArchiveError> {
        Ok(NamedTempFile::new_in(self.spool.folder())?)
    }

    /// Where they grow.
    pub(crate) fn folder(&self) -> &Path {
        self.spool.folder()
    }

    /// What the object of a new pack is called.
    pub(crate) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// A file for a large instance.
    pub(crate) fn grow(&self) -> Result<Growing, ArchiveError> {
        Ok(Growing::create(self.spool.folder())?)
    }

    /// Makes a pack of a large instance. Durable when this returns.
    pub(crate) fn store_large(
        &self,
        folder: &str,
        growing: Growing,
        record: &Record,
        packed: &[u8],
    ) -> Result<Placed, ArchiveError> {
        let (pack, slot) = growing.finish(self.naming.new_key(folder), record, packed)?;
        let placed = placed(&pack, slot, pack.undecided());
        self.state().waiting.push(Arc::new(pack));
        Ok(placed)
    }

    /// Closes the packs that have been idle for as long; returns all that wait to be sealed.
    pub(crate) fn due(&self, quiet: Duration) -> Vec<Arc<OpenPack>> {
        let mut state = self.state();
        let idle: Vec<_> = state
            .open
            .iter()
            .filter(|(_, pack)| pack.idle() >= quiet)
            .map(|(folder, pack)| (folder.clone(), pack.clone()))
            .collect();
        for (folder, pack) in idle {
            state.close(&folder, &pack);
        }
        state.waiting.iter().filter(|pack| pack.idle() >= quiet && pack.is_decided()).cloned().collect()
    }

    /// Forgets a pack that is sealed or gone.
    pub(crate) fn forget(&self, pack: &OpenPack) {
        self.state().waiting.retain(|waiting| waiting.key != pack.key);
    }

    /// Where a pack that is not sealed lies on this machine.
    pub(crate) fn file_of(&self, key: &str) -> std::io::Result<Option<PathBuf>> {
        let path = path_of(self.spool.folder(), key);
        if path.is_file() {
            return Ok(Some(path));
        }
        self.spool.elsewhere(Path::new(path.file_name().unwrap_or_default()))
    }

    fn pack_of(&self, folder: &str, is_new_series: bool) -> Result<Arc<OpenPack>, ArchiveError> {
        let mut state = self.state();
        if let Some(pack) = state.open.get(folder) {
            return Ok(pack.clone());
        }
        if state.open.len() >= OPEN_AT_ONCE {
            state.close_longest_idle();
        }
        let pack = Arc::new(OpenPack::create(self.spool.folder(), self.naming.new_key(folder), is_new_series)?);
        state.open.insert(folder.to_owned(), pack.clone());
        Ok(pack)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn placed(pack: &OpenPack, slot: Slot, undecided: Undecided) -> Placed {
    Placed { key: pack.key.clone(), offset: slot.offset, record_len: slot.record_len, _undecided: Some(undecided) }
}

impl State {
    fn close(&mut self, folder: &str, pack: &Arc<OpenPack>) {
        pack.close();
        if self.open.get(folder).is_some_and(|open| Arc::ptr_eq(open, pack)) {
            self.open.remove(folder);
            self.waiting.push(pack.clone());
        }
    }

    fn close_longest_idle(&mut self) {
        let longest = self.open.iter().max_by_key(|(_, pack)| pack.idle());
        if let Some((folder, pack)) = longest.map(|(folder, pack)| (folder.clone(), pack.clone())) {
            self.close(&folder, &pack);
        }
    }
}
