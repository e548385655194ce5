//! Orders reach the modality, and what it does with them comes back.

use scenarios::{Server, free_port, output, peer, program, python, run, shared, text_of, wait_for};
use std::{fs, path::Path, process::Command, time::Duration};

/// An order as dcmtk's own worklist server keeps it, in GB18030.
const WL: &str = "\
# Dicom-File-Format
# Dicom-Meta-Information-Header
(0002,0002) UI =RawDataStorage
(0002,0010) UI =LittleEndianExplicit
# Dicom-Data-Set
(0008,0005) CS [GB18030]
(0008,0050) SH [A100]
(0010,0010) PN [Wang^XiaoDong=\u{738b}^\u{5c0f}\u{4e1c}]
(0010,0020) LO [P100]
(0020,000d) UI [1.2.3.100]
(0032,1060) LO [CT CHEST]
(0040,1001) SH [RP100]
(0040,0100) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0040,0001) AE [CT1]
(0040,0002) DA [20261201]
(0040,0003) TM [093000]
(0040,0009) SH [SPS100]
(fffe,e00d) na
(fffe,e0dd) na
";

/// A file in dcmtk's worklist format.
fn worklist_file(folder: &Path) -> Option<std::path::PathBuf> {
    let (dump, file) = (folder.join("a100.dump"), folder.join("a100.wl"));
    // The text is in GB18030: 王, 小东.
    let (wang, xiao_dong) = ([0xCD, 0xF5], [0xD0, 0xA1, 0xB6, 0xAB]);
    let mut bytes = WL.as_bytes().to_vec();
    for (text, code) in [("\u{738b}", &wang[..]), ("\u{5c0f}\u{4e1c}", &xiao_dong[..])] {
        let at = bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("the text is there");
        bytes.splice(at..at + text.len(), code.iter().copied());
    }
    fs::write(&dump, bytes).expect("written");
    run(Command::new(program("dump2dcm")?).arg(&dump).arg(&file));
    Some(file)
}

#[test]
fn dcmtk_finds_on_the_worklist_what_was_imported_from_its_own_file() {
    let Some(findscu) = program("findscu") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let Some(file) = worklist_file(server.folder()) else { return };
    server.pacs(&["worklist", "import", file.to_str().expect("a path")]);
    let listed = server.pacs(&["worklist", "list"]);
    assert!(listed.contains("王 小东") && listed.contains("SCHEDULED"), "{listed}");

    let find = |keys: &[&str]| {
        let mut find = Command::new(&findscu);
        find.args(["-v", "-W", "-aet", "CT1", "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string()]);
        find.args(["-k", "PatientName", "-k", "AccessionNumber", "-k", "StudyInstanceUID"]);
        for key in keys {
            find.args(["-k", key]);
        }
        text_of(&output(&mut find))
    };
    let step = "ScheduledProcedureStepSequence[0]";
    let date = |day: &str| format!("{step}.ScheduledProcedureStepStartDate={day}");
    let found = find(&[&date("20261201"), &format!("{step}.Modality=CT"), &format!("{step}.ScheduledProcedureStepID")]);
    for expected in ["A100", "1.2.3.100", "SPS100", "Pending"] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    assert!(!found.contains("RP100"), "what was not asked for stays away: {found}");
    assert!(find(&[&date("20261130-20261202")]).contains("A100"));
    let none = find(&[&date("20261202")]);
    assert!(!none.contains("A100") && none.contains("Success"), "{none}");
    assert!(!find(&[&format!("{step}.Modality=MR")]).contains("A100"));

    let number = listed.split_whitespace().next().expect("a number");
    server.pacs(&["worklist", "cancel", number]);
    assert!(!find(&[&date("20261201")]).contains("A100"), "a cancelled step is off the worklist");
}

#[test]
fn pynetdicom_searches_the_worklist_and_sees_only_what_is_its_own() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.open_to_loopback=false"]);
    for (ae_title, scope) in [("CT1", "own"), ("RIS", "all")] {
        server.pacs(&["ae", "add", ae_title, "--host", "127.0.0.1", "--worklist", scope]);
    }
    server.pacs(&["ae", "add", "STORER", "--host", "127.0.0.1", "--store"]);
    for (station, accession, time, name) in [
        ("CT1", "A1", "0930", "Wang^XiaoDong=王^小东"),
        ("CT2", "A2", "1430", "Zhang^San=张^三"),
        ("CT1", "A3", "1600", "Müller^Jörg"),
    ] {
        server.pacs(&[
            "worklist",
            "add",
            "--patient-id",
            accession,
            "--name",
            name,
            "--modality",
            "CT",
            "--station",
            station,
            "--date",
            "20261201",
            "--time",
            time,
            "--accession",
            accession,
            "--description",
            "CT chest",
        ]);
    }
    let told = run(Command::new(python).arg(peer("worklist.py")).arg(server.dicom.to_string()));
    assert!(told.contains("all is well"), "{told}");
}

#[test]
fn a_modality_takes_steps_from_the_worklist_and_reports_what_it_performs() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    for accession in ["A1", "A2", "A3"] {
        server.pacs(&[
            "worklist",
            "add",
            "--patient-id",
            accession,
            "--name",
            "Wang^XiaoDong=王^小东",
            "--modality",
            "CT",
            "--date",
            "20261201",
            "--accession",
            accession,
        ]);
    }
    let told = run(Command::new(python).arg(peer("mpps.py")).arg(server.dicom.to_string()));
    assert!(told.contains("all is well"), "{told}");
    let performed = server.pacs(&["worklist", "performed"]);
    assert!(performed.contains("COMPLETED") && performed.contains("CT1"), "{performed}");
    let changes = server.get("/changes?types=mpps_changed");
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(8), "{changes}");
    assert_eq!(server.get("/api/performed-steps").as_array().map(Vec::len), Some(4));
}

#[test]
fn a_ris_hears_by_rule_what_modalities_report_in_order_and_also_later() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let port = free_port().to_string();
    let refused = output(&mut server.command(&["route", "steps", "ris", "--to", "RIS"]));
    assert!(text_of(&refused).contains("pacs ae add RIS"), "{}", text_of(&refused));
    server.pacs(&["ae", "add", "RIS", "--host", "127.0.0.1", "--port", &port]);
    server.pacs(&["route", "steps", "ris", "--to", "RIS", "--modality", "CT", "--from", "CT*"]);
    server.pacs(&["route", "steps", "again", "--to", "RIS"]);
    server.pacs(&["route", "remove-steps", "again"]);
    let listed = server.pacs(&["route", "list"]);
    assert!(listed.contains("procedure steps from CT* of modality CT are told to RIS"), "{listed}");
    let told = run(Command::new(python).arg(peer("steps.py")).args([&server.dicom.to_string(), &port]));
    assert!(told.contains("all is well"), "{told}");
    let jobs = server.pacs(&["jobs", "list", "mpps"]);
    assert_eq!(jobs.matches("RIS was told").count(), 3, "{jobs}");
}

#[test]
fn workitems_are_pushed_performed_by_one_and_watched() {
    let Some(python) = python() else { return };
    let mut server = Server::start(&["--set", "ai.enabled=false"]);
    let port = free_port().to_string();
    server.pacs(&["ae", "add", "WATCHER", "--host", "127.0.0.1", "--port", &port, "--ups"]);
    let told = run(Command::new(python).arg(peer("ups.py")).args([&server.dicom.to_string(), &port]));
    assert!(told.contains("all is well"), "{told}");
    let jobs = server.pacs(&["jobs", "list", "ups"]);
    assert!(jobs.contains("WATCHER was told"), "{jobs}");
    server.kill();
    server.restart();
    // To the instance of the global subscription: the provider has started anew (event 4).
    wait_for("the watcher to be called", Duration::from_secs(30), || {
        let jobs = server.pacs(&["jobs", "list", "ups"]);
        jobs.lines().any(|job| job.contains("1.2.840.10008.5.1.4.34.5 ")).then_some(())
    });
}

#[test]
fn workitems_of_http_and_dimse_are_the_same() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let base = server.url("/dicom-web");
    let told = run(Command::new(python).arg(peer("ups_rs.py")).args([&base, &server.token, &server.dicom.to_string()]));
    assert!(told.contains("all is well"), "{told}");
}

#[test]
fn a_ris_is_told_of_a_series_that_is_complete() {
    let (Some(python), Some(series)) = (python(), shared("data/conformance/series/gantry-tilt-philips")) else {
        return;
    };
    let port = free_port().to_string();
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let add = ["ae", "add", "RIS", "--host", "127.0.0.1", "--port", &port, "--availability"];
    let added = server.pacs(&add);
    assert!(added.contains("is told of complete series"), "{added}");
    let mut files: Vec<_> = fs::read_dir(series).expect("listed").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    files.truncate(5);
    // What comes before the node has seen that somebody wants to know is not told of.
    std::thread::sleep(Duration::from_secs(11));
    let mut peers = Command::new(python);
    let told = run(peers.arg(peer("availability.py")).args([&server.dicom.to_string(), &port]).args(files));
    assert!(told.contains("all is well"), "{told}");
}
