//! Cornerstone's DICOM image loader, the one inside OHIF and others, gets every image of the corpus from us by WADO-RS.

use scenarios::{Server, program, root, run, shared};
use std::process::Command;

#[test]
fn cornerstone_loads_the_frames_of_every_transfer_syntax() {
    let (Some(chromium), Some(data)) = (program("chromium"), shared("data")) else { return };
    let browser = root().join("tests/browser");
    if !browser.join("node_modules/esbuild").exists() {
        eprintln!("skipped: tests/browser has no node_modules; scripts/test installs them");
        return;
    }
    let app = tempfile::tempdir().expect("a folder");
    run(Command::new("node").arg(browser.join("cornerstone.build.mjs")).arg(app.path()));
    let apps = format!("web.apps=[{{\"path\": \"/cornerstone\", \"folder\": {:?}}}]", app.path());
    let server = Server::start(&[
        "--set",
        "ai.enabled=false",
        "--set",
        "dicom.accept_unknown_sop_classes=true",
        "--set",
        "storage.same_uid_other_content=keep-latest",
        "--set",
        &apps,
    ]);
    let mut node = Command::new("node");
    node.arg(browser.join("cornerstone.spec.mjs")).env("CHROMIUM", chromium).env("DATA", data);
    node.env("BASE_URL", server.url("")).env("TOKEN", &server.token);
    println!("{}", run(&mut node));
}
