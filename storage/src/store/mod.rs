//! Objects by key: the archive's own place, and a cold one for those whose keys say so. Bytes as they lie there, encrypted or
//! not.

mod place;
mod upload;

pub(crate) use place::{Source, Stream, sync_folder};

use crate::{error::ArchiveError, tiers::is_cold};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use place::Place;
use std::{
    future::ready,
    ops::Range,
    path::{Path, PathBuf},
};

/// Keys with the time of their last change.
type Listed = BoxStream<'static, Result<(String, i64), ArchiveError>>;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    own: Place,
    /// Where cold objects are; `None`: with the others, under the same keys.
    cold: Option<Place>,
}

impl Store {
    /// `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`; a folder is made if it is not there.
    pub(crate) async fn by_url(url: &str) -> Result<Self, ArchiveError> {
        Ok(Self { own: Place::by_url(url).await?, cold: None })
    }

    pub(crate) async fn of_folder(folder: PathBuf) -> Result<Self, ArchiveError> {
        Ok(Self { own: Place::of_folder(folder).await?, cold: None })
    }

    /// A folder by its path, anything else by its URL.
    pub(crate) async fn at(place: &str) -> Result<Self, ArchiveError> {
        Ok(Self { own: Place::at(place).await?, cold: None })
    }

    /// This store, with cold objects in another place, named as in [`Self::at`]; beside it or the same, lest one tell of
    /// the other's objects as its own.
    pub(crate) async fn with_cold(self, place: &str) -> Result<Self, ArchiveError> {
        let cold = Place::at(place).await?;
        if cold.is_part_of(&self.own) || self.own.is_part_of(&cold) {
            return Err(ArchiveError::Config(
                "storage.cold_url and the archive's own store lie one in the other: choose a place beside it".into(),
            ));
        }
        Ok(Self { cold: Some(cold), ..self })
    }

    /// What lies under a prefix of this store, as a store of its own.
    pub(crate) fn within(&self, prefix: &str) -> Self {
        let within = |place: &Place| place.within(prefix);
        Self { own: within(&self.own), cold: self.cold.as_ref().map(within) }
    }

    fn of(&self, key: &str) -> &Place {
        self.cold.as_ref().filter(|_| is_cold(key)).unwrap_or(&self.own)
    }

    /// Whether cold objects have a place of their own.
    pub(crate) fn has_cold(&self) -> bool {
        self.cold.is_some()
    }

    /// Whether an object is a file of ours.
    pub(crate) fn is_local(&self, key: &str) -> bool {
        self.of(key).is_local()
    }

    /// Whether all objects are.
    pub(crate) fn is_all_local(&self) -> bool {
        self.own.is_local() && self.cold.as_ref().is_none_or(Place::is_local)
    }

    /// Makes a synced file an object: by a rename where objects are files. Durable when this returns.
    pub(crate) async fn put_file(&self, path: &Path, key: &str) -> Result<(), ArchiveError> {
        self.of(key).put_file(path, key).await
    }

    /// Makes an object of what a reader gives, about `len` bytes. Durable, and there as a whole or not at all, when this
    /// returns.
    pub(crate) async fn put(&self, source: Source, len: u64, key: &str) -> Result<(), ArchiveError> {
        self.of(key).put(source, len, key).await
    }

    /// As [`Self::put`], of what comes as a stream.
    pub(crate) async fn put_stream(&self, bytes: Stream, len: u64, key: &str) -> Result<(), ArchiveError> {
        self.of(key).put_stream(bytes, len, key).await
    }

    /// An object as a stream, and its length.
    pub(crate) async fn stream_whole(&self, key: &str) -> Result<(Stream, u64), ArchiveError> {
        self.of(key).stream_whole(key).await
    }

    /// Bytes of an object, `None` if there is no such object.
    pub(crate) async fn len(&self, key: &str) -> Result<Option<u64>, ArchiveError> {
        self.of(key).len(key).await
    }

    /// Bytes of an object as one stream.
    pub(crate) async fn stream(&self, key: &str, range: Range<u64>) -> Result<Stream, ArchiveError> {
        self.of(key).stream(key, range).await
    }

    /// The first bytes of an object and its whole length.
    pub(crate) async fn read_start(&self, key: &str, len: u64) -> Result<(Bytes, u64), ArchiveError> {
        self.of(key).read_start(key, len).await
    }

    /// Several ranges; near ones are read together. One that ends behind the object is cut there.
    pub(crate) async fn read_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        self.of(key).read_ranges(key, ranges).await
    }

    /// Removes an object; one that is gone already is no failure.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), ArchiveError> {
        self.of(key).remove(key).await
    }

    /// Gives an object another key of the same place; one that is gone is no failure.
    pub(crate) async fn rename(&self, key: &str, to: &str) -> Result<(), ArchiveError> {
        self.of(key).rename(key, to).await
    }

    /// All keys with the time of their last change in milliseconds since 1970-01-01 UTC.
    pub(crate) fn list(&self) -> Listed {
        let Some(cold) = &self.cold else { return self.own.list() };
        // They may be one bucket: each tells of its own.
        let own = self.own.list().try_filter(|(key, _)| ready(!is_cold(key)));
        own.chain(cold.list().try_filter(|(key, _)| ready(is_cold(key)))).boxed()
    }

    /// The keys below a folder.
    pub(crate) async fn keys_under(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        self.of(&format!("{folder}/")).keys_under(folder).await
    }

    /// Writes, reads and removes a small object.
    pub(crate) async fn check(&self) -> Result<(), ArchiveError> {
        self.own.check().await
    }

    /// As [`Self::check`], where cold objects are.
    pub(crate) async fn check_cold(&self) -> Result<(), ArchiveError> {
        self.cold.as_ref().unwrap_or(&self.own).check().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn a_key_tells_where_its_object_lies() {
        let (own, cold) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let [own, cold] = [&own, &cold].map(|folder| folder.path().display().to_string());
        let store = Store::at(&own).await.expect("a store").with_cold(&cold).await.expect("two tiers");
        for key in ["77/1.2/a.tar", "cold/77/1.2/b.tar"] {
            store.put(Box::new(key.as_bytes()), 0, key).await.expect("put");
            assert_eq!(store.len(key).await.expect("asked"), Some(key.len() as u64));
        }
        assert!(Path::new(&own).join("77/1.2/a.tar").is_file() && Path::new(&cold).join("cold/77/1.2/b.tar").is_file());
        assert_eq!(store.keys_under("cold/77").await.expect("listed"), ["cold/77/1.2/b.tar"]);
        let listed: BTreeSet<String> = store.list().map_ok(|(key, _)| key).try_collect().await.expect("listed");
        assert_eq!(listed, BTreeSet::from(["77/1.2/a.tar", "cold/77/1.2/b.tar"].map(str::to_owned)));
    }

    #[tokio::test]
    async fn a_store_within_the_other_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("own").display().to_string();
        let check = async |own: &str, cold: &str, expected: bool| {
            let taken = Store::at(own).await.expect("a store").with_cold(cold).await.is_ok();
            assert_eq!(taken, expected, "{own} with {cold}");
        };
        check(&own, &format!("{own}/archive"), false).await;
        check(&own, &folder.path().display().to_string(), false).await;
        check(&own, &format!("{own}-cold"), true).await;
        let bucket = "s3://bucket/own?region=x";
        check(bucket, "s3://bucket/own/archive?region=x", false).await;
        check(bucket, "s3://bucket?region=x", false).await;
        for beside in ["s3://bucket/own-cold?region=x", "s3://bucket/own?region=x", "s3://other?region=x", &own] {
            check(bucket, beside, true).await;
        }
    }

    #[tokio::test]
    async fn one_folder_for_both_tells_of_each_object_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().display().to_string();
        let store = Store::at(&folder).await.expect("a store").with_cold(&folder).await.expect("two tiers");
        for key in ["77/a.tar", "cold/77/b.tar"] {
            store.put(Box::new(&b"x"[..]), 1, key).await.expect("put");
        }
        assert_eq!(store.list().try_collect::<Vec<_>>().await.expect("listed").len(), 2);
    }
}
