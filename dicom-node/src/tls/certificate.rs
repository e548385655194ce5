//! What we tell of a certificate.

use pacs_core::Fingerprint;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use x509_cert::der::Decode;

/// Characters of a subject that are shown: a log line is no place for more.
const LONGEST_SUBJECT: usize = 128;

/// An X.509 certificate. That it is to be trusted is decided elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Distinguished name (RFC 4514); empty when it cannot be read.
    pub subject: String,
    pub fingerprint: Fingerprint,
    /// When it stops being valid, where that can be read.
    pub not_after: Option<SystemTime>,
}

impl Certificate {
    pub(super) fn of(der: &[u8]) -> Self {
        let parsed = x509_cert::Certificate::from_der(der).ok();
        let parsed = parsed.as_ref().map(x509_cert::Certificate::tbs_certificate);
        let subject = parsed.map(|certificate| certificate.subject().to_string()).unwrap_or_default();
        Self {
            // Whoever asks a CA for a certificate chooses its name: it must not write lines of our log.
            subject: subject.chars().filter(|c| !c.is_control()).take(LONGEST_SUBJECT).collect(),
            fingerprint: <[u8; 32]>::from(Sha256::digest(der)).into(),
            not_after: parsed.map(|certificate| certificate.validity().not_after.to_system_time()),
        }
    }

    /// How long it stays valid; zero when it does no more.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.map(|end| end.duration_since(now).unwrap_or_default())
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SHA-256 {})", self.subject, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_certificate_tells_its_name_its_end_and_nothing_that_could_forge_a_log_line() {
        let mut asked = CertificateParams::new(["ct1.ward".to_owned()]).unwrap();
        asked.distinguished_name.push(DnType::CommonName, format!("CT1\n\u{85}root signed in {}", "x".repeat(500)));
        asked.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let made = asked.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::of(made.der());
        assert!(read.subject.starts_with("CN=CT1") && !read.subject.contains(char::is_control), "{}", read.subject);
        assert!(read.subject.contains("root signed in x") && read.subject.len() <= LONGEST_SUBJECT);
        let end = SystemTime::from(asked.not_after);
        assert_eq!(read.remaining(end - Duration::from_secs(5)), Some(Duration::from_secs(5)));
        assert_eq!(read.remaining(end + Duration::from_secs(5)), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_certificate_still_has_a_fingerprint() {
        let read = Certificate::of(b"no certificate");
        assert_eq!((read.subject.as_str(), read.not_after), ("", None));
        assert_ne!(read.fingerprint, Certificate::of(b"another").fingerprint);
    }
}
