//! Replica or backup: where whole bytes are looked for.

use super::check::Thing;
use crate::{
    archive::Inner,
    error::ArchiveError,
    objects::Objects,
    pack::{Indexed, TRAILER_LEN, read_trailer},
    spool::PACK,
    store::Store,
    tiers::{cold, series_folder},
};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures::stream::BoxStream;
use std::{io::Read, ops::Range};

/// An index, inflated, is some megabytes; more than this is not ours.
const LONGEST_INDEX: u64 = 1 << 30;
/// Where packs lie in a backup; in a replica they lie as in the store.
const ROOTS: [&str; 2] = ["", "packs"];

/// One place.
pub(crate) struct Elsewhere {
    /// As an administrator named it, without what may be a secret.
    pub(super) name: String,
    roots: Vec<Objects>,
}

/// A stretch of a pack that should be the instance.
pub(super) struct Copy<'a> {
    objects: &'a Objects,
    key: String,
    range: Range<u64>,
}

impl Copy<'_> {
    pub(super) async fn stream(&self) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        self.objects.stream(&self.key, self.range.clone()).await
    }
}

impl Inner {
    /// The places to mend from: `from`, or those of the configuration.
    pub(super) async fn places(&self, from: Option<&str>) -> Result<Vec<Elsewhere>, ArchiveError> {
        let configured = [&self.config.mend_from, &self.config.replica_url];
        let configured = configured.into_iter().filter_map(Option::as_deref);
        let named: Vec<&str> = from.map_or_else(|| configured.collect(), |from| vec![from]);
        let mut places = Vec::with_capacity(named.len());
        for place in named {
            places.push(self.elsewhere(place).await?);
        }
        Ok(places)
    }

    async fn elsewhere(&self, place: &str) -> Result<Elsewhere, ArchiveError> {
        let store = Store::at(place).await?;
        let mut roots = Vec::with_capacity(ROOTS.len());
        for root in ROOTS {
            roots.push(Objects::in_store(store.within(root), &self.config).await?);
        }
        Ok(Elsewhere { name: place.split('?').next().unwrap_or_default().to_owned(), roots })
    }
}

impl Elsewhere {
    /// Where the instance may lie whole: first in a copy of the same pack, then in any pack of the series that has an
    /// instance of the same digest. What cannot be read there is passed over.
    pub(super) async fn copies(&self, thing: &Thing) -> Result<Vec<Copy<'_>>, ArchiveError> {
        let (offset, len) = (thing.place.offset, thing.len);
        let folder = series_folder(&thing.place.key);
        let mut copies = Vec::new();
        for objects in &self.roots {
            if matches!(objects.len(&thing.place.key).await, Ok(Some(whole)) if whole >= offset + len) {
                copies.push(Copy { objects, key: thing.place.key.clone(), range: offset..offset + len });
            }
            let mut others = objects.store.keys_under(folder).await?;
            others.extend(objects.store.keys_under(&cold(folder)).await?);
            for key in others {
                if key == thing.place.key || !key.ends_with(PACK) {
                    continue;
                }
                let Ok(indexed) = index(objects, &key).await else { continue };
                let same = indexed.into_iter().filter(|one| one.record.digest == thing.digest);
                copies.extend(same.map(|one| Copy {
                    objects,
                    key: key.clone(),
                    range: one.offset..one.offset.saturating_add(one.record.byte_len),
                }));
            }
        }
        Ok(copies)
    }
}

/// What a pack says that it holds.
async fn index(objects: &Objects, key: &str) -> Result<Vec<Indexed>, ArchiveError> {
    let missing = || ArchiveError::NotFound(format!("pack {key}"));
    let len = objects.len(key).await?.ok_or_else(missing)?;
    let trailer = read_trailer(&objects.read_range(key, len.saturating_sub(TRAILER_LEN)..len).await?)?;
    let end = trailer.index_offset.saturating_add(trailer.index_len).min(len);
    let packed = objects.read_range(key, trailer.index_offset.min(end)..end).await?;
    let mut text = String::new();
    GzDecoder::new(&packed[..]).take(LONGEST_INDEX).read_to_string(&mut text)?;
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().map_err(|e| ArchiveError::Internal(format!("index of {key}: {e}")))
}
