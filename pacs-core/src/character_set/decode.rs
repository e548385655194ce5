//! Bytes → text.

use super::repertoire::{Area, Graphic, Registered, Repertoire};
use super::{CharacterSet, is_delimiter};
use dicom_core::VR;
use encoding_rs::Encoding;

pub(super) const ESC: u8 = 0x1B;

impl CharacterSet {
    /// Decodes one value field (all of its backslash-separated values) of an element of this VR.
    ///
    /// Never fails: what cannot be decoded becomes U+FFFD. At most three bytes of text for a byte. A declared set has
    /// the last word, even where its reading looks wrong: text cut short in the middle of a character looks so too.
    /// Text with no declared set but bytes above 7F is tried as UTF-8, then as GB18030: old Chinese modalities.
    pub fn decode(&self, bytes: &[u8], vr: VR) -> String {
        let plain = bytes.iter().all(|b| b.is_ascii() && *b != ESC);
        // A yen sign or overline of JIS X 0201 needs more than ASCII.
        if plain && self.initial_g0() == Graphic::Ascii {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        if let Some(encoding) = self.whole() {
            return encoding.decode_without_bom_handling(bytes).0.into_owned();
        }
        if bytes.contains(&ESC) {
            return Decoder::new(self, vr).decode(bytes);
        }
        match self.initial_g1() {
            None => undeclared(bytes),
            Some(Graphic::Katakana) if bytes.iter().any(|b| matches!(b, 0x81..0xA0 | 0xE0..0xFD)) => {
                // Not JIS X 0201: Japanese devices that say ISO_IR 13 and mean Shift JIS.
                encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes).0.into_owned()
            }
            // Declared with code extensions but sent without: what the escape would have designated.
            Some(Graphic::Double { encoding, .. }) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Some(_) => Decoder::new(self, vr).decode(bytes),
        }
    }

    /// The first term's G1. Where that has none, senders that omit an escape mean the first one declared.
    fn initial_g1(&self) -> Option<Graphic> {
        self.repertoires.iter().find_map(|repertoire| match repertoire {
            Repertoire::Registered(set) => set.g1(),
            _ => None,
        })
    }
}

fn undeclared(bytes: &[u8]) -> String {
    if is_utf_8(bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Also when the sender cut the text to the length of its VR in the middle of a character.
fn is_utf_8(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    let text = bytes.get(..end).unwrap_or_default();
    std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none() && error.valid_up_to() > 0, |_| true)
}

/// The ISO 2022 state while a value is read.
struct Decoder<'a> {
    declared: &'a CharacterSet,
    vr: VR,
    g0: Graphic,
    g1: Option<Graphic>,
    text: String,
    /// Bytes of one encoding not yet decoded: decoding runs is cheaper than characters.
    run: Vec<u8>,
    encoding: &'static Encoding,
}

impl<'a> Decoder<'a> {
    fn new(declared: &'a CharacterSet, vr: VR) -> Self {
        let (text, run, encoding) = (String::new(), Vec::new(), encoding_rs::UTF_8);
        Self { declared, vr, g0: declared.initial_g0(), g1: declared.initial_g1(), text, run, encoding }
    }

    fn decode(mut self, bytes: &[u8]) -> String {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match byte {
                ESC => match Registered::designated(after) {
                    Some(set) => {
                        self.designate(set);
                        after.get(set.escape.len()..).unwrap_or_default()
                    }
                    None => self.plain(byte, after),
                },
                0x00..0x20 | 0x7F => self.plain(byte, after),
                0x20..0x7F => self.left(byte, after),
                0x80.. => self.right(byte, after),
            };
        }
        self.flush();
        self.text
    }

    fn designate(&mut self, set: &Registered) {
        match set.area {
            Area::G0 => self.g0 = set.graphic,
            Area::G1 => self.g1 = Some(set.graphic),
        }
    }

    /// A character of the first value's repertoire, with the resets that delimiters bring (PS3.5 §6.1.2.5.3).
    fn plain<'b>(&mut self, byte: u8, after: &'b [u8]) -> &'b [u8] {
        if is_delimiter(byte, self.vr) {
            self.g0 = self.declared.initial_g0();
            self.g1 = self.declared.initial_g1();
        }
        self.push(encoding_rs::UTF_8, &[byte]);
        after
    }

    /// A byte of the G0 code area.
    fn left<'b>(&mut self, byte: u8, after: &'b [u8]) -> &'b [u8] {
        match (self.g0, after.split_first()) {
            (Graphic::Double { encoding, prefix }, Some((&second, after))) if (0x21..0x7F).contains(&second) => {
                self.double(encoding, prefix, byte, second);
                after
            }
            (Graphic::Romaji, _) if byte == 0x7E => {
                self.push(encoding_rs::UTF_8, "\u{203E}".as_bytes());
                after
            }
            _ => self.plain(byte, after),
        }
    }

    /// A byte of the G1 code area.
    fn right<'b>(&mut self, byte: u8, after: &'b [u8]) -> &'b [u8] {
        match (self.g1, after.split_first()) {
            (Some(Graphic::Double { encoding, prefix }), Some((&second, after))) if second >= 0x80 => {
                self.double(encoding, prefix, byte, second);
                return after;
            }
            (Some(Graphic::Single(encoding)), _) => self.push(encoding, &[byte]),
            (Some(Graphic::Latin1), _) => self.push_char(char::from(byte)),
            (Some(Graphic::Katakana), _) => match byte {
                0xA1..=0xDF => self.push_char(char::from_u32(0xFF61 + u32::from(byte - 0xA1)).unwrap_or('\u{FFFD}')),
                _ => self.push_char('\u{FFFD}'),
            },
            _ => self.push_char('\u{FFFD}'),
        }
        after
    }

    /// A character of two bytes, as EUC: both with the high bit.
    fn double(&mut self, encoding: &'static Encoding, prefix: Option<u8>, first: u8, second: u8) {
        let pair = [prefix.unwrap_or_default(), first | 0x80, second | 0x80];
        self.push(encoding, if prefix.is_some() { &pair } else { &pair[1..] });
    }

    fn push_char(&mut self, character: char) {
        self.push(encoding_rs::UTF_8, character.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn push(&mut self, encoding: &'static Encoding, bytes: &[u8]) {
        if encoding != self.encoding {
            self.flush();
            self.encoding = encoding;
        }
        self.run.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        self.text.push_str(&self.encoding.decode_without_bom_handling(&self.run).0);
        self.run.clear();
    }
}
