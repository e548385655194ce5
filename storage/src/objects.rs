//! Instances by key in an object store: a local folder, or a bucket by URL.

use crate::{bucket, config::StorageConfig, error::ArchiveError, spool::PACK};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt, buffered::BufWriter, local::LocalFileSystem, path::Path as Key,
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Larger objects go up in parts of this many bytes.
const PART: usize = 8 << 20;
/// Bytes at the end of an upload that are read back.
const CHECKED: u64 = 64 << 10;

pub(crate) struct Objects {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where keys start in the store.
    pub(crate) prefix: Key,
    /// Set when objects are files of ours: then a put is a rename.
    folder: Option<PathBuf>,
}

impl Objects {
    pub(crate) async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        match &config.store_url {
            None => Self::open_folder(config.data_dir.join("objects")).await,
            Some(url) => {
                let url = url::Url::parse(url).map_err(|e| ArchiveError::Config(format!("store_url: {e}")))?;
                match url.scheme() {
                    "file" => {
                        let folder = url.to_file_path();
                        let folder = folder.map_err(|()| ArchiveError::Config("store_url: no local path".into()))?;
                        Self::open_folder(folder).await
                    }
                    _ => {
                        let (store, prefix) = bucket::open(&url)?;
                        Ok(Self { store, prefix, folder: None })
                    }
                }
            }
        }
    }

    async fn open_folder(folder: PathBuf) -> Result<Self, ArchiveError> {
        tokio::fs::create_dir_all(&folder).await?;
        let folder = tokio::fs::canonicalize(&folder).await?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(&folder)?);
        Ok(Self { store, prefix: Key::default(), folder: Some(folder) })
    }

    /// Moves or copies a synced file of the spool into the store. The object is durable when this returns; an uploaded one
    /// has been looked at again.
    pub(crate) async fn put(&self, spooled: &Path, key: &str) -> Result<(), ArchiveError> {
        match &self.folder {
            Some(folder) => {
                let (spooled, folder, target) = (spooled.to_owned(), folder.clone(), folder.join(key));
                tokio::task::spawn_blocking(move || move_into(&spooled, &folder, &target))
                    .await
                    .map_err(|e| ArchiveError::Internal(e.to_string()))?
            }
            None => {
                self.upload(spooled, key).await?;
                self.check_upload(spooled, key).await
            }
        }
    }

    async fn upload(&self, spooled: &Path, key: &str) -> Result<(), ArchiveError> {
        let mut file = tokio::fs::File::open(spooled).await?;
        let mut writer = BufWriter::with_capacity(self.store.clone(), self.key(key)?, PART);
        if let Err(error) =
            tokio::io::copy_buf(&mut tokio::io::BufReader::with_capacity(1 << 20, &mut file), &mut writer).await
        {
            // Parts that stay behind cost money; the first error is the one to tell.
            let _ = writer.abort().await;
            return Err(error.into());
        }
        Ok(writer.shutdown().await?)
    }

    /// Length and last bytes of an object are those of the file it was made from.
    async fn check_upload(&self, spooled: &Path, key: &str) -> Result<(), ArchiveError> {
        let mut file = tokio::fs::File::open(spooled).await?;
        let len = file.metadata().await?.len();
        let end = len.saturating_sub(CHECKED)..len;
        let mut expected = Vec::new();
        file.seek(std::io::SeekFrom::Start(end.start)).await?;
        file.read_to_end(&mut expected).await?;
        let there = self.len(key).await?;
        if there != Some(len) || self.read_range(key, end).await? != expected[..] {
            return Err(ArchiveError::Internal(format!(
                "object {key} is not what was uploaded: {there:?} of {len} bytes"
            )));
        }
        Ok(())
    }

    /// Bytes of an object, `None` if there is no such object.
    pub(crate) async fn len(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        match self.store.head(&self.key(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of an object as one stream.
    pub(crate) async fn stream(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
        let found = self.store.get_opts(&self.key(key)?, options).await?;
        Ok(found.into_stream().map_err(ArchiveError::from).boxed())
    }

    /// Whether objects are files of ours.
    pub(crate) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Bytes of an object; fewer than were asked for are an error.
    pub(crate) async fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let bytes = self.store.get_range(&self.key(key)?, range.clone()).await?;
        whole(key, &range, bytes)
    }

    /// Several ranges; near ones are read together.
    pub(crate) async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        let parts = self.store.get_ranges(&self.key(key)?, ranges).await?;
        ranges.iter().zip(parts).map(|(range, bytes)| whole(key, range, bytes)).collect()
    }

    /// Removes an object; one that is gone already is no failure.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), ArchiveError> {
        match self.store.delete(&self.key(key)?).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All keys with the time of their last change in milliseconds since 1970-01-01 UTC.
    pub(crate) fn list(&self) -> BoxStream<'static, Result<(String, i64), ArchiveError>> {
        let prefix = self.prefix.clone();
        let listed = self.store.list(Some(&prefix).filter(|prefix| !prefix.as_ref().is_empty()));
        let entry = move |meta: object_store::ObjectMeta| {
            let key = meta.location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
            (key.trim_start_matches('/').to_owned(), meta.last_modified.timestamp_millis())
        };
        listed.map_ok(entry).map_err(ArchiveError::from).boxed()
    }

    /// Writes, reads and removes a small object.
    pub(crate) async fn check(&self) -> Result<(), ArchiveError> {
        let key = format!("check-{:016x}", rand::random::<u64>());
        self.store.put(&self.key(&key)?, Bytes::from_static(b"ok").into()).await?;
        let back = self.read_range(&key, 0..2).await?;
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

/// A key of its own for each pack, so that no two ever overwrite or remove each other's bytes.
pub(crate) fn new_key(folder: &str) -> String {
    format!("{folder}/{:016x}.{PACK}", rand::random::<u64>())
}

/// The end of an answer may be lost on the way without anybody noticing.
fn whole(key: &str, range: &Range<u64>, bytes: Bytes) -> Result<Bytes, ArchiveError> {
    let (expected, actual) = (range.end.saturating_sub(range.start), bytes.len() as u64);
    if actual == expected { Ok(bytes) } else { Err(ArchiveError::Truncated { key: key.to_owned(), expected, actual }) }
}

fn move_into(spooled: &Path, root: &Path, target: &Path) -> Result<(), ArchiveError> {
    let folder = target.parent().unwrap_or(root);
    make_folders(folder, root)?;
    match std::fs::rename(spooled, target) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => copy_into(spooled, folder, target)?,
        Err(error) => return Err(error.into()),
    }
    Ok(sync_folder(folder)?)
}

/// The spool is on another file system: a copy beside the target, then the rename.
fn copy_into(spooled: &Path, folder: &Path, target: &Path) -> Result<(), ArchiveError> {
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut std::fs::File::open(spooled)?, &mut beside)?;
    beside.as_file().sync_all()?;
    beside.persist(target).map_err(|e| e.error)?;
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
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
