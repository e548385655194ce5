//! What is shown by what it is: encapsulated documents and video (PS3.18 §8.7.4, Table 8.7.4-1).

use crate::{
    asked::Asked,
    bulkdata::{self, Step},
    decode,
    error::WebError,
    respond::{cache_headers, entity_tag, is_held, limited, not_modified, ranged},
};
use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use pacs_core::{Attributes, tags, transfer_syntax::Codec};
use storage::AuditAction;

/// A document or video, if an instance is one and the client takes its media type.
pub async fn passed_on(asked: &Asked) -> Result<Option<Response>, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    if resource.sop_instance.is_none() || !resource.segment("frames").is_empty() {
        return Ok(None);
    }
    let instance = resource.sound_instance(web).await?;
    let (media, place, len) = if instance.transfer_syntax.codec() == Codec::Video {
        (instance.transfer_syntax.media_type().to_owned(), tags::PIXEL_DATA, None)
    } else if instance.frames.is_some() {
        return Ok(None);
    } else {
        let metadata = decode::metadata(web, &instance).await?;
        let attributes = Attributes::of(&metadata);
        let text = |tag| attributes.as_ref().and_then(|all| all.text(tag)).map(|text| text.trim().to_owned());
        let Some(media) = text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT).filter(|media| is_plain(media)) else {
            return Ok(None);
        };
        let len = attributes.and_then(|all| all.integer(tags::ENCAPSULATED_DOCUMENT_LENGTH));
        (media, tags::ENCAPSULATED_DOCUMENT, len.and_then(|len| u64::try_from(len).ok()))
    };
    let takes = |a: &crate::media_type::Acceptable| !a.multipart && a.media.covers(&media.to_ascii_lowercase());
    if !asked.accepted().iter().any(takes) {
        return Err(WebError::not_acceptable(&media));
    }
    asked.audit(AuditAction::Read, Some(&instance.study), "rendered").await;
    let tag = entity_tag((instance.id, instance.corrected_at(), &media));
    if is_held(&asked.headers, &tag) {
        return Ok(Some(not_modified(&tag)));
    }
    // Without the byte that makes the length even.
    let piece = limited(bulkdata::locate(web, &instance, &[Step::Tag(place)]).await?, len);
    let mut response = ranged(web, &asked.headers, &media, piece)?;
    if media != PDF {
        let policy = HeaderValue::from_static("sandbox; default-src 'none'");
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(Some((cache_headers(&tag), response).into_response()))
}

/// A browser shows it in a room of its own, and not at all where it is told to use a sandbox.
const PDF: &str = "application/pdf";

/// Whether it is a media type that is no page: that would act as who looks at it. XML might be one, and is sandboxed.
fn is_plain(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    media == PDF
        || media == "text/xml"
        || media.starts_with("model/")
        || media.starts_with("image/") && !media.contains("svg")
}
