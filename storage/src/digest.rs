//! What an instance is known and checked by, made as it streams by.

use crate::error::ArchiveError;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use pacs_core::part10::FileMeta;
use std::io::{Read, Seek, SeekFrom};

/// File Meta Information longer than this is unheard of; the digest is then made from the file.
const LONGEST_META: usize = 64 << 10;

/// BLAKE3 of the data set, which is the same whatever File Meta Information was put before it on its way, and CRC-32C of
/// the whole file, which tells at every reading whether it is as it was.
#[derive(Default)]
pub(crate) struct Digest {
    checksum: u32,
    /// The beginning of the file, until it tells where the data set starts.
    head: Vec<u8>,
    /// Where hashing began.
    offset: Option<u64>,
    hash: blake3::Hasher,
}

impl Digest {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
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

    /// Digest and checksum. Reads the file again if the guess from its first bytes was wrong.
    pub(crate) fn finish(self, file: &mut (impl Read + Seek), meta: &FileMeta) -> Result<(String, u32), ArchiveError> {
        let mut hash = self.hash;
        if self.offset != Some(meta.data_set_offset) {
            hash = blake3::Hasher::new();
            file.seek(SeekFrom::Start(meta.data_set_offset))?;
            hash.update_reader(file)?;
        }
        // The same bytes in another transfer syntax are another data set.
        hash.update(meta.transfer_syntax.uid().as_str().as_bytes());
        Ok((BASE64_URL_SAFE_NO_PAD.encode(hash.finalize().as_bytes()), self.checksum))
    }
}

/// Where the data set starts by File Meta Information Group Length (PS3.10 §7.1), if the file begins as it should.
fn announced_offset(head: &[u8]) -> Option<usize> {
    const BEFORE: &[u8] = b"DICM\x02\x00\x00\x00UL\x04\x00";
    let rest = head.get(128..)?.strip_prefix(BEFORE)?;
    let length = u32::from_le_bytes(rest.first_chunk().copied()?);
    usize::try_from(length).ok()?.checked_add(128 + BEFORE.len() + 4)
}
