//! Specific Character Set: text as the sender meant it (PS3.5 §6.1, PS3.3 C.12.1.1.2).

/// The character repertoires in force, in the order of (0008,0005).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CharacterSet {
    /// Defined terms as given; empty means the default repertoire, ISO IR 6.
    terms: Vec<String>,
}

impl CharacterSet {
    /// From the values of (0008,0005). Unknown terms are kept and read as the default repertoire.
    pub fn from_terms(terms: &[&str]) -> Self {
        todo!()
    }

    /// Decodes one value field (all of its backslash-separated values) of an element.
    ///
    /// `is_pn`: `^` and `=` reset code extensions too (PS3.5 §6.1.2.5.3). Never fails: what cannot be decoded becomes
    /// U+FFFD. Text with no declared set but bytes above 7F is tried as UTF-8, then as GB18030: old Chinese modalities.
    pub fn decode(&self, bytes: &[u8], is_pn: bool) -> String {
        todo!()
    }
}
