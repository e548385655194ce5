//! Packs of a bucket kept near: what is read from them is right or read from the store.

use crate::{
    damage::{Objects, seal},
    instances::everything,
    packs::{assert_reads_back, at_once, slice},
    proxy::{Proxy, Weather},
    support::{Home, Slice, assert_sound, bucket, encrypted, padded, postgres_and_folder, sqlite_and_folder, uid},
};
use pacs_core::tags;
use std::{fs, path::PathBuf, time::Duration};
use storage::{Archive, CacheUse, Expected, Origin, PatientKey};

/// Over each database, plain and encrypted, with a cache before the bucket.
async fn homes() -> Vec<Home> {
    let Some(bucket) = bucket() else { return Vec::new() };
    let mut homes = vec![
        sqlite_and_folder().in_bucket(&bucket, "SQLite, S3"),
        encrypted(sqlite_and_folder()).in_bucket(&bucket, "SQLite, S3, encrypted"),
    ];
    homes.extend(postgres_and_folder().await.map(|home| home.in_bucket(&bucket, "PostgreSQL, S3")));
    homes.iter_mut().for_each(cached);
    homes
}

fn cached(home: &mut Home) {
    at_once(&mut home.config);
    home.config.cache_megabytes = 8;
    println!("over {}", home.name);
}

async fn usage(archive: &Archive) -> CacheUse {
    archive.cache_use().await.expect("its use").expect("a cache")
}

/// The files of the cache.
fn near(home: &Home) -> Vec<PathBuf> {
    let listed = fs::read_dir(home.config.data_dir.join("cache")).expect("the cache");
    listed.map(|entry| entry.expect("a file").path()).collect()
}

fn drop_near(home: &Home) {
    near(home).iter().for_each(|file| fs::remove_file(file).expect("removed"));
}

async fn sent(archive: &Archive, slices: &[Slice]) {
    for slice in slices {
        slice.sent_to(archive).await;
    }
    seal(archive).await;
}

#[tokio::test]
async fn a_sealed_pack_is_near_at_once_and_read_without_the_store() {
    let Some(proxy) = Proxy::start().await else { return };
    for home in [sqlite_and_folder(), encrypted(sqlite_and_folder())] {
        let mut home = proxy.before(home);
        cached(&mut home);
        let archive = home.open().await;
        sent(&archive, &[slice(1), slice(2)]).await;
        assert_eq!((usage(&archive).await.packs, usage(&archive).await.limit), (1, 8 << 20));
        proxy.set(Weather::Down);
        for number in [1, 2] {
            let stored = slice(number).held_in(&archive).await;
            assert_eq!(everything(&archive, &stored).await, slice(number).part10());
            assert_eq!(archive.read_frame(&stored, 0).await.expect("a frame").0[..], [number; 256]);
        }
        assert_eq!(archive.metadata(&uid("1.1"), None, None).await.expect("metadata").len(), 2);
        let found = usage(&archive).await;
        assert!(found.hits > 0 && found.misses == 0, "{found:?}");
        proxy.set(Weather::Fair);
        archive.close().await;
        let archive = home.open().await;
        assert_reads_back(&archive, &[1, 2]).await;
        assert_eq!(usage(&archive).await.misses, 0, "it survives a restart");
        archive.close().await;
    }
}

#[tokio::test]
async fn what_is_damaged_near_is_read_from_the_store() {
    for home in homes().await {
        let archive = home.open().await;
        sent(&archive, &[slice(1), slice(2)]).await;
        let spoil: [fn(&mut Vec<u8>); 3] = [|file| file[600] ^= 1, |file| file.truncate(1000), |file| file.fill(0)];
        for spoil in spoil {
            archive.prefetch_study(&uid("1.1")).await.expect("near");
            let file = near(&home).remove(0);
            let mut bytes = fs::read(&file).expect("a file of the cache");
            spoil(&mut bytes);
            fs::write(&file, bytes).expect("spoilt");
            assert_reads_back(&archive, &[1, 2]).await;
        }
        assert!(archive.damage(true).await.expect("the list").is_empty());
        archive.close().await;
    }
}

#[tokio::test]
async fn a_piece_that_is_read_brings_nothing_and_whoever_asks_brings_the_whole() {
    for home in homes().await {
        let archive = home.open().await;
        sent(&archive, &[slice(1), slice(2)]).await;
        drop_near(&home);
        let stored = slice(1).held_in(&archive).await;
        let before = usage(&archive).await.misses;
        archive.read_range(&stored, 0..100).await.expect("bytes");
        assert!(usage(&archive).await.misses > before && near(&home).is_empty());
        let done = archive.prefetch_study(&uid("1.1")).await.expect("near");
        assert_eq!((done.packs, done.near, done.left), (1, 0, 0));
        let before = usage(&archive).await.misses;
        assert_reads_back(&archive, &[1, 2]).await;
        assert_eq!(usage(&archive).await.misses, before);
        assert_eq!(archive.prefetch_study(&uid("1.1")).await.expect("near").near, 1);
        archive.close().await;
    }
}

#[tokio::test]
async fn a_pack_that_is_read_in_large_part_is_brought_near() {
    for home in homes().await {
        let archive = home.open().await;
        let large = padded(&slice(1), 3 << 20);
        archive.ingest(Origin::Room("test"), &large, &Expected::default()).await.expect("stored");
        seal(&archive).await;
        drop_near(&home);
        let stored = slice(1).held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, large);
        for _ in 0..400 {
            if usage(&archive).await.packs == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(everything(&archive, &stored).await, large);
        assert_eq!(usage(&archive).await.packs, 1);
        archive.close().await;
    }
}

#[tokio::test]
async fn a_study_that_is_opened_brings_earlier_ones_of_its_patient() {
    for home in homes().await {
        let archive = home.open().await;
        let of = |number: u32, patient: &str| {
            let study = format!("1.{number}");
            let slice = Slice::new(&study, &format!("{study}.1"), &format!("{study}.1.1"));
            slice.with(tags::STUDY_DATE, &format!("2000010{number}")).with(tags::PATIENT_ID, patient)
        };
        sent(&archive, &[of(1, "P1"), of(2, "P1"), of(3, "P2")]).await;
        while usage(&archive).await.packs < 3 {
            archive.seal_quiet_packs().await;
        }
        drop_near(&home);
        archive.opened(&uid("1.1"));
        for _ in 0..400 {
            if usage(&archive).await.packs == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(usage(&archive).await.packs, 2);
        let patient = |id: &str| PatientKey { id: id.into(), issuer: String::new() };
        let done = archive.prefetch_priors(&patient("P2"), 5).await.expect("near");
        assert_eq!((done.packs, usage(&archive).await.packs), (1, 3));
        assert_eq!(archive.prefetch_priors(&patient("P1"), 5).await.expect("near").near, 2);
        archive.close().await;
    }
}

#[tokio::test]
async fn a_full_cache_lets_go_and_one_too_small_keeps_nothing() {
    for mut home in homes().await {
        home.config.cache_megabytes = 2;
        let archive = home.open().await;
        for number in 1..=4 {
            let large = padded(&slice(number), 900 << 10);
            archive.ingest(Origin::Room("test"), &large, &Expected::default()).await.expect("stored");
            seal(&archive).await;
            let found = usage(&archive).await;
            assert!(found.byte_len <= found.limit && found.packs > 0, "{found:?}");
        }
        let whole = padded(&slice(5), 3 << 20);
        archive.ingest(Origin::Room("test"), &whole, &Expected::default()).await.expect("stored");
        seal(&archive).await;
        for number in 1..=4 {
            let stored = slice(number).held_in(&archive).await;
            assert_eq!(everything(&archive, &stored).await, padded(&slice(number), 900 << 10));
        }
        let stored = slice(5).held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, whole);
        let found = usage(&archive).await;
        assert!(found.byte_len <= found.limit, "{found:?}");
        assert_sound(&archive).await;
        archive.close().await;
    }
}

#[tokio::test]
async fn what_is_near_hides_no_damage_of_the_store_and_goes_with_a_deletion() {
    for home in homes().await {
        let archive = home.open().await;
        sent(&archive, &[slice(1), slice(2)]).await;
        let objects = Objects::of(&home);
        let pack = objects.names().await.remove(0);
        let whole = objects.get(&pack).await;
        let mut bytes = whole.clone();
        // Among the pixels, where they can be told.
        let at = bytes.windows(256).position(|pixels| pixels == [1; 256]).unwrap_or(bytes.len() / 2);
        bytes[at] ^= 1;
        objects.put(&pack, &bytes).await;
        assert!(
            !archive.verify(true, |_| ()).await.expect("a verification").is_sound(),
            "the store is read, not the cache"
        );
        objects.put(&pack, &whole).await;
        archive.mend(None, |_| ()).await.expect("looked at again");
        archive.delete(&uid("1.1"), None, None).await.expect("deleted");
        assert!(near(&home).is_empty());
        archive.close().await;
    }
}

#[tokio::test]
async fn an_answer_cut_short_is_not_kept() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = proxy.before(sqlite_and_folder());
    cached(&mut home);
    let archive = home.open().await;
    sent(&archive, &[slice(1), slice(2)]).await;
    drop_near(&home);
    for weather in [Weather::Down, Weather::Torn, Weather::Short] {
        proxy.set(weather);
        let fetched = tokio::time::timeout(Duration::from_secs(3), archive.prefetch_study(&uid("1.1"))).await;
        assert!(!matches!(fetched, Ok(Ok(done)) if done.packs > 0), "{weather:?}");
        assert!(near(&home).is_empty(), "{weather:?}");
    }
    proxy.set(Weather::Fair);
    assert_eq!(archive.prefetch_study(&uid("1.1")).await.expect("near").packs, 1);
    assert_reads_back(&archive, &[1, 2]).await;
    archive.close().await;
}

#[tokio::test]
async fn two_processes_on_one_data_folder_share_what_is_near() {
    for home in homes().await {
        let (one, two) = (home.open().await, home.open().await);
        sent(&one, &[slice(1), slice(2)]).await;
        let stored = slice(1).held_in(&two).await;
        assert_eq!(everything(&two, &stored).await, slice(1).part10());
        assert_eq!((usage(&two).await.packs, usage(&two).await.misses), (1, 0));
        one.close().await;
        two.close().await;
    }
}
