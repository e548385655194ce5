//! Metadata of a study, series or instance in the DICOM JSON model (PS3.18 §10.4.1.1.2).

use crate::{
    asked::Asked,
    error::WebError,
    respond::{cache_headers, entity_tag, is_held, json_type, not_modified},
};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use memchr::memmem;
use storage::AuditAction;

pub async fn retrieve(asked: Asked) -> Result<Response, WebError> {
    let (web, resource) = (&asked.web, &asked.resource);
    let content_type = json_type(&asked.accepted())?;
    let study = resource.study()?;
    let base = asked.base()?;
    let items = match resource.version {
        Some(_) => vec![web.archive.metadata_of(resource.instance(web).await?.as_ref()).await?],
        None => web.archive.metadata(study, resource.series.as_ref(), resource.sop_instance.as_ref()).await?,
    };
    if items.is_empty() {
        resource.instances(web).await?;
    }
    asked.audit(AuditAction::Read, Some(study), "metadata").await;
    let tag = entity_tag((&base, &items));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let body = array(&items, &Links::new("studies", &base, resource.version_query()));
    Ok(([(header::CONTENT_TYPE, content_type)], cache_headers(&tag), body).into_response())
}

/// One JSON array of the items, their links made absolute.
fn array(items: &[String], links: &Links) -> Vec<u8> {
    let mut body = Vec::with_capacity(items.iter().map(|item| item.len() + 256).sum::<usize>() + 2);
    body.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        links.append(&mut body, item);
    }
    body.push(b']');
    body
}

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
        let links = Links::new("studies", "http://h/dicom-web", "?version=2".into());
        let body: Value = serde_json::from_slice(&array(&[item.to_string(), "{}".into()], &links)).unwrap();
        assert_eq!(body[0]["7FE00010"]["BulkDataURI"], "http://h/dicom-web/studies/1/bulkdata/7FE00010?version=2");
        assert_eq!(body[0]["00104000"], item["00104000"]);
        assert_eq!(body[1], json!({}));
    }

    #[test]
    fn no_items_are_an_empty_array() {
        assert_eq!(array(&[], &Links::new("studies", "", String::new())), b"[]");
    }
}
