//! The orders that the images were made for: Referenced Request Sequence (PS3.3 C.17.2, type 1C).

use super::content::{object, sequence, text_element};
use crate::{attributes::Attributes, uid::Uid};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// An item for each requested procedure that `source`, the metadata of a source image of `study`, names in its Request
/// Attributes Sequence, else one for its Accession Number; none where no order is known.
pub(super) fn referenced_requests(source: Attributes<'_>, study: &Uid) -> Vec<InMemDicomObject> {
    let named = |request: &Attributes<'_>| {
        !text(*request, tags::REQUESTED_PROCEDURE_ID).is_empty() || !text(*request, tags::ACCESSION_NUMBER).is_empty()
    };
    let requests: Vec<_> = source.items(tags::REQUEST_ATTRIBUTES_SEQUENCE).filter(named).collect();
    match requests.is_empty() {
        true if named(&source) => vec![request(source, source, study)],
        _ => requests.into_iter().map(|item| request(item, source, study)).collect(),
    }
}

/// What the request itself does not say is looked for in the image.
fn request(request: Attributes<'_>, source: Attributes<'_>, study: &Uid) -> InMemDicomObject {
    let copied = |tag, vr| {
        let value = Some(text(request, tag)).filter(|text| !text.is_empty()).unwrap_or_else(|| text(source, tag));
        text_element(tag, vr, value)
    };
    let codes = request.items(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE);
    let study = match text(request, tags::STUDY_INSTANCE_UID) {
        "" => study.as_str(),
        stated => stated,
    };
    object([
        text_element(tags::STUDY_INSTANCE_UID, VR::UI, study),
        sequence(tags::REFERENCED_STUDY_SEQUENCE, vec![]),
        copied(tags::ACCESSION_NUMBER, VR::SH),
        copied(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
        copied(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
        copied(tags::REQUESTED_PROCEDURE_ID, VR::SH),
        copied(tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO),
        sequence(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, codes.filter_map(code).collect()),
    ])
}

/// A whole code; a part of one would not be valid.
fn code(item: Attributes<'_>) -> Option<InMemDicomObject> {
    let parts = [(tags::CODE_VALUE, VR::SH), (tags::CODING_SCHEME_DESIGNATOR, VR::SH), (tags::CODE_MEANING, VR::LO)];
    let elements = parts.map(|(tag, vr)| (!text(item, tag).is_empty()).then(|| text_element(tag, vr, text(item, tag))));
    let mut elements: Vec<_> = elements.into_iter().collect::<Option<_>>()?;
    let version = text(item, tags::CODING_SCHEME_VERSION);
    elements.extend((!version.is_empty()).then(|| text_element(tags::CODING_SCHEME_VERSION, VR::SH, version)));
    Some(object(elements))
}

fn text<'a>(attributes: Attributes<'a>, tag: Tag) -> &'a str {
    attributes.text(tag).unwrap_or_default()
}
