//! The first site is lost; a second one is brought up on its replica, and answers as the first one did.

use scenarios::{Server, output, run, shared, text_of, wait_for};
use std::{fs, path::PathBuf, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const SLICES: usize = 6;
const SETTINGS: [&str; 2] = ["--set=ai.enabled=false", "--set=storage.quiet_seconds=1"];

fn all_slices() -> Option<Vec<PathBuf>> {
    let folder = shared("data/chest-ct/LIDC-IDRI-0001")?;
    let mut files: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    files.sort();
    Some(files)
}

fn slices() -> Option<Vec<PathBuf>> {
    let mut files = all_slices()?;
    files.truncate(SLICES);
    Some(files)
}

/// What a client asks.
fn answers(server: &Server, study: &str) -> Vec<String> {
    let paths =
        ["/dicom-web/studies", &format!("{study}/series"), &format!("{study}/instances"), &format!("{study}/metadata")];
    let port = format!(":{}/", server.http);
    paths.map(|path| server.get(path).to_string().replace(&port, ":PORT/")).to_vec()
}

fn push(server: &Server, files: &[PathBuf]) -> Option<()> {
    run(server.storescu()?.arg("-xt").args(files));
    Some(())
}

/// All that was sealed is at the replica.
fn caught_up(server: &Server) {
    wait_for("the replica", LIMIT, || {
        let replica = &server.get("/api/status")["replica"];
        let is_sealed = fs::read_dir(server.folder().join("data/spool")).ok()?.flatten().all(|entry| {
            !entry.path().is_dir()
                || fs::read_dir(entry.path()).is_ok_and(|mut files| {
                    files.all(|file| file.is_ok_and(|file| file.path().extension().is_none_or(|e| e != "tar")))
                })
        });
        (is_sealed && replica["packs"] == 0 && replica["changes"] == 0).then_some(())
    });
}

#[test]
fn killed_in_the_middle_the_first_site_leaves_a_replica_that_comes_up() {
    let Some(files) = all_slices() else { return };
    for round in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let replica = folder.path().join("replica").display().to_string();
        let replica_url = format!("--set=storage.replica_url={replica}");
        let mut first = Server::start(&[SETTINGS[0], SETTINGS[1], &replica_url]);
        if push(&first, &files[..SLICES]).is_none() {
            return;
        }
        caught_up(&first);
        let before = first.get("/dicom-web/instances?limit=200");
        let Some(mut storescu) = first.storescu() else { return };
        let rest = files[SLICES..].to_vec();
        let pushing = std::thread::spawn(move || output(storescu.arg("-xt").args(rest)));
        std::thread::sleep(Duration::from_millis(300 + 1100 * round));
        first.kill();
        drop(pushing.join());

        let second = tempfile::tempdir().expect("a folder");
        let store = format!("--store-url=file://{replica}");
        let data = format!("--data-dir={}", second.path().join("data").display());
        let restored = output(std::process::Command::new(scenarios::pacs()).args(["restore", &replica, &store, &data]));
        println!("{}", text_of(&restored));
        assert!(matches!(restored.status.code(), Some(0 | 1)), "{}", text_of(&restored));
        let revoke = ["token", "revoke", "--user", "admin", "--name", "scenario", &data, &store];
        run(std::process::Command::new(scenarios::pacs()).args(revoke));
        let second = Server::start_in(second, &[SETTINGS[0], SETTINGS[1], &store]);
        let listed = second.get("/dicom-web/instances?limit=200");
        let uids = |rows: &serde_json::Value| -> Vec<(String, bool)> {
            let uid = |row: &serde_json::Value| row["00080018"]["Value"][0].as_str().expect("a UID").to_owned();
            rows.as_array().expect("rows").iter().map(|r| (uid(r), r["00080056"]["Value"][0] == "ONLINE")).collect()
        };
        let listed = uids(&listed);
        for sealed in uids(&before) {
            assert!(listed.contains(&sealed), "round {round}: {sealed:?}");
        }
        // What is called online is whole.
        let verified = text_of(&output(&mut second.command(&["verify", "--read", &store])));
        let (lost, damaged) =
            (listed.iter().filter(|(_, online)| !online).count(), verified.matches("damaged ").count());
        assert_eq!(lost, damaged, "{verified}");
        println!("round {round}: {} listed, {lost} of them not sealed in time", listed.len());
    }
}

#[test]
fn a_second_site_is_brought_up_on_the_replica_of_a_lost_one() {
    let Some(files) = slices() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let replica = folder.path().join("replica").display().to_string();
    let replica_url = format!("--set=storage.replica_url={replica}");
    let mut first = Server::start(&[SETTINGS[0], SETTINGS[1], &replica_url]);
    if push(&first, &files[..4]).is_none() {
        return;
    }
    caught_up(&first);
    let found = first.get("/dicom-web/instances");
    let uid = |row: usize, tag: &str| found[row][tag]["Value"][0].as_str().expect("a UID").to_owned();
    let study = format!("/dicom-web/studies/{}", uid(0, "0020000D"));
    let gone = format!("{study}/series/{}/instances/{}", uid(0, "0020000E"), uid(0, "00080018"));
    let deleted = scenarios::client().delete(first.url(&gone)).bearer_auth(&first.token).send();
    assert!(deleted.expect("an answer").status().is_success());
    first.pacs(&["user", "add", "li", "--role", "viewer", "--generate"]);
    push(&first, &files[4..]);
    caught_up(&first);
    println!("{}", first.pacs(&["replica", "status", &replica_url]));
    let doctor = text_of(&output(&mut first.command(&["doctor", &replica_url])));
    assert!(doctor.contains("all is at the replica"), "{doctor}");
    let token = first.pacs(&["token", "create", "--user", "admin", "--name", "both-sites"]).trim().to_owned();
    let before = answers(&first, &study);
    caught_up(&first);
    first.kill();

    let second = tempfile::tempdir().expect("a folder");
    let store = format!("--store-url=file://{replica}");
    let data = format!("--data-dir={}", second.path().join("data").display());
    let restored = run(std::process::Command::new(scenarios::pacs()).args(["restore", &replica, &store, &data]));
    println!("{restored}");
    // The server of the test makes one of this name for itself; those of the first site are good here too.
    let revoke = ["token", "revoke", "--user", "admin", "--name", "scenario", &data, &store];
    run(std::process::Command::new(scenarios::pacs()).args(revoke));
    let mut second = Server::start_in(second, &[SETTINGS[0], SETTINGS[1], &store]);
    second.token = token;
    assert_eq!(answers(&second, &study), before);
    assert_eq!(second.request(&gone, "application/dicom; transfer-syntax=*").status(), 404);
    assert_eq!(second.get(&format!("{study}/instances")).as_array().map(Vec::len), Some(SLICES - 1));
    assert!(second.pacs(&["user", "list"]).contains("li"));
    println!("{}", second.pacs(&["verify", "--read", &store]));
    // The first one comes back, and leaves the second one alone.
    first.restart();
    push(&first, &files[..1]);
    let told = wait_for("the first site to see it", LIMIT, || {
        let told = first.get("/api/status")["replica"]["error"].as_str()?.to_owned();
        (!told.is_empty()).then_some(told)
    });
    assert!(told.contains("second site"), "{told}");
    assert_eq!(second.get(&format!("{study}/instances")).as_array().map(Vec::len), Some(SLICES - 1));
}
