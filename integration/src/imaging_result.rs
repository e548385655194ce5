//! What messages tell about a report: read once from the SR's attributes, written as HL7 or FHIR.

use crate::moment::{Moment, read_date};
use pacs_core::{
    Attributes, Tag, Uid,
    finding::{FindingError, Report},
    person_name::PersonName,
    tags,
};
use time::Date;

/// A report with the patient, study and order it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagingResult {
    pub patient: Patient,
    pub study: Study,
    pub order: Order,
    /// Series and SOP Instance UID of the SR.
    pub sr_series: Uid,
    pub sr_instance: Uid,
    /// When the report was written, by its own account.
    pub written: Option<Moment>,
    /// When the archive stored it.
    pub stored: Moment,
    pub report: Report,
}

/// PS3.3 C.7.1.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Patient {
    /// Never empty: without it no receiver can tell whose result it is.
    pub id: String,
    pub issuer: Option<String>,
    pub name: PersonName,
    pub birth_date: Option<Date>,
    pub sex: Option<Sex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    Male,
    Female,
    Other,
}

/// PS3.3 C.7.2.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    pub uid: Uid,
    pub started: Option<Moment>,
    pub description: Option<String>,
    pub accession: Option<String>,
    pub referring_physician: PersonName,
}

/// Numbers of the request, from the first item of Referenced Request Sequence (PS3.3 C.17.2) or, of the source image,
/// Request Attributes Sequence (PS3.3 Table 10-9).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    pub placer_number: Option<String>,
    pub filler_number: Option<String>,
    pub requested_procedure_id: Option<String>,
    pub procedure: Option<Code>,
}

/// A coded concept (PS3.3 §8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub value: String,
    pub scheme: String,
    pub meaning: String,
}

/// Why a report cannot be sent to anyone.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    #[error("the report has no Patient ID")]
    NoPatientId,
    #[error("the report's {0} is missing or no UID")]
    NoUid(&'static str),
    #[error("the report is no longer in the archive")]
    Deleted,
    #[error("{0}")]
    Report(#[from] FindingError),
    #[error("the report's metadata cannot be read")]
    Metadata,
}

impl ImagingResult {
    /// `sr`: attributes of the SR instance that holds `report`; `image`: of one of its source images, which knows the
    /// order where the SR does not; `stored_at`: milliseconds since 1970-01-01 UTC.
    pub fn read(
        sr: Attributes<'_>,
        image: Option<Attributes<'_>>,
        report: Report,
        stored_at: i64,
    ) -> Result<Self, ResultError> {
        let request =
            sr.item(tags::REFERENCED_REQUEST_SEQUENCE).or_else(|| image?.item(tags::REQUEST_ATTRIBUTES_SEQUENCE));
        let performed = code(sr, tags::PROCEDURE_CODE_SEQUENCE).or_else(|| code(image?, tags::PROCEDURE_CODE_SEQUENCE));
        Ok(Self {
            patient: patient(sr)?,
            study: study(sr, request)?,
            order: order(request, performed),
            sr_series: uid(sr, tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            sr_instance: uid(sr, tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            written: moment(sr, tags::CONTENT_DATE, tags::CONTENT_TIME),
            stored: Moment::of_millis(stored_at),
            report,
        })
    }
}

fn patient(sr: Attributes<'_>) -> Result<Patient, ResultError> {
    Ok(Patient {
        id: text(sr, tags::PATIENT_ID).ok_or(ResultError::NoPatientId)?,
        issuer: text(sr, tags::ISSUER_OF_PATIENT_ID),
        name: sr.person_name(tags::PATIENT_NAME).unwrap_or_default(),
        birth_date: sr.text(tags::PATIENT_BIRTH_DATE).and_then(read_date),
        sex: sr.text(tags::PATIENT_SEX).and_then(Sex::read),
    })
}

impl Sex {
    fn read(text: &str) -> Option<Self> {
        match text.trim() {
            "M" => Some(Self::Male),
            "F" => Some(Self::Female),
            "O" => Some(Self::Other),
            _ => None,
        }
    }
}

fn study(sr: Attributes<'_>, request: Option<Attributes<'_>>) -> Result<Study, ResultError> {
    Ok(Study {
        uid: uid(sr, tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
        started: moment(sr, tags::STUDY_DATE, tags::STUDY_TIME),
        description: text(sr, tags::STUDY_DESCRIPTION),
        accession: text(sr, tags::ACCESSION_NUMBER).or_else(|| text(request?, tags::ACCESSION_NUMBER)),
        referring_physician: sr.person_name(tags::REFERRING_PHYSICIAN_NAME).unwrap_or_default(),
    })
}

fn order(request: Option<Attributes<'_>>, performed: Option<Code>) -> Order {
    let Some(request) = request else {
        return Order { procedure: performed, ..Order::default() };
    };
    Order {
        placer_number: text(request, tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
        filler_number: text(request, tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST),
        requested_procedure_id: text(request, tags::REQUESTED_PROCEDURE_ID),
        procedure: code(request, tags::REQUESTED_PROCEDURE_CODE_SEQUENCE).or(performed),
    }
}

fn code(attributes: Attributes<'_>, sequence: Tag) -> Option<Code> {
    let item = attributes.item(sequence)?;
    Some(Code {
        value: text(item, tags::CODE_VALUE)?,
        scheme: text(item, tags::CODING_SCHEME_DESIGNATOR)?,
        meaning: text(item, tags::CODE_MEANING).unwrap_or_default(),
    })
}

fn text(attributes: Attributes<'_>, tag: Tag) -> Option<String> {
    attributes.text(tag).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn uid(attributes: Attributes<'_>, tag: Tag, what: &'static str) -> Result<Uid, ResultError> {
    attributes.text(tag).and_then(|text| text.parse().ok()).ok_or(ResultError::NoUid(what))
}

fn moment(sr: Attributes<'_>, date: Tag, time: Tag) -> Option<Moment> {
    Moment::read(sr.text(date)?, sr.text(time), sr.text(tags::TIMEZONE_OFFSET_FROM_UTC))
}

/// A made-up patient's result for the tests of this room.
#[cfg(test)]
pub(crate) mod example {
    use super::*;
    use pacs_core::{finding::Finding, sop_class::CT_IMAGE_STORAGE};
    use serde_json::{Value, json};

    /// 2026-11-23 02:13:20 UTC.
    pub const STORED_AT: i64 = 1_795_400_000_000;

    fn finding(number: u32, long_axis_mm: f64) -> Finding {
        Finding {
            number,
            tracking_uid: format!("2.25.10{number}").parse().unwrap(),
            center_mm: [-61.5, 20.25, -140.0],
            long_axis_mm,
            short_axis_mm: 4.76,
            volume_mm3: 96.4,
            estimated: false,
            confidence: 0.875,
            sop_class: CT_IMAGE_STORAGE.parse().unwrap(),
            sop_instance: "1.2.3.1.7".parse().unwrap(),
            frame: None,
        }
    }

    pub fn report() -> Report {
        let image = |n: u32| (CT_IMAGE_STORAGE.parse().unwrap(), format!("1.2.3.1.{n}").parse().unwrap());
        Report {
            study: "1.2.3".parse().unwrap(),
            series: "1.2.3.1".parse().unwrap(),
            frame_of_reference: "1.2.3.9".parse().unwrap(),
            evidence: (1..=20).map(image).collect(),
            algorithm_name: "Yinghai nodule".into(),
            algorithm_version: "0.1".into(),
            status: "demonstration, not for clinical use".into(),
            findings: vec![finding(1, 6.34), finding(2, 11.02)],
        }
    }

    /// Attributes of the SR, as the archive gives them.
    pub fn metadata() -> Value {
        json!({
            "00080018": {"vr": "UI", "Value": ["2.25.77"]},
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "0020000E": {"vr": "UI", "Value": ["2.25.76"]},
            "00080020": {"vr": "DA", "Value": ["20261123"]},
            "00080030": {"vr": "TM", "Value": ["091500"]},
            "00080023": {"vr": "DA", "Value": ["20261123"]},
            "00080033": {"vr": "TM", "Value": ["101000.5"]},
            "00080201": {"vr": "SH", "Value": ["+0800"]},
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "00080090": {"vr": "PN", "Value": [{"Alphabetic": "Li^Ming", "Ideographic": "李^明"}]},
            "00081030": {"vr": "LO", "Value": ["胸部CT平扫"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00100021": {"vr": "LO", "Value": ["HIS"]},
            "00100030": {"vr": "DA", "Value": ["19800101"]},
            "00100040": {"vr": "CS", "Value": ["M"]},
            "0040A370": {"vr": "SQ", "Value": [{
                "00402016": {"vr": "LO", "Value": ["PL1"]},
                "00402017": {"vr": "LO", "Value": ["FL1"]},
                "00401001": {"vr": "SH", "Value": ["RP1"]},
                "00321064": {"vr": "SQ", "Value": [{
                    "00080100": {"vr": "SH", "Value": ["CTCHEST"]},
                    "00080102": {"vr": "SH", "Value": ["99LOCAL"]},
                    "00080104": {"vr": "LO", "Value": ["胸部CT平扫"]}
                }]}
            }]}
        })
    }

    pub fn result() -> ImagingResult {
        ImagingResult::read(Attributes::of(&metadata()).unwrap(), None, report(), STORED_AT).unwrap()
    }

    /// The least an SR can hold.
    pub fn bare_result() -> ImagingResult {
        let mut metadata = metadata();
        let keep = ["00080018", "0020000D", "0020000E", "00100020"];
        metadata.as_object_mut().unwrap().retain(|tag, _| keep.contains(&tag.as_str()));
        let report = Report { findings: Vec::new(), evidence: Vec::new(), ..report() };
        ImagingResult::read(Attributes::of(&metadata).unwrap(), None, report, STORED_AT).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_come_from_the_request() {
        let result = example::result();
        assert_eq!(result.order.placer_number.as_deref(), Some("PL1"));
        assert_eq!(result.order.procedure.unwrap().value, "CTCHEST");
        assert_eq!(result.study.accession.as_deref(), Some("A1"));
        assert_eq!(result.written.unwrap().hl7(), "20261123101000+0800");
    }

    #[test]
    fn a_source_image_knows_the_order_that_the_report_does_not() {
        let mut sr = example::metadata();
        for tag in ["0040A370", "00080050"] {
            sr.as_object_mut().unwrap().remove(tag);
        }
        let image = serde_json::json!({"00400275": {"vr": "SQ", "Value": [{
            "00401001": {"vr": "SH", "Value": ["RP2"]}, "00080050": {"vr": "SH", "Value": ["A2"]}
        }]}});
        let image = Attributes::of(&image);
        let result = ImagingResult::read(Attributes::of(&sr).unwrap(), image, example::report(), 0).unwrap();
        assert_eq!(result.order.requested_procedure_id.as_deref(), Some("RP2"));
        assert_eq!(result.study.accession.as_deref(), Some("A2"));
    }

    #[test]
    fn a_report_without_patient_id_is_for_nobody() {
        for id in [serde_json::json!({"vr": "LO"}), serde_json::json!({"vr": "LO", "Value": [" "]})] {
            let mut metadata = example::metadata();
            metadata["00100020"] = id;
            let read = ImagingResult::read(Attributes::of(&metadata).unwrap(), None, example::report(), 0);
            assert!(matches!(read, Err(ResultError::NoPatientId)), "{read:?}");
        }
    }

    #[test]
    fn a_report_with_nothing_but_its_identity_is_read() {
        let result = example::bare_result();
        assert_eq!((result.order, result.patient.birth_date), (Order::default(), None));
    }
}
