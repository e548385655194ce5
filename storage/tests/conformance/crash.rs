//! What got success is there after `kill -9`; what did not leaves no half instance.

use crate::support::{Slice, assert_sound, everywhere, sqlite_and_folder, uid};
use futures::future::join_all;
use pacs_core::{
    query::{Level, Query},
    tags,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};
use storage::{Archive, Expected, Origin, StorageConfig};

/// Set for the child process, which stores until it is killed.
const CHILD: &str = "STORAGE_CRASH_TEST_FOLDER";
const KILLS: u64 = 6;

/// Not a test by itself: the victim of the one below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let config = StorageConfig { data_dir: folder.into(), ..StorageConfig::default() };
    let archive = Archive::open(&config).await.expect("an archive");
    join_all((0..4).map(|_| send_forever(&archive))).await;
}

async fn send_forever(archive: &Archive) {
    loop {
        let slice = Slice::new("1.1", "1.1.1", &format!("1.1.1.{}", rand::random::<u32>()));
        slice.sent_to(archive).await;
        println!("stored {} .", slice.sop_instance);
    }
}

/// Lets the victim work for a while after its first success and kills it; returns what it was told is stored.
fn run_and_kill(config: &StorageConfig, after: Duration) -> BTreeSet<String> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["crash::victim", "--exact", "--nocapture"])
        .env(CHILD, &config.data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut lines = output.lines();
    let mut stored: Vec<String> = lines.by_ref().map_while(Result::ok).filter(|line| is_stored(line)).take(1).collect();
    std::thread::sleep(after);
    child.kill().expect("a kill");
    child.wait().expect("an end");
    stored.extend(lines.map_while(Result::ok).filter(|line| is_stored(line)));
    stored.iter().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect()
}

fn is_stored(line: &str) -> bool {
    line.starts_with("stored ") && line.ends_with('.')
}

#[tokio::test]
async fn every_acknowledged_instance_survives_a_kill() {
    let home = sqlite_and_folder();
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        acknowledged.extend(run_and_kill(&home.config, Duration::from_millis(37 * round)));
        let archive = home.open().await;
        let rows = archive.find(&Query::new(Level::Instance)).await.expect("rows");
        let held: BTreeSet<_> = rows.iter().map(|row| row.values[&tags::SOP_INSTANCE_UID].clone()).collect();
        assert!(acknowledged.is_subset(&held), "round {round}: {:?}", acknowledged.difference(&held));
        assert_sound(&archive).await;
        for sop_instance in &held {
            let stored = Slice::new("1.1", "1.1.1", sop_instance).held_in(&archive).await;
            assert_eq!(archive.read_frame(&stored, 0).await.expect("its frame").0.len(), 256);
        }
        let study = archive.find(&Query::new(Level::Study)).await.expect("rows").remove(0);
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], held.len().to_string());
        assert_eq!(archive.events(0, u32::MAX).await.expect("events").len(), held.len());
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), None);
        archive.close().await;
        drop(archive);
    }
    assert!(acknowledged.len() >= KILLS as usize);
}

#[tokio::test]
async fn an_instance_that_is_dropped_half_way_leaves_nothing() {
    everywhere(async |archive| {
        let mut incoming = archive.receive(Origin::Room("test")).await.expect("room");
        incoming.write(&Slice::new("1.1", "1.1.1", "1.1.1.1").part10()).await.expect("written");
        drop(incoming);
        assert_sound(&archive).await;
        assert_eq!(archive.find(&Query::new(Level::Instance)).await.expect("rows"), []);
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_goes_away_during_the_commit_loses_no_one_else_s_instance() {
    everywhere(async |archive| {
        for n in 0..40_u64 {
            let part10 = Slice::new("1.1", "1.1.1", &format!("1.1.1.{n}")).part10();
            let archive = archive.clone();
            let send = async move { archive.ingest(Origin::Room("test"), &part10, &Expected::default()).await };
            // Cancelled at whatever step it has come to.
            let _ = tokio::time::timeout(Duration::from_micros(200 * n), send).await;
        }
        Slice::new("1.1", "1.1.1", "1.1.1.99").sent_to(&archive).await;
        assert_sound(&archive).await;
        let instances = archive.instances(&uid("1.1"), None, None).await.expect("instances");
        for stored in &instances {
            archive.read_frame(stored, 0).await.expect("rows never without their object");
        }
        let study = archive.find(&Query::new(Level::Study)).await.expect("rows").remove(0);
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], instances.len().to_string());
    })
    .await;
}
