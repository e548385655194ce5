//! A disk flips a bit under a running server: it is found and told, never shown, and mended by a backup or a resend.

use reqwest::StatusCode;
use scenarios::{Server, output, packs, run, shared, text_of, wait_for};
use std::{fs, path::PathBuf, time::Duration};

const SLICES: usize = 6;
const LIMIT: Duration = Duration::from_secs(60);
const DICOM: &str = "application/dicom; transfer-syntax=*";

/// Some slices of a real series.
fn slices() -> Option<Vec<PathBuf>> {
    let folder = shared("data/chest-ct/LIDC-IDRI-0001")?;
    let mut files: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    files.truncate(SLICES);
    Some(files)
}

/// Flips a bit in the first instance of the only pack.
fn damage(server: &Server) {
    let pack = packs(&server.folder().join("data/objects")).remove(0);
    let mut bytes = fs::read(&pack).expect("the pack");
    bytes[100_000] ^= 1;
    fs::write(&pack, bytes).expect("damaged");
}

/// The address of the instance that is damaged, of the study, and how many are known to be.
fn damaged(server: &Server) -> Option<(String, String)> {
    let found = server.get("/api/damage");
    let one = found["damage"].as_array()?.iter().find(|one| one["mended_at"].is_null())?;
    let text = |name: &str| one[name].as_str().expect("text").to_owned();
    let study = format!("/dicom-web/studies/{}", text("study"));
    Some((format!("{study}/series/{}/instances/{}", text("series"), text("sop_instance")), study))
}

fn sealed(server: &Server) {
    wait_for("the seal", LIMIT, || (!packs(&server.folder().join("data/objects")).is_empty()).then_some(()));
}

#[test]
fn a_flipped_bit_is_told_of_and_mended_by_sending_again() {
    let Some(files) = slices() else { return };
    let server = Server::start(&["--set=ai.enabled=false", "--set=storage.quiet_seconds=1"]);
    let Some(mut storescu) = server.storescu() else { return };
    run(storescu.args(["-xt"]).args(&files));
    sealed(&server);
    damage(&server);
    let verified = output(&mut server.command(&["verify", "--read"]));
    assert_eq!(verified.status.code(), Some(1), "{}", text_of(&verified));
    let (instance, study) = wait_for("the finding", LIMIT, || damaged(&server));

    wait_for("the server to know", LIMIT, || (server.get("/api/status")["damage"] == 1).then_some(()));
    for (path, accept) in [
        (instance.clone(), DICOM),
        (format!("{instance}/frames/1"), "application/octet-stream"),
        (format!("{instance}/rendered"), "image/png"),
        (format!("{instance}/bulkdata/7FE00010"), "application/octet-stream"),
    ] {
        let refused = server.request(&path, accept);
        assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let problem = refused.text().expect("a problem");
        assert!(problem.contains("damaged-in-the-store") && problem.contains("pacs damage list"), "{problem}");
    }
    let rest = server.request(&study, "multipart/related; type=\"application/dicom\"; transfer-syntax=*");
    assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT);
    assert!(rest.headers()["warning"].to_str().expect("text").contains("1 instances are left out"));
    assert_eq!(server.get(&format!("{study}/metadata")).as_array().map(Vec::len), Some(SLICES));
    let listed = server.get(&format!("{study}/instances"));
    let lost = listed.as_array().expect("rows").iter().filter(|row| row["00080056"]["Value"][0] == "UNAVAILABLE");
    assert_eq!(lost.count(), 1);
    let doctor = text_of(&output(&mut server.command(&["doctor"])));
    assert!(doctor.contains("1 instances cannot be read"), "{doctor}");
    assert!(server.pacs(&["damage", "list"]).contains("its bytes are not those that were received"));

    run(server.storescu().expect("found").args(["-xt"]).args(&files));
    let back = server.request(&instance, DICOM);
    assert_eq!(back.status(), StatusCode::OK);
    let back = back.bytes().expect("a body");
    assert!(files.iter().any(|file| fs::read(file).expect("a file").ends_with(&back[back.len() / 2..])));
    assert_eq!(server.get("/api/status")["damage"], 0);
    println!("{}", server.pacs(&["damage", "list", "--all"]));
    wait_for("the pack to be made anew", LIMIT, || {
        output(&mut server.command(&["verify", "--read"])).status.success().then_some(())
    });
}

#[test]
fn a_server_mends_damage_from_its_backup_by_itself() {
    let Some(files) = slices() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup").display().to_string();
    let mend_from = format!("--set=storage.mend_from={backup}");
    let server = Server::start(&["--set=ai.enabled=false", "--set=storage.quiet_seconds=1", &mend_from]);
    let Some(mut storescu) = server.storescu() else { return };
    run(storescu.args(["-xt"]).args(&files));
    sealed(&server);
    server.pacs(&["backup", &backup]);
    damage(&server);
    assert_eq!(output(&mut server.command(&["verify", "--read"])).status.code(), Some(1));
    let mended = wait_for("the repair", LIMIT, || {
        let found = server.get("/api/damage");
        found["damage"][0]["mended_by"].as_str().filter(|by| !by.is_empty()).map(str::to_owned)
    });
    assert_eq!(mended, backup);
    wait_for("all to be sound", LIMIT, || {
        output(&mut server.command(&["verify", "--read"])).status.success().then_some(())
    });
}
