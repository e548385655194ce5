//! Requests for JSON.

use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Request, RequestInit, Response};

use super::send;
use crate::devices;
use crate::model::{Fetch, Msg, Problem};

/// Makes the request; its answer comes back as a message.
pub fn start(fetch: Fetch) {
    spawn_local(async move {
        let result = answers(&fetch).await;
        send(Msg::Fetched(fetch, result));
    });
}

async fn answers(fetch: &Fetch) -> Result<Vec<Value>, Problem> {
    let requests: Vec<(&str, String, Option<Value>)> = match fetch {
        Fetch::Session => vec![("GET", "/api/session".into(), None)],
        Fetch::SignIn { user, password } => {
            vec![("POST", "/api/session".into(), Some(json!({ "user": user, "password": password })))]
        }
        Fetch::SignOut => vec![("DELETE", "/api/session".into(), None)],
        Fetch::Status => vec![("GET", "/api/status".into(), None)],
        Fetch::Studies { urls, .. } => urls.iter().map(|url| ("GET", url.clone(), None)).collect(),
        Fetch::Series { study, .. } => {
            let url = format!("/dicom-web/studies/{study}/series?includefield=SeriesDescription");
            vec![("GET", url, None)]
        }
        Fetch::Devices => vec![("GET", "/api/aes".into(), None)],
        Fetch::PutDevice(device) => vec![("PUT", devices::path(&device.ae_title), Some(device.settings()))],
        Fetch::RemoveDevice(ae_title) => vec![("DELETE", devices::path(ae_title), None)],
        Fetch::Echo(ae_title) => vec![("POST", format!("{}/echo", devices::path(ae_title)), None)],
        Fetch::Metadata { study, series, .. } => {
            vec![("GET", format!("/dicom-web/studies/{study}/series/{series}/metadata"), None)]
        }
    };
    // All are under way before the first is waited for.
    let promises: Vec<_> = requests.iter().map(|(method, url, body)| promise(method, url, body.as_ref())).collect();
    let mut answers = Vec::with_capacity(promises.len());
    for promise in promises {
        answers.push(answer(promise?).await?);
    }
    Ok(answers)
}

fn promise(method: &str, url: &str, body: Option<&Value>) -> Result<js_sys::Promise, Problem> {
    let options = RequestInit::new();
    options.set_method(method);
    if let Some(body) = body {
        options.set_body(&JsValue::from_str(&body.to_string()));
    }
    let request = Request::new_with_str_and_init(url, &options).map_err(|_| Problem::Offline)?;
    let accept = if url.starts_with("/dicom-web") { "application/dicom+json" } else { "application/json" };
    let headers = request.headers();
    headers.set("Accept", accept).map_err(|_| Problem::Answer)?;
    if body.is_some() {
        headers.set("Content-Type", "application/json").map_err(|_| Problem::Answer)?;
    }
    Ok(web_sys::window().ok_or(Problem::Offline)?.fetch_with_request(&request))
}

async fn answer(promise: js_sys::Promise) -> Result<Value, Problem> {
    let response: Response = JsFuture::from(promise).await.map_err(|_| Problem::Offline)?.unchecked_into();
    let text = match response.text() {
        Ok(text) => JsFuture::from(text).await.map_err(|_| Problem::Offline)?.as_string().unwrap_or_default(),
        Err(_) => String::new(),
    };
    if !response.ok() {
        return Err(problem(response.status(), &text));
    }
    // 204: nothing matched, or nothing to say.
    if text.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).map_err(|_| Problem::Answer) }
}

/// What a problem+json answer says (RFC 9457), as far as it says something.
pub fn problem(status: u16, text: &str) -> Problem {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let member = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
    Problem::Status { status, detail: member("detail").or_else(|| member("title")).unwrap_or_default() }
}
