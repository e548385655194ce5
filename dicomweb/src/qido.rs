//! QIDO-RS: search for studies, series and instances (PS3.18 §10.6).

mod results;

use crate::{
    asked::{Asked, Parameters},
    error::WebError,
    resource::Resource,
    respond::{insert, json_type},
};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use pacs_core::query::{Level, Query, QueryError};
use storage::AuditAction;

pub async fn studies(asked: Asked) -> Result<Response, WebError> {
    search(asked, Level::Study).await
}

pub async fn series(asked: Asked) -> Result<Response, WebError> {
    search(asked, Level::Series).await
}

pub async fn instances(asked: Asked) -> Result<Response, WebError> {
    search(asked, Level::Instance).await
}

async fn search(asked: Asked, level: Level) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let content_type = json_type(&asked.accepted())?;
    let (parameters, mut warnings) = keys(level, resource, asked.parameters.clone())?;
    let mut query = Query::from_parameters(level, resource.parent(), resource.series.as_ref(), &parameters)?;
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
    let names = parameters.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    asked.audit(AuditAction::Query, resource.parent(), format!("{level:?} {names}")).await;
    let body = results::write(web, &query, resource, &asked.base()?, &rows).await?;
    let mut response =
        ([(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "private, no-store")], body).into_response();
    for warning in warnings {
        insert(response.headers_mut(), header::WARNING, &format!("299 yinghai \"{warning}\""));
    }
    Ok(response)
}

/// Leaves out the keys that the archive does not match, with a warning for each (PS3.18 §8.3.4.1).
fn keys(level: Level, resource: &Resource, mut parameters: Parameters) -> Result<(Parameters, Vec<String>), WebError> {
    parameters.retain(|(name, _)| name != "accept");
    let mut warnings = Vec::new();
    loop {
        match Query::from_parameters(level, resource.parent(), resource.series.as_ref(), &parameters) {
            Err(QueryError::Parameter(key)) if parameters.iter().any(|(name, _)| *name == key) => {
                parameters.retain(|(name, _)| *name != key);
                let shown: String = key.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                warnings.push(format!("{shown} is not matched and was ignored"));
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok((parameters, warnings)),
        }
    }
}
