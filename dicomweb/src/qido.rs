//! QIDO-RS: search for studies, series and instances (PS3.18 §10.6).

mod results;

use crate::{
    auth::Caller,
    error::WebError,
    resource::Resource,
    respond::{accepted, insert, json_type},
    web::Web,
};
use axum::{
    extract::{Query as Parameters, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use pacs_core::query::{Level, Query, QueryError};
use storage::AuditAction;

type Pairs = Vec<(String, String)>;

pub async fn studies(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    uri: Uri,
    Parameters(pairs): Parameters<Pairs>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    search(&web, &caller, Level::Study, &resource, &uri, pairs, &headers).await
}

pub async fn series(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    uri: Uri,
    Parameters(pairs): Parameters<Pairs>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    search(&web, &caller, Level::Series, &resource, &uri, pairs, &headers).await
}

pub async fn instances(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    uri: Uri,
    Parameters(pairs): Parameters<Pairs>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    search(&web, &caller, Level::Instance, &resource, &uri, pairs, &headers).await
}

async fn search(
    web: &Web,
    caller: &Caller,
    level: Level,
    resource: &Resource,
    uri: &Uri,
    pairs: Pairs,
    headers: &HeaderMap,
) -> Result<Response, WebError> {
    let accepted = accepted(headers, &pairs);
    let content_type = json_type(&accepted)?;
    let (pairs, mut warnings) = keys(level, resource, pairs)?;
    let mut query = Query::from_parameters(level, resource.parent(), resource.series.as_ref(), &pairs)?;
    let limit = query.limit.unwrap_or(u32::MAX).min(web.config.max_results);
    let is_capped = query.limit.is_none_or(|asked| asked > limit);
    query.limit = Some(limit.saturating_add(u32::from(is_capped)));
    let mut rows = web.archive.find(&query).await?;
    if rows.len() > limit as usize {
        rows.truncate(limit as usize);
        warnings.push(
            "The number of results exceeded the maximum supported by the server. Additional results can be requested."
                .into(),
        );
    }
    let asked = pairs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    web.audit(caller, AuditAction::Query, resource.parent(), format!("{level:?} {asked}")).await;
    let body = results::write(web, &query, resource, &web.base(uri, headers)?, &rows).await?;
    let mut response =
        ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "private, no-store")], body).into_response();
    for warning in warnings {
        insert(response.headers_mut(), header::WARNING, &format!("299 yinghai \"{warning}\""));
    }
    Ok(response)
}

/// Leaves out the keys that the archive does not match, with a warning for each (PS3.18 §8.3.4.1).
fn keys(level: Level, resource: &Resource, mut pairs: Pairs) -> Result<(Pairs, Vec<String>), WebError> {
    pairs.retain(|(name, _)| name != "accept");
    let mut warnings = Vec::new();
    loop {
        match Query::from_parameters(level, resource.parent(), resource.series.as_ref(), &pairs) {
            Err(QueryError::Parameter(key)) if pairs.iter().any(|(name, _)| *name == key) => {
                pairs.retain(|(name, _)| *name != key);
                let shown: String = key.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                warnings.push(format!("{shown} is not matched and was ignored"));
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok((pairs, warnings)),
        }
    }
}
