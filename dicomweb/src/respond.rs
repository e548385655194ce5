//! Pieces of responses that several services share: conditional requests, byte ranges, streamed bodies.

use crate::{error::WebError, media_type::Acceptable, multipart::Writer, web::Web};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
};
use storage::{ArchiveError, StoredInstance};

/// What browsers may keep: nothing unless they ask again, so that rights are checked each time.
pub const REVALIDATE: &str = "private, no-cache";
pub const DICOM_JSON: &str = "application/dicom+json";

/// One stretch of a body.
pub enum Piece {
    Bytes(Bytes),
    /// A whole stored file.
    File(Arc<StoredInstance>),
    /// A stretch of a stored file.
    Range(Arc<StoredInstance>, Range<u64>),
}

/// A range is read in steps of this many bytes, so that memory stays bounded.
const STEP: u64 = 1 << 20;

impl Piece {
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(instance) => instance.len,
            Self::Range(_, range) => range.end.saturating_sub(range.start),
        }
    }
}

/// A body of known length, read as the client takes it.
pub fn stream_pieces(web: &Web, pieces: Vec<Piece>) -> (HeaderValue, Body) {
    let len = pieces.iter().map(Piece::len).sum::<u64>();
    let archive = web.archive.clone();
    let chunks = stream::iter(pieces).then(move |piece| {
        let archive = archive.clone();
        async move {
            Ok::<_, ArchiveError>(match piece {
                Piece::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
                Piece::File(instance) => archive.read(&instance).await?,
                Piece::Range(instance, range) => {
                    let steps = range.clone().step_by(STEP as usize).map(move |at| at..range.end.min(at + STEP));
                    let read = move |step| {
                        let (archive, instance) = (archive.clone(), Arc::clone(&instance));
                        async move { archive.read_range(&instance, step).await }
                    };
                    stream::iter(steps).then(read).boxed()
                }
            })
        }
    });
    (HeaderValue::from(len), Body::from_stream(chunks.try_flatten()))
}

/// A multipart/related response; `parts` are content type, location and content.
pub fn multipart(web: &Web, part_type: &str, parts: Vec<(String, String, Piece)>) -> Response {
    let writer = Writer::new(rand::random());
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    for (content_type, location, piece) in parts {
        pieces.push(Piece::Bytes(writer.head(&content_type, Some(&location), Some(piece.len()))));
        pieces.push(piece);
    }
    pieces.push(Piece::Bytes(writer.close()));
    let (len, body) = stream_pieces(web, pieces);
    let mut response = body.into_response();
    insert(response.headers_mut(), header::CONTENT_TYPE, &writer.content_type(part_type));
    response.headers_mut().insert(header::CONTENT_LENGTH, len);
    response
}

/// Sets a header whose value was put together from checked parts.
pub fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
}

/// Bytes in one part, or the stretch that a `Range` header asks for (RFC 9110 §14).
pub fn ranged(web: &Web, request: &HeaderMap, content_type: &str, piece: Piece) -> Result<Response, WebError> {
    let len = piece.len();
    let (status, range) = match wanted_range(request, len)? {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..len),
    };
    let content_range = (status == StatusCode::PARTIAL_CONTENT)
        .then(|| format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1)));
    let (content_length, body) = stream_pieces(web, vec![part_of(piece, range)]);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, content_length);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(content_range) = content_range {
        insert(headers, header::CONTENT_RANGE, &content_range);
    }
    Ok(response)
}

fn part_of(piece: Piece, range: Range<u64>) -> Piece {
    match piece {
        Piece::Bytes(bytes) => Piece::Bytes(bytes.slice(range.start as usize..range.end as usize)),
        Piece::File(instance) if range == (0..instance.len) => Piece::File(instance),
        Piece::File(instance) => Piece::Range(instance, range),
        Piece::Range(instance, whole) => Piece::Range(instance, whole.start + range.start..whole.start + range.end),
    }
}

/// `None` without a usable Range header; several ranges at once are answered with the whole (RFC 9110 allows it).
fn wanted_range(request: &HeaderMap, len: u64) -> Result<Option<Range<u64>>, WebError> {
    let Some(text) = request.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let Ok(parsed) = http_range_header::parse_range_header(text) else { return Ok(None) };
    let ranges = parsed.validate(len).map_err(|_| WebError::Range(len))?;
    Ok(match ranges.as_slice() {
        [range] => Some(*range.start()..range.end() + 1),
        _ => None,
    })
}

/// A strong entity tag for a representation made of these parts.
pub fn entity_tag(parts: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether the client holds this representation already.
pub fn is_held(request: &HeaderMap, tag: &str) -> bool {
    let held = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    held.flat_map(|value| value.split(','))
        .any(|held| matches!(held.trim(), held if held == tag || held.strip_prefix("W/") == Some(tag)))
}

pub fn not_modified(tag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, cache_headers(tag)).into_response()
}

pub fn cache_headers(tag: &str) -> [(header::HeaderName, String); 2] {
    [(header::ETAG, tag.to_owned()), (header::CACHE_CONTROL, REVALIDATE.to_owned())]
}

/// What the request accepts, from its headers and its `accept` parameter.
pub fn accepted(request: &HeaderMap, parameters: &[(String, String)]) -> Vec<Acceptable> {
    let headers = request.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let parameter = parameters.iter().find(|(name, _)| name == "accept").map(|(_, value)| value.as_str());
    crate::media_type::accept(headers, parameter)
}

/// The JSON type to answer with, or 406.
pub fn json_type(accepted: &[Acceptable]) -> Result<&'static str, WebError> {
    let types = [DICOM_JSON, "application/json"];
    let choose = |a: &Acceptable| types.into_iter().find(|t| !a.multipart && a.media.covers(t));
    accepted.iter().find_map(choose).ok_or_else(|| WebError::not_acceptable(&types.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn ranges_are_cut_to_the_resource() {
        let wanted = |text| wanted_range(&headers(header::RANGE, text), 10);
        assert_eq!(wanted("bytes=0-3").unwrap(), Some(0..4));
        assert_eq!(wanted("bytes=5-").unwrap(), Some(5..10));
        assert_eq!(wanted("bytes=-2").unwrap(), Some(8..10));
        assert_eq!(wanted("lines=1-2").unwrap(), None);
        assert!(matches!(wanted("bytes=10-12"), Err(WebError::Range(10))));
    }

    #[test]
    fn an_entity_tag_matches_strong_weak_and_in_lists() {
        let tag = entity_tag("x");
        for value in [tag.clone(), format!("W/{tag}"), format!("\"a\", {tag}")] {
            assert!(is_held(&headers(header::IF_NONE_MATCH, &value), &tag), "{value}");
        }
        assert!(!is_held(&HeaderMap::new(), &tag));
    }

    #[test]
    fn json_is_chosen_by_accept() {
        let choose = |text: &str| json_type(&accepted(&headers(header::ACCEPT, text), &[]));
        assert_eq!(choose("application/json").unwrap(), "application/json");
        assert_eq!(choose("*/*").unwrap(), DICOM_JSON);
        assert!(choose("multipart/related; type=\"application/dicom+xml\"").is_err());
    }
}
