//! Specific Character Set: text as the sender meant it, and as the receiver can read it (PS3.5 §6.1, PS3.3 C.12.1.1.2).
//!
//! | module | what |
//! |---|---|
//! | `repertoire` | the Defined Terms, what ISO 2022 designates by them, and the escape sequences |
//! | `decode` | bytes → text |
//! | `encode` | text → bytes |

mod decode;
mod encode;
mod repertoire;
#[cfg(test)]
mod tests;

use dicom_core::VR;
use encoding_rs::Encoding;
use repertoire::{Graphic, Repertoire};
use std::sync::Arc;

/// The character repertoires in force, in the order of (0008,0005). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CharacterSet {
    /// Empty means the default repertoire, ISO IR 6.
    repertoires: Arc<[Repertoire]>,
    /// Whether escape sequences may switch between them.
    is_extended: bool,
}

/// The Defined Terms that are understood, in the standard's spelling: without and with code extensions.
pub fn defined_terms() -> (Vec<String>, Vec<String>) {
    let whole = ["ISO_IR 192", "GB18030", "GBK"].map(Repertoire::of).into_iter();
    let without = Repertoire::alone().chain(whole).map(|set| set.term(false));
    (without.collect(), Repertoire::extending().map(|set| set.term(true)).collect())
}

/// More terms than any sender has use for are not looked at.
const TERMS: usize = 16;

impl CharacterSet {
    /// Everything that Unicode has.
    pub fn utf_8() -> Self {
        Self::from_terms(&["ISO_IR 192"])
    }

    /// From the values of (0008,0005). Unknown terms are read as the default repertoire.
    pub fn from_terms(terms: &[&str]) -> Self {
        let repertoires: Vec<_> = terms.iter().take(TERMS).map(|term| Repertoire::of(term)).collect();
        match repertoires.as_slice() {
            [] | [Repertoire::Default] => Self::default(),
            _ => {
                let is_extended = terms.len() > 1 || terms.iter().any(|term| term.contains("2022"));
                Self { repertoires: repertoires.into(), is_extended }
            }
        }
    }

    /// From the value field of (0008,0005).
    pub(crate) fn from_value(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self::from_terms(&text.split('\\').collect::<Vec<_>>())
    }

    /// The values of (0008,0005), backslash-separated, in the standard's spelling; empty for the default repertoire.
    pub fn terms(&self) -> String {
        if let Some(whole) = self.repertoires.iter().find(|repertoire| matches!(repertoire, Repertoire::Whole(_))) {
            return whole.term(false);
        }
        let terms: Vec<_> = self.repertoires.iter().map(|repertoire| repertoire.term(self.is_extended)).collect();
        terms.join("\\")
    }

    fn whole(&self) -> Option<&'static Encoding> {
        self.repertoires.iter().find_map(|repertoire| match repertoire {
            Repertoire::Whole(encoding) => Some(*encoding),
            _ => None,
        })
    }

    /// What G0 holds at the start and after each delimiter.
    fn initial_g0(&self) -> Graphic {
        match self.repertoires.first() {
            Some(Repertoire::Registered(set)) if set.g1() == Some(Graphic::Katakana) => Graphic::Romaji,
            _ => Graphic::Ascii,
        }
    }
}

/// Whether a character ends the reach of an escape sequence (PS3.5 §6.1.2.5.3): what ends a line or page, and what
/// separates values and the parts of a name. In text of one value a backslash is a character like others.
fn is_delimiter(byte: u8, vr: VR) -> bool {
    match byte {
        b'\t' | b'\n' | 0x0C | b'\r' => true,
        b'\\' => !matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR),
        b'^' | b'=' => vr == VR::PN,
        _ => false,
    }
}
