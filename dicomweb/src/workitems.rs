//! UPS-RS: the Worklist Service of DICOMweb (PS3.18 §11), on the same workitems as DIMSE.

mod channel;

pub use channel::open;

use crate::{
    asked::{Asked, Parameters},
    auth::Caller,
    error::WebError,
    respond::{insert, json_type},
    web::Web,
};
use axum::{
    body::Bytes,
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use pacs_core::{
    AeTitle, Item, Uid,
    query::ItemQuery,
    tags,
    ups::{State, UpsError, Warning},
};
use serde_json::Value;
use storage::{AuditAction, KeptWorkitem, Subscription, Way};

/// A request about workitems by somebody who may make it.
pub struct Request {
    web: Web,
    caller: Caller,
    /// The segments of the path that a route names, in its order.
    named: Vec<(String, String)>,
    parameters: Parameters,
    headers: HeaderMap,
    uri: Uri,
}

impl FromRequestParts<Web> for Request {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, WebError> {
        let caller = Caller::from_request_parts(parts, web).await?;
        let Path(named) = Path::<Vec<(String, String)>>::from_request_parts(parts, web)
            .await
            .map_err(|error| WebError::bad_request(error.body_text()))?;
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|_| WebError::bad_request("the query is not made of names and values"))?;
        let (headers, uri) = (parts.headers.clone(), parts.uri.clone());
        Ok(Self { web: web.clone(), caller, named, parameters, headers, uri })
    }
}

impl Request {
    fn named(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn workitem(&self) -> Result<Uid, WebError> {
        let text = self.named("workitem").unwrap_or_default();
        text.parse().map_err(|error| WebError::bad_request(format!("workitem {text:?}: {error}")))
    }

    fn subscriber(&self) -> Result<AeTitle, WebError> {
        let text = self.named("subscriber").unwrap_or_default();
        text.parse().map_err(|error| WebError::bad_request(format!("subscriber {text:?}: {error}")))
    }

    /// Who does it, for the record: the AE title that the request names, if any, beside the user.
    fn by(&self) -> String {
        match self.named("requester") {
            Some(requester) => format!("{requester} ({})", self.caller.principal.name),
            None => self.caller.principal.name.clone(),
        }
    }

    fn origin(&self) -> &str {
        &self.caller.address
    }

    /// A UID given as a parameter by one of these names, or as the whole query (`?1.2.3`).
    fn uid(&self, names: &[&str]) -> Result<Option<Uid>, WebError> {
        let is_named = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        let given = self.parameters.iter().find_map(|(name, value)| match value.as_str() {
            "" if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => Some(name),
            _ => is_named(name).then_some(value),
        });
        let parse = |text: &String| text.parse().map_err(|error| WebError::bad_request(format!("{text:?}: {error}")));
        given.map(parse).transpose()
    }

    /// Where a workitem is, as the client sees it.
    fn location(&self, workitem: &Uid) -> Result<String, WebError> {
        Ok(format!("{}/workitems/{workitem}", self.web.base(&self.uri, &self.headers)?))
    }
}

/// The one data set of a body: an array of one, or that one (PS3.18 §11.1.2).
fn item(headers: &HeaderMap, body: &Bytes) -> Result<Item, WebError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(essence, "application/dicom+json" | "application/json") {
        let text = "send application/dicom+json".to_owned();
        return Err(WebError::Refused(pacs_core::Failure::UnsupportedMediaType, text));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| WebError::bad_request(format!("the body is no JSON: {error}")))?;
    let data_set = match value {
        Value::Array(mut items) if items.len() == 1 => items.remove(0),
        Value::Array(_) => return Err(WebError::bad_request("send one data set")),
        value => value,
    };
    Item::from_json(data_set).map_err(|error| WebError::bad_request(error.to_string()))
}

fn answer(status: StatusCode, warning: Option<Warning>) -> Response {
    let mut response = status.into_response();
    if let Some(warning) = warning {
        insert(response.headers_mut(), header::WARNING, &format!("299 yinghai \"{warning}\""));
    }
    response
}

/// `POST /workitems`: 201 with its place (PS3.18 §11.4).
pub async fn create(request: Request, body: Bytes) -> Result<Response, WebError> {
    let mut item = item(&request.headers, &body)?;
    let inside = item.text(tags::SOP_INSTANCE_UID).parse().ok();
    let named = request.uid(&["AffectedSOPInstanceUID", "workitem"])?.or(inside);
    let sop_instance = named.unwrap_or_else(|| Uid::from_uuid(rand::random()));
    // Given by the resource, as a command gives them.
    item.remove(tags::SOP_INSTANCE_UID);
    item.remove(tags::SOP_CLASS_UID);
    let warning = request.web.archive.create_workitem(&request.by(), request.origin(), &sop_instance, item).await?;
    let mut response = answer(StatusCode::CREATED, warning);
    insert(response.headers_mut(), header::LOCATION, &request.location(&sop_instance)?);
    Ok(response)
}

/// `GET /workitems/{workitem}` (PS3.18 §11.5).
pub async fn retrieve(asked: Asked, request: Request) -> Result<Response, WebError> {
    let content_type = json_type(&asked.accepted())?;
    let workitem = request.web.archive.workitem(&request.workitem()?).await?;
    let study = workitem.item.text(tags::STUDY_INSTANCE_UID).parse().ok();
    asked.audit(AuditAction::Read, study.as_ref(), format!("workitem {}", workitem.sop_instance)).await;
    Ok(json(content_type, Value::Array(vec![workitem.item.into_json()])))
}

/// `GET /workitems`: attributes by keyword or tag, in sequences with dots; 204 if there is none (PS3.18 §11.9).
pub async fn search(asked: Asked, request: Request) -> Result<Response, WebError> {
    const PAGING: [&str; 5] = ["limit", "offset", "includefield", "fuzzymatching", "accept"];
    let content_type = json_type(&asked.accepted())?;
    let number = |name: &str| -> Result<Option<usize>, WebError> {
        let given = request.parameters.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.parse());
        given.transpose().map_err(|_| WebError::bad_request(format!("{name} is not a whole number")))
    };
    let most = asked.web.config.max_results as usize;
    let (limit, offset) = (number("limit")?.unwrap_or(most).min(most), number("offset")?.unwrap_or_default());
    let keys: Vec<_> =
        request.parameters.iter().filter(|(name, _)| !PAGING.contains(&name.as_str())).cloned().collect();
    let is_fuzzy = request.parameters.iter().any(|(name, value)| name == "fuzzymatching" && value == "true");
    let mut query = ItemQuery::from_parameters(&keys)?;
    query.fuzzy = is_fuzzy;
    asked.audit(AuditAction::Query, None, format!("workitems by {}", query.describe())).await;
    let found = asked.web.archive.find_workitems(&query, limit.saturating_add(offset).saturating_add(1)).await?;
    let is_cut = found.len() > limit.saturating_add(offset);
    let found: Vec<Value> = found.into_iter().skip(offset).take(limit).map(shown).collect();
    if found.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = json(content_type, Value::Array(found));
    if is_cut {
        insert(response.headers_mut(), header::WARNING, "299 yinghai \"there are more: ask with limit and offset\"");
    }
    Ok(response)
}

fn shown(workitem: KeptWorkitem) -> Value {
    workitem.item.into_json()
}

fn json(content_type: &'static str, body: Value) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "private, no-store")];
    (headers, body.to_string()).into_response()
}

/// `POST /workitems/{workitem}`: changes attributes; in progress only with the Transaction UID of its performer, in the body
/// or as a parameter (PS3.18 §11.6).
pub async fn update(request: Request, body: Bytes) -> Result<Response, WebError> {
    let mut item = item(&request.headers, &body)?;
    if let Some(transaction) = request.uid(&["transaction-uid", "TransactionUID", "transaction"])? {
        item.put_text(tags::TRANSACTION_UID, transaction.as_str());
    }
    let workitem = request.workitem()?;
    let warning = request.web.archive.update_workitem(&request.by(), request.origin(), &workitem, item).await?;
    Ok(answer(StatusCode::OK, warning))
}

/// `PUT /workitems/{workitem}/state[/{requester}]` (PS3.18 §11.7).
pub async fn change_state(request: Request, body: Bytes) -> Result<Response, WebError> {
    let item = item(&request.headers, &body)?;
    let to: State = item.text(tags::PROCEDURE_STEP_STATE).parse().map_err(storage::ArchiveError::from)?;
    let transaction = item.text(tags::TRANSACTION_UID);
    let transaction = (!transaction.is_empty()).then(|| transaction.parse::<Uid>()).transpose();
    let transaction = transaction.map_err(|_| storage::ArchiveError::from(UpsError::Transaction))?;
    let (by, workitem) = (request.by(), request.workitem()?);
    let archive = &request.web.archive;
    let warning = archive.change_workitem_state(&by, request.origin(), &workitem, to, transaction.as_ref()).await?;
    Ok(answer(StatusCode::OK, warning))
}

/// `POST /workitems/{workitem}/cancelrequest[/{requester}]`: 202, for it may be up to the performer (PS3.18 §11.8).
pub async fn request_cancel(request: Request, body: Bytes) -> Result<Response, WebError> {
    let reason = if body.is_empty() { Item::default() } else { item(&request.headers, &body)? };
    let (by, workitem) = (request.by(), request.workitem()?);
    let warning = request.web.archive.request_workitem_cancel(&by, request.origin(), &workitem, &reason).await?;
    Ok(answer(StatusCode::ACCEPTED, warning))
}

/// `POST /workitems/{workitem}/subscribers/{subscriber}`: 201, and where it hears of events (PS3.18 §11.10). The well-known
/// UIDs stand for all workitems, and for those that match `filter=keyword=value,…` or keys as in a search.
pub async fn subscribe(request: Request) -> Result<Response, WebError> {
    let (workitem, subscriber) = (request.workitem()?, request.subscriber()?);
    let mut keys = Item::default();
    let mut lock = false;
    for (name, value) in &request.parameters {
        match name.as_str() {
            "deletionlock" => lock = value == "true",
            "filter" => value.split(',').try_for_each(|pair| match pair.split_once('=') {
                Some((name, value)) => put_key(&mut keys, name, value),
                None => Err(WebError::bad_request(format!("filter {pair:?} is not keyword=value"))),
            })?,
            _ => put_key(&mut keys, name, value)?,
        }
    }
    let subscription = Subscription::of(workitem, keys);
    let archive = &request.web.archive;
    let receiver = (&subscriber, Way::WebSocket);
    archive.subscribe(&request.by(), request.origin(), receiver, &subscription, lock).await?;
    let mut response = StatusCode::CREATED.into_response();
    let base = request.web.base(&request.uri, &request.headers)?.replacen("http", "ws", 1);
    let place = format!("{base}/subscribers/{}", segment(subscriber.as_str()));
    insert(response.headers_mut(), header::CONTENT_LOCATION, &place);
    Ok(response)
}

/// An AE title as a segment of a path, whatever characters it has.
fn segment(ae_title: &str) -> String {
    let escaped = ae_title.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

/// A key of a filter: an attribute of the workitem itself.
fn put_key(keys: &mut Item, name: &str, value: &str) -> Result<(), WebError> {
    let query = ItemQuery::from_parameters(&[(name.to_owned(), value.to_owned())])?;
    let tag = query.tags().next().filter(|_| !name.contains('.'));
    let tag = tag.ok_or_else(|| WebError::bad_request(format!("{name} is not an attribute of a workitem itself")))?;
    keys.put_text(tag, value);
    Ok(())
}

/// `DELETE /workitems/{workitem}/subscribers/{subscriber}` (PS3.18 §11.11).
pub async fn unsubscribe(request: Request) -> Result<Response, WebError> {
    let subscription = Subscription::of(request.workitem()?, Item::default());
    let (archive, subscriber) = (&request.web.archive, request.subscriber()?);
    archive.unsubscribe(&request.by(), request.origin(), &subscriber, &subscription).await?;
    Ok(StatusCode::OK.into_response())
}

/// `POST /workitems/{workitem}/subscribers/{subscriber}/suspend`: of all, or of those that match (PS3.18 §11.12).
pub async fn suspend(request: Request) -> Result<Response, WebError> {
    let subscription = Subscription::of(request.workitem()?, Item::default());
    let (archive, subscriber) = (&request.web.archive, request.subscriber()?);
    archive.suspend_subscription(&request.by(), request.origin(), &subscriber, &subscription).await?;
    Ok(StatusCode::OK.into_response())
}
