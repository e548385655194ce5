//! Complete series → job → report. The job's result says what was found, or why the series was not processed.

use crate::{
    config::AiConfig,
    error::{AiError, Refusal},
    load::{Series, load},
    models,
    pipeline::{Nodule, find_nodules},
    report::{Key, frame_of_reference, identity, report},
    serving::Serving,
    stack::{Stack, select},
    threads::Threads,
    volume::Volume,
};
use pacs_core::{
    Attributes, Uid,
    finding::to_sr,
    query::{Level, Query},
    tags,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use storage::{Archive, ArchiveError, Event, EventKind, Expected, Job, Origin, StoredInstance};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

const CONSUMER: &str = "ai";
const JOB: &str = "ai";
const EVENTS_AT_ONCE: u32 = 256;
/// Events come in bursts, an instance each: what comes in so long is looked at together.
const GATHER: Duration = Duration::from_millis(250);
/// When the program starts, others are waited for.
const OTHERS_FIRST: Duration = Duration::from_secs(1);
/// After a failure of the archive.
const ARCHIVE_PAUSE: Duration = Duration::from_secs(5);

/// How long a series may take from its completion into the store, in seconds, where another machine received it.
const SEALED_WITHIN: u32 = 60;

/// What a job is about.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    study: Uid,
    series: Uid,
}

struct Worker {
    archive: Archive,
    config: AiConfig,
    serving: Serving,
    threads: Threads,
    name: String,
}

/// Works until `shutdown`.
///
/// A model that fails its checks is quarantined: the worker says so and does nothing, the rest of the program goes on.
pub async fn work(archive: Archive, config: AiConfig, shutdown: CancellationToken) -> Result<(), AiError> {
    config.check()?;
    if !config.enabled {
        shutdown.cancelled().await;
        return Ok(());
    }
    let threads = Threads::new(config.threads)?;
    let Some(served) = shutdown.run_until_cancelled(serve(&config, &threads)).await else { return Ok(()) };
    let serving = match served {
        Ok(serving) => serving,
        Err(AiError::Model(reason)) => {
            error!(model = config.model, %reason, "model quarantined: nothing is processed; `pacs doctor` says more");
            shutdown.cancelled().await;
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    info!(model = config.model, status = serving.model.card.status.words(), "model serves");
    let worker = Worker { archive, config, serving, threads, name: format!("ai-{}", std::process::id()) };
    let queue = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = worker.queue_for_ever() => {}
        }
    };
    tokio::join!(queue, worker.process_until(&shutdown));
    Ok(())
}

/// Reads the model and tries it.
async fn serve(config: &AiConfig, threads: &Threads) -> Result<Serving, AiError> {
    tokio::time::sleep(OTHERS_FIRST).await;
    let settings = config.clone();
    let serving = Serving::new(threads.run(move || models::load(&settings)).await??);
    serving.engine(threads).await?;
    Ok(serving)
}

// ---- outbox → jobs ------------------------------------------------------------------------------------------------

impl Worker {
    async fn queue_for_ever(&self) {
        let mut stirrings = self.archive.stirrings();
        loop {
            stirrings.begin();
            match self.queue_batch().await {
                Ok(0) => stirrings.rest(GATHER).await,
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "outbox not read");
                    tokio::time::sleep(ARCHIVE_PAUSE).await;
                }
            }
        }
    }

    /// Keeps the jobs of the next events before they count as read; returns how many events there were.
    async fn queue_batch(&self) -> Result<usize, ArchiveError> {
        let position = self.archive.consumer_position(CONSUMER).await?;
        let events = self.archive.events(position, EVENTS_AT_ONCE).await?;
        for event in &events {
            if let Some(task) = complete_series(event) {
                self.queue_series(&task).await?;
            }
        }
        if let Some(last) = events.last() {
            self.archive.acknowledge(CONSUMER, last.position).await?;
        }
        Ok(events.len())
    }

    /// Only series of the model's modality: our own reports would otherwise come round again.
    async fn queue_series(&self, task: &Task) -> Result<(), ArchiveError> {
        let question = Query::new(Level::Series)
            .with(tags::STUDY_INSTANCE_UID, task.study.as_str())
            .with(tags::SERIES_INSTANCE_UID, task.series.as_str())
            .with(tags::MODALITY, self.serving.model.card.selects.modality.as_str());
        if self.archive.find(&question).await?.is_empty() {
            return Ok(());
        }
        let instances = self.archive.instances(&task.study, Some(&task.series), None).await?.len();
        let model: String = self.serving.model.card.sha256.chars().take(12).collect();
        let key = format!("{} {instances} images {model}", task.series);
        let payload = serde_json::to_value(task).map_err(|e| ArchiveError::Internal(e.to_string()))?;
        self.archive.enqueue(JOB, &key, &payload).await?;
        Ok(())
    }
}

fn complete_series(event: &Event) -> Option<Task> {
    let complete = event.kind == EventKind::SeriesComplete;
    complete.then_some(Task { study: event.study.clone(), series: event.series.clone()? })
}

// ---- jobs → reports -----------------------------------------------------------------------------------------------

impl Worker {
    async fn process_until(&self, shutdown: &CancellationToken) {
        let mut stirrings = self.archive.stirrings();
        while !shutdown.is_cancelled() {
            stirrings.begin();
            match self.archive.claim(JOB, &self.name, self.lease()).await {
                Ok(Some(job)) => {
                    let span = info_span!("job", model = self.config.model, id = job.id);
                    self.process(&job, shutdown).instrument(span).await;
                }
                Ok(None) => tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = stirrings.rest(GATHER) => self.serving.rest(),
                },
                Err(error) => {
                    warn!(%error, "no job claimed");
                    tokio::time::sleep(ARCHIVE_PAUSE).await;
                }
            }
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.config.lease_seconds)
    }

    async fn process(&self, job: &Job, shutdown: &CancellationToken) {
        let ended = tokio::select! {
            ended = self.run_and_hold(job) => self.settle(job, ended).await,
            // Due at once for whoever comes next.
            () = shutdown.cancelled() => self.archive.extend(job, Duration::ZERO).await,
        };
        if let Err(error) = ended {
            // The lease runs out and the job is due again; its result has fixed UIDs.
            warn!(%error, "job's end not recorded");
        }
    }

    async fn settle(&self, job: &Job, ended: Result<Result<String, Refusal>, AiError>) -> Result<(), ArchiveError> {
        match ended {
            Ok(Ok(summary)) => {
                info!(summary, "series read");
                self.archive.finish(job, &summary).await
            }
            Ok(Err(refusal)) => {
                info!(code = refusal.code(), reason = %refusal, "series not processed");
                self.archive.finish(job, &format!("not processed ({}): {refusal}", refusal.code())).await
            }
            Err(error) => {
                let error = chain(&error);
                warn!(error, attempts = job.attempts, "job failed");
                self.archive.fail(job, &error, self.retry_in(job.attempts)).await
            }
        }
    }

    /// `None` after the last attempt.
    fn retry_in(&self, attempts: i64) -> Option<Duration> {
        let again = attempts < i64::from(self.config.max_attempts);
        let doubled = u32::try_from(attempts.clamp(1, 16) - 1).map_or(1, |n| 1 << n);
        again.then(|| Duration::from_secs(self.config.retry_seconds) * doubled)
    }

    /// Keeps the lease while the job runs.
    async fn run_and_hold(&self, job: &Job) -> Result<Result<String, Refusal>, AiError> {
        // A job that takes the whole program down with it never fails by itself.
        if job.attempts > i64::from(self.config.max_attempts) {
            return Err(AiError::Broken("earlier attempts ended without an answer".into()));
        }
        let mut renewals = tokio::time::interval(self.lease() / 3);
        let mut running = std::pin::pin!(self.run(job));
        loop {
            tokio::select! {
                ended = &mut running => return ended,
                _ = renewals.tick() => self.archive.extend(job, self.lease()).await?,
            }
        }
    }

    async fn run(&self, job: &Job) -> Result<Result<String, Refusal>, AiError> {
        let task: Task = serde_json::from_value(job.payload.clone()).map_err(|e| AiError::Broken(e.to_string()))?;
        let series = Arc::new(self.series(&task).await?);
        let stack = match self.stack(&series) {
            Ok(stack) => stack,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let volume = match load(&self.archive, &series, &stack, &self.threads).await? {
            Ok(volume) => volume,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match self.find(volume).await? {
            Ok(nodules) => self.store(&task, &series, &stack, &nodules).await,
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Instances and metadata in the same order.
    async fn series(&self, task: &Task) -> Result<Series, AiError> {
        let instances = self.archive.instances(&task.study, Some(&task.series), None).await?;
        self.wait_until_sealed(&instances).await?;
        let texts = self.archive.metadata(&task.study, Some(&task.series), None).await?;
        let metadata: Result<Vec<serde_json::Value>, _> =
            texts.iter().map(String::as_str).map(serde_json::from_str).collect();
        let metadata = metadata.map_err(|e| AiError::Broken(format!("stored metadata: {e}")))?;
        let same = instances.len() == metadata.len()
            && instances.iter().zip(&metadata).all(|(instance, json)| {
                let uid = Attributes::of(json).and_then(|a| a.text(tags::SOP_INSTANCE_UID));
                uid.is_some_and(|uid| uid.trim_end_matches('\0') == instance.sop_instance.as_str())
            });
        // An image that arrived between the two questions: the next attempt sees both.
        if same {
            Ok(Series { instances, metadata })
        } else {
            Err(AiError::Broken("the series has just changed".into()))
        }
    }

    /// A series is announced as complete a moment before its packs are in the store.
    async fn wait_until_sealed(&self, instances: &[StoredInstance]) -> Result<(), ArchiveError> {
        for _ in 0..SEALED_WITHIN {
            match self.archive.reach(instances).await {
                Err(ArchiveError::Elsewhere(_)) => tokio::time::sleep(Duration::from_secs(1)).await,
                reached => return reached,
            }
        }
        self.archive.reach(instances).await
    }

    fn stack(&self, series: &Series) -> Result<Stack, Refusal> {
        let images = series.attributes();
        let stack = select(&images, &self.serving.model.card.selects)?;
        frame_of_reference(&images)?;
        if stack.voxels() > self.config.max_voxels { Err(Refusal::TooLarge(stack.voxels())) } else { Ok(stack) }
    }

    async fn find(&self, volume: Volume) -> Result<Result<Vec<Nodule>, Refusal>, AiError> {
        // Rows far apart make few voxels cover a large space.
        let isotropic = volume.extent_mm().iter().product::<f64>();
        if isotropic > self.config.max_voxels as f64 {
            return Ok(Err(Refusal::TooLarge(isotropic as u64)));
        }
        let engine = self.serving.engine(&self.threads).await?;
        let model = Arc::clone(&self.serving.model);
        Ok(self.threads.run(move || find_nodules(&volume, &model, &engine)).await??)
    }

    /// Stores the SR through the front door; returns a line for people.
    async fn store(
        &self,
        task: &Task,
        series: &Series,
        stack: &Stack,
        nodules: &[Nodule],
    ) -> Result<Result<String, Refusal>, AiError> {
        let key =
            Key { series: &task.series, instances: series.instances.len(), model: &self.serving.model.card.sha256 };
        let report = match report(key, series, stack, nodules, &self.serving.model) {
            Ok(report) => report,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let image = series.metadata.first().and_then(Attributes::of);
        let image = image.ok_or_else(|| AiError::Broken("the series has no metadata".into()))?;
        let identity = identity(key, image, &self.config.utc_offset, OffsetDateTime::now_utc());
        let sr = to_sr(&report, image, &identity)?;
        let expected = Expected {
            study: Some(task.study.clone()),
            sop_instance: Some(identity.sop_instance.clone()),
            ..Expected::default()
        };
        self.archive.ingest(Origin::Room("ai-inference"), &sr, &expected).await?;
        let count = report.findings.len();
        Ok(Ok(format!("{count} findings in {} slices ({})", stack.slices.len(), report.status)))
    }
}

/// The error and what caused it, for the job's record.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
