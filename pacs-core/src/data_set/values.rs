//! Values of a scanned data set as text and numbers.

use super::{DataSet, Element, Value};
use crate::character_set::CharacterSet;
use dicom_core::{Tag, VR};

impl DataSet {
    /// The first element of this tag: where a sender repeats one, the first counts everywhere.
    pub fn get(&self, tag: Tag) -> Option<&Element> {
        self.elements.iter().find(|e| e.tag == tag)
    }

    /// First value of a string element, decoded by the character set in force and trimmed of padding.
    /// `None` if the element is absent, empty, or too long to have been kept.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.texts(tag).into_iter().next().filter(|text| !text.is_empty())
    }

    /// All values of a string element; numbers in decimal, AT as eight hexadecimal digits.
    pub fn texts(&self, tag: Tag) -> Vec<String> {
        self.get(tag).map(|element| element.texts(&self.character_set)).unwrap_or_default()
    }

    /// First value as integer (US, SS, UL, SL, UV, SV, IS, AT-free).
    pub fn integer(&self, tag: Tag) -> Option<i64> {
        let element = self.get(tag)?;
        match element.numbers()?.into_iter().next()? {
            Number::Integer(number) => number.try_into().ok(),
            Number::Float(number) => (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64),
        }
    }

    /// All numeric values (binary and text VRs); text that is no number is left out.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        let numbers = self.get(tag).and_then(Element::numbers).unwrap_or_default();
        numbers.into_iter().map(Number::to_f64).collect()
    }

    /// Items of a sequence; empty when absent.
    pub fn items(&self, tag: Tag) -> &[DataSet] {
        match self.get(tag).map(|element| &element.value) {
            Some(Value::Sequence(items)) => items,
            _ => &[],
        }
    }
}

impl DataSet {
    /// Puts an element in place of what is there under its tag, in ascending order of tags.
    pub fn insert(&mut self, element: Element) {
        self.elements.retain(|other| other.tag != element.tag);
        let at = self.elements.iter().position(|other| other.tag > element.tag);
        self.elements.insert(at.unwrap_or(self.elements.len()), element);
    }
}

/// A number of any VR without loss: SV and UV do not fit a double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn to_f64(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl Element {
    /// One that holds a text as its value, which its character set and length must allow.
    pub fn of_text(tag: Tag, vr: VR, text: &str) -> Self {
        Self { tag, vr, offset: 0, len: text.len() as u64, value: Value::Bytes(text.as_bytes().into()) }
    }

    /// The kept bytes of the value field.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// All values as text; empty for sequences and binary data.
    pub fn texts(&self, character_set: &CharacterSet) -> Vec<String> {
        let Some(bytes) = self.bytes() else { return Vec::new() };
        if is_text(self.vr) {
            return texts(self.vr, bytes, character_set);
        }
        if self.vr == VR::AT {
            return attribute_tags(bytes).collect();
        }
        let numbers = binary_numbers(self.vr, bytes).unwrap_or_default();
        numbers
            .into_iter()
            .map(|number| match number {
                Number::Integer(number) => number.to_string(),
                Number::Float(number) => number.to_string(),
            })
            .collect()
    }

    /// All values as numbers; `None` for a VR without numbers.
    pub(crate) fn numbers(&self) -> Option<Vec<Number>> {
        let bytes = self.bytes()?;
        match self.vr {
            VR::IS | VR::DS => {
                let texts = texts(self.vr, bytes, &CharacterSet::default());
                Some(texts.iter().filter_map(|text| text_number(text)).collect())
            }
            vr => binary_numbers(vr, bytes),
        }
    }
}

/// IS and DS (PS3.5 §6.2); some writers put decimals into IS.
pub(crate) fn text_number(text: &str) -> Option<Number> {
    let text = text.trim();
    let digits = text.strip_prefix('+').unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(number) => Some(Number::Integer(number.into())),
        Err(_) => {
            let plain = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
            digits.parse().ok().filter(|number: &f64| plain && number.is_finite()).map(Number::Float)
        }
    }
}

/// VRs whose value is characters.
pub(crate) fn is_text(vr: VR) -> bool {
    use VR::*;
    matches!(vr, AE | AS | CS | DA | DS | DT | IS | LO | LT | PN | SH | ST | TM | UC | UI | UR | UT)
}

/// VRs that hold one value, backslashes being part of it (PS3.5 §6.2).
fn is_single(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR)
}

fn texts(vr: VR, bytes: &[u8], character_set: &CharacterSet) -> Vec<String> {
    // Not by the standard, but in use: Chinese text in Body Part Examined and other code strings.
    let text = character_set.decode(bytes, vr);
    if text.trim_end_matches([' ', '\0']).is_empty() {
        return Vec::new();
    }
    if is_single(vr) {
        return vec![trim(vr, &text).to_owned()];
    }
    text.split('\\').map(|value| trim(vr, value).to_owned()).collect()
}

/// Drops what is padding in this VR; leading spaces of long text are part of it (PS3.5 Table 6.2-1).
fn trim(vr: VR, value: &str) -> &str {
    let value = value.trim_end_matches([' ', '\0']);
    match vr {
        // Empty component groups at the end may as well be left out (PS3.5 §6.2.1.1).
        VR::PN => value.trim_end_matches([' ', '=']).trim_start_matches(' '),
        VR::LT | VR::ST | VR::UT | VR::UR | VR::UC => value,
        _ => value.trim_start_matches(' '),
    }
}

/// Values of an AT element, as eight hexadecimal digits.
pub(crate) fn attribute_tags(bytes: &[u8]) -> impl Iterator<Item = String> {
    let (tags, _) = bytes.as_chunks::<4>();
    tags.iter().map(|[a, b, c, d]| format!("{:04X}{:04X}", u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])))
}

/// The values of a binary numeric VR; what is left of a value cut short is dropped.
pub(crate) fn binary_numbers(vr: VR, bytes: &[u8]) -> Option<Vec<Number>> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> Number) -> Vec<Number> {
        let (values, _) = bytes.as_chunks::<N>();
        values.iter().map(|value| number(*value)).collect()
    }
    Some(match vr {
        VR::US => each(bytes, |b| Number::Integer(u16::from_le_bytes(b).into())),
        VR::SS => each(bytes, |b| Number::Integer(i16::from_le_bytes(b).into())),
        VR::UL => each(bytes, |b| Number::Integer(u32::from_le_bytes(b).into())),
        VR::SL => each(bytes, |b| Number::Integer(i32::from_le_bytes(b).into())),
        VR::UV => each(bytes, |b| Number::Integer(u64::from_le_bytes(b).into())),
        VR::SV => each(bytes, |b| Number::Integer(i64::from_le_bytes(b).into())),
        VR::FL => each(bytes, |b| Number::Float(f32::from_le_bytes(b).into())),
        VR::FD => each(bytes, |b| Number::Float(f64::from_le_bytes(b))),
        _ => return None,
    })
}
