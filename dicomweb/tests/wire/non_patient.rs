//! Palettes and the like, which belong to no study.

use crate::support::{Encoding, INSTANCE, Server, body, ct, palette};
use axum::{body::Body, http::Request};
use serde_json::json;

const PATH: &str = "/dicom-web/color-palettes/1.2.9";

#[tokio::test]
async fn a_palette_is_stored_among_instances_found_and_comes_back_as_it_was() {
    let server = Server::start(true).await;
    let file = palette("1.2.9", "HOT_IRON");
    let report = server.stow(&[ct(INSTANCE, Encoding::Explicit), file.clone()]).await;
    assert_eq!(report.status, 200);
    let url = format!("http://localhost{PATH}");
    assert_eq!(report.json()["00081199"]["Value"][1]["00081190"]["Value"], json!([url]));

    let single = server.get(PATH, "application/dicom").await;
    assert_eq!((single.status.as_u16(), &single.body), (200, &file));
    assert_eq!(single.header("content-type"), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    let parts = server.get(PATH, "multipart/related; type=\"application/dicom\"").await;
    assert!(parts.body.windows(file.len()).any(|window| window == file));
    let metadata = server.get(PATH, "application/dicom+json").await.json();
    assert_eq!(metadata[0]["00281201"]["InlineBinary"], "AQACAA==");
    let bulk = metadata[0]["00291001"]["BulkDataURI"].as_str().unwrap().to_owned();
    let value = server.get(bulk.strip_prefix("http://localhost").unwrap(), "*/*").await;
    assert_eq!(value.body, [7; 2048]);

    let held = Request::get(PATH).header("accept", "application/dicom").header("if-none-match", single.header("etag"));
    assert_eq!(server.send(held, Body::empty()).await.status, 304);
    assert_eq!(server.get("/dicom-web/studies", "*/*").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_search_finds_by_any_attribute_and_pages() {
    let server = Server::start(true).await;
    // One request stores side by side, in no order.
    server.stow(&[palette("1.2.9", "HOT_IRON")]).await;
    server.stow(&[palette("1.2.10", "PET")]).await;
    let found = async |query: &str| {
        let answer = server.get(&format!("/dicom-web/color-palettes{query}"), "*/*").await;
        assert_eq!(answer.status, 200, "{query}");
        let uids =
            answer.json().as_array().unwrap().iter().map(|o| o["00080018"]["Value"][0].clone()).collect::<Vec<_>>();
        json!(uids)
    };
    assert_eq!(found("").await, json!(["1.2.10", "1.2.9"]));
    assert_eq!(found("?ContentLabel=HOT*").await, json!(["1.2.9"]));
    assert_eq!(found("?SOPInstanceUID=1.2.10&Nonsense=1").await, json!(["1.2.10"]));
    assert_eq!(found("?limit=1&offset=1").await, json!(["1.2.9"]));
    assert_eq!(server.get("/dicom-web/hanging-protocols", "*/*").await.json(), json!([]));
    assert_eq!(server.get("/dicom-web/color-palettes?limit=x", "*/*").await.status, 400);
    let all = server.get("/dicom-web/color-palettes?includefield=all&limit=1", "*/*").await.json();
    assert_eq!(all[0]["00281201"]["InlineBinary"], "AQACAA==");
    assert_eq!(all[0]["00081190"]["Value"], json!(["http://localhost/dicom-web/color-palettes/1.2.10"]));
}

#[tokio::test]
async fn only_its_own_kind_is_stored_under_a_resource_and_a_deleted_object_is_gone() {
    let server = Server::start(true).await;
    let file = body(&[palette("1.2.9", "HOT_IRON")]);
    for (path, status) in [
        ("hanging-protocols", 409),
        ("color-palettes/1.2.8", 409),
        ("studies/1.2.3", 409),
        ("color-palettes/1.2.9", 200),
    ] {
        assert_eq!(server.post(&format!("/dicom-web/{path}"), &file).await.status, status, "{path}");
    }
    let image = body(&[ct(INSTANCE, Encoding::Explicit)]);
    assert_eq!(server.post("/dicom-web/color-palettes", &image).await.status, 409);
    for (path, accept, status) in [
        ("", "image/png", 406),
        ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80", 406),
        ("?version=2", "*/*", 404),
        ("/bulkdata/00720014", "*/*", 404),
        ("/bulkdata/x", "*/*", 400),
    ] {
        assert_eq!(server.get(&format!("{PATH}{path}"), accept).await.status, status, "{path} {accept}");
    }
    assert_eq!(server.send(Request::delete(PATH), Body::empty()).await.status, 204);
    assert_eq!(server.get(PATH, "*/*").await.status, 404);
    assert_eq!(server.send(Request::delete(PATH), Body::empty()).await.status, 404);
}
