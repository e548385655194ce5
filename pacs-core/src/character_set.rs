//! Specific Character Set: text as the sender meant it (PS3.5 §6.1, PS3.3 C.12.1.1.2).

use encoding_rs::Encoding;
use std::sync::Arc;

/// The character repertoires in force, in the order of (0008,0005). Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CharacterSet {
    /// Empty means the default repertoire, ISO IR 6.
    repertoires: Arc<[Repertoire]>,
}

/// A Defined Term of (0008,0005), with or without code extensions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Repertoire {
    /// ISO IR 6, and every term that we do not know.
    Default,
    /// UTF-8, GB18030 or GBK: the whole value is in it, without code extensions.
    Whole(&'static Encoding),
    /// A repertoire that ISO 2022 designates to G0 or G1.
    Designated(Designation),
}

/// What G0 or G1 holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Graphic {
    Ascii,
    /// JIS X 0201 romaji.
    Romaji,
    /// JIS X 0201 katakana.
    Katakana,
    Latin1,
    /// One byte a character; the upper half of `Encoding`.
    Single(&'static Encoding),
    /// Two bytes a character; `prefix` makes it EUC: 8F for JIS X 0212.
    Double {
        encoding: &'static Encoding,
        prefix: Option<u8>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Designation {
    G0(Graphic),
    G1(Graphic),
}

const JIS_X_0208: Graphic = Graphic::Double { encoding: encoding_rs::EUC_JP, prefix: None };
const JIS_X_0212: Graphic = Graphic::Double { encoding: encoding_rs::EUC_JP, prefix: Some(0x8F) };
const KS_X_1001: Graphic = Graphic::Double { encoding: encoding_rs::EUC_KR, prefix: None };
const GB_2312: Graphic = Graphic::Double { encoding: encoding_rs::GBK, prefix: None };

const ESC: u8 = 0x1B;
/// More terms than any sender has use for are not looked at.
const TERMS: usize = 16;

impl CharacterSet {
    /// From the values of (0008,0005). Unknown terms are read as the default repertoire.
    pub fn from_terms(terms: &[&str]) -> Self {
        let repertoires: Vec<_> = terms.iter().take(TERMS).map(|term| Repertoire::of(term)).collect();
        match repertoires.as_slice() {
            [] | [Repertoire::Default] => Self::default(),
            _ => Self { repertoires: repertoires.into() },
        }
    }

    /// From the value field of (0008,0005).
    pub(crate) fn from_value(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self::from_terms(&text.split('\\').collect::<Vec<_>>())
    }

    /// Decodes one value field (all of its backslash-separated values) of an element.
    ///
    /// `is_pn`: `^` and `=` reset code extensions too (PS3.5 §6.1.2.5.3). Never fails: what cannot be decoded becomes
    /// U+FFFD. Text with no declared set but bytes above 7F is tried as UTF-8, then as GB18030: old Chinese modalities.
    pub fn decode(&self, bytes: &[u8], is_pn: bool) -> String {
        let plain = bytes.iter().all(|b| b.is_ascii() && *b != ESC);
        // A yen sign or overline of JIS X 0201 needs more than ASCII.
        if plain && self.initial_g0() == Graphic::Ascii {
            return String::from_utf8_lossy(bytes).into_owned();
        }
        if let Some(encoding) = self.whole() {
            return encoding.decode_without_bom_handling(bytes).0.into_owned();
        }
        if bytes.contains(&ESC) {
            return Decoder::new(self).decode(bytes, is_pn);
        }
        match self.initial_g1() {
            None => undeclared(bytes),
            Some(Graphic::Katakana) if bytes.iter().any(|b| matches!(b, 0x81..0xA0 | 0xE0..0xFD)) => {
                // Not JIS X 0201: Japanese devices that say ISO_IR 13 and mean Shift JIS.
                encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes).0.into_owned()
            }
            // Declared with code extensions but sent without: what the escape would have designated.
            Some(Graphic::Double { encoding, .. }) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Some(_) => Decoder::new(self).decode(bytes, is_pn),
        }
    }

    fn whole(&self) -> Option<&'static Encoding> {
        self.repertoires.iter().find_map(|repertoire| match repertoire {
            Repertoire::Whole(encoding) => Some(*encoding),
            _ => None,
        })
    }

    fn initial_g0(&self) -> Graphic {
        match self.repertoires.first() {
            Some(Repertoire::Designated(Designation::G1(Graphic::Katakana))) => Graphic::Romaji,
            _ => Graphic::Ascii,
        }
    }

    /// The first term's G1. Where that has none, senders that omit an escape mean the first one declared.
    fn initial_g1(&self) -> Option<Graphic> {
        self.repertoires.iter().find_map(|repertoire| match repertoire {
            Repertoire::Designated(Designation::G1(graphic)) => Some(*graphic),
            _ => None,
        })
    }
}

impl Repertoire {
    /// By Defined Term (PS3.3 Tables C.12-2 to C.12-5), in the spellings found in the field (`ISO IR 100`, `UTF-8`).
    fn of(term: &str) -> Self {
        let term = term.trim_matches([' ', '\0']).to_ascii_uppercase();
        match term.as_str() {
            "GB18030" => return Self::Whole(encoding_rs::GB18030),
            "GBK" | "GB2312" => return Self::Whole(encoding_rs::GBK),
            "UTF-8" | "UTF8" => return Self::Whole(encoding_rs::UTF_8),
            _ => {}
        }
        let number = term.rsplit_once("IR").map(|(_, number)| number.trim_matches([' ', '_', '-']));
        let Some(designation) = number.and_then(designation) else {
            return if number == Some("192") { Self::Whole(encoding_rs::UTF_8) } else { Self::Default };
        };
        Self::Designated(designation)
    }
}

/// By number in the ISO International Register.
fn designation(number: &str) -> Option<Designation> {
    use Designation::{G0, G1};
    use Graphic::Single;
    Some(match number {
        "13" => G1(Graphic::Katakana),
        "14" => G0(Graphic::Romaji),
        "58" => G1(GB_2312),
        "87" => G0(JIS_X_0208),
        "100" => G1(Graphic::Latin1),
        "101" => G1(Single(encoding_rs::ISO_8859_2)),
        "109" => G1(Single(encoding_rs::ISO_8859_3)),
        "110" => G1(Single(encoding_rs::ISO_8859_4)),
        "126" => G1(Single(encoding_rs::ISO_8859_7)),
        "127" => G1(Single(encoding_rs::ISO_8859_6)),
        "138" => G1(Single(encoding_rs::ISO_8859_8)),
        "144" => G1(Single(encoding_rs::ISO_8859_5)),
        // These two are the ISO sets with the control range filled.
        "148" => G1(Single(encoding_rs::WINDOWS_1254)),
        "166" => G1(Single(encoding_rs::WINDOWS_874)),
        "149" => G1(KS_X_1001),
        "159" => G0(JIS_X_0212),
        "203" => G1(Single(encoding_rs::ISO_8859_15)),
        _ => return None,
    })
}

/// The designation of an escape sequence, given what follows ESC, and its length without ESC (PS3.3 Table C.12-3, -4).
fn escape(rest: &[u8]) -> Option<(Designation, usize)> {
    use Designation::{G0, G1};
    Some(match rest {
        [b'(', b'B', ..] => (G0(Graphic::Ascii), 2),
        [b'(', b'J', ..] => (G0(Graphic::Romaji), 2),
        [b')', b'I', ..] => (G1(Graphic::Katakana), 2),
        [b'$', b'B' | b'@', ..] => (G0(JIS_X_0208), 2),
        [b'$', b'(', b'D', ..] => (G0(JIS_X_0212), 3),
        [b'$', b')', b'A', ..] => (G1(GB_2312), 3),
        [b'$', b')', b'C', ..] => (G1(KS_X_1001), 3),
        [b'-', last, ..] => (designation(latin(*last)?)?, 2),
        _ => return None,
    })
}

/// Final bytes of the 96-character sets.
fn latin(last: u8) -> Option<&'static str> {
    Some(match last {
        b'A' => "100",
        b'B' => "101",
        b'C' => "109",
        b'D' => "110",
        b'F' => "126",
        b'G' => "127",
        b'H' => "138",
        b'L' => "144",
        b'M' => "148",
        b'T' => "166",
        b'b' => "203",
        _ => return None,
    })
}

fn undeclared(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    match encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(text) => text.into_owned(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The ISO 2022 state while a value is read.
struct Decoder<'a> {
    declared: &'a CharacterSet,
    g0: Graphic,
    g1: Option<Graphic>,
    text: String,
    /// Bytes of one encoding not yet decoded: decoding runs is cheaper than characters.
    run: Vec<u8>,
    encoding: &'static Encoding,
}

impl<'a> Decoder<'a> {
    fn new(declared: &'a CharacterSet) -> Self {
        let (text, run, encoding) = (String::new(), Vec::new(), encoding_rs::UTF_8);
        Self { declared, g0: declared.initial_g0(), g1: declared.initial_g1(), text, run, encoding }
    }

    fn decode(mut self, bytes: &[u8], is_pn: bool) -> String {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match byte {
                ESC => match escape(after) {
                    Some((designation, len)) => {
                        self.designate(designation);
                        after.get(len..).unwrap_or_default()
                    }
                    None => self.plain(byte, after),
                },
                0x00..0x20 | 0x7F => self.plain(byte, after),
                0x20..0x7F => self.left(byte, after, is_pn),
                0x80.. => self.right(byte, after),
            };
        }
        self.flush();
        self.text
    }

    fn designate(&mut self, designation: Designation) {
        match designation {
            Designation::G0(graphic) => self.g0 = graphic,
            Designation::G1(graphic) => self.g1 = Some(graphic),
        }
    }

    /// A character of the first value's repertoire, with the resets that delimiters bring (PS3.5 §6.1.2.5.3).
    fn plain<'b>(&mut self, byte: u8, after: &'b [u8]) -> &'b [u8] {
        if matches!(byte, b'\t' | b'\n' | 0x0C | b'\r') {
            self.reset();
        }
        self.push(encoding_rs::UTF_8, &[byte]);
        after
    }

    fn reset(&mut self) {
        self.g0 = self.declared.initial_g0();
        self.g1 = self.declared.initial_g1();
    }

    /// A byte of the G0 code area.
    fn left<'b>(&mut self, byte: u8, after: &'b [u8], is_pn: bool) -> &'b [u8] {
        match (self.g0, after.split_first()) {
            (Graphic::Double { encoding, prefix }, Some((&second, after))) if (0x21..0x7F).contains(&second) => {
                self.double(encoding, prefix, byte, second);
                after
            }
            _ if byte == b'\\' || is_pn && matches!(byte, b'^' | b'=') => {
                self.reset();
                self.plain(byte, after)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(terms: &str, bytes: &[u8], expected: &str) {
        assert_eq!(CharacterSet::from_value(terms.as_bytes()).decode(bytes, true), expected);
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // PS3.5 Annex H, I and K.
        let name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        check("\\ISO 2022 IR 87", name, "Yamada^Tarou=山田^太郎=やまだ^たろう");
        let name = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J";
        check("ISO 2022 IR 13\\ISO 2022 IR 87", name, "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎");
        let name = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        check("\\ISO 2022 IR 149", name, "Hong^Gildong=洪^吉洞=홍^길동");
        let name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=";
        check("\\ISO 2022 IR 58", name, "Zhang^XiaoDong=张^小东=");
    }

    #[test]
    fn each_single_byte_set_has_its_upper_half() {
        for (number, byte, expected) in [
            (13, 0xB1, "ｱ"),
            (100, 0xE9, "é"),
            (101, 0xB1, "ą"),
            (109, 0xA1, "Ħ"),
            (110, 0xA2, "ĸ"),
            (126, 0xE1, "α"),
            (127, 0xC7, "ا"),
            (138, 0xE0, "א"),
            (144, 0xD0, "а"),
            (148, 0xF0, "ğ"),
            (166, 0xA1, "ก"),
            (203, 0xA4, "€"),
        ] {
            for term in [format!("ISO_IR {number}"), format!("ISO 2022 IR {number}"), format!("iso ir{number} ")] {
                check(&term, &[b'x', byte], &format!("x{expected}"));
            }
        }
    }

    #[test]
    fn escapes_switch_sets_and_delimiters_switch_back() {
        let sets = "ISO 2022 IR 100\\ISO 2022 IR 144\\ISO 2022 IR 159";
        check(sets, b"\xe9\x1b-L\xd0^\xe9", "éа^é");
        check(sets, b"\x1b-L\xd0\x1b-A\xe9", "аé");
        check(sets, b"\x1b-L\xd0\r\n\xe9", "а\r\né");
        check(sets, b"\x1b-L\xd0\\\xe9", "а\\é");
        check(sets, b"\x1b$(D0!\x1b(B^x", "丂^x");
        // In other than names `^` and `=` are characters like others.
        let text = CharacterSet::from_value(sets.as_bytes()).decode(b"\x1b-L\xd0=\xd0", false);
        assert_eq!(text, "а=а");
    }

    #[test]
    fn a_backslash_byte_inside_a_character_is_no_delimiter() {
        check("GBK", b"\x96\x5c\xd2\xbb\\\xb6\xfe", "朶一\\二");
        check("GB18030", b"\x96\x5c\\\x81\x30\x81\x30", "朶\\\u{80}");
        check("ISO_IR 13", b"\x83\x5c\\A", "ソ\\A");
    }

    #[test]
    fn extensions_declared_but_sent_without_escapes_are_read() {
        check("\\ISO 2022 IR 58", b"\xd5\xc5^\xd0\xa1", "张^小");
        check("ISO 2022 IR 58", b"\xd5\xc5", "张");
        check("\\ISO 2022 IR 149", b"\xc8\xab", "홍");
    }

    #[test]
    fn what_is_not_declared_is_tried_as_utf_8_and_gb18030() {
        for terms in ["", "ISO_IR 6", "nonsense"] {
            check(terms, "张^三".as_bytes(), "张^三");
            check(terms, b"\xd5\xc5", "张");
            check(terms, b"plain", "plain");
            check(terms, b"a\xff", "a\u{FFFD}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_replaced() {
        check("ISO_IR 192", b"a\xffb", "a\u{FFFD}b");
        check("\\ISO 2022 IR 58", b"\x1b$)A\xd5", "\u{FFFD}");
        check("\\ISO 2022 IR 87", b"\x1b$B;", ";");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_set_are_text(
            terms in prop::collection::vec(0..210u32, 0..4),
            bytes in prop::collection::vec(prop_oneof![Just(ESC), Just(b'$'), Just(b')'), any::<u8>()], 0..40),
        ) {
            let terms: Vec<_> = terms.iter().map(|number| format!("ISO 2022 IR {number}")).collect();
            let set = CharacterSet::from_terms(&terms.iter().map(String::as_str).collect::<Vec<_>>());
            set.decode(&bytes, true);
            prop_assert_eq!(set.decode(b"ASCII^=", false), "ASCII^=");
        }
    }
}
