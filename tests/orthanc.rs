//! Orthanc both ways: it stores to us, asks, fetches and wants commitment; and gets what we send on, and commits to it.

use scenarios::{Running, Server, client, free_port, program, run, shared, wait_for};
use serde_json::{Value, json};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's Orthanc, which knows our server as `yinghai`.
struct Orthanc {
    _process: Running,
    _folder: tempfile::TempDir,
    http: u16,
}

impl Orthanc {
    /// `None` with a printed reason where it is not installed. Configured at the server as `ORTHANC`.
    fn started(server: &Server) -> Option<Self> {
        program("dcmconv")?;
        let orthanc = PathBuf::from("/usr/sbin/Orthanc");
        if !orthanc.exists() {
            eprintln!("skipped: Orthanc is not installed");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dicom, http) = (free_port(), free_port());
        let us = json!({
            "AET": "YINGHAI", "Host": "127.0.0.1", "Port": server.dicom, "AllowStorageCommitment": true,
        });
        let config = json!({
            "Name": "peer", "StorageDirectory": folder.path(), "IndexDirectory": folder.path(), "HttpPort": http,
            "RemoteAccessAllowed": false, "DicomAet": "ORTHANC", "DicomPort": dicom, "DicomCheckCalledAet": true,
            "DicomCheckModalityHost": true, "DicomModalities": { "yinghai": us }, "DefaultEncoding": "Utf8", "Plugins": [],
        });
        let path = folder.path().join("orthanc.json");
        fs::write(&path, config.to_string()).expect("written");
        let mut command = Command::new(orthanc);
        let child = command.arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Orthanc runs");
        let orthanc = Self { _process: Running(child), _folder: folder, http };
        wait_for("Orthanc", PATIENCE, || client().get(orthanc.url("/system")).send().ok());
        let rights = ["--store", "--find", "--retrieve"];
        let place = ["ae", "add", "ORTHANC", "--host", "127.0.0.1", "--port", &dicom.to_string()];
        server.pacs(&[&place[..], &rights].concat());
        Some(orthanc)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    fn get(&self, path: &str) -> Value {
        let answer = client().get(self.url(path)).send().expect("Orthanc answers");
        assert!(answer.status().is_success(), "GET {path}: {}", answer.status());
        answer.json().expect("JSON")
    }

    fn post(&self, path: &str, body: impl Into<reqwest::blocking::Body>) -> Value {
        let answer = client().post(self.url(path)).body(body).send().expect("Orthanc answers");
        let (status, text) = (answer.status(), answer.text().expect("text"));
        assert!(status.is_success(), "POST {path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn list(&self, path: &str) -> Vec<String> {
        let list = self.get(path);
        list.as_array().expect("a list").iter().map(|id| id.as_str().expect("an ID").to_owned()).collect()
    }

    /// All that it holds.
    fn held(&self) -> Vec<Held> {
        let mut held: Vec<_> = self.list("/instances").iter().map(|id| self.instance(id)).collect();
        held.sort();
        held
    }

    fn instance(&self, id: &str) -> Held {
        let tags = self.get(&format!("/instances/{id}"));
        let file = client().get(self.url(&format!("/instances/{id}/file"))).send().and_then(|answer| answer.bytes());
        let uid = tags["MainDicomTags"]["SOPInstanceUID"].as_str().expect("a UID").to_owned();
        Held { sop_instance: uid, file: file.expect("a file").to_vec() }
    }

    fn forget(&self) {
        for id in self.list("/instances") {
            let deleted = client().delete(self.url(&format!("/instances/{id}"))).send().expect("Orthanc answers");
            assert!(deleted.status().is_success());
        }
        assert_eq!(self.held().len(), 0);
    }
}

/// Whether both sides hold the same: bytes, but of `rewritten` instances, which Orthanc writes in its own way as it sends and as
/// it stores: of these the values.
fn same(left: &[Held], right: &[Held], rewritten: usize) {
    let uids = |held: &[Held]| held.iter().map(|one| one.sop_instance.clone()).collect::<Vec<_>>();
    assert_eq!(uids(left), uids(right));
    let differ: Vec<_> = left.iter().zip(right).filter(|(one, other)| one.data_set() != other.data_set()).collect();
    assert!(differ.len() <= rewritten, "{:?}", differ.iter().map(|(one, _)| &one.sop_instance).collect::<Vec<_>>());
    for (one, other) in differ {
        assert!(one.canonical() == other.canonical(), "{}", one.sop_instance);
    }
}

/// An instance that somebody holds, as a Part 10 file.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    sop_instance: String,
    file: Vec<u8>,
}

impl Held {
    /// What comes after the File Meta Information, which each writer makes itself.
    fn data_set(&self) -> &[u8] {
        let length = self.file.get(140..144).expect("a group length");
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        self.file.get(144 + length..).expect("a data set")
    }

    /// The data set as dcmtk writes it.
    fn canonical(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        fs::write(&from, &self.file).expect("written");
        run(Command::new("/usr/bin/dcmconv").args(["-g", "+e", "-q"]).args([&from, &to]));
        let canonical = Self { sop_instance: String::new(), file: fs::read(to).expect("converted") };
        canonical.data_set().to_vec()
    }
}

/// All that we hold.
fn ours(server: &Server) -> Vec<Held> {
    let all = server.get("/dicom-web/instances?includefield=StudyInstanceUID,SeriesInstanceUID");
    let instance = |one: &Value| {
        let uid = |tag: &str| one[tag]["Value"][0].as_str().expect("a UID").to_owned();
        let [study, series, instance] = ["0020000D", "0020000E", "00080018"].map(uid);
        let path = format!("/dicom-web/studies/{study}/series/{series}/instances/{instance}");
        let file = server.request(&path, "application/dicom; transfer-syntax=*").bytes().expect("a file");
        Held { sop_instance: instance, file: file.to_vec() }
    };
    let mut held: Vec<_> = all.as_array().expect("a list").iter().map(instance).collect();
    held.sort();
    held
}

/// Native in both layouts, JPEG-LS, RLE, and without pixels.
const FILES: [&str; 6] = [
    "series/dcm4che-mr/MR01.dcm",
    "lut-overlay/examples_overlay.dcm",
    "series/variable-spacing-ge/IM0010.dcm",
    "series/variable-spacing-ge/IM0011.dcm",
    "encapsulation/CT0012.not_fragmented_bot_rle.dcm",
    "hierarchy/orthanc_Image1.dcm",
];

/// The first has values with more padding than they need, which dcmtk takes off.
const REWRITTEN: usize = 1;

fn files() -> Option<Vec<PathBuf>> {
    let data = shared("data/conformance")?;
    Some(FILES.iter().map(|file| data.join(file)).collect())
}

fn server() -> Server {
    Server::start(&["--set", "ai.enabled=false"])
}

#[test]
fn orthanc_stores_asks_fetches_and_has_it_committed() {
    let Some(files) = files() else { return };
    let server = server();
    let Some(orthanc) = Orthanc::started(&server) else { return };
    for file in &files {
        orthanc.post("/instances", fs::read(file).expect("a file"));
    }
    let sent = orthanc.held();
    assert_eq!(sent.len(), files.len());
    orthanc.post("/modalities/yinghai/echo", "{}");
    let all = json!({ "Resources": orthanc.list("/instances"), "Synchronous": true });
    let stored = orthanc.post("/modalities/yinghai/store", all.to_string());
    assert_eq!(
        (&stored["InstancesCount"], &stored["FailedInstancesCount"]),
        (&json!(files.len()), &json!(0)),
        "{stored}"
    );
    same(&ours(&server), &sent, REWRITTEN);

    let references: Vec<_> = orthanc.list("/instances").iter().map(|id| reference(&orthanc, id)).collect();
    let asked = json!({ "DicomInstances": references });
    let transaction = orthanc.post("/modalities/yinghai/storage-commitment", asked.to_string());
    let path = transaction["Path"].as_str().expect("a path").to_owned();
    let report =
        wait_for("a report", PATIENCE, || Some(orthanc.get(&path)).filter(|report| report["Status"] != "Pending"));
    assert_eq!(report["Status"], "Success", "{report}");
    assert_eq!(report["Success"].as_array().map(Vec::len), Some(files.len()), "{report}");

    orthanc.forget();
    let asked =
        json!({ "Level": "Study", "Query": { "PatientID": "*", "StudyDate": "19000101-", "ModalitiesInStudy": "" } });
    let query = orthanc.post("/modalities/yinghai/query", asked.to_string());
    let query = query["Path"].as_str().expect("a path").to_owned();
    let answers = orthanc.list(&format!("{query}/answers"));
    let known = server.get("/dicom-web/studies?StudyDate=19000101-");
    assert_eq!(answers.len(), known.as_array().expect("a list").len());
    let asked = json!({ "Level": "Study", "Query": { "PatientID": "" } });
    let query = orthanc.post("/modalities/yinghai/query", asked.to_string());
    let query = query["Path"].as_str().expect("a path").to_owned();
    let fetched = json!({ "TargetAet": "ORTHANC", "Synchronous": true });
    orthanc.post(&format!("{query}/retrieve"), fetched.to_string());
    same(&orthanc.held(), &sent, REWRITTEN);
}

/// SOP Class and Instance of an instance of Orthanc's.
fn reference(orthanc: &Orthanc, id: &str) -> Value {
    let tags = orthanc.get(&format!("/instances/{id}/simplified-tags"));
    json!({ "SOPClassUID": tags["SOPClassUID"], "SOPInstanceUID": tags["SOPInstanceUID"] })
}

#[test]
fn orthanc_gets_what_is_sent_on_and_commits_to_it() {
    let Some(files) = files() else { return };
    let server = server();
    let Some(orthanc) = Orthanc::started(&server) else { return };
    server.pacs(&["route", "add", "second", "--to", "ORTHANC", "--commit"]);
    for file in &files {
        server.pacs(&["import", &file.display().to_string()]);
    }
    wait_for("all to arrive", PATIENCE, || (orthanc.list("/instances").len() == files.len()).then_some(()));
    same(&orthanc.held(), &ours(&server), REWRITTEN);
    let committed = || {
        let all = server.get("/api/routes");
        let queue = all["destinations"][0]["queue"].as_array().expect("a list").clone();
        queue.iter().find(|one| one["state"] == "committed").and_then(|one| one["instances"].as_u64())
    };
    wait_for("Orthanc to commit", PATIENCE, || committed().filter(|count| *count == files.len() as u64));
}
