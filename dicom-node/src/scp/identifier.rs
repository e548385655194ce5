//! Response identifiers as bytes: little endian, explicit or implicit VR, text in a character set that can hold it.

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use pacs_core::{Tag, VR, tags};
use std::{borrow::Cow, collections::BTreeMap};

const UTF_8_TERM: &str = "ISO_IR 192";
/// The largest value of a short-form explicit VR element that is of even length.
const MAX_SHORT: usize = 0xFFFE;

/// An attribute of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// Values, backslash-separated; empty: zero length.
    Text(VR, String),
    /// A sequence with at most one item.
    Item(Option<Fields>),
}

pub type Fields = BTreeMap<Tag, Field>;

/// A single-byte or multi-byte repertoire without code extensions (PS3.3 Tables C.12-2 and C.12-5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Charset {
    term: &'static str,
    encoding: &'static Encoding,
}

impl Charset {
    pub const UTF_8: Self = Self { term: UTF_8_TERM, encoding: UTF_8 };

    /// By its defined term; `None` where we answer in UTF-8 instead.
    pub fn of(term: &str) -> Option<Self> {
        let known = [
            (UTF_8_TERM, UTF_8),
            ("GB18030", encoding_rs::GB18030),
            ("GBK", encoding_rs::GBK),
            ("ISO_IR 100", encoding_rs::WINDOWS_1252),
            ("ISO_IR 101", encoding_rs::ISO_8859_2),
            ("ISO_IR 109", encoding_rs::ISO_8859_3),
            ("ISO_IR 110", encoding_rs::ISO_8859_4),
            ("ISO_IR 144", encoding_rs::ISO_8859_5),
            ("ISO_IR 127", encoding_rs::ISO_8859_6),
            ("ISO_IR 126", encoding_rs::ISO_8859_7),
            ("ISO_IR 138", encoding_rs::ISO_8859_8),
            ("ISO_IR 148", encoding_rs::WINDOWS_1254),
            ("ISO_IR 203", encoding_rs::ISO_8859_15),
            ("ISO_IR 166", encoding_rs::WINDOWS_874),
        ];
        let (term, encoding) = known.into_iter().find(|(known, _)| *known == term)?;
        Some(Self { term, encoding })
    }

    /// The bytes of a text, `None` if it has a character outside the repertoire.
    fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        let (bytes, _, unmappable) = self.encoding.encode(text);
        // The Windows code pages have graphics where ISO 8859 has control characters.
        let is_control = |byte: &u8| (0x80..0xA0).contains(byte);
        let strays = self.encoding.is_single_byte() && bytes.iter().any(is_control);
        (!unmappable && !strays).then_some(bytes)
    }
}

/// Writes a response identifier.
///
/// Text is in the requester's own character set where that can hold it, so that peers that know one set only can read
/// it; else in UTF-8. Specific Character Set says which; plain ASCII needs none (PS3.4 §C.4.1.1.3.2).
pub fn write(mut fields: Fields, explicit_vr: bool, requested: Option<Charset>) -> Bytes {
    let charset = [requested, Some(Charset::UTF_8)].into_iter().flatten().find(|set| can_hold(&fields, *set));
    let charset = charset.unwrap_or(Charset::UTF_8);
    if !is_ascii(&fields) {
        fields.insert(tags::SPECIFIC_CHARACTER_SET, Field::Text(VR::CS, charset.term.to_owned()));
    }
    let mut out = Vec::with_capacity(512);
    put_fields(&mut out, &fields, explicit_vr, charset);
    out.into()
}

fn texts(fields: &Fields) -> Vec<&str> {
    fields.values().flat_map(texts_of).collect()
}

fn texts_of(field: &Field) -> Vec<&str> {
    match field {
        Field::Text(_, text) => vec![text],
        Field::Item(item) => item.as_ref().map(texts).unwrap_or_default(),
    }
}

fn can_hold(fields: &Fields, charset: Charset) -> bool {
    texts(fields).into_iter().all(|text| charset.encode(text).is_some())
}

fn is_ascii(fields: &Fields) -> bool {
    texts(fields).into_iter().all(str::is_ascii)
}

fn put_fields(out: &mut Vec<u8>, fields: &Fields, explicit_vr: bool, charset: Charset) {
    for (tag, field) in fields {
        let (vr, value) = match field {
            Field::Text(vr, text) => (*vr, value(*vr, text, charset)),
            Field::Item(item) => {
                (VR::SQ, item.as_ref().map(|item| one_item(item, explicit_vr, charset)).unwrap_or_default())
            }
        };
        put(out, *tag, vr, &value, explicit_vr);
    }
}

fn one_item(fields: &Fields, explicit_vr: bool, charset: Charset) -> Vec<u8> {
    let mut content = Vec::new();
    put_fields(&mut content, fields, explicit_vr, charset);
    let mut out = vec![0xFE, 0xFF, 0x00, 0xE0];
    out.extend(length(&content).to_le_bytes());
    out.extend(content);
    out
}

/// The value field of a text, padded to even length.
fn value(vr: VR, text: &str, charset: Charset) -> Vec<u8> {
    let numbers = || text.split('\\').filter_map(|part| part.trim().parse::<i64>().ok());
    match vr {
        // The low 16 or 32 bits are those of signed and unsigned numbers alike.
        VR::US | VR::SS => return numbers().flat_map(|n| (n as u16).to_le_bytes()).collect(),
        VR::UL | VR::SL => return numbers().flat_map(|n| (n as u32).to_le_bytes()).collect(),
        _ => {}
    }
    let mut bytes = charset.encode(text).map(Cow::into_owned).unwrap_or_default();
    if bytes.len() % 2 == 1 {
        bytes.push(if vr == VR::UI { 0 } else { b' ' });
    }
    bytes
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
        assert_eq!(write(name(text), true, Charset::of(requested)).as_ref(), expected, "{text}");
    }

    #[test]
    fn text_stays_in_the_requesters_set_while_that_can_hold_it() {
        check("Wang", "GB18030", b"\x10\0\x10\0PN\x04\0Wang");
        check("\u{5f20}", "GB18030", b"\x08\0\x05\0CS\x08\0GB18030 \x10\0\x10\0PN\x02\0\xD5\xC5");
        check("\u{fc}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 100\x10\0\x10\0PN\x02\0\xFC ");
        check("\u{5f20}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x10\0\x10\0PN\x04\0\xE5\xBC\xA0 ");
        check("\u{20ac}", "ISO_IR 100", b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x10\0\x10\0PN\x04\0\xE2\x82\xAC ");
    }

    #[test]
    fn numbers_uids_and_items_have_their_own_form() {
        let fields = Fields::from([
            (tags::SOP_CLASS_UID, Field::Text(VR::UI, "1.2".to_owned())),
            (tags::ROWS, Field::Text(VR::US, "512".to_owned())),
            (tags::REQUEST_ATTRIBUTES_SEQUENCE, Field::Item(Some(name("A")))),
            (tags::REFERENCED_STUDY_SEQUENCE, Field::Item(None)),
        ]);
        let implicit = b"\x08\0\x16\0\x04\0\0\x001.2\0\x08\0\x10\x11\0\0\0\0\x28\0\x10\0\x02\0\0\0\0\x02\
            \x40\0\x75\x02\x12\0\0\0\xFE\xFF\0\xE0\x0A\0\0\0\x10\0\x10\0\x02\0\0\0A ";
        assert_eq!(write(fields, false, None).as_ref(), implicit);
    }

    #[test]
    fn a_value_too_long_for_its_vr_is_left_empty() {
        check(&"A".repeat(70_000), "ISO_IR 192", b"\x10\0\x10\0PN\0\0");
    }
}
