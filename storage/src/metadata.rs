//! DICOM JSON of what is stored.
//!
//! A series that lies in one sealed pack, and has not changed since, has its metadata there as one text: one read gives it.
//! Anything else is put together from the packs.

use crate::{
    archive::{Archive, Inner},
    corrections::View,
    damage::is_suspect,
    error::ArchiveError,
    ingest::blocking,
    pack::Indexed,
    read::{Place, StoredInstance},
};
use flate2::read::GzDecoder;
use futures::{StreamExt, TryStreamExt, stream};
use pacs_core::{Uid, correction::correct_metadata};
use serde_json::{Map, Value};
use sqlx::{Row, any::AnyRow};
use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    ops::Range,
    sync::Arc,
};

/// Inflated, metadata and index of a pack are some megabytes; more than this is not ours.
const LONGEST_TEXT: u64 = 4 << 30;
/// Records read at the same time.
const AT_ONCE: usize = 8;
/// What separates the items of a pack's metadata.
const SEPARATOR: &str = ",\n";

/// What is known of the metadata of a study or series before it is read.
#[derive(Debug, Clone)]
pub struct MetadataState {
    /// Position of the last change; the metadata is the same as long as this is.
    pub position: i64,
    series: Vec<SeriesState>,
    /// What is laid over the instances, if corrections were made.
    view: Option<Arc<View>>,
}

#[derive(Debug, Clone)]
struct SeriesState {
    key: i64,
    position: i64,
}

/// Where a pack keeps its metadata and index.
struct Footer {
    place: Place,
    position: i64,
    metadata: Range<u64>,
    index: Range<u64>,
}

impl Archive {
    /// What is known of the metadata of a study, or one of its series; `None` if there is none.
    pub async fn metadata_state(
        &self,
        study: &Uid,
        series: Option<&Uid>,
    ) -> Result<Option<MetadataState>, ArchiveError> {
        let statement = sqlx::query(STATE).bind(study.as_str()).bind(series.map_or("", Uid::as_str));
        let rows = statement.fetch_all(&self.inner.database.pool).await?;
        let state = |row: &AnyRow| Ok(SeriesState { key: row.try_get(0)?, position: row.try_get(1)? });
        let found = rows.iter().map(state).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let of_study = rows.first().map(|row| row.try_get(2)).transpose()?;
        let position = if series.is_some() { found.first().map(|series| series.position) } else { of_study };
        let is_corrected = rows.first().map(|row| row.try_get::<i64, _>(3)).transpose()? == Some(1);
        let view = if is_corrected { self.inner.view(study, None).await? } else { None };
        Ok(position.map(|position| MetadataState { position, series: found, view }))
    }

    /// One JSON array of all instances, ordered by series and instance number. BulkDataURIs in it are relative:
    /// `studies/…/bulkdata/…`, to be prefixed by the wire with its base URL. No line break is within an item.
    pub async fn metadata_text(&self, state: &MetadataState) -> Result<String, ArchiveError> {
        let mut texts = Vec::with_capacity(state.series.len());
        for series in &state.series {
            let text = self.inner.series_text(series).await?;
            let text = match &state.view {
                Some(view) => corrected_items(text, view.clone()).await?,
                None => text,
            };
            if text.len() > 2 {
                texts.push(text);
            }
        }
        if let [text] = texts.as_mut_slice() {
            return Ok(std::mem::take(text));
        }
        let items: Vec<_> = texts.iter().map(|text| text.trim_start_matches('[').trim_end_matches(']')).collect();
        Ok(format!("[{}]", items.join(SEPARATOR)))
    }

    /// DICOM JSON of each instance of a study, series or single instance, ordered and with BulkDataURIs as in
    /// [`Self::metadata_text`]; empty if there is none.
    pub async fn metadata(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<String>, ArchiveError> {
        if let Some(sop_instance) = sop_instance {
            let instances = self.instances(study, series, Some(sop_instance)).await?;
            return self.metadata_of_all(instances).await;
        }
        let Some(state) = self.metadata_state(study, series).await? else { return Ok(Vec::new()) };
        let text = self.metadata_text(&state).await?;
        let items = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        Ok(items.split(SEPARATOR).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    /// DICOM JSON of one instance, whichever version it is, as [`Self::read`] gives its file; BulkDataURIs as in
    /// [`Self::metadata_text`].
    pub async fn metadata_of(&self, instance: &StoredInstance) -> Result<String, ArchiveError> {
        let text = self.inner.item_at(instance.key, &instance.place, instance.len).await?;
        match &instance.view {
            Some(view) => corrected_item(&text, view),
            None => Ok(text),
        }
    }

    /// As [`Self::metadata_text`], of these instances.
    pub async fn metadata_text_of(&self, instances: &[StoredInstance]) -> Result<String, ArchiveError> {
        Ok(format!("[{}]", self.metadata_of_all(instances.to_vec()).await?.join(SEPARATOR)))
    }

    async fn metadata_of_all(&self, instances: Vec<StoredInstance>) -> Result<Vec<String>, ArchiveError> {
        let texts = stream::iter(instances).map(|instance| async move { self.metadata_of(&instance).await });
        texts.buffered(AT_ONCE).try_collect().await
    }
}

impl Inner {
    /// DICOM JSON of an instance; of one that is known to be lost what the catalog has of it.
    async fn item_at(self: &Arc<Self>, id: i64, place: &Place, len: u64) -> Result<String, ArchiveError> {
        match self.record_at(place, len).await {
            Err(error) if is_suspect(&error) && self.quarantine.holds(id) => self.bare_metadata(id).await,
            read => Ok(read?.1),
        }
    }

    async fn series_text(self: &Arc<Self>, series: &SeriesState) -> Result<String, ArchiveError> {
        let rows = sqlx::query(FOOTERS).bind(series.key).fetch_all(&self.database.pool).await?;
        let footers = rows.iter().map(footer).collect::<Result<Vec<_>, sqlx::Error>>()?;
        match footers.as_slice() {
            [only] if only.place.sealed && only.position == series.position => {
                let text = self.inflated_part(&only.place, only.metadata.clone()).await;
                if !text.as_ref().is_err_and(is_suspect) {
                    return text;
                }
            }
            _ => {}
        }
        Ok(format!("[{}]", self.series_items(series.key, footers).await?.join(SEPARATOR)))
    }

    /// The items of a series in order, from as many packs as there are.
    async fn series_items(self: &Arc<Self>, series: i64, footers: Vec<Footer>) -> Result<Vec<String>, ArchiveError> {
        let mut ready = HashMap::new();
        for footer in footers.iter().filter(|footer| footer.place.sealed) {
            match self.items_of_pack(footer, &mut ready).await {
                // The items are taken from the records.
                Err(error) if is_suspect(&error) => self.suspect_place(&footer.place),
                read => read?,
            }
        }
        let rows = sqlx::query(PLACES).bind(series).fetch_all(&self.database.pool).await?;
        let places = rows.iter().map(InSeries::of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let items = stream::iter(places).map(|one| {
            let item = ready.remove(&(one.place.key.clone(), one.place.offset));
            async move {
                match item {
                    Some(item) => Ok(item),
                    None => self.item_at(one.id, &one.place, one.len).await,
                }
            }
        });
        items.buffered(AT_ONCE).try_collect().await
    }

    /// Adds the items of a sealed pack by object key and offset: metadata and index lie one behind the other.
    async fn items_of_pack(
        &self,
        footer: &Footer,
        items: &mut HashMap<(String, u64), String>,
    ) -> Result<(), ArchiveError> {
        let text = self.inflated_part(&footer.place, footer.metadata.clone()).await?;
        let index = self.inflated_part(&footer.place, footer.index.clone()).await?;
        let lines = index.lines().filter_map(|line| serde_json::from_str::<Indexed>(line).ok());
        let places: BTreeMap<u32, u64> = lines.filter_map(|line| Some((line.metadata?, line.offset))).collect();
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        let key = &footer.place.key;
        items.extend(
            places.into_values().zip(text.split(SEPARATOR)).map(|(at, item)| ((key.clone(), at), item.to_owned())),
        );
        Ok(())
    }

    pub(crate) async fn inflated_part(&self, place: &Place, range: Range<u64>) -> Result<String, ArchiveError> {
        let packed = self.read_pack(place, range).await?;
        blocking(move || {
            let mut text = String::new();
            GzDecoder::new(&packed[..]).take(LONGEST_TEXT).read_to_string(&mut text)?;
            Ok(text)
        })
        .await
    }
}

/// Lays corrections over the items of a series.
async fn corrected_items(text: String, view: Arc<View>) -> Result<String, ArchiveError> {
    blocking(move || {
        let items = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or_default();
        let items = items.split(SEPARATOR).filter(|item| !item.is_empty());
        let items = items.map(|item| corrected_item(item, &view)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("[{}]", items.join(SEPARATOR)))
    })
    .await
}

fn corrected_item(text: &str, view: &View) -> Result<String, ArchiveError> {
    let damaged = |error: serde_json::Error| ArchiveError::Internal(format!("stored metadata: {error}"));
    let mut item: Map<String, Value> = serde_json::from_str(text).map_err(damaged)?;
    let uid = |key: &str| item.get(key)?.get("Value")?.get(0)?.as_str()?.parse::<Uid>().ok();
    let steps = match (uid(SERIES_INSTANCE_UID), uid(SOP_INSTANCE_UID)) {
        (Some(series), Some(sop_instance)) => view.steps(&series, &sop_instance),
        _ => Vec::new(),
    };
    if steps.is_empty() {
        return Ok(text.to_owned());
    }
    correct_metadata(&mut item, &steps);
    serde_json::to_string(&item).map_err(damaged)
}

const SERIES_INSTANCE_UID: &str = "0020000E";
const SOP_INSTANCE_UID: &str = "00080018";

/// A current instance of a series.
struct InSeries {
    id: i64,
    place: Place,
    len: u64,
}

impl InSeries {
    fn of(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
        let place = Place {
            key: row.try_get(0)?,
            sealed: number(1)? == 1,
            offset: number(2)?,
            record_len: number(3)?,
            checksum: u32::try_from(number(6)?).unwrap_or_default(),
        };
        Ok(Self { id: row.try_get(5)?, place, len: number(4)? })
    }
}

fn footer(row: &AnyRow) -> Result<Footer, sqlx::Error> {
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let part = |index| Ok::<_, sqlx::Error>(number(index)?..number(index)?.saturating_add(number(index + 1)?));
    Ok(Footer {
        place: Place { key: row.try_get(0)?, sealed: number(1)? == 1, offset: 0, record_len: 0, checksum: 0 },
        position: row.try_get(2)?,
        metadata: part(3)?,
        index: part(5)?,
    })
}

const STATE: &str = "select se.series_key, se.changed_position, st.changed_position, st.corrected
    from study st join series se on se.study_key = st.study_key
    where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2)
        and se.number_of_series_related_instances > 0
    order by se.series_order, se.series_key";

const FOOTERS: &str =
    "select object_key, sealed, metadata_position, metadata_offset, metadata_len, index_offset, index_len
    from pack where series_key = $1";

const PLACES: &str =
    "select p.object_key, p.sealed, i.pack_offset, i.record_len, i.byte_len, i.instance_key, i.checksum
    from instance i join pack p on p.pack_key = i.pack_key
    where i.series_key = $1 and i.is_current = 1 order by i.instance_order, i.instance_key";
