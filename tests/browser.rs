//! Real Chromium opens the study, scrolls, changes the window, sees the finding.

use scenarios::{Server, program, root, run, shared};
use std::{process::Command, time::Duration};

#[test]
fn a_radiologist_reads_a_study_in_chromium() {
    let Some(chromium) = program("chromium") else { return };
    let Some(series) = shared("data/chest-ct/LIDC-IDRI-0001") else { return };
    if !root().join("tests/browser/node_modules").exists() {
        eprintln!("skipped: tests/browser has no node_modules; scripts/test installs them");
        return;
    }
    let server = Server::start(&["--set", "storage.quiet_seconds=2"]);
    let Some(mut storescu) = server.storescu() else { return };
    run(storescu.args(["-xt", "-R", "+sd", "+sp", "*.dcm"]).arg(&series));
    scenarios::wait_for("the AI result", Duration::from_secs(300), || {
        let found = server.get("/dicom-web/series?Modality=SR");
        found.as_array().filter(|f| !f.is_empty()).map(|_| ())
    });
    let mut node = Command::new("node");
    node.arg(root().join("tests/browser/viewer.spec.mjs"));
    node.env("BASE_URL", server.url("")).env("PACS_USER", "admin").env("PACS_PASSWORD", &server.password);
    node.env("CHROMIUM", chromium).env("SCREENSHOTS", server.folder().join("screenshots"));
    println!("{}", run(&mut node));
}

#[test]
fn an_administrator_sets_up_devices_in_chromium() {
    let Some(chromium) = program("chromium") else { return };
    if !root().join("tests/browser/node_modules").exists() {
        eprintln!("skipped: tests/browser has no node_modules; scripts/test installs them");
        return;
    }
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let mut node = Command::new("node");
    node.arg(root().join("tests/browser/devices.spec.mjs")).env("DICOM_PORT", server.dicom.to_string());
    node.env("BASE_URL", server.url("")).env("PACS_USER", "admin").env("PACS_PASSWORD", &server.password);
    node.env("CHROMIUM", chromium).env("SCREENSHOTS", server.folder().join("screenshots"));
    println!("{}", run(&mut node));
}
