//! DCMTK and pynetdicom as peers. A peer that is not installed is skipped with the reason printed.

use crate::support::{Server, config, ct, printed, shared};
use dicom_node::NodeConfig;
use pacs_core::{
    query::{Level, Query},
    tags,
};
use std::{path::Path, process::Output};

/// Debian's DCMTK; by full path, because pynetdicom's scripts have the same names.
const ECHOSCU: &str = "/usr/bin/echoscu";
const STORESCU: &str = "/usr/bin/storescu";
const FINDSCU: &str = "/usr/bin/findscu";
const DCMSEND: &str = "/usr/bin/dcmsend";
const HERE: [&str; 4] = ["-aec", "YINGHAI", "HOST", "PORT"];

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", printed(output));
}

async fn instances(server: &Server) -> usize {
    server.archive.find(&Query::new(Level::Instance)).await.unwrap().len()
}

#[tokio::test]
async fn echoscu_is_answered_and_told_when_it_calls_another() {
    let server = Server::start(config()).await;
    let Some(output) = server.peer(ECHOSCU, &[&["--propose-ts", "3", "--repeat", "3"], &HERE[..]].concat()).await
    else {
        return;
    };
    succeeded(&output);
    let Some(output) = server.peer(ECHOSCU, &["-v", "-aec", "OTHER", "HOST", "PORT"]).await else { return };
    assert!(printed(&output).contains("Called AE Title Not Recognized"), "{}", printed(&output));
}

#[tokio::test]
async fn findscu_sees_chinese_names_in_its_own_character_set_and_in_utf_8() {
    let server = Server::start(config()).await;
    // 张^伟 in GB18030, as `ct` says.
    let file = ct("1.2.3", "1.2.3.4", b"\xD5\xC5^\xCE\xB0", &[0; 8]);
    server.archive.ingest(storage::Origin::Room("test"), &file, &storage::Expected::default()).await.unwrap();
    let find = async |charset: &str| {
        let charset = format!("SpecificCharacterSet={charset}");
        let keys =
            ["-S", "-k", &charset, "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName", "-k", "ModalitiesInStudy"];
        server.peer(FINDSCU, &[&keys[..], &HERE[..]].concat()).await
    };
    for (charset, expected) in [
        ("GB18030", &b"[\xD5\xC5^\xCE\xB0 ]"[..]),
        ("\\ISO 2022 IR 58", &b"[\x1b$)A\xD5\xC5^\x1b$)A\xCE\xB0 ]"[..]),
        ("ISO_IR 192", "[\u{5f20}^\u{4f1f} ]".as_bytes()),
        ("ISO_IR 100", "[\u{5f20}^\u{4f1f} ]".as_bytes()),
    ] {
        let Some(output) = find(charset).await else { return };
        succeeded(&output);
        let all = [output.stdout, output.stderr].concat();
        assert!(all.windows(expected.len()).any(|window| window == expected), "{}", String::from_utf8_lossy(&all));
        assert!(String::from_utf8_lossy(&all).contains("ModalitiesInStudy"));
    }
}

#[tokio::test]
async fn findscu_asks_at_every_level() {
    let server = Server::start(config()).await;
    let file = ct("1.2.3", "1.2.3.4", b"Wang^Wei", &[0; 8]);
    server.archive.ingest(storage::Origin::Room("test"), &file, &storage::Expected::default()).await.unwrap();
    for (model, level, key, expected) in [
        ("-P", "PATIENT", "PatientID=P*", "PatientID"),
        ("-P", "STUDY", "StudyDate=20261101-20261130", "1.2.3"),
        ("-S", "STUDY", "PatientName=wang*", "Wang^Wei"),
        ("-S", "SERIES", "StudyInstanceUID=1.2.3", "1.2.3.1"),
        ("-S", "IMAGE", "SOPInstanceUID=1.2.3.4\\1.2.9", "1.2.3.4"),
    ] {
        let level = format!("QueryRetrieveLevel={level}");
        let keys = ["-v", model, "-k", &level, "-k", key, "-k", "PatientName"];
        let Some(output) = server.peer(FINDSCU, &[&keys[..], &HERE[..]].concat()).await else { return };
        succeeded(&output);
        assert!(
            printed(&output).contains("Find Response: 1") && printed(&output).contains(expected),
            "{}",
            printed(&output)
        );
    }
    let keys = ["-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=Nobody"];
    let Some(output) = server.peer(FINDSCU, &[&keys[..], &HERE[..]].concat()).await else { return };
    assert!(!printed(&output).contains("Find Response: 1"), "{}", printed(&output));
    let Some(output) =
        server.peer(FINDSCU, &[&["-v", "-S", "-k", "QueryRetrieveLevel=NONE"], &HERE[..]].concat()).await
    else {
        return;
    };
    assert!(printed(&output).contains("0xa900") || printed(&output).contains("SOPClass"), "{}", printed(&output));
}

#[tokio::test]
async fn dcmsend_and_storescu_send_each_transfer_syntax_as_it_is() {
    let server = Server::start(config()).await;
    let Some(folder) = shared("conformance/transfer-syntax/same-ct-in-15-syntaxes") else { return };
    let mut sent = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.to_string_lossy();
        let Some(output) = server.peer(DCMSEND, &[&["-v", "-dn"], &HERE[..], &[&*name]].concat()).await else { return };
        if printed(&output).contains("not a multiple of 2") {
            println!("left out: dcmsend misreads {name}");
            continue;
        }
        succeeded(&output);
        let all = server.archive.find(&Query::new(Level::Instance)).await.unwrap();
        let uid = |tag| all.first().and_then(|row| row.values.get(&tag)).unwrap().parse().unwrap();
        let [study, series, sop_instance] =
            [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::SOP_INSTANCE_UID].map(uid);
        let stored = server.archive.instance(&study, &series, &sop_instance, None).await.unwrap();
        // Of the native ones dcmsend proposes all three together and converts to what we choose.
        let as_is = name.contains(&format!("_{}.dcm", stored.transfer_syntax));
        assert!(as_is || !stored.transfer_syntax.is_encapsulated(), "{name} became {}", stored.transfer_syntax);
        server.archive.delete(&stored.study, None, None).await.unwrap();
        sent += 1;
    }
    assert!(sent >= 10, "only {sent} sent");
}

#[tokio::test]
async fn storescu_sends_several_pdus_a_second_time_without_harm() {
    let server = Server::start(config()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ct.dcm");
    std::fs::write(&file, ct("1.2.3", "1.2.3.4", b"A", &[7; 100_000])).unwrap();
    let file = file.to_string_lossy();
    let sent = server.peer(STORESCU, &[&["-v", "-pdu", "4096"], &HERE[..], &[&file, &file]].concat()).await;
    let Some(output) = sent else { return };
    assert_eq!(printed(&output).matches("(Success)").count(), 2, "{}", printed(&output));
    assert_eq!(instances(&server).await, 1);
}

#[tokio::test]
async fn dcmsend_pushes_a_whole_scan_in_jpeg_ls() {
    let server = Server::start(config()).await;
    let Some(folder) = shared("chest-ct/LIDC-IDRI-0001") else { return };
    let folder = folder.to_string_lossy().into_owned();
    let options = ["-dn", "+sd", "+r", "-nh"];
    let Some(output) = server.peer(DCMSEND, &[&options[..], &HERE[..], &[&folder]].concat()).await else { return };
    succeeded(&output);
    assert!(instances(&server).await >= 133);
}

#[tokio::test]
async fn pynetdicom_negotiates_stores_and_finds() {
    let server = Server::start(NodeConfig::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ct.dcm");
    std::fs::write(&file, ct("1.2.3", "1.2.3.4", b"Wang^Wei", &[0; 8])).unwrap();
    // Where scripts/test installs it, else whatever Python there is.
    let python = std::env::var("YINGHAI_PEERS").map_or_else(|_| "python3".to_owned(), |peers| peers + "/bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/pynetdicom_peer.py");
    let (script, file) = (script.to_string_lossy(), file.to_string_lossy());
    let Some(output) = server.peer(&python, &[&script, "HOST", "PORT", &file]).await else { return };
    if printed(&output).contains("ModuleNotFoundError") {
        println!("skipped: {python} has no pynetdicom");
        return;
    }
    succeeded(&output);
    assert!(printed(&output).contains("all answered"));
}
