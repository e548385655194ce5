//! A data set with its frames in the compression that a reader asks for (PS3.5 §8.2, §A.4).

use crate::{
    Attributes, TransferSyntax, Uid,
    data_set::{DataSet, Element, Limits, Value, inflate, scan, write_converted},
    frame_layout::FrameLayout,
    json::to_json,
    native::{MAX_INFLATED, split, stretches},
    pixel::{ImagePixel, Lossy, PixelError, Target, Transcoder, Unfit},
    recompress::write_frames,
    transfer_syntax::Encoding,
};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};

/// What a reader gets.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// The same image, frames in [`Target::Lossless`].
    Same(crate::pixel::Lossless),
    /// Another image, which is derived from it and has this SOP Instance UID (PS3.3 C.7.6.1.1.5, C.12.4.1).
    Derived(Lossy, &'a Uid),
}

impl Wanted<'_> {
    pub fn target(self) -> Target {
        match self {
            Self::Same(lossless) => lossless.into(),
            Self::Derived(lossy, _) => lossy.into(),
        }
    }
}

/// Writes the data set that begins at `start` of `source`, in Explicit VR Little Endian with its frames as `wanted`, each in
/// a fragment of its own; `change` has a look at it first. Holds one frame at a time.
///
/// The Image Pixel module says how the frames are then. What loses something makes the image a derived one: SOP Instance UID,
/// Image Type, Source Image Sequence, Derivation Code Sequence, and Lossy Image Compression with its ratio and method are
/// written. [`Unfit::Io`] tells of a failure, every other error why it cannot be.
pub fn write_encoded(
    source: &mut (impl Read + Seek),
    stored: &TransferSyntax,
    start: u64,
    change: impl FnOnce(&mut DataSet),
    wanted: Wanted<'_>,
    out: &mut (impl Write + Seek),
) -> Result<(), Unfit> {
    source.seek(SeekFrom::Start(start))?;
    if stored.encoding() == Encoding::Deflated {
        let inflated = inflate(source, MAX_INFLATED)?;
        let plain = TransferSyntax::explicit_little();
        return convert(&mut Cursor::new(inflated), &plain, change, wanted, out);
    }
    convert(source, stored, change, wanted, out)
}

/// As [`write_encoded`], from where `source` stands.
fn convert(
    source: &mut (impl Read + Seek),
    stored: &TransferSyntax,
    change: impl FnOnce(&mut DataSet),
    wanted: Wanted<'_>,
    out: &mut (impl Write + Seek),
) -> Result<(), Unfit> {
    let mut data_set = scan(source, stored, Limits::default())?;
    let image = image_of(&data_set)?;
    let transcoder = Transcoder::for_reader(stored, &image, wanted.target())?;
    let frames = FrameLayout::of(&data_set).filter(|layout| layout.frames() == image.frames);
    let frames = frames.ok_or(Unfit::Layout("there are other frames than Number of Frames says"))?;
    change(&mut data_set);
    describe(&mut data_set, transcoder.written());
    if let Wanted::Derived(lossy, uid) = wanted {
        derive(&mut data_set, lossy, uid);
    }
    let (mut before, behind) = split(data_set);
    let begin = out.stream_position()?;
    let target = TransferSyntax::explicit_little();
    stretches(source, &write_converted(&before, stored, &target)?, out)?;
    let written = write_frames(source, &transcoder, &frames, out)?;
    stretches(source, &write_converted(&behind, stored, &target)?, out)?;
    if let Wanted::Derived(..) = wanted {
        let native = image.samples() as f64 * f64::from(image.bits_allocated / 8) * f64::from(image.frames);
        set_ratio(&mut before, native / written as f64);
        out.seek(SeekFrom::Start(begin))?;
        stretches(source, &write_converted(&before, stored, &target)?, out)?;
        out.seek(SeekFrom::End(0))?;
    }
    Ok(())
}

fn image_of(data_set: &DataSet) -> Result<ImagePixel, Unfit> {
    let json = to_json(data_set, &|_, _| String::new());
    Ok(ImagePixel::of(Attributes::of(&json).ok_or(PixelError::Attribute("data set"))?)?)
}

/// Lets the Image Pixel module say how the frames are written.
fn describe(data_set: &mut DataSet, written: &ImagePixel) {
    let of_stored = [tags::EXTENDED_OFFSET_TABLE, tags::EXTENDED_OFFSET_TABLE_LENGTHS];
    data_set.elements.retain(|element| !of_stored.contains(&element.tag));
    data_set.insert(Element::of_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, written.photometric.term()));
    data_set.insert(number(tags::HIGH_BIT, written.high_bit));
    if written.samples_per_pixel == 3 {
        data_set.insert(number(tags::PLANAR_CONFIGURATION, 0));
    }
}

fn number(tag: Tag, value: u8) -> Element {
    Element { tag, vr: VR::US, offset: 0, len: 2, value: Value::Bytes([value, 0].into()) }
}

/// Room for a ratio, in characters: the data set is written before it is known.
const RATIO_WIDTH: usize = 8;

/// Makes it an image of its own (PS3.3 C.7.6.1.1.5, C.12.4.1.2, PS3.16 CID 7202, 7203).
fn derive(data_set: &mut DataSet, lossy: Lossy, uid: &Uid) {
    let reference = reference(data_set);
    append_item(data_set, tags::SOURCE_IMAGE_SEQUENCE, reference);
    let compression = code(data_set, "113040", "Lossy Compression");
    append_item(data_set, tags::DERIVATION_CODE_SEQUENCE, compression);
    data_set.insert(Element::of_text(tags::SOP_INSTANCE_UID, VR::UI, uid.as_str()));
    let mut kinds = data_set.texts(tags::IMAGE_TYPE);
    match kinds.first_mut() {
        Some(kind) => *kind = "DERIVED".to_owned(),
        None => kinds = ["DERIVED", "SECONDARY"].map(str::to_owned).into(),
    }
    data_set.insert(Element::of_text(tags::IMAGE_TYPE, VR::CS, &kinds.join("\\")));
    data_set.insert(Element::of_text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"));
    append(data_set, tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, lossy.method());
    append(data_set, tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, &" ".repeat(RATIO_WIDTH));
}

/// One step more: what was done to the image before stays.
fn append(data_set: &mut DataSet, tag: Tag, vr: VR, value: &str) {
    let mut values = data_set.texts(tag);
    values.retain(|value| !value.is_empty());
    values.push(value.to_owned());
    data_set.insert(Element::of_text(tag, vr, &values.join("\\")));
}

/// In the room that [`derive`] left.
fn set_ratio(data_set: &mut DataSet, ratio: f64) {
    let written = data_set.get(tags::LOSSY_IMAGE_COMPRESSION_RATIO).and_then(Element::bytes).unwrap_or_default();
    let mut values = written.to_vec();
    values.truncate(values.len().saturating_sub(RATIO_WIDTH));
    values.extend(format!("{ratio:<RATIO_WIDTH$.2}").bytes().take(RATIO_WIDTH));
    data_set.insert(Element::of_text(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, &String::from_utf8_lossy(&values)));
}

/// The image as it was, as Source Image Sequence names it.
fn reference(data_set: &DataSet) -> DataSet {
    let text = |tag| data_set.text(tag).unwrap_or_default();
    let purpose = code(data_set, "121320", "Uncompressed predecessor");
    let mut item = DataSet { elements: Vec::new(), character_set: data_set.character_set.clone() };
    item.insert(Element::of_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &text(tags::SOP_CLASS_UID)));
    item.insert(Element::of_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &text(tags::SOP_INSTANCE_UID)));
    append_item(&mut item, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, purpose);
    item
}

/// Of DCM (PS3.16 Annex D).
fn code(data_set: &DataSet, value: &str, meaning: &str) -> DataSet {
    let mut item = DataSet { elements: Vec::new(), character_set: data_set.character_set.clone() };
    item.insert(Element::of_text(tags::CODE_VALUE, VR::SH, value));
    item.insert(Element::of_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"));
    item.insert(Element::of_text(tags::CODE_MEANING, VR::LO, meaning));
    item
}

fn append_item(data_set: &mut DataSet, tag: Tag, item: DataSet) {
    let mut items = data_set.items(tag).to_vec();
    items.push(item);
    data_set.insert(Element { tag, vr: VR::SQ, offset: 0, len: 0, value: Value::Sequence(items) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{Lossless, decode};
    use crate::recompress::tests::{PIXELS, file};
    use crate::{part10::read_meta, recompress::read_frame};

    fn encoded(file: &[u8], wanted: Wanted<'_>) -> (DataSet, Vec<Vec<u8>>) {
        let mut source = Cursor::new(file);
        let meta = read_meta(&mut source).expect("meta");
        let mut out = Cursor::new(b"before".to_vec());
        out.seek(SeekFrom::End(0)).expect("the end");
        write_encoded(&mut source, &meta.transfer_syntax, meta.data_set_offset, |_| {}, wanted, &mut out)
            .expect("encoded");
        let mut out = Cursor::new(out.into_inner().split_off(6));
        let syntax = wanted.target().transfer_syntax();
        let data_set = scan(&mut out, &syntax, Limits::default()).expect("a data set");
        let layout = FrameLayout::of(&data_set).expect("frames");
        let image = image_of(&data_set).expect("an image");
        let frames = (0..layout.frames()).map(|index| read_frame(&mut out, &layout, index).expect("a frame"));
        let decoded =
            frames.map(|frame| decode(&syntax, &image, &frame, 0).expect("decoded").samples.to_le_bytes()).collect();
        (data_set, decoded)
    }

    #[test]
    fn every_lossless_compression_gives_the_same_frames_and_the_same_image() {
        for lossless in Lossless::ALL {
            let (data_set, frames) = encoded(&file(12, &[], &PIXELS), Wanted::Same(lossless));
            assert_eq!(frames.concat(), PIXELS, "{lossless:?}");
            assert_eq!(data_set.text(tags::LOSSY_IMAGE_COMPRESSION), None);
            assert_eq!(data_set.text(Tag(0x7FE1, 0x10)).as_deref(), Some("MINE"));
        }
    }

    #[test]
    fn what_loses_something_is_an_image_of_its_own_and_says_how_much() {
        let uid = "1.2.3.4".parse().expect("a UID");
        let (data_set, frames) = encoded(&file(12, &[], &PIXELS), Wanted::Derived(Lossy::JpegLs { near: 1 }, &uid));
        assert_eq!(frames.len(), 2);
        for (tag, value) in [
            (tags::SOP_INSTANCE_UID, "1.2.3.4"),
            (tags::IMAGE_TYPE, "DERIVED"),
            (tags::LOSSY_IMAGE_COMPRESSION, "01"),
            (tags::LOSSY_IMAGE_COMPRESSION_METHOD, "ISO_14495_1"),
        ] {
            assert_eq!(data_set.text(tag).as_deref(), Some(value), "{tag}");
        }
        let [ratio] = data_set.numbers(tags::LOSSY_IMAGE_COMPRESSION_RATIO)[..] else { panic!("one ratio") };
        assert!((0.05..1.0).contains(&ratio), "so few pixels grow: {ratio}");
        let [source] = data_set.items(tags::SOURCE_IMAGE_SEQUENCE) else { panic!("one source") };
        assert_eq!(
            source.items(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE)[0].text(tags::CODE_VALUE).as_deref(),
            Some("121320")
        );
        assert!(data_set.elements.is_sorted_by_key(|element| element.tag));
    }
}
