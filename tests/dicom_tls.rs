//! DICOM over TLS as a hospital sets it up: certificates made with OpenSSL, DCMTK on the other side, no restart.

use scenarios::{Running, Server, free_port, output, pacs, program, run, shared, text_of, wait_for};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Makes what docs/dicom-tls.md makes, as it makes it.
struct Authority {
    openssl: PathBuf,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Option<Self> {
        let authority = Self { openssl: program("openssl")?, folder: folder.to_owned() };
        let options = "req -x509 -newkey rsa:3072 -noenc -days 3650 -keyout ca.key -out ca.pem";
        authority.openssl(options, &["-subj", "/CN=Test CA"]);
        Some(authority)
    }

    fn openssl(&self, options: &str, rest: &[&str]) {
        run(Command::new(&self.openssl).args(options.split(' ')).args(rest).current_dir(&self.folder));
    }

    fn issue(&self, name: &str, hosts: &str, days: u32) {
        let extensions = format!("subjectAltName={hosts}\nbasicConstraints=CA:FALSE\n");
        fs::write(self.folder.join(format!("{name}.ext")), extensions).expect("written");
        let subject = format!("/CN={name}");
        let options = format!("req -newkey rsa:3072 -noenc -keyout {name}.key -out {name}.csr");
        self.openssl(&options, &["-subj", &subject]);
        let options = format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} -extfile {name}.ext -out {name}.pem"
        );
        self.openssl(&options, &[]);
    }
}

const TLS: &str = "[dicom.tls]\ncertificate = 'pacs.pem'\nkey = 'pacs.key'\nclient_ca = 'ca.pem'\nreload_seconds = 1\n";

/// A program of DCMTK's that shows the scanner's certificate.
fn dcmtk(program: &Path, server: &Server, rest: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(server.folder());
    command.args("-v +tls ct1.key ct1.pem +cf ca.pem -aet CT1 -aec YINGHAI 127.0.0.1".split(' ')).args(rest);
    command
}

#[test]
fn a_scanner_and_a_workstation_speak_tls_and_certificates_are_renewed_while_the_server_runs() {
    let (Some(echoscu), Some(storescu), Some(storescp)) =
        (program("echoscu"), program("storescu"), program("storescp"))
    else {
        return;
    };
    let slice = "data/conformance/transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.1.dcm";
    let Some(slice) = shared(slice) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(authority) = Authority::new(folder.path()) else { return };
    authority.issue("pacs", "IP:127.0.0.1", 365);
    authority.issue("ct1", "DNS:ct1.ward", 365);
    let port = free_port().to_string();
    let settings = format!("dicom_tls_listen = '127.0.0.1:{port}'\n\n[ai]\nenabled = false\n\n{TLS}");
    fs::write(folder.path().join("pacs.toml"), settings).expect("written");
    let server = Server::start_in(folder, &[]);

    let slice = slice.to_str().expect("UTF-8");
    run(&mut dcmtk(&echoscu, &server, &[&port]));
    run(&mut dcmtk(&storescu, &server, &[&port, "-xe", slice]));
    assert_eq!(server.get("/dicom-web/instances").as_array().map(Vec::len), Some(1));
    assert!(server.pacs(&["echo", "--tls"]).contains("answered"));
    let plain = Command::new(&echoscu).args(["-aec", "YINGHAI", "127.0.0.1", &port]).output().expect("echoscu runs");
    assert!(!plain.status.success());

    // A workstation that is called by TLS.
    let theirs = free_port().to_string();
    let mut workstation = Command::new(storescp);
    workstation.args("+tls pacs.key pacs.pem +cf ca.pem".split(' ')).arg(&theirs).current_dir(server.folder());
    let _workstation = Running(workstation.spawn().expect("storescp starts"));
    let listed = server.pacs(&["ae", "add", "READING1", "--host", "127.0.0.1", "--port", &theirs, "--tls"]);
    assert!(listed.contains("by TLS"), "{listed}");
    wait_for("storescp", Duration::from_secs(10), || {
        output(&mut server.command(&["echo", "READING1"])).status.success().then_some(())
    });

    // A certificate that ends soon is told; a renewed one is taken up, also when the scanner must trust another CA.
    authority.issue("pacs", "IP:127.0.0.1", 5);
    let told = output(&mut server.command(&["doctor"]));
    assert!(text_of(&told).contains("FAIL  DICOM TLS") && text_of(&told).contains("ends on"), "{}", text_of(&told));
    let before = fs::read(server.folder().join("ct1.pem")).expect("read");
    Authority::new(server.folder());
    authority.issue("pacs", "IP:127.0.0.1", 365);
    authority.issue("ct1", "DNS:ct1.ward", 365);
    wait_for("the new certificates", Duration::from_secs(20), || {
        output(&mut dcmtk(&echoscu, &server, &[&port])).status.success().then_some(())
    });
    let doctor = text_of(&output(&mut server.command(&["doctor"])));
    assert!(doctor.contains("ok    DICOM TLS"), "{doctor}");
    fs::write(server.folder().join("ct1.pem"), before).expect("written");
    assert!(!output(&mut dcmtk(&echoscu, &server, &[&port])).status.success(), "a certificate of the CA of before");
}

#[test]
fn a_wrong_file_is_an_error_at_start_that_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(authority) = Authority::new(folder.path()) else { return };
    authority.issue("pacs", "IP:127.0.0.1", 365);
    let serve = |settings: &[&str]| {
        let mut command = Command::new(pacs());
        command.args(["serve", "--data-dir", "data", "--dicom-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"]);
        command.arg("--dicom-tls-listen=127.0.0.1:0").current_dir(folder.path());
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let refused = output(&mut command);
        assert!(!refused.status.success());
        text_of(&refused)
    };
    let text = serve(&[]);
    assert!(text.contains("docs/dicom-tls.md"), "{text}");
    let text = serve(&["dicom.tls.certificate=pacs.pem", "dicom.tls.key=absent.key"]);
    assert!(text.contains("dicom.tls.key = absent.key cannot be read"), "{text}");
    let text = serve(&["dicom.tls.certificate=pacs.pem", "dicom.tls.key=ca.key"]);
    assert!(text.contains("is the key of another certificate"), "{text}");
}
