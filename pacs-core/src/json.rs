//! Data set → DICOM JSON model (PS3.18 Annex F).

use crate::data_set::{DataSet, Element};
use serde_json::Value;

/// Where a value too large or too binary for JSON can be fetched; `path` is the tags and item indices from the root.
pub type BulkDataUri<'a> = dyn Fn(&[PathStep], &Element) -> String + 'a;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathStep {
    Tag(dicom_core::Tag),
    /// Index of an item, from 0.
    Item(usize),
}

/// Binary values up to this length are written as InlineBinary; LUT data and palettes always are.
pub const INLINE_BINARY: usize = 1024;

/// Writes `data_set` as DICOM JSON: text decoded to UTF-8, (0008,0005) set to ISO_IR 192, group lengths left out,
/// pixel data and long binaries as BulkDataURI.
pub fn to_json(data_set: &DataSet, bulk_data_uri: &BulkDataUri<'_>) -> Value {
    todo!()
}
