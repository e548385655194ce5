//! Nodules → report and the identity of the SR object that carries it.

use crate::{error::Refusal, load::Series, models::Model, pipeline::Nodule, stack::Stack};
use pacs_core::{
    Attributes, Uid,
    finding::{Finding, Identity, Report},
    tags,
};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use time::{OffsetDateTime, UtcOffset, macros::format_description};

/// What makes a result the same result: repeated work stores nothing twice.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    pub series: &'a Uid,
    /// Instances that the result is based on.
    pub instances: usize,
    /// SHA-256 of the model.
    pub model: &'a str,
}

impl Key<'_> {
    /// A UID for a part of the result, the same whenever it is made again.
    fn uid(&self, part: &str) -> Uid {
        derived_uid(&format!("{}|{}|{}|{part}", self.series, self.instances, self.model))
    }
}

fn derived_uid(text: &str) -> Uid {
    let digest = Sha256::digest(format!("yinghai ai|{text}"));
    // 120 bits, so that the decimal number always fits.
    Uid::from_uuid(digest.iter().take(15).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// Puts the nodules into a report on the series.
pub fn report(
    key: Key<'_>,
    series: &Series,
    stack: &Stack,
    nodules: &[Nodule],
    model: &Model,
) -> Result<Report, Refusal> {
    let first =
        series.instances.first().ok_or(Refusal::TooFewSlices { actual: 0, needed: model.card.selects.min_slices })?;
    let finding = |(index, nodule): (usize, &Nodule)| finding(key, series, stack, index, nodule);
    Ok(Report {
        study: first.study.clone(),
        series: first.series.clone(),
        frame_of_reference: frame_of_reference(&series.attributes())?,
        evidence: series.instances.iter().map(|i| (i.sop_class.clone(), i.sop_instance.clone())).collect(),
        algorithm_name: model.card.id.clone(),
        algorithm_version: model.card.version.clone(),
        status: model.card.status.words().to_owned(),
        findings: nodules.iter().enumerate().filter_map(finding).collect(),
    })
}

/// The frame of reference that the findings' positions are in.
///
/// Some scanners and de-identifiers give every single image its own: the even stack is then one space all the same, and
/// the first image speaks for all. Several frames of reference of several images each are several positions of the
/// patient, and refused.
pub fn frame_of_reference(images: &[Attributes<'_>]) -> Result<Uid, Refusal> {
    let mut all = Vec::with_capacity(images.len());
    for image in images {
        let uid = image.text(tags::FRAME_OF_REFERENCE_UID).and_then(|text| text.parse::<Uid>().ok());
        let missing = || Refusal::NoGeometry(image.text(tags::SOP_INSTANCE_UID).unwrap_or_default().to_owned());
        all.push(uid.ok_or_else(missing)?);
    }
    let distinct = all.iter().collect::<HashSet<_>>().len();
    let one_space = distinct == 1 || distinct == all.len();
    all.into_iter().next().filter(|_| one_space).ok_or(Refusal::Mixed("frame of reference"))
}

fn finding(key: Key<'_>, series: &Series, stack: &Stack, index: usize, nodule: &Nodule) -> Option<Finding> {
    let measured = nodule.measured;
    let slice = stack.nearest(measured.center_mm)?;
    let instance = &series.instances[slice.instance];
    let frames = instance.frames.as_ref().map_or(1, |layout| layout.frames());
    Some(Finding {
        number: index as u32 + 1,
        tracking_uid: key.uid(&format!("nodule {index}")),
        center_mm: measured.center_mm,
        long_axis_mm: measured.long_axis_mm,
        short_axis_mm: measured.short_axis_mm,
        volume_mm3: measured.volume_mm3,
        estimated: measured.estimated,
        confidence: f64::from(nodule.score),
        sop_class: instance.sop_class.clone(),
        sop_instance: instance.sop_instance.clone(),
        frame: (frames > 1).then_some(slice.frame + 1),
    })
}

/// Identity of the SR; its date and time are `now` in the images' own time zone, else at `utc_offset` (`±HHMM`).
pub fn identity(key: Key<'_>, image: Attributes<'_>, utc_offset: &str, now: OffsetDateTime) -> Identity {
    let stated = image.text(tags::TIMEZONE_OFFSET_FROM_UTC).filter(|text| offset(text).is_some());
    let timezone = stated.unwrap_or(utc_offset);
    let local = now.to_offset(offset(timezone).unwrap_or(UtcOffset::UTC));
    // Writing digits into a string cannot fail.
    let text = |format: &[time::format_description::BorrowedFormatItem<'_>]| local.format(format).unwrap_or_default();
    Identity {
        series: key.uid("series"),
        sop_instance: key.uid("report"),
        device_observer: derived_uid(key.model),
        date: text(format_description!("[year][month][day]")),
        time: text(format_description!("[hour][minute][second]")),
        timezone: timezone.to_owned(),
    }
}

/// `±HHMM` (PS3.3 C.12.1.1.8).
pub(crate) fn offset(text: &str) -> Option<UtcOffset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let sound = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i8>().ok();
    let (hours, minutes) = sound.then(|| Some((part(0..2)?, part(2..4)?)))??;
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn offsets_are_read_as_dicom_writes_them() {
        assert_eq!(offset("+0800").map(|o| o.whole_hours()), Some(8));
        assert_eq!(offset("-0330").map(|o| o.whole_minutes()), Some(-210));
        for bad in ["", "0800", "+8", "+08:00", "+9900", "é0800"] {
            assert_eq!(offset(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn one_frame_of_reference_or_one_an_image_is_one_space_and_two_are_not() {
        let check = |uids: &[&str]| {
            let images: Vec<_> = uids.iter().map(|uid| json!({"00200052": {"vr": "UI", "Value": [uid]}})).collect();
            let images: Vec<_> = images.iter().filter_map(Attributes::of).collect();
            frame_of_reference(&images).map(String::from).map_err(|refusal| refusal.code())
        };
        assert_eq!(check(&["1.1", "1.1", "1.1"]), Ok("1.1".into()));
        assert_eq!(check(&["1.1", "1.2", "1.3"]), Ok("1.1".into()));
        assert_eq!(check(&["1.1", "1.1", "1.2"]), Err("mixed"));
        assert_eq!(check(&["1.1", ""]), Err("no-geometry"));
        assert_eq!(check(&[]), Err("mixed"));
    }

    #[test]
    fn a_repeated_result_has_the_same_uids_and_another_basis_has_others() {
        let series: Uid = "1.2.3".parse().unwrap();
        let image = json!({"00080201": {"vr": "SH", "Value": ["+0800"]}});
        let now = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
        let of = |instances| {
            let key = Key { series: &series, instances, model: "abc" };
            identity(key, Attributes::of(&image).unwrap(), "+0000", now)
        };
        assert_eq!(of(3).sop_instance, of(3).sop_instance);
        assert_ne!(of(3).sop_instance, of(4).sop_instance);
        assert_ne!(of(3).sop_instance, of(3).series);
        assert_eq!((of(3).date.as_str(), of(3).time.as_str()), ("20260101", "080000"));
    }
}
