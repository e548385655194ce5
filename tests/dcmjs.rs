//! dcmjs-dimse, a DICOM stack in JavaScript, as modality, workstation and receiver.

use scenarios::{Server, free_port, output, peer, shared, text_of};
use std::process::Command;

/// Native in both byte layouts, JPEG-LS, and RLE.
const FILES: [&str; 5] = [
    "series/dcm4che-mr/MR01.dcm",
    "lut-overlay/examples_overlay.dcm",
    "sop-class/pet/suyash_1.dcm",
    "series/variable-spacing-ge/IM0010.dcm",
    "encapsulation/CT0012.not_fragmented_bot_rle.dcm",
];

#[test]
fn dcmjs_dimse_stores_finds_fetches_and_reports_what_it_performs() {
    let Some(data) = shared("data/conformance") else { return };
    if !peer("node_modules/dcmjs-dimse").exists() {
        return eprintln!("skipped: no dcmjs-dimse; scripts/test installs it");
    }
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let own = free_port().to_string();
    let rights = ["--store", "--find", "--retrieve", "--mpps"];
    server.pacs(&[&["ae", "add", "DCMJS", "--host", "127.0.0.1", "--port", &own], &rights[..]].concat());
    let mut script = Command::new("node");
    script.arg(peer("dcmjs_dimse.mjs")).arg(server.dicom.to_string()).arg(&own);
    let done = output(script.args(FILES.map(|file| data.join(file))));
    let told = text_of(&done);
    assert!(done.status.success(), "{told}");
    for line in [
        "C-ECHO answered",
        "5 instances sent",
        "5 studies and 5 images found",
        "5 instances with the same pixels by C-GET",
        "5 instances with the same pixels by C-MOVE",
        "C-MOVE to nobody: a801",
        "completed; once more: 110",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let steps = server.get("/api/performed-steps");
    assert_eq!((&steps[0]["status"], &steps[0]["performed_by"]), (&"COMPLETED".into(), &"DCMJS".into()), "{steps}");
    assert_eq!(steps[0]["item"]["00400241"]["Value"][0], "DCMJS");
}
