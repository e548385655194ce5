//! Scanning a stored file over ranged reads, so that pixel data is never fetched for it.

use crate::{error::WebError, web::Web};
use bytes::Bytes;
use pacs_core::{
    Failure, VR,
    data_set::{self, DataSet, Limits, ScanError},
    transfer_syntax::Encoding,
};
use std::{
    io::{Cursor, Seek, SeekFrom},
    ops::Range,
    sync::Arc,
};
use storage::{ArchiveError, InstanceReader, StoredInstance};

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
    let (reader, instance) = (InstanceReader::new(web.archive.clone(), Arc::clone(instance)), Arc::clone(instance));
    let bytes = if instance.transfer_syntax.encoding() == Encoding::Deflated { MAX_INFLATED } else { 0 };
    web.workers.run(bytes, move || scanned(reader, &instance).map_err(|error| ArchiveError::from(error).into())).await
}

fn scanned(mut reader: InstanceReader, instance: &StoredInstance) -> Result<Scanned, ScanError> {
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
