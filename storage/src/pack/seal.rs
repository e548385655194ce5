//! The end of a pack: its metadata, its index, its trailer.

use super::{
    BLOCK, INDEX, Indexed, METADATA, TRAILER, Trailer, damaged, header, padding, record_offset,
    scan::{Found, Scan, read_record, scan},
};
use crate::error::ArchiveError;
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::Path,
};

/// An instance of which the catalog has a row, and where it is by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) offset: u64,
    pub(crate) byte_len: u64,
    pub(crate) record_len: u64,
    /// What it is sorted by in the metadata; `None`: a version that is not shown.
    pub(crate) order: Option<i64>,
}

impl Kept {
    /// Where the next entry starts.
    pub(crate) fn end(&self) -> u64 {
        record_offset(self.offset, self.byte_len).saturating_add(self.record_len.next_multiple_of(BLOCK))
    }
}

/// What sealing added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) trailer: Trailer,
    /// Of the whole pack.
    pub(crate) byte_len: u64,
    /// Whether all that the catalog has of it is in metadata and index.
    pub(crate) is_whole: bool,
}

/// Bytes at the end of a pack that hold the whole trailer: its entry and the two empty blocks that end a TAR.
pub(crate) const TRAILER_LEN: u64 = 4 * BLOCK;

/// Ends a closed pack; durable when this returns. What the catalog keeps of it stays, also where the pack itself no longer
/// tells of it, for a header or record is damaged.
pub(crate) fn seal(path: &Path, kept: &[Kept]) -> Result<Footer, ArchiveError> {
    let mut reader = File::open(path)?;
    let mut found = scan(&mut reader)?;
    let is_whole = add_kept(&mut found, &mut reader, kept);
    let mut file = File::options().write(true).open(path)?;
    file.set_len(found.end)?;
    file.seek(SeekFrom::Start(found.end))?;
    let places = places(kept);
    let (metadata_offset, metadata_len) =
        add(&mut file, METADATA, |lines| write_metadata(lines, &mut reader, &found.instances, &places))?;
    let (index_offset, index_len) = add(&mut file, INDEX, |lines| write_index(lines, found.instances, &places))?;
    let trailer = Trailer { metadata_offset, metadata_len, index_offset, index_len };
    // Blanks after the text, so that it always fills one block.
    let text = format!("{:<512}", serde_json::to_string(&trailer).map_err(damaged)?);
    file.write_all(&header(TRAILER, BLOCK)?)?;
    file.write_all(text.as_bytes())?;
    file.write_all(&[0; 2 * BLOCK as usize])?;
    let byte_len = file.stream_position()?;
    file.sync_all()?;
    Ok(Footer { trailer, byte_len, is_whole })
}

/// The trailer in the last [`TRAILER_LEN`] bytes of a pack.
pub(crate) fn read_trailer(end: &[u8]) -> Result<Trailer, ArchiveError> {
    let content = end.get(BLOCK as usize..2 * BLOCK as usize).ok_or_else(|| damaged("it is too short"))?;
    serde_json::from_slice(content).map_err(damaged)
}

/// Adds what a scan did not come to, for it ends at the first damage. `false`: there are records that cannot be read.
fn add_kept(found: &mut Scan, file: &mut File, kept: &[Kept]) -> bool {
    let scanned: HashSet<u64> = found.instances.iter().map(|one| one.offset).collect();
    let mut is_whole = true;
    for one in kept.iter().filter(|one| !scanned.contains(&one.offset)) {
        found.end = found.end.max(one.end());
        match read_record(file, record_offset(one.offset, one.byte_len), one.record_len) {
            Ok((record, _)) => {
                found.instances.push(Found { offset: one.offset, record_len: one.record_len, record });
            }
            Err(error) => {
                tracing::error!(%error, offset = one.offset, "the record of an instance in the spool is damaged");
                is_whole = false;
            }
        }
    }
    found.instances.sort_by_key(|one| one.offset);
    is_whole
}

/// Offset → place in the metadata.
fn places(kept: &[Kept]) -> HashMap<u64, u32> {
    let mut sorted: Vec<_> = kept.iter().filter_map(|one| Some((one.order?, one.offset))).collect();
    sorted.sort_unstable();
    sorted.iter().zip(0..).map(|((_, offset), place)| (*offset, place)).collect()
}

type Lines<'a> = GzEncoder<BufWriter<&'a mut File>>;

/// Adds an entry whose length is known only at its end. Returns offset and length of its content.
fn add(
    file: &mut File,
    name: &str,
    write: impl FnOnce(&mut Lines<'_>) -> Result<(), ArchiveError>,
) -> Result<(u64, u64), ArchiveError> {
    let at = file.stream_position()?;
    let offset = at + BLOCK;
    file.seek(SeekFrom::Start(offset))?;
    let mut lines = GzEncoder::new(BufWriter::with_capacity(64 << 10, &mut *file), Compression::new(6));
    write(&mut lines)?;
    lines.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let len = file.stream_position()? - offset;
    file.write_all(padding(len))?;
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&header(name, len)?)?;
    file.seek(SeekFrom::Start(end))?;
    Ok((offset, len))
}

/// `[item,⏎item,⏎…]`: an item holds no line break, for in JSON text they are escaped.
fn write_metadata(
    lines: &mut Lines<'_>,
    file: &mut File,
    instances: &[Found],
    places: &HashMap<u64, u32>,
) -> Result<(), ArchiveError> {
    let mut sorted: Vec<_> = instances.iter().filter_map(|i| Some((places.get(&i.offset)?, i))).collect();
    sorted.sort_by_key(|(place, _)| **place);
    let mut lead: &[u8] = b"[";
    for (_, instance) in sorted {
        lines.write_all(lead)?;
        let at = record_offset(instance.offset, instance.record.byte_len);
        lines.write_all(read_record(file, at, instance.record_len)?.1.as_bytes())?;
        lead = b",\n";
    }
    lines.write_all(if lead == b"[" { b"[]" } else { b"]" })?;
    Ok(())
}

fn write_index(lines: &mut Lines<'_>, instances: Vec<Found>, places: &HashMap<u64, u32>) -> Result<(), ArchiveError> {
    for Found { offset, record_len, record } in instances {
        let line = Indexed { offset, record_len, metadata: places.get(&offset).copied(), record };
        serde_json::to_writer(&mut *lines, &line).map_err(io::Error::from)?;
        lines.write_all(b"\n")?;
    }
    Ok(())
}
