//! Durable jobs of the node: one after the other, again and again until they are done, ever later.

use crate::session::Node;
use std::{sync::Arc, time::Duration};
use storage::Job;
use tokio::sync::Notify;

/// How long a job may take before another process takes it over; extended by those that take longer.
pub(crate) const LEASE: Duration = Duration::from_secs(600);
/// Jobs may come due by themselves or from another process: look this often while anything happens.
const IDLE: Duration = Duration::from_secs(2);
/// Retried first after so long, then after twice that, and so on up to an hour.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// Some three days of retries.
const ATTEMPTS: i64 = 72;

/// Does jobs of a kind until the node stops; `queued` tells of new ones. `what` names one for the log.
pub(crate) async fn work<F>(
    node: &Arc<Node>,
    kind: &str,
    what: &str,
    queued: &Notify,
    answer: impl Fn(Arc<Node>, Job) -> F,
) where
    F: Future<Output = Result<String, String>>,
{
    let worker = format!("{kind} {}", std::process::id());
    let mut stirrings = node.archive.stirrings();
    loop {
        stirrings.begin();
        let step = async {
            match node.archive.claim(kind, &worker, LEASE).await {
                Ok(Some(job)) => settle(node, &job, what, answer(Arc::clone(node), job.clone()).await).await,
                Ok(None) => tokio::select! {
                    () = queued.notified() => {}
                    () = stirrings.rest(IDLE) => {}
                },
                Err(error) => {
                    tracing::warn!(%error, kind, "jobs cannot be read");
                    tokio::time::sleep(IDLE).await;
                }
            }
        };
        // What is broken off is due again when its lease is over.
        if node.stop.run_until_cancelled(step).await.is_none() {
            return;
        }
    }
}

/// Writes down how a job ended.
async fn settle(node: &Node, job: &Job, what: &str, ended: Result<String, String>) {
    let written = match ended {
        Ok(told) => node.archive.finish(job, &told).await,
        Err(reason) => {
            tracing::warn!(job = job.key, reason, "{what} was not delivered");
            let retry = FIRST_RETRY.saturating_mul(1 << (job.attempts.clamp(1, 11) - 1)).min(LONGEST_RETRY);
            node.archive.fail(job, &reason, (job.attempts < ATTEMPTS).then_some(retry)).await
        }
    };
    if let Err(error) = written {
        tracing::warn!(%error, job = job.key, "the end of {what} was not written down");
    }
}
