//! WADO-URI: one object by a query (PS3.18 §9), answered by the services of WADO-RS.

use crate::{
    asked::{Asked, Parameters},
    auth::Caller,
    error::WebError,
    rendered,
    resource::Resource,
    wado,
    web::Web,
};
use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use pacs_core::{Attributes, Failure, Uid, tags, transfer_syntax::EXPLICIT_VR_LITTLE_ENDIAN};

const DICOM: &str = "application/dicom";
/// Where one side alone is given, the other follows.
const ANY: &str = "65535";

/// `GET /wado?requestType=WADO&studyUID=…&seriesUID=…&objectUID=…`.
pub async fn retrieve(
    State(web): State<Web>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, WebError> {
    let Query(given) = Query::<Parameters>::try_from_uri(&uri)
        .map_err(|_| WebError::bad_request("the query is not made of names and values"))?;
    let given = Given(given);
    if given.get("requestType") != Some("WADO") {
        return Err(WebError::bad_request("requestType must be WADO"));
    }
    if given.get("anonymize").is_some_and(|value| value != "no") {
        let text = "anonymize is not done here: a rule de-identifies what is sent on";
        return Err(WebError::Refused(Failure::NotAcceptable, text.to_owned()));
    }
    let [study, series, object] = [given.uid("studyUID")?, given.uid("seriesUID")?, given.uid("objectUID")?];
    let shown = given.rendering(&web, [&study, &series, &object]).await?;
    let wanted = given.get("contentType").unwrap_or_default();
    let is_dicom = wanted.split(',').any(|one| one.trim().starts_with(DICOM));
    let resource = Resource::of(study, series, object, given.get("frameNumber"));
    let mut asked = Asked { web, resource, parameters: shown, headers, caller, uri };
    let accept = if is_dicom { given.dicom() } else { pictures(wanted) };
    let accept = HeaderValue::try_from(accept).map_err(|_| WebError::bad_request("contentType is malformed"))?;
    asked.headers.insert(header::ACCEPT, accept);
    if is_dicom { wado::retrieve(asked).await } else { rendered::rendered(asked).await }
}

/// A picture unless something else is asked for (PS3.18 §9.1.2.2.1).
fn pictures(wanted: &str) -> String {
    if wanted.trim().is_empty() { "image/jpeg".to_owned() } else { wanted.to_owned() }
}

struct Given(Parameters);

impl Given {
    fn get(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    fn uid(&self, name: &str) -> Result<Uid, WebError> {
        let text = self.get(name).ok_or_else(|| WebError::bad_request(format!("{name} is missing")))?;
        text.parse().map_err(|error| WebError::bad_request(format!("{name}: {error}")))
    }

    /// A file in the transfer syntax that is asked for where it can be, else in Explicit VR Little Endian (§9.1.2.2.2).
    fn dicom(&self) -> String {
        let plain = format!("{DICOM};transfer-syntax={EXPLICIT_VR_LITTLE_ENDIAN}");
        match self.get("transferSyntax") {
            None => plain,
            Some(wanted) => format!("{DICOM};transfer-syntax={wanted}, {plain};q=0.5"),
        }
    }

    /// The parameters of a rendered resource that say the same (§9.1.2.3, §8.3.5).
    async fn rendering(&self, web: &Web, uids: [&Uid; 3]) -> Result<Parameters, WebError> {
        let mut shown = Vec::new();
        match (self.get("windowCenter"), self.get("windowWidth")) {
            (Some(center), Some(width)) => shown.push(("window".to_owned(), format!("{center},{width},linear"))),
            (None, None) => {}
            _ => return Err(WebError::bad_request("windowCenter and windowWidth go together")),
        }
        if let Some(quality) = self.get("imageQuality") {
            shown.push(("quality".to_owned(), quality.to_owned()));
        }
        let (columns, rows) = (self.get("columns").unwrap_or(ANY), self.get("rows").unwrap_or(ANY));
        let is_sized = (columns, rows) != (ANY, ANY);
        match self.get("region") {
            Some(region) => {
                let (size, source) = source(web, uids, region).await?;
                let viewport = if is_sized { format!("{columns},{rows}") } else { size };
                shown.push(("viewport".to_owned(), format!("{viewport},{source}")));
            }
            None if is_sized => shown.push(("viewport".to_owned(), format!("{columns},{rows}"))),
            None => {}
        }
        Ok(shown)
    }
}

/// The part of the image between the left top and the right bottom corner, each from 0 to 1: its size, and where it is in
/// pixels.
async fn source(web: &Web, [study, series, object]: [&Uid; 3], region: &str) -> Result<(String, String), WebError> {
    let usage = || WebError::bad_request("region is left,top,right,bottom, each from 0 to 1");
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    let numbers = region.split(',').map(number).collect::<Option<Vec<_>>>().ok_or_else(usage)?;
    let [left, top, right, bottom] = numbers[..] else { return Err(usage()) };
    if left >= right || top >= bottom {
        return Err(usage());
    }
    let metadata = web.archive.metadata(study, Some(series), Some(object)).await?;
    let json = metadata.first().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let pixels = |tag| Attributes::of(&json).and_then(|image| image.number(tag)).unwrap_or_default();
    let (columns, rows) = (pixels(tags::COLUMNS), pixels(tags::ROWS));
    let along = |from: f64, to: f64, len: f64| ((from * len) as u32, (((to - from) * len) as u32).max(1));
    let ((x, width), (y, height)) = (along(left, right, columns), along(top, bottom, rows));
    Ok((format!("{width},{height}"), format!("{x},{y},{width},{height}")))
}
