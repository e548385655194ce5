//! Settings of the web room.

use std::{collections::BTreeSet, path::PathBuf};

/// How the HTTP side behaves. Where it listens is the program's affair.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// The address that clients reach us by, such as `https://pacs.example.org`; needed behind a TLS proxy. Unset: `http://` and the request's own Host.
    pub public_url: Option<String>,
    /// Treat every request as the local administrator; the program sets it, and allows it on loopback only.
    #[serde(skip)]
    pub insecure_no_auth: bool,
    /// The AE title that `/api/status` shows; the program sets it from the DICOM node's.
    #[serde(skip)]
    pub ae_title: String,
    /// The port of the DICOM node, which `/api/status` shows; the program sets it.
    #[serde(skip)]
    pub dicom_port: u16,
    /// The port that we listen on; the program sets it. Some clients leave it out of their Host header.
    #[serde(skip)]
    pub port: u16,
    /// Origins of other web applications that may ask from a browser, such as `https://viewer.example.org`; `*` is any. They
    /// bring a bearer token: the session of our viewer is not theirs.
    pub allowed_origins: Vec<String>,
    /// A query answers at most this many matches; the rest is fetched by `offset`.
    pub max_results: u32,
    /// A STOW-RS request may have at most this many bytes in all its instances.
    pub max_upload_bytes: u64,
    /// An upload that sends nothing for this many seconds is given up.
    pub idle_seconds: u64,
    /// Frames decoded at the same time; 0 is one per processor.
    pub decoders: usize,
    /// Web applications of other makers, a table `[[web.apps]]` each with `path` and `folder`, served beside our viewer to those signed in there. See docs/ohif.md.
    pub apps: Vec<AppConfig>,
}

/// A folder of files for browsers. Who asks for the files is not asked; for what is under `/dicom-web` they are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// Where it is reached, such as `/ohif`.
    pub path: AppPath,
    /// What lies there; addresses that name no file are answered with its `index.html`.
    pub folder: PathBuf,
    /// What its code may load and call: our origin, unless this says more.
    #[serde(default = "own_origin_only")]
    pub content_security_policy: String,
    /// Whether its pages are cut off from those of other origins, so that they may share memory with their workers.
    #[serde(default = "yes")]
    pub cross_origin_isolated: bool,
}

// Scripts in pages, workers and pictures made by scripts, and code made at run time, as the decoders that Cornerstone compiles with
// Emscripten make theirs: what such applications are built of.
fn own_origin_only() -> String {
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; \
     img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' blob: data:; \
     worker-src 'self' blob:; frame-src 'self' blob:; object-src 'self' blob:; base-uri 'self'; form-action 'self'; \
     frame-ancestors 'none'"
        .to_owned()
}

const fn yes() -> bool {
    true
}

/// One segment that none of our own routes begins with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct AppPath(String);

/// What stands at the root already: services, API and our viewer.
const OURS: &[&str] = &["api", "assets", "changes", "devices", "dicom-web", "healthz", "readyz", "viewer", "wado"];

impl AppPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix('/').unwrap_or_default();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        match name {
            "" => Err(format!("write the path of an application as /ohif, not {text:?}")),
            name if OURS.contains(&name) => Err(format!("{text} is taken by this server: choose another path")),
            name if name.bytes().all(plain) => Ok(Self(text)),
            _ => Err(format!("{text:?} may have one slash, small letters, digits and hyphens only")),
        }
    }
}

impl From<AppPath> for String {
    fn from(path: AppPath) -> Self {
        path.0
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            insecure_no_auth: false,
            ae_title: "YINGHAI".into(),
            dicom_port: 11112,
            port: 0,
            allowed_origins: Vec::new(),
            max_results: 5000,
            max_upload_bytes: 64 << 30,
            idle_seconds: 60,
            decoders: 0,
            apps: Vec::new(),
        }
    }
}

impl WebConfig {
    /// Whether browsers reach us by TLS, so that cookies can be restricted to it.
    pub fn is_https(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Whether the applications can be served; else what is wrong.
    pub fn check_apps(&self) -> Result<(), String> {
        let mut paths = BTreeSet::new();
        for app in &self.apps {
            let (path, folder) = (app.path.as_str(), app.folder.display());
            if !paths.insert(path) {
                return Err(format!("web.apps has two applications at {path}"));
            }
            if !app.folder.join("index.html").is_file() {
                return Err(format!("web.apps: there is no index.html in {folder}, which is to be served at {path}"));
            }
            if axum::http::HeaderValue::from_str(&app.content_security_policy).is_err() {
                return Err(format!("web.apps: content_security_policy of {path} is more than one line of text"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_configuration_is_the_default() {
        assert_eq!(serde_json::from_str::<WebConfig>("{}").unwrap(), WebConfig::default());
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<WebConfig>(r#"{"publik_url": "x"}"#).is_err());
    }

    #[test]
    fn an_application_has_one_segment_of_its_own() {
        let path = |text: &str| AppPath::try_from(text.to_owned());
        assert_eq!(path("/ohif").unwrap().as_str(), "/ohif");
        for wrong in ["", "/", "ohif", "/ohif/", "/a/b", "/dicom-web", "/viewer", "/{x}", "/..", "/é"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let app = serde_json::json!({ "path": "/ohif", "folder": folder.path() });
        let config = |apps| serde_json::from_value::<WebConfig>(serde_json::json!({ "apps": apps })).unwrap();
        assert!(config([app.clone()]).check_apps().unwrap_err().contains("no index.html"));
        std::fs::write(folder.path().join("index.html"), "").unwrap();
        assert_eq!(config([app.clone()]).check_apps(), Ok(()));
        let twice = serde_json::from_value::<WebConfig>(serde_json::json!({ "apps": [app, app] })).unwrap();
        assert!(twice.check_apps().unwrap_err().contains("two applications"));
    }
}
