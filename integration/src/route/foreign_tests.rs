//! Routes against receivers made of other people's libraries (`tests/peers`): hl7apy's MLLP server, and a FHIR server
//! that validates with npm `fhir` and `@medplum/core`. They refuse what they cannot file.

use super::*;
use crate::{config::FhirMode, error::FailureKind, hl7::Charset, imaging_result::example};
use pacs_core::person_name::PersonName;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// A receiver in a process of its own, ended with the test.
struct Peer {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    async fn start(program: &Path, script: &str, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.arg(peers().join(script)).arg(port.to_string()).arg(folder.path()).args(arguments);
        let process = command.stdout(Stdio::null()).spawn().unwrap();
        let peer = Self { process, address: format!("127.0.0.1:{port}"), folder };
        peer.listening().await;
        peer
    }

    async fn listening(&self) {
        for _ in 0..600 {
            if TcpStream::connect(&self.address).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{} does not listen", self.address);
    }

    fn kept(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers")
}

fn python() -> Option<PathBuf> {
    let folder = std::env::var_os("YINGHAI_PEERS").map(PathBuf::from);
    let cache = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/yinghai/peers"));
    present(folder.or(cache)?.join("bin/python"))
}

fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing; scripts/test installs it", path.display());
    None
}

/// An ordinary result, the least one, and one whose texts are full of delimiters.
fn results() -> Vec<ImagingResult> {
    let mut odd = example::result();
    odd.patient.name = PersonName::parse("O|Brien&Sons^J~r\\^^Dr^III=𬭎|^小&东=\u{b}x");
    odd.patient.id = "P|1^2&3~4\\5,6$7".into();
    odd.study.description = Some("first line\r\nPID|1||P2".into());
    odd.study.accession = Some("A=1&B".into());
    odd.order = Default::default();
    odd.sr_instance = "2.25.79".parse().unwrap();
    odd.report.findings[1].confidence = 0.0;
    odd.report.findings[1].volume_mm3 = f64::NAN;
    let bare = ImagingResult { sr_instance: "2.25.78".parse().unwrap(), ..example::bare_result() };
    vec![example::result(), bare, odd]
}

fn hl7(peer: &Peer, charset: Charset) -> Route {
    let route = Hl7Route { name: "emr".into(), address: peer.address.clone(), charset, ..Hl7Route::default() };
    Route::hl7(&route, &IntegrationConfig::default())
}

fn fhir(peer: &Peer, mode: FhirMode) -> Route {
    let base_url = format!("http://{}", peer.address);
    Route::fhir(&FhirRoute { name: "emr".into(), base_url, mode, ..FhirRoute::default() }).unwrap()
}

async fn check_hl7(charset: Charset, encoding: &str) {
    let Some(python) = python() else { return };
    let peer = Peer::start(&python, "mllp_receiver.py", &["--encoding", encoding]).await;
    let results = results();
    for result in &results {
        assert_eq!(hl7(&peer, charset).deliver(result).await.unwrap(), "AA: filed");
    }
    assert_eq!(peer.kept(), results.len());
    let kept = fs::read_dir(peer.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let verdict = Command::new(python).arg(peers().join("validate_hl7.py")).args(kept).output().unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
}

#[tokio::test]
async fn hl7apy_files_every_result_in_utf_8() {
    check_hl7(Charset::Utf8, "utf-8").await;
}

#[tokio::test]
async fn hl7apy_files_every_result_in_gb18030() {
    check_hl7(Charset::Gb18030, "gb18030").await;
}

#[tokio::test]
async fn hl7apy_refuses_then_breaks_off_and_then_files() {
    let Some(python) = python() else { return };
    let peer = Peer::start(&python, "mllp_receiver.py", &["--nack", "1", "--drop", "1"]).await;
    let route = hl7(&peer, Charset::Utf8);
    let result = example::result();
    assert_eq!(route.deliver(&result).await.unwrap_err().kind(), FailureKind::Refused);
    assert_eq!(route.deliver(&result).await.unwrap_err().kind(), FailureKind::Unreachable);
    assert_eq!(route.deliver(&result).await.unwrap(), "AA: filed");
    assert_eq!(peer.kept(), 1);
}

#[tokio::test]
async fn two_fhir_validators_accept_every_result_in_both_modes() {
    let Some(_) = present(peers().join("node_modules")) else { return };
    let peer = Peer::start(Path::new("node"), "fhir_receiver.mjs", &["--fail", "1"]).await;
    let route = fhir(&peer, FhirMode::Transaction);
    assert_eq!(route.deliver(&results()[0]).await.unwrap_err().kind(), FailureKind::Unreachable);
    for result in results() {
        let entries = result.report.findings.len() + 4;
        assert_eq!(route.deliver(&result).await.unwrap(), format!("HTTP 200, {entries} entries"));
    }
    // A second delivery doubles nothing.
    let kept = peer.kept();
    route.deliver(&results()[0]).await.unwrap();
    assert_eq!(peer.kept(), kept);
    for result in results() {
        assert_eq!(fhir(&peer, FhirMode::Resources).deliver(&result).await.unwrap(), "HTTP 201");
    }
}
