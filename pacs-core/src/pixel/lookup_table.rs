//! Lookup tables as the Modality LUT, VOI LUT and Palette modules write them (PS3.3 C.11.1.1, C.11.2.1.1, C.7.6.3.1.5).

use crate::attributes::Attributes;
use base64::{Engine, engine::general_purpose::STANDARD};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// The three values of a LUT descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// 1..=65536.
    pub entries: usize,
    /// First stored value mapped.
    pub first: i32,
    /// Bits of an entry: 8..=16.
    pub bits: u8,
}

impl Descriptor {
    /// `signed`: the values looked up are signed, which says how to read the second value whatever its VR.
    pub fn of(attributes: Attributes<'_>, tag: Tag, signed: bool) -> Option<Self> {
        let values = attributes.numbers(tag);
        let [entries, first, bits] = values.get(..3)?.try_into().ok()?;
        Some(Self { entries: entries_of(entries)?, first: first_of(first, signed)?, bits: bits_of(bits)? })
    }
}

/// 0 stands for 65536; a negative number is an unsigned one read as SS.
fn entries_of(value: f64) -> Option<usize> {
    match value as i32 {
        0 => Some(1 << 16),
        n @ 1..=0xFFFF => Some(n as usize),
        n @ -0x8000..0 => Some((n + 0x1_0000) as usize),
        _ => None,
    }
}

fn first_of(value: f64, signed: bool) -> Option<i32> {
    match value as i32 {
        n @ 0x8000..=0xFFFF if signed => Some(n - 0x1_0000),
        n @ -0x8000..0 if !signed => Some(n + 0x1_0000),
        n @ -0x8000..=0xFFFF => Some(n),
        _ => None,
    }
}

fn bits_of(value: f64) -> Option<u8> {
    (8.0..=16.0).contains(&value).then_some(value as u8)
}

/// First mapped value and entries of the table in one item of a Modality or VOI LUT Sequence. `None` if it is empty.
pub(super) fn of_item(item: Attributes<'_>, signed: bool) -> Option<(i32, Vec<u16>)> {
    let descriptor = Descriptor::of(item, tags::LUT_DESCRIPTOR, signed)?;
    let entries = entries(item, tags::LUT_DATA, descriptor)?;
    (!entries.is_empty()).then_some((descriptor.first, entries))
}

/// Entries of a table: 16-bit words, or bytes where there are too few for words. Shorter tables than declared are
/// let in: the last entry then stands for the rest.
pub(super) fn entries(attributes: Attributes<'_>, tag: Tag, descriptor: Descriptor) -> Option<Vec<u16>> {
    let bytes = bytes(attributes, tag)?;
    let mut entries = match descriptor.bits == 8 && bytes.len() < 2 * descriptor.entries {
        true => bytes.iter().map(|&b| u16::from(b)).collect(),
        false => words(&bytes),
    };
    entries.truncate(descriptor.entries);
    Some(entries)
}

pub(super) fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word)).collect()
}

/// The value of a binary element, little endian: from InlineBinary, or from numbers (VR US or SS).
pub(super) fn bytes(attributes: Attributes<'_>, tag: Tag) -> Option<Vec<u8>> {
    match attributes.inline_binary(tag) {
        Some(text) => STANDARD.decode(text).ok(),
        None => {
            let numbers = attributes.numbers(tag);
            let words = numbers.iter().flat_map(|&n| (n as i32 as u16).to_le_bytes());
            (!numbers.is_empty()).then(|| words.collect())
        }
    }
}

/// The entry for `value`; values outside the table take its first or last entry. 0 for an empty table.
pub(super) fn look_up<T: Copy + Default>(first: i32, entries: &[T], value: f64) -> T {
    let last = entries.len().saturating_sub(1);
    // Saturates: NaN and values below the table become 0.
    let index = (value - f64::from(first)).round() as usize;
    entries.get(index.min(last)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_descriptor_of_0_entries_means_65536() {
        let value = json!({"00283002": {"vr": "US", "Value": [0, 0, 16]}});
        let descriptor = Descriptor::of(Attributes::of(&value).unwrap(), tags::LUT_DESCRIPTOR, false);
        assert_eq!(descriptor, Some(Descriptor { entries: 65536, first: 0, bits: 16 }));
    }

    #[test]
    fn the_first_mapped_value_follows_the_sign_of_the_pixels_not_its_vr() {
        let value = json!({"00283002": {"vr": "US", "Value": [10, 63488, 16]}});
        let of = |signed| Descriptor::of(Attributes::of(&value).unwrap(), tags::LUT_DESCRIPTOR, signed).unwrap().first;
        assert_eq!((of(true), of(false)), (-2048, 63488));
    }

    #[test]
    fn values_outside_the_table_take_its_ends() {
        let table = [5u16, 6, 7];
        assert_eq!([9.0, 10.0, 12.0, 1e9, f64::NAN].map(|v| look_up(10, &table, v)), [5, 5, 7, 7, 5]);
        assert_eq!(look_up::<u16>(0, &[], 3.0), 0);
    }

    #[test]
    fn eight_bit_entries_may_be_bytes_or_words() {
        let descriptor = Descriptor { entries: 3, first: 0, bits: 8 };
        let of = |bytes: &[u8]| {
            let value = json!({"00283006": {"vr": "OW", "InlineBinary": STANDARD.encode(bytes)}});
            entries(Attributes::of(&value).unwrap(), tags::LUT_DATA, descriptor).unwrap()
        };
        assert_eq!(of(&[1, 2, 3, 0]), [1, 2, 3]);
        assert_eq!(of(&[1, 0, 2, 0, 3, 0]), [1, 2, 3]);
    }
}
