//! Content items (PS3.3 C.17.3), built.

use super::concept::Code;
use crate::uid::Uid;
use dicom_core::{
    DataElement, PrimitiveValue, Tag, VR,
    value::{DataSetSequence, Value},
};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, mem::InMemElement};

/// Relationship Type of a content item to the one that holds it.
pub(super) const CONTAINS: &str = "CONTAINS";
pub(super) const HAS_CONCEPT_MOD: &str = "HAS CONCEPT MOD";
pub(super) const HAS_OBS_CONTEXT: &str = "HAS OBS CONTEXT";
pub(super) const HAS_ACQ_CONTEXT: &str = "HAS ACQ CONTEXT";

pub(super) fn text_element(tag: Tag, vr: VR, text: impl Into<String>) -> InMemElement {
    DataElement::new(tag, vr, PrimitiveValue::from(text.into()))
}

pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, Value::Sequence(DataSetSequence::from(items)))
}

pub(super) fn object(elements: impl IntoIterator<Item = InMemElement>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

pub(super) fn code_sequence(tag: Tag, Code(value, scheme, meaning): Code) -> InMemElement {
    let item = object([
        text_element(tags::CODE_VALUE, VR::SH, value),
        text_element(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme),
        text_element(tags::CODE_MEANING, VR::LO, meaning),
    ]);
    sequence(tag, vec![item])
}

/// Content Template Sequence: the item and its descendants follow template `tid` of PS3.16.
pub(super) fn template(tid: &str) -> InMemElement {
    let item = object([
        text_element(tags::MAPPING_RESOURCE, VR::CS, "DCMR"),
        text_element(tags::TEMPLATE_IDENTIFIER, VR::CS, tid),
    ]);
    sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![item])
}

pub(super) fn sop_reference(sop_class: &Uid, sop_instance: &Uid) -> InMemDicomObject {
    object([
        text_element(tags::REFERENCED_SOP_CLASS_UID, VR::UI, sop_class.as_str()),
        text_element(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, sop_instance.as_str()),
    ])
}

fn item(relationship: &str, value_type: &str, concept: Option<Code>) -> InMemDicomObject {
    let mut item = object([
        text_element(tags::RELATIONSHIP_TYPE, VR::CS, relationship),
        text_element(tags::VALUE_TYPE, VR::CS, value_type),
    ]);
    if let Some(concept) = concept {
        item.put(code_sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, concept));
    }
    item
}

pub(super) fn code(relationship: &str, concept: Code, value: Code) -> InMemDicomObject {
    let mut item = item(relationship, "CODE", Some(concept));
    item.put(code_sequence(tags::CONCEPT_CODE_SEQUENCE, value));
    item
}

pub(super) fn text(relationship: &str, concept: Code, value: &str) -> InMemDicomObject {
    let mut item = item(relationship, "TEXT", Some(concept));
    item.put(text_element(tags::TEXT_VALUE, VR::UT, value));
    item
}

pub(super) fn uid_reference(relationship: &str, concept: Code, value: &Uid) -> InMemDicomObject {
    let mut item = item(relationship, "UIDREF", Some(concept));
    item.put(text_element(tags::UID, VR::UI, value.as_str()));
    item
}

/// `frame`: from 1, of a multi-frame image.
pub(super) fn image(
    concept: Option<Code>,
    sop_class: &Uid,
    sop_instance: &Uid,
    frame: Option<u32>,
) -> InMemDicomObject {
    let mut reference = sop_reference(sop_class, sop_instance);
    if let Some(frame) = frame {
        reference.put(text_element(tags::REFERENCED_FRAME_NUMBER, VR::IS, frame.to_string()));
    }
    let mut item = item(CONTAINS, "IMAGE", concept);
    item.put(sequence(tags::REFERENCED_SOP_SEQUENCE, vec![reference]));
    item
}

pub(super) fn container(concept: Code, content: Vec<InMemDicomObject>) -> InMemDicomObject {
    let mut item = item(CONTAINS, "CONTAINER", Some(concept));
    item.put(text_element(tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS"));
    item.put(sequence(tags::CONTENT_SEQUENCE, content));
    item
}

/// A NUM item: the value as decimal text, and as floating point where the text is rounded.
pub(super) fn number(concept: Code, value: f64, unit: Code, modifiers: Vec<InMemDicomObject>) -> InMemDicomObject {
    let measured = object([
        code_sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit),
        DataElement::new(tags::FLOATING_POINT_VALUE, VR::FD, PrimitiveValue::from(value)),
        text_element(tags::NUMERIC_VALUE, VR::DS, decimal(value)),
    ]);
    let mut item = item(CONTAINS, "NUM", Some(concept));
    item.put(sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]));
    if !modifiers.is_empty() {
        item.put(sequence(tags::CONTENT_SEQUENCE, modifiers));
    }
    item
}

/// SCOORD3D (PS3.3 C.18.9): points in the patient, mm, of a frame of reference.
pub(super) fn points(
    concept: Code,
    graphic_type: &str,
    points: &[[f64; 3]],
    frame_of_reference: &Uid,
) -> InMemDicomObject {
    let data: Vec<f32> = points.iter().flatten().map(|&mm| mm as f32).collect();
    let mut item = item(CONTAINS, "SCOORD3D", Some(concept));
    item.put(DataElement::new(tags::GRAPHIC_DATA, VR::FL, PrimitiveValue::F32(data.into())));
    item.put(text_element(tags::GRAPHIC_TYPE, VR::CS, graphic_type));
    item.put(text_element(tags::REFERENCED_FRAME_OF_REFERENCE_UID, VR::UI, frame_of_reference.as_str()));
    item
}

/// A decimal string of at most 16 bytes (PS3.5 §6.2, VR DS).
fn decimal(value: f64) -> String {
    let rounded = format!("{value:.3}");
    if rounded.len() <= 16 { rounded } else { format!("{value:.8e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_string_fits_and_keeps_eight_digits(value in prop::num::f64::NORMAL) {
            let text = decimal(value);
            prop_assert!(text.len() <= 16, "{text}");
            prop_assert!((text.parse::<f64>().unwrap() - value).abs() <= (value.abs() * 1e-7).max(6e-4));
        }
    }
}
