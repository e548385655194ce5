//! The cold store: what moves there and back is the same, found wherever it is, and lost with neither.

use crate::{
    damage::{scrub, seal},
    instances::everything,
    packs::{assert_reads_back, at_once, files, grace_is_over, slice},
    proxy::{Proxy, Weather},
    support::{Home, Slice, assert_sound, bucket, encrypted, postgres_and_folder, sqlite_and_folder, uid},
};
use pacs_core::tags;
use std::{path::PathBuf, time::Duration};
use storage::{
    Archive, ArchiveError, AuditAction, AuditRecord, ColdRule, Expected, Moved, Origin, Outcome, Tier, TierUse,
};

fn cold_folder(home: &Home) -> PathBuf {
    home.config.data_dir.join("../cold")
}

fn with_cold_folder(mut home: Home) -> Home {
    home.config.cold_url = Some(cold_folder(&home).display().to_string());
    at_once(&mut home.config);
    home
}

/// Plain and encrypted, over each database, and from folder and bucket to folder and bucket.
async fn homes() -> Vec<Home> {
    let mut homes = vec![with_cold_folder(sqlite_and_folder()), with_cold_folder(encrypted(sqlite_and_folder()))];
    homes.extend(postgres_and_folder().await.map(with_cold_folder));
    if let Some(bucket) = bucket() {
        homes.push(with_cold_folder(sqlite_and_folder().in_bucket(&bucket, "SQLite, S3")));
        let mut home = encrypted(sqlite_and_folder());
        home.config.cold_url = Some(format!("{bucket}/{:016x}", rand::random::<u64>()));
        home.config.cache_megabytes = 8;
        home.name = "SQLite, folder, cold in S3 with a cache, encrypted";
        at_once(&mut home.config);
        homes.push(home);
    }
    homes
}

/// Three slices of one study in a pack, and another study.
async fn filled(home: &Home) -> Archive {
    println!("over {}", home.name);
    let archive = home.open().await;
    for number in [1, 2, 3] {
        slice(number).sent_to(&archive).await;
    }
    other().sent_to(&archive).await;
    seal(&archive).await;
    archive
}

fn other() -> Slice {
    Slice::new("1.2", "1.2.1", "1.2.1.1").with(tags::MODALITY, "MR").filled(77)
}

async fn moved(archive: &Archive, tier: Tier) -> Moved {
    archive.move_study(&uid("1.1"), tier, |_| ()).await.expect("moved")
}

/// Hot and cold packs.
async fn tiers(archive: &Archive) -> (u64, u64) {
    let TierUse { hot_packs, cold_packs, .. } = archive.tier_use().await.expect("a count");
    (hot_packs, cold_packs)
}

#[tokio::test]
async fn a_study_reads_the_same_cold_and_hot_again() {
    for home in homes().await {
        let archive = filled(&home).await;
        let before = slice(1).held_in(&archive).await;
        let events = archive.events(0, u32::MAX).await.expect("events").len();
        let done = moved(&archive, Tier::Cold).await;
        assert_eq!((done.packs, done.left, done.failed.len()), (1, 0, 0), "{done:?}");
        assert_eq!(tiers(&archive).await, (1, 1));
        assert_eq!(everything(&archive, &before).await, slice(1).part10(), "whoever found it before reads it still");
        assert_reads_back(&archive, &[1, 2, 3]).await;
        assert_eq!(moved(&archive, Tier::Cold).await, Moved { left: 1, ..Moved::default() });
        assert_eq!(slice(2).sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_eq!(archive.events(0, u32::MAX).await.expect("events").len(), events, "nothing has changed");
        // What comes later is hot; both are read together.
        slice(4).sent_to(&archive).await;
        seal(&archive).await;
        assert_eq!(tiers(&archive).await, (2, 1));
        assert_reads_back(&archive, &[1, 2, 3, 4]).await;
        grace_is_over(&home).await;
        archive.remove_doomed_objects().await.expect("removed");
        assert_reads_back(&archive, &[1, 2, 3, 4]).await;
        archive.close().await;
        let archive = home.open().await;
        assert_reads_back(&archive, &[1, 2, 3, 4]).await;
        assert_eq!(moved(&archive, Tier::Hot).await.packs, 1);
        assert_eq!(tiers(&archive).await, (3, 0));
        grace_is_over(&home).await;
        archive.remove_doomed_objects().await.expect("removed");
        assert_reads_back(&archive, &[1, 2, 3, 4]).await;
        archive.close().await;
    }
}

#[tokio::test]
async fn what_is_deleted_is_deleted_there_too() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    moved(&archive, Tier::Cold).await;
    assert_eq!(files(&cold_folder(&home), "tar").len(), 1);
    archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.2"))).await.expect("deleted");
    while archive.compact_one_series().await.expect("made anew") {}
    seal(&archive).await;
    assert_reads_back(&archive, &[1, 3]).await;
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert!(files(&cold_folder(&home), "tar").is_empty(), "what was made anew is hot");
    assert_reads_back(&archive, &[1, 3]).await;
    moved(&archive, Tier::Cold).await;
    archive.delete(&uid("1.1"), None, None).await.expect("deleted");
    assert!(files(&cold_folder(&home), "tar").is_empty());
    assert_sound(&archive).await;
}

#[tokio::test]
async fn a_catalog_made_anew_knows_both_places() {
    for old_is_there in [false, true] {
        let home = with_cold_folder(encrypted(sqlite_and_folder()));
        let archive = filled(&home).await;
        moved(&archive, Tier::Cold).await;
        if !old_is_there {
            grace_is_over(&home).await;
            archive.remove_doomed_objects().await.expect("removed");
        }
        archive.close().await;
        for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = std::fs::remove_file(home.config.data_dir.join(name));
        }
        let archive = home.open().await;
        let done = archive.reindex(|_| ()).await.expect("reindexed");
        assert_eq!((done.instances, done.damaged.len()), (4, 0), "{done:?}");
        assert_reads_back(&archive, &[1, 2, 3]).await;
    }
}

/// Somebody reads a study.
async fn read_by_somebody(archive: &Archive, study: &str) {
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Read,
        actor: "li".into(),
        origin: "10.0.0.1".into(),
        success: true,
        study: Some(study.into()),
        detail: "frames".into(),
    };
    archive.audit(&record).await.expect("a line");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_rule_moves_what_it_speaks_of_and_once_a_day() {
    for mut home in homes().await {
        home.config.cold = vec![ColdRule { days: 0, unread_days: 1, modalities: Vec::new() }];
        let archive = filled(&home).await;
        read_by_somebody(&archive, "1.1").await;
        let trial = archive.cool(true, |_| ()).await.expect("a trial");
        assert_eq!((trial.packs, trial.left), (1, 1), "{trial:?}");
        assert_eq!(tiers(&archive).await, (2, 0));
        archive.cool_daily().await.expect("the round of the day");
        assert_eq!(tiers(&archive).await, (1, 1));
        assert_eq!(everything(&archive, &other().held_in(&archive).await).await, other().part10());
        let jobs = archive.jobs("cool", None, 10).await.expect("jobs");
        assert_eq!(jobs.len(), 1);
        assert!(jobs[0].result.as_ref().is_some_and(|told| told.starts_with("1 packs moved")), "{jobs:?}");
        moved(&archive, Tier::Hot).await;
        archive.move_study(&uid("1.2"), Tier::Hot, |_| ()).await.expect("back");
        archive.cool_daily().await.expect("nothing to do today");
        assert_eq!(tiers(&archive).await, (2, 0));
        assert_sound(&archive).await;
        archive.close().await;
    }
}

#[tokio::test]
async fn damage_there_is_found_set_aside_and_mended_from_a_backup_made_before() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    let backup = home.config.data_dir.join("../backup").display().to_string();
    archive.backup(&backup, |_| ()).await.expect("backed up");
    moved(&archive, Tier::Cold).await;
    let cold = files(&cold_folder(&home), "tar").remove(0);
    let mut bytes = std::fs::read(&cold).expect("a pack");
    let at = bytes.windows(16).position(|window| window == [2; 16]).expect("the pixels of the second");
    bytes[at] ^= 1;
    std::fs::write(&cold, bytes).expect("spoilt");
    assert_eq!(scrub(&archive).await, ["1.1.1.2"]);
    let refused = moved(&archive, Tier::Hot).await;
    assert!(refused.packs == 0 && refused.failed[0].contains("pacs damage list"), "{refused:?}");
    let done = archive.mend(Some(&backup), |_| ()).await.expect("mended");
    assert_eq!((done.mended, done.left.len()), (1, 0), "{done:?}");
    for _ in 0..3 {
        archive.seal_quiet_packs().await;
        while archive.compact_one_series().await.expect("made anew") {}
    }
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert_reads_back(&archive, &[1, 2, 3]).await;
    let aside = archive.set_aside().await.expect("a list");
    assert!(aside.len() == 1 && aside[0].starts_with("cold/"), "{aside:?}");
    archive.discard("admin", "localhost", &aside[0]).await.expect("discarded");
    assert!(archive.set_aside().await.expect("a list").is_empty());
}

#[tokio::test]
async fn a_backup_comes_back_into_two_places_or_one() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    moved(&archive, Tier::Cold).await;
    let backup = home.config.data_dir.join("../backup").display().to_string();
    archive.backup(&backup, |_| ()).await.expect("backed up");
    for empty in [sqlite_and_folder(), with_cold_folder(sqlite_and_folder())] {
        let restored = empty.open().await;
        let done = restored.restore(&backup, |_| ()).await.expect("restored");
        assert_eq!((done.packs, done.missing.len()), (2, 0));
        let hot = files(&empty.config.data_dir.join("objects"), "tar").len();
        assert_eq!(hot, if empty.config.cold_url.is_some() { 1 } else { 2 });
        assert_reads_back(&restored, &[1, 2, 3]).await;
        restored.close().await;
        assert_reads_back(&empty.open().await, &[1, 2, 3]).await;
    }
}

#[tokio::test]
async fn an_archive_is_not_opened_without_the_store_of_its_cold_packs() {
    let mut home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    moved(&archive, Tier::Cold).await;
    archive.close().await;
    let there = home.config.cold_url.take();
    let refused = Archive::open(&home.config).await.err().expect("refused");
    assert!(matches!(&refused, ArchiveError::Config(why) if why.contains("storage.cold_url")), "{refused}");
    home.config.cold_url = there;
    assert_reads_back(&home.open().await, &[1, 2, 3]).await;
    home.config.cold_url = None;
    home.config.cold = vec![ColdRule::default()];
    let refused = Archive::open(&home.config).await.err().expect("refused");
    assert!(matches!(&refused, ArchiveError::Config(why) if why.contains("storage.cold")), "{refused}");
}

#[tokio::test]
async fn while_the_cold_store_is_away_what_is_hot_is_read_and_nothing_is_damage() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = sqlite_and_folder();
    home.config.cold_url = proxy.before(sqlite_and_folder()).config.store_url;
    at_once(&mut home.config);
    let archive = filled(&home).await;
    moved(&archive, Tier::Cold).await;
    proxy.set(Weather::Down);
    assert_eq!(everything(&archive, &other().held_in(&archive).await).await, other().part10());
    let cold = slice(1).held_in(&archive).await;
    assert!(archive.read_frame(&cold, 0).await.is_err());
    let failed = moved(&archive, Tier::Hot).await;
    assert_eq!((failed.packs, failed.failed.len()), (0, 1));
    let failed = archive.move_study(&uid("1.2"), Tier::Cold, |_| ()).await.expect("told");
    assert_eq!((failed.packs, failed.failed.len()), (0, 1));
    slice(5).sent_to(&archive).await;
    seal(&archive).await;
    proxy.set(Weather::Fair);
    assert!(archive.damage(true).await.expect("the list").is_empty());
    assert_reads_back(&archive, &[1, 2, 3, 5]).await;
}

#[tokio::test]
async fn opening_a_cold_study_brings_it_near() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = sqlite_and_folder();
    home.config.cold_url = proxy.before(sqlite_and_folder()).config.store_url;
    home.config.cache_megabytes = 8;
    at_once(&mut home.config);
    let archive = filled(&home).await;
    moved(&archive, Tier::Cold).await;
    assert_eq!(
        archive.cache_use().await.expect("its use").expect("a cache").packs,
        0,
        "hot and cold ones are not near"
    );
    assert_eq!(archive.prefetch_study(&uid("1.1")).await.expect("near").packs, 1);
    proxy.set(Weather::Down);
    let stored = slice(1).held_in(&archive).await;
    assert_eq!(everything(&archive, &stored).await, slice(1).part10());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_moves_while_it_is_made_anew_and_read_and_nothing_is_lost() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = home.open().await;
    for number in 1..=12 {
        archive.ingest(Origin::Room("test"), &slice(number).part10(), &Expected::default()).await.expect("stored");
        seal(&archive).await;
    }
    let move_about = async {
        for round in 0..6 {
            moved(&archive, if round % 2 == 0 { Tier::Cold } else { Tier::Hot }).await;
        }
    };
    let make_anew = async {
        for _ in 0..6 {
            while archive.compact_one_series().await.expect("made anew") {}
            archive.seal_quiet_packs().await;
        }
    };
    let read = async {
        for number in (1..=12).cycle().take(60) {
            let stored = slice(number).held_in(&archive).await;
            assert_eq!(everything(&archive, &stored).await, slice(number).part10());
        }
    };
    futures::join!(move_about, make_anew, read);
    assert_reads_back(&archive, &(1..=12).collect::<Vec<_>>()).await;
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert_reads_back(&archive, &(1..=12).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_cold_folder_that_is_not_mounted_is_no_damage_and_gets_nothing() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    Slice::new("1.3", "1.3.1", "1.3.1.1").sent_to(&archive).await;
    seal(&archive).await;
    moved(&archive, Tier::Cold).await;
    archive.move_study(&uid("1.3"), Tier::Cold, |_| ()).await.expect("moved");
    let (mounted, away) = (cold_folder(&home), home.config.data_dir.join("../away"));
    std::fs::rename(&mounted, &away).expect("unmounted");
    std::fs::create_dir(&mounted).expect("an empty folder in its place");
    assert_eq!(scrub(&archive).await.len(), 4, "they cannot be read");
    assert_eq!(archive.damage(true).await.expect("the list"), []);
    let refused = archive.move_study(&uid("1.2"), Tier::Cold, |_| ()).await.expect_err("refused");
    assert!(refused.to_string().contains("storage.cold_url"), "{refused}");
    assert!(archive.check_cold_store().await.expect("there is one").is_err());
    std::fs::remove_dir_all(&mounted).expect("removed");
    std::fs::rename(&away, &mounted).expect("mounted again");
    assert_reads_back(&archive, &[1, 2, 3]).await;
    archive.check_cold_store().await.expect("there is one").expect("it is the right one");
}

#[tokio::test]
async fn what_came_garbled_takes_no_place_of_what_is_whole() {
    let Some(proxy) = Proxy::start().await else { return };
    let home = with_cold_folder(proxy.before(sqlite_and_folder()));
    let archive = filled(&home).await;
    proxy.set(Weather::Garbled);
    let failed = moved(&archive, Tier::Cold).await;
    assert_eq!((failed.packs, failed.failed.len()), (0, 1), "{failed:?}");
    proxy.set(Weather::Fair);
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    scrub(&archive).await;
    assert_eq!(archive.damage(false).await.expect("the list"), []);
    assert_reads_back(&archive, &[1, 2, 3]).await;
    assert_eq!(moved(&archive, Tier::Cold).await.packs, 1);
}

#[tokio::test]
async fn a_move_that_breaks_off_leaves_nothing_behind() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = sqlite_and_folder();
    home.config.cold_url = proxy.before(sqlite_and_folder()).config.store_url;
    at_once(&mut home.config);
    let archive = filled(&home).await;
    proxy.set(Weather::Torn);
    let failed = moved(&archive, Tier::Cold).await;
    assert_eq!((failed.packs, failed.failed.len()), (0, 1), "what was put cannot be read back: {failed:?}");
    proxy.set(Weather::Fair);
    assert_reads_back(&archive, &[1, 2, 3]).await;
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert_reads_back(&archive, &[1, 2, 3]).await;
    assert_eq!(moved(&archive, Tier::Cold).await.packs, 1);
    assert_reads_back(&archive, &[1, 2, 3]).await;
}

#[tokio::test]
async fn a_round_ends_when_the_cold_store_takes_nothing() {
    let mut home = with_cold_folder(sqlite_and_folder());
    home.config.cold = vec![ColdRule { days: 0, unread_days: 0, modalities: Vec::new() }];
    let archive = home.open().await;
    for number in 0..30 {
        Slice::new(&format!("2.{number}"), &format!("2.{number}.1"), &format!("2.{number}.1.1"))
            .sent_to(&archive)
            .await;
    }
    while tiers(&archive).await.0 < 30 {
        archive.seal_quiet_packs().await;
    }
    let in_the_way = cold_folder(&home).join("cold");
    std::fs::write(&in_the_way, "not a folder").expect("written");
    let failed = archive.cool(false, |_| ()).await.expect("told").failed.len();
    assert!((1..20).contains(&failed), "{failed} packs were tried");
    archive.cool_daily().await.expect("the round of the day");
    let jobs = archive.jobs("cool", None, 10).await.expect("jobs");
    assert!(jobs[0].result.is_none(), "it is tried again: {jobs:?}");
    std::fs::remove_file(&in_the_way).expect("removed");
    archive.cool(false, |_| ()).await.expect("moved");
    assert_eq!(tiers(&archive).await, (0, 30));
}

#[tokio::test]
async fn a_cold_store_that_is_away_holds_up_neither_start_nor_deletion() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = sqlite_and_folder();
    home.config.cold_url = proxy.before(sqlite_and_folder()).config.store_url;
    at_once(&mut home.config);
    let archive = filled(&home).await;
    for number in 0..8 {
        Slice::new("1.3", &format!("1.3.{number}"), &format!("1.3.{number}.1")).sent_to(&archive).await;
    }
    while tiers(&archive).await.0 < 10 {
        archive.seal_quiet_packs().await;
    }
    for tier in [Tier::Cold, Tier::Hot] {
        assert_eq!(archive.move_study(&uid("1.3"), tier, |_| ()).await.expect("moved").packs, 8);
    }
    grace_is_over(&home).await;
    proxy.set(Weather::Down);
    let before = proxy.requests();
    archive.delete(&uid("1.2"), None, None).await.expect("deleted");
    archive.close().await;
    let archive = home.open().await;
    assert!(proxy.requests() - before < 16, "{} attempts", proxy.requests() - before);
    assert_eq!(files(&home.config.data_dir.join("objects"), "tar").len(), 9, "what is hot goes at once");
    proxy.set(Weather::Fair);
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert_sound(&archive).await;
}

#[tokio::test]
async fn what_is_deleted_while_a_cold_folder_is_not_mounted_goes_when_it_is() {
    let home = with_cold_folder(sqlite_and_folder());
    let archive = filled(&home).await;
    for study in ["1.1", "1.2"] {
        archive.move_study(&uid(study), Tier::Cold, |_| ()).await.expect("moved");
    }
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    let (mounted, away) = (cold_folder(&home), home.config.data_dir.join("../away"));
    std::fs::rename(&mounted, &away).expect("unmounted");
    std::fs::create_dir(&mounted).expect("an empty folder in its place");
    archive.delete(&uid("1.2"), None, None).await.expect("deleted");
    std::fs::remove_dir(&mounted).expect("removed");
    std::fs::rename(&away, &mounted).expect("mounted again");
    assert_eq!(files(&mounted, "tar").len(), 2);
    grace_is_over(&home).await;
    archive.remove_doomed_objects().await.expect("removed");
    assert_eq!(files(&mounted, "tar").len(), 1);
    assert_reads_back(&archive, &[1, 2, 3]).await;
}
