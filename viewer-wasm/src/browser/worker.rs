//! Inside a worker: fetch a frame as it is stored and decode it. Nothing here touches the page.

use js_sys::{
    Array, ArrayBuffer, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Object, Reflect, Uint8Array,
    Uint16Array, Uint32Array,
};
use pacs_core::pixel::{Frame, ImagePixel, PhotometricInterpretation, Samples, decode};
use pacs_core::{Attributes, TransferSyntax};
use serde_json::Value;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, Request, Response};

use super::fetch::problem;
use super::pool::get;
use crate::model::{LoadError, Problem};

/// As stored, whatever the transfer syntax.
const AS_STORED: &str = "application/octet-stream; transfer-syntax=*";
/// Without a transfer syntax the server decodes to Explicit VR Little Endian (PS3.18 §8.7.3.5.2).
const DECODED: &str = "application/octet-stream";

/// Answers one message of the pool.
#[wasm_bindgen]
pub async fn load_frame(message: JsValue) {
    console_error_panic_hook::set_once();
    let text = |name| get(&message, name).and_then(|value| value.as_string()).unwrap_or_default();
    let by_server = get(&message, "by_server").is_some_and(|value| value.is_truthy());
    let result = frame(&text("url"), &text("image"), by_server).await;
    let answer = Object::new();
    set(&answer, "id", &get(&message, "id").unwrap_or_default());
    let transfer = Array::new();
    write_result(&answer, result, &transfer);
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    // A page that is gone needs no answer.
    let _ = scope.post_message_with_transfer(&answer, &transfer);
}

async fn frame(url: &str, image: &str, by_server: bool) -> Result<Frame, LoadError> {
    let (transfer_syntax, bytes) = fetch(url, if by_server { DECODED } else { AS_STORED }).await?;
    let image: Value = serde_json::from_str(image).unwrap_or_default();
    let attributes = Attributes::of(&image).ok_or_else(|| LoadError::Decode("no attributes".into()))?;
    let mut image = ImagePixel::of(attributes).map_err(|error| LoadError::Decode(error.to_string()))?;
    if by_server {
        // Decoded frames are interleaved RGB whatever the stored ones were.
        image.planar = false;
        if image.samples_per_pixel == 3 {
            image.photometric = PhotometricInterpretation::Rgb;
        }
    }
    decode(&transfer_syntax, &image, &bytes, 0).map_err(|error| LoadError::Decode(error.to_string()))
}

async fn fetch(url: &str, accept: &str) -> Result<(TransferSyntax, Vec<u8>), LoadError> {
    let offline = |_: JsValue| LoadError::Fetch(Problem::Offline);
    let request = Request::new_with_str(url).map_err(offline)?;
    request.headers().set("Accept", accept).map_err(offline)?;
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_request(&request)).await.map_err(offline)?;
    let response: Response = response.unchecked_into();
    let body = JsFuture::from(response.array_buffer().map_err(offline)?).await.map_err(offline)?;
    let bytes = Uint8Array::new(&body).to_vec();
    if !response.ok() {
        let problem = problem(response.status(), &String::from_utf8_lossy(&bytes));
        return Err(LoadError::Fetch(problem));
    }
    let content_type = response.headers().get("Content-Type").ok().flatten().unwrap_or_default();
    Ok((transfer_syntax(&content_type), bytes))
}

/// The `transfer-syntax` parameter of a media type; Explicit VR Little Endian where it is left out.
fn transfer_syntax(content_type: &str) -> TransferSyntax {
    let parameters = content_type.split(';').filter_map(|part| part.trim().split_once('='));
    let named = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("transfer-syntax"));
    let uid = named.filter_map(|(_, value)| value.trim_matches('"').parse().ok()).next();
    uid.map_or_else(TransferSyntax::explicit_little, TransferSyntax::new)
}

fn write_result(answer: &Object, result: Result<Frame, LoadError>, transfer: &Array) {
    match result {
        Ok(frame) => {
            let (kind, buffer) = to_buffer(&frame.samples);
            transfer.push(&buffer);
            set(answer, "rows", &frame.rows.into());
            set(answer, "columns", &frame.columns.into());
            set(answer, "samples_per_pixel", &frame.samples_per_pixel.into());
            set(answer, "kind", &kind.into());
            set(answer, "buffer", &buffer);
        }
        Err(LoadError::Decode(reason)) => set(answer, "reason", &reason.into()),
        Err(LoadError::Fetch(Problem::Status { status, detail })) => {
            set(answer, "status", &status.into());
            set(answer, "detail", &detail.into());
        }
        Err(LoadError::Fetch(_)) => {}
    }
}

/// The number and the result in a worker's answer; the reverse of what [`load_frame`] writes.
pub fn read_result(answer: &JsValue) -> Option<(u32, Result<Frame, LoadError>)> {
    let number = |name| get(answer, name).and_then(|value| value.as_f64());
    let text = |name| get(answer, name).and_then(|value| value.as_string());
    let id = number("id")? as u32;
    if let Some(buffer) = get(answer, "buffer") {
        let samples = from_buffer(&text("kind")?, buffer.unchecked_ref())?;
        let (rows, columns) = (number("rows")? as u16, number("columns")? as u16);
        let samples_per_pixel = number("samples_per_pixel")? as u8;
        return Some((id, Ok(Frame { rows, columns, samples_per_pixel, samples })));
    }
    let error = match (text("reason"), number("status")) {
        (Some(reason), _) => LoadError::Decode(reason),
        (None, Some(status)) => {
            let problem = Problem::Status { status: status as u16, detail: text("detail").unwrap_or_default() };
            LoadError::Fetch(problem)
        }
        (None, None) => LoadError::Fetch(Problem::Offline),
    };
    Some((id, Err(error)))
}

fn to_buffer(samples: &Samples) -> (&'static str, ArrayBuffer) {
    match samples {
        Samples::U8(v) => ("u8", Uint8Array::from(&v[..]).buffer()),
        Samples::I8(v) => ("i8", Int8Array::from(&v[..]).buffer()),
        Samples::U16(v) => ("u16", Uint16Array::from(&v[..]).buffer()),
        Samples::I16(v) => ("i16", Int16Array::from(&v[..]).buffer()),
        Samples::U32(v) => ("u32", Uint32Array::from(&v[..]).buffer()),
        Samples::I32(v) => ("i32", Int32Array::from(&v[..]).buffer()),
        Samples::F32(v) => ("f32", Float32Array::from(&v[..]).buffer()),
        Samples::F64(v) => ("f64", Float64Array::from(&v[..]).buffer()),
    }
}

fn from_buffer(kind: &str, buffer: &ArrayBuffer) -> Option<Samples> {
    Some(match kind {
        "u8" => Samples::U8(Uint8Array::new(buffer).to_vec()),
        "i8" => Samples::I8(Int8Array::new(buffer).to_vec()),
        "u16" => Samples::U16(Uint16Array::new(buffer).to_vec()),
        "i16" => Samples::I16(Int16Array::new(buffer).to_vec()),
        "u32" => Samples::U32(Uint32Array::new(buffer).to_vec()),
        "i32" => Samples::I32(Int32Array::new(buffer).to_vec()),
        "f32" => Samples::F32(Float32Array::new(buffer).to_vec()),
        "f64" => Samples::F64(Float64Array::new(buffer).to_vec()),
        _ => return None,
    })
}

/// Sets a member of a plain object, which cannot fail.
pub fn set(object: &Object, name: &str, value: &JsValue) {
    let _ = Reflect::set(object, &name.into(), value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transfer_syntax_is_read_from_the_media_type() {
        let check = |content_type: &str, uid: &str| assert_eq!(transfer_syntax(content_type).uid().as_str(), uid);
        check("image/jls; transfer-syntax=1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.80");
        check("image/jp2;Transfer-Syntax=\"1.2.840.10008.1.2.4.90\"", "1.2.840.10008.1.2.4.90");
        check("application/octet-stream", "1.2.840.10008.1.2.1");
        check("application/octet-stream; transfer-syntax=nonsense", "1.2.840.10008.1.2.1");
    }
}
