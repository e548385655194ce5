//! The files that the configuration names, as they are at one moment.

use super::{TlsConfig, TlsError};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
};
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// All CAs that browsers trust make 250 KB.
const LONGEST_FILE: u64 = 4 << 20;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Certificate,
    Key,
    ClientCa,
    Ca,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "dicom.tls.certificate",
            Self::Key => "dicom.tls.key",
            Self::ClientCa => "dicom.tls.client_ca",
            Self::Ca => "dicom.tls.ca",
        })
    }
}

/// What all of them hold, or why it cannot be read.
pub(super) struct Files {
    pub certificate: Option<File>,
    pub key: Option<File>,
    pub client_ca: Option<File>,
    pub ca: Option<File>,
}

pub(super) struct File {
    pub setting: Setting,
    path: PathBuf,
    content: io::Result<Vec<u8>>,
}

impl Files {
    pub fn read(config: &TlsConfig) -> Self {
        let read = |setting, path: &Option<PathBuf>| {
            path.as_ref().map(|path| File { setting, path: path.clone(), content: content(path) })
        };
        Self {
            certificate: read(Setting::Certificate, &config.certificate),
            key: read(Setting::Key, &config.key),
            client_ca: read(Setting::ClientCa, &config.client_ca),
            ca: read(Setting::Ca, &config.ca),
        }
    }

    /// Another one as soon as any file changes, vanishes or comes back.
    pub fn stamp(&self) -> [u8; 32] {
        let mut all = Sha256::new();
        for file in [&self.certificate, &self.key, &self.client_ca, &self.ca] {
            let content = file.as_ref().map(|file| file.content.as_deref().map_err(io::Error::kind));
            all.update(Sha256::digest(match content {
                Some(Ok(bytes)) => bytes.to_vec(),
                other => format!("{other:?}").into_bytes(),
            }));
        }
        all.finalize().into()
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl File {
    fn bytes(&self) -> Result<&[u8], TlsError> {
        let (setting, path) = (self.setting, self.path.clone());
        let again = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        self.content.as_deref().map_err(|error| TlsError::Read { setting, path, source: again(error) })
    }

    /// All certificates of the file, at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let (setting, path) = (self.setting, self.path.clone());
        let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(self.bytes()?).collect();
        match found {
            Ok(found) if found.is_empty() => Err(TlsError::NoCertificate { setting, path }),
            Ok(found) => Ok(found),
            Err(_) => Err(TlsError::Pem { setting, path }),
        }
    }

    /// The first private key of the file: PKCS #8, PKCS #1 or SEC 1.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let (setting, path) = (self.setting, self.path.clone());
        PrivateKeyDer::from_pem_slice(self.bytes()?).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::NoKey { setting, path },
            _ => TlsError::Pem { setting, path },
        })
    }
}
