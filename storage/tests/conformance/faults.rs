//! What disks, networks, databases and clocks do: nothing that was acknowledged is lost, and the archive goes on by itself.

use crate::{
    instances::everything,
    proxy::{Proxy, Weather},
    support::{Home, Slice, assert_sound, bucket, only_row, padded, postgres_and_folder, sqlite_and_folder, uid},
};
use futures::{TryStreamExt, future::join_all};
use pacs_core::{Failure, query::Level, tags};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use storage::{Archive, ArchiveError, EventKind, Expected, Origin, StorageConfig};

const SERIES: u8 = 6;

/// One of a few series of one study.
fn slice(number: u8) -> Slice {
    let series = format!("1.1.{}", number % SERIES);
    Slice::new("1.1", &series, &format!("{series}.{number}")).filled(number)
}

async fn send(archive: &Archive, part10: &[u8]) -> Result<(), ArchiveError> {
    archive.ingest(Origin::Room("test"), part10, &Expected::default()).await.map(drop)
}

async fn assert_all_there(archive: &Archive, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let stored = slice(number).held_in(archive).await;
        assert_eq!(everything(archive, &stored).await, slice(number).part10());
    }
    assert_sound(archive).await;
}

/// Seals until there is nothing left to seal.
async fn seal_all(archive: &Archive, home: &Home) {
    let start = Instant::now();
    while packs_in_spool(home) > 0 {
        archive.seal_quiet_packs().await;
        assert!(start.elapsed() < Duration::from_secs(60), "packs stay in the spool");
    }
}

fn packs_in_spool(home: &Home) -> usize {
    let folders = std::fs::read_dir(home.config.data_dir.join("spool")).into_iter().flatten().flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "tar")).count()
}

/// An archive whose store is behind a proxy; packs are due at once.
async fn behind_a_proxy() -> Option<(Proxy, Home, Archive)> {
    let proxy = Proxy::start().await?;
    let mut home = proxy.before(sqlite_and_folder());
    home.config.quiet_seconds = 0;
    let archive = home.open().await;
    Some((proxy, home, archive))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_all_is_taken_and_read_and_then_it_is_sealed() {
    let Some((proxy, home, archive)) = behind_a_proxy().await else { return };
    proxy.set(Weather::Down);
    for number in 0..20 {
        slice(number).sent_to(&archive).await;
    }
    assert_eq!(archive.seal_quiet_packs().await, 0);
    assert_eq!(packs_in_spool(&home), usize::from(SERIES));
    for number in 20..40 {
        slice(number).sent_to(&archive).await;
    }
    for number in 0..40 {
        let stored = slice(number).held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, slice(number).part10());
    }
    proxy.set(Weather::Fair);
    seal_all(&archive, &home).await;
    assert_all_there(&archive, 0..40).await;
    proxy.set(Weather::Down);
    let stored = slice(1).held_in(&archive).await;
    let error = archive.read_frame(&stored, 0).await.expect_err("the store is away");
    assert_eq!(error.failure(), Failure::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_opens_and_takes_instances_though_its_store_is_away() {
    let Some((proxy, home, here)) = behind_a_proxy().await else { return };
    slice(1).sent_to(&here).await;
    proxy.set(Weather::Down);
    // Its spool is another machine's to this one: what became of that pack only the store could tell.
    let config = StorageConfig {
        data_dir: home.config.data_dir.with_file_name("second"),
        database_url: Some(format!("sqlite://{}", home.config.data_dir.join("index.sqlite").display())),
        ..home.config.clone()
    };
    let there = Archive::open(&config).await.expect("an archive");
    slice(2).sent_to(&there).await;
    let error = there.check().await.expect_err("the store is away");
    assert_eq!(error.failure(), Failure::Unavailable, "{error:?}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("AWS_ENDPOINT")), "{error:?}");
    proxy.set(Weather::Fair);
    there.check().await.expect("it is back");
    there.seal_quiet_packs().await;
    seal_all(&here, &home).await;
    assert_all_there(&there, [1, 2]).await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_of_with_the_remedy() {
    let Some(bucket) = bucket() else { return };
    let home = sqlite_and_folder().in_bucket(&format!("{bucket}-of-nobody"), "no bucket");
    let error = home.open().await.check().await.expect_err("no such bucket");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("make the bucket")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_slows_no_sender() {
    let Some((proxy, home, archive)) = behind_a_proxy().await else { return };
    proxy.set(Weather::Slow(Duration::from_secs(2)));
    for number in 0..6 {
        slice(number).sent_to(&archive).await;
    }
    let sealing = tokio::spawn({
        let archive = archive.clone();
        async move { archive.seal_quiet_packs().await }
    });
    for number in 6..40 {
        slice(number).sent_to(&archive).await;
    }
    assert!(!sealing.is_finished());
    assert!(sealing.await.expect("an end") > 0);
    proxy.set(Weather::Fair);
    seal_all(&archive, &home).await;
    assert_all_there(&archive, 0..40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_one_put_in_five_gets_everything() {
    let Some((proxy, home, archive)) = behind_a_proxy().await else { return };
    proxy.set(Weather::OnePutInFiveFails);
    // In parts.
    let large = padded(&slice(100), 20 << 20);
    send(&archive, &large).await.expect("stored");
    for number in 0..40 {
        slice(number).sent_to(&archive).await;
        if number % 8 == 0 {
            archive.seal_quiet_packs().await;
        }
    }
    seal_all(&archive, &home).await;
    assert!(proxy.puts() > 10, "{} PUTs", proxy.puts());
    assert_all_there(&archive, 0..40).await;
    assert!(everything(&archive, &slice(100).held_in(&archive).await).await == large);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_of_the_store_is_never_taken_for_the_whole() {
    let Some((proxy, home, archive)) = behind_a_proxy().await else { return };
    for number in 0..12 {
        slice(number).sent_to(&archive).await;
    }
    seal_all(&archive, &home).await;
    for weather in [Weather::Torn, Weather::Short] {
        proxy.set(weather);
        for number in 0..3 {
            let stored = slice(number).held_in(&archive).await;
            let stream = archive.read(&stored).await;
            let pieces = async { stream?.try_collect::<Vec<_>>().await };
            if let Ok(pieces) = pieces.await {
                assert_eq!(pieces.concat(), slice(number).part10(), "{weather:?}");
            }
            if let Ok((frame, _)) = archive.read_frame(&stored, 0).await {
                assert_eq!(frame[..], [number; 256], "{weather:?}");
            }
        }
        slice(20).sent_to(&archive).await;
        archive.seal_quiet_packs().await;
    }
    proxy.set(Weather::Fair);
    seal_all(&archive, &home).await;
    assert_all_there(&archive, (0..12).chain([20])).await;
}

#[tokio::test]
async fn a_clock_that_was_put_back_keeps_no_series_and_no_job_waiting() {
    for mut home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        println!("over {}", home.name);
        home.config.quiet_seconds = 60;
        let sqlite = format!("sqlite://{}", home.config.data_dir.join("index.sqlite").display());
        let archive = home.open().await;
        slice(1).sent_to(&archive).await;
        archive.enqueue("kind", "key", &serde_json::json!({})).await.expect("a job");
        archive.claim("kind", "gone", Duration::from_secs(3600)).await.expect("a look").expect("the job");
        assert_eq!(archive.claim("kind", "next", Duration::from_secs(1)).await.expect("a look"), None);
        assert_eq!(archive.announce_quiet_series().await.expect("a look"), 0);
        // What was written before the clock was put back is from the future after it.
        let url = home.config.database_url.clone().unwrap_or(sqlite);
        let mut catalog = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.expect("the catalog");
        for sql in [
            "update series set changed_at = changed_at + 86400000",
            "update job set changed_at = changed_at + 86400000, due_at = due_at + 86400000",
        ] {
            sqlx::Executor::execute(&mut catalog, sql).await.expect("a later time");
        }
        drop(catalog);
        assert_eq!(archive.announce_quiet_series().await.expect("a look"), 1);
        archive.claim("kind", "next", Duration::from_secs(1)).await.expect("a look").expect("a job that is due");
        let events = archive.events(0, 10).await.expect("events");
        assert_eq!(events.last().map(|event| event.kind), Some(EventKind::SeriesComplete));
        assert!(events.is_sorted_by_key(|event| event.position));
        assert_all_there(&archive, [1]).await;
    }
}

/// A PostgreSQL server that is only ours, and gone when dropped.
struct Cluster {
    folder: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// `None`, with the reason printed, where the shared one is not wanted either.
    fn start() -> Option<(Self, String)> {
        if std::env::var_os("PACS_TEST_POSTGRES_URL").is_none() {
            println!("skipped: PostgreSQL, as PACS_TEST_POSTGRES_URL is not set");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        // The server runs as a user of its own, who has to get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("opened");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let cluster = Self { folder, port: listener.local_addr().expect("its number").port() };
        drop(listener);
        let output = cluster.script("start").output().expect("the script");
        let url = String::from_utf8(output.stdout).expect("a URL");
        let url = url.trim().strip_prefix("PACS_TEST_POSTGRES_URL=").expect("a URL").to_owned();
        Some((cluster, url))
    }

    fn script(&self, verb: &str) -> Command {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres-for-tests"));
        script.arg(verb).env("TMPDIR", self.folder.path()).env("PACS_TEST_POSTGRES_PORT", self.port.to_string());
        script
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.script("stop").status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_under_load_costs_no_instance() {
    let Some((cluster, url)) = Cluster::start() else { return };
    let mut home = sqlite_and_folder();
    home.config.database_url = Some(url);
    home.config.quiet_seconds = 0;
    let archive = home.open().await;
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4).map(|_| tokio::spawn(send_until(stop.clone(), archive.clone()))).collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut restart = cluster.script("restart");
        let restarted = tokio::task::spawn_blocking(move || restart.status());
        assert!(restarted.await.expect("an end").expect("the script").success());
        archive.seal_quiet_packs().await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    let (mut stored, mut failed) = (BTreeSet::new(), 0);
    for sent in join_all(senders).await {
        let (more, failures) = sent.expect("an end");
        stored.extend(more);
        failed += failures;
    }
    println!("{} stored, {failed} refused meanwhile", stored.len());
    assert!(stored.len() > 20);
    seal_all(&archive, &home).await;
    let instances = archive.instances(&uid("1.1"), None, None).await.expect("instances");
    let held: BTreeSet<_> = instances.iter().map(|instance| instance.sop_instance.to_string()).collect();
    assert!(stored.is_subset(&held), "{:?}", stored.difference(&held));
    let study = only_row(&archive, Level::Study).await;
    assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], held.len().to_string());
    assert_sound(&archive).await;
    assert_eq!(archive.verify_audit_trail().await.expect("a check"), None);
    archive.close().await;
}

/// UIDs of what was acknowledged, and how many were not.
async fn send_until(stop: Arc<AtomicBool>, archive: Archive) -> (Vec<String>, u32) {
    let (mut stored, mut failed) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let slice = Slice::new("1.1", "1.1.1", &format!("1.1.1.{}", rand::random::<u32>()));
        match send(&archive, &slice.part10()).await {
            Ok(()) => stored.push(slice.sop_instance.to_string()),
            Err(error) => {
                assert_eq!(error.failure(), Failure::Unavailable, "{error:?}");
                failed += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    (stored, failed)
}

/// Set for the child process below: a data folder on a small file system of its own.
const SMALL_DISK: &str = "STORAGE_TEST_SMALL_DISK";
/// And a store that is elsewhere.
const STORE: &str = "STORAGE_TEST_SMALL_DISK_STORE";
/// Its size; a part of it is taken until it is full, and given back then.
const SMALL: u64 = 64 << 20;
const BALLAST: usize = 24 << 20;

/// Not a test by itself: what happens on a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_small_disk() {
    let Some(folder) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else { return };
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST]).expect("room for the ballast");
    let store_url = std::env::var(STORE).ok();
    let config =
        StorageConfig { data_dir: folder.join("data"), store_url, quiet_seconds: 0, ..StorageConfig::default() };
    let archive = Archive::open(&config).await.expect("an archive");
    let mut stored = BTreeMap::new();
    // Large and small ones by turns, until also the smallest finds no room.
    for (number, len) in (0..).zip([3 << 20, 200 << 10, 0].into_iter().cycle()) {
        let part10 = if len == 0 { slice(number).part10() } else { padded(&slice(number), len) };
        match send(&archive, &part10).await {
            Ok(()) => drop(stored.insert(number, part10)),
            Err(error) => {
                assert_eq!(error.failure(), Failure::NoRoom, "{error:?}");
                if len == 0 {
                    break;
                }
            }
        }
    }
    println!("{} stored before the disk was full", stored.len());
    for (number, part10) in &stored {
        assert!(everything(&archive, &slice(*number).held_in(&archive).await).await == *part10);
    }
    // Packs that go elsewhere make room, packs that stay on this disk do not.
    assert!(archive.seal_quiet_packs().await > 0);
    if config.store_url.is_none() {
        // Not a small one: some kilobytes may have become free all the same.
        let large = padded(&slice(200), 3 << 20);
        assert_eq!(send(&archive, &large).await.map_err(|e| e.failure()), Err(Failure::NoRoom));
        std::fs::remove_file(ballast).expect("room again");
        archive.seal_quiet_packs().await;
    }
    for number in 200..210 {
        let part10 = padded(&slice(number), 100 << 10);
        send(&archive, &part10).await.expect("room again");
        stored.insert(number, part10);
    }
    assert!(archive.seal_quiet_packs().await > 0);
    archive.close().await;
    drop(archive);
    let archive = Archive::open(&config).await.expect("an archive");
    for (number, part10) in &stored {
        assert!(everything(&archive, &slice(*number).held_in(&archive).await).await == *part10);
    }
    assert_sound(&archive).await;
    println!("sound at the end");
}

#[test]
fn a_full_disk_is_told_of_loses_nothing_and_is_over_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    // A namespace of its own lets root, or where the system allows it anyone, mount something that is gone with it.
    let Some(flag) = ["-m", "-Urm"].into_iter().find(|flag| {
        let tried = Command::new("unshare").args([flag, "mount", "-t", "tmpfs", "tmpfs"]).arg(folder.path()).output();
        tried.is_ok_and(|tried| tried.status.success())
    }) else {
        println!("skipped: a full disk, as nothing may be mounted here");
        return;
    };
    fill_small_disk(flag, folder.path(), None);
    if let Some(bucket) = bucket() {
        fill_small_disk(flag, folder.path(), sqlite_and_folder().in_bucket(&bucket, "S3").config.store_url);
    }
}

fn fill_small_disk(flag: &str, folder: &Path, store: Option<String>) {
    let script = format!("mount -t tmpfs -o size={SMALL} tmpfs \"$0\" && exec \"$@\"");
    let child = Command::new("unshare")
        .args([flag, "sh", "-c", &script])
        .arg(folder)
        .arg(std::env::current_exe().expect("this test"))
        .args(["faults::on_a_small_disk", "--exact", "--nocapture"])
        .env(SMALL_DISK, folder)
        .envs(store.map(|url| (STORE, url)))
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    println!("{text}");
    assert!(child.status.success() && text.contains("sound at the end"), "{text}");
}
