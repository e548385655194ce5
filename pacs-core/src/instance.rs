//! What the archive indexes of an instance.

use crate::{data_set::DataSet, frame_layout::FrameLayout, transfer_syntax::TransferSyntax, uid::Uid};
use dicom_core::Tag;
use std::collections::BTreeMap;

/// The facts of one instance: its identity (PS3.3 C.7, C.12.1), the values of [`crate::query::ATTRIBUTES`] that it holds, and its frames.
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
        todo!()
    }
}
