//! Application Entity titles.

use std::{fmt, str::FromStr};

/// Application Entity title: 1 to 16 characters of the default repertoire without backslash and control
/// characters, surrounding spaces not significant (PS3.5 §6.2, VR AE).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(Box<str>);

/// Why a text is no AE title.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an AE title has 1 to 16 printable ASCII characters and no backslash")]
pub struct AeTitleError;

impl AeTitle {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AeTitle {
    type Err = AeTitleError;
    fn from_str(text: &str) -> Result<Self, AeTitleError> {
        let text = text.trim_matches([' ', '\0']);
        let sound = (1..=16).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
        if sound { Ok(Self(text.into())) } else { Err(AeTitleError) }
    }
}

impl TryFrom<String> for AeTitle {
    type Error = AeTitleError;
    fn try_from(text: String) -> Result<Self, AeTitleError> {
        text.parse()
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> Self {
        title.0.into()
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_trimmed_and_bounded() {
        assert_eq!(" PACS  ".parse::<AeTitle>().map(|t| t.to_string()), Ok("PACS".to_owned()));
        for bad in ["", "   ", "A\\B", "SEVENTEEN_LETTERS", "影海", "A\nB"] {
            assert_eq!(bad.parse::<AeTitle>(), Err(AeTitleError), "{bad:?}");
        }
    }
}
