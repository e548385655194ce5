//! What the archive indexes of an instance.

use crate::query::{ATTRIBUTES, Attribute};
use crate::{data_set::DataSet, frame_layout::FrameLayout, transfer_syntax::TransferSyntax, uid::Uid};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;

/// Bytes of one indexed value; what is longer is no name, identifier or description and is cut.
const INDEXED: usize = 4096;

/// The facts of one instance: its identity (PS3.3 C.7, C.12.1), the values of [`crate::query::ATTRIBUTES`] that it
/// holds, and its frames.
#[derive(Debug, Clone)]
pub struct Instance {
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub sop_class: Uid,
    pub transfer_syntax: TransferSyntax,
    /// Decoded text by tag, multiple values separated by a backslash; absent and empty values left out.
    pub values: BTreeMap<Tag, String>,
    pub frames: Option<FrameLayout>,
}

/// Why a data set cannot be indexed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InstanceError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{keyword} is not a valid UID: {reason}")]
    InvalidUid { keyword: &'static str, reason: crate::uid::UidError },
}

impl Instance {
    /// Study, Series and SOP Instance UID and SOP Class UID must be there and be UIDs; nothing else is demanded.
    pub fn of(data_set: &DataSet, transfer_syntax: TransferSyntax) -> Result<Self, InstanceError> {
        let values = ATTRIBUTES.iter().filter(|a| !a.derived).filter_map(|a| Some((a.tag, indexed(data_set, a)?)));
        Ok(Self {
            study: uid(data_set, tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?,
            series: uid(data_set, tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?,
            sop_instance: uid(data_set, tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            sop_class: uid(data_set, tags::SOP_CLASS_UID, "SOPClassUID")?,
            transfer_syntax,
            values: values.collect(),
            frames: FrameLayout::of(data_set),
        })
    }
}

fn uid(data_set: &DataSet, tag: Tag, keyword: &'static str) -> Result<Uid, InstanceError> {
    let text = data_set.text(tag).ok_or(InstanceError::Missing(keyword))?;
    text.parse().map_err(|reason| InstanceError::InvalidUid { keyword, reason })
}

fn indexed(data_set: &DataSet, attribute: &Attribute) -> Option<String> {
    let holder = match attribute.within {
        Some(sequence) => data_set.items(sequence).first()?,
        None => data_set,
    };
    let mut text = holder.texts(attribute.tag).join("\\");
    // No database text holds NUL.
    text.retain(|c| c != '\0');
    text.truncate(text.floor_char_boundary(INDEXED));
    (!text.is_empty()).then_some(text)
}
