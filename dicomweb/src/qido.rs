//! QIDO-RS: search for studies, series and instances (PS3.18 §10.6).

//!
//! Extensions: patients, counts, an order of the asker's, a cursor in the `Link` of a page, and a search that goes on.

mod live;
mod results;

pub use live::EVENT_STREAM;

use crate::{
    asked::{Asked, Parameters},
    error::WebError,
    resource::Resource,
    respond::{Form, NO_STORE, append, cache_headers, documents, entity_tag, insert, is_held, not_modified},
    xml,
};
use axum::{
    Extension, Json,
    http::header,
    response::{IntoResponse, Response},
};
use pacs_core::{
    Failure,
    query::{Level, Query, QueryError},
};
use serde_json::json;
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

pub async fn patients(asked: Asked) -> Result<Response, WebError> {
    search(asked, Level::Patient).await
}

async fn search(asked: Asked, level: Level) -> Result<Response, WebError> {
    let accepted = asked.accepted();
    let is_live = live::is_wanted(&accepted);
    let form = if is_live { Form::Json(live::EVENT_STREAM) } else { Form::of(&accepted)? };
    let (query, warnings) = question(&asked, level)?;
    asked.audit(AuditAction::Query, asked.resource.parent(), named(&asked, level)).await;
    let (base, most) = (asked.base()?, asked.web.config.max_results);
    if is_live {
        return live::follow(asked.web, query, base);
    }
    let limit = query.limit.unwrap_or(u32::MAX).min(most);
    let is_capped = query.limit.is_none_or(|asked| asked > limit);
    let found = asked.web.archive.find_page(&query, limit).await?;
    let matches = results::write(&asked.web, &query, &base, &found.rows).await?;
    let next = found.next.as_deref().map(|cursor| next(&base, &asked, cursor));
    let text =
        serde_json::to_string(&matches).map_err(|error| WebError::Refused(Failure::Internal, error.to_string()))?;
    let tag = entity_tag((&base, &text, &next, form == Form::Xml));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let mut response = match form {
        Form::Json(content_type) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Form::Xml => documents(matches.iter().map(xml::write)),
    };
    let headers = response.headers_mut();
    cache_headers(&tag).into_iter().for_each(|(name, value)| insert(headers, name, &value));
    let capped = (is_capped && next.is_some()).then(|| MORE.to_owned());
    for warning in warnings.into_iter().chain(capped) {
        append(headers, header::WARNING, &format!("299 yinghai \"{warning}\""));
    }
    next.iter().for_each(|next| insert(headers, header::LINK, &format!("<{next}>; rel=\"next\"")));
    Ok(response)
}

/// As PS3.18 §8.3.4.4.3 words it.
const MORE: &str =
    "The number of results exceeded the maximum supported by the server. Additional results can be requested.";

/// How many there are, whatever limit and offset say; an extension.
pub async fn count(Extension(level): Extension<Level>, asked: Asked) -> Result<Response, WebError> {
    let (query, warnings) = question(&asked, level)?;
    asked.audit(AuditAction::Query, asked.resource.parent(), named(&asked, level)).await;
    let count = asked.web.archive.count(&query).await?;
    let mut response = ([(header::CACHE_CONTROL, NO_STORE)], Json(json!({ "count": count }))).into_response();
    for warning in warnings {
        append(response.headers_mut(), header::WARNING, &format!("299 yinghai \"{warning}\""));
    }
    Ok(response)
}

/// What is looked for, and what of it was passed over.
fn question(asked: &Asked, level: Level) -> Result<(Query, Vec<String>), WebError> {
    let (parameters, warnings) = keys(level, &asked.resource, asked.parameters.clone())?;
    let (study, series) = (asked.resource.parent(), asked.resource.series.as_ref());
    Ok((Query::from_parameters(level, study, series, &parameters)?, warnings))
}

/// The question for the audit: its keys, not their values.
fn named(asked: &Asked, level: Level) -> String {
    let names = asked.parameters.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    format!("{level:?} {names}")
}

/// The address of the matches that follow.
fn next(base: &str, asked: &Asked, cursor: &str) -> String {
    let pairs = asked.uri.query().unwrap_or_default().split('&');
    let is_place = |pair: &&str| ["", "cursor", "offset"].contains(&pair.split('=').next().unwrap_or_default());
    let kept: String = pairs.filter(|pair| !is_place(pair)).map(|pair| format!("{pair}&")).collect();
    format!("{base}{}?{kept}cursor={cursor}", asked.uri.path())
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
