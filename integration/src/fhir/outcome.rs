//! What a FHIR server answers.

use crate::{error::FailureKind, wording::shorten};
use serde_json::Value;

/// The server did not take what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server answered {status}: {text}")]
pub struct OutcomeError {
    pub status: u16,
    pub text: String,
}

impl OutcomeError {
    pub fn kind(&self) -> FailureKind {
        match self.status {
            // Credentials are the route's trouble, not the message's.
            401 | 403 | 407 | 408 | 425 | 429 | 500.. => FailureKind::Unreachable,
            409 | 412 | 423 => FailureKind::Refused,
            _ => FailureKind::Final,
        }
    }
}

/// Judges an answer by its status, each entry of a transaction response, and a reported error. `Ok`: a text for people.
pub fn read(status: u16, body: &[u8]) -> Result<String, OutcomeError> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if !(200..300).contains(&status) {
        return Err(OutcomeError { status, text: reason(status, &body) });
    }
    if let Some(error) = failed_entry(&body) {
        return Err(error);
    }
    match issues(&body, &["fatal", "error"]) {
        text if text.is_empty() => Ok(receipt(status, &body)),
        text => Err(OutcomeError { status: 422, text }),
    }
}

fn reason(status: u16, body: &Value) -> String {
    match issues(body, &["fatal", "error", "warning", "information"]) {
        text if !text.is_empty() => text,
        _ if (300..400).contains(&status) => "a redirection, which is not followed".into(),
        _ => "no OperationOutcome".into(),
    }
}

/// The issues of an OperationOutcome of these severities, for people.
fn issues(body: &Value, severities: &[&str]) -> String {
    if body["resourceType"] != "OperationOutcome" {
        return String::new();
    }
    let issues = body["issue"].as_array().map_or(&[][..], Vec::as_slice);
    let chosen = issues.iter().filter(|issue| issue["severity"].as_str().is_some_and(|s| severities.contains(&s)));
    shorten(&chosen.map(issue).collect::<Vec<_>>().join("; "))
}

fn issue(issue: &Value) -> String {
    let place = issue["expression"][0].as_str();
    let parts = [issue["code"].as_str(), issue["details"]["text"].as_str(), issue["diagnostics"].as_str(), place];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The first entry of a batch or transaction response that failed.
fn failed_entry(body: &Value) -> Option<OutcomeError> {
    body["entry"].as_array()?.iter().find_map(|entry| {
        let response = &entry["response"];
        let status: u16 = response["status"].as_str()?.get(..3)?.parse().ok()?;
        let failed = !(200..300).contains(&status);
        failed.then(|| OutcomeError { status, text: reason(status, &response["outcome"]) })
    })
}

fn receipt(status: u16, body: &Value) -> String {
    match body["entry"].as_array() {
        Some(entries) => format!("HTTP {status}, {} entries", entries.len()),
        None => format!("HTTP {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(status: u16, body: &Value, expected: Result<&str, (&str, FailureKind)>) {
        let read = read(status, body.to_string().as_bytes());
        let read = read.as_deref().map_err(|error| (error.text.as_str(), error.kind()));
        assert_eq!(read, expected, "{status} {body}");
    }

    fn outcome(severity: &str) -> Value {
        let issue = json!({"severity": severity, "code": "required", "diagnostics": "subject is missing",
            "expression": ["Observation.subject"]});
        json!({"resourceType": "OperationOutcome", "issue": [issue]})
    }

    const TEXT: &str = "required subject is missing Observation.subject";

    #[test]
    fn success_is_success_with_or_without_a_body() {
        check(201, &Value::Null, Ok("HTTP 201"));
        check(200, &outcome("information"), Ok("HTTP 200"));
        let done = json!({"resourceType": "Bundle", "entry": [{"response": {"status": "201 Created"}}]});
        check(200, &done, Ok("HTTP 200, 1 entries"));
    }

    #[test]
    fn a_refusal_keeps_the_reason_and_says_whether_to_try_again() {
        check(422, &outcome("error"), Err((TEXT, FailureKind::Final)));
        check(400, &Value::Null, Err(("no OperationOutcome", FailureKind::Final)));
        check(409, &outcome("error"), Err((TEXT, FailureKind::Refused)));
        check(503, &json!("busy"), Err(("no OperationOutcome", FailureKind::Unreachable)));
        check(401, &Value::Null, Err(("no OperationOutcome", FailureKind::Unreachable)));
        check(307, &Value::Null, Err(("a redirection, which is not followed", FailureKind::Final)));
    }

    #[test]
    fn an_error_inside_a_success_is_an_error() {
        check(200, &outcome("error"), Err((TEXT, FailureKind::Final)));
        let entry = json!({"response": {"status": "503 Busy", "outcome": outcome("error")}});
        let half = json!({"resourceType": "Bundle", "entry": [{"response": {"status": "201"}}, entry]});
        check(200, &half, Err((TEXT, FailureKind::Unreachable)));
    }

    proptest! {
        #[test]
        fn any_answer_is_judged(status in any::<u16>(), body in any::<Vec<u8>>()) {
            let _ = read(status, &body);
        }
    }
}
