//! Files made into what rustls needs.
//!
//! TLS 1.2 and 1.3 with ephemeral keys and authenticated encryption only, as BCP 195 (RFC 8996, RFC 9325) and PS3.15
//! §B.12 have it: rustls knows nothing weaker.

use super::{
    Certificate, TlsError,
    files::{File, Files, Setting},
};
use std::sync::Arc;
use tokio_rustls::rustls::{
    ClientConfig, Error, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

/// What can be agreed on in a handshake, in order of preference: versions, cipher suites, key exchange groups.
pub fn offered() -> (Vec<String>, Vec<String>, Vec<String>) {
    let provider = aws_lc_rs::default_provider();
    let named = |text: String| text.trim_start_matches("TLSv").replace('_', ".");
    let versions = VERSIONS.iter().map(|version| named(format!("{:?}", version.version))).collect();
    let suites =
        provider.cipher_suites.iter().map(|suite| format!("{:?}", suite.suite()).replacen("TLS13", "TLS", 1)).collect();
    (versions, suites, provider.kx_groups.iter().map(|group| format!("{:?}", group.name())).collect())
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// What the files make possible.
pub(super) struct Material {
    /// With a certificate of ours.
    pub server: Option<Arc<ServerConfig>>,
    /// With CAs of those whom we call.
    pub client: Option<Arc<ClientConfig>>,
    /// Our certificate and those of the CAs above it.
    pub chain: Vec<Certificate>,
}

impl Material {
    pub fn of(files: &Files, client_certificate_optional: bool) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identity = identity(files, &provider)?;
        let verifier = match &files.client_ca {
            Some(file) => client_verifier(file, client_certificate_optional, &provider)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let server = match &identity {
            Some(identity) => Some(Arc::new(server(identity, verifier, &provider)?)),
            None => None,
        };
        let client = match files.ca.as_ref().or(files.client_ca.as_ref()) {
            Some(file) => Some(Arc::new(client(identity.as_deref(), authorities(file)?, &provider)?)),
            None => None,
        };
        let chain = identity.iter().flat_map(|identity| &identity.cert).map(|der| Certificate::of(der)).collect();
        Ok(Self { server, client, chain })
    }
}

/// Our certificate with its key.
fn identity(files: &Files, provider: &CryptoProvider) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let (certificate, key) = match (&files.certificate, &files.key) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        _ => return Err(TlsError::HalfIdentity),
    };
    let made = CertifiedKey::from_der(certificate.certificates()?, key.private_key()?, provider);
    let fault = |source| match source {
        Error::InconsistentKeys(_) => TlsError::WrongKey,
        Error::General(_) => TlsError::Unusable { setting: Setting::Key, source },
        source => TlsError::Unusable { setting: Setting::Certificate, source },
    };
    made.map(|identity| Some(Arc::new(identity))).map_err(fault)
}

fn authorities(file: &File) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in file.certificates()? {
        store.add(certificate).map_err(|source| TlsError::Unusable { setting: file.setting, source })?;
    }
    Ok(store)
}

fn client_verifier(
    file: &File,
    is_optional: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(authorities(file)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|source| TlsError::Authorities { setting: file.setting, source })
}

fn server(
    identity: &Arc<CertifiedKey>,
    verifier: Arc<dyn ClientCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&VERSIONS)
        .map_err(|source| TlsError::Unusable { setting: Setting::Certificate, source })?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(identity))));
    // Associations are long: each proves anew who calls, and what was trusted yesterday counts no more.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client(
    identity: Option<&CertifiedKey>,
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&VERSIONS)
        .map_err(|source| TlsError::Unusable { setting: Setting::Ca, source })?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}
