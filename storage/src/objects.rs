//! The packs in the store, plain to all others: those whose object's name tells of a lock are encrypted there.

use crate::{
    config::StorageConfig,
    encryption::{
        EncryptionError, FRAME, HEADER_LEN, KeyRing, Lock, Opened, SealedRead, covering, load_ring, open_frames,
        sealed_len,
    },
    error::ArchiveError,
    ingest::blocking,
    spool::PACK,
    store::{Source, Store},
    tiers::{Cache, Misses, Tee, is_cold},
};
use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt, TryStreamExt,
    future::join,
    stream::{self, BoxStream},
};
use hashlink::LruCache;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// Bytes at the end of a pack that are read back after it was put.
const CHECKED: u64 = 64 << 10;
/// Data keys that are remembered; each takes about a kilobyte.
const REMEMBERED: usize = 4096;
/// More bytes than this are decrypted where they hold nobody up.
const AT_ONCE: usize = 256 << 10;
/// Bytes of a pack kept near that are read in one go where it is streamed.
const STEP: u64 = 1 << 20;
/// Frames of a stream that are decrypted together.
const FRAMES: u64 = 16;

type Stream = BoxStream<'static, Result<Bytes, ArchiveError>>;

/// Cheap to clone; clones remember the same headers.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) store: Store,
    ring: Arc<KeyRing>,
    opened: Arc<Mutex<LruCache<String, Arc<Opened>>>>,
    /// Packs of buckets that are kept near, as they are there.
    near: Option<Cache>,
    pub(crate) misses: Arc<Misses>,
}

impl Objects {
    pub(crate) async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        let store = match &config.store_url {
            None => Store::of_folder(config.data_dir.join("objects")).await?,
            Some(url) => Store::by_url(url).await?,
        };
        let store = match &config.cold_url {
            None => store,
            Some(place) => store.with_cold(place).await?,
        };
        let is_cached = config.cache_megabytes > 0 && !store.is_all_local();
        let near = is_cached
            .then(|| Cache::open(config.data_dir.join("cache"), config.cache_megabytes.saturating_mul(1 << 20)));
        Ok(Self { near: near.transpose()?, ..Self::in_store(store, config).await? })
    }

    /// Packs in another store than the archive's own, with the same key ring.
    pub(crate) async fn in_store(store: Store, config: &StorageConfig) -> Result<Self, ArchiveError> {
        let ring = load_ring(config.keys.as_deref(), config.cipher).await?;
        let opened = Arc::new(Mutex::new(LruCache::new(REMEMBERED)));
        Ok(Self { store, ring: Arc::new(ring), opened, near: None, misses: Arc::default() })
    }

    /// The objects as the store has them: what is kept near is not asked.
    pub(crate) fn stored(&self) -> Self {
        Self { near: None, ..self.clone() }
    }

    /// Whether packs of any place are kept near, and how.
    pub(crate) fn cache(&self) -> Option<&Cache> {
        self.near.as_ref()
    }

    /// Where an object is kept near, if it is one that may be.
    pub(crate) fn near(&self, key: &str) -> Option<&Cache> {
        self.near.as_ref().filter(|_| !self.store.is_local(key))
    }

    /// The lock of new packs, if they are encrypted.
    pub(crate) fn lock(&self) -> Option<&Lock> {
        self.ring.lock()
    }

    /// Moves or copies a synced file of the spool into the store, which may leave the file where it is. The object is
    /// durable when this returns; one that was not just moved has been looked at again.
    pub(crate) async fn put(&self, spooled: &Path, key: &str) -> Result<(), ArchiveError> {
        self.forget(key);
        let lock = Lock::of(key);
        if lock.is_none() && self.store.is_local(key) {
            return self.store.put_file(spooled, key).await;
        }
        let file = File::open(spooled)?;
        let len = file.metadata()?.len();
        let (source, len): (Source, u64) = match &lock {
            Some(lock) => (self.sealing(lock, file, len, key)?, sealed_len(len)),
            None => (Box::new(file), len),
        };
        let filling = match self.near(key).filter(|_| !is_cold(key)) {
            Some(near) => near.begin(key, len).await,
            None => None,
        };
        let (source, kept) = Tee::new(source, filling);
        self.store.put(Box::new(source), len, key).await?;
        self.stored().check_copy(spooled, key).await?;
        kept.keep(len);
        Ok(())
    }

    /// What is remembered of an object, or kept of it near.
    pub(crate) fn forget(&self, key: &str) {
        self.opened().remove(key);
        if let Some(near) = self.near(key) {
            near.forget(key);
        }
    }

    /// Copies the first `len` bytes of a file.
    pub(crate) async fn put_start(&self, file: File, len: u64, key: &str) -> Result<(), ArchiveError> {
        let (source, len): (Source, u64) = match Lock::of(key) {
            Some(lock) => (self.sealing(&lock, file, len, key)?, sealed_len(len)),
            None => (Box::new(file.take(len)), len),
        };
        self.store.put(source, len, key).await
    }

    /// Copies a file under a name that ends as [`Self::named`] has it.
    pub(crate) async fn put_new(&self, path: &Path, key: &str) -> Result<(), ArchiveError> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        self.put_start(file, len, key).await
    }

    /// The name of an object that is encrypted if new packs are.
    pub(crate) fn named(&self, name: &str, extension: &str) -> String {
        self.lock().map_or_else(|| format!("{name}.{extension}"), |lock| format!("{name}.{lock}.{extension}"))
    }

    /// Copies a pack into a file, synced when this returns; tells how many bytes.
    pub(crate) async fn download(&self, key: &str, into: &NamedTempFile) -> Result<u64, ArchiveError> {
        let len = self.len(key).await?.ok_or_else(|| ArchiveError::NotFound(format!("object {key}")))?;
        let mut file = tokio::fs::File::from_std(into.reopen()?);
        let mut bytes = self.stream(key, 0..len).await?;
        while let Some(piece) = bytes.try_next().await? {
            file.write_all(&piece).await?;
        }
        file.sync_all().await?;
        let actual = file.metadata().await?.len();
        let truncated = ArchiveError::Truncated { key: key.to_owned(), expected: len, actual };
        if actual == len { Ok(len) } else { Err(truncated) }
    }

    fn sealing(&self, lock: &Lock, file: File, len: u64, key: &str) -> Result<Source, ArchiveError> {
        Ok(Box::new(SealedRead::new(&self.ring, lock, key, file, len).map_err(|why| refused(key, why))?))
    }

    /// Length and last bytes of a pack are those of the file it was made from.
    async fn check_copy(&self, spooled: &Path, key: &str) -> Result<(), ArchiveError> {
        let path = spooled.to_owned();
        let (len, expected) = blocking(move || last_bytes(&path)).await?;
        let there = self.len(key).await?;
        let end = len.saturating_sub(expected.len() as u64)..len;
        if there != Some(len) || self.read_range(key, end).await? != expected {
            return Err(ArchiveError::Internal(format!(
                "object {key} is not what was put there: {there:?} of {len} bytes"
            )));
        }
        Ok(())
    }

    /// Bytes of a pack, `None` if there is no such object.
    pub(crate) async fn len(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        if Lock::of(key).is_none() {
            return self.store.len(key).await;
        }
        // What is kept near does not say that it is in the store still.
        match self.stored().read_header(key).await {
            Ok(opened) => Ok(Some(opened.plain_len)),
            Err(ArchiveError::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes of a pack as one stream.
    pub(crate) async fn stream(&self, key: &str, range: Range<u64>) -> Result<Stream, ArchiveError> {
        if let Some(len) = self.len_near(key).await? {
            return Ok(self.steps(key, range.start..range.end.min(len)));
        }
        self.count_miss(key, range.end.saturating_sub(range.start));
        if Lock::of(key).is_none() {
            return self.store.stream(key, range).await;
        }
        // A header that was remembered may be of an object that was put again since.
        let opened = self.read_header(key).await?;
        let range = range.start..range.end.min(opened.plain_len);
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let sealed = self.store.stream(key, covering(&range)).await?;
        Ok(opening(sealed, opened, range, key.to_owned()))
    }

    pub(crate) async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let mut parts = self.read_ranges(key, &[range]).await?;
        Ok(parts.pop().unwrap_or_default())
    }

    /// Several ranges; near ones are read together.
    pub(crate) async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        if Lock::of(key).is_none() {
            let parts = self.object_ranges(key, ranges).await?;
            return ranges.iter().zip(parts).map(|(range, bytes)| whole(key, range, bytes)).collect();
        }
        match self.read_sealed(key, ranges).await {
            // The object may have been put again, under another data key, while or since its header was read.
            Err(ArchiveError::Encryption { .. }) => {
                self.opened().remove(key);
                self.read_sealed(key, ranges).await
            }
            read => read,
        }
    }

    async fn read_sealed(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        let outer: Vec<_> = ranges.iter().map(covering).collect();
        // Together, so that a cold read takes no longer than that of a plain pack.
        let (opened, sealed) = join(self.header(key), self.object_ranges(key, &outer)).await;
        // Of two errors that of the header tells more.
        let (opened, sealed) = (opened?, sealed?);
        let end = sealed_len(opened.plain_len);
        let in_object = outer.iter().map(|range| range.start..range.end.min(end));
        let sealed: Vec<_> =
            in_object.zip(sealed).map(|(range, bytes)| whole(key, &range, bytes)).collect::<Result<_, _>>()?;
        let (ranges, object) = (ranges.to_vec(), key.to_owned());
        let len: usize = sealed.iter().map(Bytes::len).sum();
        let open = move || {
            let parts = ranges.iter().zip(&sealed).map(|(range, sealed)| open_frames(&opened, range, sealed));
            parts.collect::<Result<_, _>>().map_err(|why| refused(&object, why))
        };
        if len <= AT_ONCE { open() } else { blocking(open).await }
    }

    async fn header(&self, key: &str) -> Result<Arc<Opened>, ArchiveError> {
        let remembered = self.opened().get(key).cloned();
        match remembered {
            Some(opened) => Ok(opened),
            None => self.read_header(key).await,
        }
    }

    async fn read_header(&self, key: &str) -> Result<Arc<Opened>, ArchiveError> {
        let (header, actual) = self.object_start(key, HEADER_LEN).await?;
        let opened = Opened::read(&self.ring, key, &header).map_err(|why| refused(key, why))?;
        let expected = sealed_len(opened.plain_len);
        if actual != expected {
            return Err(refused(key, EncryptionError::Length { expected, actual }));
        }
        let opened = Arc::new(opened);
        self.opened().insert(key.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Removes a pack; one that is gone already is no failure.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), ArchiveError> {
        self.forget(key);
        self.store.remove(key).await
    }

    /// Ranges of an object as it is in the store.
    async fn object_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        if let Some(near) = self.near(key)
            && let Some(parts) = near.read_ranges(key, ranges).await
        {
            return Ok(parts);
        }
        self.count_miss(key, ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum());
        self.store.read_ranges(key, ranges).await
    }

    async fn object_start(&self, key: &str, len: u64) -> Result<(Bytes, u64), ArchiveError> {
        if let Some(near) = self.near(key)
            && let Some(whole) = near.len(key).await
            && let Some(start) =
                near.read_ranges(key, std::slice::from_ref(&(0..len))).await.and_then(|mut parts| parts.pop())
        {
            return Ok((start, whole));
        }
        self.store.read_start(key, len).await
    }

    /// Bytes of a pack that is kept near.
    async fn len_near(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        let Some(near) = self.near(key) else { return Ok(None) };
        let Some(len) = near.len(key).await else { return Ok(None) };
        if Lock::of(key).is_none() { Ok(Some(len)) } else { Ok(Some(self.header(key).await?.plain_len)) }
    }

    /// A stretch read piece by piece: if the file goes meanwhile, the store has the rest.
    fn steps(&self, key: &str, range: Range<u64>) -> Stream {
        let steps = range.clone().step_by(STEP as usize).map(move |at| at..range.end.min(at.saturating_add(STEP)));
        let (objects, key) = (self.clone(), key.to_owned());
        let read = move |step| {
            let (objects, key) = (objects.clone(), key.clone());
            async move { objects.read_range(&key, step).await }
        };
        stream::iter(steps).then(read).boxed()
    }

    fn opened(&self) -> MutexGuard<'_, LruCache<String, Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What new objects of packs are called: each has a name of its own, so that no two ever overwrite or remove each other's
/// bytes.
pub(crate) struct Naming {
    ending: String,
}

impl Naming {
    pub(crate) fn new(lock: Option<&Lock>) -> Self {
        Self { ending: lock.map_or_else(|| PACK.to_owned(), |lock| format!("{lock}.{PACK}")) }
    }

    pub(crate) fn new_key(&self, folder: &str) -> String {
        format!("{folder}/{:016x}.{}", rand::random::<u64>(), self.ending)
    }

    /// Whether an object is called as it would be now.
    pub(crate) fn fits(&self, key: &str) -> bool {
        Naming::new(Lock::of(key).as_ref()).ending == self.ending
    }
}

/// Decrypts the frames of a range as they come.
fn opening(sealed: Stream, opened: Arc<Opened>, range: Range<u64>, object: String) -> Stream {
    let steps = stream::try_unfold((sealed, BytesMut::new(), range.start), move |(mut sealed, mut held, at)| {
        let (opened, object, end) = (opened.clone(), object.clone(), range.end);
        async move {
            if at >= end {
                return Ok(None);
            }
            let step = at..end.min((at / FRAME + FRAMES).saturating_mul(FRAME));
            let outer = covering(&step);
            let wanted = usize::try_from(outer.end - outer.start).unwrap_or(usize::MAX);
            while held.len() < wanted {
                // The last frame of the object is shorter than others.
                let Some(more) = sealed.try_next().await? else { break };
                held.extend_from_slice(&more);
            }
            let bytes = held.split_to(wanted.min(held.len()));
            let plain = open_frames(&opened, &step, &bytes).map_err(|why| refused(&object, why))?;
            Ok(Some((plain, (sealed, held, step.end))))
        }
    });
    steps.boxed()
}

/// The end of an answer may be lost on the way without anybody noticing.
fn whole(key: &str, range: &Range<u64>, bytes: Bytes) -> Result<Bytes, ArchiveError> {
    let (expected, actual) = (range.end.saturating_sub(range.start), bytes.len() as u64);
    if actual == expected { Ok(bytes) } else { Err(ArchiveError::Truncated { key: key.to_owned(), expected, actual }) }
}

fn last_bytes(path: &Path) -> Result<(u64, Vec<u8>), ArchiveError> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut last = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(CHECKED)))?;
    file.read_to_end(&mut last)?;
    Ok((len, last))
}

fn refused(object: &str, why: EncryptionError) -> ArchiveError {
    ArchiveError::Encryption { object: object.to_owned(), why }
}
