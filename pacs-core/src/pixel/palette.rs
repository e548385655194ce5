//! Palette colour lookup tables, plain and segmented (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6, C.7.9.2).

use super::{PixelError, lookup_table};
use crate::attributes::Attributes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use lookup_table::Descriptor;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    pub first: i32,
    pub rgb: Vec<[u8; 3]>,
}

impl Palette {
    /// Colour of a stored value; values outside the palette take its first or last colour.
    pub fn colour(&self, stored: f64) -> [u8; 3] {
        lookup_table::look_up(self.first, &self.rgb, stored)
    }
}

struct Channel {
    descriptor: Tag,
    data: Tag,
    segmented: Tag,
}

const CHANNELS: [Channel; 3] = [
    Channel {
        descriptor: tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        data: tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        segmented: tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
    Channel {
        descriptor: tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        data: tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        segmented: tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
    Channel {
        descriptor: tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        data: tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        segmented: tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    },
];

/// The palette of an instance; `signed` says whether its pixel values are.
pub(super) fn of(attributes: Attributes<'_>, signed: bool) -> Result<Palette, PixelError> {
    let first = Descriptor::of(attributes, CHANNELS[0].descriptor, signed).map(|d| d.first);
    let first = first.ok_or(PixelError::Attribute("Red Palette Color Lookup Table Descriptor"))?;
    let mut channels = CHANNELS.iter().map(|channel| channel_of(attributes, channel, signed));
    let mut next = || channels.next().flatten().ok_or(PixelError::Attribute("Palette Color Lookup Table Data"));
    let (red, green, blue) = (next()?, next()?, next()?);
    let rgb = red.iter().zip(&green).zip(&blue).map(|((&r, &g), &b)| [r, g, b]).collect();
    Ok(Palette { first, rgb })
}

/// 8-bit values of one colour. `None` if there are none.
fn channel_of(attributes: Attributes<'_>, channel: &Channel, signed: bool) -> Option<Vec<u8>> {
    let descriptor = Descriptor::of(attributes, channel.descriptor, signed)?;
    let plain = lookup_table::entries(attributes, channel.data, descriptor);
    let entries = plain.or_else(|| segmented(attributes, channel.segmented, descriptor))?;
    (!entries.is_empty()).then(|| to_8_bits(&entries, descriptor.bits))
}

/// 16-bit tables are scaled by their high byte, unless they really hold 8-bit values (some vendors' do).
fn to_8_bits(entries: &[u16], bits: u8) -> Vec<u8> {
    let narrow = entries.iter().all(|&v| v <= 0xFF);
    let shift = if narrow { 0 } else { bits.saturating_sub(8) };
    entries.iter().map(|&v| (v >> shift).min(0xFF) as u8).collect()
}

fn segmented(attributes: Attributes<'_>, tag: Tag, descriptor: Descriptor) -> Option<Vec<u16>> {
    let bytes = lookup_table::bytes(attributes, tag)?;
    let words = match descriptor.bits {
        8 => bytes.iter().map(|&b| u16::from(b)).collect(),
        _ => lookup_table::words(&bytes),
    };
    expand(&words, descriptor)
}

/// Expands segments (PS3.3 C.7.9.2): 0 discrete, 1 linear, 2 indirect. `None` if they are malformed.
fn expand(data: &[u16], descriptor: Descriptor) -> Option<Vec<u16>> {
    let mut entries = Vec::with_capacity(descriptor.entries);
    let mut rest = data;
    while entries.len() < descriptor.entries {
        let [opcode, length, ..] = *rest else { break };
        if opcode == 2 {
            // Offset in bytes: four byte-wide entries, or two words, least significant first.
            let (width, size) = if descriptor.bits == 8 { (4, 1) } else { (2, 2) };
            let offset = offset_of(rest.get(2..2 + width)?, descriptor.bits) / size;
            repeat(data.get(offset..)?, length, &mut entries, descriptor.entries)?;
            rest = rest.get(2 + width..)?;
        } else {
            rest = segment(rest, &mut entries, descriptor.entries)?;
        }
    }
    Some(entries)
}

fn offset_of(parts: &[u16], bits: u8) -> usize {
    let shift = if bits == 8 { 8 } else { 16 };
    parts.iter().rev().fold(0, |offset, &part| offset << shift | usize::from(part))
}

/// Copies `count` segments met before; these must not be indirect themselves, so this ends.
fn repeat(mut data: &[u16], count: u16, entries: &mut Vec<u16>, limit: usize) -> Option<()> {
    for _ in 0..count {
        data = segment(data, entries, limit)?;
    }
    Some(())
}

/// Expands one discrete or linear segment and returns what follows it.
fn segment<'a>(data: &'a [u16], entries: &mut Vec<u16>, limit: usize) -> Option<&'a [u16]> {
    let [opcode, length, rest @ ..] = data else { return None };
    let count = usize::from(*length);
    let room = limit.saturating_sub(entries.len());
    match opcode {
        0 => {
            let (values, rest) = rest.split_at_checked(count)?;
            entries.extend(values.iter().take(room));
            Some(rest)
        }
        1 => {
            let (&end, rest) = rest.split_first()?;
            let start = f64::from(*entries.last()?);
            let step = (f64::from(end) - start) / count.max(1) as f64;
            entries.extend((1..=count.min(room)).map(|i| (start + step * i as f64).round() as u16));
            Some(rest)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn descriptor(entries: usize, bits: u8) -> Descriptor {
        Descriptor { entries, first: 0, bits }
    }

    #[test]
    fn discrete_and_linear_segments_expand() {
        let data = [0, 1, 0, 1, 4, 400, 0, 2, 7, 8];
        assert_eq!(expand(&data, descriptor(7, 16)).unwrap(), [0, 100, 200, 300, 400, 7, 8]);
    }

    #[test]
    fn an_indirect_segment_repeats_earlier_ones_from_a_byte_offset() {
        let data = [0, 2, 5, 6, 1, 2, 10, 2, 2, 0, 0];
        assert_eq!(expand(&data, descriptor(8, 16)).unwrap(), [5, 6, 8, 10, 5, 6, 8, 10]);
    }

    #[test]
    fn an_indirect_segment_of_a_byte_table_has_a_four_byte_offset() {
        let data = [0, 2, 5, 6, 2, 1, 0, 0, 0, 0];
        assert_eq!(expand(&data, descriptor(4, 8)).unwrap(), [5, 6, 5, 6]);
    }

    #[test]
    fn an_indirect_segment_that_points_to_an_indirect_one_is_refused() {
        assert_eq!(expand(&[0, 1, 1, 2, 1, 6, 0], descriptor(9, 16)), None);
    }

    #[test]
    fn sixteen_bit_entries_are_scaled_unless_they_hold_bytes() {
        assert_eq!(to_8_bits(&[0, 0x80FF, 0xFFFF], 16), [0, 0x80, 0xFF]);
        assert_eq!(to_8_bits(&[0, 0x80, 0xFF], 16), [0, 0x80, 0xFF]);
    }

    proptest! {
        #[test]
        fn any_segments_give_at_most_the_declared_entries(data in prop::collection::vec(0u16..5, 0..60), bits in prop::sample::select(vec![8u8, 16])) {
            if let Some(entries) = expand(&data, descriptor(50, bits)) {
                prop_assert!(entries.len() <= 50);
            }
        }
    }
}
