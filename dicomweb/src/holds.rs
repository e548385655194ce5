//! `/api/holds`: legal holds. For administrators.

use crate::{auth::Caller, error::WebError, retention::Reason, web::Web};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use pacs_core::Uid;
use serde_json::{Value, json};
use storage::{Hold, Holding};

/// Holds in one answer.
const AT_ONCE: u32 = 500;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Those that were released too.
    #[serde(default)]
    all: bool,
    /// Holds of a lower number only: the last of the answer before.
    #[serde(default)]
    before: i64,
}

/// `GET`: holds, newest first.
pub async fn list(
    State(web): State<Web>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(wanted) =
        wanted.map_err(|_| WebError::bad_request("parameters are all (true, false) and before (a number)"))?;
    let holds = web.archive.holds(wanted.all, wanted.before, AT_ONCE).await?;
    Ok(Json(holds.iter().map(row).collect()))
}

/// What is to be held: a study, or the studies of a patient.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    study: Option<Uid>,
    patient_id: Option<String>,
    #[serde(default)]
    issuer: String,
    reason: String,
}

/// `POST`: 201 with the number of the new hold.
pub async fn add(
    State(web): State<Web>,
    caller: Caller,
    new: Result<Json<NewHold>, JsonRejection>,
) -> Result<Response, WebError> {
    let usage = || WebError::bad_request("send {\"study\": UID or \"patient_id\": …, \"issuer\": …, \"reason\": …}");
    let Json(new) = new.map_err(|_| usage())?;
    let of = match (new.study, new.patient_id) {
        (Some(study), None) if new.issuer.is_empty() => Holding::Study(study),
        (None, Some(id)) => Holding::Patient { id, issuer: new.issuer },
        _ => return Err(usage()),
    };
    let number = web.archive.hold(&caller.principal.name, &caller.address, &of, &new.reason).await?;
    Ok((StatusCode::CREATED, Json(json!({ "number": number }))).into_response())
}

/// `POST …/release`: ends a hold.
pub async fn release(
    State(web): State<Web>,
    caller: Caller,
    Path(number): Path<i64>,
    reason: Result<Json<Reason>, JsonRejection>,
) -> Result<StatusCode, WebError> {
    let Json(Reason { reason }) = reason.map_err(|_| WebError::bad_request("send {\"reason\": …}"))?;
    web.archive.release_hold(&caller.principal.name, &caller.address, number, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn row(hold: &Hold) -> Value {
    let (study, patient) = match &hold.of {
        Holding::Study(uid) => (Some(uid), None),
        Holding::Patient { id, issuer } => (None, Some((id, issuer))),
    };
    json!({
        "number": hold.number,
        "study": study,
        "patient_id": patient.map(|(id, _)| id),
        "issuer": patient.map(|(_, issuer)| issuer),
        "held_at": hold.held_at,
        "held_by": hold.held_by,
        "reason": hold.reason,
        "released_at": (hold.released_at > 0).then_some(hold.released_at),
        "released_by": hold.released_by,
        "release_reason": hold.release_reason,
    })
}
