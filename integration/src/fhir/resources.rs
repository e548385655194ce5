//! A result as FHIR resources, in the order in which they refer to each other.
//!
//! All is preliminary: a result of an algorithm becomes final only by a person's doing. The words "demonstration, not
//! for clinical use" stand in Device.note, Observation.note and DiagnosticReport.conclusion.

use crate::{
    identity::uuid,
    imaging_result::{Code, ImagingResult, Sex},
    moment::{Moment, fhir_date},
    wording,
};
use pacs_core::{
    Uid,
    finding::Finding,
    person_name::PersonName,
    sop_class::{COMPREHENSIVE_3D_SR_STORAGE, CT_IMAGE_STORAGE, ENHANCED_CT_IMAGE_STORAGE},
};
use serde_json::{Value, json};

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const SNOMED: &str = "http://snomed.info/sct";
const LOINC: &str = "http://loinc.org";
const UCUM: &str = "http://unitsofmeasure.org";
const IDENTIFIER_TYPE: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
/// System of identifiers that are DICOM UIDs (FHIR ImagingStudy, notes on `identifier`).
const DICOM_UID: &str = "urn:dicom:uid";
/// System of identifiers that are URIs.
const URI: &str = "urn:ietf:rfc:3986";

/// One resource with what is needed to send it twice without doubling it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Resource type, e.g. `Patient`.
    pub kind: &'static str,
    /// A UUID made of `identifier`.
    pub id: String,
    /// System and value of the identifier that tells it from others.
    pub identifier: (String, String),
    pub ownership: Ownership,
    /// Without `id`.
    pub body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The server may know it better: made only if it is not there.
    Shared,
    /// Nobody else writes it: replaced if it is there.
    Ours,
}

/// How resources refer to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum References {
    /// `urn:uuid:…`, resolved by the server within one transaction.
    Urn,
    /// `Type/id`.
    Relative,
}

impl Resource {
    fn new(kind: &'static str, system: &str, value: String, ownership: Ownership, body: Value) -> Self {
        let id = uuid(&[kind, system, &value]);
        Self { kind, id, identifier: (system.into(), value), ownership, body: filled(body).unwrap_or_default() }
    }

    fn reference(&self, references: References) -> Value {
        match references {
            References::Urn => json!({"reference": format!("urn:uuid:{}", self.id)}),
            References::Relative => json!({"reference": format!("{}/{}", self.kind, self.id)}),
        }
    }
}

/// Writes all resources of a result; the DiagnosticReport is last.
///
/// `patient_system`: system of patient ids without issuer.
pub fn resources(result: &ImagingResult, patient_system: &str, references: References) -> Vec<Resource> {
    let patient = patient(result, patient_system);
    let device = device(result);
    let subject = patient.reference(references);
    let study = imaging_study(result, &subject);
    let links = Links { subject, device: device.reference(references), imaging_study: study.reference(references) };
    let observations: Vec<Resource> = result.report.findings.iter().map(|f| observation(result, f, &links)).collect();
    let findings = observations.iter().map(|observation| observation.reference(references)).collect();
    let report = diagnostic_report(result, findings, &links);
    [patient, device, study].into_iter().chain(observations).chain([report]).collect()
}

struct Links {
    subject: Value,
    device: Value,
    imaging_study: Value,
}

fn patient(result: &ImagingResult, default_system: &str) -> Resource {
    let patient = &result.patient;
    let system = match &patient.issuer {
        Some(issuer) if issuer.parse::<Uid>().is_ok() => format!("urn:oid:{issuer}"),
        Some(issuer) => format!("{default_system}:{}", percent_encoded(issuer)),
        None => default_system.to_owned(),
    };
    let gender = patient.sex.map(|sex| match sex {
        Sex::Male => "male",
        Sex::Female => "female",
        Sex::Other => "other",
    });
    let body = json!({
        "resourceType": "Patient",
        "identifier": [{
            "type": coded(IDENTIFIER_TYPE, "MR", "Medical record number"),
            "system": system,
            "value": patient.id,
            "assigner": {"display": patient.issuer},
        }],
        "name": names(&patient.name),
        "gender": gender,
        "birthDate": patient.birth_date.map(fhir_date),
    });
    Resource::new("Patient", &system, patient.id.clone(), Ownership::Shared, body)
}

/// One HumanName for each component group, marked by the ISO 21090 representation as DICOM and HL7 v2 have it.
fn names(name: &PersonName) -> Vec<Value> {
    let groups = [(&name.ideographic, "IDE"), (&name.alphabetic, "ABC"), (&name.phonetic, "SYL")];
    let written = groups.iter().filter(|(group, _)| !group.is_empty());
    written.map(|(group, representation)| human_name(group, representation)).collect()
}

fn human_name(group: &str, representation: &str) -> Value {
    let mut parts = group.split('^').map(str::trim);
    let [family, given, middle, prefix, suffix] = [(); 5].map(|()| parts.next().unwrap_or_default());
    let separator = if representation == "IDE" { "" } else { " " };
    let text: Vec<&str> = [prefix, family, given, middle, suffix].into_iter().filter(|p| !p.is_empty()).collect();
    json!({
        "extension": [{
            "url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation",
            "valueCode": representation,
        }],
        "use": "official",
        "text": text.join(separator),
        "family": family,
        "given": [given, middle],
        "prefix": [prefix],
        "suffix": [suffix],
    })
}

fn device(result: &ImagingResult) -> Resource {
    let report = &result.report;
    let id = format!("urn:uuid:{}", uuid(&["algorithm", &report.algorithm_name, &report.algorithm_version]));
    let body = json!({
        "resourceType": "Device",
        "identifier": [{"system": URI, "value": id}],
        "status": "active",
        "deviceName": [{"name": report.algorithm_name, "type": "model-name"}],
        "version": [{"value": report.algorithm_version}],
        "type": {"text": "Image analysis algorithm"},
        "note": [{"text": wording::status(report)}],
    });
    Resource::new("Device", URI, id, Ownership::Shared, body)
}

fn imaging_study(result: &ImagingResult, subject: &Value) -> Resource {
    let study = &result.study;
    let id = urn_oid(&study.uid);
    let body = json!({
        "resourceType": "ImagingStudy",
        "identifier": [{"system": DICOM_UID, "value": id}, accession(result)],
        "status": "available",
        "subject": subject,
        "started": study.started.as_ref().map(Moment::fhir),
        "description": study.description,
        "series": [image_series(result), sr_series(result)],
    });
    Resource::new("ImagingStudy", DICOM_UID, id, Ownership::Shared, body)
}

fn accession(result: &ImagingResult) -> Value {
    match &result.study.accession {
        Some(number) => json!({"type": coded(IDENTIFIER_TYPE, "ACSN", "Accession ID"), "value": number}),
        None => Value::Null,
    }
}

fn image_series(result: &ImagingResult) -> Value {
    let evidence = &result.report.evidence;
    let modality = match evidence.first().map(|(sop_class, _)| sop_class.as_str()) {
        Some(CT_IMAGE_STORAGE | ENHANCED_CT_IMAGE_STORAGE) => "CT",
        _ => "OT",
    };
    json!({
        "uid": result.report.series,
        "modality": {"system": DCM, "code": modality},
        "numberOfInstances": (!evidence.is_empty()).then_some(evidence.len()),
    })
}

fn sr_series(result: &ImagingResult) -> Value {
    json!({
        "uid": result.sr_series,
        "modality": {"system": DCM, "code": "SR"},
        "instance": [{
            "uid": result.sr_instance,
            "sopClass": {"system": URI, "code": format!("urn:oid:{COMPREHENSIVE_3D_SR_STORAGE}")},
        }],
    })
}

fn observation(result: &ImagingResult, finding: &Finding, links: &Links) -> Resource {
    let number = finding.number.to_string();
    // The tracking UID may stand in the report of the next scan, too.
    let id = format!("urn:uuid:{}", uuid(&["finding", result.sr_instance.as_str(), &number]));
    let body = json!({
        "resourceType": "Observation",
        "identifier": [
            {"system": URI, "value": id},
            {"system": DICOM_UID, "value": urn_oid(&finding.tracking_uid)},
        ],
        "status": "preliminary",
        "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "imaging", "Imaging")],
        "code": {"coding": coding(SNOMED, "27925004", "Nodule"), "text": format!("Lung nodule {number}")},
        "subject": links.subject,
        "effectiveDateTime": result.study.started.as_ref().map(Moment::fhir),
        "issued": result.stored.fhir_instant(),
        "bodySite": coded(SNOMED, "39607008", "Lung"),
        "method": {"text": wording::algorithm(&result.report)},
        "device": links.device,
        "derivedFrom": [links.imaging_study],
        "note": [{"text": wording::finding(finding, &result.report)}],
        "component": components(finding),
    });
    Resource::new("Observation", URI, id, Ownership::Ours, body)
}

fn components(finding: &Finding) -> Vec<Value> {
    let quantities = [
        quantity(coded(SNOMED, "103339001", "Long axis"), wording::measured(finding.long_axis_mm, 1), "mm"),
        quantity(coded(SNOMED, "103340004", "Short axis"), wording::measured(finding.short_axis_mm, 1), "mm"),
        quantity(coded(SNOMED, "118565006", "Volume"), wording::measured(finding.volume_mm3, 0), "mm3"),
        quantity(coded(DCM, "111012", "Certainty of Finding"), wording::confidence(finding), "1"),
    ];
    let image = json!({
        "code": coded(DCM, "121112", "Source of Measurement"),
        "valueString": urn_oid(&finding.sop_instance),
    });
    let place = json!({"code": {"text": "Place (patient coordinates, LPS)"}, "valueString": wording::place(finding)});
    quantities.into_iter().flatten().chain([image, place]).collect()
}

fn quantity(code: Value, value: Option<String>, unit: &str) -> Option<Value> {
    let value: f64 = value?.parse().ok()?;
    Some(json!({"code": code, "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit}}))
}

fn diagnostic_report(result: &ImagingResult, findings: Vec<Value>, links: &Links) -> Resource {
    let id = urn_oid(&result.sr_instance);
    let body = json!({
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": DICOM_UID, "value": id}, accession(result)],
        "status": "preliminary",
        "category": [coded("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD", "Radiology")],
        "code": report_code(result),
        "subject": links.subject,
        "effectiveDateTime": result.study.started.as_ref().map(Moment::fhir),
        "issued": result.stored.fhir_instant(),
        "result": findings,
        "imagingStudy": [links.imaging_study],
        "conclusion": wording::impression(&result.report),
    });
    Resource::new("DiagnosticReport", DICOM_UID, id, Ownership::Ours, body)
}

/// The procedure that was asked for stands beside the LOINC code that every receiver knows.
fn report_code(result: &ImagingResult) -> Value {
    let mut codes = vec![json!({"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"})];
    if let Some(Code { value, scheme, meaning }) = &result.order.procedure {
        codes.push(json!({"system": system(scheme), "code": value, "display": meaning}));
    }
    json!({"coding": codes, "text": result.study.description})
}

/// The FHIR name of a coding scheme (PS3.16 §8, Table 8-1); local ones have none.
fn system(scheme: &str) -> Option<&'static str> {
    match scheme {
        "DCM" => Some(DCM),
        "SCT" | "SRT" => Some(SNOMED),
        "LN" => Some(LOINC),
        _ => None,
    }
}

fn coded(system: &str, code: &str, display: &str) -> Value {
    json!({"coding": coding(system, code, display)})
}

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!([{"system": system, "code": code, "display": display}])
}

fn urn_oid(uid: &Uid) -> String {
    format!("urn:oid:{uid}")
}

fn percent_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Leaves out what is null or empty, which FHIR does not allow (JSON format §2.6.2).
fn filled(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.trim().is_empty()).then_some(Value::String(text)),
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(filled).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members: serde_json::Map<_, _> =
                members.into_iter().filter_map(|(key, value)| Some((key, filled(value)?))).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{imaging_result::example, wording::STATUS_WORDS};

    const SYSTEM: &str = "urn:yinghai:patient-id";

    fn kinds(result: &ImagingResult) -> Vec<&'static str> {
        resources(result, SYSTEM, References::Urn).iter().map(|resource| resource.kind).collect()
    }

    #[test]
    fn each_nodule_is_an_observation_and_the_report_is_last() {
        let expected = ["Patient", "Device", "ImagingStudy", "Observation", "Observation", "DiagnosticReport"];
        assert_eq!(kinds(&example::result()), expected);
        assert_eq!(kinds(&example::bare_result()), ["Patient", "Device", "ImagingStudy", "DiagnosticReport"]);
    }

    #[test]
    fn a_name_is_given_in_both_scripts() {
        let patient = &resources(&example::result(), SYSTEM, References::Urn)[0].body;
        assert_eq!(patient["name"][0]["text"], "王小东");
        assert_eq!(patient["name"][1]["text"], "Wang XiaoDong");
        assert_eq!(patient["name"][1]["family"], "Wang");
        assert_eq!(patient["identifier"][0]["system"], "urn:yinghai:patient-id:HIS");
    }

    #[test]
    fn an_issuer_that_is_an_oid_is_the_system() {
        let mut result = example::result();
        result.patient.issuer = Some("1.2.156.1".into());
        assert_eq!(resources(&result, SYSTEM, References::Urn)[0].identifier.0, "urn:oid:1.2.156.1");
    }

    #[test]
    fn nothing_is_final_and_every_text_says_demonstration() {
        for resource in resources(&example::result(), SYSTEM, References::Urn) {
            let body = &resource.body;
            if matches!(resource.kind, "Observation" | "DiagnosticReport") {
                assert_eq!(body["status"], "preliminary");
            }
            let text = [&body["note"][0]["text"], &body["conclusion"]].into_iter().find_map(Value::as_str);
            if !matches!(resource.kind, "Patient" | "ImagingStudy") {
                assert!(text.unwrap().contains(STATUS_WORDS), "{body}");
            }
        }
    }

    #[test]
    fn a_second_delivery_has_the_same_ids_and_another_report_has_others() {
        let ids = |result: &ImagingResult| -> Vec<String> {
            resources(result, SYSTEM, References::Relative).into_iter().map(|resource| resource.id).collect()
        };
        let first = example::result();
        assert_eq!(ids(&first), ids(&first.clone()));
        let next = ImagingResult { sr_instance: "2.25.78".parse().unwrap(), ..first.clone() };
        let (first, next) = (ids(&first), ids(&next));
        assert_eq!(first[..3], next[..3]);
        assert!(first[3..].iter().all(|id| !next.contains(id)));
    }

    #[test]
    fn nothing_empty_is_written() {
        let value = json!({"a": null, "b": "", "c": [{}], "d": {"e": [" "]}, "f": 0, "g": [false, null]});
        assert_eq!(filled(value), Some(json!({"f": 0, "g": [false]})));
    }
}
