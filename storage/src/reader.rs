//! A stored file for code that reads and seeks.

use crate::{archive::Archive, read::StoredInstance};
use bytes::Bytes;
use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};
use tokio::runtime::Handle;

/// Bytes fetched at once.
const STEP: u64 = 128 << 10;

/// The Part 10 file of an instance as received, by ranged reads: for use on a blocking thread of a runtime.
pub struct InstanceReader {
    archive: Archive,
    instance: Arc<StoredInstance>,
    runtime: Handle,
    position: u64,
    /// Bytes at hand, and where they start in the file.
    held: (u64, Bytes),
}

impl InstanceReader {
    /// To be made where the runtime is.
    pub fn new(archive: Archive, instance: Arc<StoredInstance>) -> Self {
        Self { archive, instance, runtime: Handle::current(), position: 0, held: (0, Bytes::new()) }
    }

    fn at_hand(&self) -> &[u8] {
        let (start, bytes) = &self.held;
        let skip = self.position.checked_sub(*start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| bytes.get(skip..)).unwrap_or_default()
    }
}

impl Read for InstanceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at_hand().is_empty() && self.position < self.instance.len {
            let range = self.position..self.instance.len.min(self.position + STEP);
            let bytes = self.runtime.block_on(self.archive.read_range(&self.instance, range));
            self.held = (self.position, bytes.map_err(io::Error::other)?);
        }
        let read = self.at_hand().read(out)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for InstanceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.instance.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
