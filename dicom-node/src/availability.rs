//! Instance Availability Notification as user (PS3.4 Annex R): who is configured to hear of it is told of each series that is
//! complete, again and again until it has heard.

use crate::{scp::identifier::Fields, scu, session::Node, worker};
use pacs_core::{AeTitle, Item, Uid, mpps::MPPS, tags};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use storage::{ArchiveError, Event, EventKind, Job, PerformedStep};
use tokio::{sync::Notify, time::sleep};

/// The kind of its jobs, and its name as a reader of events.
const KIND: &str = "availability";
const EVENTS_AT_ONCE: u32 = 256;
/// While nobody wants to hear of anything: then events cost nothing, and who comes hears from about then on.
const NOBODY: Duration = Duration::from_secs(10);
/// After a failure of the archive.
const PAUSE: Duration = Duration::from_secs(5);
/// Performed steps of a study that are looked through for the series.
const STEPS: u32 = 1000;
/// Instances in one notification; a larger series is told of in several.
const INSTANCES: usize = 10_000;

/// What a job remembers.
#[derive(Debug, Serialize, Deserialize)]
struct Complete {
    to: AeTitle,
    study: Uid,
    series: Uid,
}

/// Makes a job of each series that becomes complete, for each receiver, and does them, until the node stops.
pub(crate) async fn work(node: &Arc<Node>) {
    let queued = Notify::new();
    let answer = |node: Arc<Node>, job: Job| async move { notify(&node, job).await };
    tokio::join!(read(node, &queued), worker::work(node, KIND, "an availability notification", &queued, answer));
}

async fn read(node: &Arc<Node>, queued: &Notify) {
    let mut newest = node.archive.newest_event();
    while !node.stop.is_cancelled() {
        let step = async {
            match queue(node).await {
                Ok(Some(0)) => drop(newest.changed().await),
                Ok(Some(_)) => queued.notify_one(),
                Ok(None) => sleep(NOBODY).await,
                Err(error) => {
                    tracing::warn!(%error, "series that are complete cannot be read");
                    sleep(PAUSE).await;
                }
            }
        };
        node.stop.run_until_cancelled(step).await;
    }
}

/// Goes on in the events; returns how many there were, `None` if nobody wants to know.
async fn queue(node: &Node) -> Result<Option<usize>, ArchiveError> {
    let archive = &node.archive;
    let (peers, position) = (archive.peers().await?, archive.consumer_position(KIND).await?);
    let receivers: Vec<_> = peers.into_iter().filter(|peer| peer.workflow.wants_availability).collect();
    if receivers.is_empty() {
        let newest = *archive.newest_event().borrow();
        if newest > position {
            archive.acknowledge(KIND, newest).await?;
        }
        return Ok(None);
    }
    let events = archive.events(position, EVENTS_AT_ONCE).await?;
    let Some(last) = events.last() else { return Ok(Some(0)) };
    for event in events.iter().filter(|event| event.kind == EventKind::SeriesComplete) {
        for receiver in &receivers {
            queue_one(node, &receiver.ae_title, event).await?;
        }
    }
    archive.acknowledge(KIND, last.position).await?;
    Ok(Some(events.len()))
}

async fn queue_one(node: &Node, to: &AeTitle, event: &Event) -> Result<(), ArchiveError> {
    let Some(series) = event.series.clone() else { return Ok(()) };
    // The same event, read twice, is one job; a series that is complete again is told of again.
    let key = format!("{series} {} to {to}", event.position);
    let complete = Complete { to: to.clone(), study: event.study.clone(), series };
    let payload = serde_json::to_value(complete).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    node.archive.enqueue(KIND, &key, &payload).await.map(drop)
}

async fn notify(node: &Node, job: Job) -> Result<String, String> {
    let complete: Complete = serde_json::from_value(job.payload).map_err(|error| error.to_string())?;
    let to = &complete.to;
    let peers = node.archive.peers().await.map_err(|error| error.to_string())?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == *to);
    let remote = peer.and_then(|peer| node.remote(&peer));
    let remote = remote.ok_or_else(|| format!("{to} has no host and port configured (pacs ae add)"))?;
    let rows = instances(node, &complete).await.map_err(|error| error.to_string())?;
    if rows.is_empty() {
        return Ok("the series is gone".to_owned());
    }
    let steps = node.archive.performed_steps(Some(&complete.study), STEPS).await.map_err(|error| error.to_string())?;
    for part in rows.chunks(INSTANCES) {
        let fields = notification(&complete, part, &steps);
        let told = scu::notify_availability(&remote, Uid::from_uuid(rand::random()), fields).await;
        told.map_err(|error| format!("{to}: {}", error.chain()))?;
    }
    Ok(format!("{to} was told of {} instances", rows.len()))
}

/// Items of the Referenced SOP Sequence: what is in the series now.
async fn instances(node: &Node, complete: &Complete) -> Result<Vec<Item>, ArchiveError> {
    use pacs_core::query::{Level, Query};
    let query = Query::new(Level::Instance)
        .with(tags::STUDY_INSTANCE_UID, complete.study.as_str())
        .with(tags::SERIES_INSTANCE_UID, complete.series.as_str());
    let rows = node.archive.find(&query).await?;
    let item = |row: &storage::Row| {
        let value = |tag| row.values.get(&tag).map(String::as_str).unwrap_or_default();
        let availability = Some(value(tags::INSTANCE_AVAILABILITY)).filter(|text| !text.is_empty());
        let mut item = Item::default();
        item.put_text(tags::REFERENCED_SOP_CLASS_UID, value(tags::SOP_CLASS_UID));
        item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, value(tags::SOP_INSTANCE_UID));
        item.put_text(tags::INSTANCE_AVAILABILITY, availability.unwrap_or("ONLINE"));
        item.put_text(tags::RETRIEVE_AE_TITLE, node.config.ae_title.as_str());
        item
    };
    Ok(rows.iter().map(item).collect())
}

/// The attributes of a notification (PS3.4 Table R.3.2-1).
fn notification(complete: &Complete, instances: &[Item], steps: &[PerformedStep]) -> Fields {
    let mut series = Item::default();
    series.put_text(tags::SERIES_INSTANCE_UID, complete.series.as_str());
    series.put_items(tags::REFERENCED_SOP_SEQUENCE, instances.to_vec());
    let mut item = Item::default();
    let performed = steps.iter().filter(|step| is_performed_in(step, &complete.series)).map(reference).collect();
    item.put_items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, performed);
    item.put_text(tags::STUDY_INSTANCE_UID, complete.study.as_str());
    item.put_items(tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
    crate::scp::identifier::fields(&item)
}

fn is_performed_in(step: &PerformedStep, series: &Uid) -> bool {
    let performed = step.item.items(tags::PERFORMED_SERIES_SEQUENCE);
    performed.iter().any(|item| item.text(tags::SERIES_INSTANCE_UID) == series.as_str())
}

fn reference(step: &PerformedStep) -> Item {
    let mut item = Item::default();
    item.put_text(tags::REFERENCED_SOP_CLASS_UID, MPPS);
    item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, step.sop_instance.as_str());
    item.put_items(tags::PERFORMED_WORKITEM_CODE_SEQUENCE, Vec::new());
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scp::identifier::Field;

    #[test]
    fn a_notification_names_the_step_that_made_the_series() {
        let uid = |text: &str| text.parse::<Uid>().unwrap();
        let complete = Complete { to: "RIS".parse().unwrap(), study: uid("1.2"), series: uid("1.2.3") };
        let step = |sop_instance: &str, series: &str| {
            let (mut item, mut performed) = (Item::default(), Item::default());
            performed.put_text(tags::SERIES_INSTANCE_UID, series);
            item.put_items(tags::PERFORMED_SERIES_SEQUENCE, vec![performed]);
            PerformedStep {
                sop_instance: uid(sop_instance),
                study: uid("1.2"),
                status: "COMPLETED".into(),
                performed_by: "CT1".into(),
                item,
                created_at: 0,
                changed_at: 0,
            }
        };
        let steps = [step("1.9.1", "1.2.4"), step("1.9.2", "1.2.3")];
        let fields = notification(&complete, &[Item::default()], &steps);
        let Some(Field::Items(performed)) = fields.get(&tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE) else {
            panic!("no sequence")
        };
        let named = performed[0].get(&tags::REFERENCED_SOP_INSTANCE_UID);
        assert_eq!((performed.len(), named), (1, Some(&Field::Text(pacs_core::VR::UI, "1.9.2".into()))));
    }
}
