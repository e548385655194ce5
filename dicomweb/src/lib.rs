//! DICOMweb (PS3.18), the viewer and its API, on one port.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | settings |
//! | `auth`, `session` | who asks, what they may do; signing in and out |
//! | `qido` | search (PS3.18 §10.6) |
//! | `wado`, `zipped`, `metadata`, `frames`, `bulkdata`, `rendered` | retrieve (§10.4) |
//! | `stow`, `commitment` | store (§10.5), and whether that is kept (Chapter 13) |
//! | `transactions` | the table of all these, from which the router is made |
//! | `capabilities`, [`conformance`] | what there is, for machines (§8.9) and for the conformance statement (PS3.2) |
//! | `non_patient` | palettes, protocols, templates (§12) |
//! | `versions` | several contents under one SOP Instance UID |
//! | `corrections` | merges, re-assignments, corrected attributes, rejections |
//! | `events`, `status`, `damage` | the change feed, health, jobs, what is damaged in the store |
//! | `worklist` | orders and their steps; for administrators |
//! | `peers` | application entities, and whether they answer; for administrators |
//! | `retention`, `holds` | what has expired, legal holds; for administrators |
//! | `routing` | what is sent on, and corrected on receipt, by rule; for administrators |
//! | `viewer` | the built-in files |
//! | `apps` | files of other viewers, from folders |
//! | `cors` | web applications of other origins |
//! | `media_type`, `multipart`, `model`, `xml` | Accept, multipart/related, data sets as JSON and XML, pure |
//! | `workers`, `decode`, `scan`, `convert`, `transcode` | work on pixels and bytes off the async threads, bounded |
//! | `asked`, `resource`, `respond`, `cache`, `buffer`, `web` | what the services share |
//! | `error` | failure → problem+json |
//!
//! Invariants: every route but health, sign-in and the viewers' files stands behind a [`auth::Right`]; a body, in
//! either direction, is never held whole unless it is one frame or one value; what a client sees of a failure is its
//! category.

mod apps;
mod asked;
mod auth;
mod buffer;
mod bulkdata;
mod cache;
mod capabilities;
mod commitment;
pub mod config;
pub mod conformance;
mod convert;
mod corrections;
mod cors;
mod damage;
mod decode;
pub mod error;
mod events;
mod frames;
mod holds;
mod media_type;
mod metadata;
mod model;
mod multipart;
mod non_patient;
mod peers;
mod qido;
mod quarantine;
mod rendered;
mod resource;
mod respond;
mod retention;
mod routing;
mod scan;
mod session;
mod status;
mod stow;
mod transactions;
mod transcode;
mod versions;
mod viewer;
mod wado;
mod wado_uri;
mod web;
mod workers;
mod workitems;
mod worklist;
mod xml;
mod zipped;

pub use config::WebConfig;
pub use peers::Echo;
pub use viewer::is_built as viewer_is_built;

use auth::Right;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, header},
    middleware,
    routing::{delete, get, post, put},
};
use capabilities::BASE;
use storage::Archive;
use tower::ServiceBuilder;
use tower_http::{
    CompressionLevel,
    compression::CompressionLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use web::Web;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Of a request body outside STOW-RS, which streams and counts its own, in bytes.
const MAX_BODY: usize = 64 << 10;

/// Everything that HTTP serves. The program listens, passes on the peer's address (`ConnectInfo<SocketAddr>`) and, where
/// configured, TLS; and it lends its `echo`.
pub fn router(archive: Archive, config: WebConfig, echo: Echo) -> Router {
    let apps = apps::router(&config.apps);
    let origins = cors::origins(&config);
    let web = Web::new(archive, config, echo);
    let behind = |right, routes: Router<Web>| {
        routes.route_layer(middleware::from_fn_with_state((web.clone(), right), auth::guard))
    };
    let dicom_web = transactions::router(behind).merge(behind(Right::Search, capabilities::routes()));
    let changes = behind(Right::Search, Router::new().route("/changes", get(events::changes)));
    let by_query = behind(Right::Read, Router::new().route("/wado", get(wado_uri::retrieve)));
    let api = behind(
        Right::Search,
        Router::new().route("/events", get(events::subscribe)).route("/status", get(status::status)),
    )
    .merge(behind(Right::Read, Router::new().route(versions::PATH, get(versions::list))))
    .merge(behind(Right::Administer, administration()))
    .route("/session", get(session::current).post(session::sign_in).delete(session::sign_out));
    let all = Router::new()
        .nest(BASE, dicom_web)
        // The base with its slash, as PS3.18 §8.9 has it.
        .nest(&format!("{BASE}/"), behind(Right::Search, capabilities::base()))
        .nest("/api", api)
        .merge(changes)
        .merge(by_query)
        .merge(apps)
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .fallback(get(viewer::file))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(
            ServiceBuilder::new()
                .layer(SetRequestIdLayer::new(X_REQUEST_ID, MakeRequestUuid))
                .layer(TraceLayer::new_for_http().make_span_with(span))
                .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
                .layer(constant(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .layer(constant(header::REFERRER_POLICY, "no-referrer"))
                .layer(constant(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
                .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(is_text)),
        )
        .with_state(web);
    cors::open(all, &origins)
}

fn administration() -> Router<Web> {
    Router::new()
        .route("/jobs", get(status::jobs))
        .route("/aes", get(peers::list))
        .route("/aes/{ae}", put(peers::put).delete(peers::remove))
        .route("/aes/{ae}/echo", post(peers::echo))
        .route("/damage", get(damage::list).post(damage::mend))
        .route("/quarantine", get(quarantine::list))
        .route("/quarantine/release", post(quarantine::release))
        .route("/quarantine/discard", post(quarantine::discard))
        .route("/corrections", get(corrections::list).post(corrections::make))
        .route("/corrections/{id}", delete(corrections::undo))
        .route("/worklist", get(worklist::list).post(worklist::add))
        .route("/worklist/{number}", get(worklist::one).put(worklist::replace).delete(worklist::remove))
        .route("/worklist/{number}/status", put(worklist::set_status))
        .route("/performed-steps", get(worklist::performed))
        .route("/performed-steps/{step}", get(worklist::performed_one))
        .route("/retention", get(retention::report))
        .route("/retention/expired", delete(retention::delete_expired))
        .route("/retention/deletions", get(retention::deletions))
        .route("/retention/studies/{study}", delete(retention::delete_early))
        .route("/retention/studies/{study}/patient-class", put(retention::set_patient_class))
        .route("/holds", get(holds::list).post(holds::add))
        .route("/holds/{number}/release", post(holds::release))
        .merge(routes())
}

fn routes() -> Router<Web> {
    Router::new()
        .route("/routes", get(routing::list))
        .route("/coercions", get(routing::coercions))
        .route("/coercions/{name}", put(routing::put_coercion).delete(routing::remove_coercion))
        .route("/routes/queue", get(routing::queue))
        .route("/routes/rules/{name}", put(routing::put_rule).delete(routing::remove_rule))
        .route("/routes/steps/{name}", put(routing::put_step_rule).delete(routing::remove_step_rule))
        .route("/routes/destinations/{name}", put(routing::put_destination).delete(routing::remove_destination))
        .route("/routes/destinations/{name}/pause", post(routing::pause))
        .route("/routes/destinations/{name}/resume", post(routing::resume))
        .route("/routes/destinations/{name}/retry", post(routing::retry))
        .route("/routes/destinations/{name}/send", post(routing::send))
        .route("/routes/destinations/{name}/queue", delete(routing::clear))
}

/// Path without query: its values may name patients.
fn span(request: &Request) -> tracing::Span {
    let id = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
}

fn constant(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// What is worth compressing: images are compressed already, events must not wait in a buffer.
fn is_text(
    _: axum::http::StatusCode,
    _: axum::http::Version,
    headers: &axum::http::HeaderMap,
    _: &axum::http::Extensions,
) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    matches!(
        essence,
        "application/dicom+json"
            | "application/json"
            | "application/problem+json"
            | "application/wasm"
            | "text/html"
            | "text/css"
            | "text/javascript"
            | "image/svg+xml"
    )
}
