//! An item of DICOM JSON as corrected.

use super::{MODIFYING_SYSTEM, REASON, Step};
use crate::attributes::key;
use crate::character_set::CharacterSet;
use crate::data_set::header::dictionary_vr;
use crate::data_set::{DataSet, Element, Value as Kept};
use crate::json::to_json;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::{Map, Value, json};

/// Lays corrections over the metadata of an instance as [`super::correct`] does over its data set.
pub fn correct_metadata(item: &mut Map<String, Value>, steps: &[Step]) {
    let originals: Vec<_> = steps.iter().filter_map(|step| take_step(item, step)).collect();
    if originals.is_empty() {
        return;
    }
    let sequence = item.entry(key(tags::ORIGINAL_ATTRIBUTES_SEQUENCE)).or_insert_with(|| json!({ "vr": "SQ" }));
    match sequence.get_mut("Value").and_then(Value::as_array_mut) {
        Some(items) => items.extend(originals),
        None => *sequence = json!({ "vr": "SQ", "Value": originals }),
    }
    item.sort_keys();
}

fn take_step(item: &mut Map<String, Value>, step: &Step) -> Option<Value> {
    let replaced = |(tag, value): (&Tag, &Option<String>)| Some((key(*tag), replace(item, *tag, value.as_deref())?));
    let before: Map<String, Value> = step.values.iter().filter_map(replaced).collect();
    (!before.is_empty()).then(|| {
        json!({
            "04000550": { "vr": "SQ", "Value": [before] },
            "04000562": { "vr": "DT", "Value": [step.at] },
            "04000563": { "vr": "LO", "Value": [MODIFYING_SYSTEM] },
            "04000564": { "vr": "LO" },
            "04000565": { "vr": "CS", "Value": [REASON] },
        })
    })
}

/// The attribute before, an empty one if there was none; `None` if nothing changes.
fn replace(item: &mut Map<String, Value>, tag: Tag, value: Option<&str>) -> Option<Value> {
    let vr = dictionary_vr(tag, false)?;
    let new = value.map(|value| attribute(tag, vr, value));
    if item.get(&key(tag)) == new.as_ref() {
        return None;
    }
    let before = item.remove(&key(tag)).unwrap_or_else(|| json!({ "vr": vr.to_string() }));
    item.extend(new.map(|new| (key(tag), new)));
    Some(before)
}

fn attribute(tag: Tag, vr: VR, value: &str) -> Value {
    let bytes: Box<[u8]> = value.as_bytes().into();
    let element = Element { tag, vr, offset: 0, len: bytes.len() as u64, value: Kept::Bytes(bytes) };
    let data_set = DataSet { elements: vec![element], character_set: CharacterSet::utf_8() };
    to_json(&data_set, &|_, _| String::new()).get_mut(key(tag)).map(Value::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Step, correct};
    use super::*;

    fn metadata(data_set: &DataSet) -> Map<String, Value> {
        match to_json(data_set, &|_, _| String::new()) {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn metadata_is_corrected_as_the_data_set_is() {
        let text = |tag, vr, text: &str| {
            let bytes: Box<[u8]> = text.as_bytes().into();
            Element { tag, vr, offset: 0, len: bytes.len() as u64, value: Kept::Bytes(bytes) }
        };
        let received = DataSet {
            elements: vec![
                text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
                text(tags::STUDY_DATE, VR::DA, "20260101"),
                text(tags::PATIENT_NAME, VR::PN, "Zhang^San=张^三"),
                text(tags::PATIENT_WEIGHT, VR::DS, "70\\71"),
            ],
            character_set: CharacterSet::utf_8(),
        };
        let values = |values: &[(Tag, Option<&str>)]| Step {
            at: "20261124100000+0000".into(),
            values: values.iter().map(|(tag, value)| (*tag, value.map(str::to_owned))).collect(),
        };
        let steps = [
            values(&[
                (tags::PATIENT_NAME, Some("Li^Si=李^四")),
                (tags::PATIENT_SEX, Some("F")),
                (tags::STUDY_DATE, Some("")),
            ]),
            values(&[(tags::PATIENT_WEIGHT, Some("72")), (tags::PATIENT_SEX, Some("F")), (tags::STUDY_DATE, None)]),
        ];
        let mut corrected = received.clone();
        correct(&mut corrected, &steps);
        let mut of_metadata = metadata(&received);
        correct_metadata(&mut of_metadata, &steps);
        assert_eq!(Value::Object(of_metadata), Value::Object(metadata(&corrected)));
    }
}
