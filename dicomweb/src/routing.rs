//! `/api/routes`, `/api/coercions`: what is sent on, and what is corrected on receipt, by rule. For administrators.

use crate::{auth::Caller, error::WebError, web::Web};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
};
use pacs_core::Uid;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use storage::{
    AuditAction, AuditRecord,
    routing::{Backlog, CoercionRule, Destination, ForwardState, Rule, StepRule},
};

const MOST_LISTED: u32 = 1000;

/// `GET`: rules of both kinds, destinations, how much waits, went and failed, and the last errors.
pub async fn list(State(web): State<Web>) -> Result<Json<Value>, WebError> {
    let (rules, destinations) = (web.archive.rules().await?, web.archive.destinations().await?);
    let (backlog, errors) = (web.archive.backlog().await?, web.archive.forward_errors().await?);
    let shown = |destination: &Destination| {
        let own: Vec<&Backlog> = backlog.iter().filter(|one| one.destination == destination.name).collect();
        let errors: Vec<_> = errors.iter().filter(|(name, ..)| *name == destination.name).collect();
        json!({
            "destination": destination.shown(),
            "paused": destination.is_paused,
            "queue": own,
            "errors": errors.iter().map(|(_, error, count)| json!({ "error": error, "instances": count })).collect::<Value>(),
        })
    };
    let (destinations, steps) = (destinations.iter().map(shown).collect::<Value>(), web.archive.step_rules().await?);
    Ok(Json(json!({ "rules": rules, "steps": steps, "destinations": destinations })))
}

/// Each change by itself, where reads are told of once in a while.
async fn note(web: &Web, caller: &Caller, study: Option<&Uid>, detail: String) -> Result<(), WebError> {
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Configuration,
        actor: caller.principal.name.clone(),
        origin: caller.address.clone(),
        success: true,
        study: study.map(Uid::to_string),
        detail,
    };
    Ok(web.archive.audit(&record).await?)
}

type Body = Result<Json<Value>, JsonRejection>;

/// The thing of a name: the name is that of the path.
fn named<T: DeserializeOwned>(name: String, body: Body) -> Result<T, WebError> {
    let Json(mut body) = body.map_err(|error| WebError::bad_request(error.body_text()))?;
    match &mut body {
        Value::Object(fields) => fields.insert("name".to_owned(), name.into()),
        _ => return Err(WebError::bad_request("send an object")),
    };
    serde_json::from_value(body).map_err(|error| WebError::bad_request(error.to_string()))
}

/// `PUT`: sets a rule; it speaks of what arrives from now on.
pub async fn put_rule(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, WebError> {
    let rule: Rule = named(name, body)?;
    web.archive.put_rule(&rule).await?;
    note(&web, &caller, None, format!("route {} set", rule.name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE`: what the rule has queued stays queued.
pub async fn remove_rule(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, WebError> {
    web.archive.remove_rule(&name).await?;
    note(&web, &caller, None, format!("route {name} removed")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /steps/{name}`: sets a rule by which messages about procedure steps are told on, from now on.
pub async fn put_step_rule(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, WebError> {
    let rule: StepRule = named(name, body)?;
    web.archive.put_step_rule(&rule).await?;
    note(&web, &caller, None, format!("route of steps {} set", rule.name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /steps/{name}`: what is on its way stays on its way.
pub async fn remove_step_rule(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, WebError> {
    web.archive.remove_step_rule(&name).await?;
    note(&web, &caller, None, format!("route of steps {name} removed")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/coercions`: rules by which what arrives is corrected.
pub async fn coercions(State(web): State<Web>) -> Result<Json<Value>, WebError> {
    Ok(Json(json!(web.archive.coercions().await?)))
}

/// `PUT /api/coercions/{name}`: it speaks of what arrives from now on.
pub async fn put_coercion(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, WebError> {
    let rule: CoercionRule = named(name, body)?;
    web.archive.put_coercion(&rule).await?;
    note(&web, &caller, None, format!("coercion {} set", rule.name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/coercions/{name}`: what it has corrected stays corrected.
pub async fn remove_coercion(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, WebError> {
    web.archive.remove_coercion(&name).await?;
    note(&web, &caller, None, format!("coercion {name} removed")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT`: adds or changes a destination.
pub async fn put_destination(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body,
) -> Result<StatusCode, WebError> {
    let destination: Destination = named(name, body)?;
    web.archive.put_destination(&destination).await?;
    note(&web, &caller, None, format!("destination {} set", destination.name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE`: with its queue; refused while a rule sends there.
pub async fn remove_destination(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, WebError> {
    web.archive.remove_destination(&name).await?;
    note(&web, &caller, None, format!("destination {name} removed")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST …/pause`: nothing is sent there for now.
pub async fn pause(State(web): State<Web>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, WebError> {
    web.archive.pause_destination(&name, true).await?;
    note(&web, &caller, None, format!("destination {name} paused")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST …/resume`.
pub async fn resume(State(web): State<Web>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode, WebError> {
    web.archive.pause_destination(&name, false).await?;
    note(&web, &caller, None, format!("destination {name} goes on")).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retried {
    /// Also what was refused.
    #[serde(default)]
    refused: bool,
}

/// `POST …/retry`: what failed is tried again, and what waits at once.
pub async fn retry(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    retried: Result<Query<Retried>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(retried) = retried.map_err(|_| WebError::bad_request("the parameter is refused (true, false)"))?;
    let instances = web.archive.retry_forwards(Some(&name), retried.refused).await?;
    let detail = format!("{instances} instances are tried again at {name}");
    note(&web, &caller, None, detail).await?;
    Ok(Json(json!({ "instances": instances })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// Only what failed or was refused.
    #[serde(default)]
    failed: bool,
}

/// `DELETE …/queue`: takes what was not sent out of the queue.
pub async fn clear(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    dropped: Result<Query<Dropped>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(dropped) = dropped.map_err(|_| WebError::bad_request("the parameter is failed (true, false)"))?;
    let instances = web.archive.drop_forwards(&name, dropped.failed).await?;
    let detail = format!("{instances} instances taken out of the queue of {name}");
    note(&web, &caller, None, detail).await?;
    Ok(Json(json!({ "instances": instances })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToSend {
    study: Uid,
    series: Option<Uid>,
}

/// `POST …/send`: queues what is held of a study or series.
pub async fn send(
    State(web): State<Web>,
    caller: Caller,
    Path(name): Path<String>,
    to_send: Result<Json<ToSend>, JsonRejection>,
) -> Result<Json<Value>, WebError> {
    let Json(ToSend { study, series }) = to_send.map_err(|error| WebError::bad_request(error.body_text()))?;
    let instances = web.archive.send(&name, &study, series.as_ref()).await?;
    let detail = format!("{instances} instances queued for {name}");
    note(&web, &caller, Some(&study), detail).await?;
    Ok(Json(json!({ "instances": instances })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    destination: Option<String>,
    state: Option<ForwardState>,
    limit: Option<u32>,
}

/// `GET …/queue`: instances in the queue, and that were: the last changed first.
pub async fn queue(
    State(web): State<Web>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let usage = "parameters are destination, state (due, leased, sent, uncommitted, asked, committed, failed, refused) and limit";
    let Query(wanted) = wanted.map_err(|_| WebError::bad_request(usage))?;
    let limit = wanted.limit.unwrap_or(MOST_LISTED).min(MOST_LISTED);
    let found = web.archive.forwards(wanted.destination.as_deref(), wanted.state, limit).await?;
    Ok(Json(json!(found)))
}
