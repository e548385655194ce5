//! DICOMweb in its less common forms, against decoders, file-sets and XML of others.

use scenarios::{Server, peer, python, run, shared};
use std::process::Command;

#[test]
fn pydicom_dcmtk_and_decoders_of_others_find_what_was_stored() {
    let Some(python) = python() else { return };
    let Some(series) = shared("data/conformance/series/gantry-tilt-philips") else { return };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    server.pacs(&["import", series.to_str().expect("a path in UTF-8")]);
    let base = server.url("/dicom-web");
    let text = run(Command::new(python).arg(peer("web_forms.py")).arg(base).arg(&server.token).arg(series));
    assert!(text.contains("all is well"), "{text}");
}
