//! WADO-RS: whole instances (PS3.18 §10.4.1.1.1), and their removal, an extension.

use crate::{
    asked::Asked,
    convert,
    error::WebError,
    media_type::Acceptable,
    resource::Resource,
    respond::{self, Piece, cache_headers, entity_tag, insert, is_held, not_modified, stream_pieces},
    web::Web,
};
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use pacs_core::transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax};
use std::sync::Arc;
use storage::{AuditAction, StoredInstance};

pub const DICOM: &str = "application/dicom";

/// How instances leave.
#[derive(Debug, PartialEq)]
struct Choice {
    multipart: bool,
    /// Every instance in Explicit VR Little Endian, else as received.
    explicit_little: bool,
}

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let all = resource.instances(web).await?;
    let wanted = all.len();
    let instances = Resource::sound(web, all)?;
    let missing = wanted - instances.len();
    let choice = choose(&asked.accepted(), &instances, resource.sop_instance.is_some())
        .ok_or_else(|| not_acceptable(&instances))?;
    asked.audit(AuditAction::Export, resource.parent(), "instances").await;
    let mut parts = instances.into_iter().map(Arc::new).map(|instance| part(instance, &choice));
    if !choice.multipart {
        let piece = parts.next().ok_or_else(|| WebError::not_found("there is no instance"))?;
        return single(web, piece, &asked.headers).await;
    }
    let addresses = asked.addresses()?;
    let located = parts.map(|part| (part.content_type, addresses.of(&part.instance, ""), part.piece));
    Ok(told_of_missing(respond::multipart(web, DICOM, located.collect()), missing))
}

/// Some, but not all, of what was asked for is 206 (PS3.18 §10.4.3).
fn told_of_missing(mut response: Response, missing: usize) -> Response {
    if missing > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let warning = format!("299 yinghai \"{missing} instances are left out: damaged in the store\"");
        insert(response.headers_mut(), header::WARNING, &warning);
    }
    response
}

struct Part {
    instance: Arc<StoredInstance>,
    content_type: String,
    piece: Piece,
}

fn part(instance: Arc<StoredInstance>, choice: &Choice) -> Part {
    let is_converted = choice.explicit_little && convert::is_needed(&instance.transfer_syntax);
    let (syntax, piece) = if is_converted {
        (EXPLICIT_VR_LITTLE_ENDIAN, Piece::Converted(Arc::clone(&instance)))
    } else {
        (instance.transfer_syntax.uid().as_str(), Piece::File(Arc::clone(&instance)))
    };
    Part { content_type: content_type(syntax), piece, instance }
}

async fn single(web: &Web, part: Part, headers: &HeaderMap) -> Result<Response, WebError> {
    let tag = entity_tag((part.instance.id, part.instance.corrected_at(), &part.content_type));
    if is_held(headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let response = match part.piece {
        // What cannot be converted is an error here and not a body that breaks off.
        Piece::Converted(instance) => {
            let mut response = stream_pieces(web, convert::explicit_little(web, &instance).await?);
            insert(response.headers_mut(), header::CONTENT_TYPE, &part.content_type);
            response
        }
        Piece::File(instance) if instance.is_corrected() => {
            let mut response = stream_pieces(web, vec![Piece::File(instance)]);
            insert(response.headers_mut(), header::CONTENT_TYPE, &part.content_type);
            response
        }
        piece => respond::ranged(web, headers, &part.content_type, piece)?,
    };
    Ok((cache_headers(&tag), response).into_response())
}

fn content_type(syntax: &str) -> String {
    format!("{DICOM}; transfer-syntax={syntax}")
}

/// The first acceptable way. Instances leave as they were received unless one transfer syntax is named.
fn choose(accepted: &[Acceptable], instances: &[StoredInstance], is_instance: bool) -> Option<Choice> {
    let all = |suits: &dyn Fn(&TransferSyntax) -> bool| instances.iter().all(|i| suits(&i.transfer_syntax));
    accepted.iter().find_map(|a| {
        let anything = a.media.essence == "*/*";
        if !a.media.covers(DICOM) || !(a.multipart || is_instance || anything) {
            return None;
        }
        let explicit_little = match a.transfer_syntax.as_deref() {
            None | Some("*") => false,
            Some(EXPLICIT_VR_LITTLE_ENDIAN) if all(&convert::is_possible) => true,
            Some(uid) if all(&|stored| stored.uid().as_str() == uid) => false,
            Some(_) => return None,
        };
        Some(Choice { multipart: a.multipart || anything, explicit_little })
    })
}

fn not_acceptable(instances: &[StoredInstance]) -> WebError {
    let stored = instances.iter().map(|instance| content_type(instance.transfer_syntax.uid().as_str()));
    let possible = instances.iter().all(|instance| convert::is_possible(&instance.transfer_syntax));
    let mut available: Vec<String> = stored.chain(possible.then(|| content_type(EXPLICIT_VR_LITTLE_ENDIAN))).collect();
    available.sort_unstable();
    available.dedup();
    available.truncate(8);
    WebError::not_acceptable(&available.join(", "))
}

/// 409 with the reason where a legal hold or a rule of retention is in the way.
pub async fn delete(asked: Asked) -> Result<StatusCode, WebError> {
    let resource = &asked.resource;
    let study = resource.study()?;
    let (actor, address) = (&asked.caller.principal.name, &asked.caller.address);
    let (series, sop_instance) = (resource.series.as_ref(), resource.sop_instance.as_ref());
    let removed = asked.web.archive.delete_by(actor, address, study, series, sop_instance).await?;
    tracing::info!(%study, removed, "instances deleted");
    Ok(StatusCode::NO_CONTENT)
}
