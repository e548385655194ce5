//! The viewer's files, built into the program.

use crate::{
    error::WebError,
    respond::{is_held, not_modified},
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../viewer-wasm/dist"]
struct Dist;

/// Whether this program was built with the viewer inside.
pub fn is_built() -> bool {
    Dist::get(INDEX).is_some()
}

const INDEX: &str = "index.html";

const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'",
);

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Yinghai</title>\
    <h1>The viewer is not built into this program</h1>\
    <p>DICOMweb works under <code>/dicom-web</code>. For the viewer, run <code>scripts/run</code>, or build \
    <code>viewer-wasm</code> into <code>viewer-wasm/dist</code> and then <code>pacs-server</code> again.</p></html>";

/// Everything that no other route takes: a file of the viewer or 404.
pub async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, WebError> {
    let path = match uri.path().trim_start_matches('/') {
        "" | "viewer" | "devices" => INDEX,
        path => path,
    };
    let accepts = |coding: &str| {
        let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        encodings.split(',').any(|e| e.split(';').next().is_some_and(|name| name.trim() == coding))
    };
    let mut response = if let Some(file) = Dist::get(&format!("{path}.gz")).filter(|_| accepts("gzip")) {
        let mut response = answer(path, &file, &headers);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else if let Some(file) = Dist::get(path) {
        answer(path, &file, &headers)
    } else if path == INDEX {
        (StatusCode::SERVICE_UNAVAILABLE, Html(NOT_BUILT)).into_response()
    } else {
        return Err(WebError::not_found("there is nothing under this path"));
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

fn answer(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let digest = file.metadata.sha256_hash();
    let tag = format!("\"{}\"", digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>());
    if is_held(headers, &tag) {
        return not_modified(&tag);
    }
    let caching = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let head = [
        (header::CONTENT_TYPE, content_type(path).to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, caching.to_owned()),
    ];
    (head, file.data.to_vec()).into_response()
}

/// Whether the name carries a digest of the content, such as `viewer-0a1b2c3d4e5f.js`.
fn is_hashed(path: &str) -> bool {
    let words = path.split(['-', '.', '_', '/']);
    path.starts_with("assets/") && words.into_iter().any(|w| w.len() >= 8 && w.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_digest_are_kept_for_ever() {
        assert!(is_hashed("assets/viewer-0a1b2c3d4e5f6789_bg.wasm"));
        assert!(!is_hashed("assets/viewer.js") && !is_hashed("index.html"));
    }

    #[test]
    fn webassembly_has_its_type() {
        assert_eq!(content_type("assets/viewer_bg.wasm"), "application/wasm");
    }
}
