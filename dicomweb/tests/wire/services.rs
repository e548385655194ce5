//! Store, search and retrieve over the router.

use crate::support::{Encoding, INSTANCE, PATH, SERIES, STUDY, Server, body, ct};
use axum::{body::Body, http::Request};
use serde_json::json;
use storage::{SameUidOtherContent, StorageConfig};

const OCTETS: &str = "application/octet-stream";

async fn with_one() -> (Server, Vec<u8>) {
    let server = Server::start(true).await;
    let file = ct(INSTANCE, Encoding::Explicit);
    assert_eq!(server.stow(std::slice::from_ref(&file)).await.status, 200);
    (server, file)
}

#[tokio::test]
async fn an_instance_comes_back_byte_for_byte() {
    let (server, file) = with_one().await;
    let single = server.get(PATH, "application/dicom").await;
    assert_eq!((single.status.as_u16(), &single.body), (200, &file));
    assert_eq!(single.header("content-type"), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    let parts = server.get("/dicom-web/studies/1.2.3", "multipart/related; type=application/dicom").await;
    assert!(parts.header("content-type").starts_with("multipart/related; type=\"application/dicom\"; boundary="));
    assert!(parts.body.windows(file.len()).any(|window| window == file));
    let range = server
        .send(Request::get(PATH).header("accept", "application/dicom").header("range", "bytes=128-131"), Body::empty())
        .await;
    assert_eq!((range.status.as_u16(), range.body.as_slice()), (206, &b"DICM"[..]));
}

#[tokio::test]
async fn an_upload_reports_each_instance() {
    let (server, file) = with_one().await;
    let again = server.stow(std::slice::from_ref(&file)).await;
    assert_eq!(again.status, 200);
    let mixed = server.stow(&[ct("1.2.3.4.6", Encoding::Implicit), b"no DICOM".to_vec(), vec![]]).await;
    assert_eq!(mixed.status, 202);
    let report = mixed.json();
    assert_eq!(report["00081199"]["Value"][0]["00081155"]["Value"], json!(["1.2.3.4.6"]));
    assert_eq!(report["0008119A"]["Value"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/dicom-web/instances", "*/*").await.json().as_array().unwrap().len(), 2);
}

/// The instance that [`with_one`] stored, its last pixel another.
fn other_content(file: &[u8]) -> Vec<u8> {
    let (last, rest) = file.split_last().unwrap();
    [rest, &[last ^ 1]].concat()
}

#[tokio::test]
async fn each_version_has_its_own_frames_metadata_and_links() {
    let (server, file) = with_one().await;
    let frame = format!("{PATH}/frames/1");
    let first = server.get(&frame, OCTETS).await;
    let other = other_content(&file);
    let report = server.stow(std::slice::from_ref(&other)).await;
    assert_eq!(report.status, 200);
    let url = format!("http://localhost{PATH}?version=2");
    assert_eq!(report.json()["00081199"]["Value"][0]["00081190"]["Value"], json!([url]));

    for (query, content) in [("", &file), ("?version=1", &file), ("?version=2", &other)] {
        assert_eq!(&server.get(&format!("{PATH}{query}"), "application/dicom").await.body, content, "{query}");
        let frames = server.get(&format!("{frame}{query}"), OCTETS).await;
        assert!(content.ends_with(&frames.body), "{query}");
        assert_eq!(frames.header("etag") == first.header("etag"), content == &file, "{query}");
        let metadata = server.get(&format!("{PATH}/metadata{query}"), "*/*").await.json();
        let bulk = metadata[0]["7FE00010"]["BulkDataURI"].as_str().unwrap().to_owned();
        assert_eq!(bulk, format!("http://localhost{PATH}/bulkdata/7FE00010{query}"));
        let bulk = server.get(bulk.strip_prefix("http://localhost").unwrap(), "*/*").await;
        assert!(content.ends_with(&bulk.body), "{query}");
        assert_eq!(server.get(&format!("{PATH}/rendered{query}"), "image/png").await.status, 200, "{query}");
    }
    assert_eq!(server.get("/dicom-web/instances", "*/*").await.json().as_array().unwrap().len(), 1);
    for (path, status) in [(format!("{frame}?version=3"), 404), (format!("{frame}?version=0"), 400)] {
        assert_eq!(server.get(&path, OCTETS).await.status, status, "{path}");
    }
    assert_eq!(server.get("/dicom-web/studies/1.2.3?version=1", "*/*").await.status, 400);

    let listed = server.get(&format!("{}/versions", PATH.replace("/dicom-web", "/api")), "*/*").await.json();
    let current: Vec<_> = listed.as_array().unwrap().iter().map(|v| (&v["version"], &v["current"])).collect();
    assert_eq!(current, [(&json!(1), &json!(true)), (&json!(2), &json!(false))]);
    assert_eq!(listed[1]["length"], json!(other.len()));
    assert!(listed[1]["received_at"].as_str().unwrap().ends_with('Z') && listed[0]["digest"] != listed[1]["digest"]);
}

#[tokio::test]
async fn a_version_that_becomes_current_is_seen_at_once() {
    let latest = |storage: &mut StorageConfig| storage.same_uid_other_content = SameUidOtherContent::KeepLatest;
    let server = Server::start_with(true, latest).await;
    let file = ct(INSTANCE, Encoding::Explicit);
    for content in [&file, &other_content(&file)] {
        server.stow(std::slice::from_ref(content)).await;
        assert!(content.ends_with(&server.get(&format!("{PATH}/frames/1"), OCTETS).await.body));
        assert_eq!(&server.get(PATH, "application/dicom").await.body, content);
    }
}

#[tokio::test]
async fn other_content_is_a_failure_where_the_configuration_refuses_it() {
    let reject = |storage: &mut StorageConfig| storage.same_uid_other_content = SameUidOtherContent::Reject;
    let server = Server::start_with(true, reject).await;
    let file = ct(INSTANCE, Encoding::Explicit);
    let report = server.stow(&[file.clone(), other_content(&file)]).await;
    assert_eq!(report.status, 202);
    assert_eq!(report.json()["00081198"]["Value"][0]["00081197"]["Value"], json!([0x0111]));
}

#[tokio::test]
async fn an_upload_that_breaks_off_keeps_what_came_whole() {
    let server = Server::start(true).await;
    let whole = body(&[ct(INSTANCE, Encoding::Explicit), ct("1.2.3.4.6", Encoding::Explicit)]);
    let broken = server.post("/dicom-web/studies", &whole[..whole.len() - 40]).await;
    assert_eq!(broken.status, 202);
    assert_eq!(broken.json()["00081199"]["Value"].as_array().unwrap().len(), 1);
    assert_eq!(server.post("/dicom-web/studies", b"no boundary").await.status, 400);
}

#[tokio::test]
async fn an_instance_of_another_study_is_refused() {
    let server = Server::start(true).await;
    let answer = server.post("/dicom-web/studies/9.9", &body(&[ct(INSTANCE, Encoding::Explicit)])).await;
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["00081198"]["Value"][0]["00081197"]["Value"], json!([0xA900]));
    let right = server.post(&format!("/dicom-web/studies/{STUDY}"), &body(&[ct(INSTANCE, Encoding::Explicit)])).await;
    assert_eq!(right.json()["00081190"]["Value"], json!(["http://localhost/dicom-web/studies/1.2.3"]));
}

#[tokio::test]
async fn frames_leave_alone_or_in_parts() {
    let (server, _) = with_one().await;
    let pixels = [1, 0, 2, 0, 3, 0, 4, 0];
    let frames = format!("{PATH}/frames/1");
    let single = server.get(&frames, "application/octet-stream; transfer-syntax=*").await;
    assert_eq!(single.body, pixels);
    assert_eq!(single.header("content-type"), "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1");
    let parts = server.get(&frames, "*/*").await;
    assert!(parts.header("content-type").starts_with("multipart/related"));
    assert!(parts.body.windows(8).any(|window| window == pixels));
    let bulk = server.get(&format!("{PATH}/bulkdata/7FE00010"), "*/*").await;
    assert_eq!(bulk.body, pixels);
    let tag = single.header("etag").to_owned();
    let held =
        server.send(Request::get(&frames).header("accept", OCTETS).header("if-none-match", tag), Body::empty()).await;
    assert_eq!(held.status, 304);
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_made_is_said() {
    let (server, _) = with_one().await;
    for (path, accept, status) in [
        ("/frames/2", OCTETS, 404),
        ("/frames/0", OCTETS, 400),
        ("/frames/one", OCTETS, 400),
        ("/frames/1", "image/jp2", 406),
        ("/bulkdata/00420011", "*/*", 404),
        ("/bulkdata/nonsense", "*/*", 400),
        ("/rendered?window=a", "*/*", 400),
        ("/rendered", "video/mp4", 406),
        ("/metadata", "text/html", 406),
    ] {
        let answer = server.get(&format!("{PATH}{path}"), accept).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        assert!(!answer.header("x-request-id").is_empty());
    }
    for (path, status) in [("studies/9.9", 404), ("studies/..%2F..", 400), ("studies/9.9/metadata", 404)] {
        assert_eq!(server.get(&format!("/dicom-web/{path}"), "*/*").await.status, status, "{path}");
    }
    let elsewhere =
        server.get(&format!("/dicom-web/studies/{STUDY}/series/9.9/instances/{INSTANCE}/frames/1"), OCTETS).await;
    assert_eq!(elsewhere.status, 404);
}

#[tokio::test]
async fn any_native_encoding_can_be_had_as_explicit_little_endian() {
    let explicit = ct(INSTANCE, Encoding::Explicit);
    for encoding in [Encoding::Implicit, Encoding::Big] {
        let server = Server::start(true).await;
        assert_eq!(server.stow(&[ct(INSTANCE, encoding)]).await.status, 200);
        let wanted = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1";
        assert_eq!(server.get(PATH, wanted).await.body, explicit);
        let parts = server
            .get(
                PATH,
                &format!("multipart/related; type=\"application/dicom\"; transfer-syntax={}", "1.2.840.10008.1.2.1"),
            )
            .await;
        assert!(parts.body.windows(explicit.len()).any(|window| window == explicit));
        assert_eq!(server.get(PATH, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100").await.status, 406);
    }
}

#[tokio::test]
async fn metadata_is_conditional_and_its_links_are_absolute() {
    let (server, _) = with_one().await;
    let path = format!("{PATH}/metadata");
    let metadata = server.get(&path, "application/dicom+json").await;
    assert_eq!(
        metadata.json()[0]["7FE00010"]["BulkDataURI"],
        json!(format!("http://localhost{PATH}/bulkdata/7FE00010"))
    );
    let tag = metadata.header("etag").to_owned();
    let again = server.send(Request::get(&path).header("if-none-match", tag), Body::empty()).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn a_search_finds_warns_and_pages() {
    let (server, _) = with_one().await;
    server.stow(&[ct("1.2.3.4.6", Encoding::Explicit)]).await;
    let study = server.get("/dicom-web/studies?PatientName=test*&Nonsense=1", "application/json").await;
    assert_eq!(study.json()[0]["00201208"], json!({ "vr": "IS", "Value": [2] }));
    assert!(study.header("warning").contains("Nonsense"), "{}", study.header("warning"));
    assert_eq!(server.get("/dicom-web/studies?PatientID=P2", "*/*").await.json(), json!([]));
    let page = server.get("/dicom-web/instances?limit=1&offset=1&includefield=00280101", "*/*").await.json();
    assert_eq!(page.as_array().unwrap().len(), 1);
    assert_eq!(page[0]["00280101"]["Value"], json!([16]));
    assert_eq!(server.get("/dicom-web/studies?StudyDate=yesterday", "*/*").await.status, 400);
}

#[tokio::test]
async fn images_are_rendered_and_thumbnails_kept() {
    let (server, _) = with_one().await;
    let jpeg = server.get(&format!("{PATH}/rendered"), "*/*").await;
    assert_eq!((jpeg.header("content-type"), &jpeg.body[..2]), ("image/jpeg", &[0xFF, 0xD8][..]));
    let png = server.get(&format!("{PATH}/frames/1/rendered?window=2.5,3&viewport=8,8"), "image/png").await;
    assert_eq!((png.header("content-type"), &png.body[1..4]), ("image/png", &b"PNG"[..]));
    for path in [PATH, "/dicom-web/studies/1.2.3", "/dicom-web/studies/1.2.3/series/1.2.3.4"] {
        let thumbnail = server.get(&format!("{path}/thumbnail"), "*/*").await;
        assert_eq!(thumbnail.header("content-type"), "image/jpeg", "{path}");
    }
}

#[tokio::test]
async fn an_object_is_had_by_a_query() {
    let (server, _) = with_one().await;
    let object = format!("/wado?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID={INSTANCE}");
    let get = async |more: &str| server.get(&format!("{object}{more}"), "text/html").await;
    let file = get("&contentType=application/dicom").await;
    assert_eq!((file.status.as_u16(), &file.body[128..132]), (200, &b"DICM"[..]));
    assert!(file.header("content-type").contains("1.2.840.10008.1.2.1"), "{}", file.header("content-type"));
    // In a transfer syntax that cannot be had it is as without.
    for (syntax, is_same) in [("1.2.840.10008.1.2.4.100", true), ("1.2.840.10008.1.2.4.80", false)] {
        let other = get(&format!("&contentType=application/dicom&transferSyntax={syntax}")).await;
        assert_eq!((other.status.as_u16(), other.body == file.body), (200, is_same), "{syntax}");
    }
    assert_eq!(get("").await.header("content-type"), "image/jpeg");
    for (more, size) in [
        ("", (2, 2)),
        ("&rows=8", (8, 8)),
        ("&columns=4&rows=100&windowCenter=2&windowWidth=3&frameNumber=1", (4, 4)),
        ("&region=0,0,0.5,1", (1, 2)),
        ("&region=0,0,0.5,1&rows=8&columns=8", (4, 8)),
    ] {
        let png = get(&format!("&contentType=image/png{more}")).await;
        let number = |at: usize| u32::from_be_bytes(png.body[at..at + 4].try_into().unwrap());
        assert_eq!((png.header("content-type"), (number(16), number(20))), ("image/png", size), "{more}");
    }
    for (more, status) in [
        ("&anonymize=yes", 406),
        ("&contentType=video/mp4", 406),
        ("&frameNumber=2", 404),
        ("&windowCenter=2", 400),
        ("&region=1,0,0,1", 400),
        ("&rows=many", 400),
    ] {
        assert_eq!(get(more).await.status, status, "{more}");
    }
    for (query, status) in [
        ("requestType=WADO&studyUID=1.2", 400),
        ("studyUID=1.2.3&seriesUID=1.2.3.4&objectUID=9", 400),
        (&format!("requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID=9.9"), 404),
        (&format!("requestType=WADO&studyUID=..%2F&seriesUID={SERIES}&objectUID=9.9"), 400),
    ] {
        assert_eq!(server.get(&format!("/wado?{query}"), "*/*").await.status, status, "{query}");
    }
}

#[tokio::test]
async fn what_was_deleted_is_gone() {
    let (server, _) = with_one().await;
    assert_eq!(server.get(&format!("{PATH}/frames/1"), OCTETS).await.status, 200);
    assert_eq!(server.send(Request::delete(PATH), Body::empty()).await.status, 204);
    assert_eq!(server.get(&format!("{PATH}/frames/1"), OCTETS).await.status, 404);
    assert_eq!(server.send(Request::delete(PATH), Body::empty()).await.status, 404);
}

#[tokio::test]
async fn a_stream_of_events_opens_before_anything_happens() {
    let server = Server::start(true).await;
    assert_eq!(server.begin("/api/events").await, (axum::http::StatusCode::OK, b": open\n\n".to_vec()));
}

#[tokio::test]
async fn the_change_feed_is_a_list_with_filters_and_a_place_to_go_on() {
    let (server, _) = with_one().await;
    assert_eq!(server.send(Request::delete(PATH), Body::empty()).await.status, 204);
    let all = server.get("/changes", "application/json").await.json();
    let kinds = |list: &serde_json::Value| -> Vec<String> {
        let changes = list["changes"].as_array().unwrap();
        changes.iter().map(|change| change["kind"].as_str().unwrap().to_owned()).collect()
    };
    // The instance that was deleted is told of by its deletion alone.
    assert_eq!((kinds(&all), &all["done"]), (vec!["deleted".to_owned()], &true.into()));
    let since = server.get(&format!("/changes?since={}", all["last"]), "*/*").await.json();
    assert_eq!((kinds(&since).len(), &since["last"]), (0, &all["last"]));
    for (query, expected) in
        [("types=deleted", 1), ("types=instance_stored", 0), ("study=1.2.3", 1), ("study=1.2.4", 0)]
    {
        assert_eq!(kinds(&server.get(&format!("/changes?{query}"), "*/*").await.json()).len(), expected, "{query}");
    }
    for query in ["types=eaten", "since=x", "colour=red", "study=../x"] {
        assert_eq!(server.get(&format!("/changes?{query}"), "*/*").await.status, 400, "{query}");
    }
    let server = Server::start(false).await;
    assert_eq!(server.get("/changes", "*/*").await.status, 401);
}

#[tokio::test]
async fn the_status_says_where_to_push() {
    let server = Server::start(true).await;
    let status = server.get("/api/status", "*/*").await.json();
    assert_eq!((&status["ae_title"], &status["dicom_port"]), (&"YINGHAI".into(), &11112.into()));
}

#[tokio::test]
async fn a_request_of_countless_parts_ends_and_says_so() {
    let server = Server::start(true).await;
    let part = b"--BOUND\r\nContent-Type: text/plain\r\n\r\n\r\n";
    let answer = server.post("/dicom-web/studies", &part.repeat(60_000)).await;
    assert_eq!(answer.status, 409);
    let report = answer.json();
    let failures = report["0008119A"]["Value"].as_array().unwrap();
    assert_eq!(failures.len(), 50_001);
    assert_ne!(failures[50_000], failures[0], "the last one says that there were too many");
}

#[tokio::test]
async fn a_frame_asked_for_again_and_again_is_refused() {
    let server = Server::start(true).await;
    server.stow(&[ct(INSTANCE, Encoding::Explicit)]).await;
    let answer = server.get(&format!("{PATH}/frames/1{}", ",1".repeat(2999)), "*/*").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["detail"], "frame 1 is asked for twice");
}

#[tokio::test]
async fn no_value_leaves_as_bulk_data_as_it_was_before_its_correction() {
    let (server, _) = with_one().await;
    let name = format!("{PATH}/bulkdata/00100010");
    let received = server.get(&name, "*/*").await;
    assert_eq!(received.body, b"Test^Patient");
    let wanted = json!({ "patient": { "id": "P1" }, "set": { "PatientName": "Li^Si" }, "reason": "passport seen" });
    let request = Request::post("/api/corrections").header("content-type", "application/json");
    assert_eq!(server.send(request, wanted.to_string()).await.status, 201);
    let request = Request::get(&name).header("accept", "*/*").header("if-none-match", received.header("etag"));
    let corrected = server.send(request, Body::empty()).await;
    assert_eq!((corrected.status.as_u16(), corrected.body.as_slice()), (200, &b"Li^Si"[..]));
    let pixels = server.get(&format!("{PATH}/bulkdata/7FE00010"), "*/*").await;
    assert_eq!(pixels.body, [1, 0, 2, 0, 3, 0, 4, 0]);
}
