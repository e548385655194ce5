//! Text → bytes.

use super::decode::ESC;
use super::repertoire::{Area, Graphic, Registered, Repertoire};
use super::{CharacterSet, is_delimiter};
use dicom_core::VR;

impl CharacterSet {
    /// The value field of a text (values backslash-separated) in an element of this VR, unpadded.
    ///
    /// `None` if the text has a character that these repertoires lack, or that would read back as another one: then
    /// [`CharacterSet::utf_8`] is the set to declare. Characters of JIS X 0212 are read but never written.
    pub fn encode(&self, text: &str, vr: VR) -> Option<Vec<u8>> {
        let bytes = match self.whole() {
            Some(encoding) => {
                let (bytes, _, is_lossy) = encoding.encode(text);
                (!is_lossy).then(|| bytes.into_owned())?
            }
            None => Encoder::new(self, vr).encode(text)?,
        };
        // The encoders know Windows code pages, of which ISO's sets are a part.
        (self.decode(&bytes, vr) == text).then_some(bytes)
    }
}

/// The ISO 2022 state while a value is written.
struct Encoder<'a> {
    declared: &'a CharacterSet,
    vr: VR,
    g0: Graphic,
    g1: Option<Graphic>,
    bytes: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn new(declared: &'a CharacterSet, vr: VR) -> Self {
        let mut encoder = Self { declared, vr, g0: declared.initial_g0(), g1: None, bytes: Vec::new() };
        encoder.reset_g1();
        encoder
    }

    fn encode(mut self, text: &str) -> Option<Vec<u8>> {
        for character in text.chars() {
            match u8::try_from(character) {
                Ok(byte) if is_delimiter(byte, self.vr) => self.delimiter(byte)?,
                _ => self.character(character)?,
            }
        }
        self.return_g0()?;
        Some(self.bytes)
    }

    /// The first term's sets must be in force before a delimiter, and are after it (PS3.5 §6.1.2.5.3).
    fn delimiter(&mut self, byte: u8) -> Option<()> {
        self.return_g0()?;
        self.bytes.push(byte);
        self.reset_g1();
        Some(())
    }

    fn character(&mut self, character: char) -> Option<()> {
        let in_force = [Some(self.g0), self.g1];
        for (graphic, high) in in_force.into_iter().zip([0, 0x80]) {
            if let Some(code) = graphic.and_then(|graphic| code(graphic, character)) {
                self.put(code, high);
                return Some(());
            }
        }
        if let Some(code) = code(self.declared.initial_g0(), character) {
            self.return_g0()?;
            self.put(code, 0);
            return Some(());
        }
        self.switch(character)
    }

    /// Designates the first declared set that has the character, and writes it.
    fn switch(&mut self, character: char) -> Option<()> {
        let declared = self.declared;
        let sets = declared.repertoires.iter().filter_map(|repertoire| match repertoire {
            Repertoire::Registered(set) if declared.is_extended => Some(*set),
            _ => None,
        });
        let (set, code) = sets.into_iter().find_map(|set| Some((set, code(set.graphic, character)?)))?;
        self.designate(set);
        self.put(code, if set.area == Area::G1 { 0x80 } else { 0 });
        Some(())
    }

    fn designate(&mut self, set: &Registered) {
        self.bytes.push(ESC);
        self.bytes.extend_from_slice(set.escape);
        match set.area {
            Area::G0 => self.g0 = set.graphic,
            Area::G1 => self.g1 = Some(set.graphic),
        }
    }

    fn return_g0(&mut self) -> Option<()> {
        let initial = self.declared.initial_g0();
        if self.g0 != initial {
            self.designate(Registered::holding(initial)?);
        }
        Some(())
    }

    fn reset_g1(&mut self) {
        self.g1 = match self.declared.repertoires.first() {
            Some(Repertoire::Registered(set)) => set.g1(),
            _ => None,
        };
    }

    fn put(&mut self, (first, second): (u8, Option<u8>), high: u8) {
        self.bytes.push(first | high);
        self.bytes.extend(second.map(|second| second | high));
    }
}

/// The one or two bytes of a character in a set, without the high bit.
fn code(graphic: Graphic, character: char) -> Option<(u8, Option<u8>)> {
    let single = |code: u32| u8::try_from(code).ok().map(|code| (code & 0x7F, None));
    match (graphic, character) {
        (Graphic::Ascii, ' '..='~') => single(character.into()),
        (Graphic::Romaji, '\u{203E}') => single(0x7E),
        (Graphic::Romaji, ' '..='}') => single(character.into()),
        (Graphic::Katakana, '\u{FF61}'..='\u{FF9F}') => single(u32::from(character) - 0xFF61 + 0xA1),
        (Graphic::Latin1, '\u{A0}'..='\u{FF}') => single(character.into()),
        (Graphic::Single(encoding), '\u{A0}'..) => match *encoded(encoding, character)? {
            [byte @ 0xA0..=0xFF] => Some((byte & 0x7F, None)),
            _ => None,
        },
        (Graphic::Double { encoding, prefix: None }, '\u{A0}'..) => match *encoded(encoding, character)? {
            [first @ 0xA1..=0xFF, second @ 0xA1..=0xFF] => Some((first & 0x7F, Some(second & 0x7F))),
            _ => None,
        },
        _ => None,
    }
}

fn encoded(encoding: &'static encoding_rs::Encoding, character: char) -> Option<Vec<u8>> {
    let mut text = [0; 4];
    let (bytes, _, is_lossy) = encoding.encode(character.encode_utf8(&mut text));
    (!is_lossy).then(|| bytes.into_owned())
}
