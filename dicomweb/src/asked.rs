//! What every DICOM service is asked with, read from the request in one place.

use crate::{
    auth::Caller,
    error::WebError,
    media_type::Acceptable,
    resource::{Resource, path},
    respond,
    transcode::QUALITY,
    web::Web,
};
use axum::{
    extract::{FromRequestParts, Query},
    http::{HeaderMap, Uri, request::Parts},
};
use pacs_core::Uid;
use storage::{AuditAction, StoredInstance};

/// Names and values of the query part, decoded.
pub type Parameters = Vec<(String, String)>;

/// A request on a resource of DICOMweb by somebody who may make it.
pub struct Asked {
    pub web: Web,
    pub resource: Resource,
    pub parameters: Parameters,
    pub headers: HeaderMap,
    pub caller: Caller,
    pub uri: Uri,
}

impl FromRequestParts<Web> for Asked {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, WebError> {
        let caller = Caller::from_request_parts(parts, web).await?;
        let resource = Resource::from_request_parts(parts, web).await?;
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|_| WebError::bad_request("the query is not made of names and values"))?;
        let (headers, uri) = (parts.headers.clone(), parts.uri.clone());
        Ok(Self { web: web.clone(), resource, parameters, headers, caller, uri })
    }
}

impl Asked {
    /// What the client takes, best first, from its headers and the `accept` parameter.
    pub fn accepted(&self) -> Vec<Acceptable> {
        respond::accepted(&self.headers, &self.parameters)
    }

    /// How far a lossy compression goes, 1 to 100 (PS3.18 §8.3.5.1.2).
    pub fn quality(&self) -> Result<u8, WebError> {
        let given = self.parameters.iter().find(|(name, _)| name == "quality").map(|(_, value)| value.trim());
        let quality = given.map_or(Some(QUALITY), |text| text.parse().ok().filter(|q| (1..=100).contains(q)));
        quality.ok_or_else(|| WebError::bad_request("quality is 1 to 100"))
    }

    /// Where the DICOMweb resources start, as the client sees it.
    pub fn base(&self) -> Result<String, WebError> {
        self.web.base(&self.uri, &self.headers)
    }

    /// How the client addresses what it gets.
    pub fn addresses(&self) -> Result<Addresses, WebError> {
        Ok(Addresses { base: self.base()?, version: self.resource.version_query() })
    }

    /// Notes what the caller did with a study, or with the archive.
    pub async fn audit(&self, action: AuditAction, study: Option<&Uid>, detail: impl Into<String>) {
        self.web.audit(&self.caller, action, study, detail.into()).await;
    }
}

/// Addresses as the client sees them, of the version that it asked for.
pub struct Addresses {
    base: String,
    version: String,
}

impl Addresses {
    /// Of an instance, or of what lies `below` it, such as `/frames/1`.
    pub fn of(&self, instance: &StoredInstance, below: &str) -> String {
        format!("{}/{}{below}{}", self.base, path(instance), self.version)
    }
}
