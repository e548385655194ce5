//! A second site: what was sealed is there in a moment, and is brought up with the same answers.

use crate::{
    backup::{answers, filled},
    packs::{assert_reads_back, at_once, slice},
    proxy::{Proxy, Weather},
    support::{Home, assert_sound, bucket, catalog, encrypted, postgres_and_folder, sqlite_and_folder, uid},
};
use pacs_core::Failure;
use std::time::Duration;
use storage::{Archive, Outcome, Replicator};

/// Where the replica of a home is.
fn replica_of(home: &mut Home) -> String {
    let at = match &home.config.store_url {
        Some(url) => format!("{url}-replica"),
        None => home.config.data_dir.join("../replica").display().to_string(),
    };
    home.config.replica_url = Some(at.clone());
    at_once(&mut home.config);
    at
}

/// Steps until the replica has all.
async fn catch_up(archive: &Archive) {
    let replicator = Replicator::new(archive).expect("a replica");
    while replicator.step().await.expect("a step") {}
    let status = archive.replica_status().await.expect("a status").expect("a replica");
    assert_eq!((status.packs, status.changes, status.lag_milliseconds), (0, 0, 0), "{status:?}");
}

/// Seals what is decided, which is all in a moment.
async fn seal(archive: &Archive) {
    for _ in 0..5 {
        archive.seal_quiet_packs().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A second site on the replica itself.
fn second_site(first: &Home, replica: &str, mut home: Home) -> Home {
    let url = if replica.contains("://") { replica.to_owned() } else { format!("file://{replica}") };
    home.config.store_url = Some(url);
    home.config.keys.clone_from(&first.config.keys);
    at_once(&mut home.config);
    home
}

async fn homes() -> Vec<(Home, Home)> {
    let mut homes =
        vec![(sqlite_and_folder(), sqlite_and_folder()), (encrypted(sqlite_and_folder()), sqlite_and_folder())];
    if let (Some(one), Some(other)) = (postgres_and_folder().await, postgres_and_folder().await) {
        homes.push((one, other));
    }
    if let Some(bucket) = bucket() {
        homes.push((sqlite_and_folder().in_bucket(&bucket, "SQLite, S3"), sqlite_and_folder()));
    }
    homes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_site_gives_the_same_answers() {
    for (mut home, empty) in homes().await {
        println!("over {}", home.name);
        let replica = replica_of(&mut home);
        let archive = home.open().await;
        catch_up(&archive).await;
        // All of this comes in segments.
        let token = filled(&archive).await;
        seal(&archive).await;
        catch_up(&archive).await;
        slice(8).sent_to(&archive).await;
        archive.delete(&uid("1.2"), None, None).await.expect("deleted");
        seal(&archive).await;
        while archive.compact_one_series().await.expect("made anew") {}
        seal(&archive).await;
        catch_up(&archive).await;
        let before = answers(&archive).await;
        // The first site is gone without a word.
        let empty = second_site(&home, &replica, empty);
        let second = empty.open().await;
        let done = second.restore(&replica, |_| ()).await.expect("brought up");
        assert_eq!((done.missing.len(), done.bytes), (0, 0), "nothing is copied");
        assert_eq!(answers(&second).await, before);
        assert!(second.destinations().await.expect("a list").iter().all(|destination| destination.is_paused));
        assert_reads_back(&second, &[1, 2, 4, 8]).await;
        assert_eq!(second.authenticate(&token).await.expect("an answer").expect("a user").name, "li");
        assert_eq!(second.verify_audit_trail().await.expect("a check"), None);
        second.reindex(|_| ()).await.expect("reindexed");
        assert_eq!(answers(&second).await, before, "what was deleted stays deleted");
        slice(9).sent_to(&second).await;
        seal(&second).await;
        assert_reads_back(&second, &[1, 2, 4, 8, 9]).await;
        second.close().await;
        // Should the first site come back, it leaves the second one alone.
        slice(10).sent_to(&archive).await;
        let error = Replicator::new(&archive).expect("a replica").step().await.expect_err("taken over");
        assert!(error.to_string().contains("second site"), "{error}");
        assert!(!archive.replica_status().await.expect("a status").expect("a replica").error.is_empty());
        archive.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sealed_when_the_first_site_was_lost_is_told_and_can_be_sent_again() {
    let mut home = sqlite_and_folder();
    let replica = replica_of(&mut home);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    seal(&archive).await;
    slice(2).sent_to(&archive).await;
    catch_up(&archive).await;
    let empty = second_site(&home, &replica, sqlite_and_folder());
    let second = empty.open().await;
    let done = second.restore(&replica, |_| ()).await.expect("brought up");
    assert_eq!(done.missing.len(), 1);
    let stored = slice(2).held_in(&second).await;
    let refused = second.read_frame(&stored, 0).await.expect_err("it is lost");
    assert_eq!(refused.failure(), Failure::Damaged);
    assert_eq!(second.metadata(&uid("1.1"), None, None).await.expect("metadata").len(), 2);
    assert_eq!(slice(2).sent_to(&second).await.outcome, Outcome::Identical(1));
    assert_eq!(second.damage_count(), 0);
    seal(&second).await;
    while second.compact_one_series().await.expect("made anew") {}
    seal(&second).await;
    assert_reads_back(&second, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packs_that_came_after_the_last_segment_are_taken_in_and_what_was_let_go_is_not() {
    let mut home = sqlite_and_folder();
    let replica = replica_of(&mut home);
    let archive = home.open().await;
    for number in [1, 2] {
        slice(number).sent_to(&archive).await;
    }
    seal(&archive).await;
    catch_up(&archive).await;
    let old = crate::packs::files(replica.as_ref(), "tar").remove(0);
    archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.1"))).await.expect("deleted");
    while archive.compact_one_series().await.expect("made anew") {}
    seal(&archive).await;
    let bytes = std::fs::read(&old).expect("the old pack");
    catch_up(&archive).await;
    assert!(!old.exists(), "it is out of the way");
    assert_eq!(crate::packs::files(replica.as_ref(), "removed").len(), 1);
    // As if the site was lost before it was.
    std::fs::write(&old, bytes).expect("back");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    std::fs::File::options().write(true).open(&old).and_then(|file| file.set_modified(long_ago)).expect("old");
    // And one whose row did not come any more.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let other = second_site(&home, &replica, sqlite_and_folder());
    let elsewhere = other.open().await;
    slice(3).sent_to(&elsewhere).await;
    seal(&elsewhere).await;
    elsewhere.close().await;
    let empty = second_site(&home, &replica, sqlite_and_folder());
    let second = empty.open().await;
    second.restore(&replica, |_| ()).await.expect("brought up");
    assert_reads_back(&second, &[2, 3]).await;
    second.reindex(|_| ()).await.expect("reindexed");
    assert_reads_back(&second, &[2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_away_for_a_while_catches_up_and_two_processes_share_the_work() {
    let mut home = sqlite_and_folder();
    let replica = replica_of(&mut home);
    let archive = home.open().await;
    catch_up(&archive).await;
    // A file in the place of the folder: nothing can be written.
    let (folder, away) = (std::path::Path::new(&replica), format!("{replica}-away"));
    std::fs::rename(folder, &away).expect("away");
    std::fs::write(folder, "").expect("a file");
    let replicator = Replicator::new(&archive).expect("a replica");
    for number in [1, 2, 3] {
        slice(number).sent_to(&archive).await;
        seal(&archive).await;
        assert!(replicator.step().await.is_err());
    }
    let status = archive.replica_status().await.expect("a status").expect("a replica");
    assert!(status.packs == 3 && status.changes > 0 && !status.error.is_empty(), "{status:?}");
    std::fs::remove_file(folder).expect("gone");
    std::fs::rename(&away, folder).expect("back");
    let beside = home.open().await;
    let (one, other) = (Replicator::new(&archive).expect("a replica"), Replicator::new(&beside).expect("a replica"));
    for _ in 0..4 {
        let (here, there) = tokio::join!(one.step(), other.step());
        here.expect("a step");
        there.expect("a step");
    }
    catch_up(&archive).await;
    beside.close().await;
    let empty = second_site(&home, &replica, sqlite_and_folder());
    let second = empty.open().await;
    second.restore(&replica, |_| ()).await.expect("brought up");
    assert_reads_back(&second, &[1, 2, 3]).await;
    assert_sound(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_mends_damage_and_may_be_copied_to_another_store() {
    let mut home = sqlite_and_folder();
    let replica = replica_of(&mut home);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    seal(&archive).await;
    slice(2).sent_to(&archive).await;
    seal(&archive).await;
    catch_up(&archive).await;
    let pack = crate::packs::files(&home.config.data_dir.join("objects"), "tar").remove(0);
    let mut bytes = std::fs::read(&pack).expect("the pack");
    bytes[700] ^= 1;
    std::fs::write(&pack, bytes).expect("damaged");
    assert_eq!(archive.verify(true, |_| ()).await.expect("a verification").damaged.len(), 1);
    assert_eq!(archive.mend(None, |_| ()).await.expect("mended").mended, 1);
    seal(&archive).await;
    assert_reads_back(&archive, &[1, 2]).await;
    catch_up(&archive).await;

    let mut copy = sqlite_and_folder();
    at_once(&mut copy.config);
    let second = copy.open().await;
    let done = second.restore(&replica, |_| ()).await.expect("restored");
    assert!(done.bytes > 0 && done.missing.is_empty(), "{done:?}");
    assert_reads_back(&second, &[1, 2]).await;
    // That was no second site on the replica: the first one goes on.
    slice(3).sent_to(&archive).await;
    seal(&archive).await;
    catch_up(&archive).await;
    archive.close().await;
    home.config.replica_url = None;
    let archive = home.open().await;
    archive.stop_replica().await.expect("stopped");
    slice(4).sent_to(&archive).await;
    assert_reads_back(&archive, &[1, 2, 3, 4]).await;
}

/// As after an upgrade of the catalog: the triggers are made anew, and every pack is looked at again.
async fn look_at_all_again(home: &Home) {
    let mut catalog = catalog(home).await;
    sqlx::query("delete from replica_state where name = 'schema'").execute(&mut catalog).await.expect("changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_is_damaged_never_takes_the_place_of_its_good_copy() {
    for how in ["cut off", "flipped at its end", "gone"] {
        for mut home in [sqlite_and_folder(), encrypted(sqlite_and_folder())] {
            println!("{how}, {}", home.name);
            let replica = replica_of(&mut home);
            let archive = home.open().await;
            for number in [1, 2] {
                slice(number).sent_to(&archive).await;
                seal(&archive).await;
            }
            catch_up(&archive).await;
            let pack = crate::packs::files(&home.config.data_dir.join("objects"), "tar").remove(0);
            let mut bytes = std::fs::read(&pack).expect("the pack");
            match how {
                "cut off" => bytes.truncate(1600),
                _ => *bytes.iter_mut().rev().nth(1600).expect("a byte") ^= 1,
            }
            match how {
                "gone" => std::fs::remove_file(&pack).expect("gone"),
                _ => std::fs::write(&pack, bytes).expect("damaged"),
            }
            look_at_all_again(&home).await;
            catch_up(&archive).await;
            archive.verify(true, |_| ()).await.expect("a verification");
            let mended = archive.mend(None, |_| ()).await.expect("mended");
            assert!(mended.left.is_empty(), "{mended:?}");
            for _ in 0..3 {
                seal(&archive).await;
                while archive.compact_one_series().await.expect("made anew") {}
            }
            assert_reads_back(&archive, &[1, 2]).await;
            catch_up(&archive).await;
            archive.close().await;
            let empty = second_site(&home, &replica, sqlite_and_folder());
            let second = empty.open().await;
            second.restore(&replica, |_| ()).await.expect("brought up");
            assert_reads_back(&second, &[1, 2]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_copy_at_the_replica_is_made_again() {
    let mut home = sqlite_and_folder();
    let replica = replica_of(&mut home);
    let archive = home.open().await;
    slice(1).sent_to(&archive).await;
    seal(&archive).await;
    catch_up(&archive).await;
    let copy = crate::packs::files(replica.as_ref(), "tar").remove(0);
    let good = std::fs::read(&copy).expect("the copy");
    std::fs::write(&copy, &good[..1000]).expect("torn");
    look_at_all_again(&home).await;
    catch_up(&archive).await;
    assert_eq!(std::fs::read(&copy).expect("the copy"), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_behind_a_bad_network_ends_up_whole() {
    let Some(proxy) = Proxy::start().await else { return };
    let mut home = sqlite_and_folder();
    home.config.replica_url = proxy.before(sqlite_and_folder()).config.store_url;
    at_once(&mut home.config);
    let archive = home.open().await;
    catch_up(&archive).await;
    let replicator = Replicator::new(&archive).expect("a replica");
    let weathers = [Weather::OnePutInFiveFails, Weather::Torn, Weather::Short, Weather::Down];
    for (number, weather) in (1..).zip(weathers) {
        slice(number).sent_to(&archive).await;
        seal(&archive).await;
        proxy.set(weather);
        look_at_all_again(&home).await;
        // Broken off too, as if the process ended; what it answers is not what counts.
        let _ = tokio::time::timeout(Duration::from_secs(2), replicator.step()).await;
    }
    assert_reads_back(&archive, &[1, 2, 3, 4]).await;
    assert_eq!(archive.damage_count(), 0);
    proxy.set(Weather::Fair);
    catch_up(&archive).await;
    archive.close().await;
    let replica = home.config.replica_url.clone().expect("a replica");
    let empty = second_site(&home, &replica, sqlite_and_folder());
    let second = empty.open().await;
    let done = second.restore(&replica, |_| ()).await.expect("brought up");
    assert!(done.missing.is_empty(), "{done:?}");
    assert_reads_back(&second, &[1, 2, 3, 4]).await;
}
