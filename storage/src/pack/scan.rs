//! What a pack in the spool holds, read from the file itself.

use super::{Record, record_offset};
use crate::error::ArchiveError;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// A whole instance in a pack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) record_len: u64,
    pub(crate) record: Record,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scan {
    pub(crate) instances: Vec<Found>,
    /// Where the last whole instance ends.
    pub(crate) end: u64,
}

/// The whole instances of a pack, in order of arrival. What follows the last of them (a torn tail, a footer) is left out.
pub(crate) fn scan(file: &mut File) -> Result<Scan, ArchiveError> {
    let len = file.metadata()?.len();
    let mut found = Scan::default();
    let pairs = pairs(file)?;
    for [instance, record] in pairs {
        let end = record.end();
        if end > len || record.offset != record_offset(instance.offset, instance.len) {
            break;
        }
        let Ok((read, _)) = read_record(file, record.offset, record.len) else { break };
        if read.byte_len != instance.len {
            break;
        }
        found.instances.push(Found { offset: instance.offset, record_len: record.len, record: read });
        found.end = end;
    }
    Ok(found)
}

/// A record and its DICOM JSON.
pub(crate) fn read_record(file: &mut File, offset: u64, len: u64) -> Result<(Record, String), ArchiveError> {
    file.seek(SeekFrom::Start(offset))?;
    let mut packed = Vec::new();
    file.by_ref().take(len).read_to_end(&mut packed)?;
    Record::unpacked(&packed)
}

/// Content of an entry.
struct Entry {
    offset: u64,
    len: u64,
}

impl Entry {
    fn end(&self) -> u64 {
        self.offset + self.len.next_multiple_of(super::BLOCK)
    }
}

/// Entries of instance and record, up to the first that is something else or damaged.
fn pairs(file: &mut File) -> io::Result<Vec<[Entry; 2]>> {
    file.rewind()?;
    let mut archive = tar::Archive::new(file);
    let mut pairs = Vec::new();
    let mut instance = None;
    for entry in archive.entries_with_seek()? {
        let Ok(entry) = entry else { break };
        let content = Entry { offset: entry.raw_file_position(), len: entry.size() };
        let name = entry.path_bytes();
        match instance.take() {
            None if name.ends_with(b".dcm") => instance = Some(content),
            Some(instance) if name.ends_with(b".record.gz") => pairs.push([instance, content]),
            _ => break,
        }
    }
    Ok(pairs)
}
