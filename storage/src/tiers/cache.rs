//! Packs kept near: files in the data folder, each as its object is in the bucket, so what is encrypted there is so here.
//!
//! The folder is all there is: several processes on one data folder share it without a word. What was used longest ago goes
//! first; a file is whole when it has its name, and what does not fit its checksums is dropped.

use super::blocks::{BlockWriter, file_len, read_header, read_range};
use crate::{audit::hex, error::ArchiveError, ingest::blocking};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, BufWriter, ErrorKind, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tempfile::NamedTempFile;

/// A use is noted so seldom.
const NOTED: Duration = Duration::from_secs(60);
/// What a process that ended left unfinished goes after so long.
const UNFINISHED: Duration = Duration::from_secs(3600);
/// How full it is when old files have gone, in percent.
const ROOM_MADE: u64 = 90;
/// What other processes add is noticed after so many files of ours.
const LOOK_AGAIN: u64 = 64;
const UNFINISHED_PREFIX: &str = "new-";

/// Cheap to clone; clones are one.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    /// In bytes, of all files.
    limit: u64,
    /// What was there when it was last looked at, and what came since.
    used: AtomicU64,
    added: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What the cache holds, and how often it served since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheUse {
    pub packs: u64,
    pub byte_len: u64,
    /// It never holds more, in bytes.
    pub limit: u64,
    pub hits: u64,
    pub misses: u64,
}

impl Cache {
    pub(crate) fn open(folder: PathBuf, limit: u64) -> Result<Self, ArchiveError> {
        fs::create_dir_all(&folder)?;
        let zero = AtomicU64::default;
        let cache = Self(Arc::new(Shared { folder, limit, used: zero(), added: zero(), hits: zero(), misses: zero() }));
        cache.make_room(0)?;
        Ok(cache)
    }

    /// In bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Ranges of an object, each cut at its end; `None` if it is not here.
    pub(crate) async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        let (cache, key, ranges) = (self.clone(), key.to_owned(), ranges.to_vec());
        let read = blocking(move || {
            let Some((mut file, len)) = cache.opened(&key) else { return Ok(None) };
            let parts = ranges.iter().map(|range| read_range(&mut file, len, range)).collect::<io::Result<_>>();
            Ok(parts.map_err(|error| cache.drop_damaged(&key, &error)).ok())
        });
        // What cannot be read here is read from the store.
        let found: Option<Vec<Bytes>> = read.await.ok().flatten();
        let counter = if found.is_some() { &self.0.hits } else { &self.0.misses };
        counter.fetch_add(1, Relaxed);
        found
    }

    /// The length of an object that is here.
    pub(crate) async fn len(&self, key: &str) -> Option<u64> {
        let (cache, key) = (self.clone(), key.to_owned());
        blocking(move || Ok(cache.opened(&key).map(|(_, len)| len))).await.ok().flatten()
    }

    fn opened(&self, key: &str) -> Option<(File, u64)> {
        let mut file = File::open(self.path(key)).ok()?;
        note_use(&file);
        let len = read_header(&mut file, key).map_err(|error| self.drop_damaged(key, &error)).ok()?;
        Some((file, len))
    }

    fn drop_damaged(&self, key: &str, error: &io::Error) {
        tracing::warn!(%error, pack = key, "a pack in the cache is damaged; it is read from the store again");
        self.forget(key);
    }

    /// What is here of an object goes: the object is to be read from the store.
    pub(crate) fn forget(&self, key: &str) {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, pack = key, "a pack stays in the cache that should go");
            }
            _ => {}
        }
    }

    /// A file for an object of so many bytes, or about; `None` if it is not to be kept.
    pub(crate) async fn begin(&self, key: &str, len: u64) -> Option<Filling> {
        let (cache, key) = (self.clone(), key.to_owned());
        blocking(move || Ok(cache.begin_now(&key, len))).await.ok().flatten()
    }

    fn begin_now(&self, key: &str, len: u64) -> Option<Filling> {
        let len = file_len(len);
        if len > self.0.limit {
            return None;
        }
        let begun = self.make_room(len).and_then(|()| {
            let file = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(&self.0.folder)?;
            let writer = BlockWriter::new(BufWriter::new(file.reopen()?), key)?;
            Ok(Filling { cache: self.clone(), key: key.to_owned(), file, writer })
        });
        begun.map_err(|error| tracing::warn!(%error, "nothing can be kept in the cache now")).ok()
    }

    /// Lets old files go until so many bytes more fit in.
    fn make_room(&self, len: u64) -> io::Result<()> {
        let Shared { limit, used, added, .. } = &*self.0;
        let is_known = len > 0 && added.fetch_add(1, Relaxed) % LOOK_AGAIN != 0;
        if is_known && used.fetch_add(len, Relaxed).saturating_add(len) <= *limit {
            return Ok(());
        }
        let mut files = self.files()?;
        let mut sum: u64 = files.iter().map(|(_, _, len)| len).sum();
        if sum.saturating_add(len) > *limit {
            let target = (limit / 100 * ROOM_MADE).saturating_sub(len);
            files.sort_unstable();
            for (_, path, len) in &files {
                if sum <= target {
                    break;
                }
                fs::remove_file(path)
                    .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
                sum -= len;
            }
        }
        used.store(sum.saturating_add(len), Relaxed);
        Ok(())
    }

    /// When each file was last used, where it is, and its length; files that nobody will finish are removed.
    fn files(&self) -> io::Result<Vec<(SystemTime, PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0.folder)? {
            let entry = entry?;
            // Another process may have removed it meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            let used = about.modified()?;
            let is_left = is_unfinished(&entry.path()) && used.elapsed().is_ok_and(|since| since > UNFINISHED);
            if is_left {
                fs::remove_file(entry.path())?;
            } else if about.is_file() {
                files.push((used, entry.path(), about.len()));
            }
        }
        Ok(files)
    }

    /// What is here.
    pub(crate) async fn usage(&self) -> Result<CacheUse, ArchiveError> {
        let cache = self.clone();
        blocking(move || {
            let files = cache.files()?;
            Ok(CacheUse {
                packs: files.iter().filter(|(_, path, _)| !is_unfinished(path)).count() as u64,
                byte_len: files.iter().map(|(_, _, len)| len).sum(),
                limit: cache.0.limit,
                hits: cache.0.hits.load(Relaxed),
                misses: cache.0.misses.load(Relaxed),
            })
        })
        .await
    }

    /// Keys are long and have slashes; their hashes are neither.
    fn path(&self, key: &str) -> PathBuf {
        self.0.folder.join(hex(&Sha256::digest(key)))
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED_PREFIX))
}

/// The time of its last change is that of its last use.
fn note_use(file: &File) {
    let is_noted = file.metadata().and_then(|about| about.modified());
    let is_noted = is_noted.is_ok_and(|at| at.elapsed().is_ok_and(|since| since < NOTED));
    if !is_noted && let Err(error) = file.set_modified(SystemTime::now()) {
        tracing::debug!(%error, "the use of a pack in the cache is not noted");
    }
}

/// An object on its way into the cache. Gone without trace if it is dropped unfinished.
pub(crate) struct Filling {
    cache: Cache,
    key: String,
    file: NamedTempFile,
    writer: BlockWriter<BufWriter<File>>,
}

impl Filling {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write(bytes)
    }

    /// It is whole if the object has so many bytes. Not synced: a power cut at worst leaves what does not fit its checksums.
    pub(crate) fn finish(self, expected: u64) -> io::Result<()> {
        let (_, len) = self.writer.finish()?;
        if len != expected {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the object has another length"));
        }
        self.file.persist(self.cache.path(&self.key)).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Reads on, and keeps what it read. That it cannot be kept is no reason not to read.
pub(crate) struct Tee<R> {
    source: R,
    kept: Arc<Mutex<Option<Filling>>>,
}

/// What a [`Tee`] kept.
pub(crate) struct Kept(Arc<Mutex<Option<Filling>>>);

impl<R> Tee<R> {
    pub(crate) fn new(source: R, filling: Option<Filling>) -> (Self, Kept) {
        let kept = Arc::new(Mutex::new(filling));
        (Self { source, kept: kept.clone() }, Kept(kept))
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = buffer.get(..read).unwrap_or_default();
        if kept.as_mut().is_some_and(|filling| filling.write(bytes).is_err()) {
            *kept = None;
        }
        Ok(read)
    }
}

impl Kept {
    /// The object, of so many bytes, is in the store: it may be served from here.
    pub(crate) fn keep(self, len: u64) {
        let filling = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = filling.map(|filling| filling.finish(len)) {
            tracing::warn!(%error, "a pack that was sealed is not kept in the cache");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000_000;

    fn cache(folder: &Path) -> Cache {
        Cache::open(folder.to_owned(), LIMIT).expect("a cache")
    }

    fn fill(cache: &Cache, key: &str, len: usize) {
        let mut filling = cache.begin_now(key, len as u64).expect("room");
        filling.write(&vec![7; len]).expect("written");
        filling.finish(len as u64).expect("finished");
    }

    async fn is_here(cache: &Cache, key: &str) -> bool {
        cache.read_ranges(key, std::slice::from_ref(&(0..10))).await.is_some()
    }

    fn grow_old(cache: &Cache, key: &str, seconds: u64) {
        let at = SystemTime::now() - Duration::from_secs(seconds);
        File::open(cache.path(key)).and_then(|file| file.set_modified(at)).expect("aged");
    }

    #[tokio::test]
    async fn what_was_used_longest_ago_goes_and_no_more_is_held_than_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path());
        for (key, age) in [("a", 500), ("b", 400), ("c", 300)] {
            fill(&cache, key, 300_000);
            grow_old(&cache, key, age);
        }
        assert!(is_here(&cache, "a").await);
        fill(&cache, "d", 300_000);
        assert!(cache.usage().await.expect("its use").byte_len <= LIMIT);
        assert!(is_here(&cache, "a").await && is_here(&cache, "d").await && !is_here(&cache, "b").await);
        assert!(cache.begin_now("e", LIMIT).is_none(), "too large for it");
    }

    #[tokio::test]
    async fn it_survives_a_restart_and_a_smaller_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        fill(&cache(folder.path()), "a", 300_000);
        assert!(is_here(&cache(folder.path()), "a").await);
        let smaller = Cache::open(folder.path().to_owned(), 1000).expect("a cache");
        assert!(!is_here(&smaller, "a").await);
    }

    #[tokio::test]
    async fn what_is_damaged_cut_short_or_another_object_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path());
        let spoil: [fn(&mut Vec<u8>); 3] =
            [|file| file[100_000] ^= 1, |file| file.truncate(100_000), |file| file[9] ^= 1];
        for spoil in spoil {
            fill(&cache, "a", 300_000);
            let mut file = fs::read(cache.path("a")).expect("the file");
            spoil(&mut file);
            fs::write(cache.path("a"), file).expect("spoilt");
            assert!(cache.read_ranges("a", &[0..10, 90_000..200_000]).await.is_none());
            assert!(!cache.path("a").exists());
        }
    }

    #[test]
    fn nothing_stays_of_what_is_not_finished() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = cache(folder.path());
        let (mut tee, kept) = Tee::new(&b"object"[..], cache.begin_now("a", 6));
        io::copy(&mut tee, &mut io::sink()).expect("read");
        kept.keep(7);
        drop(tee);
        drop(cache.begin_now("b", 6));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        let (mut tee, kept) = Tee::new(&b"object"[..], cache.begin_now("a", 6));
        io::copy(&mut tee, &mut io::sink()).expect("read");
        kept.keep(6);
        assert_eq!(cache.opened("a").map(|(_, len)| len), Some(6));
    }
}
