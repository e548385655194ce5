//! DICOM over TLS (PS3.15 §B.12): handshakes as acceptor and as requestor, with files that may change meanwhile.
//!
//! | module | what |
//! |---|---|
//! | `config`, `error` | settings and failures |
//! | `files` | reading them |
//! | `material` | certificates and keys ready for use |
//! | `certificate` | what is told of one |

mod certificate;
mod config;
mod error;
mod files;
mod material;

pub use certificate::Certificate;
pub use config::TlsConfig;
pub use error::TlsError;
pub use files::Setting;
pub use material::offered;

use files::Files;
use material::Material;
use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, rustls::pki_types::ServerName, server};

/// From so long before its end on, a certificate is worth a warning.
pub const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often that warning is repeated.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// Who we are and whom we trust. Clones share what was read last.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    /// What is used, and the stamp of the files that were looked at last.
    current: RwLock<(Arc<Material>, [u8; 32])>,
}

impl Tls {
    /// Reads the files. Without any setting there is nothing to read, and nothing can be done by TLS.
    pub fn load(config: &TlsConfig) -> Result<Self, TlsError> {
        let files = Files::read(config);
        let material = Material::of(&files, config.client_certificate_optional)?;
        let current = RwLock::new((Arc::new(material), files.stamp()));
        Ok(Self(Arc::new(Inner { config: config.clone(), current })))
    }

    /// Whether there is a certificate of ours, without which nobody can be answered.
    pub fn can_accept(&self) -> bool {
        self.material().server.is_some()
    }

    /// Of our certificate and those of the CAs above it, the one whose end is nearest.
    pub fn next_to_end(&self) -> Option<Certificate> {
        self.material().chain.iter().min_by_key(|certificate| certificate.not_after).cloned()
    }

    /// Looks at the files again and says whether there was something new to use. What is new and cannot be used is an
    /// error once; what was read before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.0.config);
        let stamp = files.stamp();
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.1 == stamp {
            return Ok(false);
        }
        current.1 = stamp;
        current.0 = Arc::new(Material::of(&files, self.0.config.client_certificate_optional)?);
        Ok(true)
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Answers a handshake; also gives the certificate of the caller, if it showed one. After an error, what it sent to
    /// the caller may still be on its way.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
    ) -> Result<(server::TlsStream<S>, Option<Certificate>), (io::Error, S)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(config) = self.material().server.clone() else {
            return Err((fault("there is no certificate of ours"), stream));
        };
        let stream = TlsAcceptor::from(config).accept(stream).into_fallible().await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let shown = shown.map(|der| Certificate::of(der));
        Ok((stream, shown))
    }

    /// Begins a handshake with `host`, a name or address that its certificate must bear.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S) -> io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.material().client.clone();
        let config = config.ok_or_else(|| fault("set dicom.tls.ca to a PEM file with the CA of the peer"))?;
        let host = ServerName::try_from(host.to_owned()).map_err(|_| fault("the host is no name and no address"))?;
        TlsConnector::from(config).connect(host, stream).await
    }

    /// Keeps up with the files, for ever, and reminds of a certificate that ends.
    pub(crate) async fn watch(self) {
        if self.0.config == TlsConfig::default() {
            return;
        }
        let (mut look, mut remind) = (interval(self.0.config.reload()), interval(REMIND));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = remind.tick() => self.remind(),
                _ = look.tick() => {
                    let tls = self.clone();
                    // The files may lie on a share that has gone.
                    match tokio::task::spawn_blocking(move || tls.reload()).await {
                        Ok(Ok(false)) | Err(_) => {}
                        Ok(Ok(true)) => self.tell_reload(),
                        Ok(Err(error)) => {
                            let error: &dyn std::error::Error = &error;
                            tracing::error!(error, "changed TLS files cannot be used; those of before stay in use");
                        }
                    }
                }
            }
        }
    }

    fn tell_reload(&self) {
        let certificate = self.material().chain.first().map(ToString::to_string);
        tracing::info!(certificate, "TLS files were read anew");
        self.remind();
    }

    fn remind(&self) {
        let Some(certificate) = self.next_to_end() else { return };
        let Some(left) = certificate.remaining(SystemTime::now()).filter(|left| *left < RENEW_BEFORE) else { return };
        let days = left.as_secs() / (24 * 3600);
        tracing::warn!(%certificate, days, "a certificate of dicom.tls.certificate ends soon or has ended: renew it");
    }
}

fn fault(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.config).finish()
    }
}
