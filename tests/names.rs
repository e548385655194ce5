//! Names of many languages: sent as the modalities wrote them, found and shown as the asking side writes.

use scenarios::{Server, peer, program, python, run, shared};
use serde_json::Value;
use std::{collections::BTreeSet, path::PathBuf, process::Command};

/// A server that holds every file of the character set corpus.
fn filled() -> Option<Server> {
    let folder = shared("data/charset")?;
    let server = Server::start(&["--set", "ai.enabled=false"]);
    let mut storescu = server.storescu()?;
    run(storescu.args(["-R", "+sd", "+sp", "*.dcm"]).arg(folder));
    Some(server)
}

/// The alphabetic and ideographic groups of the names that a QIDO-RS search finds.
fn found(server: &Server, search: &str) -> BTreeSet<String> {
    let studies = server.get(&format!("/dicom-web/studies?{search}"));
    let group =
        |study: &Value, group: &str| study["00100010"]["Value"][0][group].as_str().unwrap_or_default().to_owned();
    let studies = studies.as_array().cloned().unwrap_or_default();
    studies.iter().map(|study| format!("{}={}", group(study, "Alphabetic"), group(study, "Ideographic"))).collect()
}

#[track_caller]
fn assert_found(server: &Server, search: &str, expected: &[&str]) {
    let found = found(server, search);
    assert!(expected.iter().all(|name| found.contains(*name)), "{search}: {found:?}");
}

#[test]
fn the_web_finds_names_by_pinyin_initials_and_either_kind_of_characters() {
    let Some(server) = filled() else { return };
    let search = |typed: &str| format!("PatientName={typed}&fuzzymatching=true");
    let zhang = ["Zhang^San=张^三", "Zhang^XiaoDong=张^小东"];
    assert_found(&server, &search("zhang"), &zhang);
    assert_found(&server, &search("張"), &zhang);
    assert_found(&server, &search("zhangsan"), &zhang[..1]);
    assert_found(&server, &search("zs"), &zhang[..1]);
    assert_found(&server, &search("zxd"), &zhang[1..]);
    assert_found(&server, &search("zhaowei"), &["赵^伟="]);
    assert_found(&server, &search("陈大文"), &["Chen=陳^大文"]);
    assert_found(&server, &search("jerome"), &["Buc^Jérôme="]);
    assert_found(&server, &search("ヤマダ"), &["Yamada^Tarou=山田^太郎", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎"]);
    assert_found(&server, "PatientName=*三*", &zhang[..1]);
    assert_found(&server, "PatientName=陈^*", &["Chen=陳^大文"]);
    assert_found(&server, "PatientName=*ildon*", &["Hong^Gildong=洪^吉洞"]);
    assert_eq!(found(&server, "PatientName=zs"), BTreeSet::new(), "only on request");
}

#[test]
fn c_find_finds_names_as_they_are_typed_where_that_was_negotiated() {
    let (Some(python), Some(server)) = (python(), filled()) else { return };
    let port = server.dicom.to_string();
    let told = run(Command::new(python).arg(peer("fuzzy.py")).args([&port, "zs", "zhangsan", "陈大文"]));
    for line in
        ["zs: 0 strict, Zhang^San=张^三", "zhangsan: 0 strict, Zhang^San=张^三", "陈大文: 0 strict, Chen=陳^大文"]
    {
        assert!(told.lines().any(|told| told.starts_with(line)), "{told}");
    }
}

/// The identifiers of all C-FIND answers, as they came.
fn find(server: &Server, findscu: &PathBuf, charset: &str, name: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let key = [b"PatientName=", name].concat();
    let key = std::os::unix::ffi::OsStringExt::from_vec(key);
    let key: std::ffi::OsString = key;
    let mut command = Command::new(findscu);
    command.args(["-S", "-aec", "YINGHAI", "127.0.0.1", &server.dicom.to_string(), "-k", "QueryRetrieveLevel=STUDY"]);
    command.args(["-k", &format!("SpecificCharacterSet={charset}"), "-k"]).arg(key);
    run(command.arg("-X").arg("-od").arg(folder.path()));
    let files = std::fs::read_dir(folder.path()).expect("the answers");
    files.flat_map(|file| std::fs::read(file.expect("an answer").path()).expect("read")).collect()
}

#[test]
fn each_asks_and_is_answered_in_its_own_character_set() {
    let (Some(findscu), Some(server)) = (program("findscu"), filled()) else { return };
    for (charset, asked, answered) in [
        ("GB18030", &b"\xd5\xc5^*"[..], &b"Zhang^San=\xd5\xc5^\xc8\xfd"[..]),
        ("GB18030", b"\xea\x90^*", b"Chen=\xea\x90^\xb4\xf3\xce\xc4"),
        ("ISO_IR 192", "张^*".as_bytes(), "Zhang^San=张^三".as_bytes()),
        ("ISO_IR 192", "張^*".as_bytes(), "Zhang^San=张^三".as_bytes()),
        ("\\ISO 2022 IR 58", b"*\x1b$)A\xc8\xfd", b"Zhang^San=\x1b$)A\xd5\xc5^\x1b$)A\xc8\xfd"),
        ("\\ISO 2022 IR 87", b"Yamada*", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B="),
        ("\\ISO 2022 IR 149", b"=\x1b$)C\xfb\xf3^*", b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="),
        ("ISO_IR 100", b"*J\xe9r*", b"Buc^J\xe9r\xf4me"),
        // What the asking side's set cannot hold comes in UTF-8.
        ("ISO_IR 100", b"Zhang^San", "Zhang^San=张^三".as_bytes()),
    ] {
        let answers = find(&server, &findscu, charset, asked);
        let has = answers.windows(answered.len()).any(|window| window == answered);
        assert!(has, "{charset}: {}", String::from_utf8_lossy(&answers));
    }
}
