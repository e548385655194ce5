//! The Defined Terms of (0008,0005) and the sets that ISO 2022 designates (PS3.3 Tables C.12-2 to C.12-5).

use encoding_rs::Encoding;

/// A Defined Term of (0008,0005).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Repertoire {
    /// ISO IR 6, and every term that we do not know.
    Default,
    /// UTF-8, GB18030 or GBK: the whole value is in it, without code extensions.
    Whole(&'static Encoding),
    Registered(&'static Registered),
}

/// A set of the ISO International Register.
#[derive(Debug, PartialEq)]
pub(super) struct Registered {
    pub(super) number: &'static str,
    pub(super) area: Area,
    pub(super) graphic: Graphic,
    /// What designates it, without the leading ESC.
    pub(super) escape: &'static [u8],
}

/// The code area a set goes to: bytes below 80 are of G0, those above of G1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Area {
    G0,
    G1,
}

/// What G0 or G1 holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Graphic {
    Ascii,
    /// JIS X 0201 romaji.
    Romaji,
    /// JIS X 0201 katakana.
    Katakana,
    Latin1,
    /// One byte a character; the upper half of the encoding.
    Single(&'static Encoding),
    /// Two bytes a character; `prefix` makes it EUC: 8F for JIS X 0212.
    Double {
        encoding: &'static Encoding,
        prefix: Option<u8>,
    },
}

const JIS_X_0208: Graphic = Graphic::Double { encoding: encoding_rs::EUC_JP, prefix: None };
const JIS_X_0212: Graphic = Graphic::Double { encoding: encoding_rs::EUC_JP, prefix: Some(0x8F) };
const KS_X_1001: Graphic = Graphic::Double { encoding: encoding_rs::EUC_KR, prefix: None };
const GB_2312: Graphic = Graphic::Double { encoding: encoding_rs::GBK, prefix: None };

static REGISTER: &[Registered] = &[
    set("6", Area::G0, Graphic::Ascii, b"(B"),
    set("14", Area::G0, Graphic::Romaji, b"(J"),
    set("13", Area::G1, Graphic::Katakana, b")I"),
    set("87", Area::G0, JIS_X_0208, b"$B"),
    // Of JIS C 6226-1978, which has nearly the same characters.
    set("42", Area::G0, JIS_X_0208, b"$@"),
    set("159", Area::G0, JIS_X_0212, b"$(D"),
    set("58", Area::G1, GB_2312, b"$)A"),
    set("149", Area::G1, KS_X_1001, b"$)C"),
    set("100", Area::G1, Graphic::Latin1, b"-A"),
    set("101", Area::G1, Graphic::Single(encoding_rs::ISO_8859_2), b"-B"),
    set("109", Area::G1, Graphic::Single(encoding_rs::ISO_8859_3), b"-C"),
    set("110", Area::G1, Graphic::Single(encoding_rs::ISO_8859_4), b"-D"),
    set("126", Area::G1, Graphic::Single(encoding_rs::ISO_8859_7), b"-F"),
    set("127", Area::G1, Graphic::Single(encoding_rs::ISO_8859_6), b"-G"),
    set("138", Area::G1, Graphic::Single(encoding_rs::ISO_8859_8), b"-H"),
    set("144", Area::G1, Graphic::Single(encoding_rs::ISO_8859_5), b"-L"),
    // These two are the ISO sets with the control range filled.
    set("148", Area::G1, Graphic::Single(encoding_rs::WINDOWS_1254), b"-M"),
    set("166", Area::G1, Graphic::Single(encoding_rs::WINDOWS_874), b"-T"),
    set("203", Area::G1, Graphic::Single(encoding_rs::ISO_8859_15), b"-b"),
];

const fn set(number: &'static str, area: Area, graphic: Graphic, escape: &'static [u8]) -> Registered {
    Registered { number, area, graphic, escape }
}

impl Repertoire {
    /// By Defined Term, in the spellings found in the field (`ISO IR 100`, `UTF-8`).
    pub(super) fn of(term: &str) -> Self {
        let term = term.trim_matches([' ', '\0']).to_ascii_uppercase();
        match term.as_str() {
            "GB18030" => return Self::Whole(encoding_rs::GB18030),
            "GBK" | "GB2312" => return Self::Whole(encoding_rs::GBK),
            "UTF-8" | "UTF8" => return Self::Whole(encoding_rs::UTF_8),
            _ => {}
        }
        let number = term.rsplit_once("IR").map(|(_, number)| number.trim_matches([' ', '_', '-']));
        match number {
            None | Some("6") => Self::Default,
            Some("192") => Self::Whole(encoding_rs::UTF_8),
            Some(number) => REGISTER.iter().find(|set| set.number == number).map_or(Self::Default, Self::Registered),
        }
    }

    /// The sets with a Defined Term for code extensions (PS3.3 Tables C.12-3, C.12-4); romaji and JIS C 6226 have none.
    pub(super) fn extending() -> impl Iterator<Item = Self> {
        REGISTER.iter().filter(|set| !["14", "42"].contains(&set.number)).map(Self::Registered)
    }

    /// Those with one for use without (PS3.3 Table C.12-2), beside the default repertoire.
    pub(super) fn alone() -> impl Iterator<Item = Self> {
        let is_alone = |set: &&Registered| set.area == Area::G1 && !matches!(set.graphic, Graphic::Double { .. });
        REGISTER.iter().filter(is_alone).map(Self::Registered)
    }

    /// The Defined Term, with or without code extensions.
    pub(super) fn term(&self, is_extended: bool) -> String {
        match self {
            Self::Default => String::new(),
            Self::Whole(encoding) if *encoding == encoding_rs::UTF_8 => "ISO_IR 192".into(),
            Self::Whole(encoding) => encoding.name().to_ascii_uppercase(),
            Self::Registered(set) if is_extended => format!("ISO 2022 IR {}", set.number),
            Self::Registered(set) => format!("ISO_IR {}", set.number),
        }
    }
}

impl Registered {
    /// The set that an escape sequence designates, given what follows ESC.
    pub(super) fn designated(rest: &[u8]) -> Option<&'static Self> {
        REGISTER.iter().find(|set| rest.starts_with(set.escape))
    }

    /// The set of a graphic.
    pub(super) fn holding(graphic: Graphic) -> Option<&'static Self> {
        REGISTER.iter().find(|set| set.graphic == graphic)
    }

    pub(super) fn g1(&self) -> Option<Graphic> {
        (self.area == Area::G1).then_some(self.graphic)
    }
}
