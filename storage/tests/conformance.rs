//! What every database and object store must do alike. PostgreSQL is tried where `PACS_TEST_POSTGRES_URL` points to a
//! server that lets us make databases (`scripts/postgres-for-tests`).

mod support;

use futures::{StreamExt, TryStreamExt};
use pacs_core::{
    AeTitle, Failure,
    query::{Level, Query},
    tags,
};
use serde_json::json;
use std::time::Duration;
use storage::{
    Archive, ArchiveError, AuditAction, AuditRecord, EventKind, Expected, JobState, Origin, Outcome, Peer, Role, Row,
};
use support::{Slice, everywhere, postgres_and_folder, sqlite_and_folder, uid};

async fn only_row(archive: &Archive, level: Level) -> Row {
    let mut rows = archive.find(&Query::new(level)).await.expect("rows");
    assert_eq!(rows.len(), 1, "{level:?}");
    rows.remove(0)
}

async fn everything(archive: &Archive, sop_instance: &str) -> Vec<u8> {
    let stored = archive.instance(&uid(sop_instance)).await.expect("an instance");
    let pieces: Vec<_> = archive.read(&stored).await.expect("a stream").try_collect().await.expect("its bytes");
    pieces.concat()
}

#[tokio::test]
async fn what_came_in_is_found_and_comes_back_byte_for_byte() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1").with(tags::STUDY_DATE, "20240131").filled(7);
        let ingested = slice.sent_to(&archive).await;
        assert_eq!(ingested.outcome, Outcome::Stored);
        assert_eq!(everything(&archive, "1.1.1.1").await, slice.part10());

        let row = only_row(&archive, Level::Instance).await;
        let value = |tag| row.values.get(&tag).map(String::as_str);
        assert_eq!(value(tags::PATIENT_NAME), Some("Zhang^San=张^三"));
        assert_eq!(value(tags::STUDY_DATE), Some("20240131"));
        assert_eq!(value(tags::MODALITIES_IN_STUDY), Some("CT"));
        assert_eq!(value(tags::NUMBER_OF_STUDY_RELATED_INSTANCES), Some("1"));
        assert_eq!(value(tags::ROWS), Some("16"));
        assert_eq!(value(tags::ACCESSION_NUMBER), None);

        let stored = archive.instance(&slice.sop_instance).await.expect("an instance");
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
async fn the_same_again_is_identical_and_other_content_is_not_kept() {
    everywhere(async |archive| {
        let slice = Slice::new("1.1", "1.1.1", "1.1.1.1");
        slice.sent_to(&archive).await;
        assert_eq!(slice.sent_to(&archive).await.outcome, Outcome::Identical);
        let other = slice.clone().filled(9);
        assert_eq!(other.sent_to(&archive).await.outcome, Outcome::KeptFirst);
        assert_eq!(everything(&archive, "1.1.1.1").await, slice.part10());
        assert_eq!(archive.events(0, 10).await.expect("events").len(), 1);
        let trail = archive.audit_trail(10).await.expect("a trail");
        let successes: Vec<_> = trail.iter().map(|record| record.success).collect();
        assert_eq!(successes, [false, true, true]);
        assert_eq!(archive.sweep_objects(Duration::ZERO).await.expect("a sweep"), 0);
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
        assert!(matches!(archive.delete(&study, None, None).await, Err(ArchiveError::NotFound(_))));
        assert_eq!(archive.sweep_objects(Duration::ZERO).await.expect("a sweep"), 0, "the objects went with the rows");
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
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
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
        let positions: Vec<_> = events.iter().map(|event| event.position).collect();
        assert_eq!(positions, (1..=101).collect::<Vec<_>>());
        assert_eq!(archives[0].verify_audit_trail().await.expect("a check"), None);
        assert_eq!(
            archives[0].sweep_objects(Duration::ZERO).await.expect("a sweep"),
            0,
            "losers took their objects away"
        );
        for archive in &archives {
            let mut newest = archive.newest_event();
            tokio::time::timeout(Duration::from_secs(5), newest.wait_for(|position| *position == 101))
                .await
                .expect("in time")
                .expect("an open archive");
        }
    }
}

#[tokio::test]
async fn a_series_is_announced_once_until_more_of_it_comes() {
    for mut home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        home.config.quiet_seconds = 0;
        home.config.complete_on_release = true;
        let archive = home.open().await;
        Slice::new("1.1", "1.1.1", "1.1.1.1").sent_to(&archive).await;
        assert_eq!(archive.announce_quiet_series().await.expect("a sweep"), 1);
        assert_eq!(archive.announce_quiet_series().await.expect("a sweep"), 0);
        Slice::new("1.1", "1.1.1", "1.1.1.2").sent_to(&archive).await;
        for _ in 0..2 {
            archive.released(&[uid("1.1.1")]).await.expect("a release");
        }
        let kinds: Vec<_> = archive.events(0, 10).await.expect("events").iter().map(|event| event.kind).collect();
        use EventKind::{InstanceStored, SeriesComplete};
        assert_eq!(kinds, [InstanceStored, SeriesComplete, InstanceStored, SeriesComplete], "{}", home.name);
    }
}

#[tokio::test]
async fn consumers_resume_where_they_acknowledged() {
    everywhere(async |archive| {
        assert_eq!(archive.consumer_position("ai").await.expect("a position"), 0);
        archive.acknowledge("ai", 5).await.expect("noted");
        archive.acknowledge("ai", 3).await.expect("noted");
        assert_eq!(archive.consumer_position("ai").await.expect("a position"), 5);
    })
    .await;
}

#[tokio::test]
async fn a_job_is_done_once_and_leases_run_out() {
    everywhere(async |archive| {
        let (lease, none) = (Duration::from_secs(60), Duration::ZERO);
        assert!(archive.enqueue("ai", "s1", &json!({"n": 1})).await.expect("queued"));
        assert!(!archive.enqueue("ai", "s1", &json!({"n": 2})).await.expect("queued"));
        assert_eq!(archive.claim("hl7:a", "w", lease).await.expect("a claim"), None);

        let lost = archive.claim("ai", "w1", none).await.expect("a claim").expect("a job");
        let held = archive.claim("ai", "w2", lease).await.expect("a claim").expect("the lease ran out");
        assert_eq!((held.attempts, held.worker.as_deref(), &held.payload), (2, Some("w2"), &json!({"n": 1})));
        assert!(matches!(archive.finish(&lost, "late").await, Err(ArchiveError::Conflict(_))));
        archive.extend(&held, lease).await.expect("extended");
        assert_eq!(archive.claim("ai", "w3", lease).await.expect("a claim"), None);

        archive.fail(&held, "engine", Some(none)).await.expect("failed");
        let again = archive.claim("ai", "w3", lease).await.expect("a claim").expect("due again");
        assert_eq!(again.last_error.as_deref(), Some("engine"));
        archive.fail(&again, "engine", None).await.expect("dead");
        assert_eq!(archive.jobs("a", Some(JobState::Dead), 10).await.expect("jobs").len(), 1);
        archive.revive(&again.id).await.expect("revived");
        assert!(matches!(archive.revive(&again.id).await, Err(ArchiveError::NotFound(_))));
        let last = archive.claim("ai", "w4", lease).await.expect("a claim").expect("revived");
        archive.finish(&last, "done").await.expect("finished");
        let jobs = archive.jobs("", None, 10).await.expect("jobs");
        assert_eq!((jobs[0].state, jobs[0].result.as_deref(), jobs[0].attempts), (JobState::Done, Some("done"), 4));
    })
    .await;
}

#[tokio::test]
async fn no_two_workers_get_the_same_job() {
    everywhere(async |archive| {
        for n in 0..40 {
            archive.enqueue("ai", &n.to_string(), &json!(n)).await.expect("queued");
        }
        let workers = (0..8).map(|worker| {
            let archive = archive.clone();
            tokio::spawn(async move {
                let mut keys = Vec::new();
                while let Some(job) =
                    archive.claim("ai", &worker.to_string(), Duration::from_secs(60)).await.expect("a claim")
                {
                    keys.push(job.key);
                }
                keys
            })
        });
        let workers = workers.collect::<Vec<_>>();
        let mut keys: Vec<_> =
            futures::stream::iter(workers).then(|worker| async { worker.await.expect("a worker") }).concat().await;
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 40);
    })
    .await;
}

#[tokio::test]
async fn people_sign_in_and_out_and_only_hashes_stay() {
    everywhere(async |archive| {
        let password = archive.first_admin().await.expect("a start").expect("the first one");
        assert_eq!(archive.first_admin().await.expect("a start"), None);
        let (admin, session) = archive.sign_in("admin", &password).await.expect("a session");
        assert!(admin.is_admin() && admin.may_store());
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), Some(admin));
        archive.sign_out(&session).await.expect("signed out");
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), None);
        for (name, password) in [("admin", "wrong"), ("nobody", &*password), ("admin\0", "x")] {
            assert!(matches!(archive.sign_in(name, password).await, Err(ArchiveError::Credentials)), "{name:?}");
        }

        archive.add_user("li", "correct horse", &[Role::Viewer, Role::Technician]).await.expect("a user");
        for (name, password) in
            [("li", "correct horse"), ("", "correct horse"), ("a:b", "correct horse"), ("b", "short")]
        {
            let refused = archive.add_user(name, password, &[Role::Viewer]).await;
            assert!(matches!(refused, Err(ArchiveError::Conflict(_))), "{name:?}");
        }
        let token = archive.create_token("li", "scanner").await.expect("a token");
        assert!(matches!(archive.create_token("li", "scanner").await, Err(ArchiveError::Conflict(_))));
        assert!(matches!(archive.create_token("nobody", "t").await, Err(ArchiveError::NotFound(_))));
        let li = archive.authenticate(&token).await.expect("an answer").expect("li");
        assert_eq!((li.name.as_str(), li.roles.as_slice()), ("li", &[Role::Viewer, Role::Technician][..]));

        let (_, session) = archive.sign_in("li", "correct horse").await.expect("a session");
        archive.set_password("li", "battery staple").await.expect("changed");
        assert_eq!(archive.authenticate(&session).await.expect("an answer"), None, "a new password ends sessions");
        assert!(archive.authenticate(&token).await.expect("an answer").is_some());
        archive.revoke_token("li", "scanner").await.expect("revoked");
        assert_eq!(archive.authenticate(&token).await.expect("an answer"), None);
        assert!(matches!(archive.remove_user("admin").await, Err(ArchiveError::Conflict(_))), "the last administrator");
        archive.remove_user("li").await.expect("removed");
        assert_eq!(archive.users().await.expect("users").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn guesses_are_slowed_down() {
    let home = sqlite_and_folder();
    let archive = home.open().await;
    archive.add_user("li", "correct horse", &[Role::Viewer]).await.expect("a user");
    for _ in 0..5 {
        assert!(matches!(archive.sign_in("li", "guess").await, Err(ArchiveError::Credentials)));
    }
    assert!(matches!(archive.sign_in("li", "correct horse").await, Err(ArchiveError::TooManyAttempts(_))));
}

#[tokio::test]
async fn peers_are_kept() {
    everywhere(async |archive| {
        let title: AeTitle = "CT1".parse().expect("a title");
        let mut peer = Peer { ae_title: title.clone(), host: None, port: None, may_store: true, may_find: false };
        archive.put_peer(&peer).await.expect("kept");
        peer.host = Some("ct1.example".into());
        peer.port = Some(104);
        archive.put_peer(&peer).await.expect("kept");
        assert_eq!(archive.peers().await.expect("peers"), [peer]);
        archive.remove_peer(&title).await.expect("removed");
        assert!(matches!(archive.remove_peer(&title).await, Err(ArchiveError::NotFound(_))));
    })
    .await;
}

#[tokio::test]
async fn the_audit_trail_shows_where_it_was_touched() {
    for home in [Some(sqlite_and_folder()), postgres_and_folder().await].into_iter().flatten() {
        let archive = home.open().await;
        for n in 0..5 {
            let record = AuditRecord {
                at: 0,
                action: AuditAction::Query,
                actor: "li".into(),
                origin: "127.0.0.1".into(),
                success: true,
                study: None,
                detail: format!("query {n}"),
            };
            archive.audit(&record).await.expect("written");
        }
        let trail = archive.audit_trail(2).await.expect("a trail");
        assert_eq!((trail.len(), trail[0].detail.as_str(), trail[0].at > 0), (2, "query 4", true));
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), None);

        sqlx::any::install_default_drivers();
        let file = format!("sqlite://{}/index.sqlite", home.config.data_dir.display());
        let database = sqlx::AnyPool::connect(home.config.database_url.as_deref().unwrap_or(&file)).await.expect("it");
        let tamper = async |sql: &'static str| {
            sqlx::query(sql).execute(&database).await.expect("tampered");
        };
        tamper("delete from audit where position = 5").await;
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), Some(5));
        tamper("update audit set actor = 'someone else' where position = 3").await;
        assert_eq!(archive.verify_audit_trail().await.expect("a check"), Some(3));
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
