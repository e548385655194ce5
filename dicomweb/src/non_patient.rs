//! The Non-Patient Instance service (PS3.18 §12): palettes, protocols, templates, by kind.
//!
//! Objects leave as they were received; a search reads their metadata, as there are few.

use crate::{
    asked::Asked,
    auth::Caller,
    bulkdata::{self, MAX_JOINED, Step},
    error::WebError,
    media_type::Acceptable,
    metadata::Links,
    multipart::Writer,
    resource::Resource,
    respond::{DICOM_JSON, cache_headers, entity_tag, insert, is_held, json_type, not_modified},
    scan, stow,
    web::Web,
};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use pacs_core::{
    Failure, TransferSyntax,
    attributes::key,
    data_set::{self, Limits},
    part10,
    query::JsonQuery,
    sop_class::NonPatient,
    tags,
    transfer_syntax::Encoding,
};
use serde_json::{Map, Value, json};
use std::io::Cursor;
use storage::{ArchiveError, AuditAction, Expected, NonPatientObject};

const DICOM: &str = "application/dicom";

pub async fn search(Extension(kind): Extension<NonPatient>, asked: Asked) -> Result<Response, WebError> {
    let content_type = json_type(&asked.accepted())?;
    let parameters: Vec<_> = asked.parameters.iter().filter(|(name, _)| name != "accept").cloned().collect();
    let (query, ignored) = JsonQuery::from_parameters(&parameters)?;
    let base = asked.base()?;
    let objects = asked.web.archive.non_patient_objects(kind).await?;
    asked.audit(AuditAction::Query, None, kind.resource()).await;
    let links = Links::new(kind.resource(), &base, String::new());
    let matches = objects.iter().filter_map(|object| {
        let mut found = matched(&query, object, &links)?;
        let url = format!("{base}/{}/{}", kind.resource(), object.sop_instance);
        found.insert(key(tags::RETRIEVE_URL), json!({ "vr": "UR", "Value": [url] }));
        Some(Value::from(found))
    });
    let limit = query.limit.unwrap_or(u32::MAX).min(asked.web.config.max_results) as usize;
    let matches: Vec<Value> = matches.skip(query.offset as usize).take(limit).collect();
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "private, no-store")];
    let mut response = (headers, Value::Array(matches).to_string()).into_response();
    for name in ignored {
        let shown: String = name.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let warning = format!("299 yinghai \"{shown} is not matched and was ignored\"");
        insert(response.headers_mut(), header::WARNING, &warning);
    }
    Ok(response)
}

fn matched(query: &JsonQuery, object: &NonPatientObject, links: &Links) -> Option<Map<String, Value>> {
    let mut metadata = Vec::new();
    links.append(&mut metadata, &object.metadata);
    let Ok(Value::Object(data_set)) = serde_json::from_slice(&metadata) else { return None };
    query.matches(&data_set).then(|| query.returned(data_set))
}

pub async fn store(
    State(web): State<Web>,
    Extension(kind): Extension<NonPatient>,
    caller: Caller,
    resource: Resource,
    request: Request,
) -> Result<Response, WebError> {
    let expected = Expected { sop_instance: resource.sop_instance, non_patient: Some(kind), ..Expected::default() };
    stow::take(&web, &caller, request, expected).await
}

/// How an object leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    File,
    Multipart,
    Json,
}

pub async fn retrieve(Extension(kind): Extension<NonPatient>, asked: Asked) -> Result<Response, WebError> {
    let object = object(kind, &asked).await?;
    let accepted = asked.accepted();
    let form = accepted.iter().find_map(|a| form(a, &object)).ok_or_else(|| not_acceptable(&object))?;
    let base = asked.base()?;
    let tag = entity_tag((object.id, form, &base));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let version = asked.resource.version_query();
    let response = match form {
        Form::Json => {
            let mut body = vec![b'['];
            Links::new(kind.resource(), &base, version).append(&mut body, &object.metadata);
            body.push(b']');
            ([(header::CONTENT_TYPE, DICOM_JSON)], body).into_response()
        }
        Form::File => file(&asked.web, &object).await?,
        Form::Multipart => {
            let location = format!("{base}/{}/{}{version}", kind.resource(), object.sop_instance);
            part(&asked.web, &object, &location).await?
        }
    };
    Ok((cache_headers(&tag), response).into_response())
}

/// The object of the path, in the version that is asked for; who asks is noted.
async fn object(kind: NonPatient, asked: &Asked) -> Result<NonPatientObject, WebError> {
    let (resource, archive) = (&asked.resource, &asked.web.archive);
    let object = archive.non_patient_object(kind, resource.object()?, resource.version).await?;
    asked.audit(AuditAction::Read, None, format!("{} {}", kind.resource(), object.sop_instance)).await;
    Ok(object)
}

/// `None` for what an object is not sent as.
fn form(accepted: &Acceptable, object: &NonPatientObject) -> Option<Form> {
    let syntax = accepted.transfer_syntax.as_deref().unwrap_or("*");
    let as_received = syntax == "*" || syntax == object.transfer_syntax.uid().as_str();
    if accepted.media.covers(DICOM) && as_received {
        return Some(if accepted.multipart { Form::Multipart } else { Form::File });
    }
    (accepted.media.covers(DICOM_JSON) && !accepted.multipart).then_some(Form::Json)
}

fn content_type(object: &NonPatientObject) -> String {
    format!("{DICOM}; transfer-syntax={}", object.transfer_syntax)
}

fn not_acceptable(object: &NonPatientObject) -> WebError {
    WebError::not_acceptable(&format!("{}, {DICOM_JSON}", content_type(object)))
}

async fn file(web: &Web, object: &NonPatientObject) -> Result<Response, WebError> {
    let mut response = Body::from_stream(web.archive.read_non_patient_object(object).await?).into_response();
    insert(response.headers_mut(), header::CONTENT_TYPE, &content_type(object));
    response.headers_mut().insert(header::CONTENT_LENGTH, object.len.into());
    Ok(response)
}

async fn part(web: &Web, object: &NonPatientObject, location: &str) -> Result<Response, WebError> {
    let writer = Writer::new(rand::random());
    let head = writer.head(&content_type(object), Some(location), Some(object.len));
    let content = web.archive.read_non_patient_object(object).await?;
    let ends = |bytes| stream::once(async move { Ok(bytes) });
    let mut response = Body::from_stream(ends(head).chain(content).chain(ends(writer.close()))).into_response();
    insert(response.headers_mut(), header::CONTENT_TYPE, &writer.content_type(DICOM));
    Ok(response)
}

/// A value too long for JSON; its place is written as for instances.
pub async fn bulk_data(Extension(kind): Extension<NonPatient>, asked: Asked) -> Result<Response, WebError> {
    let object = object(kind, &asked).await?;
    let steps = bulkdata::steps(asked.resource.segment("path"))?;
    if object.len > MAX_JOINED {
        return Err(WebError::Refused(Failure::TooLarge, "the object is too large to be taken apart".into()));
    }
    let file: Vec<Bytes> = asked.web.archive.read_non_patient_object(&object).await?.try_collect().await?;
    let value = tokio::task::spawn_blocking(move || value(file.concat().into(), &steps));
    let failed = |_| WebError::Refused(Failure::Internal, "the scan gave up".into());
    let value = value.await.map_err(failed)??;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], value).into_response())
}

/// The value at a place in a Part 10 file, as little endian bytes.
fn value(file: Bytes, steps: &[Step]) -> Result<Bytes, WebError> {
    let mut reader = Cursor::new(&file);
    let syntax = part10::read_meta(&mut reader).map_err(ArchiveError::from)?.transfer_syntax;
    let (bytes, data_set) = if syntax.encoding() == Encoding::Deflated {
        let inflated = Bytes::from(data_set::inflate(reader, MAX_JOINED).map_err(ArchiveError::from)?);
        let explicit = TransferSyntax::explicit_little();
        let data_set = data_set::scan(&mut Cursor::new(&inflated), &explicit, Limits::default());
        (inflated, data_set)
    } else {
        let data_set = data_set::scan(&mut reader, &syntax, Limits::default());
        (file.clone(), data_set)
    };
    let data_set = data_set.map_err(ArchiveError::from)?;
    let absent = || WebError::not_found("the object holds no such value");
    let element = bulkdata::element(&data_set, steps).ok_or_else(absent)?;
    let end = element.offset.saturating_add(element.len);
    let mut value = match &element.value {
        data_set::Value::Bytes(value) => value.to_vec(),
        data_set::Value::Located => bytes.get(element.offset as usize..end as usize).ok_or_else(absent)?.to_vec(),
        data_set::Value::Sequence(_) | data_set::Value::Fragments { .. } => return Err(absent()),
    };
    if syntax.encoding() == Encoding::ExplicitBig {
        value.chunks_exact_mut(scan::value_width(element.vr)).for_each(<[u8]>::reverse);
    }
    Ok(value.into())
}

pub async fn delete(
    State(web): State<Web>,
    Extension(kind): Extension<NonPatient>,
    caller: Caller,
    resource: Resource,
) -> Result<StatusCode, WebError> {
    let (actor, address) = (&caller.principal.name, &caller.address);
    web.archive.delete_non_patient_object(actor, address, kind, resource.object()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
