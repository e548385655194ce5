//! Instances that are sent as metadata with bulk data (PS3.18 §10.5.2).

use crate::support::{Answer, Encoding, INSTANCE, PATH, Server, ct};
use axum::{body::Body, http::Request};
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use serde_json::{Value, json};

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
const PDF: &str = "1.2.840.10008.5.1.4.1.1.104.1";

/// Metadata of an object of the study, with more attributes.
fn metadata(class: &str, more: Value) -> Value {
    let mut item = json!({
        "00080016": {"vr": "UI", "Value": [class]},
        "00080018": {"vr": "UI", "Value": [INSTANCE]},
        "00100010": {"vr": "PN", "Value": [{"Ideographic": "张^三"}]},
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
    });
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

/// Parts of content type, location and content.
async fn send(server: &Server, kind: &str, parts: &[(&str, &str, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (content_type, location, content) in parts {
        let head = format!("--B\r\nContent-Type: {content_type}\r\nContent-Location: {location}\r\n\r\n");
        body.extend([head.as_bytes(), content, b"\r\n"].concat());
    }
    body.extend(b"--B--\r\n");
    let kind = format!("multipart/related; type=\"{kind}\"; boundary=B");
    server.send(Request::post("/dicom-web/studies").header("content-type", kind), body).await
}

async fn send_json(server: &Server, items: Value, bulk: &[(&str, &str, &[u8])]) -> Answer {
    let items = items.to_string();
    let parts = [&[("application/dicom+json", "", items.as_bytes())][..], bulk].concat();
    send(server, "application/dicom+json", &parts).await
}

fn picture(uri: &str) -> Value {
    metadata(SECONDARY_CAPTURE, json!({ "7FE00010": {"vr": "OW", "BulkDataURI": uri} }))
}

#[tokio::test]
async fn a_jpeg_stays_as_it_is_and_says_what_it_is() {
    let server = Server::start(true).await;
    let mut jpeg = Vec::new();
    JpegEncoder::new(&mut jpeg).write_image(&[200; 5 * 4 * 3], 5, 4, ExtendedColorType::Rgb8).unwrap();
    let answer = send_json(&server, json!([picture("a/b.jpg")]), &[("image/jpeg", "http://x/a/b.jpg", &jpeg)]).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let metadata = &server.get(&format!("{PATH}/metadata"), "*/*").await.json()[0];
    for (tag, expected) in [
        ("00280010", json!(4)),
        ("00280011", json!(5)),
        ("00280004", json!("YBR_FULL_422")),
        ("00282110", json!("01")),
        ("00100010", json!({"Ideographic": "张^三"})),
    ] {
        assert_eq!(metadata[tag]["Value"][0], expected, "{tag}");
    }
    let frame = server.get(&format!("{PATH}/frames/1"), "image/jpeg").await;
    assert_eq!(frame.body[..jpeg.len()], jpeg);
    assert_eq!(frame.header("content-type"), "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50");
    assert_eq!(server.get(&format!("{PATH}/rendered"), "image/png").await.status, 200);
}

#[tokio::test]
async fn a_png_becomes_native_pixel_data_of_its_depth() {
    let server = Server::start(true).await;
    let mut png = Vec::new();
    let samples: Vec<u8> = [1u16, 256, 65535].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
    PngEncoder::new(&mut png).write_image(&samples, 3, 1, ExtendedColorType::L16).unwrap();
    let answer = send_json(&server, json!(picture("p")), &[("image/png", "p", &png)]).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let frame = server.get(&format!("{PATH}/frames/1"), "application/octet-stream").await;
    assert_eq!(frame.body, [1, 0, 0, 1, 255, 255]);
}

#[tokio::test]
async fn frames_of_one_address_are_one_image() {
    let server = Server::start(true).await;
    let jpeg = |grey: u8| {
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).write_image(&[grey; 64], 8, 8, ExtendedColorType::L8).unwrap();
        jpeg
    };
    let (dark, light) = (jpeg(10), jpeg(200));
    let bulk = [("image/jpeg", "f", dark.as_slice()), ("image/jpeg", "f", &light)];
    assert_eq!(send_json(&server, json!([picture("f")]), &bulk).await.status, 200);
    let second = server.get(&format!("{PATH}/frames/2"), "application/octet-stream").await;
    assert!(second.body.iter().all(|grey| grey.abs_diff(200) < 4), "{:?}", second.body);
}

#[tokio::test]
async fn a_document_comes_by_xml_and_leaves_as_it_came() {
    let server = Server::start(true).await;
    let xml = format!(
        "<?xml version=\"1.0\"?><NativeDicomModel>\
         <DicomAttribute tag=\"00080016\" vr=\"UI\"><Value number=\"1\">{PDF}</Value></DicomAttribute>\
         <DicomAttribute tag=\"00080018\" vr=\"UI\"><Value number=\"1\">{INSTANCE}</Value></DicomAttribute>\
         <DicomAttribute tag=\"0020000D\" vr=\"UI\"><Value number=\"1\">1.2.3</Value></DicomAttribute>\
         <DicomAttribute tag=\"0020000E\" vr=\"UI\"><Value number=\"1\">1.2.3.4</Value></DicomAttribute>\
         <DicomAttribute tag=\"00420011\" vr=\"OB\"><BulkData uri=\"d\"/></DicomAttribute></NativeDicomModel>"
    );
    let parts = [("application/dicom+xml", "", xml.as_bytes()), ("application/pdf", "d", &b"%PDF-1.4 odd"[..])];
    let answer = send(&server, "application/dicom+xml", &parts).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let metadata = &server.get(&format!("{PATH}/metadata"), "*/*").await.json()[0];
    assert_eq!(metadata["00420012"]["Value"][0], "application/pdf");
    assert_eq!(metadata["00420015"]["Value"][0], 12);
}

#[tokio::test]
async fn one_that_cannot_be_put_together_does_not_touch_the_others() {
    let server = Server::start(true).await;
    let mut other = metadata(SECONDARY_CAPTURE, json!({}));
    other["00080018"]["Value"] = json!(["1.2.3.4.6"]);
    let answer = send_json(&server, json!([picture("nowhere"), other]), &[]).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["00081198"]["Value"][0]["00081155"]["Value"][0], INSTANCE);
    assert_eq!(answer.json()["00081199"]["Value"][0]["00081155"]["Value"][0], "1.2.3.4.6");
    for (items, bulk) in [
        (json!("x"), &[][..]),
        (json!([picture("p")]), &[("image/png", "p", &b"not a picture"[..])]),
        (json!([picture("p")]), &[("image/jpeg", "p", &[0xFF, 0xD8][..])]),
        (json!([picture("p")]), &[("image/tiff", "p", &[0; 8][..])]),
        (json!([picture("p")]), &[("image/png", "", &[0; 8][..])]),
        (json!([{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]), &[]),
    ] {
        let refused = send_json(&server, items.clone(), bulk).await;
        assert!(refused.status.is_client_error(), "{items} {}", refused.status);
    }
}

#[tokio::test]
async fn metadata_alone_is_one_request_and_the_answer_may_be_xml() {
    let server = Server::start(true).await;
    let request = Request::post("/dicom-web/studies").header("content-type", "application/dicom+json");
    let item = metadata(SECONDARY_CAPTURE, json!({}));
    let answer = server.send(request.header("accept", "application/dicom+xml"), item.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/dicom+xml"));
    assert!(String::from_utf8(answer.body).unwrap().contains("keyword=\"ReferencedSOPSequence\""));
}

#[tokio::test]
async fn a_put_is_the_current_version_from_then_on() {
    let server = Server::start(true).await;
    let put = async |file: Vec<u8>, path: &str| {
        server.send(Request::put(path).header("content-type", "application/dicom"), Body::from(file)).await
    };
    let first = ct(INSTANCE, Encoding::Explicit);
    let mut second = first.clone();
    *second.last_mut().unwrap() = 9;
    assert_eq!(put(first.clone(), PATH).await.status, 200);
    let answer = put(second.clone(), PATH).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let current = server.get(PATH, "application/dicom").await;
    assert_eq!(current.body, second);
    // What is held already and not seen does not become so unasked.
    assert_eq!(put(first, PATH).await.status, 409);
    let other = ct("1.2.3.4.6", Encoding::Explicit);
    assert_eq!(put(other, PATH).await.status, 409);
    let elsewhere = PATH.replace("series/1.2.3.4/", "series/1.2.3.9/");
    assert_eq!(put(second.clone(), &elsewhere).await.status, 409);
    assert_eq!(put(b"nonsense".to_vec(), PATH).await.status, 409);
}
