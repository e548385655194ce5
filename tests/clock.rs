//! Dates and times in queries, as a peer negotiates that they are meant (PS3.4 §C.5.1.1).

use scenarios::{Server, peer, python, run, shared};
use std::process::Command;

#[test]
fn pynetdicom_asks_for_a_moment_and_on_its_own_clock() {
    let (Some(python), Some(slices)) = (python(), shared("data/charset")) else { return };
    let server = Server::start(&["--set", "ai.enabled=false", "--set", "dicom.utc_offset=+0800"]);
    // Of 2024-01-02, 10:11:12.
    server.pacs(&["import", &slices.join("zh_utf8.dcm").display().to_string()]);
    let ask = |question: &str| {
        let told = run(Command::new(&python).arg(peer("clock.py")).args([&server.dicom.to_string(), question]));
        told.trim().trim_start_matches(question).trim_start_matches(": ").to_owned()
    };
    for (question, answer) in [
        ("- StudyDate=20240101-20240103 StudyTime=0900-1000", ""),
        ("c StudyDate=20240101-20240103 StudyTime=0900-1000", "20240102 101112 None"),
        ("c StudyDate=20240102-20240103 StudyTime=1100-1000", ""),
        ("z TimezoneOffsetFromUTC=-0500", "20240101 211112 -0500"),
        ("z TimezoneOffsetFromUTC=-0500 StudyDate=20240101", "20240101 211112 -0500"),
        ("z TimezoneOffsetFromUTC=-0500 StudyDate=20240102", ""),
        ("cz TimezoneOffsetFromUTC=+0000 StudyDate=20240102- StudyTime=0200-", "20240102 021112 +0000"),
        ("cz TimezoneOffsetFromUTC=+0000 StudyDate=20240102- StudyTime=0300-", ""),
        ("z TimezoneOffsetFromUTC=Beijing", "status A900"),
    ] {
        assert_eq!(ask(question), answer, "{question}");
    }
}
