//! Segments and fields, written with the standard delimiters and read with whatever MSH-1 and MSH-2 say.

use std::fmt;

/// The delimiters of a message (chapter 2 §2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiters {
    pub field: char,
    pub component: char,
    pub repetition: char,
    pub escape: char,
    pub subcomponent: char,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self { field: '|', component: '^', repetition: '~', escape: '\\', subcomponent: '&' }
    }
}

/// One field on its way out, already escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field(String);

impl Field {
    /// A field of one component.
    pub fn text(text: &str) -> Self {
        Self(escape(text))
    }

    /// Components in order; empty ones at the end are left out.
    pub fn components(components: &[&str]) -> Self {
        let escaped: Vec<String> = components.iter().map(|component| escape(component)).collect();
        Self(escaped.join("^").trim_end_matches('^').to_owned())
    }

    /// Repetitions of a field; empty ones are left out.
    pub fn repetitions(fields: &[Self]) -> Self {
        let filled: Vec<&str> = fields.iter().filter(|f| !f.is_empty()).map(|f| f.0.as_str()).collect();
        Self(filled.join("~"))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One segment. Fields are kept as they stand in the message, escape sequences included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    name: String,
    /// Field 1 first; for MSH that is the field separator itself.
    fields: Vec<String>,
    delimiters: Delimiters,
}

impl Segment {
    /// An empty segment; MSH is given its first two fields.
    pub fn new(name: &str) -> Self {
        let fields = if name == "MSH" { vec!["|".into(), "^~\\&".into()] } else { Vec::new() };
        Self { name: name.into(), fields, delimiters: Delimiters::default() }
    }

    /// Sets field `number`, counted from 1.
    #[must_use]
    pub fn with(mut self, number: usize, field: Field) -> Self {
        if self.fields.len() < number {
            self.fields.resize(number, String::new());
        }
        if let Some(place) = number.checked_sub(1).and_then(|at| self.fields.get_mut(at)) {
            *place = field.0;
        }
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Field `number` as it stands, all repetitions and escape sequences included; empty if absent.
    pub fn field(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|at| self.fields.get(at)).map_or("", String::as_str)
    }

    /// Component `component` (from 1) of the first repetition of a field, escape sequences resolved; empty if absent.
    pub fn component(&self, number: usize, component: usize) -> String {
        let Delimiters { repetition, component: separator, .. } = self.delimiters;
        let first = self.field(number).split(repetition).next().unwrap_or_default();
        let text = component.checked_sub(1).and_then(|at| first.split(separator).nth(at)).unwrap_or_default();
        unescape(text, self.delimiters)
    }

    /// The whole field for people: components set apart by spaces, escape sequences resolved.
    pub fn readable(&self, number: usize) -> String {
        let Delimiters { component, subcomponent, repetition, .. } = self.delimiters;
        let parts = self.field(number).split([component, subcomponent, repetition]);
        let parts: Vec<String> = parts.filter(|part| !part.is_empty()).map(|p| unescape(p, self.delimiters)).collect();
        parts.join(" ")
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        // MSH-1 is the separator that stands behind the name anyway.
        let fields = self.fields.get(usize::from(self.name == "MSH")..).unwrap_or_default();
        fields.iter().try_for_each(|field| write!(f, "|{field}"))
    }
}

/// A whole message. `Display` writes it with a carriage return after each segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub segments: Vec<Segment>,
}

/// Why a text is no HL7 v2 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("does not start with MSH and its delimiters")]
    NoHeader,
    #[error("has more than {MAX_SEGMENTS} segments")]
    TooManySegments,
}

/// More than any message this room reads has.
const MAX_SEGMENTS: usize = 1000;

impl Message {
    /// Reads a message; segments may end in CR, LF or both. Lines that are no segment are kept and never looked at.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let text = text.trim_start_matches(['\u{feff}', '\r', '\n', ' ']);
        let delimiters = delimiters(text).ok_or(MessageError::NoHeader)?;
        let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
        let segments: Vec<Segment> = lines.take(MAX_SEGMENTS + 1).map(|line| segment(line, delimiters)).collect();
        if segments.len() > MAX_SEGMENTS { Err(MessageError::TooManySegments) } else { Ok(Self { segments }) }
    }

    /// The first segment of that name.
    pub fn segment(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| write!(f, "{segment}\r"))
    }
}

/// MSH-1 and MSH-2. Delimiters missing at the end of MSH-2 are the standard ones.
fn delimiters(text: &str) -> Option<Delimiters> {
    let mut rest = text.strip_prefix("MSH")?.chars();
    let field = rest.next().filter(|c| !c.is_alphanumeric() && !c.is_control())?;
    let mut encoding = rest.take_while(|c| *c != field && !c.is_control());
    let standard = Delimiters::default();
    Some(Delimiters {
        field,
        component: encoding.next()?,
        repetition: encoding.next().unwrap_or(standard.repetition),
        escape: encoding.next().unwrap_or(standard.escape),
        subcomponent: encoding.next().unwrap_or(standard.subcomponent),
    })
}

fn segment(line: &str, delimiters: Delimiters) -> Segment {
    let mut parts = line.split(delimiters.field);
    let name = parts.next().unwrap_or_default().to_owned();
    let mut fields: Vec<String> = parts.map(str::to_owned).collect();
    if name == "MSH" {
        fields.insert(0, delimiters.field.to_string());
    }
    Segment { name, fields, delimiters }
}

/// Writes text so that no character of it is taken for a delimiter, a line end or a frame mark (chapter 2 §2.7).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '|' => escaped.push_str("\\F\\"),
            '^' => escaped.push_str("\\S\\"),
            '~' => escaped.push_str("\\R\\"),
            '&' => escaped.push_str("\\T\\"),
            '\\' => escaped.push_str("\\E\\"),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\n' => escaped.push_str("\\.br\\"),
            control if control.is_ascii_control() => escaped.push_str(&format!("\\X{:02X}\\", u32::from(control))),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// Resolves escape sequences. One that is unknown or unfinished stays as it is written.
fn unescape(text: &str, delimiters: Delimiters) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(delimiters.escape) {
        plain.push_str(before);
        match after.split_once(delimiters.escape).and_then(|(code, tail)| Some((resolve(code, delimiters)?, tail))) {
            Some((resolved, tail)) => {
                plain.push_str(&resolved);
                rest = tail;
            }
            None => {
                plain.push(delimiters.escape);
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn resolve(code: &str, delimiters: Delimiters) -> Option<String> {
    let character = match code {
        "F" => delimiters.field,
        "S" => delimiters.component,
        "R" => delimiters.repetition,
        "T" => delimiters.subcomponent,
        "E" => delimiters.escape,
        ".br" => '\n',
        _ => return hexadecimal(code.strip_prefix('X')?),
    };
    Some(character.to_string())
}

/// `\Xhh…\`, taken only where it spells ASCII: what other bytes mean depends on a character set that is gone by now.
fn hexadecimal(digits: &str) -> Option<String> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok().filter(u8::is_ascii);
    (0..digits.len()).step_by(2).map(|at| byte(at).map(char::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_cannot_break_out_of_its_field() {
        let segment = Segment::new("OBX").with(5, Field::text("a|b^c~d&e\\f\r\nPID|1\u{b}\u{1c}"));
        let written = segment.to_string();
        assert_eq!(written, "OBX|||||a\\F\\b\\S\\c\\R\\d\\T\\e\\E\\f\\.br\\PID\\F\\1\\X0B\\\\X1C\\");
    }

    #[test]
    fn the_header_counts_its_separator_as_the_first_field() {
        let message = Message { segments: vec![Segment::new("MSH").with(3, Field::text("YINGHAI"))] };
        assert_eq!(message.to_string(), "MSH|^~\\&|YINGHAI\r");
        assert_eq!(Message::parse(&message.to_string()), Ok(message));
    }

    #[test]
    fn empty_components_and_repetitions_at_the_end_are_left_out() {
        assert_eq!(Field::components(&["P1", "", "", "HIS", ""]), Field("P1^^^HIS".into()));
        assert_eq!(Field::repetitions(&[Field::text("a"), Field::default(), Field::text("b")]), Field("a~b".into()));
    }

    #[test]
    fn a_message_may_choose_its_delimiters_and_line_ends() {
        let message = Message::parse("MSH#*%!$#A*B\r\nMSA#AA#7#a!S!b!X41!!Q!\n").unwrap();
        assert_eq!(message.segment("MSH").unwrap().component(3, 2), "B");
        assert_eq!(message.segment("MSA").unwrap().component(3, 1), "a*bA!Q!");
    }

    #[test]
    fn what_has_no_header_is_no_message() {
        for text in ["", "MSH", "MSA|AA|1", "MSHA^", "HTTP/1.1 400 Bad Request\r\n"] {
            assert_eq!(Message::parse(text), Err(MessageError::NoHeader), "{text:?}");
        }
        let long = format!("MSH|^~\\&\r{}", "Z\r".repeat(MAX_SEGMENTS));
        assert_eq!(Message::parse(&long), Err(MessageError::TooManySegments));
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_a_component(text in "[^\r]*", other in any::<String>()) {
            let segment = Segment::new("OBX").with(5, Field::components(&[&other, &text]));
            let message = Message { segments: vec![Segment::new("MSH"), segment] };
            let read = Message::parse(&message.to_string()).unwrap();
            prop_assert_eq!(read.segments[1].component(5, 2), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), field in any::<usize>(), component in any::<usize>()) {
            for text in [text.clone(), format!("MSH|^~\\&|{text}")] {
                if let Ok(message) = Message::parse(&text) {
                    for segment in &message.segments {
                        let _ = (segment.component(field, component), segment.readable(3));
                    }
                }
            }
        }
    }
}
