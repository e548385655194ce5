//! A result as ORU^R01, version 2.5.1 (chapter 7 §7.3.1; order of IHE RAD TF RAD-128).
//!
//! Segments: MSH, PID, ORC, OBR, NTE with the status words, then OBX: identity of the study, its series and the SR;
//! the algorithm; for each nodule a sentence and its measures, joined by OBX-4; the impression. OBR-25 and OBX-11 are
//! P, preliminary (tables 0123, 0085): only a person makes a result final.

use super::message::{Field, Message, Segment};
use crate::{
    imaging_result::{Code, ImagingResult, Patient, Sex},
    moment::{Moment, hl7_date},
    wording,
};
use pacs_core::{finding::Finding, person_name::PersonName};

/// The parts of MSH that the route decides, and the message's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub control_id: &'a str,
    pub sending_application: &'a str,
    pub sending_facility: &'a str,
    pub receiving_application: &'a str,
    pub receiving_facility: &'a str,
    /// As in MSH-18.
    pub charset: &'a str,
}

const PRELIMINARY: &str = "P";

/// Writes the message. The same result and envelope give the same text.
pub fn oru(result: &ImagingResult, envelope: &Envelope<'_>) -> Message {
    let mut segments = vec![
        msh(result, envelope),
        pid(&result.patient),
        orc(result, envelope.sending_application),
        obr(result, envelope.sending_application),
        Segment::new("NTE").with(1, Field::text("1")).with(3, Field::text(&wording::status(&result.report))),
    ];
    let numbered = observations(result).into_iter().zip(1u32..);
    segments.extend(numbered.map(|(obx, number)| obx.with(1, Field::text(&number.to_string()))));
    Message { segments }
}

/// MSH-15 and MSH-16 stay empty: original mode, one answer once the receiver has taken the result in.
fn msh(result: &ImagingResult, envelope: &Envelope<'_>) -> Segment {
    Segment::new("MSH")
        .with(3, Field::text(envelope.sending_application))
        .with(4, Field::text(envelope.sending_facility))
        .with(5, Field::text(envelope.receiving_application))
        .with(6, Field::text(envelope.receiving_facility))
        .with(7, Field::text(&result.stored.hl7()))
        .with(9, Field::components(&["ORU", "R01", "ORU_R01"]))
        .with(10, Field::text(envelope.control_id))
        .with(11, Field::text("P"))
        .with(12, Field::text("2.5.1"))
        .with(18, Field::text(envelope.charset))
}

fn pid(patient: &Patient) -> Segment {
    let sex = match patient.sex {
        Some(Sex::Male) => "M",
        Some(Sex::Female) => "F",
        Some(Sex::Other) => "O",
        None => "U",
    };
    let issuer = patient.issuer.as_deref().unwrap_or_default();
    Segment::new("PID")
        .with(1, Field::text("1"))
        .with(3, Field::components(&[&patient.id, "", "", issuer, "MR"]))
        .with(5, names(&patient.name))
        .with(7, Field::text(&patient.birth_date.map(hl7_date).unwrap_or_default()))
        .with(8, Field::text(sex))
}

/// XPN repetitions, one for each component group: ideographic, alphabetic, phonetic (table 0465).
// Ideographic first: a receiver that reads one repetition only is a Chinese one here.
fn names(name: &PersonName) -> Field {
    let groups = [(&name.ideographic, "I"), (&name.alphabetic, "A"), (&name.phonetic, "P")];
    let written: Vec<Field> = groups.iter().filter(|(g, _)| !g.is_empty()).map(|(g, code)| xpn(g, code)).collect();
    if written.is_empty() { Field::components(&["", "", "", "", "", "", "U"]) } else { Field::repetitions(&written) }
}

/// DICOM orders family, given, middle, prefix, suffix (PS3.5 §6.2.1); XPN has the suffix before the prefix.
fn xpn(group: &str, representation: &str) -> Field {
    let mut parts = group.split('^');
    let [family, given, middle, prefix, suffix] = [(); 5].map(|()| parts.next().unwrap_or_default());
    Field::components(&[family, given, middle, suffix, prefix, "", "L", representation])
}

fn orc(result: &ImagingResult, application: &str) -> Segment {
    Segment::new("ORC")
        .with(1, Field::text("RE"))
        .with(2, placer_number(result))
        .with(3, filler_number(result, application))
}

fn placer_number(result: &ImagingResult) -> Field {
    Field::text(result.order.placer_number.as_deref().unwrap_or_default())
}

/// Without an order the study stands for it, as later results of the same study must carry the same number.
fn filler_number(result: &ImagingResult, application: &str) -> Field {
    match &result.order.filler_number {
        Some(number) => Field::text(number),
        None => Field::components(&[result.study.uid.as_str(), application]),
    }
}

fn obr(result: &ImagingResult, application: &str) -> Segment {
    let study = &result.study;
    let reported = result.written.unwrap_or(result.stored);
    Segment::new("OBR")
        .with(1, Field::text("1"))
        .with(2, placer_number(result))
        .with(3, filler_number(result, application))
        .with(4, procedure(result))
        .with(7, Field::text(&study.started.as_ref().map(Moment::hl7).unwrap_or_default()))
        .with(16, physician(&study.referring_physician))
        .with(18, Field::text(study.accession.as_deref().unwrap_or_default()))
        .with(19, Field::text(result.order.requested_procedure_id.as_deref().unwrap_or_default()))
        .with(22, Field::text(&reported.hl7()))
        .with(25, Field::text(PRELIMINARY))
}

fn procedure(result: &ImagingResult) -> Field {
    match (&result.order.procedure, &result.study.description) {
        (Some(Code { value, scheme, meaning }), _) => Field::components(&[value, meaning, scheme]),
        (None, Some(description)) => Field::components(&["", description]),
        (None, None) => Field::components(&["18748-4", "Diagnostic imaging study", "LN"]),
    }
}

/// XCN without an id: DICOM gives only the name, here the ideographic one if there is one.
fn physician(name: &PersonName) -> Field {
    let group = if name.ideographic.is_empty() { &name.alphabetic } else { &name.ideographic };
    let mut parts = group.split('^');
    let [family, given, middle] = [(); 3].map(|()| parts.next().unwrap_or_default());
    Field::components(&["", family, given, middle])
}

fn observations(result: &ImagingResult) -> Vec<Segment> {
    let report = &result.report;
    let mut list = vec![
        text("ST", ["113014", "DICOM Study", "DCM"], result.study.uid.as_str()),
        text("ST", ["112002", "Series Instance UID", "DCM"], report.series.as_str()),
        text("ST", ["", "SR Instance UID", ""], result.sr_instance.as_str()),
        text("ST", ["111001", "Algorithm Name", "DCM"], &report.algorithm_name),
        text("ST", ["111003", "Algorithm Version", "DCM"], &report.algorithm_version),
    ];
    list.extend(report.findings.iter().flat_map(|finding| nodule(finding, result)));
    list.push(text("TX", ["19005-8", "Radiology Imaging study [Impression]", "LN"], &wording::impression(report)));
    // An observation without a value says nothing.
    list.retain(|obx| !obx.field(5).is_empty());
    list
}

/// The sentence, flagged abnormal, and each measure that was taken (codes of TID 1500's measurement group).
fn nodule(finding: &Finding, result: &ImagingResult) -> Vec<Segment> {
    let sentence = wording::finding(finding, &result.report);
    let measures = [
        measure(["103339001", "Long Axis", "SCT"], wording::measured(finding.long_axis_mm, 1), MILLIMETRE),
        measure(["103340004", "Short Axis", "SCT"], wording::measured(finding.short_axis_mm, 1), MILLIMETRE),
        measure(["118565006", "Volume", "SCT"], wording::measured(finding.volume_mm3, 0), CUBIC_MILLIMETRE),
        measure(["111012", "Certainty of Finding", "DCM"], wording::confidence(finding), NO_UNIT),
    ];
    let tracking = text("ST", ["112040", "Tracking Unique Identifier", "DCM"], finding.tracking_uid.as_str());
    let image = text("ST", ["121112", "Source of Measurement", "DCM"], finding.sop_instance.as_str());
    let sentence = text("TX", ["59776-5", "Procedure findings", "LN"], &sentence).with(8, Field::text("A"));
    let group = [sentence].into_iter().chain(measures.into_iter().flatten()).chain([tracking, image]);
    group.map(|obx| obx.with(4, Field::text(&finding.number.to_string()))).collect()
}

const MILLIMETRE: [&str; 3] = ["mm", "millimeter", "UCUM"];
const CUBIC_MILLIMETRE: [&str; 3] = ["mm3", "cubic millimeter", "UCUM"];
const NO_UNIT: [&str; 3] = ["1", "no units", "UCUM"];

fn text(value_type: &str, code: [&str; 3], value: &str) -> Segment {
    Segment::new("OBX")
        .with(2, Field::text(value_type))
        .with(3, Field::components(&code))
        .with(5, Field::text(value))
        .with(11, Field::text(PRELIMINARY))
}

fn measure(code: [&str; 3], value: Option<String>, unit: [&str; 3]) -> Option<Segment> {
    Some(text("NM", code, &value?).with(6, Field::components(&unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{imaging_result::example, wording::STATUS_WORDS};
    use proptest::prelude::*;

    const ENVELOPE: Envelope<'_> = Envelope {
        control_id: "ABCDEFGHIJKLMNOPQRST",
        sending_application: "YINGHAI",
        sending_facility: "H",
        receiving_application: "EMR",
        receiving_facility: "H",
        charset: "UNICODE UTF-8",
    };

    #[test]
    fn a_result_is_written_as_expected() {
        let expected = include_str!("golden/oru_r01.hl7");
        assert_eq!(oru(&example::result(), &ENVELOPE).to_string().replace('\r', "\n"), expected);
    }

    #[test]
    fn a_result_without_order_or_nodule_is_written_as_expected() {
        let expected = include_str!("golden/oru_r01_bare.hl7");
        assert_eq!(oru(&example::bare_result(), &ENVELOPE).to_string().replace('\r', "\n"), expected);
    }

    #[test]
    fn every_observation_is_preliminary_and_every_sentence_says_demonstration() {
        let message = oru(&example::result(), &ENVELOPE);
        assert_eq!(message.segment("OBR").unwrap().field(25), "P");
        let observations: Vec<&Segment> = message.segments.iter().filter(|s| s.name() == "OBX").collect();
        assert!(observations.iter().all(|obx| obx.field(11) == "P"));
        let sentences: Vec<_> = observations.iter().filter(|obx| obx.field(2) == "TX").collect();
        assert_eq!(sentences.len(), 3);
        assert!(sentences.iter().all(|obx| obx.field(5).contains(STATUS_WORDS)));
        assert!(message.segment("NTE").unwrap().field(3).contains(STATUS_WORDS));
    }

    proptest! {
        #[test]
        fn no_attribute_can_add_a_segment(name in any::<String>(), id in any::<String>()) {
            let mut result = example::result();
            result.patient.name = PersonName::parse(&name);
            result.patient.id = id.clone();
            result.study.accession = Some(id.clone());
            let written = oru(&result, &ENVELOPE);
            let read = Message::parse(&written.to_string()).unwrap();
            prop_assert_eq!(read.segments.len(), written.segments.len());
            let expected = id.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(read.segment("PID").unwrap().component(3, 1), expected);
        }
    }
}
