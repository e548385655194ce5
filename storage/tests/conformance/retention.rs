//! Terms, legal holds, and the deletion of what has expired.

use crate::support::{Home, Slice, assert_sound, catalog, everywhere, everywhere_with, sqlite_and_folder, uid};
use pacs_core::{
    Failure,
    query::{Level, Query},
    tags,
};
use std::collections::BTreeMap;
use storage::{
    Archive, ArchiveError, AuditAction, Correcting, Cursor, Deed, Holding, PatientClass, PatientKey, RejectionReason,
    RetentionRule, StorageConfig, StudyTerm, Target, TermState,
};

const ADMISSION_ID: pacs_core::Tag = pacs_core::Tag(0x0038, 0x0010);

fn rule(name: &str, years: u16) -> RetentionRule {
    RetentionRule { name: name.into(), years, ..RetentionRule::default() }
}

/// Instances come today, so a term of no years is the only one that can be over, some days from now.
fn study(number: u32, date: &str) -> Slice {
    let of = format!("1.{number}");
    Slice::new(&of, &format!("{of}.1"), &format!("{of}.1.1")).with(tags::STUDY_DATE, date)
}

/// Lets a study have come long ago, behind the archive's back.
async fn age(home: &Home, study: &str) {
    let aged = sqlx::query("update study set changed_at = 0 where study_instance_uid = $1").bind(study);
    assert_eq!(aged.execute(&mut catalog(home).await).await.expect("aged").rows_affected(), 1);
}

async fn report(archive: &Archive, within_days: u16) -> Vec<StudyTerm> {
    let (mut next, mut found) = (Some(Cursor::default()), Vec::new());
    while let Some(from) = next {
        let page = archive.retention_report(within_days, &from).await.expect("a report");
        found.extend(page.studies);
        next = page.next;
    }
    found
}

fn kept(result: Result<usize, ArchiveError>, names: &str) {
    let error = result.expect_err("kept");
    assert_eq!(error.failure(), Failure::Kept);
    assert!(error.to_string().contains(names), "{error}");
}

async fn studies(archive: &Archive) -> usize {
    archive.find(&Query::new(Level::Study)).await.expect("studies").len()
}

/// As [`everywhere_with`], with what is needed to age a study.
async fn at_homes<F: Future<Output = ()>>(configure: impl Fn(&mut StorageConfig), story: impl Fn(Archive, Home) -> F) {
    let mut homes = vec![sqlite_and_folder()];
    homes.extend(crate::support::postgres_and_folder().await);
    if let Some(bucket) = crate::support::bucket() {
        homes.push(sqlite_and_folder().in_bucket(&bucket, "SQLite, S3"));
    }
    for mut home in homes {
        println!("over {}", home.name);
        configure(&mut home.config);
        let archive = home.open().await;
        story(archive.clone(), home).await;
        archive.close().await;
    }
}

#[tokio::test]
async fn what_is_held_cannot_be_deleted_by_anybody_and_its_history_is_kept() {
    everywhere(async |archive| {
        study(1, "20000101").sent_to(&archive).await;
        study(2, "20000101").sent_to(&archive).await;
        let (of_study, of_patient) =
            (Holding::Study(uid("1.1")), Holding::Patient { id: "P1".into(), issuer: String::new() });
        let first = archive.hold("anna", "here", &of_study, "case 1").await.expect("a hold");
        kept(archive.delete(&uid("1.1"), None, None).await, &format!("legal hold {first}"));
        kept(archive.delete(&uid("1.1"), Some(&uid("1.1.1")), Some(&uid("1.1.1.1"))).await, "case 1");
        kept(archive.delete_early("anna", "here", &uid("1.1"), "room").await, "by anna");
        let second = archive.hold("bert", "here", &of_patient, "case 2").await.expect("a hold");
        kept(archive.delete(&uid("1.2"), None, None).await, "its patient is on legal hold");
        study(3, "20000101").sent_to(&archive).await;
        kept(archive.delete(&uid("1.3"), None, None).await, "case 2");
        assert!(report(&archive, 0).await.iter().map(|study| study.state).eq([TermState::Held; 3]));

        archive.release_hold("carl", "here", second, "closed").await.expect("released");
        assert!(matches!(archive.release_hold("carl", "here", second, "again").await, Err(ArchiveError::NotFound(_))));
        archive.delete(&uid("1.2"), None, None).await.expect("deleted");
        assert!(report(&archive, 0).await.iter().map(|study| study.of.study.as_str()).eq(["1.1"]));
        let all = archive.holds(true, 0, 10).await.expect("holds");
        assert_eq!(all.iter().map(|hold| hold.number).collect::<Vec<_>>(), [second, first]);
        assert_eq!((all[0].of.clone(), all[0].release_reason.as_str()), (of_patient, "closed"));
        assert_eq!(archive.holds(false, 0, 10).await.expect("holds").len(), 1);
        assert!(archive.holds(true, first, 10).await.expect("holds").is_empty());
        let trail = archive.audit_trail(50).await.expect("a trail");
        assert!(trail.iter().all(|line| !line.detail.contains("P1")), "no patient is named");
        assert!(trail.iter().any(|line| line.detail.ends_with("released: closed")));
    })
    .await;
}

#[tokio::test]
async fn a_study_stays_held_when_a_correction_gives_it_to_another_patient() {
    everywhere(async |archive| {
        study(1, "20000101").sent_to(&archive).await;
        let of = Holding::Patient { id: "P1".into(), issuer: String::new() };
        archive.hold("anna", "here", &of, "case 1").await.expect("a hold");
        let other = PatientKey { id: "P2".into(), issuer: String::new() };
        let name = BTreeMap::from([(tags::PATIENT_NAME, Some("Li^Si".to_owned()))]);
        let assignment = Correcting::Assignment(other, name);
        let deed = Deed::new("registrar", "here", "wrong patient");
        archive.correct(Target::Study(uid("1.1")), assignment, &deed).await.expect("corrected");
        kept(archive.delete(&uid("1.1"), None, None).await, "case 1");
        assert_eq!(report(&archive, 0).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_study_stays_held_with_whomever_it_was_when_its_patient_was_held() {
    everywhere(async |archive| {
        let patient = |id: &str| PatientKey { id: id.into(), issuer: String::new() };
        let named = BTreeMap::from([(tags::PATIENT_NAME, Some("Li^Si".to_owned()))]);
        let deed = Deed::new("registrar", "here", "wrong patient");
        let assign = async |to: &str, name: &BTreeMap<_, _>| {
            let assignment = Correcting::Assignment(patient(to), name.clone());
            archive.correct(Target::Study(uid("1.1")), assignment, &deed).await.expect("corrected")
        };
        study(1, "20000101").sent_to(&archive).await;
        let first = assign("P2", &named).await;
        let of = Holding::Patient { id: "P2".into(), issuer: String::new() };
        let hold = archive.hold("anna", "here", &of, "case 1").await.expect("a hold");
        let second = assign("P3", &named).await;
        kept(archive.delete(&uid("1.1"), None, None).await, "case 1");
        assert_eq!(report(&archive, 0).await.len(), 1);
        let merge = Correcting::Merge(patient("P4"), named.clone());
        archive.correct(Target::Patient(patient("P3")), merge, &deed).await.expect("merged");
        kept(archive.delete_early("anna", "here", &uid("1.1"), "room").await, "case 1");
        for correction in [second, first] {
            archive.undo_correction(&correction.id, &deed).await.expect("undone");
        }
        kept(archive.delete(&uid("1.1"), None, None).await, "case 1");
        archive.release_hold("anna", "here", hold, "closed").await.expect("released");
        assert!(report(&archive, 0).await.is_empty());
        archive.delete(&uid("1.1"), None, None).await.expect("deleted");
    })
    .await;
}

#[tokio::test]
async fn only_what_is_there_can_be_held_and_only_with_a_reason() {
    everywhere(async |archive| {
        let study = Holding::Study(uid("1.9"));
        let patient = Holding::Patient { id: "P9".into(), issuer: String::new() };
        for of in [&study, &patient] {
            let error = archive.hold("anna", "here", of, "case").await.expect_err("nothing to hold");
            assert!(matches!(error, ArchiveError::NotFound(_)) && !error.to_string().contains("P9"), "{error}");
            assert!(matches!(archive.hold("anna", "here", of, " ").await, Err(ArchiveError::Conflict(_))));
        }
    })
    .await;
}

#[tokio::test]
async fn with_rules_nothing_goes_before_its_term_but_by_override_with_a_reason() {
    let rules = |config: &mut StorageConfig| {
        config.retention = vec![RetentionRule { modalities: vec!["CT".into()], ..rule("images", 15) }];
    };
    everywhere_with(rules, async |archive| {
        study(1, "19900101").sent_to(&archive).await;
        study(2, "19900101").with(tags::MODALITY, "OT").sent_to(&archive).await;
        kept(archive.delete(&uid("1.1"), None, None).await, "by rule \"images\"");
        kept(archive.delete(&uid("1.2"), None, None).await, "for ever");
        assert!(matches!(archive.delete(&uid("1.3"), None, None).await, Err(ArchiveError::NotFound(_))));
        assert!(archive.delete_early("anna", "here", &uid("1.1"), "").await.is_err());
        assert_eq!(archive.delete_early("anna", "here", &uid("1.1"), "a test image").await.expect("deleted"), 1);
        let trail = archive.audit_trail(1).await.expect("a trail");
        assert!(trail[0].action == AuditAction::Delete && trail[0].detail.contains("a test image"));
        assert_eq!(archive.delete_expired("anna", "here", 10).await.expect("a run").studies, 0);
        assert_eq!(studies(&archive).await, 1);
    })
    .await;
}

#[tokio::test]
async fn without_rules_nothing_expires_and_everything_may_be_deleted() {
    everywhere(async |archive| {
        study(1, "19000101").sent_to(&archive).await;
        assert!(report(&archive, u16::MAX).await.is_empty());
        assert_eq!(archive.delete_expired("anna", "here", 10).await.expect("a run").studies, 0);
        assert_eq!(archive.delete(&uid("1.1"), None, None).await.expect("deleted"), 1);
    })
    .await;
}

#[tokio::test]
async fn when_the_clock_has_leapt_nothing_is_deleted_until_somebody_asks() {
    at_homes(
        |config| config.retention = vec![rule("short", 10)],
        async |archive, home| {
            let unasked = async || archive.delete_expired_unasked("retention", 10).await;
            assert_eq!(unasked().await.expect("the first run").studies, 0);
            study(1, "20000101").sent_to(&archive).await;
            age(&home, "1.1").await;
            let set_back = async |days: i64| {
                let sql = "update consumer set position = position - $1 where name = 'expiry'";
                let changed = sqlx::query(sql).bind(days * 86_400_000).execute(&mut catalog(&home).await).await;
                assert_eq!(changed.expect("set back").rows_affected(), 1);
            };
            set_back(31).await;
            assert!(matches!(unasked().await, Err(ArchiveError::Conflict(why)) if why.contains("31 days")));
            assert_eq!(studies(&archive).await, 1);
            assert_eq!(archive.delete_expired("anna", "here", 0).await.expect("asked").studies, 0);
            set_back(29).await;
            assert_eq!(unasked().await.expect("a run").studies, 1);
        },
    )
    .await;
}

#[tokio::test]
async fn what_has_expired_is_reported_deleted_and_noted() {
    at_homes(
        |config| config.retention = vec![rule("short", 10)],
        async |archive, home| {
            for number in 1..=12 {
                study(number, "20000101").sent_to(&archive).await;
                age(&home, &format!("1.{number}")).await;
            }
            study(20, "20000101").sent_to(&archive).await;
            let hold = archive.hold("anna", "here", &Holding::Study(uid("1.3")), "case").await.expect("a hold");
            let found = report(&archive, 0).await;
            let count = |state| found.iter().filter(|study| study.state == state).count();
            assert_eq!((found.len(), count(TermState::Expired), count(TermState::Held)), (12, 11, 1));
            assert_eq!((found[0].of.rule.as_str(), found[0].of.kept_until.as_str()), ("short", "20100101"));
            assert_eq!(report(&archive, 4000).await.len(), 13, "the one that came today expires in ten years");

            let counted = archive.count_expired(100).await.expect("a count");
            assert_eq!((counted.studies, counted.held, studies(&archive).await), (11, 1, 13));
            let some = archive.delete_expired("anna", "here", 4).await.expect("a run");
            assert_eq!(some.studies, 4);
            let rest = archive.delete_expired("anna", "here", 100).await.expect("a run that goes on");
            assert_eq!((rest.studies, rest.held, studies(&archive).await), (7, 1, 2));
            let noted = archive.deletions(some.run, 0, 100).await.expect("a record");
            assert_eq!(noted.len(), 4);
            assert_eq!((noted[0].of.study.as_str(), noted[0].of.kept_until.as_str()), ("1.1", "20100101"));
            let all = archive.deletions(0, 0, 100).await.expect("a record");
            assert_eq!(all.len(), 11);
            assert_eq!(archive.deletions(0, all[8].number, 100).await.expect("a record").len(), 2);
            let trail = archive.audit_trail(100).await.expect("a trail");
            assert_eq!(trail.iter().filter(|line| line.detail.contains("kept until 20100101 by rule")).count(), 11);

            archive.release_hold("anna", "here", hold, "closed").await.expect("released");
            assert_eq!(archive.delete(&uid("1.3"), None, None).await.expect("it has expired"), 1);
            assert_sound(&archive).await;
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_rejected_keeps_its_study_as_long_as_before() {
    at_homes(
        |config| {
            let of_ct = RetentionRule { modalities: vec!["CT".into()], ..rule("long", 40) };
            config.retention = vec![rule("short", 10), of_ct];
        },
        async |archive, home| {
            study(1, "20000101").sent_to(&archive).await;
            Slice::new("1.1", "1.1.2", "1.1.2.1").with(tags::MODALITY, "OT").sent_to(&archive).await;
            age(&home, "1.1").await;
            let rejection = Correcting::Rejection(RejectionReason::Quality, Vec::new());
            let deed = Deed::new("anna", "here", "the patient moved");
            archive.correct(Target::Series(uid("1.1"), uid("1.1.1")), rejection, &deed).await.expect("rejected");
            assert!(report(&archive, 0).await.is_empty(), "undone, the rejection would be of something that is gone");
            assert_eq!(archive.delete_expired("anna", "here", 10).await.expect("a run").studies, 0);
            kept(archive.delete(&uid("1.1"), None, None).await, "by rule \"long\"");
        },
    )
    .await;
}

#[tokio::test]
async fn two_processes_delete_each_expired_study_once() {
    at_homes(
        |config| config.retention = vec![rule("short", 10)],
        async |archive, home| {
            for number in 1..=20 {
                study(number, "20000101").sent_to(&archive).await;
                age(&home, &format!("1.{number}")).await;
            }
            let other = home.open().await;
            let runs =
                tokio::join!(archive.delete_expired("anna", "here", 100), other.delete_expired("bert", "there", 100));
            let (here, there) = (runs.0.expect("a run"), runs.1.expect("a run"));
            assert_eq!((here.studies + there.studies, studies(&archive).await), (20, 0));
            assert_eq!(archive.deletions(0, 0, 100).await.expect("a record").len(), 20);
            other.close().await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_study_to_which_more_comes_is_kept_anew() {
    at_homes(
        |config| config.retention = vec![rule("short", 10)],
        async |archive, home| {
            study(1, "20000101").sent_to(&archive).await;
            age(&home, "1.1").await;
            assert_eq!(report(&archive, 0).await.len(), 1);
            Slice::new("1.1", "1.1.1", "1.1.1.2").sent_to(&archive).await;
            assert!(report(&archive, 0).await.is_empty());
            age(&home, "1.1").await;
            Slice::new("1.1", "1.1.1", "1.1.1.2").filled(7).sent_to(&archive).await;
            assert!(report(&archive, 0).await.is_empty(), "a further version is an arrival too");
        },
    )
    .await;
}

#[tokio::test]
async fn inpatients_are_known_by_admission_id_or_by_what_somebody_said() {
    let rules = |config: &mut StorageConfig| {
        let of = |class, years| RetentionRule { patient_class: Some(class), ..rule(class.as_str(), years) };
        config.retention = vec![of(PatientClass::Outpatient, 10), of(PatientClass::Inpatient, 30)];
    };
    at_homes(rules, async |archive, home| {
        for (number, slice) in
            [(1, study(1, "20000101")), (2, study(2, "20000101").with(ADMISSION_ID, "A1")), (3, study(3, "20000101"))]
        {
            slice.sent_to(&archive).await;
            age(&home, &format!("1.{number}")).await;
        }
        let by = async |study: &str| {
            let found = report(&archive, u16::MAX).await;
            found.into_iter().find(|found| found.of.study == study).map(|found| found.of.rule).unwrap_or_default()
        };
        assert_eq!((by("1.1").await.as_str(), by("1.2").await.as_str()), ("inpatient", "inpatient"));
        for number in [1, 2] {
            let study = uid(&format!("1.{number}"));
            archive.set_patient_class("anna", "here", &study, PatientClass::Outpatient).await.expect("set");
        }
        assert_eq!((by("1.1").await.as_str(), by("1.2").await.as_str()), ("outpatient", "outpatient"));
        assert_eq!(archive.delete_expired("anna", "here", 10).await.expect("a run").studies, 2);
        let error = archive.set_patient_class("anna", "here", &uid("1.1"), PatientClass::Inpatient).await;
        assert!(matches!(error, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn a_catalog_made_anew_holds_what_was_held() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    for number in 1..=3 {
        let patient = format!("P{number}");
        study(number, "20000101").with(tags::PATIENT_ID, &patient).sent_to(&archive).await;
    }
    let of_patient = Holding::Patient { id: "P1".into(), issuer: String::new() };
    archive.hold("anna", "here", &of_patient, "case 1").await.expect("a hold");
    archive.hold("anna", "here", &Holding::Study(uid("1.2")), "case 2").await.expect("a hold");
    let closed = archive.hold("anna", "here", &Holding::Study(uid("1.3")), "case 3").await.expect("a hold");
    archive.release_hold("bert", "here", closed, "closed").await.expect("released");
    let before = archive.holds(true, 0, 10).await.expect("holds");
    archive.close().await;
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(file));
    }
    let archive = home.open().await;
    study(4, "20000101").sent_to(&archive).await;
    archive.hold("carl", "here", &Holding::Study(uid("1.4")), "case 4").await.expect("a hold");
    assert_eq!(archive.reindex(|_| ()).await.expect("a catalog").holds, 3);
    assert_eq!(archive.reindex(|_| ()).await.expect("again").holds, 0);
    let after = archive.holds(true, 0, 10).await.expect("holds");
    let told = |holds: &[storage::Hold]| {
        let mut told: Vec<_> = holds.iter().map(|hold| (hold.reason.clone(), hold.released_by.clone())).collect();
        told.sort();
        told
    };
    let fourth = [("case 4".to_owned(), String::new())];
    assert_eq!(told(&after), [told(&before).as_slice(), &fourth].concat());
    kept(archive.delete(&uid("1.1"), None, None).await, "case 1");
    kept(archive.delete(&uid("1.2"), None, None).await, "case 2");
    archive.delete(&uid("1.3"), None, None).await.expect("deleted");
}

#[tokio::test]
async fn a_catalog_made_anew_counts_terms_from_the_arrival_and_not_from_today() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    let before = std::time::SystemTime::now();
    study(1, "20000101").sent_to(&archive).await;
    archive.close().await;
    for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(home.config.data_dir.join(file));
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let archive = home.open().await;
    archive.reindex(|_| ()).await.expect("a catalog");
    use sqlx::Row;
    let mut connection = catalog(&home).await;
    let row = sqlx::query("select changed_at from study").fetch_one(&mut connection).await.expect("the study");
    let arrived = std::time::UNIX_EPOCH + std::time::Duration::from_millis(row.get::<i64, _>(0).unsigned_abs());
    assert!(arrived.duration_since(before).is_ok_and(|after| after.as_millis() < 1900), "{arrived:?}");
}
