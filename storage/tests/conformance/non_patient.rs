//! Objects of no patient are kept, listed, read and deleted beside the studies.

use crate::support::{Slice, assert_sound, everywhere, palette, uid};
use futures::TryStreamExt;
use pacs_core::{
    Failure,
    query::{Level, Query},
    sop_class::NonPatient,
};
use storage::{Archive, ArchiveError, Expected, Ingested, NonPatientObject, Origin, Outcome};

const KIND: NonPatient = NonPatient::ColorPalette;

async fn send(archive: &Archive, file: &[u8]) -> Ingested {
    archive.ingest(Origin::Room("test"), file, &Expected::default()).await.expect("an object that is stored")
}

async fn object(archive: &Archive, sop_instance: &str, version: Option<u32>) -> NonPatientObject {
    archive.non_patient_object(KIND, &uid(sop_instance), version).await.expect("an object")
}

async fn everything(archive: &Archive, object: &NonPatientObject) -> Vec<u8> {
    let pieces: Vec<_> =
        archive.read_non_patient_object(object).await.expect("a stream").try_collect().await.expect("bytes");
    pieces.concat()
}

#[tokio::test]
async fn a_palette_is_kept_listed_and_comes_back_byte_for_byte() {
    everywhere(async |archive| {
        let file = palette("1.9", "HOT_IRON", "first");
        let ingested = send(&archive, &file).await;
        assert_eq!((ingested.outcome, ingested.study.clone()), (Outcome::Stored, None));
        assert_eq!(ingested.path(), "color-palettes/1.9");
        send(&archive, &palette("1.10", "PET", "")).await;

        let listed = archive.non_patient_objects(KIND).await.expect("a list");
        let uids: Vec<_> = listed.iter().map(|object| object.sop_instance.as_str()).collect();
        assert_eq!(uids, ["1.10", "1.9"]);
        assert!(listed[1].metadata.contains("HOT_IRON"));
        assert_eq!(everything(&archive, &listed[1]).await, file);
        assert_eq!(archive.non_patient_objects(NonPatient::HangingProtocol).await.expect("a list"), []);
        let elsewhere = archive.non_patient_object(NonPatient::HangingProtocol, &uid("1.9"), None).await;
        assert!(matches!(elsewhere, Err(ArchiveError::NotFound(_))));

        assert_eq!(archive.find(&Query::new(Level::Study)).await.expect("rows"), [], "it is of no study");
        assert_eq!(archive.events(0, 10).await.expect("events"), []);
        assert!(archive.audit_trail(1).await.expect("a trail")[0].success);
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn other_content_under_its_uid_is_a_further_version() {
    everywhere(async |archive| {
        let files = ["first", "second"].map(|description| palette("1.9", "HOT_IRON", description));
        // An instance of a study may have the same UID.
        Slice::new("1.1", "1.1.1", "1.9").sent_to(&archive).await;
        let expected = [Outcome::Stored, Outcome::Version(2), Outcome::Identical(1), Outcome::Identical(2)];
        for (file, expected) in files.iter().chain(&files).zip(expected) {
            assert_eq!(send(&archive, file).await.outcome, expected);
        }
        for (version, file) in [(None, &files[0]), (Some(1), &files[0]), (Some(2), &files[1])] {
            assert_eq!(&everything(&archive, &object(&archive, "1.9", version).await).await, file);
        }
        assert_eq!(archive.non_patient_objects(KIND).await.expect("a list").len(), 1);
        assert_sound(&archive).await;

        archive.delete_non_patient_object("li", "", KIND, &uid("1.9")).await.expect("deleted");
        assert_eq!(archive.non_patient_objects(KIND).await.expect("a list"), []);
        let again = archive.delete_non_patient_object("li", "", KIND, &uid("1.9")).await;
        assert!(matches!(again, Err(ArchiveError::NotFound(_))));
        assert_sound(&archive).await;
        Slice::new("1.1", "1.1.1", "1.9").held_in(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_announced_must_fit() {
    everywhere(async |archive| {
        let file = palette("1.9", "HOT_IRON", "");
        for expected in [
            Expected { study: Some(uid("1.1")), ..Expected::default() },
            Expected { non_patient: Some(NonPatient::HangingProtocol), ..Expected::default() },
            Expected { sop_instance: Some(uid("1.8")), ..Expected::default() },
        ] {
            let refused = archive.ingest(Origin::Room("test"), &file, &expected).await.expect_err("a mismatch");
            assert_eq!(refused.failure(), Failure::DataSetMismatch, "{expected:?}");
        }
        let slice = Slice::new("1.1", "1.1.1", "1.9").part10();
        let expected = Expected { non_patient: Some(KIND), ..Expected::default() };
        assert!(archive.ingest(Origin::Room("test"), &slice, &expected).await.is_err());
    })
    .await;
}
