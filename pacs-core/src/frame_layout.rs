//! Where the frames of an instance lie, so that one range read gives one frame.

use crate::data_set::{DataSet, Element, Fragment, Value};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use std::ops::Range;

/// Byte ranges of the frames, relative to the start of the stored file (deflated data sets: of the inflated data set).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FrameLayout {
    /// Frame n at `offset + n * frame_bits / 8` (1-bit frames may start inside a byte).
    Native { offset: u64, len: u64, frames: u32, frame_bits: u64 },
    /// Fragments per frame, concatenated on reading (PS3.5 §A.4).
    Encapsulated { frames: Vec<Vec<Fragment>> },
}

impl FrameLayout {
    /// `None` if the instance has no pixel data. Frames are told apart by the Extended Offset Table, the Basic Offset
    /// Table, one fragment a frame, or all fragments one frame; `None` too if none of these fits.
    ///
    /// Native pixel data that ends early has the frames that are there whole.
    pub fn of(data_set: &DataSet) -> Option<Self> {
        let pixel_data = [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
        let element = pixel_data.into_iter().find_map(|tag| data_set.get(tag))?;
        match &element.value {
            Value::Bytes(_) | Value::Located => native(data_set, element),
            Value::Fragments { basic_offset_table, fragments } => {
                let frames = encapsulated(data_set, basic_offset_table, fragments)?;
                Some(Self::Encapsulated { frames })
            }
            Value::Sequence(_) => None,
        }
    }

    pub fn frames(&self) -> u32 {
        match self {
            Self::Native { frames, .. } => *frames,
            Self::Encapsulated { frames } => frames.len() as u32,
        }
    }

    /// Byte ranges to read, in order, for frame `index` (from 0). `None` if there is no such frame.
    pub fn ranges(&self, index: u32) -> Option<Vec<Range<u64>>> {
        match self {
            Self::Native { offset, len, frames, frame_bits } => {
                let start = frame_bits.checked_mul(index.into())?;
                let end = start.checked_add(*frame_bits)?.div_ceil(8);
                let there = index < *frames && end <= *len;
                let range = offset + start / 8..offset + end;
                there.then(|| vec![range])
            }
            Self::Encapsulated { frames } => {
                let fragments = frames.get(index as usize)?;
                Some(fragments.iter().map(|f| f.offset..f.offset + u64::from(f.len)).collect())
            }
        }
    }
}

/// Number of Frames; `None` where the attribute is absent or no count.
fn number_of_frames(data_set: &DataSet) -> Option<u32> {
    data_set.integer(tags::NUMBER_OF_FRAMES)?.try_into().ok().filter(|frames| *frames > 0)
}

fn native(data_set: &DataSet, element: &Element) -> Option<FrameLayout> {
    let (offset, len) = (element.offset, element.len);
    let dimension = |tag| data_set.integer(tag).and_then(|n| u16::try_from(n).ok()).map(u64::from);
    let pixels = dimension(tags::ROWS)? * dimension(tags::COLUMNS)?;
    let samples = match data_set.text(tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        // Two luminance samples share their chrominance (PS3.3 C.7.6.3.1.2).
        Some("YBR_FULL_422" | "YBR_PARTIAL_422") => 2,
        _ => dimension(tags::SAMPLES_PER_PIXEL).unwrap_or(1),
    };
    let frame_bits = pixels.checked_mul(samples)?.checked_mul(dimension(tags::BITS_ALLOCATED)?)?;
    let there = len.checked_mul(8)?.checked_div(frame_bits)?;
    let frames = u32::try_from(there).unwrap_or(u32::MAX).min(number_of_frames(data_set).unwrap_or(1));
    // In big endian the last sample of an odd frame is the second byte of its word (PS3.5 §8.1.1).
    let whole_words = frames == 1 && element.vr == VR::OW && frame_bits.next_multiple_of(16) <= len * 8;
    let frame_bits = if whole_words { frame_bits.next_multiple_of(16) } else { frame_bits };
    (frames > 0).then_some(FrameLayout::Native { offset, len, frames, frame_bits })
}

fn encapsulated(data_set: &DataSet, basic: &[u32], fragments: &[Fragment]) -> Option<Vec<Vec<Fragment>>> {
    let said = number_of_frames(data_set);
    let counted = |frames: &Vec<_>| said.is_none_or(|said| said as usize == frames.len());
    let extended = extended_offset_table(data_set);
    let basic = basic.iter().copied().map(u64::from).collect::<Vec<_>>();
    if let Some(frames) = by_offsets(&extended, fragments).or_else(|| by_offsets(&basic, fragments)).filter(counted) {
        return Some(frames);
    }
    let filled: Vec<_> = fragments.iter().copied().filter(|fragment| fragment.len > 0).collect();
    match said.unwrap_or(1) {
        _ if filled.is_empty() => None,
        1 => Some(vec![filled]),
        said if said as usize == filled.len() => Some(filled.into_iter().map(|fragment| vec![fragment]).collect()),
        _ => None,
    }
}

/// Extended Offset Table (PS3.3 C.7.6.3.1.8); empty where there is none.
fn extended_offset_table(data_set: &DataSet) -> Vec<u64> {
    let bytes = data_set.get(tags::EXTENDED_OFFSET_TABLE).and_then(|element| element.bytes()).unwrap_or_default();
    let (offsets, _) = bytes.as_chunks();
    offsets.iter().map(|offset| u64::from_le_bytes(*offset)).collect()
}

/// Groups fragments by the offsets of the frames, which count from the first fragment's item tag.
/// `None` unless every offset is the start of a fragment, in order, from the first on.
fn by_offsets(offsets: &[u64], fragments: &[Fragment]) -> Option<Vec<Vec<Fragment>>> {
    const ITEM_HEADER: u64 = 8;
    let base = fragments.first()?.offset;
    let mut offsets = offsets.iter().peekable();
    let mut frames: Vec<Vec<Fragment>> = Vec::new();
    for fragment in fragments {
        debug_assert!(fragment.offset >= base && base >= ITEM_HEADER);
        if offsets.next_if(|offset| **offset == fragment.offset - base).is_some() {
            frames.push(Vec::new());
        }
        frames.last_mut()?.push(*fragment);
    }
    (!frames.is_empty() && offsets.next().is_none()).then_some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::Tag;

    fn us(tag: Tag, value: u16) -> Element {
        let value = Value::Bytes(value.to_le_bytes().into());
        Element { tag, vr: VR::US, offset: 0, len: 2, value }
    }

    fn frames_said(frames: u32) -> Element {
        Element::of_text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.to_string())
    }

    fn native_image(bits: u16, frames: u32, len: u64) -> DataSet {
        let pixel_data = Element { tag: tags::PIXEL_DATA, vr: VR::OW, offset: 1000, len, value: Value::Located };
        let bits = us(tags::BITS_ALLOCATED, bits);
        let elements = vec![frames_said(frames), us(tags::ROWS, 3), us(tags::COLUMNS, 3), bits, pixel_data];
        DataSet { elements, ..DataSet::default() }
    }

    /// Fragments of `lens` bytes as they follow each other in a file.
    fn encapsulated_image(frames: Option<u32>, table: &[u32], lens: &[u32]) -> DataSet {
        let mut offset = 1000;
        let mut fragments = Vec::new();
        for len in lens {
            fragments.push(Fragment { offset, len: *len });
            offset += u64::from(*len) + 8;
        }
        let value = Value::Fragments { basic_offset_table: table.into(), fragments };
        let pixel_data = Element { tag: tags::PIXEL_DATA, vr: VR::OB, offset: 900, len: 0, value };
        DataSet { elements: frames.map(frames_said).into_iter().chain([pixel_data]).collect(), ..DataSet::default() }
    }

    /// The one range of a native frame.
    fn only(layout: &FrameLayout, index: u32) -> Range<u64> {
        let ranges = layout.ranges(index).expect("a frame");
        assert_eq!(ranges.len(), 1);
        ranges[0].clone()
    }

    #[test]
    fn native_frames_follow_each_other() {
        let layout = FrameLayout::of(&native_image(16, 2, 36)).expect("a layout");
        assert_eq!(only(&layout, 0), 1000..1018);
        assert_eq!(only(&layout, 1), 1018..1036);
        assert_eq!(layout.ranges(2), None);
    }

    #[test]
    fn a_frame_of_single_bits_may_start_inside_a_byte() {
        let layout = FrameLayout::of(&native_image(1, 3, 4)).expect("a layout");
        assert_eq!(only(&layout, 1), 1001..1003);
    }

    #[test]
    fn a_single_frame_of_words_is_whole_words() {
        let layout = FrameLayout::of(&native_image(8, 1, 10)).expect("a layout");
        assert_eq!(only(&layout, 0), 1000..1010);
    }

    #[test]
    fn a_number_of_frames_is_not_believed_beyond_the_bytes() {
        let layout = FrameLayout::of(&native_image(16, i32::MAX as u32, 36)).expect("a layout");
        assert_eq!(layout.frames(), 2);
        assert_eq!(FrameLayout::of(&native_image(16, 1, 17)), None);
    }

    #[track_caller]
    fn check(frames: Option<u32>, table: &[u32], lens: &[u32], expected: Option<&[usize]>) {
        let layout = FrameLayout::of(&encapsulated_image(frames, table, lens));
        let counts = layout.map(|layout| match layout {
            FrameLayout::Encapsulated { frames } => frames.iter().map(Vec::len).collect::<Vec<_>>(),
            FrameLayout::Native { .. } => Vec::new(),
        });
        assert_eq!(counts.as_deref(), expected);
    }

    #[test]
    fn fragments_are_told_apart_by_the_offset_table() {
        check(Some(2), &[0, 36], &[10, 10, 10], Some(&[2, 1]));
        check(None, &[0, 18], &[10, 10, 10], Some(&[1, 2]));
    }

    #[test]
    fn without_a_table_that_fits_fragments_are_frames_or_one_frame() {
        check(Some(3), &[], &[10, 10, 10], Some(&[1, 1, 1]));
        check(Some(3), &[0, 7, 9], &[10, 10, 10], Some(&[1, 1, 1]));
        check(Some(1), &[0], &[10, 10, 10], Some(&[3]));
        check(None, &[], &[10, 0], Some(&[1]));
        check(Some(2), &[], &[10, 10, 10], None);
        check(Some(5), &[], &[10], None);
        check(Some(1), &[], &[], None);
    }

    #[test]
    fn without_a_table_frames_begin_where_codestreams_do() {
        let item = |content: &[u8]| [&[0xFE, 0xFF, 0x00, 0xE0, content.len() as u8, 0, 0, 0][..], content].concat();
        let mut bytes = b"\x28\0\x08\0IS\x02\x002 \xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF".to_vec();
        bytes.extend([item(&[]), item(&[0xFF, 0xD8, 1, 2]), item(&[3, 4]), item(&[0xFF, 0xD8])].concat());
        let syntax = crate::TransferSyntax::explicit_little();
        let data_set = crate::data_set::scan(&mut std::io::Cursor::new(bytes), &syntax, Default::default());
        let layout = FrameLayout::of(&data_set.expect("a data set")).expect("a layout");
        let fragments = (0..2).map(|index| layout.ranges(index).expect("a frame").len());
        assert_eq!(fragments.collect::<Vec<_>>(), [2, 1]);
    }
}
