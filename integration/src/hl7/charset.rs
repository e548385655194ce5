//! Character sets of messages: MSH-18 (table 0211) and the bytes it stands for.

use encoding_rs::{Encoding, GB18030, UTF_8, WINDOWS_1252};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A character set that results are sent in. Both hold every character DICOM text can.
// In GB 18030 the second byte of a character may equal `|`, `^`, `~` or `\` in ASCII: delimiters are set in the text
// before it is encoded, and a receiver has to decode before it splits. Frame marks and line ends cannot occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Charset {
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "gb18030")]
    Gb18030,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a character cannot be written in {0}")]
pub struct CharsetError(&'static str);

impl Charset {
    /// As in MSH-18.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UNICODE UTF-8",
            Self::Gb18030 => "GB 18030-2000",
        }
    }

    const fn encoding(self) -> &'static Encoding {
        match self {
            Self::Utf8 => UTF_8,
            Self::Gb18030 => GB18030,
        }
    }

    /// Fails rather than replacing a character.
    pub fn encode(self, text: &str) -> Result<Vec<u8>, CharsetError> {
        let (bytes, _, unmappable) = self.encoding().encode(text);
        if unmappable { Err(CharsetError(self.name())) } else { Ok(bytes.into_owned()) }
    }
}

/// Decodes an answer by its own MSH-18, else by `default`. Bytes that do not fit become U+FFFD: all that decides
/// anything in an answer is ASCII, the rest is for people.
pub fn decode(bytes: &[u8], default: Charset) -> Cow<'_, str> {
    let encoding = declared(bytes).unwrap_or(default.encoding());
    encoding.decode_without_bom_handling(bytes).0
}

/// MSH-18, found in the raw bytes: it says how to decode them.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let header = bytes.split(|b| matches!(b, b'\r' | b'\n')).find(|line| line.starts_with(b"MSH"))?;
    let separator = *header.get(3)?;
    let name = header.split(|b| *b == separator).nth(17)?;
    let name = name.split(|b| *b == b'~').next().unwrap_or_default().trim_ascii().to_ascii_uppercase();
    match name.as_slice() {
        b"UNICODE UTF-8" | b"UTF-8" | b"UTF8" => Some(UTF_8),
        b"GB 18030-2000" | b"GB18030" | b"GBK" | b"GB2312" => Some(GB18030),
        b"8859/1" | b"ASCII" => Some(WINDOWS_1252),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chinese_is_written_in_either_set() {
        assert_eq!(Charset::Utf8.encode("王").unwrap(), [0xE7, 0x8E, 0x8B]);
        assert_eq!(Charset::Gb18030.encode("王").unwrap(), [0xCD, 0xF5]);
        // A four-byte character (U+2CB4E), and a two-byte one whose second byte is an ASCII `|`.
        assert_eq!(Charset::Gb18030.encode("𬭎").unwrap().len(), 4);
        assert_eq!(Charset::Gb18030.encode("亅").unwrap()[1], b'|');
    }

    #[test]
    fn a_character_without_a_code_is_an_error() {
        assert!(Charset::Gb18030.encode("\u{e5e5}").is_err());
    }

    #[test]
    fn an_answer_is_decoded_by_what_it_declares() {
        let header = b"MSH|^~\\&|A|B|C|D|1||ACK|1|P|2.5.1||||||GB 18030-2000\rMSA|AE|1|".as_slice();
        let answer = [header, &[0xCD, 0xF5]].concat();
        assert!(decode(&answer, Charset::Utf8).ends_with("王"));
        assert_eq!(decode(&[0xCD, 0xF5], Charset::Gb18030), "王");
        assert_eq!(decode(&[0xCD, 0xF5], Charset::Utf8), "\u{fffd}\u{fffd}");
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes, Charset::Utf8);
            let _ = decode(&[b"MSH|".as_slice(), &bytes].concat(), Charset::Gb18030);
        }

        #[test]
        fn gb18030_holds_no_frame_mark_or_line_end_that_the_text_does_not(text in "\\PC*") {
            if let Ok(bytes) = Charset::Gb18030.encode(&text) {
                prop_assert!(!bytes.iter().any(|b| matches!(b, 0x0B | 0x1C | b'\r' | b'\n')));
            }
        }
    }
}
