//! Packs: sealed, read, made anew, taken over after a crash, and read into an empty catalog.

use crate::{
    instances::everything,
    support::{Home, Slice, assert_sound, catalog, everywhere_with, only_row, padded, sqlite_and_folder, uid},
};
use pacs_core::{query::Level, tags};
use std::path::{Path, PathBuf};
use storage::{Archive, Expected, Origin, Outcome, StorageConfig};

pub fn slice(number: u8) -> Slice {
    let slice = Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}"));
    slice.with(tags::INSTANCE_NUMBER, &number.to_string()).filled(number)
}

pub fn at_once(config: &mut StorageConfig) {
    config.quiet_seconds = 0;
}

/// Instance Numbers of the metadata of the only study.
async fn numbers(archive: &Archive) -> Vec<i64> {
    let items = archive.metadata(&uid("1.1"), None, None).await.expect("metadata");
    let items = items.iter().map(|item| serde_json::from_str::<serde_json::Value>(item).expect("JSON"));
    items.map(|item| item["00200013"]["Value"][0].as_i64().expect("a number")).collect()
}

pub async fn assert_reads_back(archive: &Archive, held: &[u8]) {
    for number in held {
        let stored = slice(*number).held_in(archive).await;
        assert_eq!(everything(archive, &stored).await, slice(*number).part10());
        assert_eq!(archive.read_frame(&stored, 0).await.expect("a frame").0[..], [*number; 256]);
    }
    let first = archive.first_instance(&uid("1.1"), None).await.expect("an answer").expect("an instance");
    assert_eq!(first, slice(held[0]).held_in(archive).await);
    assert_eq!(numbers(archive).await, held.iter().map(|number| i64::from(*number)).collect::<Vec<_>>());
    assert_sound(archive).await;
}

#[tokio::test]
async fn an_instance_reads_the_same_open_sealed_deleted_from_and_made_anew() {
    everywhere_with(at_once, async |archive| {
        for number in [3, 1, 2] {
            slice(number).sent_to(&archive).await;
        }
        assert_reads_back(&archive, &[1, 2, 3]).await;
        assert_eq!(archive.seal_quiet_packs().await, 1);
        assert_eq!(archive.seal_quiet_packs().await, 0);
        assert_reads_back(&archive, &[1, 2, 3]).await;
        assert_eq!(slice(2).sent_to(&archive).await.outcome, Outcome::Identical(1));
        slice(4).sent_to(&archive).await;
        assert_reads_back(&archive, &[1, 2, 3, 4]).await;
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.2"))).await.expect("deleted");
        assert_reads_back(&archive, &[1, 3, 4]).await;
        archive.seal_quiet_packs().await;
        while archive.compact_one_series().await.expect("made anew") {}
        assert_reads_back(&archive, &[1, 3, 4]).await;
        archive.seal_quiet_packs().await;
        assert_reads_back(&archive, &[1, 3, 4]).await;
    })
    .await;
}

#[tokio::test]
async fn many_small_packs_of_a_series_become_one() {
    everywhere_with(at_once, async |archive| {
        for number in 1..=8 {
            slice(number).sent_to(&archive).await;
            archive.seal_quiet_packs().await;
        }
        assert_eq!(archive.verify(false, |_| ()).await.expect("a count").packs, 8);
        assert!(archive.compact_one_series().await.expect("made anew"));
        archive.seal_quiet_packs().await;
        assert_eq!(archive.verify(false, |_| ()).await.expect("a count").packs, 1);
        assert!(!archive.compact_one_series().await.expect("nothing to do"));
        assert_reads_back(&archive, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    })
    .await;
}

#[tokio::test]
async fn a_large_instance_is_a_pack_of_its_own() {
    everywhere_with(at_once, async |archive| {
        let large = slice(1).with(tags::STUDY_DESCRIPTION, "large");
        let mut part10 = large.part10();
        // Private data behind the pixels.
        part10.extend(b"\xe1\x7f\x10\x10UN\0\0\x00\x00\x30\x00");
        part10.extend(vec![5; 3 << 20]);
        let ingested = archive.ingest(storage::Origin::Room("test"), &part10, &storage::Expected::default()).await;
        assert_eq!(ingested.expect("stored").outcome, Outcome::Stored);
        slice(2).sent_to(&archive).await;
        for _ in 0..2 {
            let stored = large.held_in(&archive).await;
            assert!(everything(&archive, &stored).await == part10);
            assert_eq!(archive.read_frame(&stored, 0).await.expect("a frame").0[..], [1; 256]);
            assert_eq!(numbers(&archive).await, [1, 2]);
            archive.seal_quiet_packs().await;
        }
        assert_sound(&archive).await;
    })
    .await;
}

/// Leaves the archive as a process that was killed does.
async fn killed(home: &Home, work: impl AsyncFnOnce(&Archive)) {
    let archive = home.open().await;
    work(&archive).await;
}

pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let (folders, found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut found: Vec<_> = found.into_iter().filter(|file| file.extension().is_some_and(|e| e == extension)).collect();
    found.extend(folders.iter().flat_map(|folder| files(folder, extension)));
    found
}

#[tokio::test]
async fn rows_that_a_crash_kept_from_the_catalog_are_written_from_the_packs() {
    let home = sqlite_and_folder();
    let catalog = home.config.data_dir.join("index.sqlite");
    killed(&home, async |archive| drop(slice(1).sent_to(archive).await)).await;
    let before = std::fs::read(&catalog).expect("the catalog");
    killed(&home, async |archive| {
        slice(2).sent_to(archive).await;
        slice(3).sent_to(archive).await;
    })
    .await;
    // The catalog loses its last transactions, as it may without a sync at each.
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", catalog.display()));
    }
    std::fs::write(&catalog, before).expect("the catalog of before");
    let archive = home.open().await;
    assert_reads_back(&archive, &[1, 2, 3]).await;
}

#[tokio::test]
async fn what_was_deleted_from_an_open_pack_stays_deleted_after_a_crash() {
    let home = sqlite_and_folder();
    killed(&home, async |archive| {
        slice(1).sent_to(archive).await;
        slice(2).sent_to(archive).await;
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.1"))).await.expect("deleted");
    })
    .await;
    assert_reads_back(&home.open().await, &[2]).await;
}

#[tokio::test]
async fn what_a_process_left_is_sealed_by_one_that_runs() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    killed(&home, async |archive| drop(slice(1).sent_to(archive).await)).await;
    slice(2).sent_to(&archive).await;
    assert_eq!(archive.seal_quiet_packs().await, 2);
    assert!(files(&home.config.data_dir.join("spool"), "tar").is_empty());
    assert_reads_back(&archive, &[1, 2]).await;
}

#[tokio::test]
async fn everything_is_sealed_at_the_end() {
    let home = sqlite_and_folder();
    for number in 1..20 {
        let archive = home.open().await;
        slice(number).sent_to(&archive).await;
        archive.close().await;
        assert!(files(&home.config.data_dir.join("spool"), "tar").is_empty());
    }
}

#[tokio::test]
async fn what_is_deleted_while_its_pack_is_made_anew_stays_deleted_after_a_crash() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let (catalog, spool) = (home.config.data_dir.join("index.sqlite"), home.config.data_dir.join("spool"));
    let archive = home.open().await;
    for number in [1, 2, 3] {
        slice(number).sent_to(&archive).await;
    }
    archive.seal_quiet_packs().await;
    let delete = async |archive: &Archive, uid_: &str| {
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid(uid_))).await.expect("deleted");
    };
    delete(&archive, "1.1.1.2").await;
    archive.close().await;
    drop(archive);
    let before = std::fs::read(&catalog).expect("the catalog");
    killed(&home, async |archive| assert!(archive.compact_one_series().await.expect("made anew"))).await;
    // As if the crash had come before the rows pointed to the copies, and the deletion before the crash.
    let copies = files(&spool, "tar").remove(0);
    let bytes = std::fs::read(&copies).expect("the copies");
    std::fs::remove_dir_all(&spool).expect("an empty spool");
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", catalog.display()));
    }
    std::fs::write(&catalog, before).expect("the catalog of before");
    killed(&home, async |archive| delete(archive, "1.1.1.3").await).await;
    let dead = spool.join("0123456789abcdef");
    std::fs::create_dir(&dead).expect("a folder");
    std::fs::write(dead.join(copies.file_name().expect("a name")), bytes).expect("the copies");
    std::fs::write(dead.with_extension("lock"), "").expect("a lock");
    let archive = home.open().await;
    assert_reads_back(&archive, &[1]).await;
    archive.seal_quiet_packs().await;
    assert_reads_back(&archive, &[1]).await;
}

#[tokio::test]
async fn a_torn_tail_and_a_half_large_instance_are_cut_off() {
    let home = sqlite_and_folder();
    killed(&home, async |archive| drop(slice(1).sent_to(archive).await)).await;
    let pack = files(&home.config.data_dir.join("spool"), "tar").remove(0);
    let mut bytes = std::fs::read(&pack).expect("the pack");
    bytes.extend(&bytes.clone()[..900]);
    std::fs::write(&pack, bytes).expect("torn");
    std::fs::write(pack.with_file_name(".tmpHalf"), [0; 5000]).expect("half");
    let archive = home.open().await;
    slice(2).sent_to(&archive).await;
    assert_reads_back(&archive, &[1, 2]).await;
    archive.close().await;
    assert_reads_back(&home.open().await, &[1, 2]).await;
}

#[tokio::test]
async fn a_seal_that_a_crash_interrupted_is_finished() {
    for mut home in [sqlite_and_folder(), sqlite_and_folder()] {
        at_once(&mut home.config);
        killed(&home, async |archive| drop(slice(1).sent_to(archive).await)).await;
        let pack = files(&home.config.data_dir.join("spool"), "tar").remove(0);
        let archive = home.open().await;
        archive.seal_quiet_packs().await;
        archive.close().await;
        drop(archive);
        // The store has the object, the catalog does not know yet.
        let sql = "update pack set sealed = 0, metadata_len = 0, index_len = 0";
        let mut catalog = catalog(&home).await;
        sqlx::Executor::execute(&mut catalog, sql).await.expect("a step back");
        drop(catalog);
        let archive = home.open().await;
        assert!(!pack.exists());
        assert_reads_back(&archive, &[1]).await;
    }
}

#[tokio::test]
async fn a_lost_catalog_is_made_anew_from_the_store() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    for number in [1, 2, 3] {
        slice(number).sent_to(&archive).await;
    }
    Slice::new("1.2", "1.2.1", "1.2.1.1").sent_to(&archive).await;
    slice(2).filled(99).sent_to(&archive).await;
    archive.close().await;
    drop(archive);
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(file));
    }
    let archive = home.open().await;
    assert_eq!(archive.verify(false, |_| ()).await.expect("a look").unknown.len(), 2);
    let done = archive.reindex(|_| ()).await.expect("reindexed");
    assert_eq!((done.packs, done.instances, done.damaged.len()), (2, 5, 0));
    assert_reads_back(&archive, &[1, 2, 3]).await;
    assert_eq!(slice(2).filled(99).sent_to(&archive).await.outcome, Outcome::Identical(2));
    archive.delete(&uid("1.2"), None, None).await.expect("deleted");
    assert_eq!(archive.reindex(|_| ()).await.expect("again").instances, 0);
    assert_eq!(only_row(&archive, Level::Study).await.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], "3");
}

#[tokio::test]
async fn the_scrub_goes_on_where_it_was_and_round_and_round() {
    everywhere_with(at_once, async |archive| {
        for number in 0..3 {
            slice(number).sent_to(&archive).await;
        }
        let mut rounds = Vec::new();
        for _ in 0..8 {
            let step = archive.scrub(1).await.expect("a step");
            assert!(step.damaged.is_empty());
            rounds.push(step.instances);
            archive.seal_quiet_packs().await;
        }
        assert_eq!(rounds, [1, 1, 1, 0, 1, 1, 1, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_never_served_as_good() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    let pack = files(&home.config.data_dir.join("objects"), "tar").remove(0);
    let mut bytes = std::fs::read(&pack).expect("the pack");
    bytes[700] ^= 4;
    std::fs::write(&pack, bytes).expect("flipped");
    let found = archive.verify(true, |_| ()).await.expect("a verification");
    assert_eq!(found.damaged, ["1.1.1.1"]);
    let scrubbed = archive.scrub(1).await.expect("a step");
    assert_eq!((scrubbed.instances, scrubbed.damaged, scrubbed.is_round_over), (1, found.damaged, false));
    let told = archive.audit_trail(1).await.expect("a trail").remove(0);
    assert!(!told.success && told.detail.contains("instance 1.1.1.1: its bytes are not"), "{}", told.detail);
    let stored = slice(1).held_in(&archive).await;
    assert!(archive.read(&stored).await.is_err());
}

#[tokio::test]
async fn an_old_object_stays_until_what_moved_out_of_it_is_in_the_store() {
    let mut home = sqlite_and_folder();
    let objects = home.config.data_dir.join("objects");
    let archive = home.open().await;
    for number in [1, 2] {
        slice(number).sent_to(&archive).await;
    }
    archive.close().await;
    let archive = home.open().await;
    archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.1"))).await.expect("deleted");
    assert!(archive.compact_one_series().await.expect("made anew"));
    assert_eq!(archive.seal_quiet_packs().await, 0, "the new pack is in the spool of this machine alone");
    let old = files(&objects, "tar");
    for _ in 0..2 {
        grace_is_over(&home).await;
        archive.remove_doomed_objects().await.expect("looked");
        assert_eq!(files(&objects, "tar"), old);
    }
    archive.close().await;
    at_once(&mut home.config);
    grace_is_over(&home).await;
    let archive = home.open().await;
    let new = files(&objects, "tar");
    assert!(new.len() == 1 && new != old, "{new:?}");
    assert_reads_back(&archive, &[2]).await;
}

/// As if the time had passed for which readers may still be at what is doomed.
pub async fn grace_is_over(home: &Home) {
    sqlx::query("update doomed_object set due_at = 0").execute(&mut catalog(home).await).await.expect("changed");
}

/// Longer than what small packs hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_instance_whose_record_is_damaged_is_made_anew_in_a_pack_of_its_own() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    let long = Slice::new("1.2", "1.2.1", "1.2.1.1");
    let part10 = padded(&long, 65 << 20);
    archive.ingest(Origin::Room("test"), &part10, &Expected::default()).await.expect("stored");
    while archive.seal_quiet_packs().await == 0 {}
    let objects = home.config.data_dir.join("objects");
    let len = |path: &PathBuf| path.metadata().expect("a file").len();
    let pack = files(&objects, "tar").into_iter().max_by_key(len).expect("a pack");
    let mut bytes = std::fs::read(&pack).expect("the pack");
    let name = bytes.windows(9).rposition(|window| window == b"record.gz").expect("a record");
    bytes[name.next_multiple_of(512) + 540] ^= 1;
    std::fs::write(&pack, bytes).expect("damaged");
    assert_eq!(archive.verify(true, |_| ()).await.expect("a verification").damaged_packs.len(), 1);
    while archive.compact_one_series().await.expect("made anew") {}
    archive.seal_quiet_packs().await;
    let stored = long.held_in(&archive).await;
    assert!(everything(&archive, &stored).await == part10);
    assert_sound(&archive).await;
}
