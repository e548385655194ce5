//! `/api/session`: signing in and out in a browser.

use crate::{
    auth::{self, SESSION_COOKIE, record},
    error::WebError,
    web::Web,
};
use axum::{
    Json,
    extract::{Request, State, rejection::JsonRejection},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use pacs_core::Failure;
use serde_json::json;
use storage::{AuditAction, Principal};

#[derive(serde::Deserialize)]
pub struct Credentials {
    user: String,
    password: String,
}

/// `POST`: 200 with name and roles and the session's cookie.
pub async fn sign_in(
    State(web): State<Web>,
    parts: Parts,
    credentials: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, WebError> {
    auth::refuse_foreign_site(&parts, false)?;
    let Json(Credentials { user, password }) = credentials.map_err(unreadable)?;
    let address = auth::address(&parts);
    let (principal, secret) = auth::sign_in(&web, &user, &password, &address).await?;
    record(&web, AuditAction::SignIn, &user, &address, true).await?;
    Ok(([(header::SET_COOKIE, cookie(&web, &secret, ""))], who(&principal)).into_response())
}

/// `GET`: who is signed in, or 401.
pub async fn current(State(web): State<Web>, parts: Parts) -> Result<Response, WebError> {
    let caller = auth::identify(&web, &parts).await?;
    Ok(who(&caller.principal).into_response())
}

/// `DELETE`: ends the session.
pub async fn sign_out(State(web): State<Web>, request: Request) -> Result<Response, WebError> {
    let (parts, _) = request.into_parts();
    auth::refuse_foreign_site(&parts, true)?;
    if let Some(secret) = auth::session_secret(&parts.headers) {
        let caller = auth::identify(&web, &parts).await;
        web.archive.sign_out(secret).await?;
        web.principals.remove(secret);
        if let Ok(caller) = caller {
            record(&web, AuditAction::SignOut, &caller.principal.name, &caller.address, true).await?;
        }
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie(&web, "", "; Max-Age=0"))]).into_response())
}

fn who(principal: &Principal) -> Json<serde_json::Value> {
    Json(json!({ "user": principal.name, "roles": principal.roles }))
}

fn cookie(web: &Web, secret: &str, age: &str) -> String {
    let secure = if web.config.is_https() { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={secret}; HttpOnly; SameSite=Strict; Path=/{secure}{age}")
}

fn unreadable(rejection: JsonRejection) -> WebError {
    let failure = match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::UnsupportedMediaType,
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
        _ => Failure::BadRequest,
    };
    WebError::Refused(failure, "send JSON with \"user\" and \"password\"".into())
}
