//! `/api/worklist` and `/api/performed-steps`: orders and their scheduled procedure steps, and what was performed. For
//! administrators, and for what brings orders in.

use crate::{auth::Caller, error::WebError, web::Web};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
};
use pacs_core::{Item, Uid, query::ItemQuery, tags, worklist, worklist::StepStatus};
use serde_json::{Value, json};
use storage::{AuditAction, PerformedStep, ScheduledStep};

/// Steps in one answer, unless fewer are asked for.
const AT_ONCE: usize = 1000;

type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;
type Body = Result<Json<Value>, JsonRejection>;

/// `GET`: steps by their start, narrowed by attributes as in a search of DICOMweb; those that are over only if
/// `ScheduledProcedureStepSequence.ScheduledProcedureStepStatus` is asked for.
pub async fn list(State(web): State<Web>, caller: Caller, asked: Parameters) -> Result<Json<Value>, WebError> {
    let Query(mut parameters) = asked.map_err(|error| WebError::bad_request(error.body_text()))?;
    let mut limit = AT_ONCE;
    if let Some((_, value)) = parameters.extract_if(.., |(name, _)| name == "limit").last() {
        let wanted: usize = value.parse().map_err(|_| WebError::bad_request("limit is not a whole number"))?;
        limit = wanted.min(AT_ONCE);
    }
    let query = ItemQuery::from_parameters(&parameters)?;
    web.audit(&caller, AuditAction::Query, None, format!("worklist by {}", query.describe())).await;
    let steps = if limit == 0 { Vec::new() } else { web.archive.find_steps(&query, None, limit).await? };
    Ok(Json(steps.into_iter().map(row).collect()))
}

pub async fn one(State(web): State<Web>, caller: Caller, Path(number): Path<i64>) -> Result<Json<Value>, WebError> {
    let step = web.archive.scheduled_step(number).await?;
    let detail = format!("scheduled procedure step {}", step.step_id);
    web.audit(&caller, AuditAction::Read, Some(&step.study), detail).await;
    Ok(Json(row(step)))
}

/// `POST`: 201 with the steps of the order, which is a worklist item in the DICOM JSON model.
pub async fn add(State(web): State<Web>, caller: Caller, order: Body) -> Result<(StatusCode, Json<Value>), WebError> {
    let steps = web.archive.put_order(&caller.principal.name, &caller.address, &item(order)?).await?;
    Ok((StatusCode::CREATED, Json(steps.into_iter().map(row).collect())))
}

/// `PUT`: the step is as this item says from now on; study and Scheduled Procedure Step ID stay.
pub async fn replace(
    State(web): State<Web>,
    caller: Caller,
    Path(number): Path<i64>,
    order: Body,
) -> Result<Json<Value>, WebError> {
    let known = web.archive.scheduled_step(number).await?;
    let mut item = item(order)?;
    if worklist::steps(&item).is_ok_and(|steps| steps.len() > 1) {
        return Err(WebError::bad_request("send one scheduled procedure step"));
    }
    item.put_text(tags::STUDY_INSTANCE_UID, known.study.as_str());
    worklist::change_step(&mut item, |step| step.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, &known.step_id));
    let steps = web.archive.put_order(&caller.principal.name, &caller.address, &item).await?;
    Ok(Json(steps.into_iter().map(row).collect()))
}

pub async fn remove(State(web): State<Web>, caller: Caller, Path(number): Path<i64>) -> Result<StatusCode, WebError> {
    web.archive.remove_step(&caller.principal.name, &caller.address, number).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStatus {
    status: StepStatus,
}

/// `PUT …/status`: the patient has arrived, the order is cancelled.
pub async fn set_status(
    State(web): State<Web>,
    caller: Caller,
    Path(number): Path<i64>,
    new: Result<Json<NewStatus>, JsonRejection>,
) -> Result<Json<Value>, WebError> {
    let known = StepStatus::ALL.map(StepStatus::as_str).join(", ");
    let Json(new) = new.map_err(|_| WebError::bad_request(format!("send {{\"status\": one of {known}}}")))?;
    let (actor, origin) = (&caller.principal.name, &caller.address);
    Ok(Json(row(web.archive.set_step_status(actor, origin, number, new.status).await?)))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerformedFor {
    study: Option<Uid>,
    limit: Option<u32>,
}

/// What modalities reported of procedure steps, the newest first.
pub async fn performed(
    State(web): State<Web>,
    caller: Caller,
    wanted: Result<Query<PerformedFor>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(wanted) = wanted.map_err(|_| WebError::bad_request("parameters are study (a UID) and limit"))?;
    let limit = wanted.limit.unwrap_or(AT_ONCE as u32).min(AT_ONCE as u32);
    web.audit(&caller, AuditAction::Query, wanted.study.as_ref(), "performed procedure steps".to_owned()).await;
    let steps = web.archive.performed_steps(wanted.study.as_ref(), limit).await?;
    Ok(Json(steps.into_iter().map(performed_row).collect()))
}

pub async fn performed_one(
    State(web): State<Web>,
    caller: Caller,
    Path(step): Path<Uid>,
) -> Result<Json<Value>, WebError> {
    let step = web.archive.performed_step(&step).await?;
    let detail = format!("performed procedure step {}", step.sop_instance);
    web.audit(&caller, AuditAction::Read, Some(&step.study), detail).await;
    Ok(Json(performed_row(step)))
}

fn performed_row(step: PerformedStep) -> Value {
    json!({
        "sop_instance": step.sop_instance,
        "study": step.study,
        "status": step.status,
        "performed_by": step.performed_by,
        "created_at": step.created_at,
        "changed_at": step.changed_at,
        "item": step.item,
    })
}

fn item(body: Body) -> Result<Item, WebError> {
    let Json(value) = body.map_err(|error| WebError::bad_request(error.body_text()))?;
    Item::from_json(value).map_err(|error| WebError::bad_request(error.to_string()))
}

fn row(step: ScheduledStep) -> Value {
    json!({
        "number": step.number,
        "study": step.study,
        "step_id": step.step_id,
        "status": step.status,
        "changed_at": step.changed_at,
        "item": step.item,
    })
}
