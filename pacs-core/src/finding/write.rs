//! Report → Comprehensive 3D SR (PS3.3 A.35.13), TID 1500.

use super::{
    Finding, FindingError, Identity, MANUFACTURER, Report, concept::*, content::*, request::referenced_requests,
};
use crate::{attributes::Attributes, part10, sop_class};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

/// Patient and General Study attributes that an SR shares with its source images; the first group must be there, if
/// empty (type 2), the second only if known.
const SHARED: [(Tag, VR); 9] = [
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::STUDY_ID, VR::SH),
    (tags::ACCESSION_NUMBER, VR::SH),
];
const SHARED_IF_KNOWN: [(Tag, VR); 7] = [
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_AGE, VR::AS),
    (tags::STUDY_DESCRIPTION, VR::LO),
    (tags::INSTITUTION_NAME, VR::LO),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS),
    (tags::DEIDENTIFICATION_METHOD, VR::LO),
    (tags::CLINICAL_TRIAL_SUBJECT_ID, VR::LO),
];

/// Writes the SR as a whole Part 10 file, explicit VR little endian. Patient and study attributes are copied from
/// `source`, the metadata of one source image; text is UTF-8 (ISO_IR 192).
pub fn to_sr(report: &Report, source: Attributes<'_>, identity: &Identity) -> Result<Vec<u8>, FindingError> {
    let mut sr = InMemDicomObject::new_empty();
    put_shared(&mut sr, report, source);
    put_series_and_equipment(&mut sr, report, identity);
    put_document(&mut sr, report, identity);
    let requests = referenced_requests(source, &report.study);
    if !requests.is_empty() {
        sr.put(sequence(tags::REFERENCED_REQUEST_SEQUENCE, requests));
    }
    let content = document_content(report, identity);
    sr.put(sequence(tags::CONTENT_SEQUENCE, content));
    encode(sr)
}

fn encode(sr: InMemDicomObject) -> Result<Vec<u8>, FindingError> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
        .implementation_class_uid(part10::IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(part10::IMPLEMENTATION_VERSION_NAME);
    let mut file = Vec::new();
    let encode_error = |error: &dyn std::fmt::Display| FindingError::Encode(error.to_string());
    let object = sr.with_meta(meta).map_err(|e| encode_error(&e))?;
    object.write_all(&mut file).map_err(|e| encode_error(&e))?;
    Ok(file)
}

fn put_shared(sr: &mut InMemDicomObject, report: &Report, source: Attributes<'_>) {
    sr.put(text_element(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
    sr.put(text_element(tags::STUDY_INSTANCE_UID, VR::UI, report.study.as_str()));
    for (tag, vr) in SHARED {
        sr.put(text_element(tag, vr, shared_text(source, tag, vr)));
    }
    for (tag, vr) in SHARED_IF_KNOWN {
        let text = shared_text(source, tag, vr);
        if !text.is_empty() {
            sr.put(text_element(tag, vr, text));
        }
    }
}

fn shared_text(source: Attributes<'_>, tag: Tag, vr: VR) -> String {
    if vr != VR::PN {
        return source.texts(tag).join("\\");
    }
    let Some(name) = source.person_name(tag) else { return String::new() };
    let groups = [name.alphabetic, name.ideographic, name.phonetic].join("=");
    groups.trim_end_matches('=').to_owned()
}

fn put_series_and_equipment(sr: &mut InMemDicomObject, report: &Report, identity: &Identity) {
    let mut put = |tag, vr, text: &str| sr.put(text_element(tag, vr, text));
    put(tags::MODALITY, VR::CS, "SR");
    put(tags::SERIES_INSTANCE_UID, VR::UI, identity.series.as_str());
    put(tags::SERIES_NUMBER, VR::IS, "9001");
    put(tags::SERIES_DATE, VR::DA, &identity.date);
    put(tags::SERIES_TIME, VR::TM, &identity.time);
    put(tags::SERIES_DESCRIPTION, VR::LO, &long_string(&format!("AI nodules: {}", report.status)));
    put(tags::MANUFACTURER, VR::LO, MANUFACTURER);
    put(tags::MANUFACTURER_MODEL_NAME, VR::LO, &long_string(&report.algorithm_name));
    put(tags::SOFTWARE_VERSIONS, VR::LO, &long_string(&report.algorithm_version));
    put(tags::DEVICE_SERIAL_NUMBER, VR::LO, &long_string(identity.device_observer.as_str()));
    sr.put(sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, vec![]));
}

/// The first 64 characters (PS3.5 §6.2, VR LO), without the value delimiter.
pub(super) fn long_string(text: &str) -> String {
    text.chars().map(|c| if c == '\\' || c.is_control() { ' ' } else { c }).take(64).collect()
}

fn put_document(sr: &mut InMemDicomObject, report: &Report, identity: &Identity) {
    let mut put = |tag, vr, text: &str| sr.put(text_element(tag, vr, text));
    put(tags::SOP_CLASS_UID, VR::UI, sop_class::COMPREHENSIVE_3D_SR_STORAGE);
    put(tags::SOP_INSTANCE_UID, VR::UI, identity.sop_instance.as_str());
    put(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, &identity.timezone);
    put(tags::INSTANCE_NUMBER, VR::IS, "1");
    put(tags::CONTENT_DATE, VR::DA, &identity.date);
    put(tags::CONTENT_TIME, VR::TM, &identity.time);
    put(tags::INSTANCE_CREATION_DATE, VR::DA, &identity.date);
    put(tags::INSTANCE_CREATION_TIME, VR::TM, &identity.time);
    // Complete as far as the device goes, but no person has looked at it yet.
    put(tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    put(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    put(tags::PRELIMINARY_FLAG, VR::CS, "PRELIMINARY");
    put(tags::VALUE_TYPE, VR::CS, "CONTAINER");
    put(tags::CONTINUITY_OF_CONTENT, VR::CS, "CONTINUOUS");
    sr.put(code_sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, IMAGING_MEASUREMENT_REPORT));
    sr.put(template("1500"));
    sr.put(sequence(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, vec![]));
    sr.put(sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![evidence(report)]));
}

fn evidence(report: &Report) -> InMemDicomObject {
    let images = report.evidence.iter().map(|(class, instance)| sop_reference(class, instance)).collect();
    let series = object([
        text_element(tags::SERIES_INSTANCE_UID, VR::UI, report.series.as_str()),
        sequence(tags::REFERENCED_SOP_SEQUENCE, images),
    ]);
    object([
        text_element(tags::STUDY_INSTANCE_UID, VR::UI, report.study.as_str()),
        sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]),
    ])
}

fn document_content(report: &Report, identity: &Identity) -> Vec<InMemDicomObject> {
    let mut content = vec![code(HAS_CONCEPT_MOD, LANGUAGE, ENGLISH)];
    content.extend(observation_context(report, identity));
    content.extend([code(HAS_CONCEPT_MOD, PROCEDURE_REPORTED, CHEST_CT), image_library(report)]);
    // Readers stumble over a container without content.
    if !report.findings.is_empty() {
        let groups = report.findings.iter().map(|finding| measurement_group(report, finding)).collect();
        content.push(container(IMAGING_MEASUREMENTS, groups));
    }
    let summary = text(CONTAINS, SUMMARY, &summary(report.findings.len()));
    content.push(container(QUALITATIVE_EVALUATIONS, vec![summary, text(CONTAINS, COMMENT, &report.status)]));
    content
}

fn summary(findings: usize) -> String {
    match findings {
        0 => "No lung nodule found".to_owned(),
        1 => "1 lung nodule candidate".to_owned(),
        n => format!("{n} lung nodule candidates"),
    }
}

/// TID 1001, 1004: the algorithm as the observing device.
fn observation_context(report: &Report, identity: &Identity) -> [InMemDicomObject; 5] {
    let model = format!("{} {}", report.algorithm_name, report.algorithm_version);
    [
        code(HAS_OBS_CONTEXT, OBSERVER_TYPE, DEVICE),
        uid_reference(HAS_OBS_CONTEXT, DEVICE_OBSERVER_UID, &identity.device_observer),
        text(HAS_OBS_CONTEXT, DEVICE_OBSERVER_NAME, &report.algorithm_name),
        text(HAS_OBS_CONTEXT, DEVICE_OBSERVER_MANUFACTURER, MANUFACTURER),
        text(HAS_OBS_CONTEXT, DEVICE_OBSERVER_MODEL_NAME, &model),
    ]
}

/// TID 1600: all source images in one group, with what they have in common.
fn image_library(report: &Report) -> InMemDicomObject {
    let mut group = vec![
        code(HAS_ACQ_CONTEXT, MODALITY, CT),
        uid_reference(HAS_ACQ_CONTEXT, FRAME_OF_REFERENCE_UID, &report.frame_of_reference),
    ];
    group.extend(report.evidence.iter().map(|(class, instance)| image(None, class, instance, None)));
    container(IMAGE_LIBRARY, vec![container(IMAGE_LIBRARY_GROUP, group)])
}

/// TID 1411: what was found, where, by whom, and how large.
fn measurement_group(report: &Report, finding: &Finding) -> InMemDicomObject {
    let content = vec![
        text(HAS_OBS_CONTEXT, TRACKING_IDENTIFIER, &format!("Nodule {}", finding.number)),
        uid_reference(HAS_OBS_CONTEXT, TRACKING_UNIQUE_IDENTIFIER, &finding.tracking_uid),
        code(CONTAINS, FINDING, NODULE),
        code(HAS_CONCEPT_MOD, FINDING_SITE, LUNG),
        text(HAS_CONCEPT_MOD, ALGORITHM_NAME, &report.algorithm_name),
        text(HAS_CONCEPT_MOD, ALGORITHM_VERSION, &report.algorithm_version),
        points(VOLUME_SURFACE, "ELLIPSOID", &sphere(finding), &report.frame_of_reference),
        image(Some(SOURCE_IMAGE), &finding.sop_class, &finding.sop_instance, finding.frame),
        size(finding, LONG_AXIS, finding.long_axis_mm, MILLIMETER),
        size(finding, SHORT_AXIS, finding.short_axis_mm, MILLIMETER),
        size(finding, VOLUME, finding.volume_mm3, CUBIC_MILLIMETER),
        number(CERTAINTY_OF_FINDING, finding.confidence * 100.0, PERCENT, vec![]),
    ];
    let mut group = container(MEASUREMENT_GROUP, content);
    group.put(template("1411"));
    group
}

fn size(finding: &Finding, concept: Code, value: f64, unit: Code) -> InMemDicomObject {
    let derivation = finding.estimated.then(|| code(HAS_CONCEPT_MOD, DERIVATION, ESTIMATED));
    number(concept, value, unit, derivation.into_iter().collect())
}

/// End points of the axes of a sphere of the mean diameter (PS3.3 C.18.9.1.2, ELLIPSOID): it marks place and extent,
/// and is no outline.
fn sphere(finding: &Finding) -> [[f64; 3]; 6] {
    let radius = ((finding.long_axis_mm + finding.short_axis_mm) / 4.0).max(0.5);
    let [x, y, z] = finding.center_mm;
    [
        [x - radius, y, z],
        [x + radius, y, z],
        [x, y - radius, z],
        [x, y + radius, z],
        [x, y, z - radius],
        [x, y, z + radius],
    ]
}
