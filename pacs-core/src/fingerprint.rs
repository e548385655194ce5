//! What tells one certificate from all others.

use std::{fmt, str::FromStr};

/// SHA-256 of a certificate in DER. Written as 64 hexadecimal digits; read with or without colons, also as
/// `openssl x509 -noout -fingerprint -sha256` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is the SHA-256 of a certificate, 64 hexadecimal digits")]
pub struct FingerprintError;

impl From<[u8; 32]> for Fingerprint {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
        let nibble = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(FingerprintError);
        let nibbles: Vec<u8> = text.trim().chars().filter(|&c| c != ':').map(nibble).collect::<Result<_, _>>()?;
        let (pairs, rest) = nibbles.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match (bytes.try_into(), rest) {
            (Ok(digest), []) => Ok(Self(digest)),
            _ => Err(FingerprintError),
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;
    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it_and_written_plainly() {
        let plain = "0a".repeat(32);
        let printed = format!("sha256 Fingerprint={}\n", ["0A"; 32].join(":"));
        for text in [&plain, &printed] {
            assert_eq!(text.parse::<Fingerprint>().map(|f| f.to_string()), Ok(plain.clone()));
        }
        for bad in ["", "0a", &"0a".repeat(33), &format!("{}g", "0".repeat(63)), &format!("{plain}0"), "影海"] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }
}
