//! The same patient, UID and day always become the same others, and without the key nobody finds back.

use crate::uid::Uid;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Well-known UIDs identify nobody: SOP Classes, transfer syntaxes, frames of reference of atlases, palettes.
const OF_THE_STANDARD: &str = "1.2.840.10008.";
/// Dates are moved back by up to so many days.
const MOST_DAYS: u16 = 3650;

/// The secret of pseudonyms: whoever has it can find out whether a pseudonym is that of a given patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// The UID that takes the place of another: one of a UUID (PS3.5 §B.2) of version 8.
    pub fn uid(&self, uid: &str) -> Option<Uid> {
        if uid.starts_with(OF_THE_STANDARD) {
            return uid.parse().ok();
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.digest("uid", &[uid])[..16]);
        let version = 0x8 << 76;
        let variant = 0b10 << 62;
        let uuid = u128::from_be_bytes(bytes) & !(0xF << 76 | 0b11 << 62) | version | variant;
        Some(Uid::from_uuid(uuid))
    }

    /// The pseudonym of a patient: `P` and 20 hexadecimal digits.
    pub fn patient(&self, id: &str, issuer: &str) -> String {
        let digest = self.digest("patient", &[id, issuer]);
        digest[..10].iter().fold("P".to_owned(), |text, byte| format!("{text}{byte:02X}"))
    }

    /// By how many days the dates of a patient are moved back.
    pub(super) fn days(&self, id: &str, issuer: &str) -> u16 {
        let [high, low, ..] = self.digest("days", &[id, issuer]);
        u16::from_be_bytes([high, low]) % MOST_DAYS + 1
    }

    /// Each part with its length before it: no two lists are the same bytes.
    fn digest(&self, of: &str, parts: &[&str]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in std::iter::once(&of).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_becomes_the_same_and_by_another_key_another() {
        let (key, other) = (Key::from([1; 32]), Key::from([2; 32]));
        assert_eq!(key.uid("1.2.3"), key.uid("1.2.3"));
        assert_ne!(key.uid("1.2.3"), key.uid("1.2.4"));
        assert_ne!(key.uid("1.2.3"), other.uid("1.2.3"));
        assert_eq!(key.patient("P1", "A"), key.patient("P1", "A"));
        assert_ne!(key.patient("P1", "A"), key.patient("P1A", ""));
        assert_ne!(key.patient("P1", ""), other.patient("P1", ""));
        assert!((1..=3650).contains(&key.days("P1", "")));
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn a_new_uid_is_that_of_a_uuid_of_version_8_and_those_of_the_standard_stay() {
        let key = Key::from([3; 32]);
        for number in 0..50 {
            let uid = key.uid(&format!("1.2.{number}")).unwrap().to_string();
            let uuid: u128 = uid.strip_prefix("2.25.").unwrap().parse().unwrap();
            assert_eq!((uuid >> 76 & 0xF, uuid >> 62 & 0b11, uid.len() <= 64), (8, 0b10, true));
        }
        assert_eq!(key.uid("1.2.840.10008.1.4.1.1").unwrap().as_str(), "1.2.840.10008.1.4.1.1");
    }
}
