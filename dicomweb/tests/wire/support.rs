//! A router over an archive in a temporary folder, and tiny instances made here.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, request},
};
use dicomweb::WebConfig;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use pacs_core::{TransferSyntax, Uid, part10, sop_class::CT_IMAGE_STORAGE};
use std::{sync::Arc, time::Duration};
use storage::{Archive, Peer, Role, StorageConfig};
use tower::ServiceExt;

pub const STUDY: &str = "1.2.3";
pub const SERIES: &str = "1.2.3.4";
pub const INSTANCE: &str = "1.2.3.4.5";
pub const PATH: &str = "/dicom-web/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5";

pub struct Server {
    pub archive: Archive,
    router: Router,
    _folder: tempfile::TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// Peers on port 104 answer.
fn echo(peer: Peer) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async move { if peer.port == Some(104) { Ok(()) } else { Err("nobody is there".to_owned()) } })
}

impl Server {
    /// With everybody an administrator, or with sign-in.
    pub async fn start(insecure_no_auth: bool) -> Self {
        Self::start_with(insecure_no_auth, |_| {}).await
    }

    pub async fn start_with(insecure_no_auth: bool, configure: impl FnOnce(&mut StorageConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StorageConfig { data_dir: folder.path().into(), ..StorageConfig::default() };
        configure(&mut config);
        let archive = Archive::open(&config).await.unwrap();
        Self::over(archive, WebConfig { insecure_no_auth, ..WebConfig::default() }, folder)
    }

    pub async fn start_web(config: WebConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = StorageConfig { data_dir: folder.path().into(), ..StorageConfig::default() };
        Self::over(Archive::open(&storage).await.unwrap(), config, folder)
    }

    fn over(archive: Archive, config: WebConfig, folder: tempfile::TempDir) -> Self {
        Self { router: dicomweb::router(archive.clone(), config, Arc::new(echo)), archive, _folder: folder }
    }

    /// Of this configuration.
    pub async fn start_as(config: WebConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = StorageConfig { data_dir: folder.path().into(), ..StorageConfig::default() };
        let archive = Archive::open(&storage).await.unwrap();
        Self { router: dicomweb::router(archive.clone(), config, Arc::new(echo)), archive, _folder: folder }
    }

    /// An API token of a new user with a role.
    pub async fn token(&self, role: Role) -> String {
        let name = format!("{role:?}").to_lowercase();
        self.archive.add_user(&name, "correct horse battery", &[role]).await.unwrap();
        self.archive.create_token(&name, "test").await.unwrap()
    }

    /// The first bytes of an answer that does not end by itself.
    pub async fn begin(&self, path: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
        let mut response = self.router.clone().oneshot(request).await.unwrap();
        let frame = tokio::time::timeout(Duration::from_secs(5), response.body_mut().frame());
        let first = frame.await.expect("bytes come at once").unwrap().unwrap();
        (response.status(), first.into_data().unwrap().to_vec())
    }

    /// The events of a search that goes on.
    pub async fn follow(&self, path: &str) -> Told {
        let request = Request::get(path).header("host", "localhost").header("accept", "text/event-stream");
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Told(response.into_body())
    }

    pub async fn send(&self, request: request::Builder, body: impl Into<Body>) -> Answer {
        let request = request.header("host", "localhost").body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str, accept: &str) -> Answer {
        self.send(Request::get(path).header("accept", accept), Body::empty()).await
    }

    /// Stores instances in one request.
    pub async fn stow(&self, instances: &[Vec<u8>]) -> Answer {
        self.post("/dicom-web/studies", &body(instances)).await
    }

    pub async fn post(&self, path: &str, body: &[u8]) -> Answer {
        let kind = "multipart/related; type=\"application/dicom\"; boundary=BOUND";
        self.send(Request::post(path).header("content-type", kind), body.to_vec()).await
    }
}

/// An answer that does not end by itself.
pub struct Told(Body);

impl Told {
    /// All that is told to the end of the event that begins with `wanted`.
    pub async fn until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        while !text.split_once(wanted).is_some_and(|(_, rest)| rest.contains("\n\n")) {
            let frame = tokio::time::timeout(Duration::from_secs(10), self.0.frame()).await;
            let frame = frame.unwrap_or_else(|_| panic!("nothing is told after {text}")).unwrap().unwrap();
            text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
        }
        text
    }
}

pub fn body(instances: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for instance in instances {
        body.extend_from_slice(b"--BOUND\r\nContent-Type: application/dicom\r\n\r\n");
        body.extend_from_slice(instance);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--BOUND--\r\n");
    body
}

/// A color palette, which is of no study: its red entries are 1, 2.
pub fn palette(sop_instance: &str, label: &str) -> Vec<u8> {
    let uid = |text: &str| text.parse::<Uid>().unwrap();
    let class = "1.2.840.10008.5.1.4.39.1";
    let mut file = part10::write_meta(&uid(class), &uid(sop_instance), &TransferSyntax::explicit_little(), None);
    let mut put = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
        element_of(&mut file, Encoding::Explicit, (group, element), vr, value);
    };
    put(0x0008, 0x0016, b"UI", class.as_bytes());
    put(0x0008, 0x0018, b"UI", sop_instance.as_bytes());
    put(0x0028, 0x1201, b"OW", &[1, 0, 2, 0]);
    // Private and long: bulk data.
    put(0x0029, 0x0010, b"LO", b"TEST");
    put(0x0029, 0x1001, b"OW", &[7; 2048]);
    put(0x0070, 0x0080, b"CS", label.as_bytes());
    file
}

/// How the elements of an instance are written.
#[derive(Clone, Copy)]
pub enum Encoding {
    Explicit,
    Implicit,
    Big,
}

/// A CT image of two by two pixels, 16 bits each: 1, 2, 3, 4.
pub fn ct(sop_instance: &str, encoding: Encoding) -> Vec<u8> {
    let uid = |text: &str| text.parse::<Uid>().unwrap();
    let syntax = match encoding {
        Encoding::Explicit => "1.2.840.10008.1.2.1",
        Encoding::Implicit => "1.2.840.10008.1.2",
        Encoding::Big => "1.2.840.10008.1.2.2",
    };
    let syntax = TransferSyntax::new(uid(syntax));
    let mut file = part10::write_meta(&uid(CT_IMAGE_STORAGE), &uid(sop_instance), &syntax, None);
    let mut put = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
        element_of(&mut file, encoding, (group, element), vr, value);
    };
    put(0x0008, 0x0016, b"UI", CT_IMAGE_STORAGE.as_bytes());
    put(0x0008, 0x0018, b"UI", sop_instance.as_bytes());
    put(0x0008, 0x0020, b"DA", b"20260131");
    put(0x0008, 0x0060, b"CS", b"CT");
    put(0x0010, 0x0010, b"PN", b"Test^Patient");
    put(0x0010, 0x0020, b"LO", b"P1");
    put(0x0020, 0x000D, b"UI", STUDY.as_bytes());
    put(0x0020, 0x000E, b"UI", SERIES.as_bytes());
    put(0x0028, 0x0002, b"US", &[1, 0]);
    put(0x0028, 0x0004, b"CS", b"MONOCHROME2");
    for (element, value) in [(0x0010, 2), (0x0011, 2), (0x0100, 16), (0x0101, 16), (0x0102, 15), (0x0103, 0)] {
        put(0x0028, element, b"US", &[value, 0]);
    }
    put(0x7FE0, 0x0010, b"OW", &[1, 0, 2, 0, 3, 0, 4, 0]);
    file
}

/// `value` is little endian; in big endian the values of 16 bits are swapped.
fn element_of(file: &mut Vec<u8>, encoding: Encoding, tag: (u16, u16), vr: &[u8; 2], value: &[u8]) {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    let len = value.len() as u32;
    match encoding {
        Encoding::Big => {
            file.extend([tag.0.to_be_bytes(), tag.1.to_be_bytes(), *vr].concat());
            match vr {
                b"OW" => file.extend([&[0, 0][..], &len.to_be_bytes()].concat()),
                _ => file.extend((len as u16).to_be_bytes()),
            }
            if matches!(vr, b"OW" | b"US") {
                value.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            }
        }
        Encoding::Explicit => {
            file.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes(), *vr].concat());
            match vr {
                b"OW" => file.extend([&[0, 0][..], &len.to_le_bytes()].concat()),
                _ => file.extend((len as u16).to_le_bytes()),
            }
        }
        Encoding::Implicit => {
            file.extend([tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat());
            file.extend(len.to_le_bytes());
        }
    }
    file.extend(value);
}
