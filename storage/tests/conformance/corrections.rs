//! Corrections: versions on top of what was received, undone at any time, and the bytes stay what they were.

use crate::{
    instances::everything,
    support::{Slice, assert_sound, everywhere, only_row, sqlite_and_folder, uid},
};
use futures::TryStreamExt;
use pacs_core::{
    DataSet, Tag,
    data_set::{Limits, scan},
    part10::read_meta,
    query::{Condition, Level, Query},
    tags,
};
use std::{collections::BTreeMap, io::Cursor, time::Duration};
use storage::{
    Archive, ArchiveError, Correcting, Correction, Deed, EventKind, Outcome, PatientKey, RejectionReason,
    StoredInstance, Target,
};

fn values(values: &[(Tag, Option<&str>)]) -> BTreeMap<Tag, Option<String>> {
    values.iter().map(|(tag, value)| (*tag, value.map(str::to_owned))).collect()
}

fn attributes(given: &[(Tag, Option<&str>)]) -> Correcting {
    Correcting::Attributes(values(given))
}

fn patient(id: &str) -> PatientKey {
    PatientKey { id: id.to_owned(), issuer: String::new() }
}

fn deed(why: &str) -> Deed {
    Deed::new("registrar", "10.0.0.7", why)
}

async fn correct(archive: &Archive, target: Target, correcting: Correcting) -> Correction {
    archive.correct(target, correcting, &deed("typing error")).await.expect("a correction")
}

async fn undo(archive: &Archive, correction: &Correction) {
    archive.undo_correction(&correction.id, &deed("it was right")).await.expect("undone");
}

/// What leaves, scanned.
async fn outgoing(archive: &Archive, instance: &StoredInstance) -> DataSet {
    let pieces: Vec<_> = archive.read(instance).await.expect("a stream").try_collect().await.expect("all of it");
    let mut file = Cursor::new(pieces.concat());
    let meta = read_meta(&mut file).expect("meta information");
    assert_eq!(meta.transfer_syntax, instance.transfer_syntax);
    scan(&mut file, &meta.transfer_syntax, Limits::default()).expect("a data set")
}

/// A text of file and metadata, which must agree.
async fn seen(archive: &Archive, slice: &Slice, tag: Tag) -> String {
    let instance = slice.held_in(archive).await;
    let of_file = outgoing(archive, &instance).await.texts(tag).join("\\");
    let items = archive.metadata(&slice.study, Some(&slice.series), None).await.expect("metadata");
    assert!(items.contains(&archive.metadata_of(&instance).await.expect("metadata")));
    let key = format!("{:04X}{:04X}", tag.0, tag.1);
    let texts = items.iter().map(|item| {
        let item: serde_json::Value = serde_json::from_str(item).expect("JSON");
        let value = &item[&key]["Value"][0];
        value.as_str().or_else(|| value["Alphabetic"].as_str()).unwrap_or_default().to_owned()
    });
    assert!(texts.into_iter().any(|text| of_file.split('=').next() == Some(&text)), "{of_file}");
    of_file
}

async fn studies_of(archive: &Archive, tag: Tag, value: &str) -> usize {
    let query = Query::new(Level::Study).with(tag, value.to_owned());
    archive.find(&query).await.expect("rows").len()
}

#[tokio::test]
async fn a_corrected_attribute_is_found_and_leaves_and_the_received_bytes_stay() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::ACCESSION_NUMBER, "A1");
        slice.sent_to(&archive).await;
        let of_study = [(tags::ACCESSION_NUMBER, Some("A2")), (tags::ADMITTING_DIAGNOSES_DESCRIPTION, Some("再检查"))];
        let first = correct(&archive, Target::Study(uid("1.1")), attributes(&of_study)).await;
        assert_eq!(studies_of(&archive, tags::ACCESSION_NUMBER, "A2").await, 1);
        assert_eq!(studies_of(&archive, tags::ACCESSION_NUMBER, "A1").await, 0);
        assert_eq!(seen(&archive, &slice, tags::ACCESSION_NUMBER).await, "A2");
        assert_eq!(seen(&archive, &slice, tags::ADMITTING_DIAGNOSES_DESCRIPTION).await, "再检查");
        let instance = slice.held_in(&archive).await;
        let original = outgoing(&archive, &instance).await;
        let items = original.items(tags::ORIGINAL_ATTRIBUTES_SEQUENCE);
        assert_eq!(items[0].items(tags::MODIFIED_ATTRIBUTES_SEQUENCE)[0].texts(tags::ACCESSION_NUMBER), ["A1"]);
        let version = archive.instance(&slice.study, &slice.series, &slice.sop_instance, Some(1)).await.expect("one");
        assert_eq!(everything(&archive, &version).await, slice.part10(), "a version by its number is as received");
        // What comes later for the study is seen so too, and what is sent again is held.
        let second = Slice::new("1.1", "1.1.2", "1.1.2.1").with(tags::ACCESSION_NUMBER, "A1");
        second.sent_to(&archive).await;
        assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_eq!(seen(&archive, &second, tags::ACCESSION_NUMBER).await, "A2");
        let later =
            correct(&archive, Target::Study(uid("1.1")), attributes(&[(tags::ACCESSION_NUMBER, Some("A3"))])).await;
        undo(&archive, &first).await;
        assert_eq!(studies_of(&archive, tags::ACCESSION_NUMBER, "A3").await, 1, "the later one holds");
        undo(&archive, &later).await;
        assert_eq!(studies_of(&archive, tags::ACCESSION_NUMBER, "A1").await, 1);
        assert_eq!(everything(&archive, &slice.held_in(&archive).await).await, slice.part10());
        let kinds = archive.events(0, 100).await.expect("events").into_iter().map(|event| event.kind);
        assert_eq!(kinds.filter(|kind| *kind == EventKind::Corrected).count(), 4);
        assert_eq!(archive.corrections(Some(&uid("1.1")), None, 10).await.expect("corrections").len(), 2);
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn a_patients_name_is_corrected_for_all_studies_and_found_by_pinyin() {
    everywhere(async |archive| {
        for study in ["1.1", "1.2"] {
            Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1")).sent_to(&archive).await;
        }
        let fuzzy = |name: &str| {
            let conditions = [(tags::PATIENT_NAME, Condition::Exact(name.to_owned()))].into();
            Query { conditions, fuzzy: true, ..Query::new(Level::Study) }
        };
        let name = [(tags::PATIENT_NAME, Some("Li^Si=李^四")), (tags::PATIENT_ADDRESS, Some("Wuhan"))];
        let correction = correct(&archive, Target::Patient(patient("P1")), attributes(&name)).await;
        assert_eq!(archive.find(&fuzzy("lisi")).await.expect("rows").len(), 2);
        assert_eq!(archive.find(&fuzzy("zhangsan")).await.expect("rows").len(), 0);
        let third = Slice::new("1.3", "1.3.1", "1.3.1.1");
        third.sent_to(&archive).await;
        assert_eq!(seen(&archive, &third, tags::PATIENT_NAME).await, "Li^Si=李^四");
        assert_eq!(seen(&archive, &third, tags::PATIENT_ADDRESS).await, "Wuhan");
        undo(&archive, &correction).await;
        assert_eq!(archive.find(&fuzzy("zhangsan")).await.expect("rows").len(), 3);
        assert_eq!(archive.find(&fuzzy("lisi")).await.expect("rows").len(), 0);
        assert_eq!(seen(&archive, &third, tags::PATIENT_NAME).await, "Zhang^San=张^三");
    })
    .await;
}

#[tokio::test]
async fn a_study_is_given_to_another_patient_with_nothing_of_the_first_left_in_it() {
    everywhere(async |archive| {
        let wrong = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::PATIENT_COMMENTS, "allergic");
        let wrong = wrong.with(tags::ALLERGIES, "IODINE").with(tags::ADMISSION_ID, "A1");
        wrong.sent_to(&archive).await;
        let own = Slice::new("1.2", "1.2.1", "1.2.1.1").with(tags::PATIENT_ID, "P2").with(tags::PATIENT_NAME, "Li^Si");
        own.sent_to(&archive).await;
        let given =
            correct(&archive, Target::Study(uid("1.1")), Correcting::Assignment(patient("P2"), BTreeMap::new())).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P2").await, 2);
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P1").await, 0);
        only_row(&archive, Level::Patient).await;
        assert_eq!(seen(&archive, &wrong, tags::PATIENT_NAME).await, "Li^Si");
        let outgoing = outgoing(&archive, &wrong.held_in(&archive).await).await;
        for of_the_first in [tags::PATIENT_COMMENTS, tags::ALLERGIES, tags::ADMISSION_ID] {
            assert!(outgoing.get(of_the_first).is_none(), "{of_the_first}");
        }
        let original = &outgoing.items(tags::ORIGINAL_ATTRIBUTES_SEQUENCE)[0];
        let before = &original.items(tags::MODIFIED_ATTRIBUTES_SEQUENCE)[0];
        assert_eq!(before.texts(tags::PATIENT_NAME), ["Zhang^San=张^三"]);
        assert_eq!(before.texts(tags::PATIENT_COMMENTS), ["allergic"]);
        undo(&archive, &given).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P1").await, 1);
        assert_eq!(seen(&archive, &wrong, tags::PATIENT_COMMENTS).await, "allergic");
        // To one of whom nothing has come yet.
        let new = values(&[(tags::PATIENT_NAME, Some("Wang^Wu")), (tags::PATIENT_SEX, Some("M"))]);
        correct(&archive, Target::Study(uid("1.1")), Correcting::Assignment(patient("P3"), new)).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_NAME, "Wang^Wu").await, 1);
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P3").await, 1);
        assert_eq!(seen(&archive, &wrong, tags::PATIENT_ID).await, "P3");
    })
    .await;
}

#[tokio::test]
async fn patients_are_merged_with_all_that_comes_later_and_parted_again() {
    everywhere(async |archive| {
        for (study, id) in [("1.1", "P1"), ("1.2", "P2"), ("1.3", "P3")] {
            let slice = Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1"));
            slice.with(tags::PATIENT_ID, id).with(tags::PATIENT_NAME, id).sent_to(&archive).await;
        }
        let merge = |from: &str, into: &str| {
            (Target::Patient(patient(from)), Correcting::Merge(patient(into), BTreeMap::new()))
        };
        let (target, correcting) = merge("P1", "P2");
        let first = correct(&archive, target, correcting).await;
        let (target, correcting) = merge("P2", "P3");
        let second = correct(&archive, target, correcting).await;
        let later = Slice::new("1.4", "1.4.1", "1.4.1.1").with(tags::PATIENT_ID, "P1").with(tags::PATIENT_NAME, "P1");
        later.sent_to(&archive).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P3").await, 4);
        assert_eq!(seen(&archive, &later, tags::PATIENT_NAME).await, "P3");
        let row = only_row(&archive, Level::Patient).await;
        assert_eq!(row.values[&tags::PATIENT_ID], "P3");
        for (from, into) in [("P3", "P1"), ("P1", "P3"), ("P1", "P1")] {
            let (target, correcting) = merge(from, into);
            let again = archive.correct(target, correcting, &deed("again")).await;
            assert!(matches!(again, Err(ArchiveError::Conflict(_))), "{from} into {into}");
        }
        undo(&archive, &second).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P2").await, 3);
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P3").await, 1);
        undo(&archive, &first).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P1").await, 2);
        assert_eq!(seen(&archive, &later, tags::PATIENT_NAME).await, "P1");
        // The survivor's only study goes and comes back: the merge outlives it.
        let (target, correcting) = merge("P1", "P2");
        correct(&archive, target, correcting).await;
        for study in ["1.1", "1.2", "1.4"] {
            archive.delete(&uid(study), None, None).await.expect("deleted");
        }
        later.sent_to(&archive).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P2").await, 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_rejected_is_hidden_and_stays_readable_by_its_version() {
    everywhere(async |archive| {
        let slices = ["1", "2"].map(|number| Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}")));
        for slice in &slices {
            slice.sent_to(&archive).await;
        }
        let [first, second] = &slices;
        let target = Target::Instance(uid("1.1"), uid("1.1.1"), first.sop_instance.clone());
        let rejection = Correcting::Rejection(RejectionReason::Quality, Vec::new());
        let one = correct(&archive, target, rejection.clone()).await;
        assert_eq!(only_row(&archive, Level::Instance).await.values[&tags::SOP_INSTANCE_UID], "1.1.1.2");
        let row = only_row(&archive, Level::Study).await;
        assert_eq!(row.values[&tags::NUMBER_OF_STUDY_RELATED_INSTANCES], "1");
        let hidden = archive.instance(&first.study, &first.series, &first.sop_instance, None).await;
        assert!(matches!(hidden, Err(ArchiveError::NotFound(_))));
        let version = archive.instance(&first.study, &first.series, &first.sop_instance, Some(1)).await.expect("one");
        assert_eq!(everything(&archive, &version).await, first.part10());
        assert_eq!(first.sent_to(&archive).await.outcome, Outcome::Identical(1));
        assert_eq!(archive.instances(&uid("1.1"), None, None).await.expect("instances").len(), 1);
        let all = correct(&archive, Target::Study(uid("1.1")), rejection).await;
        for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
            assert!(archive.find(&Query::new(level)).await.expect("rows").is_empty(), "{level:?}");
        }
        undo(&archive, &all).await;
        assert_eq!(only_row(&archive, Level::Instance).await.values[&tags::SOP_INSTANCE_UID], "1.1.1.2");
        undo(&archive, &one).await;
        assert_eq!(archive.find(&Query::new(Level::Instance)).await.expect("rows").len(), 2);
        assert_eq!(seen(&archive, second, tags::MODALITY).await, "CT");
        only_row(&archive, Level::Patient).await;
        let again = Correcting::Rejection(RejectionReason::PatientSafety, Vec::new());
        correct(&archive, Target::Series(uid("1.1"), uid("1.1.1")), again).await;
        assert_eq!(archive.delete(&uid("1.1"), None, None).await.expect("deleted"), 2, "what is hidden goes too");
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_rejected_before_it_came_is_hidden_and_the_rest_is_counted() {
    everywhere(async |archive| {
        let slice = |number: u8| Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}"));
        slice(1).sent_to(&archive).await;
        let named = (1..=2).map(|number| (uid("1.1.1"), slice(number).sop_instance)).collect();
        let rejection = Correcting::Rejection(RejectionReason::PatientSafety, named);
        let rejection = correct(&archive, Target::Study(uid("1.1")), rejection).await;
        slice(2).sent_to(&archive).await;
        for level in [Level::Patient, Level::Study, Level::Series, Level::Instance] {
            assert!(archive.find(&Query::new(level)).await.expect("rows").is_empty(), "{level:?}");
        }
        slice(3).sent_to(&archive).await;
        Slice::new("1.1", "1.1.2", "1.1.2.1").with(tags::MODALITY, "SR").sent_to(&archive).await;
        assert_eq!(archive.find(&Query::new(Level::Instance)).await.expect("rows").len(), 2);
        let seen = async || {
            only_row(&archive, Level::Patient).await;
            let study = only_row(&archive, Level::Study).await;
            let count = [tags::NUMBER_OF_STUDY_RELATED_INSTANCES, tags::NUMBER_OF_STUDY_RELATED_SERIES];
            (count.map(|tag| study.values[&tag].clone()), study.values[&tags::MODALITIES_IN_STUDY].clone())
        };
        assert_eq!(seen().await, (["2", "2"].map(String::from), "CT\\SR".into()));
        undo(&archive, &rejection).await;
        assert_eq!(seen().await, (["4", "2"].map(String::from), "CT\\SR".into()));
        assert_sound(&archive).await;
    })
    .await;
}

#[tokio::test]
async fn a_study_reads_as_of_a_time() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::ACCESSION_NUMBER, "A1");
        slice.sent_to(&archive).await;
        let mut times = vec![moment().await];
        let accession = attributes(&[(tags::ACCESSION_NUMBER, Some("A2"))]);
        let first = correct(&archive, Target::Study(uid("1.1")), accession).await;
        times.push(moment().await);
        let other = Correcting::Assignment(patient("P2"), values(&[(tags::PATIENT_NAME, Some("Li^Si"))]));
        correct(&archive, Target::Study(uid("1.1")), other).await;
        times.push(moment().await);
        let name = attributes(&[(tags::PATIENT_NAME, Some("Li^Wu"))]);
        correct(&archive, Target::Patient(patient("P2")), name).await;
        undo(&archive, &first).await;
        correct(&archive, Target::Study(uid("1.1")), Correcting::Rejection(RejectionReason::Quality, vec![])).await;
        let mut told = Vec::new();
        for at in times {
            let instances = archive.instances_as_of(&slice.study, None, None, at).await.expect("instances");
            let data_set = outgoing(&archive, &instances[0]).await;
            let text = archive.metadata_text_of(&instances).await.expect("metadata");
            for tag in [tags::ACCESSION_NUMBER, tags::PATIENT_NAME] {
                let value = data_set.text(tag).expect("a value");
                assert!(text.contains(value.split('=').next().expect("a group")), "{text}");
                told.push(value);
            }
        }
        assert_eq!(told, ["A1", "Zhang^San=张^三", "A2", "Zhang^San=张^三", "A2", "Li^Si"]);
        let now = archive.instances_as_of(&slice.study, None, None, moment().await).await.expect("instances");
        assert!(now.is_empty(), "it is rejected");
        let before = archive.instances_as_of(&slice.study, None, None, 1).await.expect("instances");
        assert!(before.is_empty(), "it had not come yet");
    })
    .await;
}

/// A time between what was done and what is done next.
async fn moment() -> i64 {
    tokio::time::sleep(Duration::from_millis(5)).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    tokio::time::sleep(Duration::from_millis(5)).await;
    i64::try_from(now.as_millis()).expect("a time")
}

#[tokio::test]
async fn what_was_deleted_and_comes_again_comes_as_what_it_is() {
    everywhere(async |archive| {
        let slices = ["1", "2"].map(|number| Slice::new("1.1", &format!("1.1.{number}"), &format!("1.1.{number}.1")));
        for slice in &slices {
            slice.sent_to(&archive).await;
        }
        let given = Correcting::Assignment(patient("P2"), values(&[(tags::PATIENT_NAME, Some("Li^Si"))]));
        correct(&archive, Target::Study(uid("1.1")), given).await;
        let series = Target::Series(uid("1.1"), uid("1.1.1"));
        correct(&archive, series, attributes(&[(tags::SERIES_DESCRIPTION, Some("scout"))])).await;
        archive.delete(&uid("1.1"), Some(&uid("1.1.1")), None).await.expect("deleted");
        slices[0].sent_to(&archive).await;
        assert_eq!(seen(&archive, &slices[0], tags::SERIES_DESCRIPTION).await, "");
        assert_eq!(seen(&archive, &slices[0], tags::PATIENT_ID).await, "P2", "the study is held, and so is this");
        archive.delete(&uid("1.1"), None, None).await.expect("deleted");
        slices[0].sent_to(&archive).await;
        assert_eq!(studies_of(&archive, tags::PATIENT_ID, "P1").await, 1);
        assert_eq!(seen(&archive, &slices[0], tags::PATIENT_ID).await, "P1");
        let told = archive.corrections(Some(&uid("1.1")), None, 10).await.expect("corrections");
        assert!(told.iter().all(|one| one.undone.as_ref().is_some_and(|undone| undone.why == "deleted")));
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    everywhere(async |archive| {
        Slice::new("1.1", "1.1.1", "1.1.1.1").sent_to(&archive).await;
        let study = || Target::Study(uid("1.1"));
        let to_new = |id: &str, more: &[(Tag, Option<&str>)]| {
            let mut known = values(&[(tags::PATIENT_NAME, Some("Li^Si"))]);
            known.extend(values(more));
            Correcting::Assignment(patient(id), known)
        };
        let conflicts = [
            (study(), attributes(&[])),
            (study(), attributes(&[(tags::STUDY_INSTANCE_UID, Some("1.9"))])),
            (study(), attributes(&[(tags::PATIENT_NAME, Some("Li^Si"))])),
            (study(), attributes(&[(tags::SERIES_DESCRIPTION, Some("x"))])),
            (study(), attributes(&[(tags::STUDY_DATE, Some("yesterday"))])),
            (study(), Correcting::Assignment(patient("P1"), BTreeMap::new())),
            (study(), Correcting::Merge(patient("P2"), BTreeMap::new())),
            (Target::Patient(patient("P1")), attributes(&[(tags::PATIENT_ID, Some("P2"))])),
            (study(), to_new("P2\\P3", &[])),
            (study(), to_new("P2\n", &[])),
            (study(), to_new(" P2", &[])),
            (study(), Correcting::Rejection(RejectionReason::Quality, vec![(uid("1.1.1"), uid("1.1.1.1")); 100_001])),
            (study(), to_new(&"9".repeat(65), &[])),
            (study(), to_new("P2", &[(tags::PATIENT_ID, Some("P3"))])),
            (Target::Patient(patient("P1")), Correcting::Rejection(RejectionReason::Quality, vec![])),
        ];
        for (target, correcting) in conflicts {
            let refused = archive.correct(target.clone(), correcting.clone(), &deed("x")).await;
            assert!(matches!(refused, Err(ArchiveError::Conflict(_))), "{target:?} {correcting:?}: {refused:?}");
        }
        let absent = [
            (Target::Study(uid("1.9")), attributes(&[(tags::STUDY_ID, Some("1"))])),
            (Target::Patient(patient("P9")), attributes(&[(tags::PATIENT_SEX, Some("F"))])),
            (study(), Correcting::Assignment(patient("P9"), BTreeMap::new())),
        ];
        for (target, correcting) in absent {
            let refused = archive.correct(target.clone(), correcting.clone(), &deed("x")).await;
            assert!(matches!(refused, Err(ArchiveError::NotFound(_))), "{target:?} {correcting:?}: {refused:?}");
        }
        for why in [" ", &"x".repeat(1001)] {
            let unexplained = archive.correct(study(), attributes(&[(tags::STUDY_ID, Some("1"))]), &deed(why)).await;
            assert!(matches!(unexplained, Err(ArchiveError::Conflict(_))));
            let undone = archive.undo_correction("5f0c", &deed(why)).await;
            assert!(matches!(undone, Err(ArchiveError::Conflict(_))));
        }
        assert!(archive.corrections(None, None, 10).await.expect("none").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_catalog_made_anew_has_the_corrections_too() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    for (study, id, date) in [("1.1", "P1", "20260101"), ("1.2", "P2", "20260102"), ("1.3", "P3", "20260103")] {
        let slice = Slice::new(study, &format!("{study}.1"), &format!("{study}.1.1"));
        slice.with(tags::PATIENT_ID, id).with(tags::STUDY_DATE, date).sent_to(&archive).await;
    }
    correct(&archive, Target::Study(uid("1.1")), attributes(&[(tags::STUDY_ID, Some("S9"))])).await;
    correct(&archive, Target::Patient(patient("P1")), Correcting::Merge(patient("P2"), BTreeMap::new())).await;
    correct(&archive, Target::Study(uid("1.3")), Correcting::Rejection(RejectionReason::Quality, vec![])).await;
    let undone = correct(&archive, Target::Study(uid("1.2")), attributes(&[(tags::STUDY_ID, Some("S8"))])).await;
    undo(&archive, &undone).await;
    let before = archive.find(&Query::new(Level::Study)).await.expect("rows");
    archive.close().await;
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(file));
    }
    let archive = home.open().await;
    let done = archive.reindex(|_| ()).await.expect("a catalog");
    assert_eq!((done.instances, done.corrections, done.damaged.len()), (3, 4, 0));
    assert_eq!(archive.find(&Query::new(Level::Study)).await.expect("rows"), before);
    std::fs::write(home.config.data_dir.join("objects/corrections/0.correction.json"), "{").expect("written");
    let again = archive.reindex(|_| ()).await.expect("again");
    assert_eq!((again.corrections, again.damaged.len()), (0, 1), "one that is damaged keeps nothing from the others");
    assert_sound(&archive).await;
}
