//! A pack: the instances of one series that arrived together, in one immutable object.
//!
//! It is a plain TAR (POSIX ustar), which any tool opens:
//!
//! | entry | what |
//! |---|---|
//! | `0001_<SOP Instance UID>.dcm` | a Part 10 file as received |
//! | `0001_<SOP Instance UID>.record.gz` | its [`Record`], and on a second line its DICOM JSON |
//! | … | the next, in order of arrival |
//! | `metadata.json.gz` | one DICOM JSON array of all, an item a line, by Instance Number |
//! | `index.json.gz` | an [`Indexed`] a line, in order of arrival |
//! | `trailer.json` | the [`Trailer`]: where the two above are; always one block |
//!
//! While a pack is open it grows at its end in the spool of one process, and is its own write-ahead log: what the catalog
//! may have lost is read from the records again. Sealing adds the last three entries.

mod open;
mod scan;
mod seal;

pub(crate) use open::{Growing, OpenPack, Slot, Undecided, path_of};
pub(crate) use scan::{Found, scan};
pub(crate) use seal::{Footer, Kept, TRAILER_LEN, read_trailer};

use crate::{error::ArchiveError, facts::Facts, recompression::Recompressed};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use pacs_core::{
    Tag, TransferSyntax, Uid,
    frame_layout::FrameLayout,
    instance::{Instance, NonPatientInstance},
    sop_class::NonPatient,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
};

/// TAR counts in these.
pub(crate) const BLOCK: u64 = 512;
/// A record with its DICOM JSON is some kilobytes; more than this, inflated, is not ours.
const LONGEST_RECORD: u64 = 1 << 30;
const METADATA: &str = "metadata.json.gz";
const INDEX: &str = "index.json.gz";
const TRAILER: &str = "trailer.json";

/// All that the catalog knows of an instance, so that it can be made anew from packs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// `None`, as the series, for an object of no patient.
    pub(crate) study: Option<Uid>,
    pub(crate) series: Option<Uid>,
    pub(crate) sop_instance: Uid,
    pub(crate) sop_class: Uid,
    pub(crate) transfer_syntax: Uid,
    /// [`Instance::values`] by tag as eight hexadecimal digits.
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) frames: Option<FrameLayout>,
    /// Of the Part 10 file.
    pub(crate) byte_len: u64,
    pub(crate) data_set_offset: u64,
    /// Of the data set as received; see `digest`.
    pub(crate) digest: String,
    /// CRC-32C of the Part 10 file.
    pub(crate) checksum: u32,
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) received_at: i64,
    /// Who brought it, and from where.
    pub(crate) actor: String,
    pub(crate) place: String,
    /// A copy out of an older pack. It has no row of its own until the old one's points to it, so without one it tells
    /// nothing: the instance is where it was, or was deleted.
    #[serde(default)]
    pub(crate) is_copy: bool,
    /// Its frames were encoded anew: the file is ours, `digest` is of what was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recompressed: Option<Recompressed>,
}

impl Record {
    pub(crate) fn facts(&self) -> Result<Facts, ArchiveError> {
        let transfer_syntax = TransferSyntax::new(self.transfer_syntax.clone());
        let (sop_instance, sop_class) = (self.sop_instance.clone(), self.sop_class.clone());
        match (&self.study, &self.series, NonPatient::of(sop_class.as_str())) {
            (Some(study), Some(series), _) => Ok(Facts::Instance(Instance {
                study: study.clone(),
                series: series.clone(),
                sop_instance,
                sop_class,
                transfer_syntax,
                values: self.values.iter().filter_map(|(key, value)| Some((tag(key)?, value.clone()))).collect(),
                frames: self.frames.clone(),
            })),
            (_, _, Some(kind)) => {
                Ok(Facts::NonPatient(NonPatientInstance { kind, sop_instance, sop_class, transfer_syntax }))
            }
            _ => Err(damaged("a record names no series")),
        }
    }

    /// Record and DICOM JSON as a pack keeps them.
    pub(crate) fn packed(&self, metadata: &str) -> io::Result<Vec<u8>> {
        let mut lines = GzEncoder::new(Vec::with_capacity(2048), Compression::fast());
        serde_json::to_writer(&mut lines, self)?;
        lines.write_all(b"\n")?;
        lines.write_all(metadata.as_bytes())?;
        lines.finish()
    }

    /// The reverse of [`Self::packed`].
    pub(crate) fn unpacked(packed: &[u8]) -> Result<(Self, String), ArchiveError> {
        let mut lines = BufReader::new(GzDecoder::new(packed).take(LONGEST_RECORD));
        let mut record = String::new();
        lines.read_line(&mut record)?;
        let mut metadata = String::new();
        lines.read_to_string(&mut metadata)?;
        Ok((serde_json::from_str(&record).map_err(io::Error::from)?, metadata))
    }
}

/// Values of an instance as a record keeps them.
pub(crate) fn values(facts: &Facts) -> BTreeMap<String, String> {
    let key = |tag: &Tag| format!("{:04x}{:04x}", tag.0, tag.1);
    match facts {
        Facts::Instance(facts) => facts.values.iter().map(|(tag, value)| (key(tag), value.clone())).collect(),
        Facts::NonPatient(_) => BTreeMap::new(),
    }
}

fn tag(text: &str) -> Option<Tag> {
    let number = u32::from_str_radix(text, 16).ok()?;
    Some(Tag((number >> 16) as u16, number as u16))
}

/// A record and where its file lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Indexed {
    /// Of the Part 10 file in the pack.
    pub(crate) offset: u64,
    /// Of the packed record, which starts in the second block behind the file.
    pub(crate) record_len: u64,
    /// Its place in the metadata array from 0, if it is there: later versions and deleted instances are not.
    pub(crate) metadata: Option<u32>,
    pub(crate) record: Record,
}

/// Where the pack's index and metadata are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trailer {
    pub(crate) metadata_offset: u64,
    pub(crate) metadata_len: u64,
    pub(crate) index_offset: u64,
    pub(crate) index_len: u64,
}

/// Where the record of a file is.
pub(crate) const fn record_offset(offset: u64, byte_len: u64) -> u64 {
    offset + byte_len.next_multiple_of(BLOCK) + BLOCK
}

/// The header of an entry.
fn header(name: &str, len: u64) -> io::Result<[u8; BLOCK as usize]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(len);
    header.set_mode(0o644);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// What fills the last block of an entry.
fn padding(len: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
    let missing = len.next_multiple_of(BLOCK) - len;
    ZEROS.get(..missing as usize).unwrap_or_default()
}

fn damaged(error: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Internal(format!("a pack is damaged: {error}"))
}

#[cfg(test)]
mod tests;
