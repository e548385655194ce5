//! Our user against our provider: what is sent is stored, found and counted.

use crate::{
    raw,
    support::{Server, config, ct, ct_data_set, shared},
};
use dicom_node::{
    NodeConfig,
    dimse::CommandSet,
    pdu::{AssociateRj, ContextOutcome, Pdu},
    scu::{self, Instance, Remote, ScuError, Summary},
};
use futures::TryStreamExt;
use pacs_core::{
    data_set::{Limits, scan},
    part10::read_meta,
    query::{Level, Query},
    sop_class::NonPatient,
    tags,
};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
    time::Duration,
};
use storage::{Peer, SameUidOtherContent, StorageConfig, StoredInstance};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

fn remote(server: &Server) -> Remote {
    Remote {
        address: server.address.to_string(),
        calling: "CT".parse().unwrap(),
        called: "YINGHAI".parse().unwrap(),
        tls: None,
    }
}

async fn send(server: &Server, files: Vec<Vec<u8>>) -> (Summary, Vec<Option<u16>>) {
    let mut statuses = Vec::new();
    let instances = files.into_iter().map(|bytes| Instance::Bytes(bytes.into()));
    let summary = scu::store(&remote(server), instances, |progress| statuses.push(progress.outcome.ok())).await;
    (summary.unwrap(), statuses)
}

#[tokio::test]
async fn an_echo_is_answered() {
    let server = Server::start(config()).await;
    scu::echo(&remote(&server)).await.unwrap();
}

#[tokio::test]
async fn another_name_is_rejected_and_an_alias_is_not() {
    let server = Server::start(NodeConfig { aliases: vec!["OLD_PACS".parse().unwrap()], ..config() }).await;
    let other = |name: &str| Remote { called: name.parse().unwrap(), ..remote(&server) };
    scu::echo(&other("OLD_PACS")).await.unwrap();
    let refused = scu::echo(&other("OTHER")).await;
    assert!(matches!(refused, Err(ScuError::Rejected(AssociateRj::CALLED_AE_TITLE))), "{refused:?}");
    let alerts = server.archive.audit_trail(10).await.unwrap();
    assert!(alerts.iter().any(|record| !record.success && record.actor == "CT"));
}

#[tokio::test]
async fn a_peer_has_no_more_associations_than_it_may() {
    let server = Server::start(NodeConfig { open_to_loopback: false, ..config() }).await;
    let peer = Peer { max_associations: Some(1), ..Peer::new("RAW".parse().unwrap()) };
    server.archive.put_peer(&peer).await.unwrap();
    let further = Remote { calling: "RAW".parse().unwrap(), ..remote(&server) };
    let first = raw::associate(&server).await;
    let refused = scu::echo(&further).await;
    assert!(matches!(refused, Err(ScuError::Rejected(AssociateRj::LOCAL_LIMIT))), "{refused:?}");
    drop(first);
    sleep(Duration::from_millis(200)).await;
    scu::echo(&further).await.unwrap();
}

#[tokio::test]
async fn a_stranger_is_rejected_when_loopback_is_not_open() {
    let server = Server::start(NodeConfig { open_to_loopback: false, ..config() }).await;
    let refused = scu::echo(&remote(&server)).await;
    assert!(matches!(refused, Err(ScuError::Rejected(AssociateRj::CALLING_AE_TITLE))), "{refused:?}");
    let peer = Peer { host: Some("localhost".to_owned()), ..Peer::new("CT".parse().unwrap()) };
    server.archive.put_peer(&peer).await.unwrap();
    scu::echo(&remote(&server)).await.unwrap();
    let (summary, _) = send(&server, vec![ct("1.2.3", "1.2.3.4", b"A", &[0; 8])]).await;
    assert_eq!(summary, Summary { not_sent: 1, ..Summary::default() });
}

#[tokio::test]
async fn the_same_again_is_a_success_and_other_content_too() {
    let server = Server::start(config()).await;
    let first = ct("1.2.3", "1.2.3.4", b"A", &[0; 8]);
    let other = ct("1.2.3", "1.2.3.4", b"A", &[1; 8]);
    let files = vec![first.clone(), first.clone(), other.clone(), ct("1.2.3", "1.2.3.5", b"A", &[0; 8])];
    assert_eq!(send(&server, files).await.1, [Some(0); 4]);
    assert_eq!(server.archive.find(&Query::new(Level::Instance)).await.unwrap().len(), 2);
    let [study, series, sop_instance] = ["1.2.3", "1.2.3.1", "1.2.3.4"].map(|uid| uid.parse().unwrap());
    let versions = server.archive.versions(&study, &series, &sop_instance).await.unwrap();
    assert_eq!(versions.len(), 2);
    for (version, file) in versions.iter().zip([first, other]) {
        assert_eq!(version.received_from, "CT");
        assert!(file.ends_with(&data_set_of(&server, &version.instance).await));
    }
}

#[tokio::test]
async fn other_content_is_refused_where_the_configuration_says_so() {
    let reject = |storage: &mut StorageConfig| storage.same_uid_other_content = SameUidOtherContent::Reject;
    let server = Server::start_with(config(), reject).await;
    let contents = [0u8, 0, 1].map(|fill| ct("1.2.3", "1.2.3.4", b"A", &[fill; 8]));
    assert_eq!(send(&server, contents.to_vec()).await.1, [Some(0), Some(0), Some(0x0111)]);
}

#[tokio::test]
async fn what_is_no_dicom_is_not_sent_and_the_next_one_is_stored() {
    let server = Server::start(config()).await;
    let good = ct("1.2.3", "1.2.3.4", b"A", &[0; 8]);
    let truncated = good[..good.len() - 5].to_vec();
    let no_study = ct("", "1.2.3.7", b"A", &[0; 8]);
    let (summary, statuses) = send(&server, vec![truncated, no_study, b"no DICOM".to_vec(), vec![], good]).await;
    assert_eq!(summary, Summary { stored: 1, refused: 1, not_sent: 3 });
    assert_eq!(statuses, [None, None, None, Some(0x0120), Some(0)]);
}

#[tokio::test]
async fn an_instance_of_many_fragments_arrives_whole() {
    let server = Server::start(config()).await;
    let pixels: Vec<u8> = (0..120_000u32).map(|n| n as u8).collect();
    let file = ct("1.2.3", "1.2.3.4", b"A", &pixels);
    let large = ct("1.2.3", "1.2.3.5", b"A", &pixels);
    let (summary, _) = send(&server, vec![file.clone(), large]).await;
    assert_eq!(summary.stored, 2);
    let [study, series, sop_instance] = ["1.2.3", "1.2.3.1", "1.2.3.4"].map(|uid| uid.parse().unwrap());
    let stored = server.archive.instance(&study, &series, &sop_instance, None).await.unwrap();
    let data_set = data_set_of(&server, &stored).await;
    assert!(file.ends_with(&data_set) && data_set.len() > pixels.len());
}

#[tokio::test]
async fn every_valid_file_of_the_corpus_is_stored_as_it_is() {
    let server = Server::start(NodeConfig { accept_unknown_sop_classes: true, ..config() }).await;
    let Some(folder) = shared("") else { return };
    let valid = |file: &PathBuf| {
        file.extension().is_some_and(|e| e == "dcm") && !file.components().any(|c| c.as_os_str() == "malformed")
    };
    let files: Vec<_> = files(&folder).into_iter().filter(valid).collect();
    let instances = files.iter().cloned().map(Instance::File);
    let mut outcomes = Vec::new();
    let note = |p: scu::Progress<'_>| outcomes.push((p.index, p.outcome.map_err(str::to_owned)));
    let summary = scu::store(&remote(&server), instances, note).await.unwrap();
    // What is refused is no fault of the sending: it has no study to belong to.
    let known = |outcome: &Result<u16, String>| match outcome {
        Ok(status) => [0x0000, 0x0120].contains(status),
        Err(reason) => reason.starts_with("the peer does not take") || reason.contains("UID: UID is"),
    };
    let strange: Vec<_> =
        outcomes.iter().filter(|(_, outcome)| !known(outcome)).map(|(i, o)| (&files[*i], o)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    assert!(summary.stored > 600, "{summary:?}");
    for (index, _) in outcomes.iter().filter(|(_, outcome)| *outcome == Ok(0)) {
        assert_is_held(&server, &files[*index]).await;
    }
}

/// As it was sent, without File Meta Information.
async fn data_set_of(server: &Server, stored: &StoredInstance) -> Vec<u8> {
    server.archive.read_range(stored, stored.data_set_offset..stored.len).await.unwrap().to_vec()
}

/// The archive holds the data set of the file byte for byte, as one of the versions under its UIDs.
async fn assert_is_held(server: &Server, file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    let mut reader = Cursor::new(&bytes);
    let meta = read_meta(&mut reader).unwrap();
    let data_set = scan(&mut reader, &meta.transfer_syntax, Limits::default()).unwrap();
    if let Some(kind) = data_set.text(tags::SOP_CLASS_UID).and_then(|class| NonPatient::of(&class)) {
        let sop_instance = data_set.text(tags::SOP_INSTANCE_UID).unwrap().parse().unwrap();
        let object = server.archive.non_patient_object(kind, &sop_instance, None).await.unwrap();
        let held: Vec<_> = server.archive.read_non_patient_object(&object).await.unwrap().try_collect().await.unwrap();
        assert!(held.concat().ends_with(&bytes[meta.data_set_offset as usize..]), "{}", file.display());
        return;
    }
    let [study, series, sop_instance] = [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID, tags::SOP_INSTANCE_UID]
        .map(|tag| data_set.text(tag).unwrap().parse().unwrap());
    let mut is_held = false;
    for version in server.archive.versions(&study, &series, &sop_instance).await.unwrap() {
        is_held |= version.instance.transfer_syntax == meta.transfer_syntax
            && data_set_of(server, &version.instance).await == bytes[meta.data_set_offset as usize..];
    }
    assert!(is_held, "{}", file.display());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn one_association_too_many_is_told_to_come_back() {
    let server = Server::start(NodeConfig { max_associations: 1, ..config() }).await;
    let held = raw::associate(&server).await;
    let refused = scu::echo(&remote(&server)).await;
    assert!(matches!(refused, Err(ScuError::Rejected(AssociateRj::LOCAL_LIMIT))), "{refused:?}");
    drop(held);
    sleep(Duration::from_millis(200)).await;
    scu::echo(&remote(&server)).await.unwrap();
}

#[tokio::test]
async fn shutdown_aborts_who_waits_and_ends() {
    let server = Server::start(config()).await;
    let mut held = raw::associate(&server).await;
    server.shutdown.cancel();
    let mut answer = Vec::new();
    held.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [7, 0, 0, 0, 0, 4, 0, 0, 2, 0]);
    server.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_lets_a_message_under_way_finish() {
    let server = Server::start(config()).await;
    let mut held = raw::associate(&server).await;
    let data_set = ct_data_set("1.2.3", "1.2.3.4", b"A", &[0; 8]);
    let whole = raw::message(raw::STORE, &raw::store_rq("1.2.3.4"), Some(&data_set));
    held.write_all(&whole[..200]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    sleep(Duration::from_millis(100)).await;
    held.write_all(&whole[200..]).await.unwrap();
    assert_eq!(raw::command(&mut held).await.unwrap().status, Some(0));
    assert!(matches!(raw::receive(&mut held).await, Some(Pdu::Abort(_))));
}

#[tokio::test]
async fn a_user_identity_is_confirmed_or_the_association_rejected() {
    let server = Server::start(config()).await;
    server.archive.add_user("li", "a long passcode", &[storage::Role::Viewer]).await.unwrap();
    let token = server.archive.create_token("li", "workstation").await.unwrap();
    for (kind, primary, secondary, is_confirmed) in [
        (2, "li", "a long passcode", true),
        (2, "li", "a wrong passcode", false),
        (5, token.as_str(), "", true),
        (5, "e30.e30.AAAA", "", false),
    ] {
        // Item 58H: kind, response requested, then two fields with their lengths.
        let field = |text: &str| [&[0, text.len() as u8], text.as_bytes()].concat();
        let fields = [vec![kind, 1], field(primary), field(secondary)].concat();
        let item = [&[0x58, 0, 0, fields.len() as u8][..], &fields].concat();
        let mut stream = raw::connect(&server).await;
        stream.write_all(&raw::with_user_item(&item)).await.unwrap();
        match raw::receive(&mut stream).await {
            Some(Pdu::AssociateAc(ac)) => {
                assert!(is_confirmed && ac.user.identity_confirmed);
                // Anyone here may store, but not for this user.
                let outcomes: Vec<_> = ac.contexts.iter().map(|context| context.outcome).collect();
                let expected = [ContextOutcome::Acceptance, ContextOutcome::UserRejection, ContextOutcome::Acceptance];
                assert_eq!(outcomes, expected);
            }
            answer => assert!(!is_confirmed && answer == Some(Pdu::AssociateRj(AssociateRj::NO_REASON)), "{answer:?}"),
        }
    }
}

/// An association with a window of so many operations.
async fn with_window(server: &Server, invoked: u16) -> TcpStream {
    let mut stream = raw::connect(server).await;
    let mut rq = raw::request();
    rq.user.asynchronous_operations = Some((invoked, 1));
    stream.write_all(&Pdu::AssociateRq(Box::new(rq)).to_bytes()).await.unwrap();
    let Some(Pdu::AssociateAc(ac)) = raw::receive(&mut stream).await else { panic!("no association") };
    assert_eq!(ac.user.asynchronous_operations, Some((invoked.min(16), 1)));
    stream
}

/// C-STORE requests of so many instances, one behind the other.
fn in_a_row(count: u16) -> Vec<u8> {
    let one = |number: u16| {
        let uid = format!("1.2.3.{number}");
        let command = CommandSet { message_id: Some(number), ..raw::store_rq(&uid) };
        raw::message(raw::STORE, &command, Some(&ct_data_set("1.2.3", &uid, b"A^B", &[1; 3000])))
    };
    (1..=count).flat_map(one).collect()
}

#[tokio::test]
async fn instances_sent_without_waiting_are_each_answered_once() {
    let server = Server::start(config()).await;
    let mut stream = with_window(&server, 50).await;
    stream.write_all(&in_a_row(40)).await.unwrap();
    stream.write_all(&raw::message(raw::ECHO, &raw::echo_rq(41), None)).await.unwrap();
    let mut answered = Vec::new();
    while answered.len() < 41 {
        let answer = raw::command(&mut stream).await.unwrap();
        assert_eq!(answer.status, Some(0), "{answer:?}");
        answered.push(answer.message_id_being_responded_to.unwrap());
    }
    assert_eq!(answered.pop(), Some(41), "the echo after what came before it");
    answered.sort_unstable();
    assert_eq!(answered, (1..=40).collect::<Vec<_>>());
    stream.write_all(&Pdu::ReleaseRq.to_bytes()).await.unwrap();
    assert_eq!(raw::receive(&mut stream).await, Some(Pdu::ReleaseRp));
    assert_eq!(server.archive.find(&Query::new(Level::Instance)).await.unwrap().len(), 40);
}

#[tokio::test]
async fn what_was_complete_when_the_peer_went_is_kept_and_answers_come_before_a_release() {
    let server = Server::start(config()).await;
    let mut stream = with_window(&server, 8).await;
    stream.write_all(&[in_a_row(5), Pdu::ReleaseRq.to_bytes()].concat()).await.unwrap();
    for _ in 0..5 {
        assert_eq!(raw::command(&mut stream).await.unwrap().status, Some(0));
    }
    assert_eq!(raw::receive(&mut stream).await, Some(Pdu::ReleaseRp));
    let mut stream = with_window(&server, 8).await;
    stream.write_all(&in_a_row(9)).await.unwrap();
    // It hears no answer any more, but is there: one that has gone altogether resets the connection, with what is unread.
    stream.shutdown().await.unwrap();
    for _ in 0..100 {
        if server.archive.find(&Query::new(Level::Instance)).await.unwrap().len() == 9 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("instances are missing");
}
