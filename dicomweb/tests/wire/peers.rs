//! Application entities over HTTP.

use crate::support::Server;
use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use storage::Peer;

async fn put(server: &Server, ae_title: &str, settings: Value) -> u16 {
    let request = Request::put(format!("/api/aes/{ae_title}")).header("content-type", "application/json");
    server.send(request, settings.to_string()).await.status.as_u16()
}

async fn echo(server: &Server, ae_title: &str) -> (u16, Value) {
    let request = Request::post(format!("/api/aes/{ae_title}/echo"));
    let answer = server.send(request, Body::empty()).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_peer_is_set_called_and_shut_out() {
    let server = Server::start(true).await;
    let settings = json!({ "host": "10.0.0.7", "port": 104, "may_store": true, "view": "PatientSex=F" });
    assert_eq!(put(&server, "CT1", settings).await, 200);
    let expected = Peer {
        host: Some("10.0.0.7".into()),
        port: Some(104),
        may_store: true,
        view: "PatientSex=F".parse().unwrap(),
        ..Peer::new("CT1".parse().unwrap())
    };
    assert_eq!(server.archive.peers().await.unwrap(), [expected]);
    assert_eq!(server.get("/api/aes", "*/*").await.json()[0]["view"], "PatientSex=F");

    let (status, answer) = echo(&server, "CT1").await;
    assert_eq!((status, &answer["answered"], &answer["reason"]), (200, &json!(true), &Value::Null));
    assert_eq!(put(&server, "CT1", json!({ "host": "10.0.0.7", "port": 4242 })).await, 200);
    assert_eq!(echo(&server, "CT1").await.1["reason"], "nobody is there");

    let gone = server.send(Request::delete("/api/aes/CT1"), Body::empty()).await;
    assert_eq!(gone.status, 204);
    assert_eq!(server.send(Request::delete("/api/aes/CT1"), Body::empty()).await.status, 404);
    assert!(server.archive.audit_trail(10).await.unwrap().iter().any(|row| row.detail == "AE CT1 removed"));
}

#[tokio::test]
async fn what_makes_no_peer_is_told() {
    let server = Server::start(true).await;
    for (ae_title, settings) in [
        ("TOO_LONG_FOR_AN_AE", json!({})),
        ("CT1", json!({ "may_fly": true })),
        ("CT1", json!({ "port": 70000 })),
        ("CT1", json!({ "view": "Rows=512" })),
        ("CT1", json!([])),
    ] {
        assert_eq!(put(&server, ae_title, settings).await, 400);
    }
    assert_eq!(echo(&server, "CT1").await.0, 404);
    assert_eq!(put(&server, "CT1", json!({})).await, 200);
    assert_eq!(echo(&server, "CT1").await.0, 400);
}
