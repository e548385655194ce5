//! Instances come in, are found, read and deleted.

use crate::support::{Slice, assert_sound, everywhere, only_row, postgres_and_folder, sqlite_and_folder, uid};
use futures::TryStreamExt;
use pacs_core::{
    Failure,
    query::{Level, Query},
    tags,
};
use std::{path::PathBuf, time::Duration};
use storage::{Archive, ArchiveError, EventKind, Expected, Origin, Outcome, SameUidOtherContent, StoredInstance};

pub async fn everything(archive: &Archive, stored: &StoredInstance) -> Vec<u8> {
    let pieces: Vec<_> = archive.read(stored).await.expect("a stream").try_collect().await.expect("its bytes");
    pieces.concat()
}

#[tokio::test]
async fn what_came_in_is_found_and_comes_back_byte_for_byte() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::STUDY_DATE, "20240131").filled(7);
        let ingested = slice.sent_to(&archive).await;
        assert_eq!(ingested.outcome, Outcome::Stored);
        let stored = slice.held_in(&archive).await;
        assert_eq!(everything(&archive, &stored).await, slice.part10());

        let row = only_row(&archive, Level::Instance).await;
        let value = |tag| row.values.get(&tag).map(String::as_str);
        assert_eq!(value(tags::PATIENT_NAME), Some("Zhang^San=张^三"));
        assert_eq!(value(tags::STUDY_DATE), Some("20240131"));
        assert_eq!(value(tags::MODALITIES_IN_STUDY), Some("CT"));
        assert_eq!(value(tags::NUMBER_OF_STUDY_RELATED_INSTANCES), Some("1"));
        assert_eq!(value(tags::ROWS), Some("16"));
        assert_eq!(value(tags::ACCESSION_NUMBER), None);

        assert_eq!(stored.len, slice.part10().len() as u64);
        let (frame, bit_offset) = archive.read_frame(&stored, 0).await.expect("a frame");
        assert_eq!((frame.as_ref(), bit_offset), ([7; 256].as_slice(), 0));
        assert!(matches!(archive.read_frame(&stored, 1).await, Err(ArchiveError::NotFound(_))));
        let end = archive.read_range(&stored, stored.len - 2..stored.len + 9).await.expect("the end");
        assert_eq!(end.as_ref(), [7, 7]);

        let metadata = archive.metadata(&slice.study, None, None).await.expect("metadata");
        let metadata: serde_json::Value = serde_json::from_str(&metadata[0]).expect("JSON");
        assert_eq!(metadata["00100020"]["Value"][0], "P1");
        let pixels = "studies/1.1/series/1.1.1/instances/1.1.1.1/bulkdata/7FE00010";
        assert_eq!(metadata["7FE00010"]["BulkDataURI"], pixels);
        archive.check().await.expect("a sound archive");
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_the_announcement_is_refused_and_leaves_nothing() {
    everywhere(async |archive| {
        let part10 = Slice::new("1.1", "1.1.1", "1.1.1.1").part10();
        let expected = Expected { sop_instance: Some(uid("1.9")), ..Expected::default() };
        let refused = archive.ingest(Origin::Room("test"), &part10, &expected).await.expect_err("a mismatch");
        assert_eq!(refused.failure(), Failure::DataSetMismatch);
        for bytes in [&b""[..], b"not DICOM at all", &part10[..200]] {
            let refused = archive.ingest(Origin::Room("test"), bytes, &Expected::default()).await;
            assert!(matches!(refused, Err(ArchiveError::Scan(_) | ArchiveError::Instance(_))), "{refused:?}");
        }
        assert_eq!(archive.find(&Query::new(Level::Instance)).await.expect("rows"), []);
        assert_eq!(archive.events(0, 10).await.expect("events"), []);
    })
    .await;
}

#[tokio::test]
async fn first_values_stay_and_gaps_are_filled() {
    everywhere(async |archive| {
        let first = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::STUDY_DESCRIPTION, "Chest");
        first.sent_to(&archive).await;
        let second = Slice::new("1.1", "1.1.2", "1.1.2.1")
            .with(tags::STUDY_DESCRIPTION, "Thorax")
            .with(tags::ACCESSION_NUMBER, "A1")
            .with(tags::PATIENT_SEX, "F")
            .with(tags::MODALITY, "SR");
        second.sent_to(&archive).await;
        // A stranger's object in the study does not change whose study it is.
        Slice::new("1.1", "1.1.3", "1.1.3.1").with(tags::PATIENT_ID, "P2").sent_to(&archive).await;
        let row = only_row(&archive, Level::Study).await;
        let value = |tag| row.values.get(&tag).map(String::as_str);
        assert_eq!(value(tags::STUDY_DESCRIPTION), Some("Chest"));
        assert_eq!(value(tags::ACCESSION_NUMBER), Some("A1"));
        assert_eq!(value(tags::PATIENT_ID), Some("P1"));
        assert_eq!(value(tags::PATIENT_SEX), Some("F"));
        assert_eq!(value(tags::MODALITIES_IN_STUDY), Some("CT\\SR"));
        assert_eq!(value(tags::NUMBER_OF_STUDY_RELATED_SERIES), Some("3"));
        only_row(&archive, Level::Patient).await;
    })
    .await;
}

#[tokio::test]
async fn rows_come_newest_study_first_and_by_number_within() {
    everywhere(async |archive| {
        for (study, date) in [("1.1", "20200101"), ("1.2", "20240101"), ("1.3", "")] {
            for number in ["10", "9", ""] {
                let sop = format!("{study}.1.{}", number.parse::<u8>().unwrap_or(99));
                let slice = Slice::new(study, &format!("{study}.1"), &sop);
                slice.with(tags::STUDY_DATE, date).with(tags::INSTANCE_NUMBER, number).sent_to(&archive).await;
            }
        }
        let uids = async |query: Query| -> Vec<String> {
            let rows = archive.find(&query).await.expect("rows");
            rows.iter().map(|row| row.values[&tags::SOP_INSTANCE_UID].clone()).collect()
        };
        let all =
            ["1.2.1.9", "1.2.1.10", "1.2.1.99", "1.1.1.9", "1.1.1.10", "1.1.1.99", "1.3.1.9", "1.3.1.10", "1.3.1.99"];
        assert_eq!(uids(Query::new(Level::Instance)).await, all);
        let page = Query { limit: Some(2), offset: 3, ..Query::new(Level::Instance) };
        assert_eq!(uids(page).await, all[3..5]);
        let rest = Query { offset: 7, ..Query::new(Level::Instance) };
        assert_eq!(uids(rest).await, all[7..]);
    })
    .await;
}

#[tokio::test]
async fn deleting_takes_rows_and_objects_and_recounts_what_stays() {
    everywhere(async |archive| {
        for sop in ["1.1.1.1", "1.1.1.2", "1.1.2.1"] {
            let series = &sop[..5];
            let modality = if series == "1.1.1" { "CT" } else { "MR" };
            Slice::new("1.1", series, sop).with(tags::MODALITY, modality).sent_to(&archive).await;
        }
        let study = uid("1.1");
        let gone = archive.delete(&study, Some(&uid("1.1.1")), Some(&uid("1.1.1.2"))).await.expect("one deleted");
        assert_eq!(gone, 1);
        let value = async |tag| only_row(&archive, Level::Study).await.values.get(&tag).cloned().unwrap_or_default();
        assert_eq!(value(tags::NUMBER_OF_STUDY_RELATED_INSTANCES).await, "2");
        assert_eq!(archive.delete(&study, Some(&uid("1.1.1")), None).await.expect("a series deleted"), 1);
        assert_eq!(value(tags::NUMBER_OF_STUDY_RELATED_SERIES).await, "1");
        assert_eq!(value(tags::MODALITIES_IN_STUDY).await, "MR");
        assert_eq!(archive.delete(&study, None, None).await.expect("a study deleted"), 1);
        for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
            assert_eq!(archive.find(&Query::new(level)).await.expect("rows"), []);
        }
        let error = archive.delete(&study, None, None).await.expect_err("it is gone");
        assert_eq!(error.to_string(), format!("study {study} is not in the archive"));
        assert_sound(&archive).await;
        let events = archive.events(3, 10).await.expect("events");
        assert!(events.iter().all(|event| event.kind == EventKind::Deleted));
        assert_eq!(events.len(), 3);
        // What was deleted may come again.
        assert_eq!(Slice::new("1.1", "1.1.1", "1.1.1.1").sent_to(&archive).await.outcome, Outcome::Stored);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_senders_of_one_new_patient_make_one_patient_study_and_series() {
    for mut home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        home.config.same_uid_other_content = SameUidOtherContent::Reject;
        // Two archives over the same data are what two processes are.
        let archives = [home.open().await, home.open().await];
        let sends = (0..100).map(|n| {
            let archive = archives[n % 2].clone();
            tokio::spawn(async move {
                let own = Slice::new("1.1", "1.1.1", &format!("1.1.1.{n}")).sent_to(&archive).await;
                assert_eq!(own.outcome, Outcome::Stored);
                let shared = Slice::new("1.1", "1.1.1", "1.1.1.999").filled((n % 3) as u8).sent_to(&archive).await;
                shared.outcome == Outcome::Stored
            })
        });
        let mut first = 0;
        for send in sends.collect::<Vec<_>>() {
            first += usize::from(send.await.expect("a sender"));
        }
        assert_eq!(first, 1, "{}", home.name);
        let study = only_row(&archives[0], Level::Study).await;
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], "101");
        assert_eq!(study.values[&tags::NUMBER_OF_STUDY_RELATED_SERIES], "1");
        only_row(&archives[0], Level::Patient).await;
        only_row(&archives[0], Level::Series).await;
        let events = archives[1].events(0, 1000).await.expect("events");
        assert!(events.is_sorted_by(|one, next| one.position < next.position));
        assert_eq!(events.len(), 101);
        let last = events.last().map_or(0, |event| event.position);
        assert_eq!(archives[0].verify_audit_trail().await.expect("a check"), None);
        assert_sound(&archives[0]).await;
        for archive in &archives {
            let mut newest = archive.newest_event();
            tokio::time::timeout(Duration::from_secs(5), newest.wait_for(|position| *position >= last))
                .await
                .expect("in time")
                .expect("an open archive");
        }
    }
}

#[tokio::test]
async fn an_instance_over_the_limit_is_refused_while_it_comes_in() {
    let mut home = sqlite_and_folder();
    home.config.max_instance_bytes = 1000;
    let archive = home.open().await;
    let mut incoming = archive.receive(Origin::Room("test")).await.expect("room");
    incoming.write(&[0; 900]).await.expect("little");
    assert!(matches!(incoming.write(&[0; 101]).await, Err(ArchiveError::TooLarge(1000))));
    assert!(matches!(incoming.commit(&Expected::default()).await, Err(ArchiveError::TooLarge(1000))));
}

#[tokio::test]
async fn a_closed_archive_takes_nothing_more() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    Slice::new("1.1", "1.1.1", "1.1.1.1").sent_to(&archive).await;
    archive.close().await;
    let part10 = Slice::new("1.1", "1.1.1", "1.1.1.2").part10();
    assert!(archive.ingest(Origin::Room("test"), &part10, &Expected::default()).await.is_err());
    let again = home.open().await;
    only_row(&again, Level::Instance).await;
}

/// Files of the shared test data, or none where it is absent.
fn shared_files() -> Vec<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let data = PathBuf::from(std::env::var("YINGHAI_SHARED").unwrap_or(default.into())).join("data");
    let mut folders = vec![data];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let (inner, found): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        folders.extend(inner);
        files.extend(found.into_iter().filter(|path| std::fs::metadata(path).is_ok_and(|m| m.len() < 2 << 20)));
    }
    files
}

#[tokio::test]
async fn real_instances_come_back_byte_for_byte_with_all_their_frames() {
    let files = shared_files();
    if files.is_empty() {
        println!("skipped: no shared test data");
        return;
    }
    let home = sqlite_and_folder();
    let archive = home.open().await;
    let mut stored = 0;
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        // What is no DICOM, or breaks it, is refused; here the rest counts.
        let Ok(ingested) = archive.ingest(Origin::Room("test"), &bytes, &Expected::default()).await else { continue };
        if ingested.outcome != Outcome::Stored {
            continue;
        }
        stored += 1;
        // Objects of no patient are another story.
        let (Some(study), Some(series)) = (&ingested.study, &ingested.series) else { continue };
        let sop_instance = &ingested.sop_instance;
        let instance = archive.instance(study, series, sop_instance, None).await.expect("an instance");
        assert!(everything(&archive, &instance).await == bytes, "{}", file.display());
        for index in 0..instance.frames.as_ref().map_or(0, |frames| frames.frames().min(3)) {
            let frame = archive.read_frame(&instance, index).await;
            assert!(frame.is_ok_and(|(bytes, _)| !bytes.is_empty()), "{} frame {index}", file.display());
        }
        let metadata = archive.metadata(study, Some(series), Some(sop_instance)).await.expect("metadata");
        assert!(metadata.len() == 1 && metadata[0].starts_with('{'), "{}", file.display());
    }
    assert!(stored > 100, "{stored}");
}

/// Data Set Trailing Padding (PS3.10 §7.2) of so many bytes.
fn padded(mut part10: Vec<u8>, len: u32) -> Vec<u8> {
    part10.extend(b"\xFC\xFF\xFC\xFFOB\0\0");
    part10.extend(len.to_le_bytes());
    part10.resize(part10.len() + len as usize, 0);
    part10
}

#[tokio::test]
async fn more_come_at_once_than_are_held_in_memory() {
    everywhere(async |archive| {
        let mut coming = Vec::new();
        for n in 0..300 {
            let file = padded(Slice::new("1.1", "1.1.1", &format!("1.1.1.{n}")).part10(), 40 << 10);
            let mut incoming = archive.receive(Origin::Room("test")).await.expect("room");
            incoming.write(&file).await.expect("written");
            coming.push((incoming, file));
        }
        for (incoming, file) in coming {
            let ingested = incoming.commit(&Expected::default()).await.expect("committed");
            let stored =
                archive.instance(&uid("1.1"), &uid("1.1.1"), &ingested.sop_instance, None).await.expect("held");
            assert!(everything(&archive, &stored).await == file, "{}", ingested.sop_instance);
        }
    })
    .await;
}
