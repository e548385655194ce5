//! STOW-RS: store instances (PS3.18 §10.5).
//!
//! Each part streams into the archive as it arrives; a part that fails does not touch the others. Metadata with bulk data
//! is put together to instances first.

mod composed;
mod jpeg;
mod report;
mod upload;

use crate::{
    auth::Caller,
    error::WebError,
    media_type::MediaType,
    model::Model,
    multipart::{Event, Headers, MultipartError, Reader},
    resource::Resource,
    respond::DICOM_JSON,
    web::Web,
    xml::DICOM_XML,
};
use axum::{
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{HeaderMap, header},
    response::Response,
};
use bytes::Bytes;
use composed::Composition;
use futures::StreamExt;
use pacs_core::Failure;
use std::time::Duration;
use storage::Expected;
use upload::Uploads;

const DICOM: &str = "application/dicom";
/// Media types of a request: instances in parts, or one; metadata with bulk data, or without.
pub const TAKEN: [&str; 6] = [
    "multipart/related; type=\"application/dicom\"",
    DICOM,
    "multipart/related; type=\"application/dicom+json\"",
    "multipart/related; type=\"application/dicom+xml\"",
    DICOM_JSON,
    DICOM_XML,
];

pub async fn store(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    request: Request,
) -> Result<Response, WebError> {
    take(&web, &caller, request, Expected { study: resource.parent().cloned(), ..Expected::default() }).await
}

/// `PUT` of one instance: the current version from now on, whatever is held under its UID; an extension.
pub async fn put(
    State(web): State<Web>,
    caller: Caller,
    resource: Resource,
    request: Request,
) -> Result<Response, WebError> {
    let (study, series, sop_instance) = resource.identity()?;
    let expected = Expected {
        study: Some(study.clone()),
        series: Some(series.clone()),
        sop_instance: Some(sop_instance.clone()),
        is_replacement: true,
        ..Expected::default()
    };
    if !matches!(form(request.headers())?, Form::Single) {
        return Err(WebError::Refused(Failure::UnsupportedMediaType, format!("send one instance as {DICOM}")));
    }
    take(&web, &caller, request, expected).await
}

/// Takes in the instances that a request brings, if they are what is expected.
pub async fn take(web: &Web, caller: &Caller, request: Request, expected: Expected) -> Result<Response, WebError> {
    let (parts, body) = request.into_parts();
    let base = web.base(&parts.uri, &parts.headers)?;
    let answer = Model::wanted(&parts.headers)?;
    let mut source = Source::new(web, body);
    let study = expected.study.clone();
    let mut uploads = Uploads::new(web, caller, expected);
    let outcome = match form(&parts.headers)? {
        Form::Multipart(reader) => read_parts(&mut source, reader, &mut uploads).await,
        Form::Single => read_single(&mut source, &mut uploads).await,
        Form::Composed(reader) => compose_parts(web, &mut source, reader, &mut uploads).await,
        Form::Metadata(model) => compose_single(web, &mut source, model, &mut uploads).await,
    };
    let reports = uploads.finish().await;
    if reports.is_empty() {
        outcome?;
        return Err(WebError::bad_request("the request holds no instance"));
    }
    if let Err(error) = outcome {
        tracing::warn!(%error, "an upload broke off");
    }
    let told = report::write(&reports, &base, study.as_ref());
    let status = report::status(&reports);
    Ok(answer.answer(status, told))
}

enum Form {
    Multipart(Reader),
    Single,
    /// Metadata and bulk data in parts.
    Composed(Reader),
    /// Metadata that needs none.
    Metadata(Model),
}

fn form(headers: &HeaderMap) -> Result<Form, WebError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let refused = |what: &str| WebError::Refused(Failure::UnsupportedMediaType, what.to_owned());
    if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(refused("send the body without Content-Encoding"));
    }
    let takes = format!("send {}", TAKEN.join(", or "));
    let media = text(header::CONTENT_TYPE).and_then(MediaType::parse).ok_or_else(|| refused(&takes))?;
    if media.essence == DICOM {
        return Ok(Form::Single);
    }
    if let Some(model) = Model::of(&media) {
        return Ok(Form::Metadata(model));
    }
    if media.essence != "multipart/related" {
        return Err(refused(&takes));
    }
    let root = media.parameter("type").and_then(MediaType::parse);
    let is_composed = root.as_ref().is_some_and(|root| Model::of(root).is_some());
    if !is_composed && !media.parameter("type").is_none_or(is_dicom) {
        return Err(refused(&takes));
    }
    let reader = Reader::new(media.parameter("boundary").unwrap_or_default()).map_err(broken)?;
    Ok(if is_composed { Form::Composed(reader) } else { Form::Multipart(reader) })
}

fn is_dicom(content_type: &str) -> bool {
    MediaType::parse(content_type).is_some_and(|media| media.essence == DICOM)
}

fn broken(error: MultipartError) -> WebError {
    WebError::bad_request(error.to_string())
}

/// The request's body under its limits of size and idleness.
struct Source {
    body: BodyDataStream,
    left: u64,
    idle: Duration,
}

impl Source {
    fn new(web: &Web, body: Body) -> Self {
        let idle = Duration::from_secs(web.config.idle_seconds);
        Self { body: body.into_data_stream(), left: web.config.max_upload_bytes, idle }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, WebError> {
        let idle = |_| WebError::bad_request("the upload stood still for too long");
        let Some(bytes) = tokio::time::timeout(self.idle, self.body.next()).await.map_err(idle)? else {
            return Ok(None);
        };
        let bytes = bytes.map_err(|_| WebError::bad_request("the connection broke off"))?;
        let over = || WebError::Refused(Failure::TooLarge, "the request is larger than the server takes".into());
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(over)?;
        Ok(Some(bytes))
    }
}

/// On an error the instances before it stand, and the part under way is reported as failed.
async fn read_parts(source: &mut Source, mut reader: Reader, uploads: &mut Uploads<'_>) -> Result<(), WebError> {
    loop {
        match reader.next().map_err(broken)? {
            Event::Part(_) if uploads.is_full() => {
                // Reported, so that the sender does not take the rest for stored.
                uploads.begin(Some(Failure::TooLarge)).await;
                uploads.end().await;
                return Err(WebError::Refused(Failure::TooLarge, "too many instances in one request".into()));
            }
            Event::Part(headers) => uploads.begin(refusal(&headers)).await,
            Event::Data(bytes) => uploads.write(&bytes).await,
            Event::PartEnd => uploads.end().await,
            Event::End => return Ok(()),
            Event::NeedMore => match source.next().await? {
                Some(bytes) => reader.feed(&bytes),
                None => return reader.finish().map_err(broken),
            },
        }
    }
}

/// A part without Content-Type is what the whole says it is.
fn refusal(headers: &Headers) -> Option<Failure> {
    let is_other = headers.get("content-type").is_some_and(|content_type| !is_dicom(content_type));
    is_other.then_some(Failure::UnsupportedMediaType)
}

/// Nothing is stored before all has come: bulk data may be of any instance.
async fn compose_parts(
    web: &Web,
    source: &mut Source,
    mut reader: Reader,
    uploads: &mut Uploads<'_>,
) -> Result<(), WebError> {
    let mut composition = Composition::new(web);
    loop {
        match reader.next().map_err(broken)? {
            Event::Part(headers) => composition.begin(&headers).await?,
            Event::Data(bytes) => composition.write(&bytes).await?,
            Event::PartEnd => composition.end()?,
            Event::End => return composition.store(uploads).await,
            Event::NeedMore => match source.next().await? {
                Some(bytes) => reader.feed(&bytes),
                None => return reader.finish().map_err(broken),
            },
        }
    }
}

async fn compose_single(
    web: &Web,
    source: &mut Source,
    model: Model,
    uploads: &mut Uploads<'_>,
) -> Result<(), WebError> {
    let mut composition = Composition::new(web);
    composition.begin_metadata(model);
    while let Some(bytes) = source.next().await? {
        composition.write(&bytes).await?;
    }
    composition.end()?;
    composition.store(uploads).await
}

async fn read_single(source: &mut Source, uploads: &mut Uploads<'_>) -> Result<(), WebError> {
    uploads.begin(None).await;
    while let Some(bytes) = source.next().await? {
        uploads.write(&bytes).await;
    }
    uploads.end().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(content_type: &str, expected: Result<bool, u16>) {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]);
        let found = form(&headers).map(|form| matches!(form, Form::Multipart(_) | Form::Composed(_)));
        assert_eq!(found.map_err(|error| error.failure().http()), expected, "{content_type}");
    }

    #[test]
    fn dicom_is_taken_in_parts_or_alone() {
        check("multipart/related; type=\"application/dicom\"; boundary=b", Ok(true));
        check("multipart/related; boundary=\"b b\"; type=application/dicom", Ok(true));
        check("multipart/related; boundary=b", Ok(true));
        check("application/dicom", Ok(false));
        check("multipart/related; type=\"application/dicom+json\"; boundary=b", Ok(true));
        check("multipart/related; type=\"application/dicom+xml\"; boundary=b", Ok(true));
        check("application/dicom+json", Ok(false));
    }

    #[test]
    fn anything_else_is_415_and_a_missing_boundary_400() {
        check("multipart/related; type=\"image/jpeg\"; boundary=b", Err(415));
        check("multipart/form-data; boundary=b", Err(415));
        check("text/plain", Err(415));
        check("multipart/related; type=\"application/dicom\"", Err(400));
    }
}
