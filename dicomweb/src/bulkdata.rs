//! WADO-RS bulk data: single values too long for JSON (PS3.18 §10.4.1.1.5).
//!
//! The path under `bulkdata/` is the element's place from the root, as the archive's metadata writes it: tags, and
//! item indices from 0 in between, such as `00420011` or `00081140/0/00081199`.

use crate::{
    asked::Asked,
    error::WebError,
    frames,
    respond::{self, Piece, cache_headers, entity_tag, is_held, not_modified, ranged},
    scan::{self, Scanned},
    web::Web,
};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use pacs_core::{
    Failure, Tag,
    data_set::{DataSet, Element, Fragment, Value},
    frame_layout::FrameLayout,
    tags,
    transfer_syntax::Encoding,
};
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
async fn locate(web: &Web, instance: &Arc<StoredInstance>, steps: &[Step]) -> Result<Piece, WebError> {
    let is_plain = instance.transfer_syntax.encoding() == Encoding::ExplicitLittle
        || instance.transfer_syntax.encoding() == Encoding::ImplicitLittle;
    if let (Some(FrameLayout::Native { offset, len, .. }), [Step::Tag(tags::PIXEL_DATA)], true) =
        (&instance.frames, steps, is_plain)
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
