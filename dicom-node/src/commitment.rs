//! Storage commitment, between request and report: the instances are read and compared with what was received, and the
//! requester is told, over its own association while that is open, else over one of ours, again and again until it has heard.
//!
//! A request is a job, so that it outlives the association and the process. What was found is not kept: it is looked at
//! again each time, for a report is to be true when it is made.

use crate::{
    association::supported::STORAGE_COMMITMENT,
    dimse::status,
    scp::commitment::{Report, Transaction},
    scu::{self, EventReport, ScuError},
    session::Node,
    worker::{self, LEASE},
};
use pacs_core::AeTitle;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use storage::{Archive, ArchiveError, Job};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

/// The kind of its jobs.
const KIND: &str = "commitment";
/// Instances judged before the job is held on to.
const PAGE: usize = 100;
/// How long a requester may take to answer over its own association.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What a job remembers.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    by: AeTitle,
    transaction: Transaction,
}

/// A report on its way to the association of its requester, and where the status of the answer goes.
pub(crate) struct Delivery {
    pub(crate) report: Report,
    pub(crate) answered: oneshot::Sender<u16>,
}

/// Open associations over which somebody asked for commitment, by AE title.
#[derive(Default)]
pub(crate) struct Requesters {
    open: Mutex<HashMap<AeTitle, mpsc::Sender<Delivery>>>,
    queued: Notify,
}

impl Requesters {
    /// Reports to this AE title may go over the association that receives here, as long as it does.
    pub(crate) fn open(&self, ae_title: &AeTitle) -> mpsc::Receiver<Delivery> {
        let (sender, receiver) = mpsc::channel(1);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, sender| !sender.is_closed());
        open.insert(ae_title.clone(), sender);
        receiver
    }

    fn find(&self, ae_title: &AeTitle) -> Option<mpsc::Sender<Delivery>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(ae_title).filter(|sender| !sender.is_closed()).cloned()
    }
}

/// Keeps a request; it is durable when this returns.
pub(crate) async fn ask(node: &Node, by: &AeTitle, transaction: Transaction) -> Result<(), ArchiveError> {
    // The same transaction may be asked for again, by who missed the report.
    let key = format!("{} {:016x}", transaction.uid, rand::random::<u64>());
    let payload = serde_json::to_value(Asked { by: by.clone(), transaction });
    let payload = payload.map_err(|error| ArchiveError::Internal(error.to_string()))?;
    node.archive.enqueue(KIND, &key, &payload).await?;
    node.requesters.queued.notify_one();
    Ok(())
}

/// Answers requests until the node stops.
pub(crate) async fn work(node: &Arc<Node>) {
    let answer = |node: Arc<Node>, job: Job| async move { answer(&node, &job).await };
    worker::work(node, KIND, "a storage commitment", &node.requesters.queued, answer).await;
}

async fn answer(node: &Node, job: &Job) -> Result<String, String> {
    let asked: Asked = serde_json::from_value(job.payload.clone()).map_err(|error| error.to_string())?;
    let report = judge(&node.archive, job, asked.transaction).await.map_err(|error| error.to_string())?;
    let told = format!("{} committed, {} not", report.committed.len(), report.failed.len());
    deliver(node, &asked.by, report).await?;
    tracing::info!(requester = %asked.by, told, "storage commitment reported");
    Ok(told)
}

// ---- are they here, and as they came? -------------------------------------------------------------------------------

async fn judge(archive: &Archive, job: &Job, asked: Transaction) -> Result<Report, ArchiveError> {
    let mut report = Report { transaction: asked.uid, committed: Vec::new(), failed: Vec::new() };
    for page in asked.references.chunks(PAGE) {
        archive.extend(job, LEASE).await?;
        let references: Vec<_> = page.iter().map(|one| (one.sop_class.clone(), one.sop_instance.clone())).collect();
        for (reference, judged) in page.iter().zip(archive.commit(&references).await?) {
            match judged {
                Ok(()) => report.committed.push(reference.clone()),
                Err(why) => report.failed.push((reference.clone(), why.reason())),
            }
        }
    }
    Ok(report)
}

// ---- who is told, and how -------------------------------------------------------------------------------------------

async fn deliver(node: &Node, to: &AeTitle, report: Report) -> Result<(), String> {
    if let Some(sender) = node.requesters.find(to)
        && over_its_own(&sender, report.clone()).await
    {
        return Ok(());
    }
    let peers = node.archive.peers().await.map_err(|error| error.to_string())?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == *to);
    let Some(remote) = peer.and_then(|peer| node.remote(&peer)) else {
        return Err(format!("{to} has closed its association, and has no host and port configured (pacs ae add)"));
    };
    let report = EventReport {
        sop_class: STORAGE_COMMITMENT,
        request: report.request(0),
        fields: report.fields(node.config.ae_title.as_str()),
    };
    let told = scu::report(&remote, report).await;
    told.map_err(|error: ScuError| format!("{to}: {}", error.chain()))
}

/// Whether the requester took the report over the association by which it asked.
async fn over_its_own(sender: &mpsc::Sender<Delivery>, report: Report) -> bool {
    let (answered, answer) = oneshot::channel();
    let told = async {
        sender.send(Delivery { report, answered }).await.ok()?;
        answer.await.ok()
    };
    matches!(timeout(ANSWER_LIMIT, told).await, Ok(Some(status::SUCCESS)))
}
