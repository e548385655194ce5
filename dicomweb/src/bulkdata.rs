//! WADO-RS bulk data: single values too long for JSON (PS3.18 §10.4.1.1.5).
//!
//! The path under `bulkdata/` is the element's place from the root, as the archive's metadata writes it: tags, and
//! item indices from 0 in between, such as `00420011` or `00081140/0/00081199`.

use crate::{
    asked::{Addresses, Asked},
    decode,
    error::WebError,
    frames,
    media_type::Acceptable,
    resource::Resource,
    respond::{self, Piece, cache_headers, entity_tag, is_held, not_modified, ranged},
    scan::{self, Scanned},
    web::Web,
};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use pacs_core::{
    Failure, Tag,
    attributes::key,
    data_set::{DataSet, Element, Fragment, Value},
    frame_layout::FrameLayout,
    query::attribute_id,
    tags,
    transfer_syntax::Encoding,
};
use serde_json::Value as Json;
use std::sync::Arc;
use storage::{AuditAction, StoredInstance};

pub const OCTET_STREAM: &str = "application/octet-stream";
/// A value that cannot be streamed as stored (big endian, fragments outside pixel data) may have this many bytes.
pub const MAX_JOINED: u64 = 256 << 20;

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let web = &asked.web;
    let instance = asked.resource.sound_instance(web).await?;
    let path = asked.resource.segment("path");
    let steps = steps(path)?;
    asked.audit(AuditAction::Read, Some(&instance.study), "bulk data").await;
    let is_pixel_data = steps == [Step::Tag(tags::PIXEL_DATA)];
    if is_pixel_data && matches!(instance.frames, Some(FrameLayout::Encapsulated { .. })) {
        let all = (0..frames::count(&instance)).collect();
        return frames::answer(&asked, instance, all).await;
    }
    let tag = entity_tag((instance.id, instance.corrected_at(), path));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let choice = asked.accepted().into_iter().find(|a| a.media.covers(OCTET_STREAM));
    let is_multipart = choice.ok_or_else(|| WebError::not_acceptable(OCTET_STREAM))?.multipart;
    let piece = locate(web, &instance, &steps).await?;
    let response = if is_multipart {
        let location = asked.addresses()?.of(&instance, &format!("/bulkdata/{path}"));
        respond::multipart(web, OCTET_STREAM, vec![(OCTET_STREAM.to_owned(), location, piece)])
    } else {
        ranged(web, &asked.headers, OCTET_STREAM, piece)?
    };
    Ok((cache_headers(&tag), response).into_response())
}

/// All bulk data of a study, series or instance (PS3.18 §10.4.1.1.5), a part for each value; of compressed pixel data a
/// part for each frame.
pub async fn retrieve_all(asked: Asked) -> Result<Response, WebError> {
    gather(asked, |_| true).await
}

/// The pixel data alone.
pub async fn retrieve_pixel_data(asked: Asked) -> Result<Response, WebError> {
    gather(asked, |steps| steps == [Step::Tag(tags::PIXEL_DATA)]).await
}

/// Every value is read when the client takes its part.
async fn gather(asked: Asked, is_wanted: impl Fn(&[Step]) -> bool) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let accepted = asked.accepted();
    let instances = Resource::sound(web, resource.instances(web).await?)?;
    asked.audit(AuditAction::Read, resource.parent(), "bulk data").await;
    let addresses = asked.addresses()?;
    let mut parts = Vec::new();
    for instance in instances.into_iter().map(Arc::new) {
        let metadata = decode::metadata(web, &instance).await?;
        let mut places = Vec::new();
        places_of(&metadata, &mut Vec::new(), &mut places);
        for steps in places.into_iter().filter(|steps| is_wanted(steps)) {
            parts.extend(parts_of(&instance, steps, &accepted, &addresses)?);
        }
    }
    if parts.is_empty() {
        return Err(WebError::not_found("there is no bulk data"));
    }
    Ok(respond::multipart(web, OCTET_STREAM, parts))
}

/// The places of values that are not in the metadata itself.
fn places_of(item: &Json, path: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    for (name, element) in item.as_object().into_iter().flatten() {
        let Some(tag) = attribute_id(name) else { continue };
        path.push(Step::Tag(tag));
        if element.get("BulkDataURI").is_some() {
            found.push(path.clone());
        }
        let items = element.get("Value").and_then(Json::as_array).into_iter().flatten();
        for (at, item) in items.enumerate().filter(|(_, _)| element["vr"] == "SQ") {
            path.push(Step::Item(at));
            places_of(item, path, found);
            path.pop();
        }
        path.pop();
    }
}

type Part = (String, String, Piece);

fn parts_of(
    instance: &Arc<StoredInstance>,
    steps: Vec<Step>,
    accepted: &[Acceptable],
    addresses: &Addresses,
) -> Result<Vec<Part>, WebError> {
    let is_pixel_data = steps == [Step::Tag(tags::PIXEL_DATA)];
    if is_pixel_data && matches!(instance.frames, Some(FrameLayout::Encapsulated { .. })) {
        let (form, content_type) = frames::form_of(accepted, &instance.transfer_syntax)?;
        let part = |index: u32| {
            let location = addresses.of(instance, &format!("/frames/{}", u64::from(index) + 1));
            (content_type.clone(), location, Piece::Sent(Arc::clone(instance), index, form))
        };
        return Ok((0..frames::count(instance)).map(part).collect());
    }
    if !accepted.iter().any(|one| one.media.covers(OCTET_STREAM)) {
        return Err(WebError::not_acceptable(OCTET_STREAM));
    }
    let location = addresses.of(instance, &format!("/bulkdata/{}", written(&steps)));
    let piece = match &instance.frames {
        Some(FrameLayout::Native { offset, len, .. }) if is_pixel_data && is_plain(instance) => {
            Piece::Range(Arc::clone(instance), *offset..offset.saturating_add(*len), 1)
        }
        _ => Piece::Value(Arc::clone(instance), steps),
    };
    Ok(vec![(OCTET_STREAM.to_owned(), location, piece)])
}

/// A place as a path names it.
fn written(steps: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Tag(tag) => key(*tag),
        Step::Item(index) => index.to_string(),
    };
    steps.iter().map(step).collect::<Vec<_>>().join("/")
}

fn is_plain(instance: &StoredInstance) -> bool {
    matches!(instance.transfer_syntax.encoding(), Encoding::ExplicitLittle | Encoding::ImplicitLittle)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Tag(Tag),
    Item(usize),
}

pub fn steps(path: &str) -> Result<Vec<Step>, WebError> {
    let malformed = || WebError::bad_request("bulk data is named by tags of eight hexadecimal digits and item numbers");
    let step = |(index, text): (usize, &str)| {
        if index % 2 == 1 {
            return text.parse().map(Step::Item).map_err(|_| malformed());
        }
        let number = u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| text.len() == 8 && !text.starts_with('+'))
            .ok_or_else(malformed)?;
        Ok(Step::Tag(Tag((number >> 16) as u16, number as u16)))
    };
    let steps = path.trim_end_matches('/').split('/').enumerate().map(step).collect::<Result<Vec<_>, _>>()?;
    if steps.len() % 2 == 1 { Ok(steps) } else { Err(malformed()) }
}

/// The value at a place, as little endian bytes.
pub async fn locate(web: &Web, instance: &Arc<StoredInstance>, steps: &[Step]) -> Result<Piece, WebError> {
    if let (Some(FrameLayout::Native { offset, len, .. }), [Step::Tag(tags::PIXEL_DATA)], true) =
        (&instance.frames, steps, is_plain(instance))
    {
        return Ok(Piece::Range(Arc::clone(instance), *offset..offset.saturating_add(*len), 1));
    }
    let mut scanned = scan::scan(web, instance).await?;
    instance.correct(&mut scanned.data_set);
    let absent = || WebError::not_found("the instance holds no such value");
    let element = element(&scanned.data_set, steps).ok_or_else(absent)?;
    match &element.value {
        Value::Bytes(bytes) => Ok(Piece::Bytes(Bytes::copy_from_slice(bytes))),
        Value::Located => located(web, instance, &scanned, element).await,
        Value::Fragments { fragments, .. } => joined(web, instance, &scanned, fragments).await,
        Value::Sequence(_) => Err(absent()),
    }
}

pub fn element<'a>(data_set: &'a DataSet, steps: &[Step]) -> Option<&'a Element> {
    match steps {
        [Step::Tag(tag)] => data_set.get(*tag),
        [Step::Tag(tag), Step::Item(index), rest @ ..] => element(data_set.items(*tag).get(*index)?, rest),
        _ => None,
    }
}

async fn located(
    web: &Web,
    instance: &Arc<StoredInstance>,
    scanned: &Scanned,
    element: &Element,
) -> Result<Piece, WebError> {
    let range = element.offset..element.offset.saturating_add(element.len);
    if scanned.inflated.is_none() && instance.transfer_syntax.encoding() != Encoding::ExplicitBig {
        return Ok(Piece::Range(Arc::clone(instance), range, 1));
    }
    let mut bytes = scanned.read(web, instance, range, MAX_JOINED).await?.to_vec();
    if instance.transfer_syntax.encoding() == Encoding::ExplicitBig {
        bytes.chunks_exact_mut(scan::value_width(element.vr)).for_each(<[u8]>::reverse);
    }
    Ok(Piece::Bytes(bytes.into()))
}

async fn joined(
    web: &Web,
    instance: &StoredInstance,
    scanned: &Scanned,
    fragments: &[Fragment],
) -> Result<Piece, WebError> {
    if fragments.iter().map(|f| u64::from(f.len)).sum::<u64>() > MAX_JOINED {
        return Err(WebError::Refused(Failure::TooLarge, "value is too large to be joined".into()));
    }
    let mut all = Vec::new();
    for fragment in fragments {
        let range = fragment.offset..fragment.offset.saturating_add(fragment.len.into());
        all.extend_from_slice(&scanned.read(web, instance, range, MAX_JOINED).await?);
    }
    Ok(Piece::Bytes(all.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_places_of_bulk_data_are_found_and_named_as_they_are_asked_for() {
        let metadata = serde_json::json!({
            "00420011": {"vr": "OB", "BulkDataURI": "x"},
            "00880200": {"vr": "SQ", "Value": [{}, {"7FE00010": {"vr": "OW", "BulkDataURI": "y"}}]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]},
        });
        let mut found = Vec::new();
        places_of(&metadata, &mut Vec::new(), &mut found);
        let names: Vec<_> = found.iter().map(|steps| written(steps)).collect();
        assert_eq!(names, ["00420011", "00880200/1/7FE00010"]);
        assert!(names.iter().zip(&found).all(|(name, place)| steps(name).unwrap() == *place));
    }

    #[test]
    fn a_path_alternates_tags_and_items() {
        let pdf = Step::Tag(tags::ENCAPSULATED_DOCUMENT);
        assert_eq!(steps("00420011").unwrap(), [pdf]);
        assert_eq!(
            steps("00880200/0/7FE00010").unwrap(),
            [Step::Tag(tags::ICON_IMAGE_SEQUENCE), Step::Item(0), Step::Tag(tags::PIXEL_DATA)]
        );
        for bad in ["", "0042", "00420011/0", "PixelData", "00420011/a/00420011", "+0420011"] {
            assert_eq!(steps(bad).unwrap_err().failure().http(), 400, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in any::<String>()) {
            _ = steps(&path);
        }
    }
}
