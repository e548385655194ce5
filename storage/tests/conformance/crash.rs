//! What got success is there after `kill -9`; what did not leaves no half instance.

use crate::support::{
    Home, Slice, assert_sound, bucket, everywhere, only_row, padded, postgres_and_folder, sqlite_and_folder, uid,
};
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

/// Set for the child process, which stores until it is killed: the archive's configuration as JSON.
const CHILD: &str = "STORAGE_CRASH_TEST_CONFIG";
/// The long mode: so many kills, by this variable. 200 take some minutes.
const LONG: &str = "PACS_TEST_KILLS";
const KILLS: u64 = 20;
/// After so many kills the next ones find an empty archive, for each is looked through whole.
const A_LIFE: u64 = 10;

/// Such an instance is a pack of its own.
const LARGE: u32 = 3 << 19;

/// Not a test by itself: the victim of the ones below. Packs are sealed and made anew while more comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Ok(config) = std::env::var(CHILD) else { return };
    let config: StorageConfig = serde_json::from_str(&config).expect("a configuration");
    let config = StorageConfig { quiet_seconds: 0, ..config };
    let archive = Archive::open(&config).await.expect("an archive");
    futures::join!(join_all((1..=4).map(|series| send_forever(&archive, series))), seal_forever(&archive));
}

async fn send_forever(archive: &Archive, series: u8) {
    loop {
        let series = format!("1.1.{}", series % 3);
        let slice = Slice::new("1.1", &series, &format!("{series}.{}", rand::random::<u32>()));
        let part10 = if rand::random_ratio(1, 8) { padded(&slice, LARGE) } else { slice.part10() };
        archive.ingest(Origin::Room("test"), &part10, &Expected::default()).await.expect("stored");
        println!("stored {} .", slice.sop_instance);
    }
}

async fn seal_forever(archive: &Archive) {
    loop {
        archive.seal_quiet_packs().await;
        archive.compact_one_series().await.expect("packs made anew");
        archive.remove_doomed_objects().await.expect("a look");
    }
}

/// Lets the victim work for a while after its first success and kills it; returns what it was told is stored.
fn run_and_kill(config: &StorageConfig, after: Duration) -> BTreeSet<String> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["crash::victim", "--exact", "--nocapture"])
        .env(CHILD, serde_json::to_string(config).expect("JSON"))
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
    let kills = std::env::var(LONG).map_or(KILLS, |kills| kills.parse().expect("a number"));
    for _ in 0..kills.div_ceil(A_LIFE) {
        a_life_of_kills(&sqlite_and_folder(), A_LIFE).await;
    }
    if let Some(bucket) = bucket() {
        let mut homes = vec![sqlite_and_folder()];
        homes.extend(postgres_and_folder().await);
        for home in homes {
            a_life_of_kills(&home.in_bucket(&bucket, "S3"), kills.div_ceil(A_LIFE)).await;
        }
    }
}

async fn a_life_of_kills(home: &Home, kills: u64) {
    let mut acknowledged = BTreeSet::new();
    for round in 0..kills {
        acknowledged.extend(run_and_kill(&home.config, Duration::from_millis(rand::random_range(0..300))));
        let archive = home.open().await;
        assert_whole(&archive, &acknowledged, round).await;
        archive.close().await;
    }
    assert!(acknowledged.len() >= kills as usize);
}

async fn assert_whole(archive: &Archive, acknowledged: &BTreeSet<String>, round: u64) {
    let rows = archive.find(&Query::new(Level::Instance)).await.expect("rows");
    let held: BTreeSet<_> = rows.iter().map(|row| row.values[&tags::SOP_INSTANCE_UID].clone()).collect();
    assert!(acknowledged.is_subset(&held), "round {round}: {:?}", acknowledged.difference(&held));
    assert_sound(archive).await;
    for sop_instance in &held {
        let (series, _) = sop_instance.rsplit_once('.').expect("a series");
        let stored = Slice::new("1.1", series, sop_instance).held_in(archive).await;
        assert_eq!(archive.read_frame(&stored, 0).await.expect("its frame").0.len(), 256);
    }
    let items = archive.metadata(&uid("1.1"), None, None).await.expect("metadata");
    assert_eq!(items.len(), held.len(), "round {round}");
    let study = only_row(archive, Level::Study).await;
    assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], held.len().to_string());
    assert_eq!(archive.events(0, u32::MAX).await.expect("events").len(), held.len());
    assert_eq!(archive.verify_audit_trail().await.expect("a check"), None);
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
