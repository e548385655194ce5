//! Instances of the test corpus, ready for decoding.

use pacs_core::data_set::{self, Limits};
use pacs_core::frame_layout::FrameLayout;
use pacs_core::pixel::{self, Frame, ImagePixel};
use pacs_core::transfer_syntax::Encoding;
use pacs_core::{Attributes, TransferSyntax, json, part10};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// `None`, with the reason printed, where the corpus is not there.
pub fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("YINGHAI_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let data = shared.join("data");
    if !data.join("MANIFEST.tsv").is_file() {
        eprintln!("skipped: no shared test data at {}", data.display());
        return None;
    }
    Some(data)
}

/// An instance ready for decoding.
pub struct Stored {
    /// The file, or the inflated data set.
    bytes: Vec<u8>,
    pub transfer_syntax: TransferSyntax,
    pub layout: FrameLayout,
    pub image: ImagePixel,
    /// DICOM JSON.
    pub metadata: serde_json::Value,
}

pub fn open(path: &Path) -> Result<Stored, String> {
    let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
    let mut reader = Cursor::new(&bytes);
    let meta = part10::read_meta(&mut reader).map_err(|e| e.to_string())?;
    let scanned = data_set::scan(&mut reader, &meta.transfer_syntax, Limits::default()).map_err(|e| e.to_string())?;
    let layout = FrameLayout::of(&scanned).ok_or("no frames")?;
    let metadata = json::to_json(&scanned, &|_, _| "bulk".into());
    let image = ImagePixel::of(Attributes::of(&metadata).ok_or("no attributes")?).map_err(|e| e.to_string())?;
    let bytes = match meta.transfer_syntax.encoding() {
        Encoding::Deflated => {
            let deflated = &bytes[meta.data_set_offset as usize..];
            data_set::inflate(deflated, 1 << 30).map_err(|e| e.to_string())?
        }
        _ => bytes,
    };
    Ok(Stored { bytes, transfer_syntax: meta.transfer_syntax, layout, image, metadata })
}

impl Stored {
    /// Encoded bytes of a frame and the bit it starts at.
    pub fn encoded(&self, index: u32) -> Option<(Vec<u8>, u8)> {
        let ranges = self.layout.ranges(index)?;
        let bit_offset = match self.layout {
            FrameLayout::Native { frame_bits, .. } => (u64::from(index) * frame_bits % 8) as u8,
            FrameLayout::Encapsulated { .. } => 0,
        };
        let parts = ranges.into_iter().flat_map(|range| &self.bytes[range.start as usize..range.end as usize]);
        Some((parts.copied().collect(), bit_offset))
    }

    pub fn decode(&self, index: u32) -> Result<Frame, String> {
        let (encoded, bit_offset) = self.encoded(index).ok_or("no such frame")?;
        pixel::decode(&self.transfer_syntax, &self.image, &encoded, bit_offset).map_err(|e| e.to_string())
    }
}
