//! Web applications of other makers, served from folders on our origin: so the session of our sign-in is theirs too.

mod folder;

use crate::config::AppConfig;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{Redirect, Response},
    routing::get,
};
use folder::Folder;
use std::sync::Arc;
use tower::ServiceExt;
use tower_http::services::{ServeDir, fs::DefaultServeDirFallback};

const INDEX: &str = "/index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

/// The routes of the configured applications, each below its path.
pub fn router<S: Clone + Send + Sync + 'static>(apps: &[AppConfig]) -> Router<S> {
    apps.iter().fold(Router::new(), |router, app| {
        let (path, served) = (app.path.as_str(), Arc::new(App::new(app)));
        let routes = Router::new()
            .route(path, get(with_slash))
            .route(&format!("{path}/"), get(file))
            .route(&format!("{path}/{{*file}}"), get(file));
        router.merge(routes.with_state(served))
    })
}

struct App {
    path: String,
    files: ServeDir<DefaultServeDirFallback, Folder>,
    headers: HeaderMap,
}

impl App {
    fn new(config: &AppConfig) -> Self {
        let path = config.path.as_str().to_owned();
        let files = ServeDir::with_backend(&config.folder, Folder::new(&config.folder));
        Self { files: files.precompressed_gzip().redirect_path_prefix(path.as_str()), path, headers: security(config) }
    }

    /// Answers a request as if for `file`, an address below the folder.
    async fn answer(&self, head: &Parts, file: &str) -> Response {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = file.parse().unwrap_or_default();
        *request.headers_mut() = head.headers.clone();
        match self.files.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

/// Without the slash an application's relative addresses would be ours.
async fn with_slash(State(app): State<Arc<App>>, uri: Uri) -> Redirect {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::permanent(&format!("{}/{query}", app.path))
}

/// A file of the folder; where there is none, what a browser opens as a page is the application's own affair.
async fn file(State(app): State<Arc<App>>, head: Parts) -> Response {
    let path = head.uri.path().strip_prefix(&app.path).unwrap_or(INDEX).to_owned();
    let mut response = app.answer(&head, &path).await;
    let mut caching = if is_named_by_content(&path) { FOR_EVER } else { ASK_AGAIN };
    if !response.status().is_success() && response.status() != StatusCode::NOT_MODIFIED {
        caching = ASK_AGAIN;
    }
    if response.status() == StatusCode::NOT_FOUND && is_page(&head.headers) {
        response = app.answer(&head, INDEX).await;
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response.headers_mut().extend(app.headers.clone());
    response
}

fn is_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Whether a name carries a digest of the content, such as `app.bundle.0f6159c501addfe9.js`; a date is none.
fn is_named_by_content(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(['-', '.', '_']).any(|word| {
        word.len() >= 8
            && word.bytes().all(|b| b.is_ascii_hexdigit())
            && word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic())
    })
}

/// What keeps the application's code to our origin, and what lets it use memory that its workers share.
fn security(config: &AppConfig) -> HeaderMap {
    let policy = HeaderValue::from_str(&config.content_security_policy).ok();
    let isolation = [
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-embedder-policy"), HeaderValue::from_static("require-corp")),
    ];
    policy
        .map(|policy| (header::CONTENT_SECURITY_POLICY, policy))
        .into_iter()
        .chain(isolation.into_iter().filter(|_| config.cross_origin_isolated))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_digest_are_kept_for_ever() {
        for name in ["/app.bundle.0f6159c501addfe9.js", "/assets/a34f9d1faa5f3315.woff2", "/index-0a1b2c3d.css"] {
            assert!(is_named_by_content(name), "{name}");
        }
        for name in ["/", "/index.html", "/app-config.js", "/2493.css", "/report-20260101.json", "/0a1b2c3d4e5f/x.js"] {
            assert!(!is_named_by_content(name), "{name}");
        }
    }
}
