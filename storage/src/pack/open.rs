//! A pack that grows in the spool.

use super::{
    BLOCK, Record, header, padding, record_offset,
    seal::{Footer, Kept, seal},
};
use crate::{error::ArchiveError, store::sync_folder};
use pacs_core::Uid;
use std::{
    collections::HashSet,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::NamedTempFile;

/// Where an instance lies in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Of the Part 10 file.
    pub(crate) offset: u64,
    /// Of its packed record.
    pub(crate) record_len: u64,
    /// Where the next entry starts.
    end: u64,
}

/// A pack in the spool, open for more until it is closed.
pub(crate) struct OpenPack {
    /// The object it will become.
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    /// The catalog knew nothing of the series when the pack was made.
    is_new_series: bool,
    tail: Mutex<Tail>,
    synced: Mutex<Synced>,
    /// Instances of which the catalog has not decided yet.
    undecided: Arc<AtomicUsize>,
}

/// An instance in a pack that the catalog has not decided about; the pack is not sealed meanwhile.
#[derive(Debug)]
pub(crate) struct Undecided(Arc<AtomicUsize>);

impl Undecided {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An instance that was written, and is not yet durable.
pub(crate) struct Appended {
    pub(crate) slot: Slot,
    pub(crate) undecided: Undecided,
    file: Arc<File>,
}

struct Tail {
    end: u64,
    instances: u32,
    /// `None` when closed: thousands of packs may wait to be sealed, more than there may be open files.
    file: Option<Arc<File>>,
    last: Instant,
    /// Hashes of the SOP Instance UIDs in it.
    uids: HashSet<u64>,
}

/// How much of the file is on stable storage.
#[derive(Default)]
struct Synced {
    end: u64,
    /// A sync failed. The system may have let go of what it could not write, and tells that but once: no later sync says
    /// anything about it.
    is_broken: bool,
}

impl OpenPack {
    /// Makes an empty pack; its name is durable when this returns.
    pub(crate) fn create(folder: &Path, key: String, is_new_series: bool) -> io::Result<Self> {
        let path = path_of(folder, &key);
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        sync_folder(folder)?;
        let mut pack = Self::around(key, path, Some(file), 0);
        pack.is_new_series = is_new_series;
        Ok(pack)
    }

    /// A whole pack that an ended process left in the spool.
    pub(crate) fn adopted(path: PathBuf, key: String, end: u64) -> io::Result<Self> {
        // What is behind the last whole instance was never acknowledged, or is a footer that will be written again.
        File::options().write(true).open(&path)?.set_len(end)?;
        Ok(Self::around(key, path, None, end))
    }

    /// Closed without a file.
    fn around(key: String, path: PathBuf, file: Option<File>, end: u64) -> Self {
        let tail = Tail { end, instances: 0, file: file.map(Arc::new), last: Instant::now(), uids: HashSet::new() };
        Self {
            key,
            path,
            is_new_series: false,
            tail: Mutex::new(tail),
            synced: Mutex::default(),
            undecided: Arc::default(),
        }
    }

    /// Adds an instance; `None` if the pack was closed meanwhile. Not yet durable: [`Self::sync`] makes it so.
    pub(crate) fn append(&self, part10: &[u8], record: &Record, packed: &[u8]) -> io::Result<Option<Appended>> {
        let mut tail = self.tail();
        let Some(file) = tail.file.clone() else { return Ok(None) };
        let undecided = Undecided::new(&self.undecided);
        let slot = slot(tail.end + BLOCK, record.byte_len, packed);
        if let Err(error) = write(&file, tail.end, tail.instances + 1, part10, record, packed) {
            // Half an instance behind the end would hide the next one from a reader of the TAR.
            file.set_len(tail.end)?;
            return Err(error);
        }
        tail.end = slot.end;
        tail.instances += 1;
        tail.last = Instant::now();
        tail.uids.insert(hash(&record.sop_instance));
        Ok(Some(Appended { slot, undecided, file }))
    }

    /// Returns when everything up to this one is on stable storage; one sync serves all who wait for it. After a failure the
    /// pack is closed, and all who wait fail.
    pub(crate) fn sync(&self, Appended { slot, file, .. }: &Appended) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.end >= slot.end {
            return Ok(());
        }
        if synced.is_broken {
            return Err(io::Error::other("an earlier sync of the pack failed"));
        }
        let end = self.tail().end;
        if let Err(error) = file.sync_data() {
            synced.is_broken = true;
            self.close();
            return Err(error);
        }
        synced.end = end;
        Ok(())
    }

    /// No more goes in.
    pub(crate) fn close(&self) {
        self.tail().file = None;
    }

    /// Ends the closed pack as [`seal`] does; one at a time, for one that was broken off may still be at work.
    pub(crate) fn seal(&self, kept: &[Kept]) -> Result<Footer, ArchiveError> {
        let _alone = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        seal(&self.path, kept)
    }

    /// Bytes and instances so far.
    pub(crate) fn size(&self) -> (u64, u32) {
        let tail = self.tail();
        (tail.end, tail.instances)
    }

    /// Whether its series cannot hold an instance of this UID. `false` may be wrong, `true` only if another process writes to
    /// the same new series.
    pub(crate) fn surely_lacks(&self, sop_instance: &Uid) -> bool {
        self.is_new_series && !self.tail().uids.contains(&hash(sop_instance))
    }

    /// Another one in it that the catalog is to decide about.
    pub(crate) fn undecided(&self) -> Undecided {
        Undecided::new(&self.undecided)
    }

    /// Whether the catalog has decided about all in it.
    pub(crate) fn is_decided(&self) -> bool {
        self.undecided.load(Ordering::SeqCst) == 0
    }

    /// How long nothing has come.
    pub(crate) fn idle(&self) -> Duration {
        self.tail().last.elapsed()
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A large instance on its way in: it becomes a pack of its own, so that its bytes are written once.
pub(crate) struct Growing {
    file: NamedTempFile,
    folder: PathBuf,
}

impl Growing {
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let mut file = NamedTempFile::new_in(folder)?;
        // Room for the header, which needs the name.
        file.write_all(&[0; BLOCK as usize])?;
        Ok(Self { file, folder: folder.to_owned() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// The Part 10 file starts here in it.
    const OFFSET: u64 = BLOCK;

    /// The Part 10 file as a file of its own, at its start.
    pub(crate) fn part10(&mut self) -> io::Result<impl Read + Seek> {
        let mut part10 = Behind { file: self.file.as_file_mut(), start: Self::OFFSET };
        part10.rewind()?;
        Ok(part10)
    }

    /// Makes a closed pack of it, durable when this returns.
    pub(crate) fn finish(
        mut self,
        key: String,
        record: &Record,
        packed: &[u8],
    ) -> Result<(OpenPack, Slot), ArchiveError> {
        let slot = slot(Self::OFFSET, record.byte_len, packed);
        self.file.seek(SeekFrom::Start(Self::OFFSET + record.byte_len))?;
        self.file.write_all(&record_entry(1, record, packed)?)?;
        self.file.rewind()?;
        self.file.write_all(&header(&name(1, record, "dcm"), record.byte_len)?)?;
        self.file.as_file().sync_all()?;
        let path = path_of(&self.folder, &key);
        self.file.persist(&path).map_err(|e| e.error)?;
        sync_folder(&self.folder)?;
        Ok((OpenPack::around(key, path, None, slot.end), slot))
    }
}

/// A file without its first bytes.
struct Behind<'a> {
    file: &'a mut File,
    start: u64,
}

impl Read for Behind<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for Behind<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => SeekFrom::Start(at.saturating_add(self.start)),
            other => other,
        };
        let at = self.file.seek(to)?;
        at.checked_sub(self.start).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

/// A pack's file in the spool is named as its object, without the folders.
pub(crate) fn path_of(folder: &Path, key: &str) -> PathBuf {
    folder.join(key.rsplit('/').next().unwrap_or(key))
}

fn hash(uid: &Uid) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    hasher.finish()
}

fn write(mut file: &File, at: u64, number: u32, part10: &[u8], record: &Record, packed: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&header(&name(number, record, "dcm"), record.byte_len)?)?;
    file.write_all(part10)?;
    file.write_all(&record_entry(number, record, packed)?)
}

fn slot(offset: u64, byte_len: u64, packed: &[u8]) -> Slot {
    let record_len = packed.len() as u64;
    let end = record_offset(offset, byte_len) + record_len.next_multiple_of(BLOCK);
    Slot { offset, record_len, end }
}

/// What follows the bytes of a Part 10 file: its padding, and the entry of its record.
fn record_entry(number: u32, record: &Record, packed: &[u8]) -> io::Result<Vec<u8>> {
    let len = packed.len() as u64;
    let header = header(&name(number, record, "record.gz"), len)?;
    Ok([padding(record.byte_len), &header, packed, padding(len)].concat())
}

fn name(number: u32, record: &Record, extension: &str) -> String {
    format!("{number:04}_{}.{extension}", record.sop_instance)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn after_a_sync_that_failed_nothing_in_the_pack_is_called_durable_any_more() {
        // This device takes everything and cannot be synced.
        let path = PathBuf::from("/dev/null");
        let device = File::options().read(true).write(true).open(&path).expect("a device");
        let pack = OpenPack::around("ab/1/1.2/0123.tar".into(), path, Some(device), 0);
        let record = super::super::tests::record(&[7; 100]);
        let first = pack.append(&[7; 100], &record, b"record").expect("written").expect("open");
        let second = pack.append(&[7; 100], &record, b"record").expect("written").expect("open");
        assert!(pack.sync(&first).is_err());
        assert!(pack.sync(&second).is_err());
        assert!(pack.append(&[7; 100], &record, b"record").expect("no failure").is_none());
    }
}
