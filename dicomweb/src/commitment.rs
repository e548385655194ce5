//! The Storage Commitment Service of DICOMweb (PS3.18 Chapter 13): whether what a client stored is here, and as it came.
//!
//! The answer is made anew for each request, for it is to be true when it is made. It can be fetched for a day, as long
//! as this process lives; who finds it gone asks again.

use crate::{
    auth::Caller,
    cache::Cache,
    error::{WebError, chain},
    media_type::MediaType,
    model::Model,
    respond::insert,
    web::Web,
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use pacs_core::{Attributes, Failure, Uid, attributes::key, tags};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};
use storage::{
    AuditAction,
    commitment::{SopReference, Uncommitted},
};
use tokio::sync::watch;

/// A client that waits is told at once what is found so soon.
const PATIENCE: Duration = Duration::from_secs(3);
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Of all transactions together.
const MOST_REFERENCES: usize = 1 << 20;
/// Of one.
const MOST_OF_ONE: usize = 100_000;

/// Results by transaction and who asked, with how many instances they are of.
pub type Transactions = Cache<(Uid, String), (usize, watch::Receiver<Outcome>)>;

/// What was found; until then nothing.
type Outcome = Option<Result<Map<String, Value>, Failure>>;

pub fn transactions() -> Transactions {
    Cache::weighing(MOST_REFERENCES, KEPT, |(references, _)| *references + 1)
}

/// `POST`: asks; a request for the same transaction takes the place of the one before.
pub async fn request(
    State(web): State<Web>,
    caller: Caller,
    Path(transaction): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, WebError> {
    let transaction = uid(&transaction)?;
    let answer = Model::wanted(&headers)?;
    let references = references(&headers, &body)?;
    web.audit(&caller, AuditAction::Query, None, format!("storage commitment {transaction}")).await;
    let busy = |_| WebError::Refused(Failure::Unavailable, "too many commitments are asked for at a time".into());
    let place = Arc::clone(&web.commitments_waiting).try_acquire_owned().map_err(busy)?;
    let (found, outcome) = watch::channel(None);
    let key = (transaction.clone(), caller.principal.name.clone());
    web.commitments.put(key, (references.len(), outcome.clone()));
    let (archive, of) = (web.clone(), transaction.clone());
    tokio::spawn(async move {
        let _place = place;
        let Ok(_turn) = archive.judges.acquire().await else { return };
        let judged = archive.archive.commit(&references).await;
        let told = judged.map(|judged| report(&of, &references, &judged));
        found.send_replace(Some(told.map_err(|error| {
            tracing::error!(error = chain(&error), transaction = %of, "storage commitment failed");
            error.failure()
        })));
    });
    _ = tokio::time::timeout(PATIENCE, outcome.clone().wait_for(Option::is_some)).await;
    let mut response = told(&transaction, answer, &outcome)?;
    let location = format!("{}/commitment-requests/{transaction}", web.base(&uri, &headers)?);
    insert(response.headers_mut(), header::CONTENT_LOCATION, &location);
    Ok(response)
}

/// `GET`: what was found.
pub async fn result(
    State(web): State<Web>,
    caller: Caller,
    Path(transaction): Path<String>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let transaction = uid(&transaction)?;
    let answer = Model::wanted(&headers)?;
    let key = (transaction.clone(), caller.principal.name.clone());
    let unknown =
        || WebError::not_found(format!("no commitment was asked for as {transaction}, or long ago: ask again"));
    let (_, outcome) = web.commitments.get(&key).ok_or_else(unknown)?;
    told(&transaction, answer, &outcome)
}

fn uid(text: &str) -> Result<Uid, WebError> {
    text.parse().map_err(|error| WebError::bad_request(format!("transaction {text:?}: {error}")))
}

fn told(transaction: &Uid, answer: Model, outcome: &watch::Receiver<Outcome>) -> Result<Response, WebError> {
    match &*outcome.borrow() {
        // Whoever looked into it is gone.
        None if outcome.has_changed().is_err() => {
            Err(WebError::Refused(Failure::Internal, format!("{transaction} was not looked into")))
        }
        None => Ok((StatusCode::ACCEPTED, [(header::RETRY_AFTER, "5")]).into_response()),
        Some(Ok(report)) => Ok(answer.answer(StatusCode::OK, report.clone())),
        Some(Err(failure)) => {
            let text = format!("{transaction} could not be looked into; ask again");
            Err(WebError::Refused(*failure, text))
        }
    }
}

/// The Referenced SOP Sequence of a request (PS3.3 C.14.1).
fn references(headers: &HeaderMap, body: &[u8]) -> Result<Vec<SopReference>, WebError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let model = MediaType::parse(content_type).and_then(|media| Model::of(&media));
    let unsupported = || {
        WebError::Refused(Failure::UnsupportedMediaType, "send application/dicom+json or application/dicom+xml".into())
    };
    let items = model.ok_or_else(unsupported)?.read(body)?;
    let [item] = items.as_slice() else { return Err(WebError::bad_request("send one data set")) };
    let item = Value::Object(item.clone());
    let named = |item: Attributes<'_>| {
        let sop_class = item.text(tags::REFERENCED_SOP_CLASS_UID)?.to_owned();
        Some((sop_class, item.text(tags::REFERENCED_SOP_INSTANCE_UID)?.parse().ok()?))
    };
    let all =
        Attributes::of(&item).map(|item| item.items(tags::REFERENCED_SOP_SEQUENCE).map(named).collect::<Vec<_>>());
    let all: Option<Vec<_>> = all.unwrap_or_default().into_iter().collect();
    let wanted = "ReferencedSOPSequence holds 1 to 100000 items of ReferencedSOPClassUID and ReferencedSOPInstanceUID";
    all.filter(|all| (1..=MOST_OF_ONE).contains(&all.len())).ok_or_else(|| WebError::bad_request(wanted))
}

fn report(transaction: &Uid, references: &[SopReference], judged: &[Result<(), Uncommitted>]) -> Map<String, Value> {
    let (mut committed, mut failed) = (Vec::new(), Vec::new());
    for ((sop_class, sop_instance), judged) in references.iter().zip(judged) {
        let mut item = Map::from_iter([
            element(tags::REFERENCED_SOP_CLASS_UID, "UI", json!([sop_class])),
            element(tags::REFERENCED_SOP_INSTANCE_UID, "UI", json!([sop_instance])),
        ]);
        match judged {
            Ok(()) => committed.push(Value::Object(item)),
            Err(why) => {
                item.extend([element(tags::FAILURE_REASON, "US", json!([why.reason()]))]);
                failed.push(Value::Object(item));
            }
        }
    }
    let sequences = [(tags::REFERENCED_SOP_SEQUENCE, committed), (tags::FAILED_SOP_SEQUENCE, failed)];
    let filled = sequences.into_iter().filter(|(_, items)| !items.is_empty());
    let sequences = filled.map(|(tag, items)| element(tag, "SQ", Value::Array(items)));
    [element(tags::TRANSACTION_UID, "UI", json!([transaction]))].into_iter().chain(sequences).collect()
}

fn element(tag: pacs_core::Tag, vr: &str, values: Value) -> (String, Value) {
    (key(tag), json!({ "vr": vr, "Value": values }))
}
