//! The relay between a real archive and receivers on loopback.

use super::*;
use crate::{
    config::Hl7Route,
    hl7::{
        Message,
        mllp::{Decoder, frame},
    },
    imaging_result::example,
};
use pacs_core::finding::{Identity, to_sr};
use std::collections::VecDeque;
use storage::{Expected, JobState, Origin, StorageConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

/// What the receiver does with one message.
#[derive(Clone, Copy)]
enum Answer {
    Code(&'static str),
    /// Closes in the middle of the acknowledgement.
    Break,
}

struct Receiver {
    address: String,
    /// Control ids and whole messages as they came.
    came: mpsc::UnboundedReceiver<(String, Vec<u8>)>,
}

/// An EMR that answers as told, then accepts.
async fn receiver(answers: &[Answer]) -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, came) = mpsc::unbounded_channel();
    let mut answers: VecDeque<Answer> = answers.iter().copied().collect();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let message = read_frame(&mut stream).await;
            let control_id = control_id(&message);
            let _ = tell.send((control_id.clone(), message));
            let (code, len) = match answers.pop_front().unwrap_or(Answer::Code("AA")) {
                Answer::Code(code) => (code, usize::MAX),
                Answer::Break => ("AA", 20),
            };
            let answer = frame(format!("MSH|^~\\&|EMR\rMSA|{code}|{control_id}|as told\r").as_bytes());
            let _ = stream.write_all(&answer[..len.min(answer.len())]).await;
        }
    });
    Receiver { address, came }
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut decoder = Decoder::new(1 << 20);
    let mut buffer = [0; 512];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the sender gave up");
        if let Some(message) = decoder.next_frame(&mut &buffer[..read]).unwrap() {
            return message;
        }
    }
}

fn control_id(message: &[u8]) -> String {
    let text = String::from_utf8(message.to_vec()).unwrap();
    Message::parse(&text).unwrap().segment("MSH").unwrap().component(10, 1)
}

async fn archive(folder: &tempfile::TempDir) -> Archive {
    let config = StorageConfig { data_dir: folder.path().into(), ..StorageConfig::default() };
    Archive::open(&config).await.unwrap()
}

async fn store_report(archive: &Archive, sop_instance: &str) {
    store(archive, &report_file(sop_instance)).await;
}

async fn store(archive: &Archive, file: &[u8]) {
    archive.ingest(Origin::Room("ai-inference"), file, &Expected::default()).await.unwrap();
}

fn report_file(sop_instance: &str) -> Vec<u8> {
    let identity = Identity {
        series: format!("{sop_instance}.1").parse().unwrap(),
        sop_instance: sop_instance.parse().unwrap(),
        device_observer: "2.25.9".parse().unwrap(),
        date: "20261123".into(),
        time: "101000".into(),
        timezone: "+0800".into(),
    };
    let source = example::metadata();
    to_sr(&example::report(), Attributes::of(&source).unwrap(), &identity).unwrap()
}

/// The file with each `from` in it replaced by the equally long `to`.
fn with_text(mut file: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..file.len()).filter(|&at| file.get(at..).is_some_and(|rest| rest.starts_with(from.as_bytes()))).collect();
    assert!(!places.is_empty(), "{from} is in the file");
    for at in places {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    file
}

/// Routes to these addresses, tried again at once.
fn config(routes: &[(&str, &str)]) -> IntegrationConfig {
    let route = |&(name, address): &(&str, &str)| Hl7Route {
        name: name.into(),
        address: address.into(),
        acknowledgement_seconds: 2,
        ..Hl7Route::default()
    };
    let retry = RetryConfig { first_seconds: 0, max_seconds: 0, max_attempts: 4, max_refusals: 3 };
    IntegrationConfig { hl7: routes.iter().map(route).collect(), retry, ..IntegrationConfig::default() }
}

/// Runs the relay until every job of `kind` is done or dead and there are `jobs` of them.
async fn run_until_settled(archive: &Archive, config: IntegrationConfig, kind: &str, jobs: usize) -> Vec<Job> {
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay(archive.clone(), config, shutdown.clone()));
    let settled = timeout(Duration::from_secs(30), async {
        loop {
            let found = archive.jobs(kind, None, 100).await.unwrap();
            let settled = |job: &Job| matches!(job.state, JobState::Done | JobState::Dead);
            if found.len() == jobs && found.iter().all(settled) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let found = settled.await.expect("the jobs settle");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    found
}

async fn check(answers: &[Answer], state: JobState, messages: usize) -> Job {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let mut receiver = receiver(answers).await;
    store_report(&archive, "2.25.77").await;
    let jobs = run_until_settled(&archive, config(&[("emr", &receiver.address)]), "hl7:emr", 1).await;
    let mut came = Vec::new();
    while let Ok(message) = receiver.came.try_recv() {
        came.push(message);
    }
    assert_eq!((jobs[0].state, came.len()), (state, messages), "{:?}", jobs[0]);
    assert!(came.windows(2).all(|pair| pair[0] == pair[1]), "a second delivery differs from the first");
    jobs[0].clone()
}

#[tokio::test]
async fn a_stored_report_reaches_the_receiver() {
    let job = check(&[], JobState::Done, 1).await;
    assert_eq!(job.result.as_deref(), Some("AA: as told"));
}

#[tokio::test]
async fn a_broken_acknowledgement_and_a_refusal_are_tried_again_with_the_same_bytes() {
    check(&[Answer::Break, Answer::Code("AE")], JobState::Done, 3).await;
}

#[tokio::test]
async fn a_receiver_that_keeps_refusing_gets_no_more_than_its_tries() {
    let job = check(&[Answer::Code("AE"); 9], JobState::Dead, 3).await;
    assert_eq!(job.last_error.as_deref(), Some("receiver answered AE: as told"));
    check(&[Answer::Break; 9], JobState::Dead, 4).await;
}

#[tokio::test]
async fn a_dead_letter_that_is_revived_has_all_its_tries_again() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    // A rejection ends it at once; of the two refusals after the revival, one would be the last of three tries.
    let receiver = receiver(&[Answer::Code("AR"), Answer::Code("AE"), Answer::Code("AE")]).await;
    store_report(&archive, "2.25.77").await;
    let config = config(&[("emr", &receiver.address)]);
    let jobs = run_until_settled(&archive, config.clone(), "hl7:emr", 1).await;
    assert_eq!(jobs[0].state, JobState::Dead);
    archive.revive(&jobs[0].id).await.unwrap();
    let jobs = run_until_settled(&archive, config, "hl7:emr", 1).await;
    assert_eq!((jobs[0].state, jobs[0].attempts), (JobState::Done, 3));
}

#[tokio::test]
async fn one_route_being_down_does_not_hold_up_another() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let receiver = receiver(&[]).await;
    store_report(&archive, "2.25.77").await;
    // Port 1 is closed on every machine that runs tests.
    let mut config = config(&[("away", "127.0.0.1:1"), ("emr", &receiver.address)]);
    config.retry.first_seconds = 60;
    config.retry.max_seconds = 60;
    let jobs = run_until_settled(&archive, config, "hl7:emr", 1).await;
    assert_eq!(jobs[0].state, JobState::Done);
    let waiting = archive.jobs("hl7:away", None, 10).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].state), (1, JobState::Due));
}

#[tokio::test]
async fn reports_arrive_in_the_order_they_were_stored_and_once_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let mut receiver = receiver(&[Answer::Break]).await;
    let config = config(&[("emr", &receiver.address)]);
    for instance in 1..=3 {
        store_report(&archive, &format!("2.25.{instance}")).await;
    }
    run_until_settled(&archive, config.clone(), "hl7:emr", 3).await;
    store_report(&archive, "2.25.4").await;
    run_until_settled(&archive, config, "hl7:emr", 4).await;
    let expected = [1, 1, 2, 3, 4].map(|n| crate::identity::control_id("hl7:emr", &format!("2.25.{n}")));
    for expected in expected {
        assert_eq!(receiver.came.try_recv().unwrap().0, expected);
    }
    assert!(receiver.came.try_recv().is_err());
}

#[tokio::test]
async fn a_route_that_is_added_later_gets_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    store_report(&archive, "2.25.1").await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay(archive.clone(), IntegrationConfig::default(), shutdown.clone()));
    let read = async {
        while archive.consumer_position(CONSUMER).await.unwrap() == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), read).await.expect("the outbox is read");
    shutdown.cancel();
    running.await.unwrap().unwrap();

    let mut receiver = receiver(&[]).await;
    store_report(&archive, "2.25.2").await;
    run_until_settled(&archive, config(&[("emr", &receiver.address)]), "hl7:emr", 1).await;
    assert_eq!(receiver.came.try_recv().unwrap().0, crate::identity::control_id("hl7:emr", "2.25.2"));
}

#[tokio::test]
async fn only_reports_of_our_ai_and_of_named_algorithms_are_relayed() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    let receiver = receiver(&[]).await;
    // Observer Type: (121007, DCM, "Device") becomes (121006, DCM, "Person").
    store(&archive, &with_text(report_file("2.25.1"), "121007", "121006")).await;
    let foreign = |instance| with_text(report_file(instance), "Yinghai ", "Another ");
    store(&archive, &with_text(foreign("2.25.2"), "nodule", "strang")).await;
    store(&archive, &foreign("2.25.3")).await;
    store_report(&archive, "2.25.4").await;
    let mut config = config(&[("emr", &receiver.address)]);
    config.algorithms = vec!["Another nodule".into()];
    let jobs = run_until_settled(&archive, config, "hl7:emr", 2).await;
    let mut relayed: Vec<_> = jobs.iter().map(|job| job.key.as_str()).collect();
    relayed.sort_unstable();
    assert_eq!(relayed, ["2.25.3", "2.25.4"]);
}

#[tokio::test]
async fn a_deleted_report_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(&folder).await;
    store_report(&archive, "2.25.1").await;
    let routes = [Arc::new(Route::all(&config(&[("emr", "127.0.0.1:1")])).unwrap().remove(0))];
    assert_eq!(queue_batch(&archive, &routes, &[]).await.unwrap(), 1);
    archive.delete(&"1.2.3".parse().unwrap(), None, None).await.unwrap();
    let jobs = run_until_settled(&archive, config(&[("emr", "127.0.0.1:1")]), "hl7:emr", 1).await;
    assert_eq!(jobs[0].last_error.as_deref(), Some("the report is no longer in the archive"));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_stops_the_room_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let started = relay(archive(&folder).await, config(&[("emr", "nowhere")]), CancellationToken::new()).await;
    assert!(matches!(started, Err(RelayError::Route(..))));
}
