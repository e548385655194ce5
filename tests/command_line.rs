//! The command line as a newcomer meets it.

use scenarios::{Server, output, pacs, run, shared, text_of};
use std::{fs, path::Path, process::Command};

fn in_folder(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(pacs());
    command.args(arguments).current_dir(folder);
    command
}

#[test]
fn help_shows_examples() {
    let text = run(Command::new(pacs()).arg("--help"));
    assert!(text.contains("Examples:") && text.contains("dcmsend"), "{text}");
}

#[test]
fn print_config_says_where_each_value_is_from() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("pacs.toml"), "[storage]\nquiet_seconds = 3\n").expect("written");
    let mut command = in_folder(folder.path(), &["serve", "--print-config", "--ae-title", "NODE"]);
    let text = run(command.env("PACS_HTTP_LISTEN", "127.0.0.1:9000"));
    assert!(text.contains("storage.quiet_seconds = 3  # file pacs.toml"), "{text}");
    assert!(text.contains("dicom.ae_title = \"NODE\"  # flag --ae-title"), "{text}");
    assert!(text.contains("http_listen = \"127.0.0.1:9000\"  # env PACS_HTTP_LISTEN"), "{text}");
    assert!(text.contains("dicom_listen = \"127.0.0.1:11112\"  # default"), "{text}");
}

#[test]
fn sign_in_cannot_be_switched_off_in_the_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused =
        output(&mut in_folder(folder.path(), &["serve", "--insecure-no-auth", "--dicom-listen", "0.0.0.0:11112"]));
    assert!(!refused.status.success());
    assert!(text_of(&refused).contains("loopback"), "{}", text_of(&refused));
}

#[test]
fn import_tells_what_it_took_and_what_not() {
    let Some(slices) = shared("data/conformance/series/gantry-tilt-philips") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let inbox = folder.path().join("inbox");
    fs::create_dir(&inbox).expect("made");
    for slice in fs::read_dir(&slices)
        .expect("listed")
        .filter_map(Result::ok)
        .filter(|e| e.path().extension().is_some_and(|x| x == "dcm"))
    {
        fs::copy(slice.path(), inbox.join(slice.file_name())).expect("copied");
    }
    let count = fs::read_dir(&inbox).expect("listed").count();
    fs::write(inbox.join("readme.txt"), "not DICOM").expect("written");
    // Neither a way out of the folder nor a circle is followed, and both are told of.
    std::os::unix::fs::symlink("/etc", inbox.join("outside")).expect("a link");
    std::os::unix::fs::symlink(&inbox, inbox.join("circle")).expect("a link");
    let first = run(&mut in_folder(folder.path(), &["import", "inbox"]));
    assert!(first.contains(&format!("stored     {count}")), "{first}");
    assert!(first.contains("skipped    1 files that are not DICOM"), "{first}");
    assert!(first.contains("skipped    2 symbolic links"), "{first}");

    fs::remove_file(inbox.join("outside")).expect("removed");
    fs::remove_file(inbox.join("circle")).expect("removed");
    run(Command::new("zip").args(["-qr", "inbox.zip", "inbox"]).current_dir(folder.path()));
    let second = run(&mut in_folder(folder.path(), &["import", "inbox.zip"]));
    assert!(second.contains(&format!("duplicate  {count}")), "{second}");

    fs::write(folder.path().join("broken.dcm"), [0u8; 300]).expect("written");
    let third = output(&mut in_folder(folder.path(), &["import", "broken.dcm", "inbox"]));
    assert_eq!(third.status.code(), Some(1), "{}", text_of(&third));
    assert!(text_of(&third).contains("rejected   1"), "{}", text_of(&third));

    let versions = inbox.join("versions.dcm");
    let slice = fs::read_dir(&inbox).expect("listed").filter_map(Result::ok).map(|e| e.path());
    fs::copy(slice.filter(|p| p.extension().is_some_and(|e| e == "dcm")).min().expect("a slice"), &versions)
        .expect("copied");
    if let Some(dcmodify) = scenarios::program("dcmodify") {
        run(Command::new(dcmodify).args(["-nb", "-i", "PatientComments=another content"]).arg(&versions));
        let text = run(&mut in_folder(folder.path(), &["import", "inbox/versions.dcm"]));
        assert!(text.contains("of the stored, 1 are a further version"), "{text}");
    }

    let export = run(&mut in_folder(folder.path(), &["export", "out", "--all"]));
    assert!(export.contains(&format!("{count} instances")), "{export}");
}

#[test]
fn a_dicomdir_stands_for_the_files_it_lists() {
    let Some(dicomdir) = shared("data/dicomdir/pcir/DICOMDIR") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let text = run(&mut in_folder(folder.path(), &["import", dicomdir.to_str().expect("UTF-8")]));
    assert!(text.contains("stored     31"), "{text}");
}

#[test]
fn doctor_names_what_is_wrong() {
    let server = Server::start(&[]);
    let log = fs::read_to_string(server.folder().join("log")).expect("a log");
    assert!(log.contains("DICOM node listens") && !log.contains('\u{1b}'), "no colours in a file: {log}");
    let healthy = server.pacs(&["doctor"]);
    assert!(healthy.contains("model") && !healthy.contains("FAIL"), "{healthy}");
    let sick = output(&mut server.command(&["doctor", "--database-url", "postgres://nobody@127.0.0.1:1/none"]));
    assert!(!sick.status.success() && text_of(&sick).contains("FAIL"), "{}", text_of(&sick));
    let store = "s3://bucket?endpoint=http://127.0.0.1:1&allow_http=true&region=x&skip_signature=true";
    let sick = text_of(&output(&mut server.command(&["doctor", "--store-url", store])));
    assert!(sick.contains("FAIL  object store") && sick.contains("AWS_ENDPOINT"), "{sick}");
}

#[test]
fn users_and_tokens_open_and_close_the_door() {
    let server = Server::start(&[]);
    let status = |token: &str| {
        let request = scenarios::client().get(server.url("/dicom-web/studies")).bearer_auth(token);
        request.send().expect("an answer").status().as_u16()
    };
    assert_eq!(status("nonsense"), 401);
    server.pacs(&["user", "add", "li", "--role", "viewer", "--generate"]);
    let token = server.pacs(&["token", "create", "--user", "li", "--name", "t"]).trim().to_owned();
    assert_eq!(status(&token), 200);
    let listed = server.pacs(&["token", "list"]);
    assert!(listed.contains("li ") && listed.contains(" t ") && !listed.contains(&token), "{listed}");
    server.pacs(&["user", "remove", "li"]);
    scenarios::wait_for("the token to end", std::time::Duration::from_secs(60), || {
        (status(&token) == 401).then_some(())
    });
}

#[test]
fn application_entities_are_let_in_and_shut_out() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&mut in_folder(folder.path(), &["ae", "add", "CT1", "--host", "10.0.0.7", "--port", "104", "--store"]));
    assert!(run(&mut in_folder(folder.path(), &["ae", "list"])).contains("CT1"));
    run(&mut in_folder(folder.path(), &["ae", "remove", "CT1"]));
    assert!(!run(&mut in_folder(folder.path(), &["ae", "list"])).contains("CT1"));
}

#[test]
fn a_lost_catalog_comes_back_from_the_store_and_damage_is_named() {
    let Some(slices) = shared("data/conformance/series/gantry-tilt-philips") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    run(&mut in_folder(folder.path(), &["import", slices.to_str().expect("a path")]));
    let before = run(&mut in_folder(folder.path(), &["export", "before", "--all"]));
    assert!(run(&mut in_folder(folder.path(), &["verify", "--read"])).contains("sound"));

    let data = folder.path().join("yinghai-data");
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = fs::remove_file(data.join(file));
    }
    let lost = output(&mut in_folder(folder.path(), &["verify"]));
    assert_eq!(lost.status.code(), Some(1), "{}", text_of(&lost));
    assert!(text_of(&lost).contains("`pacs reindex` takes it in"), "{}", text_of(&lost));
    run(&mut in_folder(folder.path(), &["reindex"]));
    assert!(run(&mut in_folder(folder.path(), &["verify", "--read"])).contains("sound"));
    let after = run(&mut in_folder(folder.path(), &["export", "after", "--all"]));
    assert_eq!(before.replace("before", "after"), after);
    run(Command::new("diff").args(["-r", "before", "after"]).current_dir(folder.path()));

    let packs = run(Command::new("find").arg(data.join("objects")).args(["-name", "*.tar"]));
    let pack = packs.lines().next().expect("a pack");
    run(Command::new("tar").args(["-tf", pack]));
    let mut bytes = fs::read(pack).expect("read");
    bytes[2000] ^= 1;
    fs::write(pack, bytes).expect("written");
    let damaged = output(&mut in_folder(folder.path(), &["verify", "--read"]));
    assert_eq!(damaged.status.code(), Some(1), "{}", text_of(&damaged));
    assert!(text_of(&damaged).contains("damaged   "), "{}", text_of(&damaged));
    let export = output(&mut in_folder(folder.path(), &["export", "damaged", "--all"]));
    assert!(!export.status.success(), "what is damaged never leaves as good");
}
