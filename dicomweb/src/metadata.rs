//! Metadata of a study, series or instance in the DICOM JSON model, or as documents of the Native DICOM Model (PS3.18
//! §10.4.1.1.2).

use crate::{
    asked::Asked,
    error::WebError,
    resource::Resource,
    respond::{Form, cache_headers, documents, entity_tag, is_held, not_modified},
    web::Web,
    xml,
};
use axum::{
    http::{HeaderMap, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use memchr::memmem;
use pacs_core::Failure;
use serde_json::value::RawValue;
use std::{io::Write, sync::Arc};
use storage::{AuditAction, MetadataState, StoredInstance};

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let form = Form::of(&asked.accepted())?;
    let study = resource.study()?;
    let base = asked.base()?;
    let Some(source) = Source::of(web, resource).await? else { return Err(resource.absent()) };
    web.archive.opened(study);
    asked.audit(AuditAction::Read, Some(study), "metadata").await;
    let tag = entity_tag((&base, asked.uri.path(), resource.version_query(), source.position(), form == Form::Xml));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let links = Links::new("studies", &base, resource.version_query());
    let Form::Json(content_type) = form else {
        let body = body(source.text(web).await?, links, false).await?;
        return Ok((cache_headers(&tag), in_xml(body).await?).into_response());
    };
    let zipped = accepts_gzip(&asked.headers);
    // All that the body depends on, and not a hash of it: whoever names the host must not be able to make two alike.
    let key = format!("{:?} {} {base} {}", source.position(), zipped, asked.uri);
    let body = match web.bodies.get(&key) {
        Some(body) => body,
        None => {
            let body = body(source.text(web).await?, links, zipped).await?;
            if body.len() <= LARGEST_KEPT {
                web.bodies.put(key, body.clone());
            }
            body
        }
    };
    let encoding = zipped.then_some([(header::CONTENT_ENCODING, "gzip")]);
    let encoding = AppendHeaders(encoding.into_iter().flatten().collect::<Vec<_>>());
    let vary = [(header::CONTENT_TYPE, content_type), (header::VARY, "accept-encoding")];
    Ok((encoding, vary, cache_headers(&tag), body).into_response())
}

/// A document for each item of a body. Each is read by itself: all together they would be many times the text.
async fn in_xml(body: Bytes) -> Result<Response, WebError> {
    let made = tokio::task::spawn_blocking(move || {
        let items: Vec<&RawValue> = serde_json::from_slice(&body)?;
        let documents = items.into_iter().map(|item| Ok(xml::write(&serde_json::from_str(item.get())?)));
        documents.collect::<Result<Vec<_>, serde_json::Error>>()
    });
    let made = made.await.map_err(std::io::Error::other).and_then(|made| made.map_err(Into::into));
    let made = made.map_err(|error| WebError::Refused(Failure::Internal, error.to_string()))?;
    Ok(documents(made.into_iter()))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let refused = |coding: &str| coding.split(';').any(|part| matches!(part.trim(), "q=0" | "q=0.0"));
    accepted.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with("gzip") && !refused(one))
}

/// What is sent, and kept as it is sent.
async fn body(text: String, links: Links, zipped: bool) -> Result<Bytes, WebError> {
    let made = tokio::task::spawn_blocking(move || {
        let mut body = Vec::with_capacity(text.len() + text.len() / 32 + 256);
        links.append(&mut body, &text);
        if !zipped {
            return Ok(body);
        }
        let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
        packed.write_all(&body)?;
        packed.finish()
    });
    let made = made.await.map_err(std::io::Error::other).flatten();
    made.map(Bytes::from).map_err(|error| WebError::Refused(Failure::Internal, error.to_string()))
}

/// Where the metadata comes from.
enum Source {
    Series(MetadataState),
    /// As they were to be seen at a time.
    Past(Vec<StoredInstance>),
    Instance(Arc<StoredInstance>),
}

impl Source {
    async fn of(web: &Web, resource: &Resource) -> Result<Option<Self>, WebError> {
        if resource.sop_instance.is_some() {
            return Ok(Some(Self::Instance(resource.instance(web).await?)));
        }
        if resource.as_of.is_some() {
            return Ok(Some(Self::Past(resource.instances(web).await?)));
        }
        let state = web.archive.metadata_state(resource.study()?, resource.series.as_ref()).await?;
        Ok(state.map(Self::Series))
    }

    /// Changes when the metadata does.
    fn position(&self) -> (i64, i64) {
        let of_instance = |instance: &StoredInstance| (instance.id, instance.corrected_at());
        match self {
            Self::Series(state) => (state.position, 0),
            Self::Past(instances) => instances.first().map(of_instance).unwrap_or_default(),
            // An instance never changes, only what is laid over it.
            Self::Instance(instance) => of_instance(instance),
        }
    }

    async fn text(&self, web: &Web) -> Result<String, WebError> {
        match self {
            Self::Series(state) => Ok(web.archive.metadata_text(state).await?),
            Self::Past(instances) => Ok(web.archive.metadata_text_of(instances).await?),
            Self::Instance(instance) => Ok(format!("[{}]", web.archive.metadata_of(instance).await?)),
        }
    }
}

/// A body that is kept for the next who asks is not longer than this.
const LARGEST_KEPT: usize = 8 << 20;

/// Makes the relative BulkDataURIs of stored metadata absolute.
///
/// The items are texts and stay so: a series of 500 slices would be some 100,000 values to parse.
pub struct Links {
    relative: String,
    absolute: String,
    end: String,
}

impl Links {
    /// For BulkDataURIs that begin with `root`: they are put under `base` and followed by `end`.
    pub fn new(root: &str, base: &str, end: String) -> Self {
        // In a JSON text the quotes of this key cannot be part of a value: there they are escaped.
        let uri = |start: &str| format!("\"BulkDataURI\":\"{start}{root}/");
        Self { relative: uri(""), absolute: uri(&format!("{base}/")), end }
    }

    pub fn append(&self, body: &mut Vec<u8>, item: &str) {
        let finder = memmem::Finder::new(&self.relative);
        let mut rest = item.as_bytes();
        while let Some((before, after)) = finder.find(rest).and_then(|at| rest.split_at_checked(at)) {
            body.extend_from_slice(before);
            body.extend_from_slice(self.absolute.as_bytes());
            rest = after.get(self.relative.len()..).unwrap_or_default();
            // A UID, tags and numbers have no quotes: the next one ends the value.
            let value = memchr::memchr(b'"', rest).unwrap_or(rest.len());
            let (value, after) = rest.split_at_checked(value).unwrap_or((rest, &[]));
            body.extend_from_slice(value);
            body.extend_from_slice(self.end.as_bytes());
            rest = after;
        }
        body.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn relative_bulk_data_becomes_absolute_and_look_alikes_stay() {
        let item = json!({
            "7FE00010": {"vr": "OW", "BulkDataURI": "studies/1/bulkdata/7FE00010"},
            "00104000": {"vr": "LT", "Value": ["\"BulkDataURI\":\"studies/"]},
        });
        let mut body = Vec::new();
        Links::new("studies", "http://h/dicom-web", "?version=2".into()).append(&mut body, &format!("[{item},\n{{}}]"));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body[0]["7FE00010"]["BulkDataURI"], "http://h/dicom-web/studies/1/bulkdata/7FE00010?version=2");
        assert_eq!(body[0]["00104000"], item["00104000"]);
        assert_eq!(body[1], json!({}));
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in
            [("gzip, br", true), ("br;q=1, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)]
        {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(accepts_gzip(&headers), expected, "{accepted}");
        }
    }
}
