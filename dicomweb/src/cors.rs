//! Web applications of other origins (Fetch standard, CORS), where the configuration lets them in.

use crate::config::WebConfig;
use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, header},
};
use std::time::Duration;
use tower::ServiceExt;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// What a browser shows to the application besides the body.
const SHOWN: [HeaderName; 11] = [
    header::ACCEPT_RANGES,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::ETAG,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
    header::WARNING,
    HeaderName::from_static("x-resolutions"),
];
/// A browser asks anew whether it may ask.
const KEPT: Duration = Duration::from_secs(600);

/// Who is let in. Without sign-in nobody is: any page that is open in a browser could read all there is.
pub fn origins(config: &WebConfig) -> Vec<String> {
    if config.insecure_no_auth && !config.allowed_origins.is_empty() {
        tracing::warn!("web.allowed_origins is not heeded without sign-in");
        return Vec::new();
    }
    config.allowed_origins.clone()
}

/// The router, open to applications of these origins. `OPTIONS` that is no question of a browser's stays what it is, a
/// request for Capabilities.
pub fn open(router: Router, origins: &[String]) -> Router {
    if origins.is_empty() {
        return router;
    }
    let origins: Vec<_> = origins.iter().map(|origin| origin.trim_end_matches('/')).collect();
    let named = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let allowed = match origins.contains(&"*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(named),
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(SHOWN)
        .max_age(KEPT);
    let open = router.clone().layer(layer);
    let either = move |request: Request| {
        let is_question = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let is_capabilities = request.method() == Method::OPTIONS && !is_question;
        if is_capabilities { router.clone().oneshot(request) } else { open.clone().oneshot(request) }
    };
    Router::new().fallback_service(tower::service_fn(either))
}
