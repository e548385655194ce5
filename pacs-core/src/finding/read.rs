//! TID 1500 report → findings.

use super::{Finding, FindingError, Report, concept::*, content_item::*};
use crate::{attributes::Attributes, uid::Uid};
use dicom_dictionary_std::tags;

/// Reads our own and others' TID 1500 reports from the SR's metadata.
///
/// Measurement groups are left out that have no position in the patient (SCOORD3D), no source image or no tracking
/// UID: nobody could point at them. A report of which no group is left is refused: it found something, after all.
pub fn from_sr(sr: Attributes<'_>) -> Result<Report, FindingError> {
    if !is(sr, IMAGING_MEASUREMENT_REPORT) {
        return Err(FindingError::NotAReport);
    }
    let groups: Vec<_> = children(sr, IMAGING_MEASUREMENTS).flat_map(|m| children(m, MEASUREMENT_GROUP)).collect();
    let mut findings: Vec<_> = groups.iter().filter_map(|group| finding(*group)).collect();
    if findings.is_empty() && !groups.is_empty() {
        return Err(FindingError::NoPosition);
    }
    for (number, finding) in (1..).zip(&mut findings) {
        finding.number = number;
    }
    let (series, evidence) = evidence(sr);
    Ok(Report {
        study: uid(sr, tags::STUDY_INSTANCE_UID).ok_or(FindingError::NotAReport)?,
        series: series.ok_or(FindingError::NotAReport)?,
        frame_of_reference: frame_of_reference(sr, &groups).ok_or(FindingError::NotAReport)?,
        evidence,
        algorithm_name: algorithm(sr, &groups, ALGORITHM_NAME, tags::MANUFACTURER_MODEL_NAME),
        algorithm_version: algorithm(sr, &groups, ALGORITHM_VERSION, tags::SOFTWARE_VERSIONS),
        status: status(sr),
        findings,
    })
}

fn finding(group: Attributes<'_>) -> Option<Finding> {
    let size = |concept| number(group, concept).map(|(value, _)| value);
    let diameter = size(DIAMETER).unwrap_or_default();
    let image = source_image(group)?;
    let frame = image.numbers(tags::REFERENCED_FRAME_NUMBER).first().map(|&n| n as u32);
    Some(Finding {
        number: 0,
        tracking_uid: uid(children(group, TRACKING_UNIQUE_IDENTIFIER).next()?, tags::UID)?,
        center_mm: center(group)?,
        long_axis_mm: size(LONG_AXIS).unwrap_or(diameter),
        short_axis_mm: size(SHORT_AXIS).unwrap_or(diameter),
        volume_mm3: size(VOLUME).unwrap_or_default(),
        estimated: children(group, LONG_AXIS).flat_map(|n| children(n, DERIVATION)).any(|d| has_value(d, ESTIMATED)),
        confidence: confidence(group),
        sop_class: uid(image, tags::REFERENCED_SOP_CLASS_UID)?,
        sop_instance: uid(image, tags::REFERENCED_SOP_INSTANCE_UID)?,
        frame,
    })
}

/// Mean of all points of the group; the repeated first point that closes a polygon counts once.
fn center(group: Attributes<'_>) -> Option<[f64; 3]> {
    let mut points: Vec<[f64; 3]> = Vec::new();
    for item in of_type(group, "SCOORD3D") {
        let data = item.numbers(tags::GRAPHIC_DATA);
        let closed = data.len() > 6 && data.first_chunk::<3>() == data.last_chunk::<3>();
        let open = if closed { data.len() - 3 } else { data.len() };
        points.extend(data.as_chunks::<3>().0.iter().take(open / 3));
    }
    let count = points.len() as f64;
    (count > 0.0).then(|| std::array::from_fn(|i| points.iter().map(|p| p[i]).sum::<f64>() / count))
}

/// The image of the group itself, or the one that a coordinate was selected from.
fn source_image<'a>(group: Attributes<'a>) -> Option<Attributes<'a>> {
    let own = of_type(group, "IMAGE").next();
    let image = own.or_else(|| group.items(tags::CONTENT_SEQUENCE).find_map(|item| of_type(item, "IMAGE").next()))?;
    image.item(tags::REFERENCED_SOP_SEQUENCE)
}

fn confidence(group: Attributes<'_>) -> f64 {
    let Some((value, unit)) = number(group, CERTAINTY_OF_FINDING) else { return 0.0 };
    let scale = if unit == Some(PERCENT.0) { 100.0 } else { 1.0 };
    (value / scale).clamp(0.0, 1.0)
}

/// Value and UCUM unit of a NUM item.
fn number<'a>(group: Attributes<'a>, concept: Code) -> Option<(f64, Option<&'a str>)> {
    let measured = children(group, concept).find_map(|item| item.item(tags::MEASURED_VALUE_SEQUENCE))?;
    let value = measured.number(tags::FLOATING_POINT_VALUE).or_else(|| measured.number(tags::NUMERIC_VALUE))?;
    let unit = measured.item(tags::MEASUREMENT_UNITS_CODE_SEQUENCE).and_then(|code| code.text(tags::CODE_VALUE));
    Some((value, unit))
}

fn frame_of_reference(sr: Attributes<'_>, groups: &[Attributes<'_>]) -> Option<Uid> {
    let of_points = groups.iter().flat_map(|group| of_type(*group, "SCOORD3D"));
    let of_library = children(sr, IMAGE_LIBRARY).flat_map(|library| children(library, IMAGE_LIBRARY_GROUP));
    let of_library = of_library.flat_map(|group| children(group, FRAME_OF_REFERENCE_UID));
    let named = of_points.filter_map(|points| uid(points, tags::REFERENCED_FRAME_OF_REFERENCE_UID)).next();
    named.or_else(|| of_library.filter_map(|item| uid(item, tags::UID)).next())
}

/// Series of the first referenced series of the evidence, and all images of the evidence.
fn evidence(sr: Attributes<'_>) -> (Option<Uid>, Vec<(Uid, Uid)>) {
    let studies = sr.items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
    let series: Vec<_> = studies.flat_map(|study| study.items(tags::REFERENCED_SERIES_SEQUENCE)).collect();
    let images = series.iter().flat_map(|series| series.items(tags::REFERENCED_SOP_SEQUENCE));
    let pair = |image: Attributes<'_>| {
        Some((uid(image, tags::REFERENCED_SOP_CLASS_UID)?, uid(image, tags::REFERENCED_SOP_INSTANCE_UID)?))
    };
    (series.first().and_then(|series| uid(*series, tags::SERIES_INSTANCE_UID)), images.filter_map(pair).collect())
}

/// From the first group that names it (TID 4019), else from the equipment.
fn algorithm(sr: Attributes<'_>, groups: &[Attributes<'_>], concept: Code, equipment: dicom_core::Tag) -> String {
    let named = groups.iter().find_map(|group| children(*group, concept).next()?.text(tags::TEXT_VALUE));
    named.or_else(|| sr.text(equipment)).unwrap_or_default().to_owned()
}

fn status(sr: Attributes<'_>) -> String {
    let comment = children(sr, QUALITATIVE_EVALUATIONS).find_map(|all| children(all, COMMENT).next());
    comment.and_then(|item| item.text(tags::TEXT_VALUE)).unwrap_or_default().to_owned()
}
