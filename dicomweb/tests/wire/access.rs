//! Who may do what.

use crate::support::{Encoding, INSTANCE, PATH, Server, ct};
use axum::{
    body::Body,
    http::{Method, Request},
};
use storage::Role;

/// Method, path, and the roles besides the administrator that are let through.
fn routes() -> Vec<(Method, String, Vec<Role>)> {
    use Role::{Physician, Technician, Viewer};
    let search = vec![Physician, Technician, Viewer];
    let read = vec![Physician, Viewer];
    let store = vec![Physician, Technician];
    let (study, series) = ("/dicom-web/studies/1.2.3", "/dicom-web/studies/1.2.3/series/1.2.3.4");
    let mut routes = Vec::new();
    for path in ["studies", "series", "instances", "studies/1.2.3/series", "studies/1.2.3/instances"] {
        routes.push((Method::GET, format!("/dicom-web/{path}"), search.clone()));
    }
    routes.push((Method::GET, format!("{series}/instances"), search.clone()));
    routes.push((Method::GET, "/api/status".into(), search));
    for whole in [study, series, PATH] {
        for suffix in ["", "/metadata", "/rendered", "/thumbnail"] {
            routes.push((Method::GET, format!("{whole}{suffix}"), read.clone()));
        }
    }
    for suffix in ["/frames/1", "/frames/1/rendered", "/frames/1/thumbnail", "/bulkdata/7FE00010"] {
        routes.push((Method::GET, format!("{PATH}{suffix}"), read.clone()));
    }
    routes.push((Method::POST, "/dicom-web/studies".into(), store.clone()));
    routes.push((Method::POST, study.into(), store));
    for (method, path) in [
        (Method::GET, "/api/jobs"),
        (Method::GET, "/api/aes"),
        (Method::PUT, "/api/aes/CT1"),
        (Method::DELETE, "/api/aes/CT1"),
        (Method::POST, "/api/aes/CT1/echo"),
        (Method::GET, "/api/damage"),
        (Method::POST, "/api/damage"),
        (Method::GET, "/api/corrections"),
        (Method::POST, "/api/corrections"),
        (Method::DELETE, "/api/corrections/1?reason=x"),
        (Method::GET, "/api/retention"),
        (Method::GET, "/api/retention/deletions"),
        (Method::DELETE, "/api/retention/expired"),
        (Method::DELETE, "/api/retention/studies/1.2.3"),
        (Method::PUT, "/api/retention/studies/1.2.3/patient-class"),
        (Method::GET, "/api/worklist"),
        (Method::POST, "/api/worklist"),
        (Method::GET, "/api/worklist/1"),
        (Method::PUT, "/api/worklist/1"),
        (Method::DELETE, "/api/worklist/1"),
        (Method::PUT, "/api/worklist/1/status"),
        (Method::GET, "/api/performed-steps"),
        (Method::GET, "/api/performed-steps/1.2.3"),
        (Method::GET, "/api/holds"),
        (Method::POST, "/api/holds"),
        (Method::POST, "/api/holds/1/release"),
        (Method::GET, "/api/coercions"),
        (Method::PUT, "/api/coercions/c"),
        (Method::DELETE, "/api/coercions/c"),
        (Method::GET, "/api/routes"),
        (Method::GET, "/api/routes/queue"),
        (Method::PUT, "/api/routes/rules/r"),
        (Method::DELETE, "/api/routes/rules/r"),
        (Method::PUT, "/api/routes/destinations/d"),
        (Method::DELETE, "/api/routes/destinations/d"),
        (Method::DELETE, "/api/routes/destinations/d/queue"),
        (Method::POST, "/api/routes/destinations/d/pause"),
        (Method::POST, "/api/routes/destinations/d/resume"),
        (Method::POST, "/api/routes/destinations/d/retry"),
        (Method::POST, "/api/routes/destinations/d/send"),
    ] {
        routes.push((method, path.into(), vec![]));
    }
    for whole in [PATH, series, study] {
        routes.push((Method::DELETE, whole.into(), vec![]));
    }
    routes
}

async fn status(server: &Server, method: &Method, path: &str, authorization: Option<&str>) -> u16 {
    let request = Request::builder().method(method).uri(path).header("content-type", "text/plain");
    let request = authorization.iter().fold(request, |request, value| request.header("authorization", *value));
    server.send(request, Body::empty()).await.status.as_u16()
}

#[tokio::test]
async fn every_route_asks_who_and_lets_only_the_right_roles_through() {
    let server = Server::start(false).await;
    let roles = [Role::Physician, Role::Technician, Role::Viewer];
    let mut tokens = Vec::new();
    for role in roles {
        tokens.push((role, format!("Bearer {}", server.token(role).await)));
    }
    for (method, path, allowed) in routes() {
        assert_eq!(status(&server, &method, &path, None).await, 401, "{method} {path}");
        assert_eq!(status(&server, &method, &path, Some("Bearer guessed")).await, 401, "{method} {path}");
        for (role, token) in &tokens {
            let found = status(&server, &method, &path, Some(token)).await;
            assert_ne!(found, 401, "{method} {path} {role:?}");
            assert_eq!(found == 403, !allowed.contains(role), "{method} {path} {role:?}: {found}");
        }
    }
}

#[tokio::test]
async fn health_and_the_viewer_are_open() {
    let server = Server::start(false).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(&server, &Method::GET, path, None).await, 200, "{path}");
    }
    let page = server.get("/", "text/html").await;
    assert_ne!(page.status, 401);
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(status(&server, &Method::GET, "/../Cargo.toml", None).await, 404);
}

#[tokio::test]
async fn a_session_begins_lives_and_ends() {
    let server = Server::start(false).await;
    server.archive.add_user("dr", "correct horse battery", &[Role::Physician]).await.unwrap();
    let sign_in = |password: &str| {
        let body = serde_json::json!({ "user": "dr", "password": password }).to_string();
        server.send(Request::post("/api/session").header("content-type", "application/json"), body)
    };
    assert_eq!(sign_in("wrong").await.status, 401);
    let signed_in = sign_in("correct horse battery").await;
    assert_eq!(signed_in.json(), serde_json::json!({ "user": "dr", "roles": ["physician"] }));
    let cookie = signed_in.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let with = |request: axum::http::request::Builder| server.send(request.header("cookie", cookie), Body::empty());
    assert_eq!(with(Request::get("/api/session")).await.status, 200);
    assert_eq!(with(Request::get("/dicom-web/studies")).await.status, 200);
    let foreign = Request::post("/dicom-web/studies").header("sec-fetch-site", "cross-site");
    assert_eq!(with(foreign).await.status, 403);
    let own = Request::delete("/api/session").header("sec-fetch-site", "same-origin");
    assert_eq!(with(own).await.status, 204);
    assert_eq!(with(Request::get("/api/session")).await.status, 401);
}

#[tokio::test]
async fn an_old_client_may_send_its_password() {
    let server = Server::start(false).await;
    server.archive.add_user("dr", "correct horse battery", &[Role::Physician]).await.unwrap();
    let basic = |text| format!("Basic {}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text));
    let with = |value: String| async move { value };
    let good = with(basic("dr:correct horse battery")).await;
    assert_eq!(status(&server, &Method::GET, "/dicom-web/studies", Some(&good)).await, 200);
    assert_eq!(status(&server, &Method::GET, "/dicom-web/studies", Some(&basic("dr:wrong"))).await, 401);
}

#[tokio::test]
async fn reads_are_audited_once_and_without_values() {
    let server = Server::start(true).await;
    server.stow(&[ct(INSTANCE, Encoding::Explicit)]).await;
    for _ in 0..3 {
        server.get(&format!("{PATH}/frames/1"), "application/octet-stream").await;
    }
    for path in [PATH, "/dicom-web/studies/1.2.3"] {
        server.get(path, "multipart/related; type=\"application/dicom\"").await;
    }
    server.get("/dicom-web/studies?PatientName=Test*", "*/*").await;
    let trail = server.archive.audit_trail(100).await.unwrap();
    let of = |action| trail.iter().filter(|r| r.action == action).collect::<Vec<_>>();
    assert_eq!(of(storage::AuditAction::Read).len(), 1);
    let exports = of(storage::AuditAction::Export);
    assert_eq!((exports.len(), exports[0].study.as_deref()), (1, Some("1.2.3")));
    let queries = of(storage::AuditAction::Query);
    assert!(queries[0].detail.contains("PatientName") && !queries[0].detail.contains("Test"), "{queries:?}");
}
