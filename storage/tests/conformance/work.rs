//! Events and jobs.

use crate::support::{Slice, everywhere, postgres_and_folder, sqlite_and_folder, uid};
use futures::StreamExt;
use serde_json::json;
use std::time::Duration;
use storage::{ArchiveError, EventKind, JobState};

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
        assert_eq!(last.attempts, 1, "a revived job starts afresh");
        assert!(matches!(archive.finish(&lost, "a lease of its former life").await, Err(ArchiveError::Conflict(_))));
        archive.finish(&last, "done").await.expect("finished");
        let jobs = archive.jobs("", None, 10).await.expect("jobs");
        assert_eq!((jobs[0].state, jobs[0].result.as_deref(), jobs[0].attempts), (JobState::Done, Some("done"), 1));
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
async fn jobs_are_claimed_in_the_order_in_which_they_were_queued_also_within_a_millisecond() {
    everywhere(async |archive| {
        let keys: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
        for key in &keys {
            archive.enqueue("order", key, &serde_json::Value::Null).await.expect("queued");
        }
        for key in &keys {
            let job = archive.claim("order", "worker", Duration::from_secs(60)).await.expect("a claim");
            assert_eq!(&job.expect("a job").key, key);
        }
    })
    .await;
}
