//! WADO-RS: whole instances (PS3.18 §10.4.1.1.1), and their removal, an extension.

use crate::{
    auth::Caller,
    error::WebError,
    media_type::Acceptable,
    resource::{Resource, path},
    respond::{self, Piece, accepted, cache_headers, entity_tag, is_held, not_modified},
    web::Web,
};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use pacs_core::transfer_syntax::TransferSyntax;
use std::sync::Arc;
use storage::{AuditAction, StoredInstance};

const DICOM: &str = "application/dicom";

/// How instances leave.
#[derive(Debug, PartialEq)]
struct Choice {
    multipart: bool,
}

pub async fn retrieve(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    uri: Uri,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let instances = resource.instances(&web).await?;
    let choice = choose(&accepted(&headers, &pairs), &instances, resource.sop_instance.is_some())
        .ok_or_else(|| not_acceptable(&instances))?;
    web.audit(&caller, AuditAction::Read, resource.parent(), "instances".into()).await;
    if let ([instance], false) = (instances.as_slice(), choice.multipart) {
        return single(&web, instance, &headers);
    }
    let base = web.base(&uri, &headers)?;
    let parts = instances.into_iter().map(|instance| {
        let location = format!("{base}/{}", path(&instance));
        (content_type(&instance), location, Piece::File(Arc::new(instance)))
    });
    Ok(respond::multipart(&web, DICOM, parts.collect()))
}

fn single(web: &Web, instance: &StoredInstance, headers: &HeaderMap) -> Result<Response, WebError> {
    let tag = entity_tag((&instance.sop_instance, instance.len));
    if is_held(headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let file = Piece::File(Arc::new(instance.clone()));
    let response = respond::ranged(web, headers, &content_type(instance), file)?;
    Ok((cache_headers(&tag), response).into_response())
}

fn content_type(instance: &StoredInstance) -> String {
    format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax)
}

/// The first acceptable way. Instances leave as they were received unless one transfer syntax is named.
fn choose(accepted: &[Acceptable], instances: &[StoredInstance], is_instance: bool) -> Option<Choice> {
    let suits = |wanted: &Option<String>, stored: &TransferSyntax| match wanted.as_deref() {
        None | Some("*") => true,
        Some(uid) => stored.uid().as_str() == uid,
    };
    let acceptable = accepted.iter().find(|a| {
        let form = a.multipart || is_instance || a.media.essence == "*/*";
        form && a.media.covers(DICOM) && instances.iter().all(|i| suits(&a.transfer_syntax, &i.transfer_syntax))
    })?;
    Some(Choice { multipart: acceptable.multipart || acceptable.media.essence == "*/*" })
}

fn not_acceptable(instances: &[StoredInstance]) -> WebError {
    let mut available: Vec<String> = instances.iter().map(content_type).collect();
    available.sort_unstable();
    available.dedup();
    available.truncate(8);
    WebError::not_acceptable(&available.join(", "))
}

pub async fn delete(State(web): State<Web>, caller: Caller, resource: Resource) -> Result<StatusCode, WebError> {
    let study = resource.study()?;
    let removed = web.archive.delete(study, resource.series.as_ref(), resource.sop_instance.as_ref()).await?;
    web.forget_instances();
    if removed == 0 {
        return Err(WebError::not_found("nothing to delete"));
    }
    tracing::info!(%study, removed, "instances deleted");
    let series = resource.series.as_ref().map(|uid| format!(" of series {uid}")).unwrap_or_default();
    web.audit(&caller, AuditAction::Delete, Some(study), format!("{removed} instances{series}")).await;
    Ok(StatusCode::NO_CONTENT)
}
