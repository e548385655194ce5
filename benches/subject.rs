//! The servers that are measured, each in a process of its own.

use crate::processor_seconds;
use anyhow::{Context, bail};
use reqwest::blocking::Client;
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// dcmtk and Orthanc wait for the delayed acknowledgement of TCP otherwise: 40 ms an instance.
pub const NO_DELAY: (&str, &str) = ("TCP_NODELAY", "1");

/// A server under measurement; ended when dropped.
pub struct Subject {
    pub name: &'static str,
    pub process: Child,
    /// Port on loopback.
    pub dicom: u16,
    pub aet: &'static str,
    /// Where its DICOMweb resources are; empty where it has none.
    pub base: String,
    /// `Authorization` header.
    pub token: Option<String>,
}

impl Drop for Subject {
    fn drop(&mut self) {
        // A server that is gone already has been measured to its end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Subject {
    /// Ours, with further arguments of `pacs serve`, ready.
    pub fn yinghai(data: &Path, pacs: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let mut subject = Self::begun(data, pacs, settings)?;
        ready("http://127.0.0.1:28042/readyz")?;
        let ask = ["token", "create", "--user", "admin", "--name", "bench"];
        let token = Command::new(pacs).args(ask).args(place(data)).output()?;
        subject.token = Some(format!("Bearer {}", String::from_utf8(token.stdout)?.trim()));
        Ok(subject)
    }

    /// Ours, just begun.
    pub fn begun(data: &Path, pacs: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let process = quiet(Command::new(pacs).arg("serve").args(place(data)).args(settings))?;
        let base = "http://127.0.0.1:28042/dicom-web".to_owned();
        Ok(Self { name: "Yinghai", process, dicom: 21112, aet: "YINGHAI", base, token: None })
    }

    /// Debian's Orthanc, as installed or with `TCP_NODELAY=1`; it knows AE `RECEIVER` on port 21113.
    pub fn orthanc(work: &Path, no_delay: bool) -> anyhow::Result<Self> {
        let folder = work.join(if no_delay { "orthanc" } else { "orthanc-as-installed" });
        fs::create_dir_all(&folder)?;
        let (dicom, http) = if no_delay { (14242, 18042) } else { (14243, 18043) };
        let config = serde_json::json!({
            "Name": "peer", "StorageDirectory": folder, "IndexDirectory": folder, "HttpPort": http,
            "RemoteAccessAllowed": false, "DicomAet": "ORTHANC", "DicomPort": dicom, "DefaultEncoding": "Utf8",
            "StableAge": 2, "DicomAlwaysAllowGet": true, "DicomAlwaysAllowMove": true,
            "DicomModalities": { "receiver": ["RECEIVER", "127.0.0.1", 21113] },
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
            "DicomWeb": { "Enable": true, "Root": "/dicom-web/" },
        });
        let path = folder.join("orthanc.json");
        fs::write(&path, config.to_string())?;
        let process = quiet(Command::new("Orthanc").arg(&path).envs(no_delay.then_some(NO_DELAY)))
            .context("Orthanc is not installed")?;
        let base = format!("http://127.0.0.1:{http}/dicom-web");
        let name = if no_delay { "Orthanc" } else { "Orthanc as installed" };
        let subject = Self { name, process, dicom, aet: "ORTHANC", base, token: None };
        ready(&format!("http://127.0.0.1:{http}/system"))?;
        Ok(subject)
    }

    /// dcmtk's archive; it knows AE `RECEIVER` on port 21113.
    pub fn dcmqrscp(work: &Path) -> anyhow::Result<Self> {
        let folder = work.join("dcmqrscp");
        fs::create_dir_all(&folder)?;
        let config = format!(
            "NetworkTCPPort = 14244\nMaxPDUSize = 131072\nMaxAssociations = 100\nHostTable BEGIN\n\
             receiver = (RECEIVER, 127.0.0.1, 21113)\nHostTable END\nVendorTable BEGIN\nVendorTable END\n\
             AETable BEGIN\nDCMQRSCP {} RW (2000, 64gb) ANY\nAETable END\n",
            folder.display()
        );
        let path = work.join("dcmqrscp.cfg");
        fs::write(&path, config)?;
        let process =
            quiet(Command::new("/usr/bin/dcmqrscp").args([OsStr::new("-c"), path.as_os_str()]).envs([NO_DELAY]))
                .context("dcmqrscp is not installed")?;
        let subject =
            Self { name: "dcmqrscp", process, dicom: 14244, aet: "DCMQRSCP", base: String::new(), token: None };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", subject.dicom)).is_ok() {
                return Ok(subject);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("dcmqrscp does not listen")
    }

    /// Seconds of processor time so far. Of a server that forks, of the process that listens and what it waited for.
    pub fn processor_seconds(&self) -> anyhow::Result<f64> {
        processor_seconds(self.process.id())
    }

    /// MiB of resident memory now.
    pub fn resident(&self) -> anyhow::Result<f64> {
        self.memory("VmRSS:")
    }

    /// MiB of resident memory at most so far.
    pub fn peak(&self) -> anyhow::Result<f64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|l| l.starts_with(what)).context("no such line")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }
}

/// Where ours is.
fn place(data: &Path) -> [String; 3] {
    [
        format!("--data-dir={}", data.display()),
        "--dicom-listen=127.0.0.1:21112".into(),
        "--http-listen=127.0.0.1:28042".into(),
    ]
}

fn quiet(command: &mut Command) -> std::io::Result<Child> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Waits for a page that says that the server is there.
fn ready(url: &str) -> anyhow::Result<()> {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    for _ in 0..3000 {
        if client.get(url).send().is_ok_and(|r| r.status().is_success()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("{url} does not answer")
}
