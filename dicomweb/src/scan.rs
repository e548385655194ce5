//! Scanning a stored file over ranged reads, so that pixel data is never fetched for it.

use crate::{error::WebError, web::Web};
use bytes::Bytes;
use pacs_core::{
    Failure, VR,
    data_set::{self, DataSet, Limits, ScanError},
    transfer_syntax::Encoding,
};
use std::{
    io::{self, Cursor, Read, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};
use storage::{Archive, ArchiveError, StoredInstance};
use tokio::runtime::Handle;

/// Bytes fetched at once.
const STEP: u64 = 128 << 10;
/// A deflated data set may inflate to this many bytes here.
const MAX_INFLATED: u64 = 256 << 20;

/// A data set; offsets in it are of the stored file or, for a deflated one, of the inflated bytes.
pub struct Scanned {
    pub data_set: DataSet,
    pub inflated: Option<Bytes>,
}

impl Scanned {
    /// Bytes at an offset of the data set.
    pub async fn read(
        &self,
        web: &Web,
        instance: &StoredInstance,
        range: Range<u64>,
        limit: u64,
    ) -> Result<Bytes, WebError> {
        if range.end.saturating_sub(range.start) > limit {
            return Err(WebError::Refused(Failure::TooLarge, "value is too large to be converted".into()));
        }
        let Some(inflated) = &self.inflated else { return Ok(web.archive.read_range(instance, range).await?) };
        let cut = inflated.get(range.start as usize..range.end as usize);
        cut.map(|cut| inflated.slice_ref(cut)).ok_or_else(|| WebError::not_found("value is outside the data set"))
    }
}

/// Scans an instance off the async threads.
pub async fn scan(web: &Web, instance: &Arc<StoredInstance>) -> Result<Scanned, WebError> {
    let reader = RangedReader::new(web.archive.clone(), Arc::clone(instance));
    let bytes = if instance.transfer_syntax.encoding() == Encoding::Deflated { MAX_INFLATED } else { 0 };
    web.workers.run(bytes, move || scanned(reader).map_err(|error| ArchiveError::from(error).into())).await
}

fn scanned(mut reader: RangedReader) -> Result<Scanned, ScanError> {
    let instance = Arc::clone(&reader.instance);
    reader.seek(SeekFrom::Start(instance.data_set_offset))?;
    if instance.transfer_syntax.encoding() != Encoding::Deflated {
        let data_set = data_set::scan(&mut reader, &instance.transfer_syntax, Limits::default())?;
        return Ok(Scanned { data_set, inflated: None });
    }
    let inflated = Bytes::from(data_set::inflate(reader, MAX_INFLATED)?);
    let explicit = pacs_core::TransferSyntax::explicit_little();
    let data_set = data_set::scan(&mut Cursor::new(&inflated), &explicit, Limits::default())?;
    Ok(Scanned { data_set, inflated: Some(inflated) })
}

/// Bytes of one value of a VR, as far as byte order matters (PS3.5 §7.3).
pub fn value_width(vr: VR) -> usize {
    match vr {
        VR::OW | VR::US | VR::SS | VR::AT => 2,
        VR::OF | VR::OL | VR::UL | VR::SL | VR::FL => 4,
        VR::OD | VR::OV | VR::FD | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

/// `Read + Seek` over ranged reads of the archive, for use on a blocking thread.
struct RangedReader {
    archive: Archive,
    instance: Arc<StoredInstance>,
    runtime: Handle,
    position: u64,
    /// Bytes at hand, and where they start in the file.
    held: (u64, Bytes),
}

impl RangedReader {
    fn new(archive: Archive, instance: Arc<StoredInstance>) -> Self {
        Self { archive, instance, runtime: Handle::current(), position: 0, held: (0, Bytes::new()) }
    }

    fn at_hand(&self) -> &[u8] {
        let (start, bytes) = &self.held;
        let skip = self.position.checked_sub(*start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| bytes.get(skip..)).unwrap_or_default()
    }
}

impl Read for RangedReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at_hand().is_empty() && self.position < self.instance.len {
            let range = self.position..self.instance.len.min(self.position + STEP);
            let bytes = self.runtime.block_on(self.archive.read_range(&self.instance, range));
            self.held = (self.position, bytes.map_err(io::Error::other)?);
        }
        let read = self.at_hand().read(out)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for RangedReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.instance.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
