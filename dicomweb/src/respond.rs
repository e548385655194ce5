//! Pieces of responses that several services share: conditional requests, byte ranges, streamed bodies.

use crate::{
    bulkdata, convert, decode, error::WebError, frames, media_type::Acceptable, multipart::Writer, transcode, web::Web,
    xml::DICOM_XML,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{
    StreamExt, TryFutureExt, TryStreamExt,
    stream::{self, BoxStream},
};
use pacs_core::pixel::{PixelError, Target};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
    sync::Arc,
};
use storage::StoredInstance;

/// What browsers may keep: nothing unless they ask again, so that rights are checked each time.
pub const REVALIDATE: &str = "private, no-cache";
/// What they must not keep at all.
pub const NO_STORE: &str = "private, no-store";
pub const DICOM_JSON: &str = "application/dicom+json";
/// What the DICOM JSON model is sent as, the default first.
pub const JSON_TYPES: [&str; 2] = [DICOM_JSON, "application/json"];

/// One stretch of a body.
pub enum Piece {
    Bytes(Bytes),
    /// A whole stored file.
    File(Arc<StoredInstance>),
    /// A stretch of a stored file; the bytes of each value of this width are put in little endian order, from big.
    Range(Arc<StoredInstance>, Range<u64>, usize),
    /// A frame (from 0) as Explicit VR Little Endian pixel data of this many bytes.
    Frame(Arc<StoredInstance>, u32, u64),
    /// A stored file, rewritten in Explicit VR Little Endian.
    Converted(Arc<StoredInstance>),
    /// A stored file, rewritten with its frames in a compression.
    Encoded(Arc<StoredInstance>, Target),
    /// A frame (from 0) as it leaves in this form.
    Sent(Arc<StoredInstance>, u32, frames::Form),
    /// A value of the data set, by its place in it.
    Value(Arc<StoredInstance>, Vec<bulkdata::Step>),
}

/// A range is read in steps of this many bytes, so that memory stays bounded.
const STEP: u64 = 1 << 20;

impl Piece {
    /// Length in bytes, where it is known beforehand.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(instance) => (!instance.is_corrected()).then_some(instance.len),
            Self::Range(_, range, _) => Some(range.end.saturating_sub(range.start)),
            Self::Frame(_, _, len) => Some(*len),
            Self::Converted(_) | Self::Encoded(..) | Self::Sent(..) | Self::Value(..) => None,
        }
    }

    pub fn stream(self, web: Web) -> BoxStream<'static, Result<Bytes, WebError>> {
        match self {
            Self::Bytes(bytes) => stream::once(async { Ok(bytes) }).boxed(),
            Self::File(instance) => {
                let whole =
                    async move { Ok::<_, WebError>(web.archive.read(&instance).await?.map_err(WebError::from)) };
                whole.try_flatten_stream().boxed()
            }
            Self::Range(instance, range, width) => {
                let steps = range.clone().step_by(STEP as usize).map(move |at| at..range.end.min(at + STEP));
                stream::iter(steps).then(move |step| read(web.clone(), Arc::clone(&instance), step, width)).boxed()
            }
            Self::Frame(instance, index, len) => {
                stream::once(async move { frame(&web, &instance, index, len).await }).boxed()
            }
            Self::Encoded(instance, target) => {
                let whole = async move { transcode::file(&web, &instance, target).await };
                whole.map_ok(|(_, file)| transcode::content(file)).try_flatten_stream().boxed()
            }
            Self::Sent(instance, index, form) => {
                stream::once(async move { frames::content(&web, &instance, index, form).await }).boxed()
            }
            Self::Value(instance, steps) => {
                let piece = async move { Ok(bulkdata::locate(&web, &instance, &steps).await?.stream(web)) };
                piece.try_flatten_stream().boxed()
            }
            Self::Converted(instance) => {
                let plan = async move {
                    let pieces = convert::explicit_little(&web, &instance).await?;
                    Ok::<_, WebError>(stream::iter(pieces).flat_map(move |piece| piece.stream(web.clone())))
                };
                plan.try_flatten_stream().boxed()
            }
        }
    }
}

async fn read(web: Web, instance: Arc<StoredInstance>, step: Range<u64>, width: usize) -> Result<Bytes, WebError> {
    let bytes = web.archive.read_range(&instance, step).await?;
    if width == 1 {
        return Ok(bytes);
    }
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    Ok(bytes.into())
}

/// Breaks the body off rather than sending a frame of another length than the header promised.
async fn frame(web: &Web, instance: &StoredInstance, index: u32, len: u64) -> Result<Bytes, WebError> {
    let bytes = decode::little_endian(web, instance, index).await?;
    if bytes.len() as u64 == len {
        return Ok(bytes);
    }
    let (expected, actual) = (usize::try_from(len).unwrap_or(usize::MAX), bytes.len());
    Err(PixelError::Length { expected, actual }.into())
}

/// A body read as the client takes it, with its length where that is known.
pub fn stream_pieces(web: &Web, pieces: Vec<Piece>) -> Response {
    let len = pieces.iter().map(Piece::len).sum::<Option<u64>>();
    let web = web.clone();
    let body = Body::from_stream(stream::iter(pieces).flat_map(move |piece| piece.stream(web.clone())));
    let mut response = body.into_response();
    response.headers_mut().extend(len.map(|len| (header::CONTENT_LENGTH, HeaderValue::from(len))));
    response
}

/// A multipart/related response; `parts` are content type, location and content.
pub fn multipart(web: &Web, part_type: &str, parts: Vec<(String, String, Piece)>) -> Response {
    let writer = Writer::new(rand::random());
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    for (content_type, location, piece) in parts {
        pieces.push(Piece::Bytes(writer.head(&content_type, Some(&location), piece.len())));
        pieces.push(piece);
    }
    pieces.push(Piece::Bytes(writer.close()));
    let mut response = stream_pieces(web, pieces);
    insert(response.headers_mut(), header::CONTENT_TYPE, &writer.content_type(part_type));
    response
}

/// Sets a header whose value was put together from checked parts.
pub fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
}

/// As [`insert`], beside what the header has already.
pub fn append(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}

/// Bytes in one part, or the stretch that a `Range` header asks for (RFC 9110 §14).
pub fn ranged(web: &Web, request: &HeaderMap, content_type: &str, piece: Piece) -> Result<Response, WebError> {
    let len = piece.len().unwrap_or_default();
    let range = wanted_range(request, len)?;
    let piece = match &range {
        Some(range) => cut(piece, range.clone()),
        None => piece,
    };
    let mut response = stream_pieces(web, vec![piece]);
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, content_type);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range {
        insert(headers, header::CONTENT_RANGE, &format!("bytes {}-{}/{len}", range.start, range.end - 1));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// The first bytes of a piece, as many as these.
pub fn limited(piece: Piece, len: Option<u64>) -> Piece {
    match (len, piece.len()) {
        (Some(len), Some(all)) if len < all => cut(piece, 0..len),
        _ => piece,
    }
}

/// A stretch of a piece that is bytes already.
fn cut(piece: Piece, range: Range<u64>) -> Piece {
    match piece {
        Piece::Bytes(bytes) => Piece::Bytes(bytes.slice(range.start as usize..range.end as usize)),
        Piece::File(instance) => Piece::Range(instance, range, 1),
        Piece::Range(instance, whole, width) => {
            Piece::Range(instance, whole.start + range.start..whole.start + range.end, width)
        }
        whole => whole,
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

/// How data sets leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One array, as this media type.
    Json(&'static str),
    /// A document of the Native DICOM Model each, in parts.
    Xml,
}

/// What [`Form`]s are offered as, the default first.
pub const FORMS: [&str; 3] = [JSON_TYPES[0], JSON_TYPES[1], "multipart/related; type=\"application/dicom+xml\""];

impl Form {
    /// The first acceptable, or 406.
    pub fn of(accepted: &[Acceptable]) -> Result<Self, WebError> {
        let choose = |a: &Acceptable| {
            let json = JSON_TYPES.into_iter().find(|t| !a.multipart && a.media.covers(t));
            json.map(Self::Json).or_else(|| a.media.covers(DICOM_XML).then_some(Self::Xml))
        };
        accepted.iter().find_map(choose).ok_or_else(|| WebError::not_acceptable(&FORMS.join(", ")))
    }
}

/// Documents in parts; the client asks for them by one type (PS3.18 §8.6.1.1.2). No content where there is none: there
/// is no multipart without a part.
pub fn documents(documents: impl Iterator<Item = Vec<u8>>) -> Response {
    let writer = Writer::new(rand::random());
    let mut body = Vec::new();
    let mut documents = documents.peekable();
    if documents.peek().is_none() {
        return StatusCode::NO_CONTENT.into_response();
    }
    for document in documents {
        body.extend_from_slice(&writer.head(DICOM_XML, None, Some(document.len() as u64)));
        body.extend_from_slice(&document);
    }
    body.extend_from_slice(&writer.close());
    let mut response = Body::from(body).into_response();
    insert(response.headers_mut(), header::CONTENT_TYPE, &writer.content_type(DICOM_XML));
    response
}

/// The JSON type to answer with, or 406.
pub fn json_type(accepted: &[Acceptable]) -> Result<&'static str, WebError> {
    let choose = |a: &Acceptable| JSON_TYPES.into_iter().find(|t| !a.multipart && a.media.covers(t));
    accepted.iter().find_map(choose).ok_or_else(|| WebError::not_acceptable(&JSON_TYPES.join(", ")))
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
