//! A node over a temporary archive on loopback, and foreign peers where they are installed.

use dicom_node::{NodeConfig, Ports};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use storage::{Archive, StorageConfig};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub struct Server {
    pub archive: Archive,
    pub address: SocketAddr,
    /// Of the TLS port, where the configuration has a certificate.
    pub tls: Option<SocketAddr>,
    pub shutdown: CancellationToken,
    pub served: JoinHandle<Result<(), dicom_node::NodeError>>,
    _folder: tempfile::TempDir,
}

/// Limits that a test can wait for.
pub fn config() -> NodeConfig {
    NodeConfig { artim_seconds: 1, shutdown_seconds: 1, ..NodeConfig::default() }
}

impl Server {
    pub async fn start(config: NodeConfig) -> Self {
        Self::start_with(config, |_| {}).await
    }

    pub async fn start_with(config: NodeConfig, configure: impl FnOnce(&mut StorageConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = StorageConfig { data_dir: folder.path().to_owned(), ..StorageConfig::default() };
        configure(&mut settings);
        let archive = Archive::open(&settings).await.unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0");
        let plain = bind().await.unwrap();
        let address = plain.local_addr().unwrap();
        let secure = if config.tls.certificate.is_some() { Some(bind().await.unwrap()) } else { None };
        let tls = secure.as_ref().map(|listener| listener.local_addr().unwrap());
        let ports = Ports { plain, tls: secure };
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(dicom_node::serve(ports, archive.clone(), config, shutdown.clone()));
        Self { archive, address, tls, shutdown, served, _folder: folder }
    }

    /// Runs a peer's program against this server, without blocking it; `None` when the program is not installed.
    pub async fn peer(&self, program: &str, arguments: &[&str]) -> Option<Output> {
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let tls = self.tls.map(|address| address.port().to_string()).unwrap_or_default();
        let fill = |text: &&str| text.replace("HOST", &host).replace("TLS_PORT", &tls).replace("PORT", &port);
        let arguments: Vec<_> = arguments.iter().map(fill).collect();
        let program = program.to_owned();
        let run = move || {
            Command::new(&program).args(arguments).output().inspect_err(|error| println!("skipped: {program}: {error}"))
        };
        tokio::task::spawn_blocking(run).await.unwrap().ok()
    }
}

/// The folder of test data that is shared between checkouts; `None`, with the reason printed, where there is none.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").to_owned();
    let found = Path::new(&std::env::var("YINGHAI_SHARED").unwrap_or_else(|_| beside())).join("data").join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no shared test data at {}", found.display());
    None
}

/// Everything that a program printed.
pub fn printed(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}

/// A small CT instance as a Part 10 file in implicit VR little endian.
pub fn ct(study: &str, sop_instance: &str, patient_name: &[u8], pixels: &[u8]) -> Vec<u8> {
    let meta = pacs_core::part10::write_meta(
        &pacs_core::sop_class::CT_IMAGE_STORAGE.parse().unwrap(),
        &sop_instance.parse().unwrap(),
        &pacs_core::TransferSyntax::implicit_little(),
        None,
    );
    [meta, ct_data_set(study, sop_instance, patient_name, pixels)].concat()
}

/// Its data set.
pub fn ct_data_set(study: &str, sop_instance: &str, patient_name: &[u8], pixels: &[u8]) -> Vec<u8> {
    let series = format!("{study}.1");
    let class = pacs_core::sop_class::CT_IMAGE_STORAGE;
    let mut data_set = Vec::new();
    let mut put = |group: u16, element: u16, value: &[u8]| {
        let mut value = value.to_vec();
        value.resize(value.len().next_multiple_of(2), if element == 0x10 && group == 0x10 { b' ' } else { 0 });
        data_set.extend([group.to_le_bytes(), element.to_le_bytes()].concat());
        data_set.extend((value.len() as u32).to_le_bytes());
        data_set.extend(value);
    };
    put(0x0008, 0x0005, b"GB18030 ");
    put(0x0008, 0x0016, class.as_bytes());
    put(0x0008, 0x0018, sop_instance.as_bytes());
    put(0x0008, 0x0020, b"20261101");
    put(0x0008, 0x0060, b"CT");
    put(0x0010, 0x0010, patient_name);
    put(0x0010, 0x0020, b"P1");
    put(0x0020, 0x000D, study.as_bytes());
    put(0x0020, 0x000E, series.as_bytes());
    put(0x0028, 0x0002, &1u16.to_le_bytes());
    put(0x0028, 0x0004, b"MONOCHROME2 ");
    put(0x0028, 0x0010, &1u16.to_le_bytes());
    put(0x0028, 0x0011, &((pixels.len() / 2) as u16).to_le_bytes());
    put(0x0028, 0x0100, &16u16.to_le_bytes());
    put(0x0028, 0x0101, &16u16.to_le_bytes());
    put(0x0028, 0x0102, &15u16.to_le_bytes());
    put(0x0028, 0x0103, &0u16.to_le_bytes());
    put(0x7FE0, 0x0010, pixels);
    data_set
}
