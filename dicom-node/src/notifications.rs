//! What happens to workitems is told to who is subscribed (PS3.4 §CC.2.4): over an association that we open as SCP of the
//! event class, again and again until it is heard.

use crate::{
    scp::{identifier::fields, ups::event_report},
    scu::{self, EventReport},
    session::Node,
    worker,
};
use pacs_core::ups::UPS_EVENT;
use std::sync::Arc;
use storage::{Job, NOTIFICATION, Notification};

/// Delivers notifications until the node stops.
pub(crate) async fn work(node: &Arc<Node>) {
    if let Err(error) = node.archive.tell_of_restart().await {
        tracing::warn!(%error, "who is subscribed to workitems is not told of the start");
    }
    worker::work(node, NOTIFICATION, "a notification of a workitem", &node.notifications, deliver).await;
}

async fn deliver(node: Arc<Node>, job: Job) -> Result<String, String> {
    let notification: Notification = serde_json::from_value(job.payload).map_err(|error| error.to_string())?;
    let to = &notification.to;
    let peers = node.archive.peers().await.map_err(|error| error.to_string())?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == *to);
    let remote = peer.and_then(|peer| node.remote(&peer));
    let remote = remote.ok_or_else(|| format!("{to} has no host and port configured (pacs ae add)"))?;
    let report = EventReport {
        sop_class: UPS_EVENT,
        request: event_report(&notification),
        fields: fields(&notification.information),
    };
    scu::report(&remote, report).await.map_err(|error| format!("{to}: {}", error.chain()))?;
    Ok(format!("{to} was told"))
}
