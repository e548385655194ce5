//! The files of one folder, and no others.

use futures::future::BoxFuture;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs;

/// Names that begin with a dot, and links that lead elsewhere, are not there.
#[derive(Clone)]
pub struct Folder(Arc<Path>);

impl Folder {
    pub fn new(folder: &Path) -> Self {
        Self(folder.into())
    }

    /// Where a path below the folder really leads. The folder itself may be a link, set anew with each version.
    async fn place(self, path: PathBuf) -> io::Result<PathBuf> {
        let folder = tokio::fs::canonicalize(&self.0).await?;
        let place = tokio::fs::canonicalize(path).await?;
        let within = place.strip_prefix(&folder).is_ok_and(|rest| rest.components().all(is_shown));
        if within { Ok(place) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn is_shown(component: Component<'_>) -> bool {
    matches!(component, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."))
}

impl fs::Backend for Folder {
    type File = File;
    type Metadata = Metadata;
    type OpenFuture = BoxFuture<'static, io::Result<File>>;
    type MetadataFuture = BoxFuture<'static, io::Result<Metadata>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let folder = self.clone();
        Box::pin(async move { tokio::fs::File::open(folder.place(path).await?).await.map(File) })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let folder = self.clone();
        Box::pin(async move { tokio::fs::metadata(folder.place(path).await?).await.map(Metadata) })
    }
}

pub struct File(tokio::fs::File);

impl AsyncRead for File {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncSeek for File {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}

impl fs::File for File {
    type Metadata = Metadata;
    type MetadataFuture<'a> = BoxFuture<'a, io::Result<Metadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(async { self.0.metadata().await.map(Metadata) })
    }
}

pub struct Metadata(std::fs::Metadata);

impl fs::Metadata for Metadata {
    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// When the file was put here: npm gives every file of every version one and the same time, so that after an update
    /// browsers would keep the old ones.
    fn modified(&self) -> io::Result<SystemTime> {
        let seconds = u64::try_from(self.0.ctime()).unwrap_or_default();
        let nanoseconds = u32::try_from(self.0.ctime_nsec()).unwrap_or_default();
        Ok(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}
