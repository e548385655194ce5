//! Part 10 files: preamble, prefix and File Meta Information (PS3.10 §7.1).

use crate::{data_set::ScanError, transfer_syntax::TransferSyntax, uid::Uid};
use std::io::{Read, Seek};

/// What we put into (0002,0012) and (0002,0013), and tell peers of an association (PS3.7 §D.3.3.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.169087126487354126018573465298714651347";
pub const IMPLEMENTATION_VERSION_NAME: &str = "YINGHAI_0_1";

/// File Meta Information of interest.
#[derive(Debug, Clone, PartialEq)]
pub struct FileMeta {
    pub media_storage_sop_class_uid: Option<Uid>,
    pub media_storage_sop_instance_uid: Option<Uid>,
    pub transfer_syntax: TransferSyntax,
    /// Where the data set starts in the file.
    pub data_set_offset: u64,
}

/// Reads preamble and File Meta Information; leaves `reader` at the start of the data set.
///
/// A file without preamble or without group 2 (old exports) is let in: implicit or explicit VR little endian is then
/// recognised from the first element, and `data_set_offset` is where it starts.
pub fn read_meta(reader: &mut (impl Read + Seek)) -> Result<FileMeta, ScanError> {
    todo!()
}

/// Preamble, prefix and File Meta Information for a data set received without them (C-STORE).
pub fn write_meta(
    sop_class: &Uid,
    sop_instance: &Uid,
    transfer_syntax: &TransferSyntax,
    source_ae: Option<&str>,
) -> Vec<u8> {
    todo!()
}
