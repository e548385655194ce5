//! Searching, as PS3.18 §10.6 has it and beyond.

use crate::support::{Encoding, Server, ct};
use axum::{body::Body, http::Request};
use serde_json::json;

const JSON: &str = "application/dicom+json";

async fn with_three() -> Server {
    let server = Server::start(true).await;
    let files = ["1.2.3.4.5", "1.2.3.4.6", "1.2.3.4.7"].map(|uid| ct(uid, Encoding::Explicit));
    assert_eq!(server.stow(&files).await.status, 200);
    server
}

#[tokio::test]
async fn patients_are_found_with_their_studies_counted() {
    let server = with_three().await;
    let found = server.get("/dicom-web/patients?PatientName=test*", JSON).await.json();
    assert_eq!(found[0]["00100020"]["Value"], json!(["P1"]));
    assert_eq!(found[0]["00201200"]["Value"], json!([1]));
    assert_eq!(found[0].get("00081190"), None);
    assert_eq!(server.get("/dicom-web/patients?PatientID=P2", JSON).await.json(), json!([]));
}

#[tokio::test]
async fn matches_are_counted_at_every_resource() {
    let server = with_three().await;
    for (path, expected) in [
        ("patients", 1),
        ("studies", 1),
        ("series", 1),
        ("instances", 3),
        ("studies/1.2.3/series", 1),
        ("studies/1.2.3/instances", 3),
        ("studies/1.2.3/series/1.2.3.4/instances", 3),
        ("studies/1.2.9/instances", 0),
    ] {
        let count = server.get(&format!("/dicom-web/{path}/count?limit=1"), "application/json").await;
        assert_eq!(count.json(), json!({ "count": expected }), "{path}");
    }
    assert_eq!(server.get("/dicom-web/studies/count?PatientID=P2", "*/*").await.json(), json!({ "count": 0 }));
}

#[tokio::test]
async fn a_page_links_to_the_next_until_there_is_none() {
    let server = with_three().await;
    let mut path = "/dicom-web/instances?limit=2&orderby=-SOPInstanceUID".to_owned();
    let mut found = Vec::new();
    loop {
        let page = server.get(&path, JSON).await;
        found.extend(page.json().as_array().unwrap().iter().map(|one| one["00080018"]["Value"][0].clone()));
        let Some((next, _)) = page.header("link").split_once(">; rel=\"next\"") else { break };
        path = next.trim_start_matches("<http://localhost").to_owned();
    }
    assert_eq!(found, ["1.2.3.4.7", "1.2.3.4.6", "1.2.3.4.5"]);
    assert_eq!(server.get("/dicom-web/instances?cursor=x", JSON).await.status, 400);
    assert_eq!(server.get("/dicom-web/studies?orderby=Rows", JSON).await.status, 400);
}

#[tokio::test]
async fn what_a_client_has_already_is_not_sent_again() {
    let server = with_three().await;
    let path = "/dicom-web/instances?limit=2";
    let tag = server.get(path, JSON).await.header("etag").to_owned();
    let again = |tag: &str| server.send(Request::get(path).header("if-none-match", tag), Body::empty());
    assert_eq!(again(&tag).await.status, 304);
    server.stow(&[ct("1.2.3.4.4", Encoding::Explicit)]).await;
    assert_eq!(again(&tag).await.status, 200);
}

#[tokio::test]
async fn no_value_is_asked_for_by_two_quotes() {
    let server = with_three().await;
    let found = async |query: &str| server.get(&format!("/dicom-web/studies?{query}"), JSON).await.json();
    assert_eq!(found("AccessionNumber=%22%22&emptyvaluematching=true").await.as_array().unwrap().len(), 1);
    assert_eq!(found("PatientID=%22%22&emptyvaluematching=true").await, json!([]));
    assert_eq!(found("AccessionNumber=%22%22").await, json!([]));
}

#[tokio::test]
async fn matches_and_metadata_are_documents_too() {
    let server = with_three().await;
    for path in ["studies", "studies/1.2.3/instances", "studies/1.2.3/metadata"] {
        let answer =
            server.get(&format!("/dicom-web/{path}"), "multipart/related; type=\"application/dicom+xml\"").await;
        let kind = answer.header("content-type");
        assert!(kind.starts_with("multipart/related; type=\"application/dicom+xml\"; boundary="), "{kind}");
        let text = String::from_utf8(answer.body).unwrap();
        let documents = if path == "studies" { 1 } else { 3 };
        assert_eq!(text.matches("<NativeDicomModel xmlns=").count(), documents, "{path}");
        assert!(text.contains("keyword=\"StudyInstanceUID\"><Value number=\"1\">1.2.3</Value>"), "{text}");
    }
    let json = server.get("/dicom-web/studies", "application/dicom+xml;q=0.5, application/json").await;
    assert_eq!(json.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_search_goes_on_and_tells_what_comes_and_goes() {
    let server = with_three().await;
    let mut told = server.follow("/dicom-web/instances?StudyDate=2026").await;
    let first = told.until("event: current").await;
    assert_eq!(first.matches("event: match").count(), 3, "{first}");
    server.stow(&[ct("1.2.3.4.8", Encoding::Explicit)]).await;
    let more = told.until("event: current").await;
    assert!(more.contains("\"1.2.3.4.8\"") && more.contains("{\"count\":4}"), "{more}");
    server.send(Request::delete("/dicom-web/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5"), Body::empty()).await;
    let gone = told.until("event: current").await;
    assert!(gone.contains("event: gone\ndata: \"1.2.3.4.5\"\n"), "{gone}");
}
