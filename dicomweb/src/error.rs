//! Failure → response (RFC 9457), and nothing else: the client sees the category, the log the whole chain.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pacs_core::{Failure, pixel::PixelError, query::QueryError, ups::UpsError};
use serde_json::json;
use storage::ArchiveError;

/// Why a request cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Pixel(#[from] PixelError),
    /// Refused here; the text is for the client.
    #[error("{1}")]
    Refused(Failure, String),
    #[error("range is outside the {0} bytes of the resource")]
    Range(u64),
}

impl WebError {
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::Refused(Failure::BadRequest, detail.into())
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::Refused(Failure::NoSuchInstance, detail.into())
    }

    /// `available` names the media types that there are.
    pub fn not_acceptable(available: &str) -> Self {
        Self::Refused(
            Failure::NotAcceptable,
            format!("none of the accepted media types can be made; available: {available}"),
        )
    }

    pub fn failure(&self) -> Failure {
        match self {
            Self::Archive(error) => error.failure(),
            Self::Query(_) => Failure::InvalidQuery,
            Self::Pixel(PixelError::Unsupported(_)) => Failure::NotAcceptable,
            Self::Pixel(_) => Failure::Undecodable,
            Self::Refused(failure, _) => *failure,
            Self::Range(_) => Failure::BadRequest,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Archive(ArchiveError::TooManyAttempts(_)) => StatusCode::TOO_MANY_REQUESTS,
            Self::Archive(ArchiveError::Workitem(error)) if is_conflict(error) => StatusCode::CONFLICT,
            Self::Range(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            _ => StatusCode::from_u16(self.failure().http()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn detail(&self) -> String {
        match self.failure() {
            Failure::Internal => "the server failed; its log has the reason under this request's X-Request-Id".into(),
            _ => self.to_string(),
        }
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let (status, failure) = (self.status(), self.failure());
        if status.is_server_error() {
            tracing::error!(error = chain(&self), "request failed");
        }
        let body = json!({
            "type": format!("urn:yinghai:problem:{}", slug(failure)),
            "title": title(failure),
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        let headers = response.headers_mut();
        match self {
            // Only Bearer is offered: Basic would make browsers ask in a window of their own.
            _ if status == StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"yinghai\""));
            }
            Self::Range(len) => {
                headers.extend(HeaderValue::try_from(format!("bytes */{len}")).map(|v| (header::CONTENT_RANGE, v)));
            }
            Self::Archive(ArchiveError::TooManyAttempts(seconds)) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ if matches!(failure, Failure::Unavailable | Failure::NoRoom) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            }
            _ => {}
        }
        response
    }
}

/// Whether it is the state of a workitem that forbids what is asked (PS3.18 §11).
fn is_conflict(error: &UpsError) -> bool {
    !matches!(
        error,
        UpsError::NoSuchWorkitem
            | UpsError::Missing(_)
            | UpsError::NoValue(_)
            | UpsError::Invalid(_)
            | UpsError::Transaction
    )
}

/// An error and its sources, for the log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |e| e.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

fn slug(failure: Failure) -> String {
    title(failure).to_lowercase().replace(' ', "-")
}

fn title(failure: Failure) -> &'static str {
    match failure {
        Failure::CannotUnderstand => "Not readable as DICOM",
        Failure::MissingAttribute => "Missing attribute",
        Failure::DataSetMismatch => "Data set mismatch",
        Failure::SopClass => "SOP class not supported",
        Failure::TransferSyntax => "Transfer syntax not supported",
        Failure::DuplicateInstance => "Duplicate instance",
        Failure::NoSuchInstance => "Not found",
        Failure::InvalidQuery => "Invalid query",
        Failure::BadRequest => "Bad request",
        Failure::NotAuthenticated => "Not authenticated",
        Failure::NotAuthorised => "Not authorised",
        Failure::NotAcceptable => "Not acceptable",
        Failure::UnsupportedMediaType => "Unsupported media type",
        Failure::TooLarge => "Too large",
        Failure::NoRoom => "No room",
        Failure::Unavailable => "Not available now",
        Failure::Undecodable => "Pixel data does not decode",
        Failure::Damaged => "Damaged in the store",
        Failure::Kept => "Must be kept",
        Failure::Internal => "Internal error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_failure_tells_the_client_nothing_of_its_cause() {
        let error = WebError::from(ArchiveError::Internal("password of the database".into()));
        assert!(!error.detail().contains("database"));
        assert_eq!(error.into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn a_missing_instance_is_404_problem_json() {
        let response = WebError::not_found("no such frame").into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_range_outside_names_the_length() {
        let response = WebError::Range(7).into_response();
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */7");
    }
}
