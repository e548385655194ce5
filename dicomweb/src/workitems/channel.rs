//! The channel by which a subscriber hears of events: a WebSocket that it opens (PS3.18 §11.13).

use super::Request;
use crate::{error::WebError, events::MAX_LIFE, web::Web};
use axum::{
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::Response,
};
use pacs_core::{AeTitle, attributes::key, tags, ups::UPS_PUSH};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use storage::{ArchiveError, AuditAction, Job, Notification, Stirrings, web_notification};
use tokio::time::timeout;

/// How long an event on its way belongs to one channel.
const LEASE: Duration = Duration::from_secs(60);
/// A subscriber that does not answer in so long has gone.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it is looked for nothing new.
const LOOK: Duration = Duration::from_millis(250);
/// A subscriber has nothing to say but that it lives.
const LONGEST: usize = 4096;

/// `GET /subscribers/{subscriber}`: events since the subscription, also those of while it was away, one a message, each in the
/// DICOM JSON model with the attributes of the command.
pub async fn open(request: Request, upgrade: WebSocketUpgrade) -> Result<Response, WebError> {
    let subscriber = request.subscriber()?;
    let web = request.web.clone();
    let busy = |_| WebError::Refused(pacs_core::Failure::Unavailable, "too many subscribers".into());
    let place = Arc::clone(&web.subscribers).try_acquire_owned().map_err(busy)?;
    web.audit(&request.caller, AuditAction::Query, None, format!("events for {subscriber}")).await;
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _place = place;
        // Whoever may no longer hear is not let in again.
        if let Ok(Err(error)) = timeout(MAX_LIFE, serve(&web, &subscriber, socket)).await {
            tracing::info!(%subscriber, %error, "a subscriber of workitems has gone");
        }
    }))
}

#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("it closed the channel")]
    Closed,
    #[error("it does not answer")]
    Silent,
    #[error(transparent)]
    Broken(#[from] axum::Error),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

async fn serve(web: &Web, subscriber: &AeTitle, mut socket: WebSocket) -> Result<(), Gone> {
    let mut stirrings = web.archive.stirrings();
    let worker = format!("web {:016x}", rand::random::<u64>());
    let kind = web_notification(subscriber);
    loop {
        stirrings.begin();
        match web.archive.claim(&kind, &worker, LEASE).await? {
            Some(job) => match told(&mut socket, &job).await {
                Ok(()) => web.archive.finish(&job, &format!("{subscriber} was told")).await?,
                Err(gone) => {
                    // At once for the next channel.
                    web.archive.fail(&job, &gone.to_string(), Some(Duration::ZERO)).await?;
                    return Err(gone);
                }
            },
            None => wait(&mut socket, &mut stirrings).await?,
        }
    }
}

/// Sends an event; done when the subscriber has answered what was sent behind it.
async fn told(socket: &mut WebSocket, job: &Job) -> Result<(), Gone> {
    let notification: Notification = match serde_json::from_value(job.payload.clone()) {
        Ok(notification) => notification,
        Err(error) => return Err(ArchiveError::Internal(error.to_string()).into()),
    };
    socket.send(Message::Text(event(&notification).to_string().into())).await?;
    let mark = job.id.as_bytes().to_vec();
    socket.send(Message::Ping(mark.clone().into())).await?;
    let answered = async {
        loop {
            match socket.recv().await {
                Some(Ok(Message::Pong(answer))) if answer[..] == mark[..] => return Ok(()),
                Some(Ok(Message::Close(_))) | None => return Err(Gone::Closed),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    };
    timeout(ANSWER, answered).await.map_err(|_| Gone::Silent)?
}

/// Until something happens here, or at the subscriber's.
async fn wait(socket: &mut WebSocket, stirrings: &mut Stirrings) -> Result<(), Gone> {
    tokio::select! {
        () = stirrings.rest(LOOK) => {}
        message = socket.recv() => match message {
            Some(Ok(Message::Close(_))) | None => return Err(Gone::Closed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
        },
    }
    Ok(socket.send(Message::Ping(Vec::new().into())).await?)
}

/// An event as a data set, the attributes of its N-EVENT-REPORT among it.
fn event(notification: &Notification) -> Value {
    let mut data_set = notification.information.clone().into_json();
    if let Some(attributes) = data_set.as_object_mut() {
        let command = [
            (tags::AFFECTED_SOP_CLASS_UID, json!({ "vr": "UI", "Value": [UPS_PUSH] })),
            (tags::AFFECTED_SOP_INSTANCE_UID, json!({ "vr": "UI", "Value": [notification.workitem] })),
            (tags::EVENT_TYPE_ID, json!({ "vr": "US", "Value": [notification.event_type_id] })),
        ];
        attributes.extend(command.map(|(tag, value)| (key(tag), value)));
    }
    data_set
}
