//! Other content under a held SOP Instance UID: nothing is lost, and one version is seen.

use crate::{
    instances::everything,
    support::{
        Slice, assert_sound, everywhere, everywhere_with, only_row, postgres_and_folder, sqlite_and_folder, uid,
    },
};
use pacs_core::{
    query::{Level, Query},
    tags,
};
use storage::{Archive, ArchiveError, Outcome, SameUidOtherContent};

/// Fill byte of the pixels of each version, the current one's in brackets.
async fn versions(archive: &Archive, slice: &Slice) -> String {
    let held = archive.versions(&slice.study, &slice.series, &slice.sop_instance).await.expect("versions");
    let mut texts = Vec::new();
    for (version, number) in held.iter().zip(1..) {
        assert_eq!(version.instance.version, number);
        assert_eq!(version.received_from, "test");
        assert_eq!(version.digest.len(), 43);
        let read = archive.instance(&slice.study, &slice.series, &slice.sop_instance, Some(number)).await;
        assert_eq!(read.expect("a version by its number"), version.instance);
        let (frame, _) = archive.read_frame(&version.instance, 0).await.expect("a frame");
        assert_eq!(everything(archive, &version.instance).await, slice.clone().filled(frame[0]).part10());
        texts.push(if version.is_current { format!("[{}]", frame[0]) } else { frame[0].to_string() });
    }
    texts.join(" ")
}

/// What every version counts as: one.
async fn assert_one_instance(archive: &Archive) {
    only_row(archive, Level::Instance).await;
    for (level, tag) in [
        (Level::Study, tags::NUMBER_OF_STUDY_RELATED_INSTANCES),
        (Level::Series, tags::NUMBER_OF_SERIES_RELATED_INSTANCES),
    ] {
        assert_eq!(only_row(archive, level).await.values[&tag], "1");
    }
}

#[tokio::test]
async fn the_same_again_is_identical_and_other_content_is_a_further_version() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        slice.sent_to(&archive).await;
        assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Identical(1));
        for (fill, expected) in [(9, Outcome::Version(2)), (9, Outcome::Identical(2)), (0, Outcome::Identical(1))] {
            assert_eq!(slice.clone().filled(fill).sent_to(&archive).await.outcome, expected);
        }
        assert_eq!(slice.clone().filled(7).sent_to(&archive).await.outcome, Outcome::Version(3));
        assert_eq!(versions(&archive, &slice).await, "[0] 9 7");
        assert_one_instance(&archive).await;
        assert_eq!(
            archive.instances(&slice.study, None, None).await.expect("instances"),
            [slice.held_in(&archive).await]
        );
        assert_eq!(archive.metadata(&slice.study, None, None).await.expect("metadata").len(), 1);
        let absent = archive.instance(&slice.study, &slice.series, &slice.sop_instance, Some(4)).await;
        assert!(matches!(absent, Err(ArchiveError::NotFound(_))));
        assert_eq!(archive.events(0, 10).await.expect("events").len(), 3, "one for each version");
        let trail = archive.audit_trail(2).await.expect("a trail");
        assert_eq!(trail[0].detail, "1.1.1.1 other content, kept as version 3");
        assert!(trail.iter().all(|record| record.success));
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn the_newest_is_current_where_the_configuration_says_so() {
    let keep_latest = |config: &mut storage::StorageConfig| {
        config.same_uid_other_content = SameUidOtherContent::KeepLatest;
        config.quiet_seconds = 0;
    };
    everywhere_with(keep_latest, async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::INSTANCE_NUMBER, "1");
        slice.sent_to(&archive).await;
        assert_eq!(archive.announce_quiet_series().await.expect("a sweep"), 1);
        assert_eq!(slice.clone().filled(9).sent_to(&archive).await.outcome, Outcome::Version(2));
        assert_eq!(versions(&archive, &slice).await, "0 [9]");
        assert_eq!(slice.held_in(&archive).await.version, 2);
        assert_one_instance(&archive).await;
        assert_eq!(archive.announce_quiet_series().await.expect("a sweep"), 1, "its readers are to look again");
        // What was first comes back: it is held already, and history does not turn.
        assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_eq!(versions(&archive, &slice).await, "0 [9]");
    })
    .await;
}

#[tokio::test]
async fn other_content_is_refused_where_the_configuration_says_so() {
    let reject = |config: &mut storage::StorageConfig| config.same_uid_other_content = SameUidOtherContent::Reject;
    everywhere_with(reject, async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        slice.sent_to(&archive).await;
        assert_eq!(slice.clone().filled(9).sent_to(&archive).await.outcome, Outcome::Rejected);
        assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_eq!(versions(&archive, &slice).await, "[0]");
        assert_eq!(archive.events(0, 10).await.expect("events").len(), 1);
        let trail = archive.audit_trail(10).await.expect("a trail");
        let successes: Vec<_> = trail.iter().map(|record| record.success).collect();
        assert_eq!(successes, [true, false, true]);
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn the_same_uid_in_another_series_or_study_is_another_instance() {
    everywhere(async |archive| {
        let slices = [("1.1", "1.1.1", 1), ("1.1", "1.1.2", 2), ("1.2", "1.1.1", 3)]
            .map(|(study, series, fill)| Slice::new(study, series, "1.9").filled(fill));
        for slice in &slices {
            assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Stored);
        }
        // Also the very same bytes but for the UIDs around them.
        for (slice, expected) in slices.iter().zip(["[1]", "[2]", "[3]"]) {
            assert_eq!(versions(&archive, slice).await, expected);
        }
        assert_eq!(archive.find(&Query::new(Level::Instance)).await.expect("rows").len(), 3);
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.9"))).await.expect("one deleted");
        assert_eq!(versions(&archive, &slices[1]).await, "[2]");
        assert_eq!(versions(&archive, &slices[2]).await, "[3]");
    })
    .await;
}

#[tokio::test]
async fn deleting_an_instance_takes_all_its_versions() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        for fill in 0..3 {
            slice.clone().filled(fill).sent_to(&archive).await;
        }
        let other = Slice::new("1.1", "1.1.1", "1.1.1.2");
        other.sent_to(&archive).await;
        let gone = archive.delete(&slice.study, Some(&slice.series), Some(&slice.sop_instance)).await;
        assert_eq!(gone.expect("deleted"), 1);
        assert_one_instance(&archive).await;
        let left = archive.versions(&slice.study, &slice.series, &slice.sop_instance).await;
        assert!(matches!(left, Err(ArchiveError::NotFound(_))));
        assert_sound(&archive).await;
        let before = other.held_in(&archive).await.id;
        slice.clone().filled(5).sent_to(&archive).await;
        assert_eq!(versions(&archive, &slice).await, "[5]");
        assert!(slice.held_in(&archive).await.id > before, "an id is never given twice");
    })
    .await;
}

#[tokio::test]
async fn contents_that_arrive_at_the_same_time_are_all_kept() {
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        // Two archives over the same data are what two processes are.
        let archives = [home.open().await, home.open().await];
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        let sends = (0..24u8).map(|n| {
            let (archive, slice) = (archives[usize::from(n % 2)].clone(), slice.clone().filled(n / 4));
            tokio::spawn(async move { slice.sent_to(&archive).await.outcome })
        });
        let mut outcomes = Vec::new();
        for send in sends.collect::<Vec<_>>() {
            outcomes.push(send.await.expect("a sender"));
        }
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count(), 1, "{}", home.name);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_written()).count(), 6, "{}", home.name);
        let mut fills: Vec<_> =
            versions(&archives[0], &slice).await.replace(['[', ']'], "").split(' ').map(str::to_owned).collect();
        fills.sort();
        assert_eq!(fills, ["0", "1", "2", "3", "4", "5"], "{}", home.name);
        assert_one_instance(&archives[1]).await;
        assert_sound(&archives[0]).await;
    }
}
