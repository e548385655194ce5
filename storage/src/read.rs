//! What is stored, as bytes, frames and metadata.

use crate::{
    archive::{Archive, Inner},
    corrections::{View, corrected},
    damage::is_suspect,
    error::ArchiveError,
    index::IN_RECORD,
    ingest::blocking,
    pack::{Record, record_offset},
    routing::Alteration,
    versions::version_number,
};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use pacs_core::{
    TransferSyntax, Uid,
    data_set::{Limits, inflate},
    frame_layout::FrameLayout,
    transfer_syntax::Encoding,
};
use sqlx::{Row, any::AnyRow};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes read in one go where a file is streamed.
const STEP: u64 = 1 << 20;

/// Where and what a stored instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredInstance {
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub sop_class: Uid,
    /// Of the contents held under this SOP Instance UID in this series, counted from 1.
    pub version: u32,
    /// Stands for these very bytes: never given to anything else, also after a deletion. What is remembered of an instance
    /// is remembered under this.
    pub id: i64,
    pub transfer_syntax: TransferSyntax,
    /// Length of the stored Part 10 file in bytes.
    pub len: u64,
    /// Where its data set starts in that file.
    pub data_set_offset: u64,
    pub frames: Option<FrameLayout>,
    /// Of its row.
    pub(crate) key: i64,
    pub(crate) place: Place,
    /// What is laid over it where it is read as it is seen, not as it was received.
    pub(crate) view: Option<Arc<View>>,
    /// What is changed of it on its way out.
    pub(crate) alteration: Option<Arc<Alteration>>,
}

/// Where an instance lies: opaque outside `storage`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Object of the pack.
    pub(crate) key: String,
    /// Whether the pack was in the store when this was read; else it was in a spool, and may have moved since.
    pub(crate) sealed: bool,
    /// Of the Part 10 file in the pack.
    pub(crate) offset: u64,
    pub(crate) record_len: u64,
    /// CRC-32C of the Part 10 file.
    pub(crate) checksum: u32,
}

impl StoredInstance {
    /// Bytes of the Part 10 file as bytes of the pack.
    fn in_pack(&self, range: &Range<u64>) -> Range<u64> {
        self.place.offset.saturating_add(range.start)..self.place.offset.saturating_add(range.end)
    }

    /// Whether the whole file is little more than these: then a checksum costs a reader next to nothing. So it is with the
    /// only frame of most images.
    fn is_nearly_all(&self, ranges: &[Range<u64>]) -> bool {
        let wanted: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        self.len.saturating_sub(wanted) <= wanted / 4
    }
}

impl Archive {
    /// The instances of a study, series, or the single one, ordered by series and instance number; empty if there is
    /// none.
    pub async fn instances(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<StoredInstance>, ArchiveError> {
        let rows = sqlx::query(INSTANCES)
            .bind(study.as_str())
            .bind(series.map_or("", Uid::as_str))
            .bind(sop_instance.map_or("", Uid::as_str))
            .fetch_all(&self.inner.database.pool)
            .await?;
        let mut instances = self.stored_instances(&rows).await?;
        self.lay_over(rows.first(), &mut instances).await?;
        Ok(instances)
    }

    /// The first of them, without looking at the others.
    pub async fn first_instance(
        &self,
        study: &Uid,
        series: Option<&Uid>,
    ) -> Result<Option<StoredInstance>, ArchiveError> {
        let row = sqlx::query(FIRST_INSTANCE)
            .bind(study.as_str())
            .bind(series.map_or("", Uid::as_str))
            .fetch_optional(&self.inner.database.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut instances = [self.stored_instance(&row).await?];
        self.lay_over(Some(&row), &mut instances).await?;
        Ok(Some(instances).map(|[instance]| instance))
    }

    /// One instance: its current version as it is seen, or the one of a number as it was received.
    pub async fn instance(
        &self,
        study: &Uid,
        series: &Uid,
        sop_instance: &Uid,
        version: Option<u32>,
    ) -> Result<StoredInstance, ArchiveError> {
        let row = sqlx::query(INSTANCE)
            .bind(study.as_str())
            .bind(series.as_str())
            .bind(sop_instance.as_str())
            .bind(version.map_or(-1, i64::from))
            .fetch_optional(&self.inner.database.pool)
            .await?;
        let absent = || match version {
            Some(version) => ArchiveError::NotFound(format!("version {version} of instance {sop_instance}")),
            None => ArchiveError::NotFound(format!("instance {sop_instance}")),
        };
        let row = row.ok_or_else(absent)?;
        let mut instances = [self.stored_instance(&row).await?];
        if version.is_none() {
            self.lay_over(Some(&row), &mut instances).await?;
        }
        let [instance] = instances;
        Ok(instance)
    }

    /// Whether the bytes of these can be read from here: an error if they are in the spool of a process on another machine.
    /// To be asked before an answer is begun that could not be finished.
    pub async fn reach(&self, instances: impl IntoIterator<Item = &StoredInstance>) -> Result<(), ArchiveError> {
        let places = instances.into_iter().map(|instance| &instance.place);
        let open: BTreeSet<_> = places.filter(|place| !place.sealed).map(|place| place.key.as_str()).collect();
        for key in open {
            if self.inner.packs.file_of(key)?.is_none() && self.inner.objects.len(key).await?.is_none() {
                return Err(ArchiveError::Elsewhere(key.to_owned()));
            }
        }
        Ok(())
    }

    /// The whole file, streamed, with the corrections in force laid over it. The stream ends in an error if what is stored
    /// is not what was received.
    pub async fn read(
        &self,
        instance: &StoredInstance,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        match corrected(self, instance).await? {
            Some(stream) => Ok(stream),
            None => self.read_as_received(instance).await,
        }
    }

    /// The whole file as it was received, streamed and checked as [`Self::read`] does.
    pub async fn read_as_received(
        &self,
        instance: &StoredInstance,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        self.read_whole(instance.key, &instance.place, instance.len, &instance.sop_instance).await
    }

    pub(crate) async fn read_whole(&self, id: i64, place: &Place, len: u64, uid: &Uid) -> Result<Stream, ArchiveError> {
        self.inner.refuse_damaged(id, uid)?;
        let stream = self.inner.stream_pack(place, place.offset..place.offset.saturating_add(len)).await;
        let stream = stream.inspect_err(|error| self.inner.suspect(id, error))?;
        let archive = self.inner.clone();
        let checked = checked(stream, place.checksum, len, uid.clone());
        Ok(checked.inspect_err(move |error| archive.suspect(id, error)).boxed())
    }

    /// Bytes of the file as received; a range that ends behind it is cut there.
    pub async fn read_range(&self, instance: &StoredInstance, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let range = range.start..range.end.min(instance.len);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut parts = self.parts_of(instance, &[range]).await?;
        Ok(parts.pop().unwrap_or_default())
    }

    /// Ranges of the stored file, which lie in it.
    async fn parts_of(&self, instance: &StoredInstance, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        self.refuse_damaged(instance)?;
        let parts = match instance.is_nearly_all(ranges) {
            true => self.checked_parts(instance, ranges).await,
            false => {
                let ranges: Vec<_> = ranges.iter().map(|range| instance.in_pack(range)).collect();
                self.inner.read_pack_ranges(&instance.place, &ranges).await
            }
        };
        parts.inspect_err(|error| self.inner.suspect(instance.key, error))
    }

    /// Ranges of the whole file, which was compared with what was received.
    async fn checked_parts(
        &self,
        instance: &StoredInstance,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, ArchiveError> {
        let whole = self.inner.read_pack(&instance.place, instance.in_pack(&(0..instance.len))).await?;
        let damaged = || ArchiveError::Damaged(instance.sop_instance.to_string());
        if crc32c::crc32c(&whole) != instance.place.checksum {
            return Err(damaged());
        }
        ranges.iter().map(|range| slice(&whole, range).ok_or_else(damaged)).collect()
    }

    /// Frame `index` (from 0) as encoded, fragments joined, and the bit offset for 1-bit native frames. One read where
    /// the frame's bytes are contiguous. For a deflated data set the file is inflated first.
    pub async fn read_frame(&self, instance: &StoredInstance, index: u32) -> Result<(Bytes, u8), ArchiveError> {
        let ranges = instance.frames.as_ref().and_then(|frames| frames.ranges(index));
        let ranges = ranges.ok_or_else(|| no_frame(instance, index))?;
        let bytes = if instance.transfer_syntax.encoding() == Encoding::Deflated {
            let inflated = self.inflated(instance).await?;
            joined(ranges.iter().filter_map(|range| slice(&inflated, range)).collect())
        } else {
            joined(self.parts_of(instance, &ranges).await?)
        };
        Ok((bytes, bit_offset(instance.frames.as_ref(), index)))
    }

    /// The inflated data set; the last one is kept, as frames are asked for one after the other.
    async fn inflated(&self, instance: &StoredInstance) -> Result<Bytes, ArchiveError> {
        self.refuse_damaged(instance)?;
        if let Some(bytes) = self.inner.inflated.get(instance.id) {
            return Ok(bytes);
        }
        let deflated = self.read_range(instance, instance.data_set_offset..instance.len).await?;
        let limit = Limits::default().inflated;
        let bytes = tokio::task::spawn_blocking(move || inflate(deflated.as_ref(), limit))
            .await
            .map_err(|e| ArchiveError::Internal(e.to_string()))??;
        let bytes = Bytes::from(bytes);
        self.inner.inflated.put(instance.id, bytes.clone());
        Ok(bytes)
    }

    pub(crate) async fn stored_instances(&self, rows: &[AnyRow]) -> Result<Vec<StoredInstance>, ArchiveError> {
        let mut instances = Vec::with_capacity(rows.len());
        for row in rows {
            instances.push(self.stored_instance(row).await?);
        }
        Ok(instances)
    }

    /// From a row of [`select_instances!`]. A long frame layout is read from the record.
    pub(crate) async fn stored_instance(&self, row: &AnyRow) -> Result<StoredInstance, ArchiveError> {
        let (mut instance, layout) = located(row)?;
        instance.frames = match layout.as_str() {
            "" => None,
            IN_RECORD => self.inner.record_at(&instance.place, instance.len).await?.0.frames,
            layout => Some(serde_json::from_str(layout).map_err(|e| damaged(&e))?),
        };
        Ok(instance)
    }
}

impl Inner {
    /// The record of an instance of `len` bytes, and its DICOM JSON.
    pub(crate) async fn record_at(self: &Arc<Self>, place: &Place, len: u64) -> Result<(Record, String), ArchiveError> {
        let start = record_offset(place.offset, len);
        let packed = self.read_pack(place, start..start.saturating_add(place.record_len)).await;
        match packed.and_then(|packed| Record::unpacked(&packed)) {
            Err(error) if is_suspect(&error) => {
                self.suspect_place(place);
                self.record_again(place, len).await
            }
            read => read,
        }
    }

    pub(crate) async fn read_pack(&self, place: &Place, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let mut parts = self.read_pack_ranges(place, &[range]).await?;
        Ok(parts.pop().unwrap_or_default())
    }

    /// Ranges of a pack, wherever it lies now: in a spool of this machine, or in the store.
    async fn read_pack_ranges(&self, place: &Place, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        if let Some(file) = self.spooled(place)? {
            let ranges = ranges.to_vec();
            let key = place.key.clone();
            return blocking(move || ranges.into_iter().map(|range| read_part(&file, &key, range)).collect()).await;
        }
        match self.objects.read_ranges(&place.key, ranges).await {
            Err(ArchiveError::Store(object_store::Error::NotFound { .. })) if !place.sealed => {
                Err(ArchiveError::Elsewhere(place.key.clone()))
            }
            read => read,
        }
    }

    /// A stretch of a pack. A local file is read in steps: the object store's own stream would be some thousand small reads,
    /// each on another thread.
    pub(crate) async fn stream_pack(
        self: &Arc<Self>,
        place: &Place,
        range: Range<u64>,
    ) -> Result<Stream, ArchiveError> {
        if place.sealed && !self.objects.store.is_local(&place.key) {
            return self.objects.stream(&place.key, range).await;
        }
        let steps = range.clone().step_by(STEP as usize).map(move |at| at..range.end.min(at.saturating_add(STEP)));
        let (archive, place) = (self.clone(), place.clone());
        let read = move |step| {
            let (archive, place) = (archive.clone(), place.clone());
            async move { archive.read_pack(&place, step).await }
        };
        Ok(stream::iter(steps).then(read).boxed())
    }

    /// The file of a pack that is not sealed, opened: once it is, it may be moved.
    fn spooled(&self, place: &Place) -> Result<Option<File>, ArchiveError> {
        if place.sealed {
            return Ok(None);
        }
        let Some(path) = self.packs.file_of(&place.key)? else { return Ok(None) };
        match File::open(path) {
            Ok(file) => Ok(Some(file)),
            // Sealed since.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn read_part(file: &File, key: &str, range: Range<u64>) -> Result<Bytes, ArchiveError> {
    let mut file = file;
    file.seek(SeekFrom::Start(range.start))?;
    let len = range.end.saturating_sub(range.start);
    let mut part = Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(STEP as usize));
    file.take(len).read_to_end(&mut part)?;
    let actual = part.len() as u64;
    if actual < len {
        return Err(ArchiveError::Truncated { key: key.to_owned(), expected: len, actual });
    }
    Ok(part.into())
}

pub(crate) type Stream = BoxStream<'static, Result<Bytes, ArchiveError>>;

/// Adds up the checksum; the last piece is held back until it is right. A stream that ends early is an error too.
fn checked(stream: Stream, expected: u32, len: u64, uid: Uid) -> Stream {
    let next = move |(mut stream, left, sum): (Stream, u64, u32)| {
        let uid = uid.clone();
        async move {
            let Some(piece) = stream.try_next().await? else {
                return if left == 0 {
                    Ok(None)
                } else {
                    Err(ArchiveError::Truncated { key: uid.to_string(), expected: len, actual: len - left })
                };
            };
            let sum = crc32c::crc32c_append(sum, &piece);
            let left = left.saturating_sub(piece.len() as u64);
            if left == 0 && sum != expected {
                return Err(ArchiveError::Damaged(uid.to_string()));
            }
            Ok(Some((piece, (stream, left, sum))))
        }
    };
    stream::try_unfold((stream, len, 0), next).boxed()
}

/// The data set that was inflated last, by [`StoredInstance::id`].
#[derive(Default)]
pub(crate) struct Inflated(Mutex<Option<(i64, Bytes)>>);

impl Inflated {
    fn get(&self, id: i64) -> Option<Bytes> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(of, _)| *of == id).map(|(_, bytes)| bytes.clone())
    }

    fn put(&self, id: i64, bytes: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, bytes));
    }
}

fn no_frame(instance: &StoredInstance, index: u32) -> ArchiveError {
    ArchiveError::NotFound(format!("frame {} of instance {}", u64::from(index) + 1, instance.sop_instance))
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

fn joined(parts: Vec<Bytes>) -> Bytes {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([whole]) => whole,
        Err(parts) => parts.concat().into(),
    }
}

/// Frames of one bit a pixel follow each other without padding (PS3.5 §8.1.1).
fn bit_offset(frames: Option<&FrameLayout>, index: u32) -> u8 {
    match frames {
        Some(FrameLayout::Native { frame_bits, .. }) => (frame_bits.wrapping_mul(index.into()) % 8) as u8,
        _ => 0,
    }
}

/// An instance without its frames, and its frame layout as the catalog has it.
fn located(row: &AnyRow) -> Result<(StoredInstance, String), ArchiveError> {
    let uid = |index: usize| -> Result<Uid, ArchiveError> {
        let text: String = row.try_get(index)?;
        text.parse().map_err(|e| damaged(&e))
    };
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let instance = StoredInstance {
        study: uid(0)?,
        series: uid(1)?,
        sop_instance: uid(2)?,
        sop_class: uid(3)?,
        transfer_syntax: TransferSyntax::new(uid(4)?),
        len: number(5)?,
        data_set_offset: number(6)?,
        frames: None,
        place: place(row, 8)?,
        key: row.try_get(13)?,
        id: row.try_get(16)?,
        version: version_number(row.try_get(14)?),
        view: None,
        alteration: None,
    };
    Ok((instance, row.try_get(7)?))
}

/// From the five columns from `first` on: object key of the pack, whether it is sealed, offset in it, length of the record,
/// checksum.
pub(crate) fn place(row: &AnyRow, first: usize) -> Result<Place, ArchiveError> {
    let number = |index: usize| row.try_get::<i64, _>(first + index).map(i64::unsigned_abs);
    Ok(Place {
        key: row.try_get(first)?,
        sealed: number(1)? == 1,
        offset: number(2)?,
        record_len: number(3)?,
        checksum: u32::try_from(number(4)?).map_err(|e| damaged(&e))?,
    })
}

fn damaged(error: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Internal(format!("the catalog is damaged: {error}"))
}

/// The columns of [`Archive::stored_instance`] and more, and the end of the statement.
macro_rules! select_instances {
    ($more:literal, $end:literal) => {
        concat!(
            "select st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,
                i.available_transfer_syntax_uid, i.byte_len, i.data_set_offset, i.frame_layout, p.object_key, p.sealed,
                i.pack_offset, i.record_len, i.checksum, i.instance_key, i.version, st.corrected,
                case when i.content_key > 0 then i.content_key else i.instance_key end",
            $more,
            " from study st join series se on se.study_key = st.study_key
                join instance i on i.series_key = se.series_key join pack p on p.pack_key = i.pack_key ",
            $end
        )
    };
}
pub(crate) use select_instances;

const INSTANCES: &str = select_instances!(
    "",
    "where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2)
        and ($3 = '' or i.sop_instance_uid = $3) and i.is_current = 1
    order by se.series_order, se.series_key, i.instance_order, i.instance_key"
);

const FIRST_INSTANCE: &str = select_instances!(
    "",
    "where se.series_key = (select one.series_key from study of_one join series one on one.study_key = of_one.study_key
            where of_one.study_instance_uid = $1 and ($2 = '' or one.series_instance_uid = $2)
                and one.number_of_series_related_instances > 0
            order by one.series_order, one.series_key limit 1)
        and i.is_current = 1
    order by i.instance_order, i.instance_key limit 1"
);

const INSTANCE: &str = select_instances!(
    "",
    "where st.study_instance_uid = $1 and se.series_instance_uid = $2 and i.sop_instance_uid = $3
        and (i.version = $4 or $4 < 0 and i.is_current = 1)"
);
