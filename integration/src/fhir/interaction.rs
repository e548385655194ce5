//! What is sent to a FHIR server.

use super::resources::{Ownership, References, Resource, resources};
use crate::{config::FhirMode, imaging_result::ImagingResult};
use serde_json::{Value, json};

/// One HTTP request to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Interaction {
    pub method: Method,
    /// Relative to the base URL; empty for the base itself.
    pub path: String,
    pub body: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
}

/// The requests that deliver a result, in order. Made twice, they leave the server as made once.
pub fn interactions(result: &ImagingResult, patient_system: &str, mode: FhirMode) -> Vec<Interaction> {
    match mode {
        FhirMode::Transaction => {
            let body = transaction(resources(result, patient_system, References::Urn));
            vec![Interaction { method: Method::Post, path: String::new(), body }]
        }
        FhirMode::Resources => resources(result, patient_system, References::Relative).into_iter().map(put).collect(),
    }
}

fn transaction(resources: Vec<Resource>) -> Value {
    let entries: Vec<Value> = resources.into_iter().map(entry).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

/// Shared resources by conditional create, ours by conditional update: neither needs ids of our choice.
fn entry(resource: Resource) -> Value {
    let query = identifier_query(&resource);
    let request = match resource.ownership {
        Ownership::Shared => json!({"method": "POST", "url": resource.kind, "ifNoneExist": query}),
        Ownership::Ours => json!({"method": "PUT", "url": format!("{}?{query}", resource.kind)}),
    };
    json!({"fullUrl": format!("urn:uuid:{}", resource.id), "resource": resource.body, "request": request})
}

fn identifier_query(resource: &Resource) -> String {
    let (system, value) = &resource.identifier;
    // A comma would mean "or" and a bar would end the system (Search §3.1.1.5).
    let escape = |text: &str| text.replace('\\', "\\\\").replace(',', "\\,").replace('|', "\\|").replace('$', "\\$");
    let token = format!("{}|{}", escape(system), escape(value));
    url::form_urlencoded::Serializer::new(String::new()).append_pair("identifier", &token).finish()
}

fn put(resource: Resource) -> Interaction {
    let path = format!("{}/{}", resource.kind, resource.id);
    let mut body = resource.body;
    if let Some(members) = body.as_object_mut() {
        members.insert("id".into(), resource.id.into());
    }
    Interaction { method: Method::Put, path, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging_result::example;
    use std::collections::BTreeSet;

    const SYSTEM: &str = "urn:yinghai:patient-id";

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("reference").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn a_transaction_holds_all_it_refers_to() {
        let sent = interactions(&example::result(), SYSTEM, FhirMode::Transaction);
        assert_eq!((sent.len(), sent[0].method, sent[0].path.as_str()), (1, Method::Post, ""));
        let entries = sent[0].body["entry"].as_array().unwrap();
        let held: BTreeSet<String> = entries.iter().map(|e| e["fullUrl"].as_str().unwrap().to_owned()).collect();
        let mut referred = BTreeSet::new();
        references(&sent[0].body, &mut referred);
        assert!(!referred.is_empty() && referred.is_subset(&held));
    }

    #[test]
    fn nothing_of_the_server_is_overwritten_but_our_own_reports() {
        let sent = interactions(&example::result(), SYSTEM, FhirMode::Transaction);
        let requests: Vec<String> = sent[0].body["entry"].as_array().unwrap().iter().map(request).collect();
        assert_eq!(requests[0], "POST Patient if none identifier=urn%3Ayinghai%3Apatient-id%3AHIS%7CP1");
        assert_eq!(requests[2], "POST ImagingStudy if none identifier=urn%3Adicom%3Auid%7Curn%3Aoid%3A1.2.3");
        assert_eq!(requests[5], "PUT DiagnosticReport?identifier=urn%3Adicom%3Auid%7Curn%3Aoid%3A2.25.77 if none ");
    }

    fn request(entry: &Value) -> String {
        let text = |name: &str| entry["request"][name].as_str().unwrap_or_default().to_owned();
        format!("{} {} if none {}", text("method"), text("url"), text("ifNoneExist"))
    }

    #[test]
    fn single_resources_are_put_under_the_ids_they_are_referred_by() {
        let sent = interactions(&example::result(), SYSTEM, FhirMode::Resources);
        let paths: BTreeSet<String> = sent.iter().map(|interaction| interaction.path.clone()).collect();
        let mut referred = BTreeSet::new();
        for interaction in &sent {
            assert_eq!(interaction.method, Method::Put);
            assert!(interaction.path.ends_with(interaction.body["id"].as_str().unwrap()));
            references(&interaction.body, &mut referred);
        }
        assert!(referred.is_subset(&paths));
    }

    #[test]
    fn a_patient_id_cannot_widen_the_search() {
        let mut result = example::result();
        result.patient.id = "P1,P2&_count=9|x".into();
        let sent = interactions(&result, SYSTEM, FhirMode::Transaction);
        assert!(request(&sent[0].body["entry"][0]).ends_with("%7CP1%5C%2CP2%26_count%3D9%5C%7Cx"));
    }
}
