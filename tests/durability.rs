//! `kill -9` during a push: what got success is there, listed and readable.

use scenarios::{Server, output, program, shared, text_of};
use std::{collections::BTreeSet, process::Command, time::Duration};

/// SOP Instance UIDs that storescu was told success for: with -v it names the file before each response.
fn acknowledged(log: &str) -> BTreeSet<String> {
    let mut file = None;
    let mut done = BTreeSet::new();
    for line in log.lines() {
        if let Some((_, name)) = line.split_once("Sending file: ") {
            file = Some(name.trim().to_owned());
        }
        if line.contains("Received Store Response (Success)") {
            done.extend(file.take());
        }
    }
    done
}

#[test]
fn what_got_success_survives_kill_9() {
    let Some(series) = shared("data/chest-ct/LIDC-IDRI-0001") else { return };
    let Some(dcmdump) = program("dcmdump") else { return };
    let mut server = Server::start(&["--set", "ai.enabled=false"]);
    for round in 0..4 {
        let Some(mut storescu) = server.storescu() else { return };
        let folder = series.clone();
        let push = std::thread::spawn(move || {
            text_of(&output(storescu.args(["-v", "-xt", "-R", "+sd", "+sp", "*.dcm"]).arg(folder)))
        });
        std::thread::sleep(Duration::from_millis(250 + 350 * round));
        server.kill();
        let done = acknowledged(&push.join().expect("storescu ran"));
        server.restart();
        for file in &done {
            let dump = output(Command::new(&dcmdump).args([
                "+P",
                "StudyInstanceUID",
                "+P",
                "SeriesInstanceUID",
                "+P",
                "SOPInstanceUID",
                "-s",
                file,
            ]));
            let uids: Vec<_> = text_of(&dump)
                .lines()
                .filter_map(|l| Some(l.split('[').nth(1)?.split(']').next()?.to_owned()))
                .collect();
            let [study, series, instance] = &uids[..] else { panic!("{file}: {uids:?}") };
            let path = format!("/dicom-web/studies/{study}/series/{series}/instances/{instance}");
            let back = server.request(&path, "application/dicom; transfer-syntax=*");
            assert!(back.status().is_success(), "round {round}: {file} was acknowledged and is {}", back.status());
            let listed = server.get(&format!("/dicom-web/studies/{study}/instances?SOPInstanceUID={instance}"));
            assert_eq!(listed.as_array().map(Vec::len), Some(1), "{file} is not listed");
        }
        eprintln!("round {round}: {} acknowledged before the kill, all there", done.len());
    }
}
