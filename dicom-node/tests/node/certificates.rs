//! Certificate authorities of a test, and what they sign.

use dicom_node::TlsConfig;
use pacs_core::Fingerprint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::path::{Path, PathBuf};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut asked = CertificateParams::default();
        asked.distinguished_name.push(DnType::CommonName, name);
        asked.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(asked, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// Signs and writes NAME.pem and NAME.key, good for `hosts`.
    pub fn issue(&self, folder: &Path, name: &str, hosts: &[&str]) -> Issued {
        self.issue_until(folder, name, hosts, 2090)
    }

    /// As [`Self::issue`], valid until a year begins.
    pub fn issue_until(&self, folder: &Path, name: &str, hosts: &[&str], year: i32) -> Issued {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut asked = CertificateParams::new(hosts).unwrap();
        asked.distinguished_name.push(DnType::CommonName, name);
        asked.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pair = KeyPair::generate().unwrap();
        let certificate = asked.signed_by(&pair, &self.0).unwrap();
        let issued =
            Issued { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) };
        std::fs::write(&issued.key, pair.serialize_pem()).unwrap();
        std::fs::write(&issued.certificate, certificate.pem()).unwrap();
        issued
    }
}

/// A certificate and its key.
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Issued {
    /// Of a party that trusts `ca`, as caller and as called.
    pub fn trusting(&self, ca: &Path) -> TlsConfig {
        TlsConfig {
            certificate: Some(self.certificate.clone()),
            key: Some(self.key.clone()),
            client_ca: Some(ca.to_owned()),
            reload_seconds: 1,
            ..TlsConfig::default()
        }
    }

    /// DCMTK's options to show it.
    pub fn shown(&self) -> [String; 3] {
        ["+tls".to_owned(), self.key.display().to_string(), self.certificate.display().to_string()]
    }

    pub fn fingerprint(&self) -> Fingerprint {
        use sha2::Digest;
        use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
        let der = CertificateDer::from_pem_file(&self.certificate).unwrap();
        <[u8; 32]>::from(sha2::Sha256::digest(&der)).into()
    }
}
