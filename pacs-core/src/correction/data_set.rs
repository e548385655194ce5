//! A scanned data set as corrected.

use super::{MODIFYING_SYSTEM, REASON, Step};
use crate::character_set::CharacterSet;
use crate::data_set::header::dictionary_vr;
use crate::data_set::values::is_text;
use crate::data_set::{DataSet, Element, Value};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

/// Lays corrections over a data set, in order. A value that is there already is no change.
///
/// Where the declared character sets lack a character of a new value, all text becomes UTF-8.
pub fn correct(data_set: &mut DataSet, steps: &[Step]) {
    let is_encodable = |value: &String| data_set.character_set.encode(value, VR::LT).is_some();
    if !steps.iter().flat_map(|step| step.values.values().flatten()).all(is_encodable) {
        into_utf_8(data_set);
    }
    let originals: Vec<_> = steps.iter().filter_map(|step| take_step(data_set, step)).collect();
    if originals.is_empty() {
        return;
    }
    let mut sequence = remove(data_set, tags::ORIGINAL_ATTRIBUTES_SEQUENCE)
        .unwrap_or_else(|| element(tags::ORIGINAL_ATTRIBUTES_SEQUENCE, VR::SQ, Value::Sequence(Vec::new())));
    match &mut sequence.value {
        Value::Sequence(items) => items.extend(originals),
        other => *other = Value::Sequence(originals),
    }
    insert(data_set, sequence);
}

/// The item of the Original Attributes Sequence about a correction, `None` if it changed nothing.
fn take_step(data_set: &mut DataSet, step: &Step) -> Option<DataSet> {
    let mut before = nested(data_set);
    for (tag, value) in &step.values {
        before.elements.extend(replace(data_set, *tag, value.as_deref()));
    }
    if before.elements.is_empty() {
        return None;
    }
    let text = |tag, vr, text: &str| element(tag, vr, Value::Bytes(text.as_bytes().into()));
    let mut item = nested(data_set);
    item.elements = vec![
        element(tags::MODIFIED_ATTRIBUTES_SEQUENCE, VR::SQ, Value::Sequence(vec![before])),
        text(tags::ATTRIBUTE_MODIFICATION_DATE_TIME, VR::DT, &step.at),
        text(tags::MODIFYING_SYSTEM, VR::LO, MODIFYING_SYSTEM),
        text(tags::SOURCE_OF_PREVIOUS_VALUES, VR::LO, ""),
        text(tags::REASON_FOR_THE_ATTRIBUTE_MODIFICATION, VR::CS, REASON),
    ];
    Some(item)
}

/// Gives an attribute its value. The element before, an empty one if there was none; `None` if nothing changes.
fn replace(data_set: &mut DataSet, tag: Tag, value: Option<&str>) -> Option<Element> {
    let vr = dictionary_vr(tag, false)?;
    let is_same = match (data_set.get(tag), value) {
        (None, None) => true,
        (Some(_), Some(value)) => data_set.texts(tag).join("\\") == value,
        _ => false,
    };
    if is_same {
        return None;
    }
    let before = remove(data_set, tag).unwrap_or_else(|| element(tag, vr, Value::Bytes(Box::default())));
    if let Some(value) = value {
        // All values can be encoded, or the text is UTF-8 by now.
        let bytes = data_set.character_set.encode(value, vr).unwrap_or_else(|| value.as_bytes().to_vec());
        insert(data_set, element(tag, vr, Value::Bytes(bytes.into())));
    }
    Some(before)
}

fn element(tag: Tag, vr: VR, value: Value) -> Element {
    let len = if let Value::Bytes(bytes) = &value { bytes.len() as u64 } else { 0 };
    Element { tag, vr, offset: 0, len, value }
}

/// An item of a sequence in this data set.
fn nested(data_set: &DataSet) -> DataSet {
    DataSet { elements: Vec::new(), character_set: data_set.character_set.clone() }
}

/// The first element of a tag, which is the one that counts; repeated ones go too.
fn remove(data_set: &mut DataSet, tag: Tag) -> Option<Element> {
    let mut removed = data_set.elements.extract_if(.., |element| element.tag == tag);
    let first = removed.next();
    removed.for_each(drop);
    first
}

/// In ascending order of tags, as far as the others are (PS3.5 §7.1).
fn insert(data_set: &mut DataSet, element: Element) {
    let at = data_set.elements.iter().position(|other| other.tag > element.tag);
    data_set.elements.insert(at.unwrap_or(data_set.elements.len()), element);
}

/// Encodes all kept text anew. Nested no deeper than a scan lets through.
fn into_utf_8(data_set: &mut DataSet) {
    declare_utf_8(data_set);
    let term = element(tags::SPECIFIC_CHARACTER_SET, VR::CS, Value::Bytes((*b"ISO_IR 192").into()));
    remove(data_set, tags::SPECIFIC_CHARACTER_SET);
    insert(data_set, term);
}

fn declare_utf_8(data_set: &mut DataSet) {
    let declared = std::mem::replace(&mut data_set.character_set, CharacterSet::utf_8());
    // Items speak of none, and so are in that of the whole.
    data_set.elements.retain(|element| element.tag != tags::SPECIFIC_CHARACTER_SET);
    for element in &mut data_set.elements {
        match &mut element.value {
            Value::Sequence(items) => items.iter_mut().for_each(declare_utf_8),
            Value::Bytes(bytes) if is_text(element.vr) => {
                *bytes = declared.decode(bytes, element.vr).into_bytes().into();
                element.len = bytes.len() as u64;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(values: &[(Tag, Option<&str>)]) -> Step {
        let values = values.iter().map(|(tag, value)| (*tag, value.map(str::to_owned))).collect();
        Step { at: "20261124100000+0000".into(), values }
    }

    fn data_set(terms: &str, name: &[u8]) -> DataSet {
        let text = |tag, vr, bytes: &[u8]| element(tag, vr, Value::Bytes(bytes.into()));
        let request = DataSet {
            elements: vec![text(tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION, VR::LO, name)],
            character_set: CharacterSet::from_value(terms.as_bytes()),
        };
        DataSet {
            elements: vec![
                text(tags::SPECIFIC_CHARACTER_SET, VR::CS, terms.as_bytes()),
                text(tags::PATIENT_NAME, VR::PN, name),
                text(tags::PATIENT_ID, VR::LO, b"P1"),
                element(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, Value::Sequence(vec![request])),
            ],
            character_set: CharacterSet::from_value(terms.as_bytes()),
        }
    }

    fn tags_of(data_set: &DataSet) -> Vec<Tag> {
        data_set.elements.iter().map(|element| element.tag).collect()
    }

    #[test]
    fn the_new_value_is_in_its_place_and_the_old_one_in_the_original_attributes() {
        let mut corrected = data_set("ISO_IR 192", "张^三".as_bytes());
        let sex = (tags::PATIENT_SEX, Some("F"));
        let first = step(&[(tags::PATIENT_NAME, Some("Li^Si")), (tags::PATIENT_ID, Some("P1")), sex]);
        correct(&mut corrected, &[first, step(&[(tags::PATIENT_SEX, None)])]);
        assert_eq!(corrected.texts(tags::PATIENT_NAME), ["Li^Si"]);
        assert!(corrected.get(tags::PATIENT_SEX).is_none());
        let [first, second] = corrected.items(tags::ORIGINAL_ATTRIBUTES_SEQUENCE) else { panic!("two items") };
        let before = &first.items(tags::MODIFIED_ATTRIBUTES_SEQUENCE)[0];
        assert_eq!(tags_of(before), [tags::PATIENT_NAME, tags::PATIENT_SEX], "the same Patient ID is no change");
        assert_eq!(before.texts(tags::PATIENT_NAME), ["张^三"]);
        assert_eq!(second.items(tags::MODIFIED_ATTRIBUTES_SEQUENCE)[0].texts(tags::PATIENT_SEX), ["F"]);
        assert_eq!(first.texts(tags::REASON_FOR_THE_ATTRIBUTE_MODIFICATION), ["CORRECT"]);
        assert!(corrected.elements.is_sorted_by_key(|element| element.tag));
    }

    #[test]
    fn a_name_that_the_character_set_lacks_turns_all_text_to_utf_8() {
        let mut corrected = data_set("ISO_IR 100", b"M\xFCller");
        correct(&mut corrected, &[step(&[(tags::PATIENT_NAME, Some("Zhang^San=张^三"))])]);
        assert_eq!(corrected.texts(tags::SPECIFIC_CHARACTER_SET), ["ISO_IR 192"]);
        assert_eq!(corrected.get(tags::PATIENT_NAME).and_then(Element::bytes), Some("Zhang^San=张^三".as_bytes()));
        let nested = &corrected.items(tags::REQUEST_ATTRIBUTES_SEQUENCE)[0];
        assert_eq!(nested.texts(tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION), ["Müller"]);
        let original = &corrected.items(tags::ORIGINAL_ATTRIBUTES_SEQUENCE)[0];
        assert_eq!(original.items(tags::MODIFIED_ATTRIBUTES_SEQUENCE)[0].texts(tags::PATIENT_NAME), ["Müller"]);
    }

    #[test]
    fn a_name_that_fits_is_encoded_as_declared() {
        let mut corrected = data_set("GB18030", b"\xD5\xC5^\xC8\xFD");
        correct(&mut corrected, &[step(&[(tags::PATIENT_NAME, Some("李^四"))])]);
        assert_eq!(corrected.texts(tags::SPECIFIC_CHARACTER_SET), ["GB18030"]);
        assert_eq!(corrected.get(tags::PATIENT_NAME).and_then(Element::bytes), Some(&b"\xC0\xEE^\xCB\xC4"[..]));
    }

    #[test]
    fn without_a_change_nothing_is_added() {
        let mut corrected = data_set("GB18030", b"\xD5\xC5^\xC8\xFD");
        correct(&mut corrected, &[step(&[(tags::PATIENT_NAME, Some("张^三"))]), step(&[(tags::PATIENT_SEX, None)])]);
        assert_eq!(corrected, data_set("GB18030", b"\xD5\xC5^\xC8\xFD"));
    }
}
