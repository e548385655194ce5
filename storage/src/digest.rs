//! The digest by which two data sets are known to be the same.

use crate::{audit::hex, error::ArchiveError};
use pacs_core::part10::FileMeta;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
};

/// File Meta Information longer than this is unheard of; the digest is then made from the file.
const LONGEST_META: usize = 64 << 10;
/// Bytes read from a file at once.
const CHUNK: usize = 256 << 10;

/// SHA-256 of the data set as it streams by: the same data set has the same digest, whatever File Meta Information was
/// put before it on its way.
#[derive(Default)]
pub(crate) struct DataSetDigest {
    /// The beginning of the file, until it tells where the data set starts.
    head: Vec<u8>,
    /// Where hashing began.
    offset: Option<u64>,
    hash: Sha256,
}

impl DataSetDigest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if self.offset.is_some() {
            self.hash.update(bytes);
            return;
        }
        if self.head.len() > LONGEST_META {
            return;
        }
        self.head.extend_from_slice(bytes);
        let Some(offset) = announced_offset(&self.head) else { return };
        if let Some(data_set) = self.head.get(offset..) {
            self.hash.update(data_set);
            self.offset = Some(offset as u64);
            self.head = Vec::new();
        }
    }

    /// In hexadecimal. Reads the file again if the guess from its first bytes was wrong.
    pub(crate) fn finish(self, file: &mut File, meta: &FileMeta) -> Result<String, ArchiveError> {
        let mut hash = self.hash;
        if self.offset != Some(meta.data_set_offset) {
            hash = Sha256::new();
            file.seek(SeekFrom::Start(meta.data_set_offset))?;
            let mut reader = BufReader::with_capacity(CHUNK, file);
            let mut chunk = vec![0; CHUNK];
            loop {
                let n = reader.read(&mut chunk)?;
                let Some(read) = chunk.get(..n).filter(|read| !read.is_empty()) else { break };
                hash.update(read);
            }
        }
        // The same bytes in another transfer syntax are another data set.
        hash.update(meta.transfer_syntax.uid().as_str());
        Ok(hex(&hash.finalize()))
    }
}

/// Where the data set starts by File Meta Information Group Length (PS3.10 §7.1), if the file begins as it should.
fn announced_offset(head: &[u8]) -> Option<usize> {
    const BEFORE: &[u8] = b"DICM\x02\x00\x00\x00UL\x04\x00";
    let rest = head.get(128..)?.strip_prefix(BEFORE)?;
    let length = u32::from_le_bytes(rest.first_chunk().copied()?);
    usize::try_from(length).ok()?.checked_add(128 + BEFORE.len() + 4)
}
