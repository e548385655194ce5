//! Settings of DICOM over TLS.

use std::{path::PathBuf, time::Duration};

/// Who we are and whom we trust on connections that are secured by TLS. All files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// File with our certificate and after it those of the CAs between it and the root: shown to callers of the TLS port
    /// and to peers that we call.
    pub certificate: Option<PathBuf>,
    /// File with its private key, not encrypted.
    pub key: Option<PathBuf>,
    /// File with the CAs of callers: who calls the TLS port must show a certificate that one of them signed. Not set: no
    /// certificate is asked for.
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`, callers without a certificate are let in too; one that is shown must still be good.
    pub client_certificate_optional: bool,
    /// File with the CAs of peers that we call. Not set: those of `client_ca`.
    pub ca: Option<PathBuf>,
    /// The files are looked at again after so many seconds; associations that begin later use what is new.
    pub reload_seconds: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_ca: None,
            client_certificate_optional: false,
            ca: None,
            reload_seconds: 30,
        }
    }
}

impl TlsConfig {
    pub(super) fn reload(&self) -> Duration {
        Duration::from_secs(self.reload_seconds.max(1))
    }
}
