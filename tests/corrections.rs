//! Corrections as programs see them that nobody here wrote.

use scenarios::{Server, peer, python, run, shared};
use std::process::Command;

/// Judges every instance of a folder as corrected; at least so many.
fn judged(folder: &str, at_least: u32) {
    let (Some(python), Some(folder)) = (python(), shared(folder)) else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let script = peer("corrections.py");
    let told = run(Command::new(python).arg(script).args([&server.url(""), &server.token]).arg(folder));
    let count: u32 = told.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
    assert!(count >= at_least, "{told}");
}

#[test]
fn every_character_set_is_corrected_and_undone() {
    judged("data/charset", 20);
}

#[test]
fn every_transfer_syntax_is_corrected_and_its_pixels_stay() {
    judged("data/conformance", 100);
}

#[test]
fn the_command_line_corrects_lists_and_undoes() {
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let Some(mut storescu) = server.storescu() else { return };
    let Some(slices) = shared("data/charset") else { return };
    run(storescu.args(["+sd", "+sp", "zh_utf8.dcm"]).arg(slices));
    let studies = server.get("/dicom-web/studies");
    let study = studies[0]["0020000D"]["Value"][0].as_str().expect("a study").to_owned();
    let told = server.pacs(&["correct", "set", "--study", &study, "AccessionNumber=A77", "--reason", "typing error"]);
    assert!(told.contains("AccessionNumber = \"A77\"") && told.contains("undo it with"), "{told}");
    let found = server.get("/dicom-web/studies?AccessionNumber=A77");
    assert_eq!(found[0]["0020000D"]["Value"][0].as_str(), Some(study.as_str()));
    let id = told.split(' ').next().expect("an id").to_owned();
    server.pacs(&["correct", "undo", &id, "--reason", "it was right"]);
    assert!(server.get("/dicom-web/studies?AccessionNumber=A77").as_array().is_some_and(Vec::is_empty));
    let listed = server.pacs(&["correct", "list", "--study", &study]);
    assert!(listed.contains("typing error") && listed.contains("it was right"), "{listed}");
    let refused = server.command(&["correct", "set", "--study", "1.9", "StudyID=1", "--reason", "x"]).output();
    let refused = scenarios::text_of(&refused.expect("it runs"));
    assert!(refused.contains("study 1.9 is not in the archive"), "{refused}");
}
