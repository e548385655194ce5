//! Web applications of other makers, from a folder.

use crate::support::{Answer, Server};
use axum::{body::Body, http::Request};
use dicomweb::WebConfig;
use serde_json::json;
use std::{fs, os::unix::fs::symlink, path::Path};

async fn serve(folder: &Path, more: serde_json::Value) -> Server {
    let mut app = json!({ "path": "/ohif", "folder": folder });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let config: WebConfig = serde_json::from_value(json!({ "apps": [app] })).unwrap();
    Server::start_web(config).await
}

/// An application as npm unpacks it, and beside its folder what is nobody's business.
fn application() -> tempfile::TempDir {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("dist");
    fs::create_dir_all(folder.join("assets")).unwrap();
    fs::write(outside.path().join("secret.txt"), "secret").unwrap();
    for (name, text) in [
        ("index.html", "<!doctype html><title>the application</title>"),
        ("app.bundle.0f6159c501addfe9.js", "alert()"),
        ("decoder.wasm", "\0asm"),
        ("app-config.js", "window.config = {}"),
        ("assets/icon.png", "png"),
        (".env", "secret"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    symlink(outside.path(), folder.join("out")).unwrap();
    symlink(outside.path().join("secret.txt"), folder.join("secret.txt")).unwrap();
    symlink("app-config.js", folder.join("config.js")).unwrap();
    outside
}

async fn page(server: &Server, path: &str) -> Answer {
    server.get(path, "text/html,application/xhtml+xml,*/*;q=0.8").await
}

#[tokio::test]
async fn files_come_with_their_types_and_as_long_as_their_names_allow() {
    let outside = application();
    let server = serve(&outside.path().join("dist"), json!({})).await;
    for (file, content_type, caching) in [
        ("", "text/html", "no-cache"),
        ("index.html", "text/html", "no-cache"),
        ("app-config.js", "text/javascript", "no-cache"),
        ("config.js", "text/javascript", "no-cache"),
        ("app.bundle.0f6159c501addfe9.js", "text/javascript", "public, max-age=31536000, immutable"),
        ("decoder.wasm", "application/wasm", "no-cache"),
        ("assets/icon.png", "image/png", "no-cache"),
    ] {
        let answer = server.get(&format!("/ohif/{file}"), "*/*").await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("content-type"), content_type, "{file}");
        assert_eq!(answer.header("cache-control"), caching, "{file}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let again = Request::get(format!("/ohif/{file}")).header("if-none-match", answer.header("etag"));
        assert_eq!(server.send(again, Body::empty()).await.status, 304, "{file}");
    }
    let answer = server.get("/ohif?StudyInstanceUIDs=1.2.3", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (308, "/ohif/?StudyInstanceUIDs=1.2.3"));
}

#[tokio::test]
async fn a_page_that_is_no_file_is_the_applications_own_affair() {
    let outside = application();
    let server = serve(&outside.path().join("dist"), json!({})).await;
    for path in ["/ohif/viewer?StudyInstanceUIDs=1.2.3", "/ohif/viewer/dicomweb/", "/ohif/a/1.2.3"] {
        let answer = page(&server, path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(String::from_utf8_lossy(&answer.body).contains("the application"), "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache");
        assert_eq!(server.get(path, "*/*").await.status, 404, "a script or image that is missing is missing");
    }
    assert_eq!(server.get("/ohif/missing.0f6159c501addfe9.js", "*/*").await.header("cache-control"), "no-cache");
    assert_eq!(server.send(Request::post("/ohif/"), Body::empty()).await.status, 405);
}

#[tokio::test]
async fn nothing_outside_the_folder_and_nothing_hidden_is_served() {
    let outside = application();
    let server = serve(&outside.path().join("dist"), json!({})).await;
    for path in [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "assets/%2e%2e/%2e%2e/secret.txt",
        "secret.txt",
        "out/secret.txt",
        "out/",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        ".env",
        "%00",
        "%ff",
    ] {
        let answer = server.get(&format!("/ohif/{path}"), "*/*").await;
        assert_eq!(answer.status, 404, "{path}");
        let shown = page(&server, &format!("/ohif/{path}")).await;
        assert!(!String::from_utf8_lossy(&shown.body).contains("secret"), "{path}");
    }
}

#[tokio::test]
async fn a_new_version_is_seen_though_its_files_have_the_old_size_and_time() {
    let outside = application();
    let (dist, link) = (outside.path().join("dist"), outside.path().join("current"));
    symlink(&dist, &link).unwrap();
    let server = serve(&link, json!({})).await;
    let old = server.get("/ohif/", "*/*").await;
    let time = fs::metadata(dist.join("index.html")).unwrap().modified().unwrap();
    let next = outside.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("index.html"), "<!doctype html><title>the replacement</title>").unwrap();
    fs::File::options().write(true).open(next.join("index.html")).unwrap().set_modified(time).unwrap();
    fs::remove_file(&link).unwrap();
    symlink(&next, &link).unwrap();
    let again = Request::get("/ohif/").header("if-none-match", old.header("etag"));
    let new = server.send(again.header("if-modified-since", old.header("last-modified")), Body::empty()).await;
    assert_eq!((new.status.as_u16(), new.body.len()), (200, old.body.len()));
    assert!(String::from_utf8_lossy(&new.body).contains("replacement"));
}

#[tokio::test]
async fn its_code_reaches_our_origin_only_unless_the_configuration_says_more() {
    let outside = application();
    let dist = outside.path().join("dist");
    let closed = serve(&dist, json!({})).await.get("/ohif/", "*/*").await;
    assert!(closed.header("content-security-policy").contains("connect-src 'self' blob: data:;"));
    assert_eq!(closed.header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(closed.header("cross-origin-embedder-policy"), "require-corp");
    let more = json!({ "content_security_policy": "default-src *", "cross_origin_isolated": false });
    let open = serve(&dist, more).await.get("/ohif/", "*/*").await;
    assert_eq!(open.header("content-security-policy"), "default-src *");
    assert_eq!(open.header("cross-origin-embedder-policy"), "");
}

#[tokio::test]
async fn what_was_compressed_beforehand_is_sent_so() {
    let outside = application();
    let dist = outside.path().join("dist");
    fs::write(dist.join("app-config.js.gz"), "packed").unwrap();
    let server = serve(&dist, json!({})).await;
    let ask = Request::get("/ohif/app-config.js").header("accept-encoding", "gzip");
    let answer = server.send(ask, Body::empty()).await;
    assert_eq!((answer.header("content-encoding"), answer.body.as_slice()), ("gzip", b"packed".as_slice()));
    assert_eq!(answer.header("content-type"), "text/javascript");
    assert_eq!(server.get("/ohif/app-config.js", "*/*").await.body, b"window.config = {}");
}
