//! Orders over HTTP.

use crate::support::{Answer, Server};
use axum::http::{Method, Request};
use serde_json::{Value, json};

fn order(accession: &str, day: &str) -> Value {
    json!({
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Li^Si"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080050": {"vr": "SH", "Value": [accession]},
        "00400100": {"vr": "SQ", "Value": [
            {"00080060": {"vr": "CS", "Value": ["CT"]}, "00400002": {"vr": "DA", "Value": [day]}}
        ]},
    })
}

async fn send(server: &Server, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    server.send(request, body.to_string()).await
}

#[tokio::test]
async fn an_order_is_posted_found_changed_and_removed() {
    let server = Server::start(true).await;
    let added = send(&server, Method::POST, "/api/worklist", order("A1", "20261201")).await;
    assert_eq!(added.status, 201);
    let (number, study) = (added.json()[0]["number"].clone(), added.json()[0]["study"].clone());
    let path = format!("/api/worklist/{number}");
    let asked = "/api/worklist?PatientID=P1&ScheduledProcedureStepSequence.Modality=CT&limit=5";
    assert_eq!(server.get(asked, "*/*").await.json()[0]["number"], number);
    assert_eq!(server.get("/api/worklist?PatientID=P2", "*/*").await.json(), json!([]));

    let replaced = send(&server, Method::PUT, &path, order("A2", "20261202")).await.json();
    assert_eq!((&replaced[0]["number"], &replaced[0]["study"]), (&number, &study));
    let one = server.get(&path, "*/*").await.json();
    assert_eq!(one["item"]["00080050"]["Value"][0], "A2");

    let arrived = send(&server, Method::PUT, &format!("{path}/status"), json!({"status": "ARRIVED"})).await;
    assert_eq!(arrived.json()["status"], "ARRIVED");
    assert_eq!(send(&server, Method::DELETE, &path, Value::Null).await.status, 204);
    assert_eq!(server.get(&path, "*/*").await.status, 404);
}

#[tokio::test]
async fn what_is_no_order_is_a_bad_request_that_says_why() {
    let server = Server::start(true).await;
    let refused = async |body: Value| {
        let answer = send(&server, Method::POST, "/api/worklist", body).await;
        (answer.status.as_u16(), answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let (status, why) = refused(order("A1", "soon")).await;
    assert!(status == 400 && why.contains("ScheduledProcedureStepStartDate"), "{status} {why}");
    let (status, why) = refused(json!({"PatientID": "P1"})).await;
    assert!(status == 400 && why.contains("PatientID"), "{status} {why}");
    assert_eq!(refused(json!([])).await.0, 400);
    assert_eq!(server.get("/api/worklist?Colour=red", "*/*").await.status, 400);
    assert_eq!(server.get("/api/worklist?limit=all", "*/*").await.status, 400);
    let bad = send(&server, Method::PUT, "/api/worklist/1/status", json!({"status": "GONE"})).await;
    assert_eq!(bad.status, 400);
}
