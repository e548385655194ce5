//! What arrives is sent on by rule, to receivers that nobody here wrote, some of which fail.

use scenarios::{Running, Server, client, free_port, output, peer, program, python, run, shared, text_of, wait_for};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A lease runs out in half a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// dcmtk's storescp, which keeps what comes in a folder.
struct Receiver {
    folder: PathBuf,
    port: String,
    running: Option<Running>,
}

impl Receiver {
    /// Configured at the server by this AE title, and not running yet.
    fn new(server: &Server, ae_title: &str) -> Self {
        let folder = server.folder().join(ae_title);
        fs::create_dir(&folder).expect("a folder");
        let port = free_port().to_string();
        server.pacs(&["ae", "add", ae_title, "--host", "127.0.0.1", "--port", &port, "--store"]);
        Self { folder, port, running: None }
    }

    fn start(&mut self, arguments: &[&str]) {
        self.running = None;
        let mut scp = Command::new(program("storescp").expect("dcmtk"));
        scp.args(arguments).arg("-od").arg(&self.folder).arg(&self.port).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(Running(scp.spawn().expect("it runs")));
    }

    fn started(server: &Server, ae_title: &str) -> Self {
        let mut receiver = Self::new(server, ae_title);
        receiver.start(&[]);
        receiver
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.folder).expect("listed").map(|entry| entry.expect("a file").path()).collect()
    }

    fn wait_for(&self, count: usize) {
        wait_for(&format!("{count} instances"), PATIENCE, || (self.files().len() >= count).then_some(()));
    }
}

/// The DICOM files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    files
}

/// Each file in its own transfer syntax.
fn send(server: &Server, files: &[PathBuf]) {
    let mut dcmsend = Command::new(program("dcmsend").expect("dcmtk"));
    dcmsend.args(["-aet", "SCANNER", "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string()]);
    run(dcmsend.args(files));
}

/// How many instances of a destination are in a state.
fn count(server: &Server, destination: &str, state: &str) -> i64 {
    let all = server.get("/api/routes");
    let shown = all["destinations"].as_array().expect("a list").iter();
    let shown = shown.filter(|one| one["destination"]["name"] == destination);
    let queue = shown.flat_map(|one| one["queue"].as_array().expect("a list"));
    queue.filter(|one| one["state"] == state).map(|one| one["instances"].as_i64().expect("a number")).sum()
}

fn wait_until(server: &Server, destination: &str, state: &str, expected: i64) {
    wait_for(&format!("{expected} {state}"), PATIENCE, || {
        (count(server, destination, state) == expected).then_some(())
    });
}

fn server() -> Server {
    Server::start(&["--set", "ai.enabled=false"])
}

fn ready(data: &str) -> Option<PathBuf> {
    program("storescp")?;
    program("dcmsend")?;
    shared(data)
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    let Some(scan) = ready("data/chest-ct/LIDC-IDRI-0001") else { return };
    let mut server = server();
    let receiver = Receiver::started(&server, "RESEARCH");
    server.pacs(&["route", "add", "chest", "--to", "RESEARCH", "--modality", "CT"]);
    server.pacs(&["route", "pause", "RESEARCH"]);
    let slices = files(&scan);
    send(&server, &slices);
    let all = slices.len();
    wait_until(&server, "RESEARCH", "due", all as i64);
    assert_eq!(receiver.files().len(), 0, "it rests");
    server.pacs(&["route", "resume", "RESEARCH"]);
    wait_for("some instances", PATIENCE, || {
        (0..100)
            .any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                receiver.files().len() >= 10
            })
            .then_some(())
    });
    server.kill();
    let sent = receiver.files().len();
    assert!(sent < all, "it was killed too late");
    server.restart();
    receiver.wait_for(all);
    wait_until(&server, "RESEARCH", "sent", all as i64);
    assert_eq!(receiver.files().len(), all, "each is there once");
    let trail = server.pacs(&["route", "list"]);
    assert!(trail.contains(&format!("sent     {all} instances")), "{trail}");
}

#[test]
fn who_aborts_refuses_or_is_away_gets_all_when_it_is_well_again() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let server = server();
    let mut receiver = Receiver::new(&server, "FRAIL");
    server.pacs(&["route", "add", "all", "--to", "FRAIL"]);
    let slices = files(&scan);
    let all = slices.len();
    send(&server, &slices);
    let told = |what: &str| {
        wait_for(what, PATIENCE, || {
            server.pacs(&["route", "retry", "FRAIL"]);
            let queue = server.pacs(&["route", "queue", "FRAIL", "--state", "due"]);
            queue.contains(what).then_some(queue)
        })
    };
    let queue = told("cannot be reached");
    assert!(queue.contains("pacs ae add FRAIL"), "a remedy: {queue}");
    for (fault, what) in [
        ("--refuse", "association rejected"),
        ("--abort-during", "association aborted by the peer"),
        ("--abort-after", "association aborted by the peer"),
    ] {
        receiver.start(&[fault]);
        told(what);
    }
    let kept = receiver.files().len();
    receiver.start(&[]);
    wait_for("all of them", PATIENCE, || {
        server.pacs(&["route", "retry", "FRAIL"]);
        (count(&server, "FRAIL", "sent") == all as i64).then_some(())
    });
    assert!(receiver.files().len() >= all, "{kept} came before");
}

#[test]
fn rules_choose_by_what_it_is_and_whence_it_came_and_change_while_the_server_runs() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let server = server();
    let (one, other) = (Receiver::started(&server, "ONE"), Receiver::started(&server, "OTHER"));
    // storescu calls itself SCANNER, and nothing goes back to where it came from.
    let back = Receiver::started(&server, "SCANNER");
    server.pacs(&["route", "add", "one", "--to", "ONE", "--modality", "MR", "--from", "SCANNER"]);
    server.pacs(&["route", "add", "back", "--to", "SCANNER"]);
    server.pacs(&["route", "add", "never", "--to", "OTHER", "--from", "ELSEWHERE"]);
    let slices = files(&scan);
    let (first, rest) = slices.split_at(4);
    let is_ct =
        run(Command::new(program("dcmdump").expect("dcmtk")).args(["+P", "Modality"]).arg(&first[0])).contains("CT");
    server.pacs(&["route", "add", "one", "--to", "ONE", "--modality", if is_ct { "CT" } else { "MR" }]);
    send(&server, first);
    one.wait_for(first.len());
    let put = |path: &str, body: Value| {
        let request = client().put(server.url(path)).bearer_auth(&server.token).json(&body);
        request.send().expect("an answer").status().as_u16()
    };
    assert_eq!(put("/api/routes/rules/never", json!({ "to": "OTHER", "when": { "from": ["SCAN*"] } })), 204);
    assert_eq!(put("/api/routes/rules/odd", json!({ "to": "NOWHERE" })), 404);
    assert_eq!(put("/api/routes/rules/odd", json!({ "to": "OTHER", "whenever": 1 })), 400);
    send(&server, rest);
    other.wait_for(rest.len());
    one.wait_for(slices.len());
    assert_eq!((other.files().len(), back.files().len()), (rest.len(), 0));
    let study = server.get("/dicom-web/studies")[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    server.pacs(&["route", "send", "SCANNER", "--study", &study]);
    back.wait_for(slices.len());
}

#[test]
fn a_receiver_that_reads_no_compression_gets_pixels_decoded_and_what_leaves_is_as_corrected() {
    let Some(scan) = ready("data/conformance/series/variable-spacing-ge") else { return };
    let Some(dcmdump) = program("dcmdump") else { return };
    let server = server();
    let mut receiver = Receiver::new(&server, "PLAIN");
    receiver.start(&["+xi"]);
    server.pacs(&["route", "add", "all", "--to", "PLAIN"]);
    server.pacs(&["route", "pause", "PLAIN"]);
    // It is in JPEG-LS.
    send(&server, &files(&scan)[..1]);
    let study = server.get("/dicom-web/studies")[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    server.pacs(&["correct", "set", "--study", &study, "AccessionNumber=A77", "--reason", "typing error"]);
    server.pacs(&["route", "resume", "PLAIN"]);
    receiver.wait_for(1);
    wait_until(&server, "PLAIN", "sent", 1);
    let dump = output(
        Command::new(dcmdump).args(["+P", "TransferSyntaxUID", "+P", "AccessionNumber"]).arg(&receiver.files()[0]),
    );
    let dump = text_of(&dump);
    assert!(dump.contains("LittleEndianImplicit") && dump.contains("[A77]"), "{dump}");
}

#[test]
fn what_goes_to_research_names_nobody_and_is_a_sound_object_still() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let (Some(dcmdump), Some(dciodvfy)) = (program("dcmdump"), program("dciodvfy")) else { return };
    let server = server();
    let mut research = Receiver::new(&server, "RESEARCH");
    research.start(&["+xa"]);
    server.pacs(&["route", "destination", "TRIAL", "--ae", "RESEARCH", "--deidentify", "--keep", "patient"]);
    server.pacs(&["route", "add", "trial", "--to", "TRIAL"]);
    let slices = files(&scan);
    send(&server, &slices);
    research.wait_for(slices.len());
    wait_until(&server, "TRIAL", "sent", slices.len() as i64);
    let dump = |file: &Path| text_of(&output(Command::new(&dcmdump).args(["+L", "-q"]).arg(file)));
    let value = |dump: &str, keyword: &str| {
        let line = dump.lines().find(|line| line.ends_with(&format!(" {keyword}")))?;
        line.split_once('[')?.1.split_once(']').map(|(value, _)| value.to_owned())
    };
    let before = dump(&slices[0]);
    let errors = |file: &Path| {
        let told = text_of(&output(Command::new(&dciodvfy).arg(file)));
        told.lines().filter(|line| line.starts_with("Error")).count()
    };
    let most = slices.iter().map(|file| errors(file)).max().expect("slices");
    let after: Vec<_> = research.files().iter().map(|file| (dump(file), errors(file))).collect();
    let patients: BTreeSet<_> = after.iter().map(|(dump, _)| value(dump, "PatientID")).collect();
    assert_eq!(patients.len(), 1, "one patient, one pseudonym");
    for (dump, errors) in &after {
        for keyword in ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate"] {
            let old = value(&before, keyword).filter(|old| old.len() > 2);
            assert!(old.is_none_or(|old| !dump.contains(&old)), "{keyword} in {dump}");
        }
        assert!(dump.contains("[YES]") && dump.contains("113100") && dump.contains("113108"), "{dump}");
        assert!(*errors <= most, "{errors} errors of dciodvfy, {most} before");
    }
    let pixels = |file: &Path| run(Command::new(&dcmdump).args(["-q", "+L", "+P", "PixelData"]).arg(file));
    let of = |files: &[PathBuf]| files.iter().map(|file| pixels(file)).collect::<BTreeSet<_>>();
    assert_eq!(of(&research.files()), of(&slices), "pixels stay");
}

#[test]
fn what_may_have_names_in_its_pixels_is_listed_as_refused_until_a_rule_allows_it() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let Some(dcmodify) = program("dcmodify") else { return };
    let server = server();
    let research = Receiver::started(&server, "RESEARCH");
    server.pacs(&["route", "destination", "RESEARCH", "--ae", "RESEARCH", "--deidentify"]);
    server.pacs(&["route", "add", "trial", "--to", "RESEARCH"]);
    let marked = server.folder().join("marked.dcm");
    fs::copy(&files(&scan)[0], &marked).expect("copied");
    run(Command::new(dcmodify).args(["-nb", "-i", "(0028,0301)=YES"]).arg(&marked));
    send(&server, &[marked]);
    wait_until(&server, "RESEARCH", "refused", 1);
    let queue = server.pacs(&["route", "queue", "RESEARCH"]);
    assert!(queue.contains("Burned In Annotation is YES") && research.files().is_empty(), "{queue}");
    server.pacs(&["route", "add", "trial", "--to", "RESEARCH", "--allow-burned-in"]);
    server.pacs(&["route", "retry", "RESEARCH", "--refused"]);
    research.wait_for(1);
}

/// What is sent on is asked for, and committed in the end: over the association that asks, over another, and also where the
/// receiver loses an instance.
fn committed(manner: &str) {
    let (Some(python), Some(scan)) = (python(), ready("data/conformance/series/gantry-tilt-philips")) else { return };
    let server = server();
    let port = free_port().to_string();
    server.pacs(&["ae", "add", "KEEPER", "--host", "127.0.0.1", "--port", &port]);
    server.pacs(&["route", "add", "kept", "--to", "KEEPER", "--commit"]);
    let mut keeper = Command::new(python);
    keeper.arg(peer("keeper.py")).args([&port, &server.dicom.to_string(), manner]).stdout(Stdio::null());
    let _keeper = Running(keeper.spawn().expect("it runs"));
    let slices = files(&scan);
    send(&server, &slices);
    wait_until(&server, "KEEPER", "committed", slices.len() as i64);
}

#[test]
fn who_receives_answers_for_it_over_the_association_that_asks() {
    committed("same");
}

#[test]
fn who_receives_answers_for_it_over_an_association_of_its_own() {
    committed("new");
}

#[test]
fn what_a_receiver_does_not_answer_for_is_sent_again() {
    committed("lossy");
}

#[test]
fn a_dicomweb_peer_gets_instances_when_it_is_there_again_and_de_identified_if_so_asked() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let (server, mut other) = (server(), server());
    let secret = server.folder().join("authorization");
    fs::write(&secret, format!("Bearer {}\n", other.token)).expect("written");
    let url = other.url("/dicom-web");
    server.pacs(&["route", "destination", "SITE", "--url", &url, "--authorization", &secret.display().to_string()]);
    server.pacs(&["route", "destination", "TRIAL", "--url", &url, "--deidentify", "--keep", "patient"]);
    server.pacs(&["route", "destination", "TRIAL", "--authorization", &secret.display().to_string()]);
    let shown = server.get("/api/routes").to_string();
    assert!(!shown.contains(&other.token) && shown.contains("authorization"), "{shown}");
    server.pacs(&["route", "add", "site", "--to", "SITE"]);
    server.pacs(&["route", "add", "trial", "--to", "TRIAL"]);
    other.kill();
    let slices = files(&scan);
    send(&server, &slices);
    wait_for("a reason", PATIENCE, || {
        server.pacs(&["route", "queue", "SITE", "--state", "due"]).contains("can be reached").then_some(())
    });
    other.restart();
    for destination in ["SITE", "TRIAL"] {
        wait_for("all of them", PATIENCE, || {
            server.pacs(&["route", "retry", destination]);
            (count(&server, destination, "sent") == slices.len() as i64).then_some(())
        });
    }
    let studies = other.get("/dicom-web/studies");
    let studies = studies.as_array().expect("a list");
    assert_eq!(studies.len(), 2, "as it is, and under a pseudonym");
    assert_eq!(other.get("/dicom-web/instances").as_array().expect("a list").len(), 2 * slices.len());
    let verified = output(&mut other.command(&["verify"]));
    assert!(verified.status.success(), "{}", text_of(&verified));
}

#[test]
fn no_more_go_in_a_second_than_the_destination_takes() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let server = server();
    let receiver = Receiver::started(&server, "SLOW");
    let limits = ["--associations", "4", "--instances-per-second", "4"];
    server.pacs(&[&["route", "destination", "SLOW", "--ae", "SLOW"][..], &limits].concat());
    server.pacs(&["route", "add", "all", "--to", "SLOW"]);
    let slices = files(&scan);
    send(&server, &slices);
    receiver.wait_for(1);
    let start = Instant::now();
    receiver.wait_for(slices.len());
    let least = Duration::from_millis(250) * (slices.len() as u32 - 2);
    assert!(start.elapsed() >= least, "{:?} for {}", start.elapsed(), slices.len());
}

#[test]
fn what_arrives_is_coerced_before_it_is_sent_on() {
    let Some(scan) = ready("data/conformance/series/gantry-tilt-philips") else { return };
    let Some(dcmdump) = program("dcmdump") else { return };
    let server = server();
    let receiver = Receiver::started(&server, "NEXT");
    server.pacs(&["route", "destination", "NEXT", "--ae", "NEXT", "--coerce", "InstitutionName=Outside"]);
    server.pacs(&["route", "add", "all", "--to", "NEXT"]);
    let settings = ["PatientID=H2-{PatientID}", "StudyDescription=from {Modality}"];
    server.pacs(&[&["coerce", "add", "house", "--from", "SCANNER"][..], &settings].concat());
    let slices = files(&scan);
    send(&server, &slices);
    receiver.wait_for(slices.len());
    wait_until(&server, "NEXT", "sent", slices.len() as i64);
    let tags = ["+P", "PatientID", "+P", "StudyDescription", "+P", "InstitutionName", "+P", "Modality"];
    for file in receiver.files() {
        let dump = run(Command::new(&dcmdump).args(["-q", "-s"]).args(tags).arg(file));
        assert!(dump.contains("[H2-") && dump.contains("[from "), "{dump}");
        assert!(dump.contains("[Outside]"), "{dump}");
    }
    let seen = server.get("/dicom-web/studies?includefield=00081030")[0].to_string();
    assert!(seen.contains("H2-") && seen.contains("from ") && !seen.contains("Outside"), "{seen}");
    let corrections = server.pacs(&["correct", "list"]);
    assert!(corrections.contains("rule house"), "{corrections}");
}
