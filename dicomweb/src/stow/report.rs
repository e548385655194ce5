//! The Store Instances Response (PS3.18 §10.5.3, Annex I).

use axum::http::StatusCode;
use pacs_core::{Failure, Tag, Uid, attributes::key, tags};
use serde_json::{Map, Value, json};
use storage::{Ingested, Outcome};

/// What became of one instance.
#[derive(Debug, Clone)]
pub struct Report {
    /// SOP Class and Instance UID as its file names them, for the case that it was not stored.
    pub named: Option<(Uid, Uid)>,
    pub outcome: Result<Ingested, Failure>,
}

impl Report {
    /// Other content under a held SOP Instance UID that was not kept is a failure to its sender.
    fn outcome(&self) -> Result<&Ingested, Failure> {
        match &self.outcome {
            Ok(ingested) if ingested.outcome == Outcome::Rejected => Err(Failure::DuplicateInstance),
            Ok(ingested) => Ok(ingested),
            Err(failure) => Err(*failure),
        }
    }

    fn name(&self) -> Option<(&Uid, &Uid)> {
        let stored = self.outcome.as_ref().ok().map(|i| (&i.sop_class, &i.sop_instance));
        stored.or(self.named.as_ref().map(|(class, instance)| (class, instance)))
    }
}

/// 200 if all were stored, 202 if some were, 409 if none (PS3.18 Table 10.5.3-1); where all failed for the same want
/// of the server's, that instead, so that the client tries again or gives up rightly.
pub fn status(reports: &[Report]) -> StatusCode {
    let failures: Vec<Failure> = reports.iter().filter_map(|report| report.outcome().err()).collect();
    if failures.is_empty() {
        return StatusCode::OK;
    }
    if failures.len() < reports.len() {
        return StatusCode::ACCEPTED;
    }
    let all = |failure| failures.iter().all(|f| *f == failure);
    let own = [Failure::NoRoom, Failure::Unavailable, Failure::TooLarge, Failure::Internal];
    let own = own.into_iter().find(|f| all(*f));
    own.and_then(|failure| StatusCode::from_u16(failure.http()).ok()).unwrap_or(StatusCode::CONFLICT)
}

pub fn write(reports: &[Report], base: &str, study: Option<&Uid>) -> Map<String, Value> {
    let (mut stored, mut failed, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for report in reports {
        match (report.outcome(), report.name()) {
            (Ok(ingested), _) => stored.push(reference(ingested, base)),
            (Err(failure), Some((class, instance))) => {
                let mut item = sop(class, instance);
                item.extend([reason(tags::FAILURE_REASON, failure)]);
                failed.push(item.into());
            }
            (Err(failure), None) => others.push(Map::from_iter([reason(tags::FAILURE_REASON, failure)]).into()),
        }
    }
    let url = study.or_else(|| only_study(reports)).map(|study| json!(format!("{base}/studies/{study}")));
    let mut response = Map::from_iter([element(tags::RETRIEVE_URL, "UR", url.into_iter().collect())]);
    let sequences = [
        (tags::REFERENCED_SOP_SEQUENCE, stored),
        (tags::FAILED_SOP_SEQUENCE, failed),
        (tags::OTHER_FAILURES_SEQUENCE, others),
    ];
    let filled = sequences.into_iter().filter(|(_, items)| !items.is_empty());
    response.extend(filled.map(|(tag, items)| element(tag, "SQ", items)));
    response
}

/// The study of all that was stored: of what is of several, Retrieve URL is empty (PS3.18 Table I.1-1, Type 2).
fn only_study(reports: &[Report]) -> Option<&Uid> {
    let mut studies = reports.iter().filter_map(|report| report.outcome().ok()).map(|ingested| ingested.study.as_ref());
    let first = studies.next()??;
    studies.all(|study| study == Some(first)).then_some(first)
}

fn reference(ingested: &Ingested, base: &str) -> Value {
    let version = match ingested.outcome {
        Outcome::Version(number) | Outcome::Identical(number) if number > 1 => format!("?version={number}"),
        _ => String::new(),
    };
    let url = format!("{base}/{}{version}", ingested.path());
    let mut item = sop(&ingested.sop_class, &ingested.sop_instance);
    item.extend([element(tags::RETRIEVE_URL, "UR", vec![json!(url)])]);
    item.into()
}

fn sop(class: &Uid, instance: &Uid) -> Map<String, Value> {
    Map::from_iter([
        element(tags::REFERENCED_SOP_CLASS_UID, "UI", vec![json!(class)]),
        element(tags::REFERENCED_SOP_INSTANCE_UID, "UI", vec![json!(instance)]),
    ])
}

fn reason(tag: Tag, failure: Failure) -> (String, Value) {
    element(tag, "US", vec![json!(failure.dimse())])
}

fn element(tag: Tag, vr: &str, values: Vec<Value>) -> (String, Value) {
    let element = if values.is_empty() { json!({ "vr": vr }) } else { json!({ "vr": vr, "Value": values }) };
    (key(tag), element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        text.parse().unwrap()
    }

    fn stored(outcome: Outcome) -> Report {
        let (study, series) = (Some(uid("1")), Some(uid("2")));
        let ingested = Ingested { outcome, study, series, sop_instance: uid("3"), sop_class: uid("4") };
        Report { named: None, outcome: Ok(ingested) }
    }

    fn failed(failure: Failure) -> Report {
        Report { named: None, outcome: Err(failure) }
    }

    #[test]
    fn the_status_counts_successes() {
        let (good, bad) = (stored(Outcome::Stored), failed(Failure::CannotUnderstand));
        assert_eq!(status(&[good.clone(), stored(Outcome::Identical(1)), stored(Outcome::Version(2))]), 200);
        assert_eq!(status(&[good, bad.clone()]), 202);
        assert_eq!(status(std::slice::from_ref(&bad)), 409);
        assert_eq!(status(&[failed(Failure::NoRoom)]), 507);
        assert_eq!(status(&[failed(Failure::Unavailable)]), 503);
        assert_eq!(status(&[failed(Failure::NoRoom), bad]), 409);
        assert_eq!(status(&[stored(Outcome::Rejected)]), 409);
    }

    #[test]
    fn each_instance_is_reported_in_its_sequence() {
        let named = Report { named: Some((uid("4"), uid("5"))), outcome: Err(Failure::DataSetMismatch) };
        let reports = [
            stored(Outcome::Stored),
            named,
            failed(Failure::CannotUnderstand),
            stored(Outcome::Rejected),
            stored(Outcome::Version(2)),
        ];
        let response = write(&reports, "http://h/dicom-web", Some(&uid("1")));
        let reference = &response["00081199"]["Value"][0];
        assert_eq!(reference["00081155"]["Value"][0], "3");
        assert_eq!(reference["00081190"]["Value"][0], "http://h/dicom-web/studies/1/series/2/instances/3");
        let version = &response["00081199"]["Value"][1]["00081190"]["Value"][0];
        assert_eq!(version, "http://h/dicom-web/studies/1/series/2/instances/3?version=2");
        assert_eq!(response["00081198"]["Value"][0]["00081197"]["Value"][0], 0xA900);
        assert_eq!(response["00081198"]["Value"][1]["00081197"]["Value"][0], 0x0111);
        assert_eq!(response["0008119A"]["Value"][0]["00081197"]["Value"][0], 0xC000);
        assert_eq!(response["00081190"]["Value"][0], "http://h/dicom-web/studies/1");
    }

    #[test]
    fn where_the_study_is_is_said_of_one_study_only() {
        let of = |study: &str| {
            let mut report = stored(Outcome::Stored);
            report.outcome.as_mut().unwrap().study = Some(uid(study));
            report
        };
        let url = |reports: &[Report]| {
            let response = write(reports, "http://h/dicom-web", None);
            assert_eq!(response["00081190"]["vr"], "UR");
            response["00081190"]["Value"][0].as_str().map(str::to_owned)
        };
        let failed = failed(Failure::CannotUnderstand);
        assert_eq!(url(&[of("1"), failed.clone(), of("1")]).unwrap(), "http://h/dicom-web/studies/1");
        assert_eq!(url(&[of("1"), of("2")]), None);
        assert_eq!(url(&[failed]), None);
    }
}
