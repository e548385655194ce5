//! What modalities report of procedure steps is told to other application entities by rule: again and again until it is heard,
//! and nothing before what came before it.

use crate::{scp::identifier::fields, scu, session::Node, worker};
use std::sync::Arc;
use storage::{
    Job,
    routing::{STEP_MESSAGE, StepMessage},
};

/// Tells until the node stops.
pub(crate) async fn work(node: &Arc<Node>) {
    worker::work(node, STEP_MESSAGE, "a message about a procedure step", &node.steps, tell).await;
}

async fn tell(node: Arc<Node>, job: Job) -> Result<String, String> {
    let message: StepMessage = serde_json::from_value(job.payload).map_err(|error| error.to_string())?;
    let to = &message.to;
    if message.is_early(&node.archive, &job.key).await.map_err(|error| error.to_string())? {
        return Err(format!("{to} has not heard yet what came before it"));
    }
    let peers = node.archive.peers().await.map_err(|error| error.to_string())?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == *to);
    let remote = peer.and_then(|peer| node.remote(&peer));
    let remote = remote.ok_or_else(|| format!("{to} has no host and port configured (pacs ae add)"))?;
    let told = scu::tell_step(&remote, &message.sop_instance, message.begins, fields(&message.item)).await;
    told.map_err(|error| format!("{to}: {}", error.chain()))?;
    Ok(format!("{to} was told"))
}
