//! Of what was sent on it is asked whether the receiver answers for it, where the rule says so.

use crate::{
    scp::commitment::{Reference, Report, Transaction},
    scu,
    session::Node,
};
use pacs_core::AeTitle;
use std::{sync::Arc, time::Duration};
use storage::{
    ArchiveError,
    routing::{Destination, Question, Receiver},
};
use tokio::task::JoinSet;

/// Look this often while anything happens.
const LOOK: Duration = Duration::from_secs(2);
/// So long the answer may take over our own association; after that it comes over one of the peer's.
const WAIT: Duration = Duration::from_secs(5);

/// Asks until the node stops.
pub(crate) async fn work(node: &Arc<Node>) {
    let mut stirrings = node.archive.stirrings();
    loop {
        stirrings.begin();
        let round = async {
            // One round after the other: nobody is asked twice at a time.
            ask_all(node).await;
            stirrings.rest(LOOK).await;
        };
        // What is broken off is asked again.
        if node.stop.run_until_cancelled(round).await.is_none() {
            return;
        }
    }
}

async fn ask_all(node: &Arc<Node>) {
    match node.archive.uncommitted_destinations().await {
        Ok(due) => {
            let node = |destination| (Arc::clone(node), destination);
            let asking =
                due.into_iter().map(node).map(|(node, destination)| async move { ask(&node, &destination).await });
            asking.collect::<JoinSet<()>>().join_all().await;
        }
        Err(error) => tracing::warn!(%error, "who is to be asked for storage commitment cannot be read"),
    }
}

async fn ask(node: &Node, destination: &Destination) {
    let Receiver::Ae(ae_title) = &destination.receiver else { return };
    loop {
        let done = match node.archive.commitment_question(&destination.name).await {
            Ok(Some(question)) => ask_one(node, ae_title, question).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(%error, destination = destination.name, "storage commitment was not asked for");
            return;
        }
    }
}

async fn ask_one(node: &Node, ae_title: &AeTitle, question: Question) -> Result<(), ArchiveError> {
    let references =
        question.instances.into_iter().map(|(sop_class, sop_instance)| Reference { sop_class, sop_instance }).collect();
    let transaction = Transaction { uid: question.transaction, references };
    let peers = node.archive.peers().await?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == *ae_title);
    let told = match peer.and_then(|peer| node.remote(&peer)) {
        Some(remote) => scu::request_commitment(&remote, &transaction, WAIT).await.map_err(|error| error.chain()),
        None => Err(format!("{ae_title} has no host and port configured: pacs ae add {ae_title} --host … --port …")),
    };
    match told {
        Ok(Some(report)) => answered(node, ae_title, &report).await,
        Ok(None) => Ok(()),
        Err(why) => {
            let why = format!("it was sent, but {ae_title} cannot be asked to answer for it: {why}");
            node.archive.commitment_unasked(&transaction.uid, &why).await
        }
    }
}

/// Takes down what an application entity says of a transaction of ours.
pub(crate) async fn answered(node: &Node, by: &AeTitle, report: &Report) -> Result<(), ArchiveError> {
    let failed: Vec<_> =
        report.failed.iter().map(|(reference, reason)| (reference.sop_instance.clone(), *reason)).collect();
    node.archive.commitment_answered(by, &report.transaction, &failed).await?;
    tracing::info!(%by, committed = report.committed.len(), failed = failed.len(), "storage commitment heard");
    Ok(())
}
