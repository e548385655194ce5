//! `/api/aes`: the application entities that may call us and that we call. For administrators.

use crate::{auth::Caller, error::WebError, web::Web};
use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
};
use futures::future::BoxFuture;
use pacs_core::AeTitle;
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Instant};
use storage::{AuditAction, AuditRecord, Peer};

/// Sends a C-ECHO to a peer; the error is for an administrator to read. Given by the program: DIMSE is spoken elsewhere.
pub type Echo = Arc<dyn Fn(Peer) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// `GET`: all of them, by AE title.
pub async fn list(State(web): State<Web>) -> Result<Json<Vec<Peer>>, WebError> {
    Ok(Json(web.archive.peers().await?))
}

/// `PUT /{ae}`: adds or replaces one. What is left out is denied where it is a right, else any or none.
pub async fn put(
    State(web): State<Web>,
    caller: Caller,
    Path(ae_title): Path<String>,
    settings: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<Peer>, WebError> {
    let ae_title = title(&ae_title)?;
    let Json(mut settings) = settings.map_err(|_| WebError::bad_request("the body is no JSON object"))?;
    settings.insert("ae_title".to_owned(), json!(ae_title));
    let peer: Peer =
        serde_json::from_value(settings.into()).map_err(|error| WebError::bad_request(error.to_string()))?;
    web.archive.put_peer(&peer).await?;
    record(&web, &caller, format!("AE {ae_title} set")).await?;
    Ok(Json(peer))
}

/// `DELETE /{ae}`: shuts one out.
pub async fn remove(
    State(web): State<Web>,
    caller: Caller,
    Path(ae_title): Path<String>,
) -> Result<StatusCode, WebError> {
    let ae_title = title(&ae_title)?;
    web.archive.remove_peer(&ae_title).await?;
    record(&web, &caller, format!("AE {ae_title} removed")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /{ae}/echo`: calls it with a C-ECHO, and says how that went.
pub async fn echo(
    State(web): State<Web>,
    caller: Caller,
    Path(ae_title): Path<String>,
) -> Result<Json<Value>, WebError> {
    let ae_title = title(&ae_title)?;
    let peers = web.archive.peers().await?;
    let peer = peers.into_iter().find(|peer| peer.ae_title == ae_title);
    let peer = peer.ok_or_else(|| WebError::not_found(format!("AE {ae_title} is not configured")))?;
    if peer.host.is_none() || peer.port.is_none() {
        return Err(WebError::bad_request(format!("AE {ae_title} has no host and port to be called at")));
    }
    record(&web, &caller, format!("AE {ae_title} called with C-ECHO")).await?;
    let begun = Instant::now();
    let outcome = (web.echo)(peer).await;
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(json!({ "answered": outcome.is_ok(), "milliseconds": milliseconds, "reason": outcome.err() })))
}

fn title(text: &str) -> Result<AeTitle, WebError> {
    text.parse().map_err(|error| WebError::bad_request(format!("{text:?}: {error}")))
}

/// Every change counts, so unlike reads none is left out of the audit.
async fn record(web: &Web, caller: &Caller, detail: String) -> Result<(), WebError> {
    let (actor, origin) = (caller.principal.name.clone(), caller.address.clone());
    let action = AuditAction::Configuration;
    Ok(web.archive.audit(&AuditRecord { at: 0, action, actor, origin, success: true, study: None, detail }).await?)
}
