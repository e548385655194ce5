//! Peers that break the protocol get the A-ABORT, rejection or status that says what they did (PS3.8 §9.3.8), and the
//! node goes on serving others.

use crate::{
    raw::{self, ECHO, FIND, STORE},
    support::{self, Server, config},
};
use dicom_node::{
    NodeConfig,
    association::supported::STORAGE_COMMITMENT,
    dimse::{CommandSet, command::field},
    pdu::{Abort, AssociateRj, Pdu, Pdv, ProposedContext},
    scp::commitment::{Reference, Report},
};
use pacs_core::{Failure, sop_class::CT_IMAGE_STORAGE, transfer_syntax::IMPLICIT_VR_LITTLE_ENDIAN};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Sends `bytes` on an open association: the answer must be this A-ABORT.
async fn aborts(server: &Server, bytes: &[u8], expected: Abort) {
    let mut stream = raw::associate(server).await;
    stream.write_all(bytes).await.unwrap();
    assert_eq!(raw::receive(&mut stream).await, Some(Pdu::Abort(expected)), "{bytes:02X?}");
}

fn pdv(context: u8, is_command: bool, is_last: bool, data: &'static [u8]) -> Vec<u8> {
    Pdu::Data(vec![Pdv { context, is_command, is_last, data: data.into() }]).to_bytes()
}

#[tokio::test]
async fn protocol_faults_are_aborted_with_their_reason() {
    let server = Server::start(config()).await;
    aborts(&server, &[0x42, 0, 0, 0, 0, 4, 0, 0, 0, 0], Abort::UNRECOGNIZED_PDU).await;
    aborts(&server, &[4, 0, 0x7F, 0xFF, 0xFF, 0xFF], Abort::INVALID_PARAMETER).await;
    aborts(&server, &[4, 0, 0, 0, 0, 6, 0, 0, 0, 200, 1, 3], Abort::INVALID_PARAMETER).await;
    aborts(&server, &pdv(99, true, true, &[]), Abort::INVALID_PARAMETER).await;
    aborts(&server, &pdv(STORE, false, true, &[]), Abort::UNEXPECTED_PARAMETER).await;
    aborts(&server, &pdv(ECHO, true, true, b"garbage!"), Abort::USER).await;
    aborts(&server, &Pdu::AssociateRq(Box::new(raw::request())).to_bytes(), Abort::UNEXPECTED_PDU).await;
    aborts(&server, &Pdu::ReleaseRp.to_bytes(), Abort::UNEXPECTED_PDU).await;
    drop(raw::associate(&server).await);
}

#[tokio::test]
async fn a_request_that_cannot_be_is_rejected_or_aborted() {
    let server = Server::start(config()).await;
    let ask = async |change: fn(&mut dicom_node::pdu::AssociateRq)| {
        let mut request = raw::request();
        change(&mut request);
        let mut stream = raw::connect(&server).await;
        stream.write_all(&Pdu::AssociateRq(Box::new(request)).to_bytes()).await.unwrap();
        raw::receive(&mut stream).await
    };
    let rejected = |rj| Some(Pdu::AssociateRj(rj));
    assert_eq!(ask(|rq| rq.protocol_version = 0).await, rejected(AssociateRj::PROTOCOL_VERSION));
    assert_eq!(ask(|rq| rq.application_context = "1.2".into()).await, rejected(AssociateRj::APPLICATION_CONTEXT));
    assert_eq!(ask(|rq| rq.called = "X".into()).await, rejected(AssociateRj::CALLED_AE_TITLE));
    assert_eq!(ask(|rq| rq.calling = "A\\B".into()).await, rejected(AssociateRj::CALLING_AE_TITLE));
    assert_eq!(ask(|rq| rq.contexts[0].id = 2).await, Some(Pdu::Abort(Abort::INVALID_PARAMETER)));
}

#[tokio::test]
async fn who_says_nothing_and_who_says_it_slowly_is_cut_off() {
    let server = Server::start(NodeConfig { idle_seconds: 1, pdu_seconds: 1, ..config() }).await;
    let started = Instant::now();
    assert_eq!(raw::receive(&mut raw::connect(&server).await).await, None);
    let mut idle = raw::associate(&server).await;
    assert_eq!(raw::receive(&mut idle).await, Some(Pdu::Abort(Abort::NOT_SPECIFIED)));
    let mut slow = raw::associate(&server).await;
    slow.write_all(&[4, 0, 0, 0, 1]).await.unwrap();
    assert_eq!(raw::receive(&mut slow).await, Some(Pdu::Abort(Abort::NOT_SPECIFIED)));
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn connections_without_an_association_have_a_limit_for_each_host() {
    let limits = NodeConfig { max_pending_per_address: 2, artim_seconds: 30, ..config() };
    let server = Server::start(limits).await;
    // An association counts no longer ...
    let mut associated = Vec::new();
    for _ in 0..3 {
        associated.push(raw::associate(&server).await);
    }
    let silent = (raw::connect(&server).await, raw::connect(&server).await);
    assert_eq!(raw::receive(&mut raw::connect(&server).await).await, None, "a third silent one was let in");
    // ... and one that asks is told to come again later ...
    let mut third = raw::connect(&server).await;
    third.write_all(&Pdu::AssociateRq(Box::new(raw::request())).to_bytes()).await.unwrap();
    assert_eq!(raw::receive(&mut third).await, Some(Pdu::AssociateRj(AssociateRj::LOCAL_LIMIT)));
    // ... until it is released and its peer does not close: too many of those are closed by us.
    let mut released = associated.pop().unwrap();
    released.write_all(&Pdu::ReleaseRq.to_bytes()).await.unwrap();
    assert_eq!(raw::receive(&mut released).await, Some(Pdu::ReleaseRp));
    assert_eq!(raw::receive(&mut released).await, None);
    drop(silent);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(raw::associate(&server).await);
}

#[tokio::test]
async fn messages_are_understood_however_they_are_cut() {
    let server = Server::start(config()).await;
    let mut stream = raw::associate(&server).await;
    let many: Vec<u8> = (1..=5).flat_map(|id| raw::message(ECHO, &raw::echo_rq(id), None)).collect();
    stream.write_all(&many).await.unwrap();
    for id in 1..=5 {
        assert_eq!(raw::command(&mut stream).await.unwrap().message_id_being_responded_to, Some(id));
    }
    stream.set_nodelay(true).unwrap();
    for byte in raw::message(ECHO, &raw::echo_rq(77), None) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(raw::command(&mut stream).await.unwrap().message_id_being_responded_to, Some(77));
    stream.write_all(&Pdu::ReleaseRq.to_bytes()).await.unwrap();
    assert_eq!(raw::receive(&mut stream).await, Some(Pdu::ReleaseRp));
}

#[tokio::test]
async fn a_request_we_cannot_do_gets_a_status_and_the_association_goes_on() {
    let server = Server::start(config()).await;
    let mut stream = raw::associate(&server).await;
    let move_rq = CommandSet { command_field: 0x0021, ..raw::find_rq(4) };
    let wrong_class = CommandSet { affected_sop_class_uid: Some("1.2.3".into()), ..raw::store_rq("1.2.3") };
    let patient = raw::identifier(&[(8, 0x52, "PATIENT")]);
    for (context, command, data_set, expected) in [
        (FIND, move_rq, &b"anything"[..], 0x0211),
        (FIND, raw::find_rq(5), b"garbage", 0xC000),
        (FIND, raw::find_rq(6), b"", 0xA900),
        (FIND, raw::find_rq(7), &patient, 0xA900),
        (ECHO, raw::store_rq("1.2.3"), b"", 0x0211),
        (STORE, raw::store_rq("../escaped"), b"", 0x0117),
        (STORE, wrong_class, b"", 0x0122),
        (STORE, raw::store_rq("1.2.3"), b"", 0xC000),
    ] {
        stream.write_all(&raw::message(context, &command, Some(data_set))).await.unwrap();
        let response = raw::command(&mut stream).await.unwrap();
        assert_eq!(response.status, Some(expected), "{command:?}");
        assert_eq!(response.message_id_being_responded_to, command.message_id);
        assert_eq!(response.command_field, command.command_field | field::RESPONSE);
    }
}

#[tokio::test]
async fn a_data_set_that_does_not_parse_or_lies_fails_and_the_next_one_is_stored() {
    let server = Server::start(config()).await;
    let mut stream = raw::associate(&server).await;
    let good = support::ct_data_set("1.2.3", "1.2.3.4", b"A", &[0; 8]);
    let deep = [&b"\x40\0\x75\x02\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF"[..]].concat().repeat(20_000);
    let huge = raw::identifier(&[(8, 0x18, "1.2.3.4"), (0x7FE0, 0x10, "")])[..20].to_vec();
    for (sop_instance, data_set, expected) in [
        ("1.2.3.4", good[..good.len() - 5].to_vec(), 0xC000),
        ("1.2.3.4", [huge, b"\xF0\xFF\xFF\xFF".to_vec()].concat(), 0xC000),
        ("1.2.3.4", deep, 0xC000),
        ("1.2.3.9", good.clone(), 0xA900),
        ("1.2.3.4", support::ct_data_set("", "1.2.3.4", b"A", &[0; 8]), 0x0120),
        ("1.2.3.4", support::ct_data_set("../escaped", "1.2.3.4", b"A", &[0; 8]), 0x0120),
        ("1.2.3.4", good, 0x0000),
    ] {
        stream.write_all(&raw::message(STORE, &raw::store_rq(sop_instance), Some(&data_set))).await.unwrap();
        let response = raw::command(&mut stream).await.unwrap();
        assert_eq!(response.status, Some(expected), "{response:?}");
        assert!(expected == 0 || response.error_comment.is_some_and(|comment| !comment.is_empty()));
    }
    let all = pacs_core::query::Query::new(pacs_core::query::Level::Instance);
    assert_eq!(server.archive.find(&all).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_instance_cut_short_by_an_abort_leaves_nothing_behind() {
    let server = Server::start(config()).await;
    let mut stream = raw::associate(&server).await;
    let whole = raw::message(STORE, &raw::store_rq("1.2.3.4"), Some(&vec![0; 60_000]));
    stream.write_all(&whole[..40_000]).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let all = pacs_core::query::Query::new(pacs_core::query::Level::Instance);
    assert!(server.archive.find(&all).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_query_is_cancelled_between_its_answers() {
    let server = Server::start(config()).await;
    for n in 0..200 {
        let file = support::ct(&format!("1.2.{n}"), &format!("1.2.{n}.1"), b"A", &[0; 8]);
        let origin = storage::Origin::Room("test");
        server.archive.ingest(origin, &file, &storage::Expected::default()).await.unwrap();
    }
    let mut stream = raw::associate(&server).await;
    let find = raw::message(FIND, &raw::find_rq(3), Some(&raw::identifier(&[(8, 0x52, "STUDY")])));
    let cancel = raw::message(FIND, &raw::cancel_rq(3), None);
    // Both in one write: the cancel is seen before the first answers go out.
    stream.write_all(&[find, cancel, raw::message(ECHO, &raw::echo_rq(4), None)].concat()).await.unwrap();
    assert_eq!(raw::command(&mut stream).await.unwrap().status, Some(0xFE00));
    assert_eq!(raw::command(&mut stream).await.unwrap().message_id_being_responded_to, Some(4));
}

#[tokio::test]
async fn more_matches_than_allowed_end_with_out_of_resources() {
    let server = Server::start(NodeConfig { max_find_results: 2, ..config() }).await;
    for n in 0..3 {
        let file = support::ct(&format!("1.2.{n}"), &format!("1.2.{n}.1"), b"A", &[0; 8]);
        let origin = storage::Origin::Room("test");
        server.archive.ingest(origin, &file, &storage::Expected::default()).await.unwrap();
    }
    let mut stream = raw::associate(&server).await;
    let keys = raw::identifier(&[(8, 0x52, "STUDY"), (0x11, 0x11, "")]);
    stream.write_all(&raw::message(FIND, &raw::find_rq(3), Some(&keys))).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(raw::command(&mut stream).await.unwrap().status.unwrap());
    }
    assert_eq!(statuses, [0xFF01, 0xFF01, 0xA700]);
}

#[tokio::test]
async fn a_report_on_what_nobody_asked_is_refused_and_the_association_goes_on() {
    const COMMITMENT: u8 = 7;
    let server = Server::start(config()).await;
    let mut rq = raw::request();
    rq.contexts.push(ProposedContext {
        id: COMMITMENT,
        abstract_syntax: STORAGE_COMMITMENT.to_owned(),
        transfer_syntaxes: vec![IMPLICIT_VR_LITTLE_ENDIAN.to_owned()],
    });
    let mut stream = raw::connect(&server).await;
    stream.write_all(&Pdu::AssociateRq(Box::new(rq)).to_bytes()).await.unwrap();
    assert!(matches!(raw::receive(&mut stream).await, Some(Pdu::AssociateAc(_))));
    let instance = Reference { sop_class: CT_IMAGE_STORAGE.to_owned(), sop_instance: "1.2.3".parse().unwrap() };
    let report = Report { transaction: "2.25.1".parse().unwrap(), committed: vec![instance], failed: Vec::new() };
    for (data_set, expected) in
        [(report.data_set("RAW", false), 0x0112), (b"nonsense".to_vec().into(), Failure::CannotUnderstand.dimse())]
    {
        stream.write_all(&raw::message(COMMITMENT, &report.request(1), Some(&data_set))).await.unwrap();
        let answer = raw::command(&mut stream).await.unwrap();
        assert_eq!((answer.command_field, answer.status), (field::N_EVENT_REPORT_RSP, Some(expected)));
    }
    stream.write_all(&raw::message(raw::ECHO, &raw::echo_rq(2), None)).await.unwrap();
    assert_eq!(raw::command(&mut stream).await.unwrap().status, Some(0));
}
