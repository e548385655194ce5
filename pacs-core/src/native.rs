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
pub(crate) const MAX_INFLATED: u64 = 256 << 20;
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
    // First: where the frames are, and how they are encoded, is as it was stored.
    let frames = match FrameLayout::of(&data_set) {
        Some(layout @ FrameLayout::Encapsulated { .. }) => Some((Decoder::of(&data_set, stored)?, layout)),
        _ => None,
    };
    change(&mut data_set);
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
pub(crate) fn split(data_set: DataSet) -> (DataSet, DataSet) {
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

/// Writes the parts of a data set.
pub(crate) fn stretches(
    source: &mut (impl Read + Seek),
    written: &[(Stretch, usize)],
    out: &mut impl Write,
) -> Result<(), Unfit> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        part10::read_meta,
        pixel::Lossless,
        recompress::{
            recompress,
            tests::{PIXELS, file},
        },
        transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN,
    };

    fn native(file: &[u8], target: &TransferSyntax) -> Result<Vec<u8>, Unfit> {
        let mut source = Cursor::new(file);
        let meta = read_meta(&mut source).expect("meta");
        let mut out = Vec::new();
        write_native(&mut source, &meta.transfer_syntax, meta.data_set_offset, |_| (), target, &mut out)?;
        Ok(out)
    }

    fn data_set(file: &[u8]) -> Vec<u8> {
        let start = read_meta(&mut Cursor::new(file)).expect("meta").data_set_offset as usize;
        file[start..].to_vec()
    }

    #[test]
    fn what_was_compressed_comes_out_as_it_went_in() {
        let original = file(12, &[], &PIXELS);
        for target in Lossless::ALL {
            let mut compressed = Cursor::new(Vec::new());
            recompress(&mut Cursor::new(&original), target, &mut compressed).expect("compressed");
            let written = native(compressed.get_ref(), &TransferSyntax::explicit_little()).expect("native");
            assert_eq!(written, data_set(&original));
        }
    }

    #[test]
    fn implicit_vr_and_back_is_the_same() {
        let original = file(12, &[], &PIXELS);
        let implicit = TransferSyntax::new(IMPLICIT_VR_LITTLE_ENDIAN.parse().expect("a UID"));
        let written = native(&original, &implicit).expect("implicit");
        assert!(written.len() < data_set(&original).len() && written != data_set(&original));
        let mut back = Vec::new();
        let target = TransferSyntax::explicit_little();
        write_native(&mut Cursor::new(&written), &implicit, 0, |_| (), &target, &mut back).expect("explicit");
        // The private element is of no known VR then.
        let known = back.len() - 16;
        assert_eq!(back[..known], data_set(&original)[..known]);
    }

    #[test]
    fn big_endian_is_turned_value_by_value() {
        let big = TransferSyntax::new("1.2.840.10008.1.2.2".parse().expect("a UID"));
        let element = |group: u8, element: u8, vr: &[u8; 2], value: &[u8]| {
            [&[0, group, 0, element, vr[0], vr[1], 0, value.len() as u8], value].concat()
        };
        let words = [&[0x7F, 0xE0, 0, 0x10, b'O', b'W', 0, 0, 0, 0, 0, 4][..], &[1, 2, 3, 4]].concat();
        let source = [element(0x28, 0x10, b"US", &[1, 0]), words].concat();
        let mut out = Vec::new();
        let target = TransferSyntax::explicit_little();
        write_native(&mut Cursor::new(source), &big, 0, |_| (), &target, &mut out).expect("turned");
        assert_eq!(out, b"\x28\0\x10\0US\x02\0\0\x01\xE0\x7F\x10\0OW\0\0\x04\0\0\0\x02\x01\x04\x03");
    }

    #[test]
    fn a_change_is_written_and_what_cannot_be_decoded_is_told() {
        let original = file(12, &[], &PIXELS);
        let mut compressed = Cursor::new(Vec::new());
        recompress(&mut Cursor::new(&original), Lossless::JpegLs, &mut compressed).expect("compressed");
        let mut file = compressed.into_inner();
        let meta = read_meta(&mut Cursor::new(&file)).expect("meta");
        let drop_frames = |data_set: &mut DataSet| data_set.elements.retain(|e| e.tag != tags::NUMBER_OF_FRAMES);
        let mut out = Vec::new();
        let target = TransferSyntax::explicit_little();
        let start = meta.data_set_offset;
        write_native(&mut Cursor::new(&file), &meta.transfer_syntax, start, drop_frames, &target, &mut out)
            .expect("written");
        let number_of_frames = b"\x28\0\x08\0IS\x02\x002 ".len();
        assert_eq!(out.len(), data_set(&original).len() - number_of_frames, "the frames are those that there are");
        let marker = file.windows(2).rposition(|pair| pair == [0xFF, 0xD8]).expect("a frame");
        file[marker] = 0;
        assert!(native(&file, &target).is_err());
    }
}
