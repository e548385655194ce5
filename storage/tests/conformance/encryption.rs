//! Encryption at rest: nothing in the store is plain, keys change, and what is wrong is named and never served.

use crate::{
    instances::everything,
    packs::{assert_reads_back, at_once, files, slice},
    support::{Home, Slice, assert_sound, encrypted, sqlite_and_folder, uid},
};
use pacs_core::tags;
use std::path::PathBuf;
use storage::{Archive, Cipher, Correcting, Correction, Deed, PatientKey, Target, new_key_line};

fn encrypted_home() -> Home {
    let mut home = encrypted(sqlite_and_folder());
    at_once(&mut home.config);
    home
}

fn objects(home: &Home) -> Vec<PathBuf> {
    files(&home.config.data_dir.join("objects"), "tar")
}

async fn with_two_slices(home: &Home) -> Archive {
    let archive = home.open().await;
    for number in [1, 2] {
        slice(number).sent_to(&archive).await;
    }
    archive.seal_quiet_packs().await;
    archive
}

/// The error of opening what one of the two slices is.
async fn error_of_reading(archive: &Archive) -> String {
    let stored = slice(1).held_in(archive).await;
    archive.read_frame(&stored, 0).await.expect_err("an error").to_string()
}

#[tokio::test]
async fn nothing_in_the_store_is_plain_and_all_of_it_reads_back() {
    let home = encrypted_home();
    let archive = with_two_slices(&home).await;
    assert_reads_back(&archive, &[1, 2]).await;
    for object in objects(&home) {
        let bytes = std::fs::read(object).expect("an object");
        assert!(!bytes.windows(5).any(|window| window == b"Zhang" || window == b"1.1.1"), "plain text in the store");
    }
    archive.close().await;
    assert_reads_back(&home.open().await, &[1, 2]).await;
}

/// Corrections in the store, and whether the patient's name can be read in each.
fn corrections(home: &Home) -> Vec<bool> {
    let held = files(&home.config.data_dir.join("objects/corrections"), "json");
    let bytes = held.into_iter().map(|path| std::fs::read(path).expect("a correction"));
    bytes.map(|bytes| bytes.windows(5).any(|window| window == b"Li^Si")).collect()
}

async fn rename(archive: &Archive) -> Correction {
    let patient = Target::Patient(PatientKey { id: "P1".into(), issuer: String::new() });
    let name = Correcting::Attributes([(tags::PATIENT_NAME, Some("Li^Si".into()))].into());
    archive.correct(patient, name, &Deed::new("anna", "here", "passport seen")).await.expect("a correction")
}

#[tokio::test]
async fn corrections_are_encrypted_as_packs_are_and_again_when_keys_change() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = with_two_slices(&home).await;
    let correction = rename(&archive).await;
    archive.close().await;
    assert_eq!(corrections(&home), [true]);
    let home = encrypted(home);
    let archive = home.open().await;
    archive.undo_correction(&correction.id, &Deed::new("anna", "here", "no")).await.expect("undone");
    rename(&archive).await;
    let mut told = corrections(&home);
    told.sort_unstable();
    assert_eq!(told, [false, false, true], "as it was before it was undone");
    archive.rekey(|_| ()).await.expect("rekeyed");
    assert_eq!(corrections(&home), [false; 2]);
    archive.close().await;
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(file));
    }
    std::fs::write(home.config.data_dir.join("objects/corrections/0.json"), "{").expect("a damaged one");
    let archive = home.open().await;
    let done = archive.reindex(|_| ()).await.expect("a catalog");
    assert_eq!((done.corrections, done.damaged.len()), (2, 1), "{:?}", done.damaged);
    let undone = archive.corrections(None, None, 10).await.expect("corrections");
    assert_eq!(undone.iter().filter(|one| one.undone.is_some()).count(), 1);
}

#[tokio::test]
async fn plain_packs_are_read_beside_encrypted_ones_until_they_are_rekeyed() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    with_two_slices(&home).await.close().await;
    let mut home = encrypted(home);
    let archive = home.open().await;
    slice(3).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    assert_reads_back(&archive, &[1, 2, 3]).await;
    let held = slice(1).held_in(&archive).await;
    let done = archive.rekey(|_| ()).await.expect("rekeyed");
    assert_eq!((done.due, done.packs, done.failed.len()), (1, 1, 0));
    assert_reads_back(&archive, &[1, 2, 3]).await;
    assert_eq!(everything(&archive, &held).await, slice(1).part10(), "whoever found it before reads it still");
    assert_eq!(archive.rekey(|_| ()).await.expect("again").due, 0);
    archive.close().await;

    home.config.cipher = Cipher::Plain;
    let archive = home.open().await;
    assert_eq!(archive.rekey(|_| ()).await.expect("decrypted").packs, 2);
    archive.close().await;
    home.config.keys = None;
    assert_reads_back(&home.open().await, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_new_key_in_front_is_for_new_packs_and_the_old_one_can_go_after_rekeying() {
    let home = encrypted_home();
    with_two_slices(&home).await.close().await;
    let file = home.config.data_dir.join("../keys");
    let (old, new) = (std::fs::read_to_string(&file).expect("keys"), new_key_line("k2").expect("a key"));
    std::fs::write(&file, format!("{new}\n{old}")).expect("rotated");
    let archive = home.open().await;
    slice(3).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    assert_reads_back(&archive, &[1, 2, 3]).await;
    let uses = archive.key_uses().await.expect("uses");
    let told: Vec<_> = uses.iter().map(|u| (u.lock.as_deref(), u.packs, u.is_for_new, u.opened.is_ok())).collect();
    assert_eq!(told, [(Some("k1.aes256"), 1, false, true), (Some("k2.aes256"), 1, true, true)]);
    assert_eq!(archive.rekey(|_| ()).await.expect("rekeyed").packs, 1);
    archive.close().await;
    std::fs::write(&file, new).expect("the old key is gone");
    assert_reads_back(&home.open().await, &[1, 2, 3]).await;
}

#[tokio::test]
async fn sm4_is_read_beside_aes() {
    let mut home = encrypted_home();
    with_two_slices(&home).await.close().await;
    home.config.cipher = Cipher::Sm4Gcm;
    let archive = home.open().await;
    slice(3).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    assert_reads_back(&archive, &[1, 2, 3]).await;
    assert_eq!(archive.rekey(|_| ()).await.expect("rekeyed").packs, 1);
    assert_reads_back(&archive, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_missing_key_and_a_wrong_one_are_named() {
    let home = encrypted_home();
    with_two_slices(&home).await.close().await;
    let file = home.config.data_dir.join("../keys");
    for (ring, part) in [
        (new_key_line("k2"), "it needs the key k1, which is not among storage.keys"),
        (new_key_line("k1"), "the key k1 of storage.keys is not the one it was written with"),
    ] {
        std::fs::write(&file, ring.expect("a key")).expect("another ring");
        let archive = home.open().await;
        let error = error_of_reading(&archive).await;
        assert!(error.contains(part) && error.contains(".k1.aes256.tar"), "{error}");
        assert!(archive.key_uses().await.expect("uses")[0].opened.is_err());
        archive.close().await;
    }
}

#[tokio::test]
async fn damage_a_cut_and_an_exchange_are_found_and_never_served_as_good() {
    let home = encrypted_home();
    let archive = with_two_slices(&home).await;
    let object = objects(&home).remove(0);
    let good = std::fs::read(&object).expect("the object");
    for at in [3, 60, 150, good.len() / 2, good.len() - 1] {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        std::fs::write(&object, damaged).expect("damaged");
        let reopened = home.open().await;
        assert!(error_of_reading(&reopened).await.starts_with("pack "), "byte {at}");
        assert_eq!(reopened.verify(true, |_| ()).await.expect("a verification").damaged.len(), 2);
        std::fs::write(&object, &good).expect("mended");
        assert_sound(&reopened).await;
        reopened.close().await;
    }
    for (bytes, part) in
        [(good[..good.len() - 1].to_vec(), "bytes where its header tells of"), (b"short".to_vec(), "start")]
    {
        std::fs::write(&object, bytes).expect("cut");
        let reopened = home.open().await;
        let error = error_of_reading(&reopened).await;
        assert!(error.contains(part), "{error}");
        std::fs::write(&object, &good).expect("mended");
        assert_sound(&reopened).await;
        reopened.close().await;
    }
    std::fs::write(&object, good).expect("mended");
    assert_reads_back(&archive, &[1, 2]).await;
    assert_sound(&archive).await;
}

#[tokio::test]
async fn a_pack_that_cannot_be_made_anew_fills_no_disk_and_holds_up_no_other() {
    let home = encrypted_home();
    let file = home.config.data_dir.join("../keys");
    with_two_slices(&home).await.close().await;
    let (old, new) = (std::fs::read_to_string(&file).expect("keys"), new_key_line("k2").expect("a key"));
    std::fs::write(&file, format!("{new}\n{old}")).expect("rotated");
    let archive = home.open().await;
    let others = [1, 2].map(|number| Slice::new("1.2", "1.2.1", &format!("1.2.1.{number}")));
    for slice in [slice(3), slice(4)] {
        slice.sent_to(&archive).await;
    }
    archive.close().await;
    // The key of the newer pack is missing; later another series is to be made anew too.
    std::fs::write(&file, &old).expect("the new key is gone");
    let archive = home.open().await;
    for slice in &others {
        slice.sent_to(&archive).await;
    }
    archive.seal_quiet_packs().await;
    for (study, series, instance) in
        [("1.1", "1.1.1", "1.1.1.1"), ("1.1", "1.1.1", "1.1.1.3"), ("1.2", "1.2.1", "1.2.1.1")]
    {
        archive.delete(&uid(study), Some(&uid(series)), Some(&uid(instance))).await.expect("deleted");
    }
    let mut made_anew = 0;
    for _ in 0..20 {
        made_anew += u32::from(archive.compact_one_series().await.is_ok_and(|done| done));
    }
    assert_eq!(made_anew, 1, "the other series");
    let spooled = files(&home.config.data_dir.join("spool"), "tar");
    let len: u64 = spooled.iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!(len < 10_000, "{len} bytes for two small instances");
    archive.close().await;
    std::fs::write(&file, format!("{new}\n{old}")).expect("the new key is back");
    let archive = home.open().await;
    while archive.compact_one_series().await.expect("made anew") {}
    for slice in [slice(2), slice(4), others[1].clone()] {
        let stored = slice.held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, slice.part10());
    }
    assert_sound(&archive).await;
}
