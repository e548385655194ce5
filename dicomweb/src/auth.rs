//! Who asks, and what they may do.

use crate::{
    error::WebError,
    web::{Web, host, is_loopback},
};
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use pacs_core::Failure;
use std::net::SocketAddr;
use storage::{AuditAction, AuditRecord, Principal, Role};

pub const SESSION_COOKIE: &str = "yinghai_session";

/// Whose request it is, and from which address it came.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    pub address: String,
}

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Search,
    Read,
    Store,
    Delete,
    Administer,
}

impl Right {
    fn of(self, principal: &Principal) -> bool {
        match self {
            Self::Search => principal.may_search(),
            Self::Read => principal.may_read(),
            Self::Store => principal.may_store(),
            Self::Delete => principal.may_delete(),
            Self::Administer => principal.is_admin(),
        }
    }
}

/// Lets only those with a right through; handlers behind it can ask for [`Caller`].
pub async fn guard(
    State((web, right)): State<(Web, Right)>,
    mut request: Request,
    next: Next,
) -> Result<Response, WebError> {
    let (mut parts, body) = request.into_parts();
    let caller = identify(&web, &parts).await?;
    if !right.of(&caller.principal) {
        let study = parts.uri.path().split('/').skip_while(|s| *s != "studies").nth(1).and_then(|s| s.parse().ok());
        let detail = format!("{} refused: {right:?}", parts.method);
        web.audit(&caller, AuditAction::SecurityAlert, study.as_ref(), detail).await;
        return Err(WebError::Refused(
            Failure::NotAuthorised,
            format!("this needs the right to {right:?}").to_lowercase(),
        ));
    }
    parts.extensions.insert(caller);
    request = Request::from_parts(parts, body);
    Ok(next.run(request).await)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebError> {
        // Absent only on a route without a guard: then nobody gets in.
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// Who asks: by API token, password, session cookie, or everybody where authentication is off.
pub async fn identify(web: &Web, parts: &Parts) -> Result<Caller, WebError> {
    let address = address(parts);
    let caller = |principal| Caller { principal, address: address.clone() };
    if web.config.insecure_no_auth {
        refuse_foreign_host(&parts.uri, &parts.headers)?;
        refuse_foreign_site(parts, false)?;
        return Ok(caller(Principal { name: "local".into(), roles: vec![Role::Admin] }));
    }
    if let Some(authorization) = text(&parts.headers, header::AUTHORIZATION.as_str()) {
        let (scheme, credentials) = authorization.split_once(' ').ok_or_else(unknown)?;
        return match scheme.to_ascii_lowercase().as_str() {
            "bearer" => by_secret(web, credentials.trim()).await.map(caller),
            "basic" => by_password(web, credentials.trim(), &address).await.map(caller),
            _ => Err(unknown()),
        };
    }
    let secret = session_secret(&parts.headers).ok_or_else(unknown)?;
    refuse_foreign_site(parts, true)?;
    by_secret(web, secret).await.map(caller)
}

/// The network address of the peer, where the program passes it on.
pub fn address(parts: &Parts) -> String {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map_or_else(|| "unknown".into(), |peer| peer.0.ip().to_string())
}

pub fn session_secret(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, secret)| secret)
}

async fn by_secret(web: &Web, secret: &str) -> Result<Principal, WebError> {
    if let Some(principal) = web.principals.get(secret) {
        return Ok(principal);
    }
    let principal = web.archive.authenticate(secret).await?.ok_or_else(unknown)?;
    web.principals.put(secret.to_owned(), principal.clone());
    Ok(principal)
}

/// HTTP Basic: old clients send the password with every request, so the outcome is kept for a moment.
async fn by_password(web: &Web, credentials: &str, address: &str) -> Result<Principal, WebError> {
    let key = format!("basic {credentials}");
    if let Some(principal) = web.principals.get(&key) {
        return Ok(principal);
    }
    let decoded = BASE64_STANDARD.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(unknown)?;
    let (principal, secret) = sign_in(web, user, password, address).await?;
    web.archive.sign_out(&secret).await?;
    web.principals.put(key, principal.clone());
    Ok(principal)
}

/// Checks a password. The archive makes a name wait that fails too often from an address.
pub async fn sign_in(web: &Web, user: &str, password: &str, address: &str) -> Result<(Principal, String), WebError> {
    let permit = web.password_checks.acquire().await;
    let signed_in = web.archive.sign_in(user, password, address).await;
    drop(permit);
    if signed_in.is_err() {
        record(web, AuditAction::SignIn, user, address, false).await?;
    }
    Ok(signed_in?)
}

/// One audit row about a user's coming or going.
pub async fn record(web: &Web, action: AuditAction, user: &str, address: &str, success: bool) -> Result<(), WebError> {
    let (actor, origin) = (user.chars().take(64).collect(), address.to_owned());
    let record = AuditRecord { at: 0, action, actor, origin, success, study: None, detail: String::new() };
    Ok(web.archive.audit(&record).await?)
}

/// Refuses a request that changes something if another site made the browser send it.
///
/// `strict`: the request must say where it comes from, as every browser does; else only a foreign origin is refused.
pub fn refuse_foreign_site(parts: &Parts, strict: bool) -> Result<(), WebError> {
    // What is open to pages of any site is read by them: a WebSocket is no fetch.
    if parts.method.is_safe() && !parts.headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    let ours = match (text(&parts.headers, "sec-fetch-site"), text(&parts.headers, "origin")) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => {
            origin.split_once("://").is_some_and(|(_, authority)| Some(authority) == host(&parts.uri, &parts.headers))
        }
        (None, None) => !strict,
    };
    if ours { Ok(()) } else { Err(WebError::Refused(Failure::NotAuthorised, "request comes from another site".into())) }
}

/// Without authentication a page of another site must not reach us under a name of its own that points here.
fn refuse_foreign_host(uri: &Uri, headers: &HeaderMap) -> Result<(), WebError> {
    let Some(host) = host(uri, headers) else { return Ok(()) };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0);
    if is_loopback(name) {
        Ok(())
    } else {
        Err(WebError::Refused(Failure::NotAuthorised, "without sign-in only localhost is served".into()))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn unknown() -> WebError {
    WebError::Refused(Failure::NotAuthenticated, "sign in, or send an API token".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Method;

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(axum::http::Request::builder().method(method), |r, (n, v)| r.header(*n, *v));
        request.body(()).unwrap().into_parts().0
    }

    fn check(headers: &[(&str, &str)], strict: bool, allowed: bool) {
        assert_eq!(refuse_foreign_site(&parts(Method::POST, headers), strict).is_ok(), allowed, "{headers:?}");
    }

    #[test]
    fn a_change_must_come_from_our_own_pages() {
        check(&[("sec-fetch-site", "same-origin")], true, true);
        check(&[("sec-fetch-site", "none")], true, true);
        check(&[("sec-fetch-site", "cross-site"), ("origin", "http://h"), ("host", "h")], true, false);
        check(&[("sec-fetch-site", "same-site")], true, false);
        check(&[("origin", "http://h:1"), ("host", "h:1")], true, true);
        check(&[("origin", "http://evil"), ("host", "h:1")], false, false);
        check(&[("origin", "null"), ("host", "h:1")], false, false);
        check(&[], true, false);
        check(&[], false, true);
        assert!(refuse_foreign_site(&parts(Method::GET, &[("sec-fetch-site", "cross-site")]), true).is_ok());
        let socket = [("upgrade", "websocket"), ("origin", "http://evil"), ("host", "localhost:8042")];
        assert!(refuse_foreign_site(&parts(Method::GET, &socket), false).is_err());
    }

    #[test]
    fn without_sign_in_only_loopback_names_are_served() {
        let allowed =
            |name| refuse_foreign_host(&Uri::default(), &parts(Method::GET, &[("host", name)]).headers).is_ok();
        assert!(["localhost", "localhost:8042", "127.0.0.1:8042", "[::1]:8042", "[::1]"].into_iter().all(allowed));
        assert!(!["evil.example", "evil.example:80", "10.0.0.1", "localhost.evil.example"].into_iter().any(allowed));
    }

    #[test]
    fn the_session_is_found_among_cookies() {
        let headers = parts(Method::GET, &[("cookie", "a=b; yinghai_session=secret; c=d")]).headers;
        assert_eq!(session_secret(&headers), Some("secret"));
    }

    #[test]
    fn rights_follow_roles() {
        let may = |role, right: Right| right.of(&Principal { name: "p".into(), roles: vec![role] });
        assert!(may(Role::Technician, Right::Store) && !may(Role::Technician, Right::Read));
        assert!(may(Role::Viewer, Right::Read) && !may(Role::Viewer, Right::Store));
        assert!(!may(Role::Physician, Right::Delete) && may(Role::Admin, Right::Delete));
    }
}
