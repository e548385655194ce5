//! The conformance statement and the Capabilities Description, held against what the server does.

use scenarios::{Server, output, peer, program, python, run, text_of};
use std::{fs, path::Path, process::Command};

#[test]
fn what_is_stated_and_described_is_so() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let statement = server.folder().join("statement.md");
    fs::write(&statement, server.pacs(&["conformance"])).expect("written");
    let mut script = Command::new(python);
    script.arg(peer("capabilities.py")).args([server.url("/dicom-web"), server.token.clone()]).arg(statement);
    let told = run(&mut script);
    let count = |ending: &str| {
        let line = told.lines().find(|line| line.contains(ending));
        line.and_then(|line| line.split(' ').next()?.parse::<u32>().ok()).unwrap_or_else(|| panic!("{told}"))
    };
    assert!(count("methods answered") > 60 && count("pydicom's classes") > 200, "{told}");
}

#[test]
fn the_statement_tells_of_the_configuration_that_runs() {
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let stated = |arguments: &[&str]| server.pacs(&[&["conformance"], arguments].concat());
    assert!(stated(&[]).contains(&format!("| DICOM | 127.0.0.1:{} |", server.dicom)));
    assert!(stated(&["--default"]).contains("| DICOM | 127.0.0.1:11112 |"));
    assert!(stated(&["--ae-title", "WARD"]).contains("| `WARD` | the whole archive |"));
    let help = text_of(&output(&mut server.command(&["conformance", "--help"])));
    assert!(help.contains("pacs conformance --default"), "{help}");
}

#[test]
fn nothing_is_answered_that_the_statement_does_not_list() {
    let Some(python) = python() else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let statement = server.folder().join("statement.md");
    fs::write(&statement, server.pacs(&["conformance"])).expect("written");
    let mut script = Command::new(python);
    script.arg(peer("answers.py")).arg(server.dicom.to_string()).arg(statement).args(["2026", "40"]);
    let told = run(&mut script);
    assert!(told.contains("all stated"), "{told}");
}

/// What is stated of storage contexts, asked for by dcmtk.
#[test]
fn retired_classes_are_refused_where_the_statement_says_so() {
    let (Some(dump2dcm), Some(storescu)) = (program("dump2dcm"), program("storescu")) else { return };
    let without = ["--set", "ai.enabled=false", "--set", "dicom.accept_retired_sop_classes=false"];
    for (arguments, is_taken) in [(&without[..2], true), (&without[..], false)] {
        let server = Server::start(arguments);
        let file = server.folder().join("retired.dcm");
        retired(&file, &dump2dcm);
        let mut store = Command::new(&storescu);
        store.args(["-v", "-R", "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string()]).arg(&file);
        let told = text_of(&output(&mut store));
        let stated = output(&mut server.command(&[&["conformance"], arguments].concat()));
        let listed = text_of(&stated).contains("Nuclear Medicine Image Storage (Retired)");
        assert_eq!((told.contains("Received Store Response (Success)"), listed), (is_taken, is_taken), "{told}");
    }
}

/// An instance of Nuclear Medicine Image Storage as it was before 1994.
fn retired(file: &Path, dump2dcm: &Path) {
    let text = "(0008,0016) UI 1.2.840.10008.5.1.4.1.1.5\n(0008,0018) UI 1.2.3.4.5\n(0010,0020) LO P1\n(0020,000D) UI 1.2.3\n\
        (0020,000E) UI 1.2.3.4\n";
    let dump = file.with_extension("dump");
    fs::write(&dump, text).expect("written");
    run(Command::new(dump2dcm).arg(&dump).arg(file));
}
