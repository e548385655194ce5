//! Response identifiers as bytes: little endian, explicit or implicit VR, text in a character set that can hold it.

use bytes::Bytes;
use pacs_core::{Item, Tag, VR, character_set::CharacterSet, item::Content, tags};
use std::collections::BTreeMap;

/// The largest value of a short-form explicit VR element that is of even length.
const MAX_SHORT: usize = 0xFFFE;

/// An attribute of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Values, backslash-separated; empty: zero length.
    Text(VR, String),
    Bytes(VR, Vec<u8>),
    /// A sequence.
    Items(Vec<Fields>),
}

pub type Fields = BTreeMap<Tag, Field>;

/// The attributes of an item of the DICOM JSON model.
pub fn fields(item: &Item) -> Fields {
    let field = |(tag, vr, content)| {
        let field = match content {
            Content::Text(text) => Field::Text(vr, text),
            Content::Bytes(bytes) => Field::Bytes(vr, bytes),
            Content::Items(items) => Field::Items(items.iter().map(fields).collect()),
        };
        (tag, field)
    };
    item.contents().map(field).collect()
}

/// Writes a response identifier.
///
/// Text is in the requester's own character set where that can hold it, so that peers that know one set only can read
/// it; else in UTF-8. Specific Character Set says which; plain ASCII needs none (PS3.4 §C.4.1.1.3.2).
pub fn write(mut fields: Fields, explicit_vr: bool, requested: &CharacterSet) -> Bytes {
    let charset = if can_hold(&fields, requested) { requested.clone() } else { CharacterSet::utf_8() };
    if !is_ascii(&fields) {
        fields.insert(tags::SPECIFIC_CHARACTER_SET, Field::Text(VR::CS, charset.terms()));
    }
    let mut out = Vec::with_capacity(512);
    put_fields(&mut out, &fields, explicit_vr, &charset);
    out.into()
}

fn texts(fields: &Fields) -> Vec<(VR, &str)> {
    fields.values().flat_map(texts_of).collect()
}

fn texts_of(field: &Field) -> Vec<(VR, &str)> {
    match field {
        Field::Text(vr, text) => vec![(*vr, text)],
        Field::Bytes(..) => Vec::new(),
        Field::Items(items) => items.iter().flat_map(texts).collect(),
    }
}

fn can_hold(fields: &Fields, charset: &CharacterSet) -> bool {
    texts(fields).into_iter().all(|(vr, text)| charset.encode(text, vr).is_some())
}

fn is_ascii(fields: &Fields) -> bool {
    texts(fields).into_iter().all(|(_, text)| text.is_ascii())
}

fn put_fields(out: &mut Vec<u8>, fields: &Fields, explicit_vr: bool, charset: &CharacterSet) {
    for (tag, field) in fields {
        let (vr, value) = match field {
            Field::Text(vr, text) => (*vr, value(*vr, text, charset)),
            Field::Bytes(vr, bytes) => (*vr, padded(bytes.clone(), 0)),
            Field::Items(items) => {
                (VR::SQ, items.iter().flat_map(|item| one_item(item, explicit_vr, charset)).collect())
            }
        };
        put(out, *tag, vr, &value, explicit_vr);
    }
}

fn one_item(fields: &Fields, explicit_vr: bool, charset: &CharacterSet) -> Vec<u8> {
    let mut content = Vec::new();
    put_fields(&mut content, fields, explicit_vr, charset);
    let mut out = vec![0xFE, 0xFF, 0x00, 0xE0];
    out.extend(length(&content).to_le_bytes());
    out.extend(content);
    out
}

/// The value field of a text, padded to even length.
fn value(vr: VR, text: &str, charset: &CharacterSet) -> Vec<u8> {
    let numbers = || text.split('\\').filter_map(|part| part.trim().parse::<i64>().ok());
    match vr {
        // The low 16 or 32 bits are those of signed and unsigned numbers alike.
        VR::US | VR::SS => return numbers().flat_map(|n| (n as u16).to_le_bytes()).collect(),
        VR::UL | VR::SL => return numbers().flat_map(|n| (n as u32).to_le_bytes()).collect(),
        VR::UV | VR::SV => return long_numbers(text).flat_map(|n| (n as u64).to_le_bytes()).collect(),
        VR::FL => return floats(text).flat_map(|n| (n as f32).to_le_bytes()).collect(),
        VR::FD => return floats(text).flat_map(f64::to_le_bytes).collect(),
        VR::AT => return text.split('\\').filter_map(tag_bytes).flatten().collect(),
        _ => {}
    }
    padded(charset.encode(text, vr).unwrap_or_default(), if vr == VR::UI { 0 } else { b' ' })
}

fn padded(mut bytes: Vec<u8>, padding: u8) -> Vec<u8> {
    if bytes.len() % 2 == 1 {
        bytes.push(padding);
    }
    bytes
}

fn long_numbers(text: &str) -> impl Iterator<Item = i128> {
    text.split('\\').filter_map(|part| part.trim().parse().ok())
}

fn floats(text: &str) -> impl Iterator<Item = f64> {
    text.split('\\').filter_map(|part| part.trim().parse().ok())
}

/// A tag of eight hexadecimal digits.
fn tag_bytes(text: &str) -> Option<[u8; 4]> {
    let number = u32::from_str_radix(text.trim(), 16).ok()?;
    let ([a, b], [c, d]) = (((number >> 16) as u16).to_le_bytes(), (number as u16).to_le_bytes());
    Some([a, b, c, d])
}

fn put(out: &mut Vec<u8>, tag: Tag, vr: VR, value: &[u8], explicit_vr: bool) {
    out.extend(tag.group().to_le_bytes());
    out.extend(tag.element().to_le_bytes());
    if !explicit_vr {
        out.extend(length(value).to_le_bytes());
    } else if is_long_form(vr) {
        out.extend_from_slice(vr.to_string().as_bytes());
        out.extend([0; 2]);
        out.extend(length(value).to_le_bytes());
    } else {
        // A value that its VR has no room for is not a value to send on.
        let value = if value.len() > MAX_SHORT { &[] } else { value };
        out.extend_from_slice(vr.to_string().as_bytes());
        out.extend((value.len() as u16).to_le_bytes());
        out.extend_from_slice(value);
        return;
    }
    out.extend_from_slice(value);
}

/// VRs with a 32-bit length (PS3.5 Table 7.1-1).
fn is_long_form(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

fn length(value: &[u8]) -> u32 {
    u32::try_from(value.len()).expect("values come from index rows, far below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Fields {
        Fields::from([(tags::PATIENT_NAME, Field::Text(VR::PN, text.to_owned()))])
    }

    fn check(text: &str, requested: &str, expected: &[u8]) {
        assert_eq!(
            write(name(text), true, &CharacterSet::from_terms(&requested.split('\\').collect::<Vec<_>>())).as_ref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn text_stays_in_the_requesters_set_while_that_can_hold_it() {
        check("Wang", "GB18030", b"\x10\0\x10\0PN\x04\0Wang");
        check("\u{5f20}", "GB18030", b"\x08\0\x05\0CS\x08\0GB18030 \x10\0\x10\0PN\x02\0\xD5\xC5");
        check("\u{fc}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 100\x10\0\x10\0PN\x02\0\xFC ");
        check("\u{5f20}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x10\0\x10\0PN\x04\0\xE5\xBC\xA0 ");
        check("\u{5f20}", "", b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x10\0\x10\0PN\x04\0\xE5\xBC\xA0 ");
        check(
            "\u{5f20}",
            "\\ISO 2022 IR 58",
            b"\x08\0\x05\0CS\x10\0\\ISO 2022 IR 58 \x10\0\x10\0PN\x06\0\x1b$)A\xD5\xC5",
        );
        check("\u{20ac}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x10\0\x10\0PN\x04\0\xE2\x82\xAC ");
    }

    #[test]
    fn numbers_uids_and_items_have_their_own_form() {
        let fields = Fields::from([
            (tags::SOP_CLASS_UID, Field::Text(VR::UI, "1.2".to_owned())),
            (tags::ROWS, Field::Text(VR::US, "512".to_owned())),
            (tags::REQUEST_ATTRIBUTES_SEQUENCE, Field::Items(vec![name("A")])),
            (tags::REFERENCED_STUDY_SEQUENCE, Field::Items(Vec::new())),
        ]);
        let implicit = b"\x08\0\x16\0\x04\0\0\x001.2\0\x08\0\x10\x11\0\0\0\0\x28\0\x10\0\x02\0\0\0\0\x02\
            \x40\0\x75\x02\x12\0\0\0\xFE\xFF\0\xE0\x0A\0\0\0\x10\0\x10\0\x02\0\0\0A ";
        assert_eq!(write(fields, false, &CharacterSet::default()).as_ref(), implicit);
    }

    #[test]
    fn an_item_is_written_whatever_its_values_are() {
        let item = Item::from_json(serde_json::json!({
            "00091001": {"vr": "OB", "InlineBinary": "AQID"},
            "00091002": {"vr": "FD", "Value": [0.5]},
            "00091003": {"vr": "AT", "Value": ["00280010"]},
            "00091004": {"vr": "SV", "Value": [-1]},
            "00400100": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["CT"]}}]},
        }));
        let written = write(fields(&item.unwrap()), false, &CharacterSet::default());
        let expected = b"\x09\0\x01\x10\x04\0\0\0\x01\x02\x03\0\x09\0\x02\x10\x08\0\0\0\0\0\0\0\0\0\xE0\x3F\
            \x09\0\x03\x10\x04\0\0\0\x28\0\x10\0\x09\0\x04\x10\x08\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\
            \x40\0\0\x01\x12\0\0\0\xFE\xFF\0\xE0\x0A\0\0\0\x08\0\x60\0\x02\0\0\0CT";
        assert_eq!(written.as_ref(), expected);
    }

    #[test]
    fn a_value_too_long_for_its_vr_is_left_empty() {
        check(&"A".repeat(70_000), "ISO_IR 192", b"\x10\0\x10\0PN\0\0");
    }
}
