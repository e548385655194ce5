//! Storage commitment: the modality asks before it deletes, and hears the truth.

use scenarios::{Server, free_port, peer, python, run, shared};
use std::{fs, process::Command};

#[test]
fn a_modality_hears_of_what_is_kept_over_its_association_or_ours() {
    let (Some(python), Some(series)) = (python(), shared("data/conformance/series/gantry-tilt-philips")) else {
        return;
    };
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let port = free_port().to_string();
    server.pacs(&["ae", "add", "MODALITY", "--host", "127.0.0.1", "--port", &port, "--store"]);
    let mut files: Vec<_> = fs::read_dir(series).expect("listed").map(|entry| entry.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    files.truncate(5);
    let mut modality = Command::new(python);
    let told = run(modality.arg(peer("commitment.py")).args([&server.dicom.to_string(), &port]).args(files));
    assert!(told.contains("all is well"), "{told}");
    let jobs = server.pacs(&["jobs", "list", "commitment"]);
    assert!(jobs.contains("committed"), "{jobs}");
}
