//! A Part 10 file with its frames encoded anew; every other element stays as it is, byte for byte.

use crate::{
    Attributes,
    data_set::{DataSet, Element, Limits, Value, scan},
    frame_layout::FrameLayout,
    json::to_json,
    part10::{read_meta, with_transfer_syntax},
    pixel::{ImagePixel, Lossless, Transcoder, Unfit},
    transfer_syntax::Encoding,
};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
};

const SEQUENCE_DELIMITER: [u8; 8] = [0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0];
/// Tag, VR, two reserved bytes and the length of Pixel Data.
const PIXEL_DATA_HEADER: u64 = 12;

/// What says something about the encoded pixels that would no longer be so: signatures, and lengths and offsets of them.
const BOUND_TO_PIXELS: [(Tag, &str); 5] = [
    (tags::DIGITAL_SIGNATURES_SEQUENCE, "the data set is signed"),
    (tags::MAC_PARAMETERS_SEQUENCE, "the data set is signed"),
    (Tag(0x7FE0, 0), "the data set has a length of the group of its pixels"),
    (tags::EXTENDED_OFFSET_TABLE, "the data set has an Extended Offset Table"),
    (tags::EXTENDED_OFFSET_TABLE_LENGTHS, "the data set has an Extended Offset Table"),
];

/// Writes `source`, a Part 10 file, to `out` with its frames encoded as `target`, each in a fragment of its own
/// (PS3.5 §A.4), and proven to decode to the same; holds one frame at a time.
///
/// What changes else: Transfer Syntax UID and group length of the File Meta Information, and Planar Configuration of colour
/// by plane. [`Unfit::Io`] tells of a failure, every other error why the file is to stay as it is.
pub fn recompress(
    source: &mut (impl Read + Seek),
    target: Lossless,
    out: &mut (impl Write + Seek),
) -> Result<(), Unfit> {
    source.rewind()?;
    let meta = read_meta(source)?;
    if meta.transfer_syntax.encoding() != Encoding::ExplicitLittle {
        return Err(Unfit::Layout("the data set is not in Explicit VR Little Endian"));
    }
    let data_set = scan(source, &meta.transfer_syntax, Limits::default())?;
    let image = image_of(&data_set)?;
    let transcoder = Transcoder::new(&meta.transfer_syntax, &image, target)?;
    let pixels = Pixels::of(source, &data_set, &image)?;
    let head = copied(source, 0..meta.data_set_offset)?;
    let head = with_transfer_syntax(&head, &target.transfer_syntax());
    out.write_all(&head.ok_or(Unfit::Layout("the file has no File Meta Information"))?)?;
    write_before(source, &data_set, &image, meta.data_set_offset..pixels.start, out)?;
    write_frames(source, &transcoder, &pixels.frames, out)?;
    source.seek(SeekFrom::Start(pixels.end))?;
    io::copy(source, out)?;
    Ok(())
}

fn image_of(data_set: &DataSet) -> Result<ImagePixel, Unfit> {
    if let Some((_, reason)) = BOUND_TO_PIXELS.into_iter().find(|(tag, _)| data_set.get(*tag).is_some()) {
        return Err(Unfit::Layout(reason));
    }
    let json = to_json(data_set, &|_, _| String::new());
    let attributes = Attributes::of(&json).ok_or(Unfit::Layout("there are no attributes"))?;
    Ok(ImagePixel::of(attributes)?)
}

/// Where Pixel Data is in the file.
struct Pixels {
    /// Of its tag.
    start: u64,
    /// Where the next element starts.
    end: u64,
    frames: FrameLayout,
}

impl Pixels {
    fn of(source: &mut (impl Read + Seek), data_set: &DataSet, image: &ImagePixel) -> Result<Self, Unfit> {
        let element = data_set.get(tags::PIXEL_DATA).ok_or(Unfit::Layout("there are no pixels"))?;
        let frames = FrameLayout::of(data_set).filter(|layout| layout.frames() == image.frames);
        let frames = frames.ok_or(Unfit::Layout("there are other frames than Number of Frames says"))?;
        let start = element.offset.checked_sub(PIXEL_DATA_HEADER);
        let start = start.ok_or(Unfit::Layout("Pixel Data has an unusual header"))?;
        if !matches!(copied(source, start..start + 6)?[..], [0xE0, 0x7F, 0x10, 0, b'O', b'B' | b'W']) {
            return Err(Unfit::Layout("Pixel Data has an unusual header"));
        }
        Ok(Self { start, end: end_of(source, element, image)?, frames })
    }
}

fn end_of(source: &mut (impl Read + Seek), element: &Element, image: &ImagePixel) -> Result<u64, Unfit> {
    let end = element.offset + element.len;
    if let Value::Fragments { .. } = element.value {
        source.seek(SeekFrom::Start(end))?;
        let mut next = Vec::new();
        source.take(SEQUENCE_DELIMITER.len() as u64).read_to_end(&mut next)?;
        return Ok(if next == SEQUENCE_DELIMITER { end + SEQUENCE_DELIMITER.len() as u64 } else { end });
    }
    let expected = image.native_frame_len() as u64 * u64::from(image.frames);
    match element.len == expected.next_multiple_of(2) {
        true => Ok(end),
        false => Err(Unfit::Layout("Pixel Data has more bytes than its frames")),
    }
}

/// The elements before Pixel Data: what is by plane is written by pixel.
fn write_before(
    source: &mut (impl Read + Seek),
    data_set: &DataSet,
    image: &ImagePixel,
    range: Range<u64>,
    out: &mut impl Write,
) -> Result<(), Unfit> {
    let mut at = range.start;
    if let Some(planar) = data_set.get(tags::PLANAR_CONFIGURATION).filter(|_| image.planar) {
        copy(source, at..planar.offset, out)?;
        out.write_all(&[0, 0])?;
        at = planar.offset + 2;
    }
    Ok(copy(source, at..range.end, out)?)
}

/// Pixel Data of fragments; tells how many bytes the encoded frames have together.
pub(crate) fn write_frames(
    source: &mut (impl Read + Seek),
    transcoder: &Transcoder,
    frames: &FrameLayout,
    out: &mut (impl Write + Seek),
) -> Result<u64, Unfit> {
    const TOO_LONG: Unfit = Unfit::Layout("the frames are too long for a Basic Offset Table");
    out.write_all(b"\xE0\x7F\x10\x00OB\x00\x00\xFF\xFF\xFF\xFF")?;
    let table_len = frames.frames().checked_mul(4).ok_or(TOO_LONG)?;
    write_item_header(out, table_len)?;
    let table = out.stream_position()?;
    io::copy(&mut io::repeat(0).take(table_len.into()), out)?;
    let first = out.stream_position()?;
    let mut len = 0;
    for index in 0..frames.frames() {
        let offset = u32::try_from(out.stream_position()? - first).map_err(|_| TOO_LONG)?;
        let fragment = transcoder.frame(&read_frame(source, frames, index)?)?;
        write_at(out, table + u64::from(index) * 4, &offset.to_le_bytes())?;
        write_item_header(out, u32::try_from(fragment.len().next_multiple_of(2)).map_err(|_| TOO_LONG)?)?;
        out.write_all(&fragment)?;
        out.write_all(&[0][..fragment.len() % 2])?;
        len += fragment.len() as u64;
    }
    out.write_all(&SEQUENCE_DELIMITER)?;
    Ok(len)
}

pub(crate) fn read_frame(source: &mut (impl Read + Seek), frames: &FrameLayout, index: u32) -> Result<Vec<u8>, Unfit> {
    let ranges = frames.ranges(index).ok_or(Unfit::Layout("a frame is missing"))?;
    let mut frame = Vec::new();
    for range in ranges {
        copy(source, range, &mut frame)?;
    }
    Ok(frame)
}

fn write_item_header(out: &mut impl Write, len: u32) -> io::Result<()> {
    out.write_all(&[0xFE, 0xFF, 0x00, 0xE0])?;
    out.write_all(&len.to_le_bytes())
}

/// Writes over what is at `at`; goes on at the end.
fn write_at(out: &mut (impl Write + Seek), at: u64, bytes: &[u8]) -> io::Result<()> {
    out.seek(SeekFrom::Start(at))?;
    out.write_all(bytes)?;
    out.seek(SeekFrom::End(0)).map(drop)
}

fn copied(source: &mut (impl Read + Seek), range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    copy(source, range, &mut bytes)?;
    Ok(bytes)
}

fn copy(source: &mut (impl Read + Seek), range: Range<u64>, out: &mut impl Write) -> io::Result<()> {
    source.seek(SeekFrom::Start(range.start))?;
    let len = range.end.saturating_sub(range.start);
    match io::copy(&mut source.take(len), out)? {
        copied if copied == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{TransferSyntax, Uid, part10::write_meta};
    use std::io::Cursor;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    /// A file of two frames of 2 × 2 pixels; `extra` stands before the pixels, and a private element behind them.
    pub(crate) fn file(bits_stored: u8, extra: &[u8], pixels: &[u8; 16]) -> Vec<u8> {
        let uid = |text: &str| text.parse::<Uid>().expect("a UID");
        let mut file = write_meta(&uid(CT), &uid("1.2.3"), &TransferSyntax::explicit_little(), Some("TEST"));
        let short = |element: u8, value: u8| [0x28, 0, element, 0, b'U', b'S', 2, 0, value, 0];
        file.extend([0x28, 0, 2, 0, b'U', b'S', 2, 0, 1, 0]);
        file.extend(b"\x28\0\x04\0CS\x0C\0MONOCHROME2 \x28\0\x08\0IS\x02\x002 ");
        file.extend([short(0x10, 2), short(0x11, 2)].concat());
        file.extend(
            [[0x28, 0, 0, 1, b'U', b'S', 2, 0, 16, 0], [0x28, 0, 1, 1, b'U', b'S', 2, 0, bits_stored, 0]].concat(),
        );
        file.extend([0x28, 0, 2, 1, b'U', b'S', 2, 0, bits_stored - 1, 0, 0x28, 0, 3, 1, b'U', b'S', 2, 0, 0, 0]);
        file.extend(extra);
        file.extend(b"\xE0\x7F\x10\0OW\0\0\x10\0\0\0");
        file.extend(pixels);
        file.extend(b"\xE1\x7F\x10\0LO\x04\0MINE");
        file
    }

    pub(crate) const PIXELS: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0];

    fn recompressed(file: &[u8], target: Lossless) -> Result<Vec<u8>, Unfit> {
        let mut out = Cursor::new(Vec::new());
        recompress(&mut Cursor::new(file), target, &mut out).map(|()| out.into_inner())
    }

    #[test]
    fn all_but_the_pixels_stays_and_each_frame_is_a_fragment() {
        let original = file(12, &[], &PIXELS);
        for target in Lossless::ALL {
            let written = recompressed(&original, target).expect("recompressed");
            let mut reader = Cursor::new(&written);
            let meta = read_meta(&mut reader).expect("meta");
            assert_eq!(meta.transfer_syntax, target.transfer_syntax());
            let data_set = scan(&mut reader, &meta.transfer_syntax, Limits::default()).expect("a data set");
            let start = read_meta(&mut Cursor::new(&original)).expect("meta").data_set_offset as usize;
            let before = &original[start..original.len() - 12 - 16 - 12];
            assert!(written[meta.data_set_offset as usize..].starts_with(before));
            assert!(written.ends_with(b"\xDD\xE0\0\0\0\0\xE1\x7F\x10\0LO\x04\0MINE"));
            let image = image_of(&data_set).expect("an image");
            let layout = FrameLayout::of(&data_set).expect("frames");
            for (index, frame) in PIXELS.chunks(8).enumerate() {
                let encoded = read_frame(&mut reader, &layout, index as u32).expect("a frame");
                let decoded = crate::pixel::decode(&meta.transfer_syntax, &image, &encoded, 0).expect("decoded");
                assert_eq!(decoded.samples.to_le_bytes(), frame);
            }
        }
    }

    #[test]
    fn what_is_recompressed_can_be_recompressed() {
        let rle = recompressed(&file(12, &[], &PIXELS), Lossless::Rle).expect("RLE");
        let jpeg_ls = recompressed(&file(12, &[], &PIXELS), Lossless::JpegLs).expect("JPEG-LS");
        assert_eq!(recompressed(&rle, Lossless::JpegLs).expect("again"), jpeg_ls);
    }

    #[test]
    fn what_would_lose_or_belie_something_stays_as_it_is() {
        let mut overlay = PIXELS;
        overlay[1] = 0x10;
        let group_length = b"\xE0\x7F\0\0UL\x04\0\0\0\0\0";
        let offsets = b"\xE0\x7F\x01\0OV\0\0\x08\0\0\0\0\0\0\0\0\0\0\0";
        for (file, part) in [
            (file(12, &[], &overlay), "beyond Bits Stored"),
            (file(12, group_length, &PIXELS), "length of the group"),
            (file(12, offsets, &PIXELS), "Extended Offset Table"),
        ] {
            let error = recompressed(&file, Lossless::JpegLs).expect_err("a reason").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
