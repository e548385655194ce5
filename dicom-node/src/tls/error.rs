//! Why TLS cannot be offered: each names the setting, the file and the remedy.

use super::files::Setting;
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{setting} = {} cannot be read; mend the path, or owner and mode of the file", path.display())]
    Read { setting: Setting, path: PathBuf, source: io::Error },
    #[error("{setting} = {} is no sound PEM: a section lacks its end, or holds no Base64", path.display())]
    Pem { setting: Setting, path: PathBuf },
    #[error("{setting} = {} has no certificate: it must hold `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate { setting: Setting, path: PathBuf },
    #[error(
        "{setting} = {} has no private key, or an encrypted one: `openssl pkey -in OLD -out NEW` writes a plain one",
        path.display()
    )]
    NoKey { setting: Setting, path: PathBuf },
    #[error("dicom.tls.certificate and dicom.tls.key belong together, and one is not set")]
    HalfIdentity,
    #[error("dicom.tls.key is the key of another certificate than the first in dicom.tls.certificate")]
    WrongKey,
    #[error("{setting} cannot be used")]
    Unusable { setting: Setting, source: tokio_rustls::rustls::Error },
    #[error("{setting} cannot be trusted as certificate authorities")]
    Authorities { setting: Setting, source: tokio_rustls::rustls::server::VerifierBuilderError },
}
