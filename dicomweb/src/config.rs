//! Settings of the web room.

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
    /// A query answers at most this many matches; the rest is fetched by `offset`.
    pub max_results: u32,
    /// A STOW-RS request may have at most this many bytes in all its instances.
    pub max_upload_bytes: u64,
    /// An upload that sends nothing for this many seconds is given up.
    pub idle_seconds: u64,
    /// Frames decoded at the same time; 0 is one per processor.
    pub decoders: usize,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            insecure_no_auth: false,
            ae_title: "YINGHAI".into(),
            dicom_port: 11112,
            port: 0,
            max_results: 5000,
            max_upload_bytes: 64 << 30,
            idle_seconds: 60,
            decoders: 0,
        }
    }
}

impl WebConfig {
    /// Whether browsers reach us by TLS, so that cookies can be restricted to it.
    pub fn is_https(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
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
}
