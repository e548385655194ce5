//! What unknown callers store is kept apart, survives whatever happens, and goes where somebody decides.

use crate::{
    packs::{at_once, files},
    support::{
        Home, Slice, assert_sound, encrypted, everywhere, everywhere_with, postgres_and_folder, sqlite_and_folder, uid,
    },
};
use pacs_core::query::{Level, Query};
use storage::{
    Archive, ArchiveError, Expected, Ingested, Origin, Outcome, Quarantined, Replicator, Selection, new_key_line,
};

async fn comes(archive: &Archive, calling: &str, file: &[u8]) -> Result<Ingested, ArchiveError> {
    let origin = Origin::Dimse { calling: calling.parse().expect("an AE title"), address: "10.0.0.9".into() };
    let mut incoming = archive.receive(origin).await.expect("room");
    incoming.write(file).await.expect("written");
    incoming.quarantine(&Expected::default()).await
}

fn slice(number: u32) -> Slice {
    Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}"))
}

/// With so many bytes of Data Set Trailing Padding.
fn large(number: u32, padding: u32) -> Vec<u8> {
    let mut file = slice(number).part10();
    file.extend([0xFC, 0xFF, 0xFC, 0xFF, b'O', b'B', 0, 0]);
    file.extend(padding.to_le_bytes());
    file.resize(file.len() + padding as usize, 0);
    file
}

async fn kept(archive: &Archive) -> Vec<Quarantined> {
    archive.quarantined(&Selection::default(), 0, 100).await.expect("a list")
}

fn uids(kept: &[Quarantined]) -> Vec<&str> {
    kept.iter().map(|one| one.sop_instance.as_str()).collect()
}

async fn assert_nothing_seen(archive: &Archive) {
    for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
        assert!(archive.find(&Query::new(level)).await.expect("rows").is_empty(), "{level:?}");
    }
    assert!(archive.events(0, 100).await.expect("events").is_empty());
    assert_sound(archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_it_until_it_is_released_and_then_it_is_as_received() {
    everywhere(async |archive| {
        for number in [1, 2, 2] {
            comes(&archive, "CT7", &slice(number).part10()).await.expect("kept");
        }
        // As large ones come: by a file.
        comes(&archive, "CT8", &large(3, 3 << 20)).await.expect("kept");
        assert_nothing_seen(&archive).await;
        let held = kept(&archive).await;
        assert_eq!(uids(&held), ["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
        assert_eq!((held[0].calling.as_str(), held[0].address.as_str()), ("CT7", "10.0.0.9"));
        let of_ct8 = Selection { calling: Some("CT8".into()), ..Selection::default() };
        assert_eq!(uids(&archive.quarantined(&of_ct8, 0, 100).await.expect("a list")), ["1.1.1.3"]);
        for one in [&held[0], &held[2]] {
            assert_eq!(archive.release("anna", "here", one).await.expect("released").outcome, Outcome::Stored);
        }
        assert!(archive.release("anna", "here", &held[0]).await.is_err(), "it is no longer there");
        archive.discard_quarantined("anna", "here", &held[1]).await.expect("thrown away");
        assert!(kept(&archive).await.is_empty());
        let stored = archive.instances(&uid("1.1"), None, None).await.expect("instances");
        assert_eq!(stored.iter().map(|one| one.sop_instance.as_str()).collect::<Vec<_>>(), ["1.1.1.1", "1.1.1.3"]);
        for (one, sent) in stored.iter().zip([slice(1).part10(), large(3, 3 << 20)]) {
            assert_eq!(archive.read_range(one, 0..u64::MAX).await.expect("bytes"), sent);
        }
        archive.seal_quiet_packs().await;
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn it_has_its_limit_and_what_is_no_instance_is_refused() {
    everywhere_with(
        |config| config.quarantine_megabytes = 1,
        async |archive| {
            comes(&archive, "CT7", &large(1, 900 << 10)).await.expect("kept");
            let error = comes(&archive, "CT7", &large(2, 900 << 10)).await.expect_err("full");
            assert!(matches!(error, ArchiveError::QuarantineFull), "{error}");
            comes(&archive, "CT7", &large(1, 900 << 10)).await.expect("it is held already");
            let origin = Origin::Dimse { calling: "CT7".parse().expect("an AE title"), address: String::new() };
            let mut incoming = archive.receive(origin).await.expect("room");
            incoming.write(b"no instance").await.expect("written");
            incoming.quarantine(&Expected::default()).await.expect_err("refused");
            assert_eq!(kept(&archive).await.len(), 1);
        },
    )
    .await;
}

/// All that is in quarantine, taken into the archive.
async fn assert_all_there(archive: &Archive) {
    let held = kept(archive).await;
    assert_eq!(uids(&held), ["1.1.1.1", "1.1.1.2"]);
    for one in &held {
        archive.release("anna", "here", one).await.expect("released");
    }
    assert_eq!(archive.instances(&uid("1.1"), None, None).await.expect("instances").len(), 2);
}

/// The key for new objects is another now.
fn add_key(home: &Home) {
    let keys = home.config.data_dir.join("../keys");
    let old = std::fs::read_to_string(&keys).expect("keys");
    std::fs::write(&keys, format!("{}\n{old}", new_key_line("k2").expect("a key"))).expect("two keys");
}

async fn filled(home: &Home) -> Archive {
    let archive = home.open().await;
    for number in [1, 2] {
        comes(&archive, "CT7", &slice(number).part10()).await.expect("kept");
    }
    archive
}

#[tokio::test]
async fn it_is_in_a_backup() {
    let mut homes =
        vec![(sqlite_and_folder(), sqlite_and_folder()), (encrypted(sqlite_and_folder()), sqlite_and_folder())];
    homes.extend(postgres_and_folder().await.map(|home| (home, sqlite_and_folder())));
    for (home, mut empty) in homes {
        let archive = filled(&home).await;
        let backup = home.config.data_dir.join("../backup").display().to_string();
        assert!(archive.backup(&backup, |_| ()).await.expect("backed up").is_whole());
        archive.prune_backup(&backup).await.expect("pruned");
        empty.config.keys.clone_from(&home.config.keys);
        let restored = empty.open().await;
        restored.restore(&backup, |_| ()).await.expect("restored");
        assert_all_there(&restored).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_at_the_replica() {
    let mut homes = vec![encrypted(sqlite_and_folder())];
    homes.extend(postgres_and_folder().await.map(encrypted));
    for mut home in homes {
        let replica = home.config.data_dir.join("../replica").display().to_string();
        home.config.replica_url = Some(replica.clone());
        let archive = home.open().await;
        let replicator = Replicator::new(&archive).expect("a replica");
        while replicator.step().await.expect("a step") {}
        for number in [1, 2, 3] {
            comes(&archive, "CT7", &slice(number).part10()).await.expect("kept");
        }
        archive.discard_quarantined("anna", "here", &kept(&archive).await[2]).await.expect("thrown away");
        while replicator.step().await.expect("a step") {}
        archive.close().await;
        // Under another key they are other objects.
        add_key(&home);
        let archive = home.open().await;
        archive.rekey(|_| ()).await.expect("rekeyed");
        let replicator = Replicator::new(&archive).expect("a replica");
        while replicator.step().await.expect("a step") {}
        let mut other = sqlite_and_folder();
        other.config.keys.clone_from(&home.config.keys);
        let second = other.open().await;
        second.restore(&replica, |_| ()).await.expect("brought up");
        assert_all_there(&second).await;
    }
}

#[tokio::test]
async fn it_comes_back_where_the_catalog_is_lost_and_keys_change() {
    let mut home = encrypted(sqlite_and_folder());
    at_once(&mut home.config);
    let archive = filled(&home).await;
    comes(&archive, "CT7", &slice(3).part10()).await.expect("kept");
    archive.discard_quarantined("anna", "here", &kept(&archive).await[2]).await.expect("thrown away");
    archive.close().await;
    let objects = home.config.data_dir.join("objects/quarantine");
    assert_eq!((files(&objects, "dcm").len(), files(&objects, "json").len()), (2, 2));
    for file in files(&objects, "dcm") {
        let bytes = std::fs::read(file).expect("an object");
        assert!(!bytes.windows(5).any(|window| window == b"Zhang"), "plain text in the store");
    }
    add_key(&home);
    let archive = home.open().await;
    archive.rekey(|_| ()).await.expect("rekeyed");
    assert!(files(&objects, "dcm").iter().all(|file| file.display().to_string().contains(".k2.")));
    archive.close().await;
    std::fs::remove_file(home.config.data_dir.join("index.sqlite")).expect("lost");
    let archive = home.open().await;
    assert!(kept(&archive).await.is_empty());
    assert_eq!(archive.reindex(|_| ()).await.expect("reindexed").quarantined, 2);
    assert_all_there(&archive).await;
}
