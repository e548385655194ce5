//! Retrieve Capabilities (PS3.18 §8.9): what is described is there.

use crate::support::{Answer, Encoding, INSTANCE, PATH, Server, ct, palette};
use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::Value;
use std::collections::BTreeSet;
use storage::Role;

const WADL: &str = "application/vnd.sun.wadl+xml";

async fn options(server: &Server, path: &str, accept: &str) -> Answer {
    let request = Request::builder().method(Method::OPTIONS).uri(path).header("accept", accept);
    server.send(request, Body::empty()).await
}

/// (method, path) of a resource of the JSON form and all below it.
fn listed(resource: &Value, above: &str) -> Vec<(String, String)> {
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let path = format!("{above}/{}", resource["path"].as_str().unwrap());
    let own = list(resource, "method").into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), path.clone()));
    let below = list(resource, "resource").into_iter().flat_map(|below| listed(&below, &path));
    own.chain(below).collect()
}

async fn described(server: &Server, path: &str) -> Vec<(String, String)> {
    let answer = options(server, path, "application/json").await;
    assert_eq!(answer.status, 200, "{path}");
    let resources = answer.json()["application"]["resources"][0].clone();
    assert_eq!(resources["base"], "http://localhost/dicom-web/");
    resources["resource"].as_array().unwrap().iter().flat_map(|resource| listed(resource, "/dicom-web")).collect()
}

/// A path with something in the place of each variable.
fn filled(path: &str, value: impl Fn(&str) -> &'static str) -> String {
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => value(name).to_owned(),
        None => segment.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_resource_that_is_described_answers_its_methods() {
    let server = Server::start(true).await;
    let all = described(&server, "/dicom-web").await;
    assert_eq!(all, described(&server, "/dicom-web/").await);
    assert!(all.len() > 60, "{}", all.len());
    for (method, path) in all {
        // No UID: nothing is looked for, and nothing is deleted.
        let request = Request::builder().method(method.as_str()).uri(filled(&path, |_| "x"));
        let status = server.send(request, Body::empty()).await.status.as_u16();
        assert!(![404, 405].contains(&status) && status < 500, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn what_is_described_of_a_stored_instance_can_be_had() {
    let server = Server::start(true).await;
    server.stow(&[ct(INSTANCE, Encoding::Explicit), palette("1.2.9", "HEAT")]).await;
    let value = |name: &str| match name {
        "study" => "1.2.3",
        "series" => "1.2.3.4",
        "instance" => INSTANCE,
        "object" => "1.2.9",
        "frames" => "1",
        _ => "7FE00010",
    };
    let all = described(&server, "/dicom-web").await.into_iter();
    let of_patients = all.filter(|(method, path)| method == "GET" && path.starts_with("/dicom-web/studies"));
    let mut seen = 0;
    for (_, path) in of_patients {
        assert_eq!(server.get(&filled(&path, value), "*/*").await.status, 200, "{path}");
        seen += 1;
    }
    assert_eq!(seen, 30);
    assert_eq!(server.get("/dicom-web/color-palettes/1.2.9", "*/*").await.status, 200);
}

#[tokio::test]
async fn a_resource_describes_itself_and_what_is_below() {
    let server = Server::start(true).await;
    let all = described(&server, "/dicom-web").await;
    let paths = |all: Vec<(String, String)>| all.into_iter().map(|(_, path)| path).collect::<BTreeSet<_>>();
    let below = "/dicom-web/studies/{study}/series/{series}/instances/{instance}";
    let expected: BTreeSet<_> = paths(all).into_iter().filter(|path| path.starts_with(below)).collect();
    assert_eq!(paths(described(&server, PATH).await), expected);
    assert!(expected.len() > 6);
    for (path, allowed) in [("/dicom-web", "OPTIONS"), (PATH, "DELETE, GET, PUT, OPTIONS")] {
        assert_eq!(options(&server, path, "*/*").await.header("allow"), allowed, "{path}");
    }
}

#[tokio::test]
async fn wadl_is_the_default_and_says_as_much_as_json() {
    let server = Server::start(true).await;
    for accept in ["*/*", WADL, "text/html, */*;q=0.1"] {
        let answer = options(&server, "/dicom-web", accept).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, WADL), "{accept}");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("<application xmlns=\"http://wadl.dev.java.net/2009/02\""));
        assert!(text.contains("<resources base=\"http://localhost/dicom-web/\">"));
        assert_eq!(text.matches("<method ").count(), described(&server, "/dicom-web").await.len());
    }
    assert_eq!(options(&server, "/dicom-web", "image/png").await.status, 406);
    assert_eq!(options(&server, "/dicom-web/nothing", "*/*").await.status, 405);
}

#[tokio::test]
async fn who_may_not_search_is_told_nothing() {
    let server = Server::start(false).await;
    assert_eq!(options(&server, "/dicom-web", "*/*").await.status, 401);
    let token = server.token(Role::Viewer).await;
    let request = Request::builder().method(Method::OPTIONS).uri("/dicom-web/studies");
    let answer = server.send(request.header("authorization", format!("Bearer {token}")), Body::empty()).await;
    assert_eq!(answer.status, 200);
}
