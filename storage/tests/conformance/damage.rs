//! Damage: found wherever a bit is flipped, named once, never served as good, and mended.

use crate::{
    instances::everything,
    packs::{assert_reads_back, at_once, files, grace_is_over, slice},
    proxy::{Proxy, Weather},
    support::{Home, Slice, assert_sound, bucket, encrypted, postgres_and_folder, sqlite_and_folder, uid},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, path::Path as Key};
use pacs_core::{
    Failure,
    query::{Level, Query},
    tags,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use storage::{Archive, ArchiveError, Expected, Origin, Outcome, What};

/// The objects of an archive behind its back.
pub enum Objects {
    Folder(PathBuf),
    Bucket(Arc<dyn ObjectStore>, String),
}

impl Objects {
    pub fn of(home: &Home) -> Self {
        match &home.config.store_url {
            None => Self::Folder(home.config.data_dir.join("objects")),
            Some(url) => {
                let url: url::Url = url.parse().expect("a URL");
                let store = AmazonS3Builder::from_env().with_bucket_name(url.host_str().expect("a bucket")).build();
                Self::Bucket(Arc::new(store.expect("a bucket")), url.path().trim_matches('/').to_owned())
            }
        }
    }

    /// Packs in order of their names.
    pub async fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Folder(folder) => files(folder, "tar").iter().map(|file| file.display().to_string()).collect(),
            Self::Bucket(store, prefix) => {
                let listed: Vec<_> = store.list(Some(&Key::from(prefix.as_str()))).try_collect().await.expect("a list");
                listed.iter().map(|meta| meta.location.to_string()).filter(|key| key.ends_with(".tar")).collect()
            }
        };
        names.sort();
        names
    }

    pub async fn get(&self, name: &str) -> Vec<u8> {
        match self {
            Self::Folder(_) => std::fs::read(name).expect("an object"),
            Self::Bucket(store, _) => {
                store.get(&Key::from(name)).await.expect("an object").bytes().await.expect("bytes").to_vec()
            }
        }
    }

    pub async fn put(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Folder(_) => std::fs::write(name, bytes).expect("written"),
            Self::Bucket(store, _) => drop(store.put(&Key::from(name), bytes.to_vec().into()).await.expect("put")),
        }
    }

    pub async fn remove(&self, name: &str) {
        match self {
            Self::Folder(_) => std::fs::remove_file(name).expect("removed"),
            Self::Bucket(store, _) => store.delete(&Key::from(name)).await.expect("removed"),
        }
    }
}

/// Plain and encrypted, over each database and store.
async fn homes() -> Vec<Home> {
    let mut homes = vec![sqlite_and_folder(), encrypted(sqlite_and_folder())];
    homes.extend(postgres_and_folder().await);
    if let Some(bucket) = bucket() {
        homes.push(sqlite_and_folder().in_bucket(&bucket, "SQLite, S3"));
        homes.push(encrypted(sqlite_and_folder()).in_bucket(&bucket, "SQLite, S3, encrypted"));
    }
    homes.iter_mut().for_each(|home| at_once(&mut home.config));
    homes
}

/// Another series, so that a wrong store or key is told from a damaged pack.
fn other() -> Slice {
    Slice::new("1.2", "1.2.1", "1.2.1.1").filled(77)
}

/// Three slices in one pack, and another pack.
async fn filled(home: &Home) -> (Archive, Objects, String) {
    println!("over {}", home.name);
    let archive = home.open().await;
    for number in [1, 2, 3] {
        slice(number).sent_to(&archive).await;
    }
    seal(&archive).await;
    let objects = Objects::of(home);
    let pack = objects.names().await.remove(0);
    other().sent_to(&archive).await;
    seal(&archive).await;
    (archive, objects, pack)
}

/// What was just committed is due in a moment.
pub async fn seal(archive: &Archive) {
    while archive.seal_quiet_packs().await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn read(archive: &Archive, slice: &Slice) -> Result<Vec<u8>, ArchiveError> {
    let stored = archive.instance(&slice.study, &slice.series, &slice.sop_instance, None).await?;
    let pieces: Vec<_> = archive.read(&stored).await?.try_collect().await?;
    Ok(pieces.concat())
}

/// Seals and makes anew until there is nothing left to do.
async fn care(archive: &Archive) {
    for _ in 0..3 {
        archive.seal_quiet_packs().await;
        while archive.compact_one_series().await.expect("made anew") {}
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn scrub(archive: &Archive) -> Vec<String> {
    let mut damaged = Vec::new();
    loop {
        let done = archive.scrub(u64::MAX).await.expect("scrubbed");
        damaged.extend(done.damaged);
        if done.is_round_over {
            return damaged;
        }
    }
}

/// Where the pixels of a slice lie in a plain pack.
fn pixels_of(pack: &[u8], fill: u8) -> usize {
    pack.windows(256).position(|window| window == [fill; 256]).expect("pixels")
}

pub async fn flip(objects: &Objects, pack: &str, at: usize) -> Vec<u8> {
    let good = objects.get(pack).await;
    let mut bad = good.clone();
    bad[at] ^= 1 << (at % 8);
    objects.put(pack, &bad).await;
    good
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_bit_is_flipped_a_whole_read_gives_what_was_received_or_an_error() {
    let mut random = StdRng::seed_from_u64(7);
    for home in homes().await {
        let (archive, objects, pack) = filled(&home).await;
        let len = objects.get(&pack).await.len();
        let mut named = 0;
        for _ in 0..if home.config.store_url.is_some() { 12 } else { 40 } {
            let at = random.random_range(0..len);
            let good = flip(&objects, &pack, at).await;
            for number in [1, 2, 3] {
                if let Ok(bytes) = read(&archive, &slice(number)).await {
                    assert_eq!(bytes, slice(number).part10(), "byte {at}");
                }
            }
            let found = archive.verify(true, |_| ()).await.expect("a verification");
            named += usize::from(!found.is_sound());
            let metadata = archive.metadata(&uid("1.1"), None, None).await.expect("metadata");
            assert_eq!(metadata.len(), 3, "byte {at}");
            assert_eq!(archive.damage(false).await.expect("a list").is_empty(), found.is_sound(), "byte {at}");
            objects.put(&pack, &good).await;
            // What is whole again is forgotten by whoever looks next; one who looked before may come to note it only now.
            for _ in 0..100 {
                assert_sound(&archive).await;
                if archive.damage_count() == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(archive.damage_count(), 0, "byte {at}");
            assert_reads_back(&archive, &[1, 2, 3]).await;
        }
        assert!(named > 4, "{named}");
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_instance_is_refused_by_all_and_the_rest_goes_on() {
    for home in homes().await.into_iter().filter(|home| home.config.keys.is_none()) {
        let (archive, objects, pack) = filled(&home).await;
        let beside = home.open().await;
        let at = pixels_of(&objects.get(&pack).await, 2) + 100;
        flip(&objects, &pack, at).await;
        assert_eq!(scrub(&archive).await, ["1.1.1.2"]);
        assert_eq!(scrub(&archive).await, ["1.1.1.2"]);
        let found = archive.damage(false).await.expect("a list");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].what, found[0].found_by.as_str()), (What::Checksum, "scrub"));
        assert_eq!((found[0].study.as_str(), found[0].series.as_str()), ("1.1", "1.1.1"));
        let trail = archive.audit_trail(100).await.expect("the trail");
        assert_eq!(trail.iter().filter(|line| line.detail.contains("damage in pack")).count(), 1, "told once");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for archive in [&archive, &beside] {
            let stored = slice(2).held_in(archive).await;
            assert_eq!(archive.refuse_damaged(&stored).map_err(|e| e.failure()), Err(Failure::Damaged));
            assert!(archive.read(&stored).await.is_err());
            assert!(archive.read_frame(&stored, 0).await.is_err());
            assert!(archive.read_range(&stored, 0..10).await.is_err());
            for number in [1, 3] {
                assert_eq!(read(archive, &slice(number)).await.expect("whole"), slice(number).part10());
            }
            assert_eq!(archive.metadata(&uid("1.1"), None, None).await.expect("metadata").len(), 3);
            let rows = archive.find(&Query::new(Level::Instance)).await.expect("rows");
            let lost = rows.iter().filter(|row| row.values.contains_key(&tags::INSTANCE_AVAILABILITY));
            assert_eq!(lost.map(|row| row.values[&tags::SOP_INSTANCE_UID].as_str()).collect::<Vec<_>>(), ["1.1.1.2"]);
        }
        beside.close().await;
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_finds_damage_by_itself() {
    for home in homes().await {
        let (archive, objects, pack) = filled(&home).await;
        flip(&objects, &pack, 700).await;
        for number in [1, 2, 3] {
            let _ = read(&archive, &slice(number)).await;
        }
        let start = std::time::Instant::now();
        while archive.damage_count() == 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing is noted");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(archive.damage(false).await.expect("a list").iter().all(|found| found.found_by == "reading"));
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_instance_sent_again_takes_the_place_of_the_damaged_one() {
    for home in homes().await.into_iter().filter(|home| home.config.keys.is_none()) {
        let (archive, objects, pack) = filled(&home).await;
        let at = pixels_of(&objects.get(&pack).await, 2);
        flip(&objects, &pack, at).await;
        scrub(&archive).await;
        assert_eq!(slice(2).sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_reads_back(&archive, &[1, 2, 3]).await;
        assert_eq!(archive.damage_count(), 0);
        care(&archive).await;
        assert_reads_back(&archive, &[1, 2, 3]).await;
        let mended = archive.damage(true).await.expect("a list");
        assert_eq!((mended.len(), mended[0].mended_by.as_str()), (1, "test"));
        archive.close().await;
        assert_reads_back(&home.open().await, &[1, 2, 3]).await;
    }
}

/// Copies a folder as a power cut may leave it: what was only in the write-ahead log of the catalog is gone.
fn copy_without_log(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        match path.is_dir() {
            true => copy_without_log(&path, &to.join(name)),
            false if name.to_string_lossy().starts_with("index.sqlite-") => {}
            false => drop(std::fs::copy(&path, to.join(name)).expect("copied")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_the_place_of_damage_survives_a_power_cut() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let (archive, objects, pack) = filled(&home).await;
    let at = pixels_of(&objects.get(&pack).await, 2);
    flip(&objects, &pack, at).await;
    scrub(&archive).await;
    assert_eq!(slice(2).sent_to(&archive).await.outcome, Outcome::Identical(1));
    let mut after = sqlite_and_folder();
    at_once(&mut after.config);
    copy_without_log(&home.config.data_dir, &after.config.data_dir);
    let archive = after.open().await;
    care(&archive).await;
    assert_reads_back(&archive, &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_mends_what_is_flipped_cut_off_or_gone() {
    for how in ["flipped", "cut off", "gone"] {
        for home in homes().await {
            println!("{how}");
            let (archive, objects, pack) = filled(&home).await;
            let backup = home.config.data_dir.join("../backup").display().to_string();
            archive.backup(&backup, |_| ()).await.expect("backed up");
            match how {
                "flipped" => drop(flip(&objects, &pack, 700).await),
                "cut off" => {
                    let good = objects.get(&pack).await;
                    objects.put(&pack, &good[..1600]).await;
                }
                _ => objects.remove(&pack).await,
            }
            scrub(&archive).await;
            assert!(archive.damage_count() > 0);
            let without = archive.mend(None, |_| ()).await.expect("a look");
            assert!(without.mended == 0 && without.whole == 0, "{without:?}");
            let done = archive.mend(Some(&backup), |_| ()).await.expect("mended");
            assert!(done.left.is_empty(), "{done:?}");
            care(&archive).await;
            assert_reads_back(&archive, &[1, 2, 3]).await;
            assert!(archive.damage(false).await.expect("a list").is_empty());
            archive.close().await;
        }
    }
}

/// With a frame of 256 × 256 pixels, which is nearly all of the file.
fn large(slice: &Slice) -> Vec<u8> {
    let mut file = slice.part10();
    file.truncate(file.len() - 260);
    file.extend(65_536_u32.to_le_bytes());
    file.extend([slice.fill; 65_536]);
    for tag in [b"\x28\0\x10\0US\x02\0", b"\x28\0\x11\0US\x02\0"] {
        let at = file.windows(8).position(|window| window == tag).expect("rows and columns");
        file[at + 8..at + 10].copy_from_slice(&256_u16.to_le_bytes());
    }
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damaged_frame_is_shown_where_it_is_nearly_all_of_the_file() {
    for home in homes().await.into_iter().filter(|home| home.config.keys.is_none()) {
        let (archive, objects, _) = filled(&home).await;
        let known = objects.names().await;
        let image = Slice::new("1.3", "1.3.1", "1.3.1.1").filled(9);
        let part10 = large(&image);
        archive.ingest(Origin::Room("test"), &part10, &Expected::default()).await.expect("stored");
        let stored = image.held_in(&archive).await;
        assert_eq!(archive.read_frame(&stored, 0).await.expect("a frame").0[..], [9; 65_536]);
        seal(&archive).await;
        let stored = image.held_in(&archive).await;
        assert_eq!(archive.read_frame(&stored, 0).await.expect("a frame").0[..], [9; 65_536]);
        let pack = objects.names().await.into_iter().find(|name| !known.contains(name)).expect("a pack");
        let at = pixels_of(&objects.get(&pack).await, 9) + 30_000;
        flip(&objects, &pack, at).await;
        assert_eq!(archive.read_frame(&stored, 0).await.expect_err("damage").failure(), Failure::Damaged);
        for _ in 0..200 {
            if archive.damage_count() > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(archive.damage_count(), 1);
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mended_holds_up_nothing_that_can() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let (archive, objects, pack) = filled(&home).await;
    let backup = home.config.data_dir.join("../backup").display().to_string();
    archive.backup(&backup, |_| ()).await.expect("backed up");
    let known = objects.names().await;
    for number in 4..=130 {
        slice(number).sent_to(&archive).await;
    }
    seal(&archive).await;
    let newer = objects.names().await.into_iter().find(|name| !known.contains(name)).expect("a pack");
    objects.remove(&newer).await;
    objects.remove(&pack).await;
    assert_eq!(scrub(&archive).await.len(), 130);
    let done = archive.mend(Some(&backup), |_| ()).await.expect("a look");
    assert_eq!((done.mended, done.left.len()), (3, 127));
    for number in [1, 2, 3] {
        assert_eq!(read(&archive, &slice(number)).await.expect("whole"), slice(number).part10());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_beside_whole_instances_is_made_anew_from_them() {
    for (name, what) in [("record.gz", What::Record), ("metadata.json.gz", What::Parts), ("index.json.gz", What::Parts)]
    {
        for home in homes().await.into_iter().filter(|home| home.config.keys.is_none()) {
            let (archive, objects, pack) = filled(&home).await;
            let bytes = objects.get(&pack).await;
            let header = bytes.windows(name.len()).position(|window| window == name.as_bytes()).expect("a part");
            flip(&objects, &pack, header.next_multiple_of(512) + 540).await;
            assert_eq!(archive.metadata(&uid("1.1"), None, None).await.expect("metadata").len(), 3);
            let found = archive.verify(true, |_| ()).await.expect("a verification");
            assert!(found.damaged.is_empty() && found.damaged_packs.len() == 1, "{found:?}");
            assert_eq!(archive.damage(false).await.expect("a list")[0].what, what);
            care(&archive).await;
            assert_eq!(archive.damage_count(), 0);
            assert_reads_back(&archive, &[1, 2, 3]).await;
            archive.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_damaged_pack_is_kept_until_it_is_discarded() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let (archive, objects, pack) = filled(&home).await;
    let at = pixels_of(&objects.get(&pack).await, 2);
    flip(&objects, &pack, at).await;
    let bad = objects.get(&pack).await;
    scrub(&archive).await;
    slice(2).sent_to(&archive).await;
    care(&archive).await;
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("set aside");
    let aside = archive.set_aside().await.expect("a list");
    assert_eq!(aside.len(), 1);
    let kept = files(&home.config.data_dir.join("objects"), "damaged");
    assert_eq!(std::fs::read(&kept[0]).expect("kept"), bad);
    assert_reads_back(&archive, &[1, 2, 3]).await;
    archive.discard("admin", "", &aside[0]).await.expect("discarded");
    assert!(archive.set_aside().await.expect("a list").is_empty());
    assert!(archive.damage(true).await.expect("a list").is_empty());
    assert!(archive.discard("admin", "", &aside[0]).await.is_err());
    assert_sound(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_spool_costs_no_other_instance() {
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..20 {
        let home = sqlite_and_folder();
        let archive = home.open().await;
        for number in [1, 2, 3] {
            slice(number).sent_to(&archive).await;
        }
        let file = files(&home.config.data_dir.join("spool"), "tar").remove(0);
        let mut bytes = std::fs::read(&file).expect("the pack");
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 4;
        std::fs::write(&file, bytes).expect("damaged");
        let damaged = scrub(&archive).await;
        assert!(damaged.len() <= 1, "byte {at}: {damaged:?}");
        // Sealed, as well as taken over by the next process.
        archive.close().await;
        let archive = home.open().await;
        scrub(&archive).await;
        for number in [1, 2, 3] {
            match read(&archive, &slice(number)).await {
                Ok(bytes) => assert_eq!(bytes, slice(number).part10()),
                Err(error) => assert_eq!((error.failure(), damaged.len()), (Failure::Damaged, 1), "byte {at}"),
            }
            assert_eq!(slice(number).sent_to(&archive).await.outcome, Outcome::Identical(1));
        }
        archive.close().await;
        let archive = home.open().await;
        care(&archive).await;
        assert_reads_back(&archive, &[1, 2, 3]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_not_taken_for_damage() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let (archive, ..) = filled(&home).await;
    let objects = home.config.data_dir.join("objects");
    std::fs::rename(&objects, objects.with_extension("away")).expect("unmounted");
    assert!(read(&archive, &slice(1)).await.is_err());
    assert!(!archive.verify(true, |_| ()).await.expect("a verification").is_sound());
    assert!(archive.damage(false).await.expect("a list").is_empty());
    std::fs::remove_dir_all(&objects).ok();
    std::fs::rename(objects.with_extension("away"), &objects).expect("mounted");
    assert_reads_back(&archive, &[1, 2, 3]).await;

    let Some(proxy) = Proxy::start().await else { return };
    let mut home = proxy.before(sqlite_and_folder());
    at_once(&mut home.config);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    other().sent_to(&archive).await;
    seal(&archive).await;
    for weather in [Weather::Down, Weather::Torn, Weather::Short] {
        proxy.set(weather);
        let _ = read(&archive, &slice(1)).await;
        let _ = archive.scrub(1).await;
        proxy.set(Weather::Fair);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(archive.damage(false).await.expect("a list").is_empty(), "{weather:?}");
        let stored = slice(1).held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, slice(1).part10());
    }
}
