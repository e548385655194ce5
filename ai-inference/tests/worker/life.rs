//! What becomes of series and jobs.

use crate::{
    phantom::{SERIES, STUDY, Scan},
    support::Home,
};
use ai_inference::AiConfig;
use storage::JobState;

#[tokio::test]
async fn a_series_gives_one_report_and_a_report_gives_none() {
    let home = Home::new().await;
    for file in Scan::AXIAL.files() {
        home.store(&file).await;
    }
    assert_eq!(home.worked(AiConfig::default()).await.len(), 1);
    let first = home.report().await;
    assert_eq!((first.study.as_str(), first.series.as_str(), first.evidence.len()), (STUDY, SERIES, 66));
    assert_eq!(first.status, "demonstration, not for clinical use");
    // The report's own series is complete now, and the scan is announced anew: neither makes work.
    home.archive.released(&[SERIES.parse().expect("a UID")]).await.expect("the archive answers");
    assert_eq!(home.worked(AiConfig::default()).await.len(), 1);
    assert_eq!(home.report().await, first);
}

#[tokio::test]
async fn a_scan_without_nodules_is_reported_too() {
    let home = Home::new().await;
    for file in (Scan { nodules: false, ..Scan::AXIAL }).files() {
        home.store(&file).await;
    }
    home.worked(AiConfig::default()).await;
    assert_eq!(home.report().await.findings, []);
}

#[tokio::test]
async fn what_is_not_for_the_model_gets_a_recorded_reason() {
    let thick = Scan { gap_mm: 4.0, ..Scan::AXIAL }.files();
    let mut missing = Scan::AXIAL.files();
    missing.remove(30);
    let one = Scan::AXIAL.files().into_iter().take(1).collect();
    for (files, reason) in [(thick, "slices-too-far-apart"), (missing, "uneven-slices"), (one, "too-few-slices")] {
        let home = Home::new().await;
        for file in &files {
            home.store(file).await;
        }
        let jobs = home.worked(AiConfig::default()).await;
        assert_eq!((jobs.len(), jobs[0].state), (1, JobState::Done));
        let result = jobs[0].result.clone().unwrap_or_default();
        assert!(result.contains(reason), "{result}");
        assert_eq!(home.reports().await, []);
    }
}

#[tokio::test]
async fn a_quarantined_model_leaves_series_for_later() {
    let home = Home::new().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let config = AiConfig { model: "missing/1".into(), ..AiConfig::default() };
    let worker = tokio::spawn(ai_inference::work(home.archive.clone(), config, shutdown.clone()));
    for file in Scan::AXIAL.files().iter().take(1) {
        home.store(file).await;
    }
    home.archive.announce_quiet_series().await.expect("the archive answers");
    shutdown.cancel();
    worker.await.expect("the archive answers").expect("the archive answers");
    assert_eq!(home.archive.consumer_position("ai").await.expect("the archive answers"), 0);
}
