//! WADO-RS frames (PS3.18 §10.4.1.1.6).

use crate::{
    asked::Asked,
    decode,
    error::WebError,
    media_type::Acceptable,
    multipart::Writer,
    respond::{Piece, cache_headers, entity_tag, insert, is_held, not_modified, ranged},
    transcode,
    web::Web,
};
use axum::{
    body::Body,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use pacs_core::{
    frame_layout::FrameLayout,
    pixel::{Target, progressive},
    transfer_syntax::{Codec, EXPLICIT_VR_LITTLE_ENDIAN, Encoding, TransferSyntax},
};
use std::{collections::HashSet, sync::Arc};
use storage::{AuditAction, StoredInstance};

const OCTET_STREAM: &str = "application/octet-stream";
/// Frames of one request read or decoded ahead.
const AHEAD: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The encoded frame; native pixel data is little endian and starts at a byte.
    Stored,
    /// Samples in Explicit VR Little Endian.
    Decoded,
    /// Encoded anew.
    Encoded(Target),
}

#[derive(Debug, PartialEq)]
struct Choice {
    multipart: bool,
    form: Form,
    /// Without parameters.
    media: &'static str,
    transfer_syntax: String,
}

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let instance = asked.resource.sound_instance(&asked.web).await?;
    let frames = list(asked.resource.segment("frames"), count(&instance))?;
    asked.audit(AuditAction::Read, Some(&instance.study), "frames").await;
    answer(&asked, instance, frames).await
}

/// Frames (from 0) in the first acceptable form.
pub async fn answer(asked: &Asked, instance: Arc<StoredInstance>, frames: Vec<u32>) -> Result<Response, WebError> {
    let choice = choose(asked, &instance, frames.len() == 1).await?;
    let content_type = format!("{}; transfer-syntax={}", choice.media, choice.transfer_syntax);
    match frames.as_slice() {
        [index] if !choice.multipart => {
            let halved = halved(&asked.parameters)?;
            let tag = entity_tag((instance.id, index, format!("{:?}", choice.form), halved));
            if is_held(&asked.headers, &tag) {
                return Ok(not_modified(&tag));
            }
            let bytes = content(&asked.web, &instance, *index, choice.form).await?;
            let (bytes, told) = progressive(bytes, halved)?;
            let mut response = ranged(&asked.web, &asked.headers, &content_type, Piece::Bytes(bytes))?;
            told.iter().for_each(|told| insert(response.headers_mut(), RESOLUTIONS, told));
            Ok((cache_headers(&tag), response).into_response())
        }
        _ => parts(asked, instance, frames, &choice, content_type).await,
    }
}

/// Of a codestream that holds smaller images at its start (PS3.5 §10.18), the size of each and how many of the first bytes
/// it takes: for a client that shows the first of them and then sharpens it by `Range`.
const RESOLUTIONS: HeaderName = HeaderName::from_static("x-resolutions");

/// `resolution=N`, an extension: the image halved so many times, as a codestream of its own.
fn halved(parameters: &[(String, String)]) -> Result<usize, WebError> {
    let given = parameters.iter().find(|(name, _)| name == "resolution").map(|(_, value)| value.parse::<u8>());
    let given = given.transpose().map_err(|_| WebError::bad_request("resolution is how often the image is halved"))?;
    Ok(given.unwrap_or_default().into())
}

/// The image halved so many times, or as often as the codestream has it; and what it holds, if it tells that.
fn progressive(codestream: Bytes, halved: usize) -> Result<(Bytes, Option<String>), WebError> {
    let Ok(resolutions) = progressive::resolutions(&codestream) else { return Ok((codestream, None)) };
    let told = resolutions.iter().map(|one| format!("{}x{}={}", one.columns, one.rows, one.bytes));
    let told = told.collect::<Vec<_>>().join(", ");
    if halved == 0 {
        return Ok((codestream, Some(told)));
    }
    let index = resolutions.len().saturating_sub(1 + halved);
    Ok((progressive::smaller(&codestream, index)?.into(), None))
}

/// The first way that the client takes and that can be gone; what a compression cannot carry is left to the next.
async fn choose(asked: &Asked, instance: &StoredInstance, is_single: bool) -> Result<Choice, WebError> {
    let quality = asked.quality()?;
    let mut reasons = Vec::new();
    for choice in choices(&asked.accepted(), &instance.transfer_syntax, is_single, quality) {
        let Form::Encoded(target) = choice.form else { return Ok(choice) };
        match transcode::refusal(&asked.web, instance, target).await? {
            None => return Ok(choice),
            Some(reason) => reasons.push(format!("; not {}: {reason}", choice.transfer_syntax)),
        }
    }
    Err(WebError::not_acceptable(&(available(&instance.transfer_syntax) + &reasons.concat())))
}

/// Frames in parts, read as the client takes them. The first is made before the answer starts, so that a frame that
/// cannot be made is an error and not a broken body.
async fn parts(
    asked: &Asked,
    instance: Arc<StoredInstance>,
    frames: Vec<u32>,
    choice: &Choice,
    content_type: String,
) -> Result<Response, WebError> {
    let (web, addresses) = (asked.web.clone(), asked.addresses()?);
    let writer = Writer::new(rand::random());
    let (root, close) = (writer.content_type(choice.media), writer.close());
    let form = choice.form;
    let of = Arc::clone(&instance);
    let made = stream::iter(frames).map(move |index| {
        let (web, instance) = (web.clone(), Arc::clone(&of));
        async move { Ok::<_, WebError>((index, content(&web, &instance, index, form).await?)) }
    });
    let mut made = made.buffered(AHEAD);
    let first = made.next().await.transpose()?;
    let chunks = stream::iter(first.map(Ok)).chain(made).map_ok(move |(index, bytes)| {
        let location = addresses.of(&instance, &format!("/frames/{}", u64::from(index) + 1));
        let head = writer.head(&content_type, Some(&location), Some(bytes.len() as u64));
        stream::iter([Ok::<_, WebError>(head), Ok(bytes)])
    });
    let body = Body::from_stream(chunks.try_flatten().chain(stream::once(async { Ok(close) })));
    let mut response = ([(header::CACHE_CONTROL, "private, no-store")], body).into_response();
    insert(response.headers_mut(), header::CONTENT_TYPE, &root);
    Ok(response)
}

pub async fn content(web: &Web, instance: &StoredInstance, index: u32, form: Form) -> Result<Bytes, WebError> {
    match form {
        Form::Decoded => return decode::little_endian(web, instance, index).await,
        Form::Encoded(target) => return transcode::frame(web, instance, index, target).await,
        Form::Stored => {}
    }
    let (bytes, bit_offset) = web.archive.read_frame(instance, index).await?;
    if instance.transfer_syntax.encoding() == Encoding::ExplicitBig {
        let metadata = decode::metadata(web, instance).await?;
        return Ok(swapped(&bytes, sample_width(&metadata)));
    }
    Ok(match (&instance.frames, bit_offset) {
        (Some(FrameLayout::Native { frame_bits, .. }), 1..8) => aligned(&bytes, bit_offset, *frame_bits),
        _ => bytes,
    })
}

/// Bytes of one value of big endian pixel data: words of 16 bits where the VR is OW, whatever is packed in them
/// (PS3.5 §8.1.1).
fn sample_width(metadata: &serde_json::Value) -> usize {
    let bits = metadata.pointer("/00280100/Value/0").and_then(serde_json::Value::as_u64).unwrap_or(8);
    let is_words = metadata.pointer("/7FE00010/vr").and_then(serde_json::Value::as_str) == Some("OW");
    match bits {
        64 => 8,
        32 => 4,
        16 => 2,
        _ if is_words => 2,
        _ => 1,
    }
}

fn swapped(bytes: &[u8], width: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    bytes.into()
}

/// Moves a 1-bit frame that starts inside a byte to the start of one (PS3.5 §8.2: the lowest bit comes first).
fn aligned(bytes: &[u8], bit_offset: u8, frame_bits: u64) -> Bytes {
    let next = bytes.iter().skip(1).chain([&0]);
    let shifted = bytes.iter().zip(next).map(|(low, high)| low >> bit_offset | high << (8 - bit_offset));
    shifted.take(frame_bits.div_ceil(8) as usize).collect()
}

pub fn count(instance: &StoredInstance) -> u32 {
    instance.frames.as_ref().map_or(0, FrameLayout::frames)
}

/// Of one request: how many there are is what an object says.
const MOST_FRAMES: usize = 100_000;

/// Frame numbers of the path, from 1, as indices from 0; ranges such as `3-7` are an extension. Each is given out once:
/// repeated, a short path would ask for gigabytes.
pub fn list(text: &str, count: u32) -> Result<Vec<u32>, WebError> {
    let malformed = || WebError::bad_request("frames are numbers from 1 or ranges of them, separated by commas");
    let index = |number: &str| {
        let number: u32 = number.trim().parse().map_err(|_| malformed())?;
        let index = number.checked_sub(1).ok_or_else(malformed)?;
        if index < count {
            Ok(index)
        } else {
            Err(WebError::not_found(format!("there is no frame {number} of {count}")))
        }
    };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for piece in text.split(',') {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let (first, last) = (index(first)?, index(last)?);
        if first > last {
            return Err(malformed());
        }
        if (last - first) as usize >= MOST_FRAMES - found.len() {
            return Err(WebError::bad_request(format!("at most {MOST_FRAMES} frames are given at a time")));
        }
        for index in first..=last {
            if !seen.insert(index) {
                return Err(WebError::bad_request(format!("frame {} is asked for twice", u64::from(index) + 1)));
            }
            found.push(index);
        }
    }
    Ok(found)
}

/// What native pixel data is sent as.
fn syntax_sent(stored: &TransferSyntax) -> &str {
    if stored.codec() == Codec::Native { EXPLICIT_VR_LITTLE_ENDIAN } else { stored.uid().as_str() }
}

/// The ways that the client takes, best first, as far as the transfer syntax tells whether they can be gone.
fn choices(accepted: &[Acceptable], stored: &TransferSyntax, is_single: bool, quality: u8) -> Vec<Choice> {
    let is_decodable = !matches!(stored.codec(), Codec::Video | Codec::Unknown);
    let of = |a: &Acceptable| {
        let anything = a.media.essence == "*/*";
        if !a.multipart && !is_single && !anything {
            return Vec::new();
        }
        let (raw, encoded) = (a.media.covers(OCTET_STREAM), a.media.covers(stored.media_type()));
        let forms = match a.transfer_syntax.as_deref() {
            Some("*") if raw || encoded => vec![Form::Stored],
            Some(uid) if uid == syntax_sent(stored) && (raw || encoded) => vec![Form::Stored],
            Some(EXPLICIT_VR_LITTLE_ENDIAN) if raw && is_decodable => vec![Form::Decoded],
            Some(uid) => {
                let target = transcode::target(uid, quality).filter(|_| is_decodable);
                let suits = |target: &Target| raw || a.media.covers(target.transfer_syntax().media_type());
                target.filter(suits).map(Form::Encoded).into_iter().collect()
            }
            None if raw && stored.codec() == Codec::Native => vec![Form::Stored],
            None if raw && is_decodable => vec![Form::Decoded],
            None if encoded => vec![Form::Stored],
            None if is_decodable => transcode::targets_of(|e| a.media.covers(e), quality).map(Form::Encoded).collect(),
            None => Vec::new(),
        };
        let multipart = a.multipart || anything;
        forms.into_iter().map(|form| Choice::of(form, stored, multipart)).collect()
    };
    accepted.iter().flat_map(of).collect()
}

/// How each frame of compressed pixel data leaves in parts, and as what, where other bulk data leaves with it.
pub fn form_of(accepted: &[Acceptable], stored: &TransferSyntax) -> Result<(Form, String), WebError> {
    let as_it_is = accepted.iter().any(|a| a.media.essence == "*/*");
    let choice = if as_it_is {
        Some(Choice::of(Form::Stored, stored, true))
    } else {
        choices(accepted, stored, true, transcode::QUALITY).into_iter().find(|c| !matches!(c.form, Form::Encoded(_)))
    };
    let choice = choice.ok_or_else(|| WebError::not_acceptable(&available(stored)))?;
    Ok((choice.form, format!("{}; transfer-syntax={}", choice.media, choice.transfer_syntax)))
}

impl Choice {
    fn of(form: Form, stored: &TransferSyntax, multipart: bool) -> Self {
        let (media, transfer_syntax) = match form {
            Form::Stored => (stored.media_type(), syntax_sent(stored).to_owned()),
            Form::Decoded => (OCTET_STREAM, EXPLICIT_VR_LITTLE_ENDIAN.to_owned()),
            Form::Encoded(target) => (target.transfer_syntax().media_type(), target.transfer_syntax().to_string()),
        };
        Self { multipart, form, media, transfer_syntax }
    }
}

fn available(stored: &TransferSyntax) -> String {
    let (media, uid) = (stored.media_type(), syntax_sent(stored));
    let raw = format!("{OCTET_STREAM}; transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}");
    let of = if uid == EXPLICIT_VR_LITTLE_ENDIAN { raw } else { format!("{media}; transfer-syntax={uid}, {raw}") };
    let encoded = transcode::offered().map(|one| format!(", {}; transfer-syntax={one}", one.media_type()));
    format!("{of}{}, alone for one frame or as type of multipart/related", encoded.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::accept;
    use pacs_core::pixel::Lossless;
    use proptest::prelude::*;

    const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

    fn check(stored: &str, header: &str, expected: Option<(bool, Form, &str)>) {
        let stored = TransferSyntax::new(stored.parse().unwrap());
        let choices = choices(&accept([header].into_iter(), None), &stored, true, 90);
        assert_eq!(choices.first().map(|c| (c.multipart, c.form, c.media)), expected, "{header}");
    }

    #[test]
    fn a_frame_leaves_as_the_client_asks() {
        use Form::{Decoded, Encoded, Stored};
        let encoded = |lossless: Lossless| Encoded(lossless.into());
        check(JPEG_LS, "application/octet-stream; transfer-syntax=*", Some((false, Stored, "image/jls")));
        check(
            JPEG_LS,
            "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*",
            Some((true, Stored, "image/jls")),
        );
        check(JPEG_LS, "multipart/related; type=application/octet-stream", Some((true, Decoded, OCTET_STREAM)));
        check(JPEG_LS, "image/jls", Some((false, Stored, "image/jls")));
        check(
            JPEG_LS,
            "multipart/related; type=\"image/jls\"; transfer-syntax=1.2.840.10008.1.2.4.80",
            Some((true, Stored, "image/jls")),
        );
        check(JPEG_LS, "multipart/related; type=\"image/jp2\", */*;q=0.1", Some((true, Decoded, OCTET_STREAM)));
        check(JPEG_LS, "image/jpeg", Some((false, encoded(Lossless::Jpeg), "image/jpeg")));
        check(JPEG_LS, "image/*", Some((false, Stored, "image/jls")));
        check("1.2.840.10008.1.2.1", "image/jls", Some((false, encoded(Lossless::JpegLs), "image/jls")));
        check(
            "1.2.840.10008.1.2.1",
            "multipart/related; type=\"image/dicom-rle\"; transfer-syntax=1.2.840.10008.1.2.5",
            Some((true, encoded(Lossless::Rle), "image/dicom-rle")),
        );
        check("1.2.840.10008.1.2.4.103", "image/jls", None);
        check(JPEG_LS, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.90", None);
        check(
            "1.2.840.10008.1.2",
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
            Some((false, Stored, OCTET_STREAM)),
        );
        check("1.2.840.10008.1.2.4.103", "multipart/related", Some((true, Stored, "video/mp4")));
    }

    #[test]
    fn several_frames_need_parts() {
        let stored = TransferSyntax::explicit_little();
        assert_eq!(choices(&accept([OCTET_STREAM].into_iter(), None), &stored, false, 90), []);
        assert!(choices(&accept(["*/*"].into_iter(), None), &stored, false, 90)[0].multipart);
    }

    #[test]
    fn frame_numbers_count_from_one() {
        assert_eq!(list("1,3", 3).unwrap(), [0, 2]);
        assert_eq!(list("3,1-2", 3).unwrap(), [2, 0, 1]);
        for text in ["", "0", "a", "1,,2", "-1", "2-1", "1-2-3", "99999999999", "2,1,2", "1-2,2"] {
            assert_eq!(list(text, 3).unwrap_err().failure().http(), 400, "{text}");
        }
        assert_eq!(list("4", 3).unwrap_err().failure().http(), 404);
        assert_eq!(list("1-100000", u32::MAX).unwrap().len(), 100_000);
        assert_eq!(list("1-4000000000", u32::MAX).unwrap_err().failure().http(), 400);
    }

    proptest! {
        #[test]
        fn an_aligned_frame_has_the_same_bits(bytes in prop::collection::vec(any::<u8>(), 2..20), offset in 1u8..8) {
            let frame_bits = bytes.len() as u64 * 8 - u64::from(offset);
            let bit = |bytes: &[u8], at: u64| bytes[(at / 8) as usize] >> (at % 8) & 1;
            let out = aligned(&bytes, offset, frame_bits);
            prop_assert!((0..frame_bits).all(|at| bit(&out, at) == bit(&bytes, at + u64::from(offset))));
        }
    }
}
