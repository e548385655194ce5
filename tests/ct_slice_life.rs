//! The main job on real input: a chest CT is pushed with dcmtk, the AI reads it, highdicom and dciodvfy accept the report,
//! and third-party HL7 and FHIR receivers have the result.

use scenarios::{Running, Server, free_port, output, peer, program, python, root, run, shared, text_of, wait_for};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

fn receivers(folder: &Path, python: &Path) -> (Running, Running, String) {
    let (mllp, fhir) = (free_port(), free_port());
    let hl7 = Command::new(python).arg(peer("mllp_receiver.py")).arg(mllp.to_string()).arg(folder.join("hl7")).spawn();
    let node =
        Command::new("node").arg(peer("fhir_receiver.mjs")).arg(fhir.to_string()).arg(folder.join("fhir")).spawn();
    let routes = format!(
        "[storage]\nquiet_seconds = 2\n\n\
         [[integration.hl7]]\nname = \"emr\"\naddress = \"127.0.0.1:{mllp}\"\n\n\
         [[integration.fhir]]\nname = \"emr\"\nbase_url = \"http://127.0.0.1:{fhir}\"\n"
    );
    (Running(hl7.expect("the MLLP receiver starts")), Running(node.expect("the FHIR receiver starts")), routes)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|d| d.filter_map(Result::ok).map(|e| e.path()).collect()).unwrap_or_default()
}

#[test]
fn a_real_chest_ct_reaches_screen_and_emr() {
    let Some(series) = shared("data/chest-ct/LIDC-IDRI-0001") else { return };
    let (Some(python), Some(dciodvfy)) = (python(), program("dciodvfy")) else { return };
    if !root().join("tests/peers/node_modules").exists() {
        eprintln!("skipped: tests/peers has no node_modules; scripts/test installs them");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("hl7")).expect("made");
    fs::create_dir_all(folder.path().join("fhir")).expect("made");
    let (_hl7, _fhir, routes) = receivers(folder.path(), &python);
    let config = folder.path().join("pacs.toml");
    fs::write(&config, routes).expect("written");
    let server = Server::start(&["--config", config.to_str().expect("UTF-8")]);

    let Some(mut storescu) = server.storescu() else { return };
    run(storescu.args(["-xt", "-R", "+sd", "+sp", "*.dcm"]).arg(&series));
    let report = wait_for("the AI report", Duration::from_secs(300), || {
        let found = server.get("/dicom-web/instances?Modality=SR");
        let first = found.as_array()?.first()?.clone();
        let uid = |tag: &str| first[tag]["Value"][0].as_str().map(str::to_owned);
        Some(format!(
            "/dicom-web/studies/{}/series/{}/instances/{}",
            uid("0020000D")?,
            uid("0020000E")?,
            uid("00080018")?
        ))
    });

    let sr = folder.path().join("report.dcm");
    fs::write(&sr, server.request(&report, "application/dicom").bytes().expect("bytes")).expect("written");
    let verdict = text_of(&output(Command::new(dciodvfy).arg("-new").arg(&sr)));
    let errors: Vec<_> = verdict.lines().filter(|line| line.starts_with("Error")).collect();
    assert!(errors.is_empty(), "dciodvfy: {errors:#?}");
    println!("{}", run(Command::new(&python).arg(peer("read_sr.py")).arg(&sr)));

    let message = wait_for("the HL7 message", Duration::from_secs(60), || files(&folder.path().join("hl7")).pop());
    println!("{}", run(Command::new(&python).arg(peer("validate_hl7.py")).arg(message)));
    // The FHIR receiver validates with two libraries and keeps only what both accept.
    wait_for("the FHIR resources", Duration::from_secs(60), || files(&folder.path().join("fhir")).pop());
    let jobs = server.pacs(&["jobs", "list"]);
    assert!(jobs.contains("hl7:emr") && jobs.contains("fhir:emr") && !jobs.contains("dead"), "{jobs}");
}
