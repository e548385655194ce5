//! What is stored, as bytes, frames and metadata.

use crate::{archive::Archive, error::ArchiveError, versions::version_number};
use bytes::Bytes;
use futures::stream::BoxStream;
use pacs_core::{
    TransferSyntax, Uid,
    data_set::{Limits, inflate},
    frame_layout::FrameLayout,
    transfer_syntax::Encoding,
};
use sqlx::{Row, any::AnyRow};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

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
    /// Object key and, for packs later, offset: opaque outside `storage`.
    pub(crate) key: String,
}

impl Archive {
    /// DICOM JSON of each instance of a study, series or single instance, ordered by series and instance number.
    /// BulkDataURIs in it are relative: `studies/…/bulkdata/…`, to be prefixed by the wire with its base URL.
    pub async fn metadata(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<String>, ArchiveError> {
        let rows = self.rows(METADATA, study, series, sop_instance).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// The instances of a study, series, or the single one, ordered by series and instance number; empty if there is
    /// none.
    pub async fn instances(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<StoredInstance>, ArchiveError> {
        self.rows(INSTANCES, study, series, sop_instance).await?.iter().map(stored_instance).collect()
    }

    /// One instance: its current version, or the one of a number.
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
        stored_instance(&row.ok_or_else(absent)?)
    }

    /// DICOM JSON of one instance, whichever version it is; BulkDataURIs as in [`Self::metadata`].
    pub async fn metadata_of(&self, instance: &StoredInstance) -> Result<String, ArchiveError> {
        let row = sqlx::query(METADATA_OF).bind(instance.id).fetch_optional(&self.inner.database.pool).await?;
        let row = row.ok_or_else(|| ArchiveError::NotFound(format!("instance {}", instance.sop_instance)))?;
        Ok(row.try_get(0)?)
    }

    /// The whole stored file, streamed.
    pub async fn read(
        &self,
        instance: &StoredInstance,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        self.inner.objects.read(&instance.key).await
    }

    /// Bytes of the stored file; a range that ends behind it is cut there.
    pub async fn read_range(&self, instance: &StoredInstance, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let range = range.start..range.end.min(instance.len);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.inner.objects.read_range(&instance.key, range).await
    }

    /// Frame `index` (from 0) as encoded, fragments joined, and the bit offset for 1-bit native frames. One read where
    /// the frame's bytes are contiguous. For a deflated data set the file is inflated first.
    pub async fn read_frame(&self, instance: &StoredInstance, index: u32) -> Result<(Bytes, u8), ArchiveError> {
        let ranges = instance.frames.as_ref().and_then(|frames| frames.ranges(index));
        let ranges = ranges.ok_or_else(|| no_frame(instance, index))?;
        let bytes = if instance.transfer_syntax.encoding() == Encoding::Deflated {
            let inflated = self.inflated(instance).await?;
            joined(ranges.iter().filter_map(|range| slice(&inflated, range)).collect())
        } else if let [range] = ranges.as_slice() {
            self.inner.objects.read_range(&instance.key, range.clone()).await?
        } else {
            joined(self.inner.objects.read_ranges(&instance.key, &ranges).await?)
        };
        Ok((bytes, bit_offset(instance.frames.as_ref(), index)))
    }

    /// The inflated data set; the last one is kept, as frames are asked for one after the other.
    async fn inflated(&self, instance: &StoredInstance) -> Result<Bytes, ArchiveError> {
        if let Some(bytes) = self.inner.inflated.get(&instance.key) {
            return Ok(bytes);
        }
        let deflated = self.read_range(instance, instance.data_set_offset..instance.len).await?;
        let limit = Limits::default().inflated;
        let bytes = tokio::task::spawn_blocking(move || inflate(deflated.as_ref(), limit))
            .await
            .map_err(|e| ArchiveError::Internal(e.to_string()))??;
        let bytes = Bytes::from(bytes);
        self.inner.inflated.put(&instance.key, bytes.clone());
        Ok(bytes)
    }

    async fn rows(
        &self,
        statement: &'static str,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<AnyRow>, sqlx::Error> {
        sqlx::query(statement)
            .bind(study.as_str())
            .bind(series.map_or("", Uid::as_str))
            .bind(sop_instance.map_or("", Uid::as_str))
            .fetch_all(&self.inner.database.pool)
            .await
    }
}

/// The data set that was inflated last, by object key.
#[derive(Default)]
pub(crate) struct Inflated(Mutex<Option<(String, Bytes)>>);

impl Inflated {
    fn get(&self, key: &str) -> Option<Bytes> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|(of, _)| of == key).map(|(_, bytes)| bytes.clone())
    }

    fn put(&self, key: &str, bytes: Bytes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((key.to_owned(), bytes));
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

/// From a row of [`select_instances!`].
pub(crate) fn stored_instance(row: &AnyRow) -> Result<StoredInstance, ArchiveError> {
    let uid = |index: usize| -> Result<Uid, ArchiveError> {
        let text: String = row.try_get(index)?;
        text.parse().map_err(|e| ArchiveError::Internal(format!("catalog holds UID {text:?}: {e}")))
    };
    let frames: String = row.try_get(7)?;
    let frames = Some(frames).filter(|text| !text.is_empty()).map(|text| serde_json::from_str(&text)).transpose();
    Ok(StoredInstance {
        study: uid(0)?,
        series: uid(1)?,
        sop_instance: uid(2)?,
        sop_class: uid(3)?,
        transfer_syntax: TransferSyntax::new(uid(4)?),
        len: row.try_get::<i64, _>(5)?.unsigned_abs(),
        data_set_offset: row.try_get::<i64, _>(6)?.unsigned_abs(),
        frames: frames.map_err(|e| ArchiveError::Internal(format!("catalog holds a frame layout: {e}")))?,
        key: row.try_get(8)?,
        id: row.try_get(9)?,
        version: version_number(row.try_get(10)?),
    })
}

const METADATA: &str = "select m.json from study st join series se on se.study_key = st.study_key
        join instance i on i.series_key = se.series_key join instance_metadata m on m.instance_key = i.instance_key
    where st.study_instance_uid = $1 and ($2 = '' or se.series_instance_uid = $2)
        and ($3 = '' or i.sop_instance_uid = $3) and i.is_current = 1
    order by se.series_order, se.series_key, i.instance_order, i.instance_key";

const METADATA_OF: &str = "select json from instance_metadata where instance_key = $1";

/// The columns of [`stored_instance`] and more, and the end of the statement.
macro_rules! select_instances {
    ($more:literal, $end:literal) => {
        concat!(
            "select st.study_instance_uid, se.series_instance_uid, i.sop_instance_uid, i.sop_class_uid,
                i.available_transfer_syntax_uid, i.byte_len, i.data_set_offset, i.frame_layout, i.object_key,
                i.instance_key, i.version",
            $more,
            " from study st join series se on se.study_key = st.study_key
                join instance i on i.series_key = se.series_key ",
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

const INSTANCE: &str = select_instances!(
    "",
    "where st.study_instance_uid = $1 and se.series_instance_uid = $2 and i.sop_instance_uid = $3
        and (i.version = $4 or $4 < 0 and i.is_current = 1)"
);
