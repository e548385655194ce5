//! Frames encoded anew: the same pixels, the same instance, whatever happens on the way.

use crate::{
    damage::{Objects, flip, scrub},
    instances::everything,
    packs::at_once,
    support::{Home, Slice, assert_sound, encrypted, everywhere_with, only_row, sqlite_and_folder, uid},
};
use pacs_core::{
    Attributes, data_set, part10::read_meta, pixel, query::Level, tags, transfer_syntax::JPEG_LS_LOSSLESS,
};
use std::io::Cursor;
use storage::{Archive, Outcome, Recompression, RecompressionRule, StorageConfig, StoredInstance};

/// Long enough that a frame of one value is smaller as JPEG-LS.
fn slice(number: u8) -> Slice {
    Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}"))
        .with(tags::INSTANCE_NUMBER, &number.to_string())
        .with(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2")
        .filled(number)
}

fn by_rule(config: &mut StorageConfig) {
    at_once(config);
    config.recompression = vec![RecompressionRule { modalities: vec!["CT".into()], ..RecompressionRule::default() }];
}

async fn sent_and_sealed(archive: &Archive, numbers: &[u8]) {
    for number in numbers {
        slice(*number).sent_to(archive).await;
    }
    archive.seal_quiet_packs().await;
}

async fn recompressed_in_background(archive: &Archive) {
    while archive.recompress_one_pack().await.expect("recompressed") {}
}

async fn pixels(archive: &Archive, stored: &StoredInstance) -> Vec<u8> {
    let (encoded, _) = archive.read_frame(stored, 0).await.expect("a frame");
    let file = everything(archive, stored).await;
    let mut reader = Cursor::new(&file);
    let meta = read_meta(&mut reader).expect("meta information");
    assert_eq!(meta.transfer_syntax, stored.transfer_syntax);
    let scanned = data_set::scan(&mut reader, &meta.transfer_syntax, Default::default()).expect("a data set");
    let json = pacs_core::json::to_json(&scanned, &|_, _| String::new());
    let image = pixel::ImagePixel::of(Attributes::of(&json).expect("attributes")).expect("an image");
    pixel::decode(&meta.transfer_syntax, &image, &encoded, 0).expect("decoded").samples.to_le_bytes()
}

/// The slice is held as JPEG-LS with its pixels, and is still the instance that came.
async fn assert_recompressed(archive: &Archive, number: u8) {
    let slice = slice(number);
    let stored = slice.held_in(archive).await;
    assert_eq!(stored.transfer_syntax.uid().as_str(), JPEG_LS_LOSSLESS);
    assert!(stored.len < slice.part10().len() as u64);
    assert_eq!(pixels(archive, &stored).await, [number; 256]);
    let versions = archive.versions(&slice.study, &slice.series, &slice.sop_instance).await.expect("versions");
    assert_eq!(versions.len(), 1);
    let received = versions[0].recompressed.as_ref().expect("what was received");
    assert_eq!(received.byte_len, slice.part10().len() as u64);
    assert_eq!(received.transfer_syntax.as_str(), "1.2.840.10008.1.2.1");
    assert_eq!(versions[0].received_from, "test");
    assert_eq!(slice.sent_to(archive).await.outcome, Outcome::Identical(1));
}

async fn digest(archive: &Archive, number: u8) -> String {
    let slice = slice(number);
    let versions = archive.versions(&slice.study, &slice.series, &slice.sop_instance).await.expect("versions");
    versions[0].digest.clone()
}

#[tokio::test]
async fn what_a_rule_speaks_of_is_recompressed_after_sealing_and_stays_the_same_instance() {
    everywhere_with(by_rule, async |archive| {
        sent_and_sealed(&archive, &[1, 2]).await;
        let before = slice(1).held_in(&archive).await;
        let known = digest(&archive, 1).await;
        recompressed_in_background(&archive).await;
        assert_eq!(digest(&archive, 1).await, known);
        assert_recompressed(&archive, 1).await;
        assert_eq!(everything(&archive, &before).await, slice(1).part10(), "whoever found it before reads it still");
        archive.seal_quiet_packs().await;
        recompressed_in_background(&archive).await;
        for number in [1, 2] {
            assert_recompressed(&archive, number).await;
        }
        assert_ne!(
            slice(1).held_in(&archive).await.id,
            before.id,
            "nothing remembered of the old bytes is told of these"
        );
        let instance = archive.instances(&before.study, None, None).await.expect("instances");
        let len: u64 = instance.iter().map(|one| one.len).sum();
        let study = only_row(&archive, Level::Study).await;
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], "2");
        assert!(len < 2 * before.len);
        assert_eq!(archive.metadata(&uid("1.1"), None, None).await.expect("metadata").len(), 2);
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn a_catalog_made_anew_from_the_packs_knows_what_was_received() {
    for mut home in [sqlite_and_folder(), encrypted(sqlite_and_folder())] {
        by_rule(&mut home.config);
        let archive = home.open().await;
        sent_and_sealed(&archive, &[1, 2]).await;
        let known = digest(&archive, 2).await;
        recompressed_in_background(&archive).await;
        archive.seal_quiet_packs().await;
        archive.close().await;
        lose_catalog_and_doomed(&home).await;
        let archive = home.open().await;
        archive.reindex(|_| ()).await.expect("reindexed");
        assert_eq!(digest(&archive, 2).await, known);
        for number in [1, 2] {
            assert_recompressed(&archive, number).await;
        }
        assert_sound(&archive).await;
    }
}

/// The catalog goes, and with it the object that the recompressed ones came from: its time of grace is over.
async fn lose_catalog_and_doomed(home: &Home) {
    let mut objects = crate::packs::files(&home.config.data_dir.join("objects"), "tar");
    objects.sort_by_key(|path| path.metadata().and_then(|about| about.modified()).expect("a time"));
    std::fs::remove_file(objects.remove(0)).expect("the old object");
    lose_catalog(home);
}

fn lose_catalog(home: &Home) {
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(name));
    }
}

#[tokio::test]
async fn a_crash_before_or_after_the_switch_loses_nothing() {
    let mut home = sqlite_and_folder();
    by_rule(&mut home.config);
    let archive = home.open().await;
    sent_and_sealed(&archive, &[1, 2]).await;
    // Dropped at every point where it waits, as a process that ends there leaves things.
    for steps in 0..60 {
        let mut work = std::pin::pin!(archive.recompress(None, false, |_| ()));
        for _ in 0..steps {
            if futures_poll(work.as_mut()).await {
                break;
            }
        }
    }
    drop(archive);
    let archive = home.open().await;
    for number in [1, 2] {
        let stored = slice(number).held_in(&archive).await;
        assert_eq!(pixels(&archive, &stored).await, [number; 256]);
        assert_eq!(slice(number).sent_to(&archive).await.outcome, Outcome::Identical(1));
    }
    archive.recompress(None, false, |_| ()).await.expect("recompressed");
    archive.seal_quiet_packs().await;
    while archive.compact_one_series().await.expect("compacted") {}
    archive.seal_quiet_packs().await;
    for number in [1, 2] {
        assert_recompressed(&archive, number).await;
    }
    assert_sound(&archive).await;
}

/// Lets the work go on for a moment; whether it ended.
async fn futures_poll(work: std::pin::Pin<&mut impl Future>) -> bool {
    tokio::time::timeout(std::time::Duration::from_micros(200), work).await.is_ok()
}

#[tokio::test]
async fn a_trial_tells_and_changes_nothing_and_what_cannot_be_proven_stays() {
    everywhere_with(by_rule, async |archive| {
        let odd = slice(3).with(tags::PHOTOMETRIC_INTERPRETATION, "HSV");
        odd.sent_to(&archive).await;
        Slice::new("1.2", "1.2.1", "1.2.1.1").with(tags::MODALITY, "MR").sent_to(&archive).await;
        sent_and_sealed(&archive, &[1, 2]).await;
        let trial = archive.recompress(None, true, |_| ()).await.expect("tried");
        assert_eq!((trial.instances, trial.recompressed, trial.kept.len()), (3, 2, 1));
        assert_eq!(everything(&archive, &slice(1).held_in(&archive).await).await, slice(1).part10());
        let done = archive.recompress(Some(&uid("1.1")), false, |_| ()).await.expect("done");
        assert_eq!(Recompression { packs: trial.packs, ..done.clone() }, trial);
        assert!(done.after < done.before);
        archive.seal_quiet_packs().await;
        while archive.compact_one_series().await.expect("compacted") {}
        archive.seal_quiet_packs().await;
        for number in [1, 2] {
            assert_recompressed(&archive, number).await;
        }
        assert_eq!(everything(&archive, &odd.held_in(&archive).await).await, odd.part10());
        assert_sound(&archive).await;
    })
    .await;
}

/// Two recompressed slices in a sealed pack, and a pack of another study.
async fn two_recompressed(home: &Home) -> Archive {
    let archive = home.open().await;
    Slice::new("1.2", "1.2.1", "1.2.1.1").with(tags::MODALITY, "MR").sent_to(&archive).await;
    sent_and_sealed(&archive, &[1, 2]).await;
    recompressed_in_background(&archive).await;
    archive.seal_quiet_packs().await;
    archive
}

/// Flips a bit of the file of the first that lies in the pack as JPEG-LS.
async fn damage_one(home: &Home) {
    let objects = Objects::of(home);
    for name in objects.names().await {
        let bytes = objects.get(&name).await;
        if let Some(at) = bytes.windows(22).position(|window| window == JPEG_LS_LOSSLESS.as_bytes()) {
            flip(&objects, &name, at).await;
            return;
        }
    }
    panic!("nothing is recompressed");
}

/// Seals, makes anew and recompresses until there is nothing left to do.
async fn settled(archive: &Archive) {
    for _ in 0..4 {
        archive.seal_quiet_packs().await;
        recompressed_in_background(archive).await;
        while archive.compact_one_series().await.expect("made anew") {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_sent_again_takes_the_place_of_a_damaged_recompressed_one() {
    let mut home = sqlite_and_folder();
    by_rule(&mut home.config);
    let archive = two_recompressed(&home).await;
    damage_one(&home).await;
    let damaged = scrub(&archive).await;
    assert_eq!(damaged.len(), 1);
    for number in [1, 2] {
        assert_eq!(slice(number).sent_to(&archive).await.outcome, Outcome::Identical(1));
    }
    assert_eq!(archive.damage_count(), 0);
    let number = if damaged[0].ends_with(".1") { 1 } else { 2 };
    let stored = slice(number).held_in(&archive).await;
    assert_eq!(everything(&archive, &stored).await, slice(number).part10(), "it is the original until it is sealed");
    settled(&archive).await;
    for number in [1, 2] {
        assert_recompressed(&archive, number).await;
    }
    assert_sound(&archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_recompressed_or_of_the_original_mends_it() {
    for is_of_original in [false, true] {
        let mut home = sqlite_and_folder();
        by_rule(&mut home.config);
        let backup = home.config.data_dir.join("../backup").display().to_string();
        if is_of_original {
            let archive = home.open().await;
            sent_and_sealed(&archive, &[1, 2]).await;
            archive.backup(&backup, |_| ()).await.expect("backed up");
            archive.close().await;
        }
        let archive = two_recompressed(&home).await;
        let known = digest(&archive, 1).await;
        if !is_of_original {
            archive.backup(&backup, |_| ()).await.expect("backed up");
        }
        damage_one(&home).await;
        assert_eq!(scrub(&archive).await.len(), 1);
        let done = archive.mend(Some(&backup), |_| ()).await.expect("mended");
        assert_eq!((done.mended, done.left.len()), (1, 0), "{done:?}");
        settled(&archive).await;
        for number in [1, 2] {
            assert_recompressed(&archive, number).await;
        }
        assert_eq!(digest(&archive, 1).await, known);
        assert_sound(&archive).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_made_anew_while_old_and_new_packs_are_there_holds_each_instance_once() {
    let mut home = sqlite_and_folder();
    by_rule(&mut home.config);
    let archive = two_recompressed(&home).await;
    let known = digest(&archive, 1).await;
    archive.close().await;
    assert_eq!(Objects::of(&home).names().await.len(), 3);
    lose_catalog(&home);
    let archive = home.open().await;
    for _ in 0..2 {
        archive.reindex(|_| ()).await.expect("reindexed");
        assert_eq!(digest(&archive, 1).await, known);
        for number in [1, 2] {
            let stored = slice(number).held_in(&archive).await;
            assert_eq!(pixels(&archive, &stored).await, [number; 256]);
            assert_eq!(slice(number).sent_to(&archive).await.outcome, Outcome::Identical(1));
        }
    }
    assert_sound(&archive).await;
    archive.recompress(None, false, |_| ()).await.expect("recompressed");
    settled(&archive).await;
    for number in [1, 2] {
        assert_recompressed(&archive, number).await;
    }
}
