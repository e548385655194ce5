//! The form of a file in the cache: a header, then the object in blocks, each with a checksum, so that any range of it can be
//! read and nothing damaged or cut short is ever taken for good.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
};

/// Bytes of the object in each block but the last.
const BLOCK: u64 = 64 << 10;
const SUM: u64 = 4;
/// Mark, hash of the key, length of the object, checksum of these.
const HEADER: usize = 8 + 32 + 8 + 4;
const MARK: &[u8; 8] = b"yhcache1";

/// Bytes of the file of an object.
pub(super) fn file_len(len: u64) -> u64 {
    len.saturating_add(len.div_ceil(BLOCK) * SUM).saturating_add(HEADER as u64)
}

/// Writes an object of unknown length; [`Self::finish`] makes it one that can be read.
pub(super) struct BlockWriter<W> {
    file: W,
    key: [u8; 32],
    block: Vec<u8>,
    len: u64,
}

impl<W: Write + Seek> BlockWriter<W> {
    pub(super) fn new(mut file: W, key: &str) -> io::Result<Self> {
        // Without a header it is no file of the cache, whatever happens.
        file.write_all(&[0; HEADER])?;
        Ok(Self { file, key: Sha256::digest(key).into(), block: Vec::with_capacity(BLOCK as usize), len: 0 })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (BLOCK as usize).saturating_sub(self.block.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.block.extend_from_slice(now);
            self.len += room as u64;
            if self.block.len() as u64 == BLOCK {
                self.flush()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let sum = sum(self.len.saturating_sub(self.block.len() as u64), &self.block);
        self.file.write_all(&self.block)?;
        self.file.write_all(&sum.to_le_bytes())?;
        self.block.clear();
        Ok(())
    }

    /// The file, and the length of the object.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(&self.key, self.len))?;
        self.file.flush()?;
        Ok((self.file, self.len))
    }
}

/// Of bytes that begin at an offset of the object.
fn sum(offset: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_le_bytes()), bytes)
}

fn header(key: &[u8; 32], len: u64) -> Vec<u8> {
    let mut header = [MARK.as_slice(), key, &len.to_le_bytes()].concat();
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header
}

/// The length of the object that a file holds; an error if it does not hold the object of this key.
pub(super) fn read_header(file: &mut impl Read, key: &str) -> io::Result<u64> {
    let mut found = [0; HEADER];
    file.read_exact(&mut found)?;
    let len = found.get(40..48).and_then(|len| len.try_into().ok()).map(u64::from_le_bytes).unwrap_or_default();
    if found[..] == header(&Sha256::digest(key).into(), len)[..] { Ok(len) } else { Err(damaged()) }
}

/// Bytes of the object, cut at its end.
pub(super) fn read_range(file: &mut (impl Read + Seek), len: u64, range: &Range<u64>) -> io::Result<Bytes> {
    let range = range.start.min(len)..range.end.min(len);
    let mut bytes = BytesMut::with_capacity(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0));
    let mut block = Vec::new();
    let mut at = range.start / BLOCK * BLOCK;
    if at < range.end {
        file.seek(SeekFrom::Start(HEADER as u64 + at / BLOCK * (BLOCK + SUM)))?;
    }
    while at < range.end {
        let size = BLOCK.min(len - at);
        block.resize(usize::try_from(size + SUM).unwrap_or(0), 0);
        file.read_exact(&mut block)?;
        let (content, told) = block.split_at(block.len().saturating_sub(SUM as usize));
        if told != sum(at, content).to_le_bytes() {
            return Err(damaged());
        }
        let from = usize::try_from(range.start.saturating_sub(at)).unwrap_or(0).min(content.len());
        let to = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(content.len());
        bytes.extend_from_slice(content.get(from..to).unwrap_or_default());
        at += size;
    }
    Ok(bytes.freeze())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a file of the cache is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn written(object: &[u8], pieces: usize) -> Vec<u8> {
        let mut writer = BlockWriter::new(Cursor::new(Vec::new()), "a").expect("a writer");
        object.chunks(pieces).for_each(|piece| writer.write(piece).expect("written"));
        let (file, len) = writer.finish().expect("finished");
        assert_eq!(len, object.len() as u64);
        let file = file.into_inner();
        assert_eq!(file.len() as u64, file_len(len));
        file
    }

    fn read(file: &[u8], range: Range<u64>) -> io::Result<Bytes> {
        let mut file = Cursor::new(file);
        let len = read_header(&mut file, "a")?;
        read_range(&mut file, len, &range)
    }

    fn object(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n % 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_range_is_read_as_it_was_written(
            len in prop::sample::select(vec![0, 1, 65_535, 65_536, 65_537, 200_000]), pieces in 1usize..100_000, a: u32, b: u32,
        ) {
            let object = object(len);
            let (a, b) = (a as usize % (len + 1), b as usize % (len + 2));
            let range = a.min(b)..a.max(b);
            let expected = &object[range.start..range.end.min(len)];
            prop_assert_eq!(&read(&written(&object, pieces), range.start as u64..range.end as u64).expect("read")[..], expected);
        }

        #[test]
        fn no_flipped_bit_and_no_cut_goes_unseen(at in 0usize..200_112, bit in 0u8..8, cut: bool) {
            let object = object(200_000);
            let mut file = written(&object, 70_000);
            let at = at % file.len();
            if cut { file.truncate(at) } else { file[at] ^= 1 << bit }
            prop_assert!(read(&file, 0..200_000).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(file: Vec<u8>, start in 0u64..1000) {
            let _ = read(&file, start..start + 100);
        }
    }

    #[test]
    fn a_file_of_another_key_or_one_not_finished_is_refused() {
        let file = written(b"object", 3);
        assert!(read_header(&mut Cursor::new(&file), "b").is_err());
        assert!(read_header(&mut Cursor::new(&vec![0; 100]), "a").is_err());
    }
}
