//! Data sets as they come and leave: in the DICOM JSON model (PS3.18 Annex F) or as Native DICOM Models (PS3.19 Annex A).

use crate::{
    error::WebError,
    media_type::MediaType,
    respond::{DICOM_JSON, JSON_TYPES, accepted},
    xml::{self, DICOM_XML},
};
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

/// How data sets come, and how a single one leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Json,
    Xml,
}

impl Model {
    pub fn of(media: &MediaType) -> Option<Self> {
        match media.essence.as_str() {
            "application/dicom+json" | "application/json" => Some(Self::Json),
            DICOM_XML => Some(Self::Xml),
            _ => None,
        }
    }

    /// How the client wants to be told of one data set; JSON where it takes that. 406 where it takes neither.
    pub fn wanted(headers: &HeaderMap) -> Result<Self, WebError> {
        let of = |media: &MediaType| {
            let is_json = JSON_TYPES.into_iter().any(|kind| media.covers(kind));
            is_json.then_some(Self::Json).or_else(|| media.covers(DICOM_XML).then_some(Self::Xml))
        };
        let available = || WebError::not_acceptable(&[JSON_TYPES[0], JSON_TYPES[1], DICOM_XML].join(", "));
        accepted(headers, &[]).iter().find_map(|one| of(&one.media)).ok_or_else(available)
    }

    pub fn answer(self, status: StatusCode, data_set: Map<String, Value>) -> Response {
        match self {
            Self::Xml => (status, [(header::CONTENT_TYPE, DICOM_XML)], xml::write(&data_set)).into_response(),
            Self::Json => {
                (status, [(header::CONTENT_TYPE, DICOM_JSON)], Value::Object(data_set).to_string()).into_response()
            }
        }
    }

    /// The data sets of a body, of XML one.
    pub fn read(self, text: &[u8]) -> Result<Vec<Map<String, Value>>, WebError> {
        let malformed = |error| WebError::bad_request(format!("the body is not DICOM JSON: {error}"));
        match self {
            Self::Xml => Ok(vec![xml::read(text).map_err(|error| WebError::bad_request(error.to_string()))?]),
            // One data set by itself occurs too.
            Self::Json if text.trim_ascii_start().starts_with(b"{") => {
                Ok(vec![serde_json::from_slice(text).map_err(malformed)?])
            }
            Self::Json => serde_json::from_slice(text).map_err(malformed),
        }
    }
}
