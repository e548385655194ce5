//! Attributes get other values by rule: when an instance arrives, and when it leaves.

use crate::support::{Slice, everywhere, only_row, uid};
use futures::TryStreamExt;
use pacs_core::{
    DataSet, Tag,
    data_set::{Limits, scan},
    query::Level,
    tags,
};
use std::io::Cursor;
use storage::{
    Archive, ArchiveError, Correcting, Deed, Target,
    routing::{Coercion, CoercionRule, Condition, Destination, Priors, Rule},
};

fn coercion(set: &[(&str, Option<&str>)]) -> Coercion {
    let set = set.iter().map(|(keyword, value)| ((*keyword).to_owned(), value.map(str::to_owned)));
    Coercion { set: set.collect(), ..Coercion::default() }
}

async fn rule(archive: &Archive, name: &str, set: &[(&str, Option<&str>)]) {
    let when = Condition { from: vec!["te?t".into()], ..Condition::default() };
    let rule = CoercionRule { name: name.to_owned(), when, coercion: coercion(set) };
    archive.put_coercion(&rule).await.expect("a rule");
}

async fn routed(archive: &Archive) {
    while archive.route_arrivals().await.expect("routed") {}
    archive.route_priors().await.expect("priors");
}

async fn value(archive: &Archive, level: Level, tag: Tag) -> String {
    only_row(archive, level).await.values.get(&tag).cloned().unwrap_or_default()
}

fn slice(number: u32) -> Slice {
    Slice::new("1.1", "1.1.1", &format!("1.1.1.{number}")).with(tags::STATION_NAME, "CT1")
}

#[tokio::test]
async fn what_arrives_is_corrected_by_rule_and_what_was_sent_stays() {
    everywhere(async |archive| {
        slice(1).sent_to(&archive).await;
        let map = [("BodyPartExamined".to_owned(), [("THX".to_owned(), "CHEST".to_owned())].into())].into();
        let parts = CoercionRule {
            name: "parts".into(),
            when: Condition::default(),
            coercion: Coercion { map, ..Coercion::default() },
        };
        archive.put_coercion(&parts).await.expect("a rule");
        let set = [("PatientID", Some("H2-{PatientID}")), ("StudyDescription", Some("by {StationName}"))];
        rule(&archive, "house", &set).await;
        assert_eq!(value(&archive, Level::Patient, tags::PATIENT_ID).await, "P1", "what came before is left alone");
        let next = slice(2).with(tags::BODY_PART_EXAMINED, "THX");
        next.sent_to(&archive).await;
        slice(3).sent_to(&archive).await;
        routed(&archive).await;
        assert_eq!(value(&archive, Level::Study, tags::PATIENT_ID).await, "H2-P1");
        assert_eq!(value(&archive, Level::Study, tags::PATIENT_NAME).await, "Zhang^San=张^三");
        assert_eq!(value(&archive, Level::Study, tags::STUDY_DESCRIPTION).await, "by CT1");
        assert_eq!(value(&archive, Level::Series, tags::BODY_PART_EXAMINED).await, "CHEST");
        let stored = next.held_in(&archive).await;
        let as_sent = archive.read_as_received(&stored).await.expect("read").map_ok(|b| b.to_vec()).try_concat().await;
        assert_eq!(as_sent.expect("all"), next.part10());
        assert!(stored.is_corrected());

        // A rule corrects once: what somebody undoes stays undone.
        let made = archive.corrections(Some(&uid("1.1")), None, 10).await.expect("a list");
        let made: Vec<_> = made.iter().filter(|made| made.correcting.word() == "attributes").collect();
        let of_study = made.iter().find(|made| made.target == Target::Study(uid("1.1"))).expect("of the study");
        assert_eq!((of_study.made.by.as_str(), of_study.made.from.as_str()), ("rule house", "test"));
        archive.undo_correction(&of_study.id, &Deed::new("dr", "ward", "not so")).await.expect("undone");
        slice(4).sent_to(&archive).await;
        routed(&archive).await;
        assert_eq!(value(&archive, Level::Study, tags::STUDY_DESCRIPTION).await, "");
        assert_eq!(value(&archive, Level::Study, tags::PATIENT_ID).await, "H2-P1");
        archive.remove_coercion("house").await.expect("removed");
        assert_eq!(archive.coercions().await.expect("listed").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_corrected_by_rule_is_refused_and_what_does_not_fit_is_left_out() {
    everywhere(async |archive| {
        for set in [("SOPInstanceUID", "1.2"), ("InstanceNumber", "1"), ("Nonsense", "1")] {
            let coercion = coercion(&[(set.0, Some(set.1))]);
            let rule = CoercionRule { name: "r".into(), when: Condition::default(), coercion };
            assert!(matches!(archive.put_coercion(&rule).await, Err(ArchiveError::Conflict(_))), "{set:?}");
        }
        rule(&archive, "r", &[("StudyID", Some("{PatientName} and much more of it"))]).await;
        slice(1).sent_to(&archive).await;
        routed(&archive).await;
        assert_eq!(value(&archive, Level::Study, tags::STUDY_ID).await, "");
    })
    .await;
}

#[tokio::test]
async fn what_is_coerced_on_the_way_out_is_so_there_only() {
    everywhere(async |archive| {
        let to = Destination {
            coercion: coercion(&[("PatientID", Some("EXT-{PatientID}")), ("StationName", None)]),
            ..Destination::ae("A".parse().unwrap())
        };
        archive.put_destination(&to).await.expect("a destination");
        slice(1).sent_to(&archive).await;
        let values = [(tags::ACCESSION_NUMBER, Some("A77".to_owned()))].into();
        let deed = Deed::new("dr", "ward", "typing error");
        archive.correct(Target::Study(uid("1.1")), Correcting::Attributes(values), &deed).await.expect("corrected");
        archive.send("A", &uid("1.1"), None).await.expect("queued");
        let forward = archive.claim_forwards("A", 9).await.expect("claimed").remove(0);
        let manner = archive.manner("A").await.expect("a manner");
        let stored = archive.leaving(&forward, &manner).await.expect("it leaves");
        let sent = archive.read(&stored).await.expect("read").map_ok(|b| b.to_vec()).try_concat().await.expect("all");
        let mut rest = Cursor::new(&sent[stored.data_set_offset as usize..]);
        let sent: DataSet = scan(&mut rest, &stored.transfer_syntax, Limits::default()).expect("a data set");
        assert_eq!(sent.text(tags::PATIENT_ID).as_deref(), Some("EXT-P1"));
        assert_eq!(sent.text(tags::ACCESSION_NUMBER).as_deref(), Some("A77"), "corrections hold too");
        assert!(sent.get(tags::STATION_NAME).is_none());
        assert_eq!(value(&archive, Level::Study, tags::PATIENT_ID).await, "P1");
    })
    .await;
}

#[tokio::test]
async fn priors_of_the_patient_go_along_the_newest_first() {
    everywhere(async |archive| {
        archive.put_destination(&Destination::ae("A".parse().unwrap())).await.expect("a destination");
        let study = |number: u32, date: &str, modality: &str, patient: &str| {
            let (study, series) = (format!("1.{number}"), format!("1.{number}.1"));
            let slice = Slice::new(&study, &series, &format!("1.{number}.1.1"));
            slice.with(tags::STUDY_DATE, date).with(tags::MODALITY, modality).with(tags::PATIENT_ID, patient)
        };
        for (number, date, modality, patient) in [
            (1, "20200101", "CT", "P1"),
            (2, "20220101", "CT", "P1"),
            (3, "20240101", "MR", "P1"),
            (4, "20230101", "CT", "P2"),
            (5, "20300101", "CT", "P1"),
        ] {
            study(number, date, modality, patient).sent_to(&archive).await;
        }
        let priors = Some(Priors { studies: 1, same_modality: true, same_body_part: false });
        let rule = Rule {
            name: "r".into(),
            to: "A".into(),
            when: Condition::default(),
            sends_back: false,
            commits: false,
            priors,
            allow_burned_in: false,
        };
        archive.put_rule(&rule).await.expect("a rule");
        study(9, "20260101", "CT", "P1").sent_to(&archive).await;
        for _ in 0..2 {
            routed(&archive).await;
        }
        let mut queued: Vec<_> =
            archive.forwards(Some("A"), None, 9).await.expect("a list").into_iter().map(|one| one.study).collect();
        queued.sort();
        assert_eq!(queued, ["1.2", "1.9"]);
    })
    .await;
}
