//! `/api/retention`: what has expired and is to be deleted, and what was. For administrators.

use crate::{auth::Caller, error::WebError, resource::Resource, web::Web};
use axum::{
    Json,
    extract::{
        Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
};
use serde_json::{Value, json};
use storage::{Cursor, PatientClass};

/// Studies that one request deletes at most, unless it names fewer.
const MOST: usize = 1000;
/// Deletions in one answer.
const AT_ONCE: u32 = 1000;

/// Why somebody does it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub reason: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Also what expires within so many days.
    #[serde(default)]
    within_days: u16,
    /// `next` of the page before.
    #[serde(default)]
    from: String,
}

/// `GET`: a page of the report, and where the next begins; a page may be empty and not the last.
pub async fn report(
    State(web): State<Web>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(wanted) =
        wanted.map_err(|_| WebError::bad_request("parameters are within_days (to 65535) and from (next of a page)"))?;
    let from = if wanted.from.is_empty() { Cursor::default() } else { wanted.from.parse()? };
    let page = web.archive.retention_report(wanted.within_days, &from).await?;
    Ok(Json(json!({ "studies": page.studies, "next": page.next.map(|next| next.to_string()) })))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Only count.
    #[serde(default)]
    dry_run: bool,
    limit: Option<usize>,
}

/// `DELETE /expired`: deletes studies whose term is over; to be repeated until it deletes none.
pub async fn delete_expired(
    State(web): State<Web>,
    caller: Caller,
    order: Result<Query<Order>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(order) = order
        .map_err(|_| WebError::bad_request("parameters are dry_run (true, false) and limit (studies, up to 1000)"))?;
    let most = order.limit.unwrap_or(MOST).min(MOST);
    let done = match order.dry_run {
        true => web.archive.count_expired(most).await?,
        false => web.archive.delete_expired(&caller.principal.name, &caller.address, most).await?,
    };
    Ok(Json(json!({
        "dry_run": order.dry_run,
        "run": done.run,
        "studies": done.studies,
        "instances": done.instances,
        "byte_len": done.byte_len,
        "held": done.held,
    })))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Of one run; 0: of all.
    #[serde(default)]
    run: i64,
    /// After this number.
    #[serde(default)]
    after: i64,
}

/// `GET /deletions`: what was deleted because its term was over.
pub async fn deletions(
    State(web): State<Web>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(which) = which.map_err(|_| WebError::bad_request("parameters are run and after, both numbers"))?;
    Ok(Json(json!(web.archive.deletions(which.run, which.after, AT_ONCE).await?)))
}

/// `DELETE /studies/{study}?reason=…`: deletes a study before its term is over. 409 if it is on legal hold.
pub async fn delete_early(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    reason: Result<Query<Reason>, QueryRejection>,
) -> Result<StatusCode, WebError> {
    let Query(Reason { reason }) = reason.map_err(|_| WebError::bad_request("say why: ?reason=…"))?;
    web.archive.delete_early(&caller.principal.name, &caller.address, resource.study()?, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    patient_class: PatientClass,
}

/// `PUT /studies/{study}/patient-class`: what the patient was to the house.
pub async fn set_patient_class(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    class: Result<Json<Class>, JsonRejection>,
) -> Result<StatusCode, WebError> {
    let usage = |_| WebError::bad_request("send {\"patient_class\": \"inpatient\" or \"outpatient\"}");
    let Json(Class { patient_class }) = class.map_err(usage)?;
    let study = resource.study()?;
    web.archive.set_patient_class(&caller.principal.name, &caller.address, study, patient_class).await?;
    Ok(StatusCode::NO_CONTENT)
}
