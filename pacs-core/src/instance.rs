//! What the archive indexes of an instance.

use crate::query::{ATTRIBUTES, Attribute};
use crate::{
    data_set::DataSet, frame_layout::FrameLayout, sop_class::NonPatient, transfer_syntax::TransferSyntax, uid::Uid,
};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;

/// Bytes of one indexed value; what is longer is no name, identifier or description and is cut.
const INDEXED: usize = 4096;

/// The facts of one instance: its identity (PS3.3 C.7, C.12.1), the values of [`crate::query::ATTRIBUTES`] that it
/// holds, and its frames.
#[derive(Debug, Clone)]
pub struct Instance {
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub sop_class: Uid,
    pub transfer_syntax: TransferSyntax,
    /// Decoded text by tag, multiple values separated by a backslash; absent and empty values left out.
    pub values: BTreeMap<Tag, String>,
    pub frames: Option<FrameLayout>,
}

/// Why a data set cannot be indexed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InstanceError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{keyword} is not a valid UID: {reason}")]
    InvalidUid { keyword: &'static str, reason: crate::uid::UidError },
}

impl Instance {
    /// Study, Series and SOP Instance UID and SOP Class UID must be there and be UIDs; nothing else is demanded.
    pub fn of(data_set: &DataSet, transfer_syntax: TransferSyntax) -> Result<Self, InstanceError> {
        let values = ATTRIBUTES.iter().filter(|a| !a.derived).filter_map(|a| Some((a.tag, indexed(data_set, a)?)));
        Ok(Self {
            study: uid(data_set, tags::STUDY_INSTANCE_UID, "StudyInstanceUID")?,
            series: uid(data_set, tags::SERIES_INSTANCE_UID, "SeriesInstanceUID")?,
            sop_instance: uid(data_set, tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
            sop_class: uid(data_set, tags::SOP_CLASS_UID, "SOPClassUID")?,
            transfer_syntax,
            values: values.collect(),
            frames: FrameLayout::of(data_set),
        })
    }
}

/// The facts of an object that belongs to no patient (PS3.4 Annex GG).
#[derive(Debug, Clone)]
pub struct NonPatientInstance {
    pub kind: NonPatient,
    pub sop_instance: Uid,
    pub sop_class: Uid,
    pub transfer_syntax: TransferSyntax,
}

impl NonPatientInstance {
    /// `None` if the SOP Class is not of this kind.
    pub fn of(data_set: &DataSet, transfer_syntax: &TransferSyntax) -> Option<Result<Self, InstanceError>> {
        let kind = NonPatient::of(&data_set.text(tags::SOP_CLASS_UID)?)?;
        let facts = || {
            Ok(Self {
                kind,
                sop_instance: uid(data_set, tags::SOP_INSTANCE_UID, "SOPInstanceUID")?,
                sop_class: uid(data_set, tags::SOP_CLASS_UID, "SOPClassUID")?,
                transfer_syntax: transfer_syntax.clone(),
            })
        };
        Some(facts())
    }
}

fn uid(data_set: &DataSet, tag: Tag, keyword: &'static str) -> Result<Uid, InstanceError> {
    let text = data_set.text(tag).ok_or(InstanceError::Missing(keyword))?;
    text.parse().map_err(|reason| InstanceError::InvalidUid { keyword, reason })
}

fn indexed(data_set: &DataSet, attribute: &Attribute) -> Option<String> {
    let holder = match attribute.within {
        Some(sequence) => data_set.items(sequence).first()?,
        None => data_set,
    };
    let mut text = holder.texts(attribute.tag).join("\\");
    // No database text holds NUL.
    text.retain(|c| c != '\0');
    text.truncate(text.floor_char_boundary(INDEXED));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::{Element, Value};
    use crate::uid::UidError;
    use dicom_core::VR;

    fn text(tag: Tag, vr: VR, text: &str) -> Element {
        Element::of_text(tag, vr, text)
    }

    /// The least that is an instance, and `more`.
    fn data_set(more: Vec<Element>) -> DataSet {
        let uids = [
            (tags::SOP_CLASS_UID, "1.2.840.10008.5.1.4.1.1.2\0"),
            (tags::SOP_INSTANCE_UID, "1.3"),
            (tags::STUDY_INSTANCE_UID, "1.1"),
            (tags::SERIES_INSTANCE_UID, "1.2"),
        ];
        let uids = uids.map(|(tag, uid)| text(tag, VR::UI, uid));
        DataSet { elements: more.into_iter().chain(uids).collect(), ..DataSet::default() }
    }

    fn instance(data_set: &DataSet) -> Result<Instance, InstanceError> {
        Instance::of(data_set, TransferSyntax::explicit_little())
    }

    #[test]
    fn four_uids_make_an_instance() {
        let found = instance(&data_set(Vec::new())).expect("an instance");
        assert_eq!((found.study.as_str(), found.series.as_str(), found.sop_instance.as_str()), ("1.1", "1.2", "1.3"));
        assert_eq!(found.sop_class.as_str(), crate::sop_class::CT_IMAGE_STORAGE);
        assert!(found.frames.is_none());
    }

    #[test]
    fn a_palette_needs_no_study_and_a_ct_is_none() {
        let palette = "1.2.840.10008.5.1.4.39.1";
        let uids = [(tags::SOP_CLASS_UID, palette), (tags::SOP_INSTANCE_UID, "1.3")];
        let mut found =
            DataSet { elements: uids.map(|(tag, uid)| text(tag, VR::UI, uid)).into(), ..DataSet::default() };
        let of = |data_set: &DataSet| NonPatientInstance::of(data_set, &TransferSyntax::explicit_little());
        let facts = of(&found).expect("no object of a patient").expect("its facts");
        assert_eq!((facts.kind, facts.sop_instance.as_str()), (NonPatient::ColorPalette, "1.3"));
        found.elements.pop();
        assert_eq!(of(&found).expect("a palette").err(), Some(InstanceError::Missing("SOPInstanceUID")));
        assert!(of(&data_set(Vec::new())).is_none());
    }

    #[test]
    fn a_missing_or_wrong_uid_is_named() {
        for (tag, keyword) in [(tags::STUDY_INSTANCE_UID, "StudyInstanceUID"), (tags::SOP_CLASS_UID, "SOPClassUID")] {
            let mut without = data_set(Vec::new());
            without.elements.retain(|element| element.tag != tag);
            assert_eq!(instance(&without).err(), Some(InstanceError::Missing(keyword)));
            without.elements.push(text(tag, VR::UI, ""));
            assert_eq!(instance(&without).err(), Some(InstanceError::Missing(keyword)));
        }
        let path = data_set(vec![text(tags::SOP_INSTANCE_UID, VR::UI, "../../escaped")]);
        let reason = UidError::Malformed;
        let expected = InstanceError::InvalidUid { keyword: "SOPInstanceUID", reason };
        assert_eq!(instance(&path).err(), Some(expected));
    }

    #[test]
    fn values_are_text_whatever_their_vr_and_empty_ones_are_left_out() {
        let step = DataSet { elements: vec![text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1 ")], ..DataSet::default() };
        let request =
            Element { value: Value::Sequence(vec![step]), ..text(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, "") };
        let rows = Element { value: Value::Bytes([0, 2].into()), ..text(tags::ROWS, VR::US, "xx") };
        let name = text(tags::PATIENT_NAME, VR::PN, "Zhang^San=张^三");
        let long = text(tags::STUDY_DESCRIPTION, VR::LO, &format!("a\0{}", "张".repeat(2000)));
        let found = instance(&data_set(vec![request, rows, name, long, text(tags::PATIENT_ID, VR::LO, "  ")]));
        let values = found.expect("an instance").values;
        assert_eq!(values[&tags::ROWS], "512");
        assert_eq!(values[&tags::REQUESTED_PROCEDURE_ID], "RP1");
        assert_eq!(values[&tags::PATIENT_NAME], "Zhang^San=张^三");
        assert_eq!(values[&tags::SOP_INSTANCE_UID], "1.3");
        assert!(!values.contains_key(&tags::PATIENT_ID));
        let description = &values[&tags::STUDY_DESCRIPTION];
        assert!(description.starts_with("a张") && description.len() <= INDEXED && description.len() > INDEXED - 3);
    }
}
