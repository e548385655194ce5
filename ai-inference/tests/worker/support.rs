//! An archive of its own, with the worker beside it.

use ai_inference::AiConfig;
use pacs_core::{
    Attributes, Uid,
    finding::{Report, from_sr},
    sop_class::COMPREHENSIVE_3D_SR_STORAGE,
};
use std::{path::PathBuf, time::Duration};
use storage::{Archive, EventKind, Expected, Job, JobState, Origin, StorageConfig};
use tokio_util::sync::CancellationToken;

/// A whole scan takes seconds; a loaded machine may take minutes.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Home {
    pub archive: Archive,
    _folder: tempfile::TempDir,
}

impl Home {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StorageConfig { data_dir: folder.path().into(), quiet_seconds: 0, ..StorageConfig::default() };
        Self { archive: Archive::open(&config).await.expect("the archive answers"), _folder: folder }
    }

    pub async fn store(&self, file: &[u8]) {
        let origin = Origin::Import { path: "test".into() };
        self.archive.ingest(origin, file, &Expected::default()).await.expect("the archive answers");
    }

    /// Announces what was stored as complete and lets the worker come to the end of its jobs.
    pub async fn worked(&self, config: AiConfig) -> Vec<Job> {
        self.archive.announce_quiet_series().await.expect("the archive answers");
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(ai_inference::work(self.archive.clone(), config, shutdown.clone()));
        let settled = tokio::time::timeout(PATIENCE, self.settled()).await;
        shutdown.cancel();
        worker.await.expect("no panic").expect("a sound configuration");
        let jobs = settled.expect("the worker comes to an end");
        jobs.iter().for_each(|job| println!("{:?} {:?}", job.result, job.last_error));
        jobs
    }

    /// The worker has seen every event, and no job is left.
    async fn settled(&self) -> Vec<Job> {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let seen = self.archive.consumer_position("ai").await.expect("the archive answers");
            let jobs = self.archive.jobs("ai", None, 100).await.expect("the archive answers");
            let open = jobs.iter().any(|job| matches!(job.state, JobState::Due | JobState::Leased));
            if !open && self.archive.events(seen, 1).await.expect("the archive answers").is_empty() {
                return jobs;
            }
        }
    }

    /// The only SR in the archive.
    pub async fn report(&self) -> Report {
        let mut reports = self.reports().await;
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    pub async fn reports(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        for event in self.archive.events(0, 10_000).await.expect("the archive answers") {
            let stored = event.kind == EventKind::InstanceStored;
            let class = event.sop_class.as_ref().map(Uid::as_str);
            if !stored || class != Some(COMPREHENSIVE_3D_SR_STORAGE) {
                continue;
            }
            let (series, instance) = (event.series.as_ref(), event.sop_instance.as_ref());
            let texts = self.archive.metadata(&event.study, series, instance).await.expect("the archive answers");
            let json: serde_json::Value = serde_json::from_str(&texts[0]).expect("JSON");
            reports.push(from_sr(Attributes::of(&json).expect("an object")).expect("a report"));
        }
        reports
    }
}

/// Distance of the nearest finding, mm.
pub fn nearest(report: &Report, point: [f64; 3]) -> f64 {
    let distance = |center: [f64; 3]| (0..3).map(|i| (center[i] - point[i]).powi(2)).sum::<f64>().sqrt();
    report.findings.iter().map(|finding| distance(finding.center_mm)).fold(f64::INFINITY, f64::min)
}

/// A folder of the shared test data; `None`, with the reason printed, where it is absent.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var("YINGHAI_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").into());
    let folder = PathBuf::from(root).join(path);
    if !folder.exists() {
        println!("skipped: no shared test data: {path}");
        return None;
    }
    Some(folder)
}
