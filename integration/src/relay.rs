//! Stored report → one job a route → message → acknowledgement.
//!
//! The consumer reads the outbox and keeps a job for each route before it counts the event as read; reports of persons
//! and of algorithms that nobody has named in the configuration are passed over. A sender for each
//! route takes its jobs, oldest first, and writes down how each ended: delivered with the receipt, due again, or dead.

use crate::{
    config::{IntegrationConfig, RetryConfig},
    error::{DeliveryError, FailureKind, RelayError},
    imaging_result::{ImagingResult, ResultError},
    retry::{self, Next},
    route::Route,
};
use pacs_core::{
    Attributes, Uid,
    finding::{Observer, Report, from_sr, observer},
    sop_class::COMPREHENSIVE_3D_SR_STORAGE,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use storage::{Archive, ArchiveError, Event, EventKind, Job};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

const CONSUMER: &str = "integration";
const EVENTS_AT_ONCE: u32 = 256;
/// Events come in bursts, an instance each: what comes in so long is looked at together.
const GATHER: Duration = Duration::from_millis(250);
/// Jobs may come due by themselves or from another process: look this often while anything happens.
const IDLE: Duration = Duration::from_secs(1);
/// After a failure of the archive.
const ARCHIVE_PAUSE: Duration = Duration::from_secs(5);
/// A receiver may be down, or one message may be its downfall: after this long the next message is tried.
const LONGEST_ROUTE_PAUSE: Duration = Duration::from_secs(60);

/// Where a report is, as a job remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    study: Uid,
    series: Uid,
    sop_instance: Uid,
    /// Milliseconds since 1970-01-01 UTC.
    stored_at: i64,
}

/// Relays results until `shutdown`. Fails only at the start, if the configuration cannot work.
///
/// With no route the outbox is read all the same: a route that is added later gets what comes later, not the history.
pub async fn relay(archive: Archive, config: IntegrationConfig, shutdown: CancellationToken) -> Result<(), RelayError> {
    config.check()?;
    let routes: Vec<Arc<Route>> = Route::all(&config)?.into_iter().map(Arc::new).collect();
    let mut senders = JoinSet::new();
    for route in &routes {
        info!(route = route.kind, "route opened");
        let (archive, route, retry) = (archive.clone(), route.clone(), config.retry.clone());
        let shutdown = shutdown.clone();
        senders.spawn(async move { send(&archive, &route, &retry, &shutdown).await });
    }
    shutdown.run_until_cancelled(queue(&archive, &routes, &config.algorithms)).await;
    senders.join_all().await;
    Ok(())
}

// ---- outbox → jobs ------------------------------------------------------------------------------------------------

async fn queue(archive: &Archive, routes: &[Arc<Route>], others: &[String]) {
    let mut stirrings = archive.stirrings();
    loop {
        stirrings.begin();
        match queue_batch(archive, routes, others).await {
            Ok(0) => stirrings.rest(GATHER).await,
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "outbox not read");
                sleep(ARCHIVE_PAUSE).await;
            }
        }
    }
}

/// Keeps the jobs of the next events; returns how many events there were.
async fn queue_batch(archive: &Archive, routes: &[Arc<Route>], others: &[String]) -> Result<usize, ArchiveError> {
    let position = archive.consumer_position(CONSUMER).await?;
    let events = archive.events(position, EVENTS_AT_ONCE).await?;
    for event in &events {
        if let Some(pointer) = report_stored(event) {
            queue_report(archive, routes, others, &pointer).await?;
        }
    }
    if let Some(last) = events.last() {
        archive.acknowledge(CONSUMER, last.position).await?;
    }
    Ok(events.len())
}

fn report_stored(event: &Event) -> Option<Pointer> {
    let stored = event.kind == EventKind::InstanceStored;
    let report = event.sop_class.as_ref().is_some_and(|class| class.as_str() == COMPREHENSIVE_3D_SR_STORAGE);
    if !stored || !report {
        return None;
    }
    Some(Pointer {
        study: event.study.clone(),
        series: event.series.clone()?,
        sop_instance: event.sop_instance.clone()?,
        stored_at: event.at,
    })
}

/// `others`: algorithms of other makers whose reports go out as well.
async fn queue_report(
    archive: &Archive,
    routes: &[Arc<Route>],
    others: &[String],
    pointer: &Pointer,
) -> Result<(), ArchiveError> {
    if routes.is_empty() {
        return Ok(());
    }
    let report = match read(archive, pointer).await {
        Ok((metadata, report)) if is_result(&metadata, &report, others) => report,
        Ok(_) => {
            info!(sop_instance_uid = %pointer.sop_instance, "a report that is not our AI's is not relayed");
            return Ok(());
        }
        Err(DeliveryError::Archive(error)) => return Err(error),
        Err(error) => {
            info!(sop_instance_uid = %pointer.sop_instance, %error, "no report to relay");
            return Ok(());
        }
    };
    let payload = serde_json::to_value(pointer).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    for route in routes.iter().filter(|route| route.takes(&report)) {
        archive.enqueue(&route.kind, pointer.sop_instance.as_str(), &payload).await?;
        route.queued.notify_one();
    }
    Ok(())
}

/// Whether a report is an AI result that the hospital wants to hear of. What a person has a part in never is: it would
/// arrive as the algorithm's finding.
fn is_result(metadata: &Value, report: &Report, others: &[String]) -> bool {
    match Attributes::of(metadata).map(observer) {
        Some(Observer::OurAi) => true,
        Some(Observer::Device) => others.contains(&report.algorithm_name),
        Some(Observer::Person) | None => false,
    }
}

/// The report and the metadata it stands in.
async fn read(archive: &Archive, pointer: &Pointer) -> Result<(Value, Report), DeliveryError> {
    let found = metadata(archive, &pointer.study, &pointer.series, &pointer.sop_instance).await?;
    let metadata = found.ok_or(ResultError::Deleted)?;
    let report = from_sr(Attributes::of(&metadata).ok_or(ResultError::Metadata)?).map_err(ResultError::from)?;
    Ok((metadata, report))
}

/// The attributes of one instance; `None` if it is not in the archive.
async fn metadata(
    archive: &Archive,
    study: &Uid,
    series: &Uid,
    sop_instance: &Uid,
) -> Result<Option<Value>, DeliveryError> {
    let found = match archive.metadata(study, Some(series), Some(sop_instance)).await {
        Err(ArchiveError::NotFound(_)) => return Ok(None),
        found => found?,
    };
    let read = found.first().map(|text| serde_json::from_str(text));
    Ok(read.transpose().map_err(|_| ResultError::Metadata)?)
}

// ---- jobs → receivers ---------------------------------------------------------------------------------------------

async fn send(archive: &Archive, route: &Route, retry: &RetryConfig, shutdown: &CancellationToken) {
    let worker = format!("integration {}", std::process::id());
    let mut stirrings = archive.stirrings();
    while !shutdown.is_cancelled() {
        stirrings.begin();
        let pause = match archive.claim(&route.kind, &worker, route.lease()).await {
            Ok(Some(job)) => send_one(archive, route, &job, retry, shutdown).await,
            Ok(None) => {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = route.queued.notified() => {}
                    () = stirrings.rest(IDLE) => {}
                }
                Duration::ZERO
            }
            Err(error) => {
                warn!(route = route.kind, %error, "no job claimed");
                ARCHIVE_PAUSE
            }
        };
        let _ = shutdown.run_until_cancelled(sleep(pause)).await;
    }
}

/// Delivers one job and writes down how it ended; returns how long the route should rest.
async fn send_one(
    archive: &Archive,
    route: &Route,
    job: &Job,
    retry: &RetryConfig,
    shutdown: &CancellationToken,
) -> Duration {
    let settled = match shutdown.run_until_cancelled(deliver(archive, route, job)).await {
        Some(outcome) => settle(archive, job, outcome, retry).await,
        // The receiver may have the message: it gets the same one again after the restart.
        None => archive.fail(job, "shut down before the answer", Some(Duration::ZERO)).await.map(|()| Duration::ZERO),
    };
    settled.unwrap_or_else(|error| {
        warn!(job = job.id, %error, "the end of a delivery was not written down");
        ARCHIVE_PAUSE
    })
}

async fn deliver(archive: &Archive, route: &Route, job: &Job) -> Result<String, DeliveryError> {
    let pointer: Pointer = serde_json::from_value(job.payload.clone())?;
    let (metadata, report) = read(archive, &pointer).await?;
    let image = match report.evidence.first() {
        Some((_, image)) => self::metadata(archive, &report.study, &report.series, image).await?,
        None => None,
    };
    let sr = Attributes::of(&metadata).ok_or(ResultError::Metadata)?;
    let image = image.as_ref().and_then(Attributes::of);
    route.deliver(&ImagingResult::read(sr, image, report, pointer.stored_at)?).await
}

/// Writes down how a delivery ended; returns how long the route should rest.
async fn settle(
    archive: &Archive,
    job: &Job,
    outcome: Result<String, DeliveryError>,
    retry: &RetryConfig,
) -> Result<Duration, ArchiveError> {
    let (route, sop_instance_uid, attempts) = (&job.kind, &job.key, job.attempts);
    let failure = match outcome {
        Ok(receipt) => {
            archive.finish(job, &receipt).await?;
            info!(%route, %sop_instance_uid, attempts, "result delivered");
            return Ok(Duration::ZERO);
        }
        Err(failure) => failure,
    };
    // The failure's text may quote the receiver, and that the patient: it stays with the job.
    let kind = failure.kind();
    match retry::next(kind, attempts, retry) {
        Next::Retry(pause) => {
            archive.fail(job, &failure.to_string(), Some(pause)).await?;
            warn!(%route, %sop_instance_uid, attempts, ?kind, ?pause, "result not delivered");
            Ok(if kind == FailureKind::Unreachable { pause.min(LONGEST_ROUTE_PAUSE) } else { Duration::ZERO })
        }
        Next::GiveUp => {
            archive.fail(job, &failure.to_string(), None).await?;
            error!(%route, %sop_instance_uid, attempts, ?kind, "result became a dead letter");
            Ok(Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests;
