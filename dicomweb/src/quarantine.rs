//! `/api/quarantine`: what unknown callers stored, and what becomes of it. For administrators.

use crate::{auth::Caller, error::WebError, web::Web};
use axum::{
    Json,
    extract::{Query, State, rejection::JsonRejection, rejection::QueryRejection},
};
use futures::TryStreamExt;
use pacs_core::Uid;
use serde::Deserialize;
use serde_json::{Value, json};
use std::pin::pin;
use storage::{AuditAction, Quarantined, Selection};

/// A listing gives at most this many; it goes on after the last id.
const LISTED: u32 = 1000;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    calling: Option<String>,
    study: Option<Uid>,
    #[serde(default)]
    after: i64,
}

/// `GET`: what is in quarantine, oldest first; `calling` and `study` select, `after` goes on behind an id.
pub async fn list(
    State(web): State<Web>,
    caller: Caller,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Vec<Value>>, WebError> {
    let Query(asked) = asked.map_err(|error| WebError::bad_request(error.body_text()))?;
    let selected = Selection { id: None, calling: asked.calling, study: asked.study };
    web.audit(&caller, AuditAction::Query, selected.study.as_ref(), "quarantine".to_owned()).await;
    let kept = web.archive.quarantined(&selected, asked.after, LISTED).await?;
    Ok(Json(kept.iter().map(Quarantined::to_json).collect()))
}

/// `POST /release`: takes what is selected into the archive; tells what stays, and why.
pub async fn release(
    State(web): State<Web>,
    caller: Caller,
    selected: Result<Json<Selection>, JsonRejection>,
) -> Result<Json<Value>, WebError> {
    let (mut released, mut left) = (0, Vec::new());
    let selected = chosen(selected)?;
    let mut all = pin!(web.archive.quarantine(selected));
    while let Some(kept) = all.try_next().await? {
        match web.archive.release(&caller.principal.name, &caller.address, &kept).await {
            Ok(_) => released += 1,
            Err(error) => left.push(json!({ "instance": kept.to_json(), "why": error.to_string() })),
        }
    }
    Ok(Json(json!({ "released": released, "left": left })))
}

/// `POST /discard`: throws what is selected away.
pub async fn discard(
    State(web): State<Web>,
    caller: Caller,
    selected: Result<Json<Selection>, JsonRejection>,
) -> Result<Json<Value>, WebError> {
    let mut discarded = 0;
    let selected = chosen(selected)?;
    let mut all = pin!(web.archive.quarantine(selected));
    while let Some(kept) = all.try_next().await? {
        web.archive.discard_quarantined(&caller.principal.name, &caller.address, &kept).await?;
        discarded += 1;
    }
    Ok(Json(json!({ "discarded": discarded })))
}

/// An empty selection would be everything, and is more likely a mistake.
fn chosen(selected: Result<Json<Selection>, JsonRejection>) -> Result<Selection, WebError> {
    let Json(selected) = selected.map_err(|error| WebError::bad_request(error.body_text()))?;
    if selected == Selection::default() {
        return Err(WebError::bad_request("say which by id, calling or study"));
    }
    Ok(selected)
}
