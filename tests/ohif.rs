//! The OHIF viewer, as npm has it, served by us: list, stack, planes, segmentation and report in real Chromium.

use scenarios::{Server, ohif, program, root, run, shared};
use std::process::Command;

const STUDY: &str = "1.3.6.1.4.1.14519.5.2.1.6279.6001.298806137288633453246975630178";

#[test]
fn ohif_reads_a_study_from_us_without_an_error() {
    let (Some(chromium), Some(folder)) = (program("chromium"), ohif()) else { return };
    let (Some(images), Some(derived)) = (shared("data/chest-ct/LIDC-IDRI-0001"), shared("data/sr-seg/LIDC-IDRI-0001"))
    else {
        return;
    };
    let Some(names) = shared("data/charset") else { return };
    if !root().join("tests/browser/node_modules").exists() {
        eprintln!("skipped: tests/browser has no node_modules; scripts/test installs them");
        return;
    }
    let apps = format!("web.apps=[{{\"path\": \"/ohif\", \"folder\": {folder:?}}}]");
    let server = Server::start(&["--set", "ai.enabled=false", "--set", &apps]);
    for folder in [images, derived, names] {
        server.pacs(&["import", &folder.display().to_string()]);
    }
    let name = "PatientName=Zhang^San=张^三";
    server.pacs(&["correct", "set", "--patient", "LIDC-IDRI-0001", name, "--reason", "the data has no name"]);
    let mut node = Command::new("node");
    node.arg(root().join("tests/browser/ohif.spec.mjs"));
    node.env("BASE_URL", server.url("")).env("PACS_USER", "admin").env("PACS_PASSWORD", &server.password);
    node.env("STUDY", STUDY).env("PATIENT_ID", "LIDC-IDRI-0001").env("SLICES", "133");
    node.env("SEGMENT", "Nodule 1").env("MEASUREMENT", "Diameter: 32.76 mm");
    node.env("CHROMIUM", chromium).env("SCREENSHOTS", server.folder().join("screenshots"));
    println!("{}", run(&mut node));
}
