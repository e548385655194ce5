//! A data set with native pixel data, for those who cannot read it as it is stored (PS3.5 §8.2, §A.1, §A.2).

use crate::{
    Attributes, TransferSyntax,
    data_set::{DataSet, Element, Limits, Stretch, Value, inflate, scan, write_converted},
    frame_layout::FrameLayout,
    json::to_json,
    pixel::{ImagePixel, PixelError, Unfit, decode},
    transfer_syntax::{Codec, Encoding},
};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

/// A deflated data set may inflate to so many bytes, for it is held whole.
const MAX_INFLATED: u64 = 256 << 20;
const UNDEFINED: u32 = u32::MAX;

/// Whether what is stored in this can be written in Implicit or Explicit VR Little Endian.
pub fn is_convertible(stored: &TransferSyntax) -> bool {
    !matches!(stored.codec(), Codec::Video | Codec::Unknown)
}

/// Writes the data set that begins at `start` of `source` in `target`, which is Implicit or Explicit VR Little Endian;
/// `change` has a look at it first. Holds one frame at a time.
///
/// Where pixel data was encapsulated, colour comes out as RGB by pixel, and Photometric Interpretation and Planar
/// Configuration say so. Group lengths and offset tables are left out. [`Unfit::Io`] tells of a failure, every other error
/// why it cannot be.
pub fn write_native(
    source: &mut (impl Read + Seek),
    stored: &TransferSyntax,
    start: u64,
    change: impl FnOnce(&mut DataSet),
    target: &TransferSyntax,
    out: &mut impl Write,
) -> Result<(), Unfit> {
    source.seek(SeekFrom::Start(start))?;
    if stored.encoding() == Encoding::Deflated {
        let inflated = inflate(source, MAX_INFLATED)?;
        let plain = TransferSyntax::explicit_little();
        return convert(&mut Cursor::new(inflated), &plain, change, target, out);
    }
    convert(source, stored, change, target, out)
}

/// As [`write_native`], from where `source` stands.
fn convert(
    source: &mut (impl Read + Seek),
    stored: &TransferSyntax,
    change: impl FnOnce(&mut DataSet),
    target: &TransferSyntax,
    out: &mut impl Write,
) -> Result<(), Unfit> {
    let mut data_set = scan(source, stored, Limits::default())?;
    change(&mut data_set);
    let frames = match FrameLayout::of(&data_set) {
        Some(layout @ FrameLayout::Encapsulated { .. }) => Some((Decoder::of(&data_set, stored)?, layout)),
        _ => None,
    };
    let Some((decoder, layout)) = frames else {
        return stretches(source, &write_converted(&data_set, stored, target)?, out);
    };
    decoder.describe(&mut data_set);
    let (before, behind) = split(data_set);
    stretches(source, &write_converted(&before, stored, target)?, out)?;
    decoder.write(source, &layout, target, out)?;
    stretches(source, &write_converted(&behind, stored, target)?, out)
}

/// What stands before Pixel Data, and what behind it.
fn split(data_set: DataSet) -> (DataSet, DataSet) {
    let mut before = data_set.clone();
    let mut behind = data_set;
    before.elements.retain(|element| element.tag < tags::PIXEL_DATA);
    behind.elements.retain(|element| element.tag > tags::PIXEL_DATA);
    (before, behind)
}

/// Encapsulated frames → native ones.
struct Decoder {
    syntax: TransferSyntax,
    image: ImagePixel,
    frame_len: u64,
}

impl Decoder {
    fn of(data_set: &DataSet, syntax: &TransferSyntax) -> Result<Self, Unfit> {
        let json = to_json(data_set, &|_, _| String::new());
        let image = ImagePixel::of(Attributes::of(&json).ok_or(PixelError::Attribute("data set"))?)?;
        // Frames of one bit are packed without regard to bytes: hardly anybody encapsulates them.
        if image.bits_allocated == 1 {
            return Err(Unfit::Layout("the frames are of one bit"));
        }
        let samples = u64::from(image.rows) * u64::from(image.columns) * u64::from(image.samples_per_pixel);
        let frame_len = samples * u64::from(image.bits_allocated / 8);
        Ok(Self { syntax: syntax.clone(), image, frame_len })
    }

    /// Lets the Image Pixel module say what the frames are when they are decoded.
    fn describe(&self, data_set: &mut DataSet) {
        let of_encapsulated = [tags::EXTENDED_OFFSET_TABLE, tags::EXTENDED_OFFSET_TABLE_LENGTHS];
        data_set.elements.retain(|element| !of_encapsulated.contains(&element.tag));
        if self.image.samples_per_pixel == 3 {
            set(data_set, tags::PHOTOMETRIC_INTERPRETATION, b"RGB ");
            set(data_set, tags::PLANAR_CONFIGURATION, &[0, 0]);
        }
    }

    fn write(
        &self,
        source: &mut (impl Read + Seek),
        layout: &FrameLayout,
        target: &TransferSyntax,
        out: &mut impl Write,
    ) -> Result<(), Unfit> {
        let len = self.frame_len.saturating_mul(layout.frames().into());
        let len = u32::try_from(len.next_multiple_of(2)).ok().filter(|len| *len < UNDEFINED);
        let len = len.ok_or(Unfit::Layout("the frames are too long for native Pixel Data"))?;
        out.write_all(&[0xE0, 0x7F, 0x10, 0])?;
        if target.encoding() == Encoding::ExplicitLittle {
            out.write_all(if self.image.bits_allocated > 8 { b"OW\0\0" } else { b"OB\0\0" })?;
        }
        out.write_all(&len.to_le_bytes())?;
        for index in 0..layout.frames() {
            let ranges = layout.ranges(index).ok_or(Unfit::Layout("a frame is missing"))?;
            let mut encoded = Vec::new();
            for range in ranges {
                read(source, range.start, range.end, &mut encoded)?;
            }
            let frame = decode(&self.syntax, &self.image, &encoded, 0)?.samples.to_le_bytes();
            if frame.len() as u64 != self.frame_len {
                let expected = usize::try_from(self.frame_len).unwrap_or(usize::MAX);
                return Err(PixelError::Length { expected, actual: frame.len() }.into());
            }
            out.write_all(&frame)?;
        }
        Ok(out.write_all(&[0][..usize::from(self.frame_len * u64::from(layout.frames()) % 2 == 1)])?)
    }
}

fn set(data_set: &mut DataSet, tag: Tag, value: &[u8]) {
    if let Some(element) = data_set.elements.iter_mut().find(|element| element.tag == tag) {
        let vr = if tag == tags::PLANAR_CONFIGURATION { VR::US } else { VR::CS };
        *element =
            Element { vr, len: value.len() as u64, value: Value::Bytes(value.to_vec().into()), ..element.clone() };
    }
}

fn stretches(source: &mut (impl Read + Seek), written: &[(Stretch, usize)], out: &mut impl Write) -> Result<(), Unfit> {
    for (stretch, width) in written {
        match stretch {
            Stretch::New(bytes) => out.write_all(bytes)?,
            Stretch::Old(range) if *width > 1 => swap(source, range.start, range.end, *width, out)?,
            Stretch::Old(range) => read(source, range.start, range.end, out)?,
        }
    }
    Ok(())
}

fn read(source: &mut (impl Read + Seek), start: u64, end: u64, out: &mut impl Write) -> io::Result<()> {
    source.seek(SeekFrom::Start(start))?;
    let len = end.saturating_sub(start);
    match io::copy(&mut source.take(len), out)? {
        copied if copied == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Values of so many bytes each, from big endian.
fn swap(source: &mut (impl Read + Seek), start: u64, end: u64, width: usize, out: &mut impl Write) -> io::Result<()> {
    const STEP: u64 = 1 << 20;
    let mut at = start;
    while at < end {
        let mut piece = Vec::new();
        let next = end.min(at.saturating_add(STEP));
        read(source, at, next, &mut piece)?;
        piece.chunks_exact_mut(width.max(1)).for_each(<[u8]>::reverse);
        out.write_all(&piece)?;
        at = next;
    }
    Ok(())
}
