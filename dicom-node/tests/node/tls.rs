//! Associations over TLS: ours with ourselves, with DCMTK and OpenSSL, and those that must not come about.

use crate::{
    certificates::{Authority, Issued},
    raw,
    support::{Server, config, ct, printed},
};
use dicom_node::{
    NodeConfig, Tls, TlsConfig,
    pdu::AssociateRj,
    scu::{self, Instance, Remote, ScuError},
};
use pacs_core::query::{Level, Query};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Arc,
    time::Duration,
};
use storage::Peer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

const ECHOSCU: &str = "/usr/bin/echoscu";
const STORESCU: &str = "/usr/bin/storescu";
const STORESCP: &str = "/usr/bin/storescp";
const MOVESCU: &str = "/usr/bin/movescu";
const OPENSSL: &str = "/usr/bin/openssl";
const HERE: [&str; 4] = ["-aec", "YINGHAI", "HOST", "TLS_PORT"];

/// A hospital's CA, a server with its certificate, and a scanner's certificate.
struct Hospital {
    server: Server,
    authority: Authority,
    ca: PathBuf,
    scanner: Issued,
    folder: TempDir,
}

impl Hospital {
    /// Callers must show a certificate, unless `change` says otherwise.
    async fn open(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Hospital CA");
        let ca = authority.write(folder.path(), "ca.pem");
        let tls = authority.issue(folder.path(), "pacs", &["127.0.0.1"]).trusting(&ca);
        let mut config = NodeConfig { tls, ..config() };
        change(&mut config);
        let server = Server::start(config).await;
        let scanner = authority.issue(folder.path(), "scanner", &["ct1.ward"]);
        Self { server, authority, ca, scanner, folder }
    }

    /// The server, called in plain or by TLS.
    fn remote(&self, tls: &TlsConfig) -> Remote {
        Remote {
            address: self.server.tls.unwrap().to_string(),
            calling: "CT".parse().unwrap(),
            called: "YINGHAI".parse().unwrap(),
            tls: Some(Tls::load(tls).unwrap()),
        }
    }

    async fn echo(&self, tls: &TlsConfig) -> Result<(), ScuError> {
        scu::echo(&self.remote(tls)).await
    }

    /// A program of DCMTK's with a certificate and the CA.
    async fn dcmtk(&self, program: &str, shown: &[String], rest: &[&str]) -> Option<(bool, String)> {
        let ca = self.ca.display().to_string();
        let shown: Vec<_> = shown.iter().map(String::as_str).collect();
        let output = self.server.peer(program, &[&shown[..], &["+cf", &ca], rest].concat()).await?;
        Some((output.status.success(), printed(&output)))
    }

    /// A connection as the scanner.
    async fn raw(&self) -> TlsStream<TcpStream> {
        let certificates = |path: &Path| CertificateDer::pem_file_iter(path).unwrap().map(Result::unwrap);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&self.ca));
        let key = PrivateKeyDer::from_pem_file(&self.scanner.key).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&self.scanner.certificate).collect(), key)
            .unwrap();
        let address = self.server.tls.unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(address.ip().into(), stream).await.unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[tokio::test]
async fn our_user_stores_over_tls_and_shows_its_certificate() {
    let hospital = Hospital::open(|_| {}).await;
    let remote = hospital.remote(&hospital.scanner.trusting(&hospital.ca));
    scu::echo(&remote).await.unwrap();
    let large = ct("1.2.3", "1.2.3.4", b"A", &[7; 60_000]);
    let instances = (0..20).map(|_| Instance::Bytes(large.clone().into()));
    let summary = scu::store(&remote, instances, |_| ()).await.unwrap();
    assert_eq!(summary.stored, 20);
    let found = hospital.server.archive.find(&Query::new(Level::Instance)).await.unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn who_shows_no_certificate_or_a_bad_one_is_refused() {
    let hospital = Hospital::open(|_| {}).await;
    let (folder, ca) = (hospital.path(), &hospital.ca);
    let none = TlsConfig { ca: Some(ca.clone()), ..TlsConfig::default() };
    let refused = hospital.echo(&none).await;
    assert!(matches!(&refused, Err(ScuError::Broken(alert)) if alert.to_string().contains("CertificateRequired")));
    let stranger = Authority::new("Another CA").issue(folder, "stranger", &["ct1.ward"]);
    assert!(hospital.echo(&stranger.trusting(ca)).await.is_err());
    let expired = hospital.authority.issue_until(folder, "expired", &["ct1.ward"], 2020);
    assert!(hospital.echo(&expired.trusting(ca)).await.is_err());
    hospital.echo(&hospital.scanner.trusting(ca)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_is_optional_where_the_configuration_says_so_but_never_a_bad_one() {
    let hospital = Hospital::open(|config| config.tls.client_certificate_optional = true).await;
    let none = TlsConfig { ca: Some(hospital.ca.clone()), ..TlsConfig::default() };
    hospital.echo(&none).await.unwrap();
    let stranger = Authority::new("Another CA").issue(hospital.path(), "stranger", &["ct1.ward"]);
    assert!(hospital.echo(&stranger.trusting(&hospital.ca)).await.is_err());
}

#[tokio::test]
async fn we_call_nobody_whose_certificate_is_not_trusted_or_bears_another_name() {
    let hospital = Hospital::open(|_| {}).await;
    let other = Authority::new("Another CA").write(hospital.path(), "other.pem");
    let refused = hospital.echo(&hospital.scanner.trusting(&other)).await;
    assert!(matches!(refused, Err(ScuError::Tls { .. })), "{refused:?}");
    let mut elsewhere = hospital.remote(&hospital.scanner.trusting(&hospital.ca));
    elsewhere.address = elsewhere.address.replace("127.0.0.1", "localhost");
    let refused = scu::echo(&elsewhere).await;
    assert!(matches!(refused, Err(ScuError::Tls { .. })), "{refused:?}");
    let refused = hospital.echo(&TlsConfig::default()).await;
    assert!(matches!(&refused, Err(ScuError::Tls { source, .. }) if source.to_string().contains("dicom.tls.ca")));
}

#[tokio::test]
async fn an_ae_title_may_be_bound_to_a_certificate() {
    let hospital = Hospital::open(|config| config.open_to_loopback = false).await;
    let certificate = Some(hospital.scanner.fingerprint());
    let peer = Peer { may_store: true, certificate, ..Peer::new("CT".parse().unwrap()) };
    hospital.server.archive.put_peer(&peer).await.unwrap();
    hospital.echo(&hospital.scanner.trusting(&hospital.ca)).await.unwrap();
    let other = hospital.authority.issue(hospital.path(), "mr7", &["mr7.ward"]).trusting(&hospital.ca);
    let refused = hospital.echo(&other).await;
    assert!(matches!(refused, Err(ScuError::Rejected(AssociateRj::CALLING_AE_TITLE))), "{refused:?}");
    let plain =
        Remote { address: hospital.server.address.to_string(), tls: None, ..hospital.remote(&TlsConfig::default()) };
    assert!(matches!(scu::echo(&plain).await, Err(ScuError::Rejected(AssociateRj::CALLING_AE_TITLE))));
    let alerts = hospital.server.archive.audit_trail(10).await.unwrap();
    assert!(alerts.iter().any(|record| !record.success && record.detail.contains("CN=mr7")), "{alerts:?}");
}

#[tokio::test]
async fn renewed_files_are_taken_up_while_associations_go_on_and_broken_ones_are_not() {
    let hospital = Hospital::open(|_| {}).await;
    let old = hospital.scanner.trusting(&hospital.ca);
    let mut open = raw::associate_over(hospital.raw().await).await;

    let pem = hospital.path().join("pacs.pem");
    let sound = std::fs::read(&pem).unwrap();
    for broken in [
        &b"-----BEGIN CERTIFICATE-----\nAA"[..],
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&pem, broken).unwrap();
        sleep(Duration::from_millis(1200)).await;
        hospital.echo(&old).await.unwrap();
    }
    std::fs::write(&pem, sound).unwrap();

    // A new CA, as when a hospital changes it.
    let next = Authority::new("Hospital CA 2");
    let ca = next.write(hospital.path(), "ca.pem");
    next.issue(hospital.path(), "pacs", &["127.0.0.1"]);
    let renewed = next.issue(hospital.path(), "scanner2", &["ct1.ward"]).trusting(&ca);
    let taken_up = async {
        while hospital.echo(&renewed).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), taken_up).await.unwrap();
    let refused = hospital.remote(&old);
    assert!(scu::echo(&refused).await.is_err(), "a certificate of the old CA");
    open.write_all(&raw::message(raw::ECHO, &raw::echo_rq(1), None)).await.unwrap();
    assert_eq!(raw::command(&mut open).await.and_then(|answer| answer.status), Some(0), "what was open goes on");
}

#[tokio::test]
async fn tls_on_the_plain_port_plain_on_the_tls_port_and_noise_do_no_harm() {
    let hospital = Hospital::open(|_| {}).await;
    let ours = hospital.scanner.trusting(&hospital.ca);
    let plain = |address: String| Remote { address, tls: None, ..hospital.remote(&ours) };
    assert!(scu::echo(&plain(hospital.server.tls.unwrap().to_string())).await.is_err());
    let crossed = Remote { address: hospital.server.address.to_string(), ..hospital.remote(&ours) };
    assert!(matches!(scu::echo(&crossed).await, Err(ScuError::Tls { .. })));

    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x41; 600]].concat();
    for bytes in
        [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xFF; 100_000], vec![22, 3, 1, 0xFF, 0xFF], hello, Vec::new()]
    {
        let mut stream = TcpStream::connect(hospital.server.tls.unwrap()).await.unwrap();
        // It may be closed while we still write.
        _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "closed at the latest by ARTIM");
        hospital.echo(&ours).await.unwrap();
    }
}

#[tokio::test]
async fn handshakes_under_way_count_among_the_connections_without_an_association() {
    let hospital = Hospital::open(|config| (config.max_pending, config.max_pending_per_address) = (2, 2)).await;
    let ours = hospital.scanner.trusting(&hospital.ca);
    let silent = [
        TcpStream::connect(hospital.server.tls.unwrap()).await,
        TcpStream::connect(hospital.server.tls.unwrap()).await,
    ];
    sleep(Duration::from_millis(100)).await;
    assert!(hospital.echo(&ours).await.is_err(), "one too many");
    // ARTIM of the tests is a second.
    sleep(Duration::from_millis(1500)).await;
    hospital.echo(&ours).await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_handshakes() {
    let mut hospital = Hospital::open(|config| config.artim_seconds = 60).await;
    let _silent = TcpStream::connect(hospital.server.tls.unwrap()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    hospital.server.shutdown.cancel();
    timeout(Duration::from_millis(900), &mut hospital.server.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_tls_port_without_a_certificate_is_no_start() {
    let hospital = Hospital::open(|_| {}).await;
    let check = |tls: TlsConfig, expected: &str| {
        let error = Tls::load(&tls).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let sound = hospital.scanner.trusting(&hospital.ca);
    let with = |change: fn(&mut TlsConfig, PathBuf), path: &Path| {
        let mut changed = sound.clone();
        change(&mut changed, path.to_owned());
        changed
    };
    let pacs_key = hospital.path().join("pacs.key");
    check(with(|tls, path| tls.key = Some(path), &pacs_key), "is the key of another certificate");
    check(with(|tls, _| tls.key = None, &pacs_key), "belong together");
    check(with(|tls, path| tls.certificate = Some(path), &pacs_key), "has no certificate");
    check(with(|tls, path| tls.key = Some(path), &hospital.ca), "openssl pkey");
    check(with(|tls, path| tls.client_ca = Some(path), Path::new("/nowhere.pem")), "/nowhere.pem cannot be read");
    assert!(!Tls::load(&TlsConfig::default()).unwrap().can_accept());
}

// ---- DCMTK and OpenSSL ------------------------------------------------------------------------------------------

#[tokio::test]
async fn dcmtk_echoes_and_stores_over_tls_with_each_of_its_profiles_that_is_not_retired() {
    let hospital = Hospital::open(|_| {}).await;
    let shown = hospital.scanner.shown();
    for profile in ["+py", "+px", "+pz"] {
        let Some((well, said)) = hospital.dcmtk(ECHOSCU, &shown, &[&["-v", profile], &HERE[..]].concat()).await else {
            return;
        };
        assert!(well, "{profile}: {said}");
    }
    let file = hospital.path().join("ct.dcm");
    std::fs::write(&file, ct("1.2.3", "1.2.3.4", b"A", &[7; 60_000])).unwrap();
    let file = file.display().to_string();
    let Some((well, said)) = hospital.dcmtk(STORESCU, &shown, &[&["-v"], &HERE[..], &[&file, &file]].concat()).await
    else {
        return;
    };
    assert!(well && said.matches("(Success)").count() == 2, "{said}");
}

#[tokio::test]
async fn dcmtk_without_a_certificate_or_with_a_bad_one_is_refused_and_refuses_an_unknown_server() {
    let hospital = Hospital::open(|_| {}).await;
    let other = Authority::new("Another CA");
    let stranger = other.issue(hospital.path(), "stranger", &["ct1.ward"]);
    let expired = hospital.authority.issue_until(hospital.path(), "expired", &["ct1.ward"], 2020);
    for shown in [&["+tla".to_owned()][..], &stranger.shown(), &expired.shown()] {
        let Some((well, said)) = hospital.dcmtk(ECHOSCU, shown, &HERE).await else { return };
        assert!(!well, "{shown:?}: {said}");
    }
    let ca = other.write(hospital.path(), "other.pem").display().to_string();
    let shown = hospital.scanner.shown();
    let shown: Vec<_> = shown.iter().map(String::as_str).collect();
    let Some(output) = hospital.server.peer(ECHOSCU, &[&shown[..], &["+cf", &ca], &HERE].concat()).await else {
        return;
    };
    assert!(!output.status.success(), "{}", printed(&output));
}

#[tokio::test]
async fn dcmtk_needs_no_certificate_where_none_is_asked_for() {
    let hospital = Hospital::open(|config| config.tls.client_ca = None).await;
    let Some((well, said)) = hospital.dcmtk(ECHOSCU, &["+tla".to_owned()], &HERE).await else { return };
    assert!(well, "{said}");
}

/// A storescp for TLS that ends with the test.
struct Storescp(Child);

impl Drop for Storescp {
    fn drop(&mut self) {
        // Already gone is fine.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_move_goes_to_a_destination_over_tls() {
    let hospital = Hospital::open(|_| {}).await;
    let (port, received) = (free_port(), hospital.path().join("received"));
    std::fs::create_dir(&received).unwrap();
    let destination = hospital.authority.issue(hospital.path(), "workstation", &["127.0.0.1"]);
    let mut storescp = Command::new(STORESCP);
    storescp.args(destination.shown()).arg("+cf").arg(&hospital.ca).arg("-od").arg(&received).arg(port.to_string());
    let Ok(child) = storescp.spawn() else {
        println!("skipped: {STORESCP} is not installed");
        return;
    };
    let _storescp = Storescp(child);
    let file = ct("1.2.3", "1.2.3.4", b"A", &[7; 600]);
    hospital.server.archive.ingest(storage::Origin::Room("test"), &file, &storage::Expected::default()).await.unwrap();
    let host = Some("127.0.0.1".to_owned());
    let peer = Peer { host, port: Some(port), tls: true, ..Peer::new("READING1".parse().unwrap()) };
    hospital.server.archive.put_peer(&peer).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    let keys = ["-S", "-aem", "READING1", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3"];
    let asked = [&["-v"], &keys[..], &["-aec", "YINGHAI", "HOST", "PORT"]].concat();
    let Some(output) = hospital.server.peer(MOVESCU, &asked).await else { return };
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(std::fs::read_dir(&received).unwrap().count(), 1, "{}", printed(&output));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn old_versions_and_weak_ciphers_are_refused() {
    let hospital = Hospital::open(|config| config.tls.client_ca = None).await;
    let connect = async |options: &[&str]| {
        let base = ["s_client", "-connect", "HOST:TLS_PORT", "-brief"];
        let output = hospital.server.peer(OPENSSL, &[&base[..], options].concat()).await?;
        Some(printed(&output))
    };
    for (options, version) in [(["-tls1_3"], "TLSv1.3"), (["-tls1_2"], "TLSv1.2")] {
        let Some(said) = connect(&options).await else { return };
        assert!(said.contains(&format!("Protocol version: {version}")), "{said}");
    }
    for options in [
        &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    ] {
        let Some(said) = connect(options).await else { return };
        assert!(!said.contains("CONNECTION ESTABLISHED"), "{options:?}: {said}");
    }
}
