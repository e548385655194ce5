//! DICOM unique identifiers.

use std::{fmt, str::FromStr};

/// DICOM UID: 1 to 64 characters, digits in dot-separated non-empty components (PS3.5 §9.1).
///
/// A made `Uid` can name a file or a URL segment and nothing else: no slash, no `..`, no control character.
// Leading zeros in a component are let in: refusing an image hurts a patient more than a sloppy UID does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(Box<str>);

/// Why a text is no UID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    #[error("UID is empty")]
    Empty,
    #[error("UID is longer than 64 characters")]
    TooLong,
    #[error("UID has a character or component that PS3.5 §9.1 does not allow")]
    Malformed,
}

impl Uid {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The UID of a UUID given as a number, `2.25.<decimal>` (PS3.5 §B.2).
    pub fn from_uuid(uuid: u128) -> Self {
        Self(format!("2.25.{uuid}").into())
    }
}

impl FromStr for Uid {
    type Err = UidError;

    /// Trailing NUL and space padding is dropped first (PS3.5 §6.2, VR UI).
    fn from_str(text: &str) -> Result<Self, UidError> {
        let text = text.trim_end_matches(['\0', ' ']);
        if text.is_empty() {
            return Err(UidError::Empty);
        }
        if text.len() > 64 {
            return Err(UidError::TooLong);
        }
        let sound = text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        if sound { Ok(Self(text.into())) } else { Err(UidError::Malformed) }
    }
}

impl TryFrom<String> for Uid {
    type Error = UidError;
    fn try_from(text: String) -> Result<Self, UidError> {
        text.parse()
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        uid.0.into()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uid_can_name_a_file_and_nothing_else() {
        for bad in ["", ".", "1..2", "1.2.", "../escaped", "1/2", "1.2\n", "a.b", &"1".repeat(65)] {
            assert!(bad.parse::<Uid>().is_err(), "{bad:?}");
        }
        for good in ["1", "1.2.840.10008.1.1", "1.2.003", "1.2\0", "1.2 "] {
            assert!(good.parse::<Uid>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn the_largest_uuid_fits() {
        assert!(Uid::from_uuid(u128::MAX).as_str().len() <= 64);
    }

    proptest! {
        #[test]
        fn a_parsed_uid_is_path_safe(text in any::<String>()) {
            if let Ok(uid) = text.parse::<Uid>() {
                prop_assert!(!uid.as_str().contains("..") && !uid.as_str().contains('/'));
            }
        }
    }
}
