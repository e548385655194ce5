//! Backup and restore: what comes back is what was there, and only that.

use crate::{
    instances::everything,
    packs::{assert_reads_back, at_once, files, slice},
    support::{Home, Slice, assert_sound, encrypted, postgres_and_folder, sqlite_and_folder, uid},
};
use pacs_core::query::{Level, Query};
use std::fmt::Write;
use storage::{Archive, ArchiveError, Peer, Role, routing::Destination};

/// All that a client is answered.
pub async fn answers(archive: &Archive) -> String {
    let mut text = String::new();
    for level in [Level::Study, Level::Series, Level::Instance] {
        writeln!(text, "{:?}", archive.find(&Query::new(level)).await.expect("rows")).expect("text");
    }
    for study in ["1.1", "1.2"] {
        writeln!(text, "{:?}", archive.metadata(&uid(study), None, None).await.ok()).expect("text");
        for stored in archive.instances(&uid(study), None, None).await.expect("instances") {
            writeln!(text, "{} {:?}", stored.sop_instance, everything(archive, &stored).await).expect("text");
        }
    }
    writeln!(text, "{:?}", archive.users().await.expect("users")).expect("text");
    writeln!(text, "{:?}", archive.peers().await.expect("peers")).expect("text");
    writeln!(text, "{:?}", archive.forwards(None, None, 100).await.expect("a queue")).expect("text");
    writeln!(text, "{:?}", archive.events(0, u32::MAX).await.expect("events")).expect("text");
    text
}

/// Sealed and open packs, versions, deleted instances in both, a user with a token, a peer. Returns the token.
pub async fn filled(archive: &Archive) -> String {
    for number in [1, 2, 3] {
        slice(number).sent_to(archive).await;
    }
    slice(2).filled(99).sent_to(archive).await;
    archive.seal_quiet_packs().await;
    slice(4).sent_to(archive).await;
    slice(5).sent_to(archive).await;
    Slice::new("1.2", "1.2.1", "1.2.1.1").sent_to(archive).await;
    for gone in ["1.1.1.3", "1.1.1.5"] {
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid(gone))).await.expect("deleted");
    }
    archive.add_user("li", "a long password", &[Role::Viewer]).await.expect("a user");
    let ae_title = "CT1".parse().expect("an AE title");
    let peer = Peer { host: Some("10.0.0.7".into()), port: Some(104), may_store: true, ..Peer::new(ae_title) };
    archive.put_peer(&peer).await.expect("a peer");
    let destination = Destination::ae(peer.ae_title.clone());
    archive.put_destination(&destination).await.expect("a destination");
    archive.send(&destination.name, &uid("1.1"), None).await.expect("queued");
    archive.create_token("li", "ci").await.expect("a token")
}

fn backup_of(home: &Home) -> String {
    home.config.data_dir.join("../backup").display().to_string()
}

async fn assert_comes_back(mut home: Home, mut empty: Home) {
    println!("from {} to {}", home.name, empty.name);
    at_once(&mut home.config);
    empty.config.quiet_seconds = 0;
    empty.config.keys.clone_from(&home.config.keys);
    let archive = home.open().await;
    let token = filled(&archive).await;
    let before = answers(&archive).await;
    let done = archive.backup(&backup_of(&home), |_| ()).await.expect("backed up");
    assert!(done.is_whole() && done.packs == 3, "{done:?}");
    // What comes afterwards is not in it.
    slice(7).sent_to(&archive).await;

    let restored = empty.open().await;
    let done = restored.restore(&backup_of(&home), |_| ()).await.expect("restored");
    assert!(restored.destinations().await.expect("a list").iter().all(|destination| destination.is_paused));
    assert_eq!((done.packs, done.done, done.missing.len()), (3, 3, 0));
    assert_eq!(answers(&restored).await, before);
    assert_reads_back(&restored, &[1, 2, 4]).await;
    restored.close().await;
    let restored = empty.open().await;
    assert_eq!(answers(&restored).await, before, "also after a restart");
    assert_eq!(restored.authenticate(&token).await.expect("an answer").expect("a user").name, "li");
    assert_eq!(restored.verify_audit_trail().await.expect("a check"), None);
    restored.reindex(|_| ()).await.expect("reindexed");
    assert_eq!(answers(&restored).await, before, "what was deleted stays deleted");
    slice(6).sent_to(&restored).await;
    restored.seal_quiet_packs().await;
    while restored.compact_one_series().await.expect("made anew") {}
    assert_reads_back(&restored, &[1, 2, 4, 6]).await;
}

#[tokio::test]
async fn a_restored_archive_gives_the_same_answers() {
    assert_comes_back(sqlite_and_folder(), sqlite_and_folder()).await;
    assert_comes_back(encrypted(sqlite_and_folder()), sqlite_and_folder()).await;
    if let (Some(one), Some(other)) = (postgres_and_folder().await, postgres_and_folder().await) {
        assert_comes_back(one, other).await;
    }
    if let (Some(one), Some(other)) = (postgres_and_folder().await, postgres_and_folder().await) {
        assert_comes_back(one, sqlite_and_folder()).await;
        assert_comes_back(sqlite_and_folder(), other).await;
    }
}

#[tokio::test]
async fn a_backup_needs_only_what_it_lacks_and_forgets_when_it_is_pruned() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    let backup = backup_of(&home);
    slice(1).sent_to(&archive).await;
    Slice::new("1.2", "1.2.1", "1.2.1.1").sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    assert_eq!(archive.backup(&backup, |_| ()).await.expect("the first").copied, 2);
    slice(2).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    archive.delete(&uid("1.2"), None, None).await.expect("deleted");
    assert_eq!(archive.backup(&backup, |_| ()).await.expect("the second").copied, 1);
    assert_eq!(archive.backup(&backup, |_| ()).await.expect("the third").copied, 0);
    assert_eq!(files(backup.as_ref(), "tar").len(), 3);
    assert_eq!(archive.prune_backup(&backup).await.expect("pruned"), 3, "two dumps and what was deleted");
    assert_eq!(files(backup.as_ref(), "tar").len(), 2);
    let new = sqlite_and_folder();
    let restored = new.open().await;
    restored.restore(&backup, |_| ()).await.expect("restored");
    assert_reads_back(&restored, &[1, 2]).await;
}

#[tokio::test]
async fn an_encrypted_archive_has_nothing_plain_in_its_backup() {
    let mut home = encrypted(sqlite_and_folder());
    at_once(&mut home.config);
    let archive = home.open().await;
    filled(&archive).await;
    let backup = backup_of(&home);
    archive.backup(&backup, |_| ()).await.expect("backed up");
    for file in [files(backup.as_ref(), "tar"), files(backup.as_ref(), "gz")].concat() {
        assert!(std::fs::read(&file).expect("a file").starts_with(b"YHPACK"), "{}", file.display());
    }
}

#[tokio::test]
async fn a_restore_goes_on_where_it_was_and_never_into_an_archive_that_is_used() {
    let mut home = sqlite_and_folder();
    at_once(&mut home.config);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    archive.seal_quiet_packs().await;
    let backup = backup_of(&home);
    archive.backup(&backup, |_| ()).await.expect("backed up");
    assert!(matches!(archive.restore(&backup, |_| ()).await, Err(ArchiveError::Conflict(_))));

    let empty = sqlite_and_folder();
    let restored = empty.open().await;
    let pack = files(backup.as_ref(), "tar").remove(0);
    let dump = files(backup.as_ref(), "gz").remove(0);
    let good = std::fs::read(&dump).expect("the dump");
    std::fs::write(&dump, &good[..good.len() / 2]).expect("cut");
    restored.restore(&backup, |_| ()).await.expect_err("a dump that is cut off");
    std::fs::write(&dump, good).expect("mended");
    std::fs::rename(&pack, pack.with_extension("away")).expect("moved");
    // The catalog is taken all the same: what is there can be read, and the rest is told.
    assert_eq!(restored.restore(&backup, |_| ()).await.expect("restored").missing.len(), 1);
    assert!(!restored.verify(false, |_| ()).await.expect("a look").is_sound());
    std::fs::rename(pack.with_extension("away"), &pack).expect("moved");

    let new = sqlite_and_folder();
    let restored = new.open().await;
    restored.restore(&backup, |_| ()).await.expect("restored");
    assert_sound(&restored).await;
    assert_reads_back(&restored, &[1]).await;
}
