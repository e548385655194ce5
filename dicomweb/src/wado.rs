//! WADO-RS: whole instances (PS3.18 §10.4.1.1.1), and their removal, an extension.

use crate::{
    asked::Asked,
    convert,
    error::WebError,
    media_type::Acceptable,
    resource::Resource,
    respond::{self, Piece, cache_headers, entity_tag, insert, is_held, not_modified, stream_pieces},
    transcode,
    web::Web,
    zipped::{self, Entry, ZIP},
};
use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use pacs_core::{
    pixel::Target,
    transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, TransferSyntax},
};
use std::sync::Arc;
use storage::{AuditAction, StoredInstance};

pub const DICOM: &str = "application/dicom";

/// How instances leave.
#[derive(Debug, PartialEq)]
struct Choice {
    container: Container,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    /// An instance alone.
    Single,
    Multipart,
    Zip,
}

/// What frames leave in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Stored,
    ExplicitLittle,
    /// Those with pixel data that is not stored so.
    Encoded(Target),
}

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let all = resource.instances(web).await?;
    let wanted = all.len();
    let instances = Resource::sound(web, all)?;
    let missing = wanted - instances.len();
    let choice = choose(&asked, &instances).await?;
    asked.audit(AuditAction::Export, resource.parent(), "instances").await;
    let mut parts = instances.into_iter().map(Arc::new).map(|instance| part(instance, &choice));
    match choice.container {
        Container::Single => {
            let piece = parts.next().ok_or_else(|| WebError::not_found("there is no instance"))?;
            return single(web, piece, &asked.headers).await;
        }
        Container::Zip => {
            let name =
                resource.sop_instance.as_ref().or(resource.series.as_ref()).map_or_else(|| resource.study(), Ok)?;
            return Ok(told_of_missing(zipped::answer(web, name, parts.map(Part::entry).collect()), missing));
        }
        Container::Multipart => {}
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
    transfer_syntax: TransferSyntax,
    content_type: String,
    piece: Piece,
}

impl Part {
    fn entry(self) -> Entry {
        Entry { instance: self.instance, transfer_syntax: self.transfer_syntax, piece: self.piece }
    }
}

fn part(instance: Arc<StoredInstance>, choice: &Choice) -> Part {
    let (transfer_syntax, piece) = match choice.form {
        Form::Encoded(target) if !is_held_as(&instance, target) => {
            (target.transfer_syntax(), Piece::Encoded(Arc::clone(&instance), target))
        }
        Form::ExplicitLittle if convert::is_needed(&instance.transfer_syntax) => {
            (TransferSyntax::explicit_little(), Piece::Converted(Arc::clone(&instance)))
        }
        _ => (instance.transfer_syntax.clone(), Piece::File(Arc::clone(&instance))),
    };
    Part { content_type: content_type(transfer_syntax.uid().as_str()), transfer_syntax, piece, instance }
}

/// Whether nothing is to be done: its frames are so already, or it has none.
fn is_held_as(instance: &StoredInstance, target: Target) -> bool {
    instance.frames.is_none() || instance.transfer_syntax == target.transfer_syntax()
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
        Piece::Encoded(instance, target) => {
            let (len, file) = transcode::file(web, &instance, target).await?;
            let mut response = Body::from_stream(transcode::content(file)).into_response();
            let headers = response.headers_mut();
            insert(headers, header::CONTENT_TYPE, &part.content_type);
            headers.insert(header::CONTENT_LENGTH, len.into());
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

/// The first way that the client takes and that can be gone with all of the instances. They leave as they were received
/// unless one transfer syntax is named.
async fn choose(asked: &Asked, instances: &[StoredInstance]) -> Result<Choice, WebError> {
    let quality = asked.quality()?;
    let choices = choices(&asked.accepted(), instances, asked.resource.sop_instance.is_some(), quality);
    for choice in choices {
        let Form::Encoded(target) = choice.form else { return Ok(choice) };
        if can_all_be(&asked.web, instances, target).await? {
            return Ok(choice);
        }
    }
    Err(not_acceptable(instances))
}

async fn can_all_be(web: &Web, instances: &[StoredInstance], target: Target) -> Result<bool, WebError> {
    for instance in instances.iter().filter(|instance| !is_held_as(instance, target)) {
        if transcode::refusal(web, instance, target).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn choices(accepted: &[Acceptable], instances: &[StoredInstance], is_instance: bool, quality: u8) -> Vec<Choice> {
    let all = |suits: &dyn Fn(&TransferSyntax) -> bool| instances.iter().all(|i| suits(&i.transfer_syntax));
    let of = |a: &Acceptable| {
        let anything = a.media.essence == "*/*";
        let container = match a.multipart || anything {
            _ if a.media.essence == ZIP => Container::Zip,
            _ if !a.media.covers(DICOM) => return None,
            true => Container::Multipart,
            false if is_instance => Container::Single,
            false => return None,
        };
        let form = match a.transfer_syntax.as_deref() {
            None | Some("*") => Form::Stored,
            Some(EXPLICIT_VR_LITTLE_ENDIAN) if all(&convert::is_possible) => Form::ExplicitLittle,
            Some(uid) if all(&|stored| stored.uid().as_str() == uid) => Form::Stored,
            Some(uid) => Form::Encoded(transcode::target(uid, quality)?),
        };
        // In an archive the directory says which instances are in it, and not which others would be made of them.
        let is_derived = matches!(form, Form::Encoded(target) if !target.is_lossless());
        Some(Choice { container, form }).filter(|_| container != Container::Zip || !is_derived)
    };
    accepted.iter().filter_map(of).collect()
}

fn not_acceptable(instances: &[StoredInstance]) -> WebError {
    let stored = instances.iter().map(|instance| content_type(instance.transfer_syntax.uid().as_str()));
    let possible = instances.iter().all(|instance| convert::is_possible(&instance.transfer_syntax));
    let mut available: Vec<String> = stored.chain(possible.then(|| content_type(EXPLICIT_VR_LITTLE_ENDIAN))).collect();
    available.sort_unstable();
    available.dedup();
    available.truncate(8);
    available.extend(transcode::offered().filter(|_| possible).map(|syntax| content_type(syntax.uid().as_str())));
    available.push(ZIP.to_owned());
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
