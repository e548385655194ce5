//! The structural scan: bounded, iterative, and the only reader that ever sees unchecked bytes.
//!
//! It walks a data set (PS3.5 §7) over `Read + Seek`, keeps short values, and records where long ones lie, so
//! that memory does not grow with pixel data. Nesting, element count and kept bytes are limited; a declared
//! length is never allocated before the bytes are known to be there.

pub(crate) mod header;
mod scan;
pub(crate) mod source;
#[cfg(test)]
mod tests;
pub(crate) mod values;
mod write;

pub use scan::{inflate, scan};
pub use write::{Stretch, TooLong, write, write_converted};

use dicom_core::{Tag, VR};

/// One scanned data set, or one item of a sequence. Elements are in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataSet {
    pub elements: Vec<Element>,
    /// Specific Character Set in force here: own (0008,0005), else the enclosing data set's.
    pub character_set: crate::character_set::CharacterSet,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub tag: Tag,
    /// As written; from the dictionary for implicit VR and for UN (PS3.5 §6.2.2).
    pub vr: VR,
    /// Offset of the value field from the start of the scanned stream, in bytes
    /// (for a deflated data set: of the inflated stream).
    pub offset: u64,
    /// Length of the value field in bytes; of the whole content for undefined length.
    pub len: u64,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Kept bytes, little endian whatever the transfer syntax.
    Bytes(Box<[u8]>),
    /// Longer than the limit to keep, or native pixel data: only located.
    Located,
    Sequence(Vec<DataSet>),
    /// Encapsulated pixel data: the fragments after the Basic Offset Table item.
    Fragments {
        /// As stored; where that is empty, the fragments in which a codestream begins.
        basic_offset_table: Vec<u32>,
        fragments: Vec<Fragment>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fragment {
    pub offset: u64,
    pub len: u32,
}

/// Limits of the scan. The defaults fit every instance of the public test corpora with room to spare.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sequence nesting. Each level is three of JSON, whose readers stop at 128.
    pub depth: usize,
    /// Elements over all levels.
    pub elements: usize,
    /// A longer value is only located.
    pub kept_value: u64,
    /// Sum of kept values.
    pub kept_total: u64,
    pub fragments: usize,
    /// A deflated data set may inflate to this many bytes.
    pub inflated: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 40,
            elements: 1 << 20,
            kept_value: 256 << 10,
            kept_total: 64 << 20,
            fragments: 1 << 20,
            inflated: 1 << 30,
        }
    }
}

/// Why bytes are no data set; offsets are from the start of the stream.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("data set ends inside element {tag} at byte {offset}")]
    Truncated { tag: Tag, offset: u64 },
    #[error("element {tag} at byte {offset} claims {len} bytes, {left} are left")]
    TooLong { tag: Tag, offset: u64, len: u64, left: u64 },
    #[error("sequences nest deeper than {0}")]
    TooDeep(usize),
    #[error("more than {0} {1}")]
    TooMany(u64, &'static str),
    #[error("byte {offset}: {what}")]
    Malformed { offset: u64, what: &'static str },
    #[error("the deflated data set does not inflate")]
    Inflate,
    #[error("reading failed")]
    Io(#[from] std::io::Error),
}
