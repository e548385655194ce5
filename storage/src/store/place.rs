//! One place of objects: files of a local folder, or a bucket by URL.

use super::upload::{Turn, part_len, upload};
use crate::{bucket, error::ArchiveError, ingest::blocking};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use std::{
    fs::File,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes read from a file in one go.
const STEP: u64 = 1 << 20;

/// What the bytes of an object are read from.
pub(crate) type Source = Box<dyn Read + Send>;

pub(crate) type Stream = BoxStream<'static, Result<Bytes, ArchiveError>>;

#[derive(Clone)]
pub(super) struct Place {
    store: Arc<dyn ObjectStore>,
    /// Where keys start in the store.
    prefix: Key,
    /// The URL without a path, of a bucket.
    site: Option<url::Url>,
    /// Set when objects are files of ours: then a file is put by a rename.
    folder: Option<PathBuf>,
    turn: Arc<Turn>,
}

impl Place {
    /// `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`; a folder is made if it is not there.
    pub(super) async fn by_url(url: &str) -> Result<Self, ArchiveError> {
        let url = url::Url::parse(url).map_err(|e| ArchiveError::Config(format!("store_url: {e}")))?;
        match url.scheme() {
            "file" => {
                let folder = url.to_file_path();
                Self::of_folder(folder.map_err(|()| ArchiveError::Config("store_url: no local path".into()))?).await
            }
            _ => {
                let (store, prefix) = bucket::open(&url)?;
                let mut site = url.clone();
                site.set_path("");
                Ok(Self { store, prefix, site: Some(site), folder: None, turn: Arc::default() })
            }
        }
    }

    /// A folder by its path, anything else by its URL.
    pub(super) async fn at(place: &str) -> Result<Self, ArchiveError> {
        if place.contains("://") { Self::by_url(place).await } else { Self::of_folder(place.into()).await }
    }

    /// What lies under a prefix of this store, as a store of its own.
    pub(super) fn within(&self, prefix: &str) -> Self {
        let folder = self.folder.as_ref().map(|folder| folder.join(prefix));
        let parts = self.prefix.parts().chain(prefix.split('/').filter(|part| !part.is_empty()).map(Into::into));
        Self { prefix: parts.collect(), folder, ..self.clone() }
    }

    pub(super) async fn of_folder(folder: PathBuf) -> Result<Self, ArchiveError> {
        tokio::fs::create_dir_all(&folder).await?;
        let folder = tokio::fs::canonicalize(&folder).await?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(&folder)?);
        Ok(Self { store, prefix: Key::default(), site: None, folder: Some(folder), turn: Arc::default() })
    }

    /// Whether objects are files of ours.
    pub(super) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether this place is a part of another, whose list then tells of its objects too.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        match (&self.folder, &other.folder) {
            (Some(folder), Some(around)) => folder != around && folder.starts_with(around),
            (None, None) => {
                self.site == other.site && self.prefix != other.prefix && self.prefix.prefix_matches(&other.prefix)
            }
            _ => false,
        }
    }

    /// Makes a synced file an object: by a rename where objects are files. Durable when this returns.
    pub(super) async fn put_file(&self, path: &Path, key: &str) -> Result<(), ArchiveError> {
        match &self.folder {
            Some(folder) => {
                let (path, folder, target) = (path.to_owned(), folder.clone(), folder.join(key));
                blocking(move || move_into(&path, &folder, &target)).await
            }
            None => {
                let file = File::open(path)?;
                let len = file.metadata()?.len();
                self.put_stream(steps(Box::new(file)), len, key).await
            }
        }
    }

    /// Makes an object of what a reader gives, about `len` bytes. Durable, and there as a whole or not at all, when this
    /// returns.
    pub(super) async fn put(&self, source: Source, len: u64, key: &str) -> Result<(), ArchiveError> {
        match &self.folder {
            Some(folder) => {
                let (folder, target) = (folder.clone(), folder.join(key));
                blocking(move || write_into(source, &folder, &target)).await
            }
            None => self.put_stream(steps(source), len, key).await,
        }
    }

    /// As [`Self::put`], of about `len` bytes that come as a stream.
    pub(super) async fn put_stream(&self, bytes: Stream, len: u64, key: &str) -> Result<(), ArchiveError> {
        upload(&*self.store, &self.turn, &self.key(key)?, bytes, len).await?;
        match &self.folder {
            Some(folder) => {
                let (folder, target) = (folder.clone(), folder.join(key));
                blocking(move || make_durable(&target, &folder)).await
            }
            None => Ok(()),
        }
    }

    /// An object as a stream, and its length. Asked for part by part as it is read: an answer breaks off when its reader
    /// has other things to do for longer than a request may take.
    pub(super) async fn stream_whole(&self, key: &str) -> Result<(Stream, u64), ArchiveError> {
        let meta = self.store.head(&self.key(key)?).await?;
        let (store, len, step) = (self.store.clone(), meta.size, part_len(meta.size));
        let starts = stream::iter((0..len.div_ceil(step)).map(move |number| Ok(number * step)));
        let parts = starts.and_then(move |start| part(store.clone(), meta.clone(), start..len.min(start + step)));
        Ok((parts.try_flatten().boxed(), len))
    }

    /// Bytes of an object, `None` if there is no such object.
    pub(super) async fn len(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        match self.store.head(&self.key(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of an object as one stream.
    pub(super) async fn stream(&self, key: &str, range: Range<u64>) -> Result<Stream, ArchiveError> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let found = self.store.get_opts(&self.key(key)?, options).await?;
        Ok(found.into_stream().map_err(ArchiveError::from).boxed())
    }

    /// The first bytes of an object and its whole length.
    pub(super) async fn read_start(&self, key: &str, len: u64) -> Result<(Bytes, u64), ArchiveError> {
        let options = GetOptions { range: Some((0..len).into()), ..GetOptions::default() };
        let found = self.store.get_opts(&self.key(key)?, options).await?;
        let whole = found.meta.size;
        Ok((found.bytes().await?, whole))
    }

    /// Several ranges; near ones are read together. One that ends behind the object is cut there.
    pub(super) async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        let key = self.key(key)?;
        match ranges {
            [range] => Ok(vec![self.store.get_range(&key, range.clone()).await?]),
            ranges => Ok(self.store.get_ranges(&key, ranges).await?),
        }
    }

    /// Removes an object; one that is gone already is no failure.
    pub(super) async fn remove(&self, key: &str) -> Result<(), ArchiveError> {
        match self.store.delete(&self.key(key)?).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All keys with the time of their last change in milliseconds since 1970-01-01 UTC.
    pub(super) fn list(&self) -> BoxStream<'static, Result<(String, i64), ArchiveError>> {
        let listed = self.store.list(Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty()));
        let store = self.clone();
        let entry =
            move |meta: object_store::ObjectMeta| (store.own(&meta.location), meta.last_modified.timestamp_millis());
        listed.map_ok(entry).map_err(ArchiveError::from).boxed()
    }

    /// The keys below a folder.
    pub(super) async fn keys_under(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let below = self.key(folder)?;
        let listed = self.store.list(Some(&below)).map_err(ArchiveError::from);
        listed.map_ok(|meta| self.own(&meta.location)).try_collect().await
    }

    /// Gives an object another key; one that is gone is no failure.
    pub(super) async fn rename(&self, key: &str, to: &str) -> Result<(), ArchiveError> {
        if let Some(folder) = &self.folder {
            let (path, folder, target) = (folder.join(key), folder.clone(), folder.join(to));
            return blocking(move || if path.is_file() { move_into(&path, &folder, &target) } else { Ok(()) }).await;
        }
        match self.store.rename(&self.key(key)?, &self.key(to)?).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The key of an object here.
    fn own(&self, location: &Key) -> String {
        let key = location.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or_default();
        key.trim_start_matches('/').to_owned()
    }

    /// Writes, reads and removes a small object.
    pub(super) async fn check(&self) -> Result<(), ArchiveError> {
        let key = format!("check-{:016x}", rand::random::<u64>());
        self.store.put(&self.key(&key)?, Bytes::from_static(b"ok").into()).await?;
        let (back, _) = self.read_start(&key, 2).await?;
        self.remove(&key).await?;
        if back != b"ok"[..] {
            return Err(ArchiveError::Internal("the object store gave back other bytes".into()));
        }
        Ok(())
    }

    fn key(&self, key: &str) -> Result<Key, ArchiveError> {
        let prefix = self.prefix.as_ref();
        let whole = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        Key::parse(&whole).map_err(|e| ArchiveError::Internal(format!("object key: {e}")))
    }
}

/// A part of an object, which must still be the one that it was.
async fn part(store: Arc<dyn ObjectStore>, object: ObjectMeta, range: Range<u64>) -> Result<Stream, ArchiveError> {
    let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
    let found = store.get_opts(&object.location, options).await?;
    if found.meta.e_tag != object.e_tag {
        return Err(ArchiveError::Internal(format!("{} was put again while it was read", object.location)));
    }
    Ok(found.into_stream().map_err(ArchiveError::from).boxed())
}

/// What a reader gives, in steps.
fn steps(source: Source) -> Stream {
    let step = |mut source: Source| async move {
        let read = blocking(move || {
            let mut step = Vec::new();
            source.by_ref().take(STEP).read_to_end(&mut step)?;
            Ok((source, step))
        });
        let (source, step) = read.await?;
        Ok((!step.is_empty()).then(|| (step.into(), source)))
    };
    stream::try_unfold(source, step).boxed()
}

fn move_into(path: &Path, root: &Path, target: &Path) -> Result<(), ArchiveError> {
    make_folders(target.parent().unwrap_or(root), root)?;
    match std::fs::rename(path, target) {
        Ok(()) => Ok(sync_folder(target.parent().unwrap_or(root))?),
        // The spool is on another file system.
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            write_into(Box::new(File::open(path)?), root, target)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes beside the target, then renames. What a crash leaves of it is overwritten when the same object is put again.
fn write_into(mut source: Source, root: &Path, target: &Path) -> Result<(), ArchiveError> {
    let folder = target.parent().unwrap_or(root);
    make_folders(folder, root)?;
    let beside = target.with_extension("part");
    let mut file = File::create(&beside)?;
    if let Err(error) = std::io::copy(&mut source, &mut file).and_then(|_| file.sync_all()) {
        std::fs::remove_file(&beside)?;
        return Err(error.into());
    }
    std::fs::rename(&beside, target)?;
    Ok(sync_folder(folder)?)
}

/// Syncs a file and the folders above it.
fn make_durable(file: &Path, root: &Path) -> Result<(), ArchiveError> {
    File::open(file)?.sync_all()?;
    for folder in file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Makes missing folders below `root`, each synced into the one above it.
fn make_folders(folder: &Path, root: &Path) -> std::io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(root);
    make_folders(above, root)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_folder(above)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LEN: u64 = 30 << 20;

    async fn memory() -> Place {
        Place::by_url("memory:///a").await.expect("a place")
    }

    async fn put(place: &Place, fill: u8) -> Result<(), ArchiveError> {
        place.put(Box::new(std::io::repeat(fill).take(LEN)), LEN, "object").await
    }

    #[tokio::test]
    async fn an_upload_that_stands_still_holds_up_no_other_store() {
        let [slow, own] = [memory().await, memory().await];
        let standing = tokio::spawn(async move { slow.put_stream(stream::pending().boxed(), LEN, "object").await });
        tokio::task::yield_now().await;
        tokio::time::timeout(Duration::from_secs(10), put(&own, 1)).await.expect("its turn").expect("put");
        standing.abort();
    }

    #[tokio::test]
    async fn what_is_put_again_while_it_is_read_is_not_mixed() {
        let place = memory().await;
        put(&place, 1).await.expect("put");
        let (mut whole, len) = place.stream_whole("object").await.expect("a stream");
        assert!(len == LEN && whole.try_next().await.expect("a piece").is_some_and(|piece| piece[..] == [1; 10 << 20]));
        put(&place, 2).await.expect("put again");
        assert!(whole.try_next().await.is_err());
        let (whole, _) = place.stream_whole("object").await.expect("a stream");
        let whole: Vec<_> = whole.try_collect().await.expect("all of it");
        assert!(whole.concat() == vec![2; LEN as usize]);
    }
}
