//! The forms in which what is stored leaves: compressions, archives, bulk data, moving pictures, documents.

use crate::support::{Encoding, INSTANCE, PATH, Server, ct, palette};
use axum::{body::Body, http::Request};
use dicomweb::WebConfig;
use image::AnimationDecoder;
use pacs_core::{TransferSyntax, data_set, part10, pixel, tags};
use serde_json::{Value, json};
use std::io::{Cursor, Read};

const SAMPLES: [u8; 8] = [1, 0, 2, 0, 3, 0, 4, 0];

async fn with_one() -> Server {
    let server = Server::start(true).await;
    assert_eq!(server.stow(&[ct(INSTANCE, Encoding::Explicit)]).await.status, 200);
    server
}

#[tokio::test]
async fn a_frame_leaves_in_each_compression_that_is_offered() {
    let server = with_one().await;
    let metadata = server.get(&format!("{PATH}/metadata"), "*/*").await.json();
    let image = pixel::ImagePixel::of(pacs_core::Attributes::of(&metadata[0]).unwrap()).unwrap();
    for (accept, expected) in [
        ("image/jls", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("image/jpeg", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70"),
        ("image/dicom-rle", "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"),
        ("image/jphc", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"),
        (
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.8.1",
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.8.1",
        ),
        ("image/jp2, image/jls;q=0.5", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
    ] {
        let frame = server.get(&format!("{PATH}/frames/1"), accept).await;
        assert_eq!((frame.status.as_u16(), frame.header("content-type")), (200, expected), "{accept}");
        let syntax = TransferSyntax::new(expected.rsplit_once('=').unwrap().1.parse().unwrap());
        let decoded = pixel::decode(&syntax, &image, &frame.body, 0).unwrap();
        assert_eq!(decoded.samples.to_le_bytes(), SAMPLES, "{accept}");
        let again = server.get(&format!("{PATH}/frames/1"), accept).await;
        assert_eq!(again.body, frame.body);
    }
    let refused = server.get(&format!("{PATH}/frames/1"), "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50").await;
    assert_eq!(refused.status, 406);
    assert!(refused.json()["detail"].as_str().unwrap().contains("not of 8 bits"), "{}", refused.json());
}

#[tokio::test]
async fn an_instance_leaves_in_a_compression_and_is_another_where_that_loses_something() {
    let server = with_one().await;
    let get = async |syntax: &str| server.get(PATH, &format!("application/dicom; transfer-syntax={syntax}")).await;
    for (syntax, is_same) in [("1.2.840.10008.1.2.4.80", true), ("1.2.840.10008.1.2.4.81", false)] {
        let answer = get(syntax).await;
        assert_eq!(answer.header("content-type"), format!("application/dicom; transfer-syntax={syntax}"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let mut file = Cursor::new(&answer.body);
        let meta = part10::read_meta(&mut file).unwrap();
        let data_set = data_set::scan(&mut file, &meta.transfer_syntax, data_set::Limits::default()).unwrap();
        let uid = data_set.text(tags::SOP_INSTANCE_UID).unwrap();
        assert_eq!(uid == INSTANCE, is_same, "{uid}");
        assert_eq!(data_set.text(tags::LOSSY_IMAGE_COMPRESSION).as_deref(), (!is_same).then_some("01"));
        assert_eq!(meta.media_storage_sop_instance_uid.unwrap().to_string(), uid);
        assert_eq!(get(syntax).await.body, answer.body, "the same each time");
    }
    let study = server
        .get(
            "/dicom-web/studies/1.2.3",
            "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.5",
        )
        .await;
    assert_eq!(study.status, 200);
    let text = String::from_utf8_lossy(&study.body);
    assert!(text.contains("application/dicom; transfer-syntax=1.2.840.10008.1.2.5\r\n"), "{text}");
    assert_eq!(get("1.2.840.10008.1.2.4.90").await.status, 406);
}

#[tokio::test]
async fn a_codestream_tells_its_smaller_images_and_gives_them() {
    let server = Server::start(true).await;
    server.stow(&[large()]).await;
    let path = format!("{PATH}/frames/1");
    let whole = server.get(&path, "image/jphc").await;
    let told = whole.header("x-resolutions").to_owned();
    let (size, bytes) = told.split(", ").next().unwrap().split_once('=').unwrap();
    let bytes: usize = bytes.parse().unwrap();
    assert!(size == "50x38" && bytes < whole.body.len() / 2, "{told}");
    let range = Request::get(&path).header("accept", "image/jphc").header("range", format!("bytes=0-{}", bytes - 1));
    let first = server.send(range, Body::empty()).await;
    assert_eq!((first.status.as_u16(), first.body.as_slice()), (206, &whole.body[..bytes]));
    let halved = server.get(&format!("{path}?resolution=2"), "image/jphc").await;
    assert!(halved.status == 200 && halved.body.len() < whole.body.len() * 3 / 4);
    assert_eq!(server.get(&format!("{path}?resolution=x"), "image/jphc").await.status, 400);
}

/// A CT image of 300 rows and 400 columns.
fn large() -> Vec<u8> {
    let mut file = ct(INSTANCE, Encoding::Explicit);
    let pixels: Vec<u8> = (0..300u32 * 400).flat_map(|at| ((at % 400 * (at / 400)) as u16).to_le_bytes()).collect();
    for (tag, side) in [([0x28, 0, 0x10, 0], 300u16), ([0x28, 0, 0x11, 0], 400)] {
        let at = file.windows(4).position(|window| window == tag).unwrap() + 8;
        file[at..at + 2].copy_from_slice(&side.to_le_bytes());
    }
    file.truncate(file.len() - 12);
    file.extend((pixels.len() as u32).to_le_bytes());
    file.extend(pixels);
    file
}

#[tokio::test]
async fn a_study_is_an_archive_of_files_with_a_directory() {
    let server = with_one().await;
    let second = ct("1.2.3.4.6", Encoding::Implicit);
    server.stow(std::slice::from_ref(&second)).await;
    let answer = server.get("/dicom-web/studies/1.2.3", "application/zip").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/zip"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"1.2.3.zip\"");
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
    let names: Vec<_> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, ["DIR00001/F0000001", "DIR00001/F0000002", "DICOMDIR"]);
    let mut file = Vec::new();
    archive.by_name("DIR00001/F0000002").unwrap().read_to_end(&mut file).unwrap();
    assert_eq!(file, second);
    let plain = "application/zip; transfer-syntax=1.2.840.10008.1.2.1";
    let plain = server.get("/dicom-web/studies/1.2.3/series/1.2.3.4", plain).await;
    assert!(zip::ZipArchive::new(Cursor::new(plain.body)).is_ok());
    let lossy = "application/zip; transfer-syntax=1.2.840.10008.1.2.4.81";
    assert_eq!(server.get("/dicom-web/studies/1.2.3", lossy).await.status, 406);
}

#[tokio::test]
async fn all_bulk_data_of_a_resource_comes_in_parts() {
    let server = with_one().await;
    server.stow(&[ct("1.2.3.4.6", Encoding::Big), palette("1.2.9", "HEAT")]).await;
    for path in ["studies/1.2.3", "studies/1.2.3/series/1.2.3.4"] {
        for below in ["bulkdata", "pixeldata"] {
            let answer = server.get(&format!("/dicom-web/{path}/{below}"), "*/*").await;
            let count = answer.body.windows(SAMPLES.len()).filter(|window| *window == SAMPLES).count();
            assert_eq!((answer.status.as_u16(), count), (200, 2), "{path}/{below}");
        }
    }
    let one = server.get(&format!("{PATH}/pixeldata"), "multipart/related; type=\"application/octet-stream\"").await;
    let text = String::from_utf8_lossy(&one.body).into_owned();
    assert!(text.contains(&format!("Content-Location: http://localhost{PATH}/bulkdata/7FE00010\r\n")), "{text}");
    assert_eq!(server.get(&format!("{PATH}/pixeldata"), "image/png").await.status, 406);
    assert_eq!(server.get("/dicom-web/studies/1.9/bulkdata", "*/*").await.status, 404);
}

#[tokio::test]
async fn a_multi_frame_image_moves() {
    let server = Server::start(true).await;
    let mut file = ct(INSTANCE, Encoding::Explicit);
    // Three frames of two by two pixels; Number of Frames goes before Rows.
    let at = file.windows(4).position(|window| window == [0x28, 0, 0x10, 0]).unwrap();
    file.splice(at..at, *b"\x28\x00\x08\x00IS\x02\x003 ");
    file.truncate(file.len() - 12);
    file.extend(24u32.to_le_bytes());
    file.extend([SAMPLES, SAMPLES, SAMPLES].concat());
    assert_eq!(server.stow(&[file]).await.status, 200);
    let movie = server.get(&format!("{PATH}/rendered"), "image/gif").await;
    assert_eq!((movie.status.as_u16(), movie.header("content-type")), (200, "image/gif"));
    let frames =
        |body: &[u8]| image::codecs::gif::GifDecoder::new(Cursor::new(body.to_vec())).unwrap().into_frames().count();
    assert_eq!(frames(&movie.body), 3, "{:?}", &movie.body[..movie.body.len().min(20)]);
    let still = server.get(&format!("{PATH}/frames/2/rendered"), "image/gif").await;
    assert_eq!(frames(&still.body), 1);
    let webp = server.get(&format!("{PATH}/thumbnail"), "image/webp").await;
    assert_eq!(&webp.body[8..12], b"WEBP");
}

#[tokio::test]
async fn a_document_is_shown_as_what_it_is() {
    let server = Server::start(true).await;
    let item = json!({
        "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.104.1"]},
        "00080018": {"vr": "UI", "Value": [INSTANCE]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": ["1.2.3.4"]},
        "00420011": {"vr": "OB", "InlineBinary": "JVBERg0="},
        "00420012": {"vr": "LO", "Value": ["application/pdf"]},
        "00420015": {"vr": "UL", "Value": [5]},
    });
    let request = Request::post("/dicom-web/studies").header("content-type", "application/dicom+json");
    assert_eq!(server.send(request, item.to_string()).await.status, 200);
    let shown = server.get(&format!("{PATH}/rendered"), "application/pdf").await;
    assert_eq!((shown.header("content-type"), shown.body.as_slice()), ("application/pdf", &b"%PDF\r"[..]));
    assert_eq!(server.get(&format!("{PATH}/rendered"), "image/png").await.status, 406);
    for path in [PATH, "/dicom-web/studies/1.2.3"] {
        let sheet = server.get(&format!("{path}/thumbnail"), "image/png").await;
        assert_eq!((sheet.status.as_u16(), &sheet.body[1..4]), (200, &b"PNG"[..]), "{path}");
    }
}

#[tokio::test]
async fn what_was_stored_is_answered_for() {
    let server = with_one().await;
    let reference = |class: &str, instance: &str| json!({ "00081150": {"vr": "UI", "Value": [class]}, "00081155": {"vr": "UI", "Value": [instance]} });
    let ct = "1.2.840.10008.5.1.4.1.1.2";
    let all = [reference(ct, INSTANCE), reference(ct, "1.9"), reference("1.2.840.10008.5.1.4.1.1.4", INSTANCE)];
    let ask = async |references: &[Value]| {
        let body = json!({ "00081199": {"vr": "SQ", "Value": references} }).to_string();
        let request = Request::post("/dicom-web/commitment-requests/1.2.77");
        server.send(request.header("content-type", "application/dicom+json"), body).await
    };
    let answer = ask(&all).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-location")),
        (200, "http://localhost/dicom-web/commitment-requests/1.2.77")
    );
    let told = answer.json();
    assert_eq!(told["00081195"]["Value"][0], "1.2.77");
    assert_eq!(told["00081199"]["Value"], json!([all[0]]));
    let reasons: Vec<_> =
        told["00081198"]["Value"].as_array().unwrap().iter().map(|i| &i["00081197"]["Value"][0]).collect();
    assert_eq!(reasons, [0x0112, 0x0119]);
    assert_eq!(server.get("/dicom-web/commitment-requests/1.2.77", "*/*").await.json(), told);
    assert_eq!(server.get("/dicom-web/commitment-requests/1.2.78", "*/*").await.status, 404);
    assert_eq!(ask(&[]).await.status, 400);
    assert_eq!(server.get("/dicom-web/commitment-requests/x", "*/*").await.status, 400);
}

#[tokio::test]
async fn applications_of_other_origins_are_let_in_where_they_are_named() {
    let allowed = WebConfig { allowed_origins: vec!["https://viewer.example.org".into()], ..WebConfig::default() };
    let server = Server::start_as(allowed).await;
    let ask = async |origin: &str| {
        let request = Request::options("/dicom-web/studies").header("origin", origin);
        server.send(request.header("access-control-request-method", "GET"), Body::empty()).await
    };
    let answer = ask("https://viewer.example.org").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://viewer.example.org");
    assert_eq!(ask("https://other.example.org").await.header("access-control-allow-origin"), "");
    let request = Request::get("/dicom-web/studies").header("origin", "https://viewer.example.org");
    let answer = server.send(request, Body::empty()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("access-control-allow-origin")),
        (401, "https://viewer.example.org")
    );
    let open = Server::start(true).await;
    let request = Request::get("/dicom-web/studies").header("origin", "https://viewer.example.org");
    assert_eq!(open.send(request, Body::empty()).await.header("access-control-allow-origin"), "");
}
