//! The Native DICOM Model (PS3.19 Annex A): the DICOM JSON model written as XML, and read from it.

use pacs_core::{
    Tag,
    attributes::{key, keyword},
    query::attribute_id,
};
use quick_xml::{
    Reader, Writer,
    events::{BytesDecl, BytesStart, BytesText, Event},
};
use serde_json::{Map, Value, json};

pub const DICOM_XML: &str = "application/dicom+xml";
const NAMESPACE: &str = "http://dicom.nema.org/PS3.19/models/NativeDICOM";
/// Elements within elements; an item of a sequence is two of them.
const DEPTH: usize = 64;
/// Elements of a document: each takes some hundred bytes, whatever it has in the text.
const NODES: usize = 1 << 19;
const GROUPS: [&str; 3] = ["Alphabetic", "Ideographic", "Phonetic"];
const COMPONENTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];

/// A data set of the DICOM JSON model as a document.
pub fn write(data_set: &Map<String, Value>) -> Vec<u8> {
    let mut document = Document(Writer::new(Vec::new()));
    document.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    document.within(BytesStart::new("NativeDicomModel").with_attributes([("xmlns", NAMESPACE)]), |document| {
        document.data_set(data_set);
    });
    document.0.into_inner()
}

struct Document(Writer<Vec<u8>>);

impl Document {
    fn event(&mut self, event: Event<'_>) {
        self.0.write_event(event).expect("memory takes all");
    }

    fn within(&mut self, start: BytesStart<'_>, content: impl FnOnce(&mut Self)) {
        let end = start.to_end().into_owned();
        self.event(Event::Start(start.borrow()));
        content(self);
        self.event(Event::End(end));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.within(BytesStart::new(name), |document| document.event(Event::Text(BytesText::new(&writable(text)))));
    }

    fn numbered(&mut self, name: &str, at: usize, content: impl FnOnce(&mut Self)) {
        let number = (at + 1).to_string();
        self.within(BytesStart::new(name).with_attributes([("number", number.as_str())]), content);
    }

    fn data_set(&mut self, data_set: &Map<String, Value>) {
        for (name, element) in data_set {
            let vr = element.get("vr").and_then(Value::as_str).unwrap_or("UN");
            let mut start = BytesStart::new("DicomAttribute").with_attributes([("tag", name.as_str()), ("vr", vr)]);
            let tag = attribute_id(name);
            let name = tag.and_then(keyword).map(|keyword| ("keyword", keyword));
            let creator = || tag.and_then(|tag| creator(data_set, tag)).map(|creator| ("privateCreator", creator));
            start.extend_attributes(name.or_else(creator));
            self.within(start, |document| document.element(vr, element));
        }
    }

    fn element(&mut self, vr: &str, element: &Value) {
        let text = |name| element.get(name).and_then(Value::as_str);
        if let Some(uri) = text("BulkDataURI") {
            self.event(Event::Empty(BytesStart::new("BulkData").with_attributes([("uri", uri)])));
        } else if let Some(bytes) = text("InlineBinary") {
            self.text("InlineBinary", bytes);
        }
        for (at, value) in element.get("Value").and_then(Value::as_array).into_iter().flatten().enumerate() {
            match value {
                Value::Null => {}
                Value::Object(item) if vr == "SQ" => self.numbered("Item", at, |document| document.data_set(item)),
                Value::Object(name) => self.numbered("PersonName", at, |document| document.name(name)),
                value => self.numbered("Value", at, |document| {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    document.event(Event::Text(BytesText::new(&writable(&text))));
                }),
            }
        }
    }

    fn name(&mut self, name: &Map<String, Value>) {
        for group in GROUPS {
            let Some(text) = name.get(group).and_then(Value::as_str) else { continue };
            self.within(BytesStart::new(group), |document| {
                let parts = COMPONENTS.into_iter().zip(text.splitn(COMPONENTS.len(), '^'));
                parts.filter(|(_, part)| !part.is_empty()).for_each(|(component, part)| document.text(component, part));
            });
        }
    }
}

/// Who reserved the block of a private attribute (PS3.5 §7.8.1).
fn creator(data_set: &Map<String, Value>, tag: Tag) -> Option<&str> {
    let block = tag.element() >> 8;
    let is_private = tag.group() % 2 == 1 && block >= 0x10;
    let reserved = is_private.then_some(Tag(tag.group(), block))?;
    data_set.get(&key(reserved))?.pointer("/Value/0")?.as_str()
}

/// XML 1.0 has no characters for most of the controls.
fn writable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\t' | '\n' | '\r' | ' '..) && !matches!(c, '\u{FFFE}' | '\u{FFFF}')).collect()
}

#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    #[error("not well-formed XML: {0}")]
    Malformed(String),
    #[error("not a Native DICOM Model: {0}")]
    Model(&'static str),
}

/// The DICOM JSON model of a document.
pub fn read(document: &[u8]) -> Result<Map<String, Value>, XmlError> {
    let mut reader = Reader::from_reader(document);
    reader.config_mut().expand_empty_elements = true;
    let malformed = |error: quick_xml::Error| XmlError::Malformed(error.to_string());
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(start) if start.local_name().as_ref() == b"NativeDicomModel" => {
                return data_set(&Node::read(&mut reader, &start, DEPTH, &mut { NODES })?);
            }
            Event::Start(_) => return Err(XmlError::Model("the root is not NativeDicomModel")),
            Event::DocType(_) => return Err(XmlError::Model("a document type is not taken")),
            Event::Eof => return Err(XmlError::Model("there is no NativeDicomModel")),
            _ => {}
        }
    }
}

/// An element with what is in it.
#[derive(Default)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Node>,
}

impl Node {
    fn read(
        reader: &mut Reader<&[u8]>,
        start: &BytesStart<'_>,
        depth: usize,
        left: &mut usize,
    ) -> Result<Self, XmlError> {
        let malformed = |error: &dyn std::fmt::Display| XmlError::Malformed(error.to_string());
        let depth = depth.checked_sub(1).ok_or(XmlError::Model("elements nest too deeply"))?;
        *left = left.checked_sub(1).ok_or(XmlError::Model("too many elements"))?;
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let mut node = Self { name, ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| malformed(&error))?;
            let value =
                attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|error| malformed(&error))?;
            node.attributes
                .push((String::from_utf8_lossy(attribute.key.local_name().as_ref()).into_owned(), value.into_owned()));
        }
        loop {
            match reader.read_event().map_err(|error| malformed(&error))? {
                Event::Start(start) => node.children.push(Self::read(reader, &start, depth, left)?),
                Event::End(_) => return Ok(node),
                Event::Text(text) => node.text += &text.decode().map_err(|error| malformed(&error))?,
                Event::CData(text) => node.text += &text.decode().map_err(|error| malformed(&error))?,
                Event::GeneralRef(reference) => node.text.push(character(&reference)?),
                Event::Eof => return Err(XmlError::Malformed(format!("{} does not end", node.name))),
                _ => {}
            }
        }
    }

    fn attribute(&self, wanted: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }

    fn child(&self, wanted: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == wanted)
    }

    /// Children of a name at the places that they number, from 1; what is left out between is no value.
    fn numbered(&self, wanted: &str, value: impl Fn(&Self) -> Result<Value, XmlError>) -> Result<Vec<Value>, XmlError> {
        let mut values = Vec::new();
        for child in self.children.iter().filter(|child| child.name == wanted) {
            let number = child.attribute("number").map_or(Ok(values.len() + 1), str::parse);
            let number = number.ok().filter(|number| (values.len() + 1..=MOST_VALUES).contains(number));
            let number = number.ok_or(XmlError::Model("values are not numbered from 1 in order"))?;
            values.resize(number - 1, Value::Null);
            values.push(value(child)?);
        }
        Ok(values)
    }
}

/// Of an attribute.
const MOST_VALUES: usize = 1 << 16;

/// What an entity or character reference stands for: there are no others without a document type.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, XmlError> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| XmlError::Malformed(error.to_string()))? {
        return Ok(character);
    }
    Ok(match &**reference {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"quot" => '"',
        b"apos" => '\'',
        _ => return Err(XmlError::Model("an entity that is not known")),
    })
}

fn data_set(node: &Node) -> Result<Map<String, Value>, XmlError> {
    let attributes = node.children.iter().filter(|child| child.name == "DicomAttribute");
    let entry = |child: &Node| {
        let tag = child.attribute("tag").ok_or(XmlError::Model("an attribute without tag"))?;
        let vr = child.attribute("vr").ok_or(XmlError::Model("an attribute without vr"))?;
        Ok((tag.to_uppercase(), element(vr, child)?))
    };
    attributes.map(entry).collect()
}

fn element(vr: &str, node: &Node) -> Result<Value, XmlError> {
    if let Some(bulk) = node.child("BulkData") {
        let uri = bulk.attribute("uri").or(bulk.attribute("uuid")).ok_or(XmlError::Model("BulkData without uri"))?;
        return Ok(json!({ "vr": vr, "BulkDataURI": uri }));
    }
    if let Some(inline) = node.child("InlineBinary") {
        let bytes: String = inline.text.split_ascii_whitespace().collect();
        return Ok(json!({ "vr": vr, "InlineBinary": bytes }));
    }
    let values = match vr {
        "SQ" => node.numbered("Item", |item| data_set(item).map(Value::Object))?,
        "PN" => node.numbered("PersonName", |name| Ok(person_name(name)))?,
        _ => node.numbered("Value", |value| Ok(one(vr, &value.text)))?,
    };
    Ok(if values.is_empty() { json!({ "vr": vr }) } else { json!({ "vr": vr, "Value": values }) })
}

fn person_name(node: &Node) -> Value {
    let group = |name: &str| {
        let group = node.child(name)?;
        let parts = COMPONENTS.map(|component| group.child(component).map_or("", |part| part.text.as_str()));
        Some((name.to_owned(), Value::from(parts.join("^").trim_end_matches('^'))))
    };
    Value::Object(GROUPS.into_iter().filter_map(group).collect())
}

/// Numbers are numbers in JSON where they can be.
fn one(vr: &str, text: &str) -> Value {
    let number = match vr {
        "FL" | "FD" => text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
        "SL" | "SS" | "SV" => text.trim().parse::<i64>().ok().map(Value::from),
        "UL" | "US" | "UV" => text.trim().parse::<u64>().ok().map(Value::from),
        _ => None,
    };
    number.unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_data_set_comes_back_from_its_document() {
        let data_set = object(json!({
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San^^Dr", "Ideographic": "张^三"}]},
            "00104000": {"vr": "LT", "Value": [" a < b & \"c\" > d\n"]},
            "00090010": {"vr": "LO", "Value": ["ACME & SONS"]},
            "00091001": {"vr": "UN", "InlineBinary": "AAEC"},
            "00280010": {"vr": "US", "Value": [512]},
            "00281055": {"vr": "LO", "Value": ["one", null, "three"]},
            "00200010": {"vr": "SH"},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://h/dicom-web/studies/1?a=b&c=d"},
        }));
        let document = write(&data_set);
        assert_eq!(read(&document).expect("a model"), data_set);
        let text = String::from_utf8(document).expect("UTF-8");
        assert!(text.contains("tag=\"00091001\" vr=\"UN\" privateCreator=\"ACME &amp; SONS\""), "{text}");
        assert!(
            text.contains("vr=\"PN\" keyword=\"PatientName\"><PersonName number=\"1\"><Alphabetic><FamilyName>Zhang<")
        );
        assert!(text.contains("<Value number=\"3\">three<"));
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for text in [
            "",
            "<a/>",
            "<NativeDicomModel>",
            "<!DOCTYPE x [<!ENTITY e \"x\">]><NativeDicomModel/>",
            "<NativeDicomModel><DicomAttribute vr=\"LO\"/></NativeDicomModel>",
            "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value number=\"99999999\">x</Value></DicomAttribute></NativeDicomModel>",
            "<NativeDicomModel><DicomAttribute tag=\"00100020\" vr=\"LO\"><Value>&e;</Value></DicomAttribute></NativeDicomModel>",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "<NativeDicomModel>".to_owned() + &"<Item>".repeat(100_000);
        assert!(read(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in "[<>/a-z =\"&;#0-9]{0,60}") {
            let _ = read(&bytes);
            let _ = read(format!("<NativeDicomModel>{text}</NativeDicomModel>").as_bytes());
        }

        #[test]
        fn any_text_comes_back(text in "[^\\p{C}]{0,20}") {
            let data_set = object(json!({ "00104000": {"vr": "LT", "Value": [text]} }));
            prop_assert_eq!(read(&write(&data_set)).expect("a model"), data_set);
        }
    }
}
