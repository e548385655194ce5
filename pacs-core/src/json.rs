//! Data set → DICOM JSON model (PS3.18 Annex F).

use crate::attributes::key;
use crate::character_set::CharacterSet;
use crate::data_set::values::{self, Number};
use crate::data_set::{DataSet, Element};
use base64::Engine;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use std::cell::Cell;

/// Where a value too large or too binary for JSON can be fetched; `path` is the tags and item indices from the root,
/// the element's own tag last.
pub type BulkDataUri<'a> = dyn Fn(&[PathStep], &Element) -> String + 'a;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathStep {
    Tag(Tag),
    /// Index of an item, from 0.
    Item(usize),
}

/// Binary values up to this length are written as InlineBinary; LUT data and palettes always are.
pub const INLINE_BINARY: usize = 1024;

/// Single values over the whole data set; elements beyond are bulk data, or a few megabytes of `1\1\1` would become a
/// gigabyte in memory.
const VALUES: usize = 4 << 20;

/// Writes `data_set` as DICOM JSON: text decoded to UTF-8, (0008,0005) set to ISO_IR 192, group lengths left out,
/// pixel data and long binaries as BulkDataURI.
pub fn to_json(data_set: &DataSet, bulk_data_uri: &BulkDataUri<'_>) -> Value {
    let writer = Writer { bulk_data_uri, values_left: Cell::new(VALUES) };
    serde_json::to_value(Node { data_set, path: None, writer: &writer }).expect("maps with string keys")
}

/// The same as UTF-8 text, attributes in ascending order, without building the tree: for data sets of any size.
pub fn to_json_text(data_set: &DataSet, bulk_data_uri: &BulkDataUri<'_>) -> Vec<u8> {
    let writer = Writer { bulk_data_uri, values_left: Cell::new(VALUES) };
    serde_json::to_vec(&Node { data_set, path: None, writer: &writer }).expect("maps with string keys")
}

struct Writer<'a> {
    bulk_data_uri: &'a BulkDataUri<'a>,
    values_left: Cell<usize>,
}

/// The way from the root, innermost step first.
#[derive(Clone, Copy)]
struct Path<'a> {
    outer: Option<&'a Path<'a>>,
    step: PathStep,
}

impl Path<'_> {
    fn steps(&self) -> Vec<PathStep> {
        let mut steps: Vec<_> = std::iter::successors(Some(self), |path| path.outer).map(|path| path.step).collect();
        steps.reverse();
        steps
    }
}

struct Node<'a> {
    data_set: &'a DataSet,
    path: Option<&'a Path<'a>>,
    writer: &'a Writer<'a>,
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut elements: Vec<&Element> = self.data_set.elements.iter().filter(|e| is_written(e.tag)).collect();
        elements.sort_by_key(|element| element.tag);
        // The sort is stable: of repeated elements the first stays, as everywhere.
        elements.dedup_by_key(|element| element.tag);
        let mut character_set = self.path.is_none();
        let mut map = serializer.serialize_map(None)?;
        for element in elements {
            if character_set && element.tag >= tags::SPECIFIC_CHARACTER_SET {
                character_set = false;
                write_character_set(&mut map)?;
            }
            let path = Path { outer: self.path, step: PathStep::Tag(element.tag) };
            match element.tag {
                tags::SPECIFIC_CHARACTER_SET if self.path.is_none() => {}
                tags::SPECIFIC_CHARACTER_SET => write_character_set(&mut map)?,
                tag => map.serialize_entry(&key(tag), &ElementNode { element, node: self, path: &path })?,
            }
        }
        if character_set {
            write_character_set(&mut map)?;
        }
        map.end()
    }
}

/// The text of JSON is UTF-8, whatever it was in the data set.
fn write_character_set<M: SerializeMap>(map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry(&key(tags::SPECIFIC_CHARACTER_SET), &serde_json::json!({ "vr": "CS", "Value": ["ISO_IR 192"] }))
}

/// Group lengths are of one encoding only (PS3.18 §F.2.2).
fn is_written(tag: Tag) -> bool {
    tag.element() != 0
}

struct ElementNode<'a> {
    element: &'a Element,
    node: &'a Node<'a>,
    path: &'a Path<'a>,
}

impl Serialize for ElementNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let element = self.element;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("vr", element.vr.to_string())?;
        match &element.value {
            crate::data_set::Value::Sequence(items) if items.is_empty() => {}
            crate::data_set::Value::Sequence(items) => map.serialize_entry("Value", &self.items(items))?,
            _ if element.len == 0 => {}
            crate::data_set::Value::Bytes(bytes) => match self.plain(bytes) {
                Plain::Values(values) if values.is_empty() => {}
                Plain::Values(values) => map.serialize_entry("Value", &values)?,
                Plain::Inline => {
                    map.serialize_entry("InlineBinary", &base64::engine::general_purpose::STANDARD.encode(bytes))?;
                }
                Plain::Bulk => map.serialize_entry("BulkDataURI", &self.uri())?,
            },
            _ => map.serialize_entry("BulkDataURI", &self.uri())?,
        }
        map.end()
    }
}

/// How the kept bytes of an element are written.
enum Plain {
    Values(Vec<Single>),
    Inline,
    Bulk,
}

impl ElementNode<'_> {
    fn items<'a>(&'a self, items: &'a [DataSet]) -> Items<'a> {
        Items { items, path: self.path, writer: self.node.writer }
    }

    fn uri(&self) -> String {
        (self.node.writer.bulk_data_uri)(&self.path.steps(), self.element)
    }

    fn plain(&self, bytes: &[u8]) -> Plain {
        let Some(values) = singles(self.element, &self.node.data_set.character_set) else {
            let inline = bytes.len() <= INLINE_BINARY || is_lookup_table(self.element.tag);
            return if inline { Plain::Inline } else { Plain::Bulk };
        };
        let left = &self.node.writer.values_left;
        match left.get().checked_sub(values.len()) {
            Some(rest) => {
                left.set(rest);
                Plain::Values(values)
            }
            None => Plain::Bulk,
        }
    }
}

/// LUT Data and palettes, which a viewer needs before it can show a pixel.
fn is_lookup_table(tag: Tag) -> bool {
    tag == tags::LUT_DATA || tag.group() == 0x0028 && matches!(tag.element(), 0x1200..=0x12FF)
}

struct Items<'a> {
    items: &'a [DataSet],
    path: &'a Path<'a>,
    writer: &'a Writer<'a>,
}

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.items.len()))?;
        for (index, data_set) in self.items.iter().enumerate() {
            let path = Path { outer: Some(self.path), step: PathStep::Item(index) };
            list.serialize_element(&Node { data_set, path: Some(&path), writer: self.writer })?;
        }
        list.end()
    }
}

/// One value of an element.
enum Single {
    /// An empty value among others (PS3.18 §F.2.5).
    Null,
    Text(String),
    PersonName(String),
    Number(Number),
}

impl Serialize for Single {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::PersonName(text) => {
                let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.splitn(3, '='));
                serializer.collect_map(groups.map(|(name, group)| (name, group.trim())).filter(|(_, g)| !g.is_empty()))
            }
            Self::Number(Number::Float(number)) if number.is_finite() => serializer.serialize_f64(*number),
            // JSON has no such numbers; these texts are what pydicom and JavaScript read back.
            Self::Number(Number::Float(number)) if number.is_nan() => serializer.serialize_str("NaN"),
            Self::Number(Number::Float(number)) if *number > 0.0 => serializer.serialize_str("Infinity"),
            Self::Number(Number::Float(_)) => serializer.serialize_str("-Infinity"),
            Self::Number(Number::Integer(number)) => match i64::try_from(*number) {
                Ok(number) => serializer.serialize_i64(number),
                Err(_) => serializer.serialize_u64((*number).try_into().unwrap_or(u64::MAX)),
            },
        }
    }
}

/// The values of an element; `None` for binary VRs.
fn singles(element: &Element, character_set: &CharacterSet) -> Option<Vec<Single>> {
    if element.vr == VR::AT || values::is_text(element.vr) {
        let texts = element.texts(character_set);
        return Some(texts.into_iter().map(|text| single(element.vr, text)).collect());
    }
    let numbers = values::binary_numbers(element.vr, element.bytes()?)?;
    Some(numbers.into_iter().map(Single::Number).collect())
}

fn single(vr: VR, text: String) -> Single {
    match vr {
        _ if text.is_empty() => Single::Null,
        VR::PN => Single::PersonName(text),
        VR::IS | VR::DS => match values::text_number(&text) {
            Some(number) => Single::Number(number),
            None => Single::Text(text),
        },
        _ => Single::Text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::Value as Content;
    use proptest::prelude::*;
    use serde_json::json;

    fn element(tag: Tag, vr: VR, bytes: &[u8]) -> Element {
        Element { tag, vr, offset: 0, len: bytes.len() as u64, value: Content::Bytes(bytes.into()) }
    }

    fn data_set(elements: Vec<Element>) -> DataSet {
        DataSet { elements, ..DataSet::default() }
    }

    fn uri(path: &[PathStep], element: &Element) -> String {
        let steps = path.iter().map(|step| match step {
            PathStep::Tag(tag) => key(*tag),
            PathStep::Item(index) => index.to_string(),
        });
        format!("bulk/{}?{}", steps.collect::<Vec<_>>().join("/"), element.len)
    }

    #[track_caller]
    fn check(vr: VR, bytes: &[u8], expected: Value) {
        let tag = Tag(0x0009, 0x1001);
        let mut written = to_json(&data_set(vec![element(tag, vr, bytes)]), &uri);
        let mut expected = expected;
        expected["vr"] = vr.to_string().into();
        assert_eq!(written[key(tag)].take(), expected);
    }

    #[test]
    fn each_vr_is_written_as_annex_f_says() {
        check(VR::LO, b"A\\ B \\", json!({ "Value": ["A", "B", null] }));
        check(VR::LT, b" A\\B ", json!({ "Value": [" A\\B"] }));
        check(VR::UI, b"1.2\0", json!({ "Value": ["1.2"] }));
        check(VR::IS, b"12 \\+3\\x", json!({ "Value": [12, 3, "x"] }));
        check(VR::DS, b"-1.50\\1e2\\nan\\7", json!({ "Value": [-1.5, 100.0, "nan", 7] }));
        check(VR::AT, &[0x28, 0, 0x10, 0], json!({ "Value": ["00280010"] }));
        check(VR::US, &[1, 0, 255, 255], json!({ "Value": [1, 65535] }));
        check(VR::SS, &[255, 255], json!({ "Value": [-1] }));
        check(VR::UV, &[255; 8], json!({ "Value": [u64::MAX] }));
        check(VR::SV, &[255; 8], json!({ "Value": [-1] }));
        check(VR::FL, &0.5f32.to_le_bytes(), json!({ "Value": [0.5] }));
        check(
            VR::FD,
            &[f64::NAN, f64::NEG_INFINITY].map(f64::to_le_bytes).concat(),
            json!({ "Value": ["NaN", "-Infinity"] }),
        );
        check(VR::OW, &[1, 2], json!({ "InlineBinary": "AQI=" }));
        check(VR::UN, &[0; 2000], json!({ "BulkDataURI": "bulk/00091001?2000" }));
        for vr in [VR::LO, VR::PN, VR::US, VR::OB, VR::UN] {
            check(vr, b"", json!({}));
        }
        check(VR::LO, b"  ", json!({}));
    }

    #[test]
    fn names_are_written_by_component_group() {
        let groups =
            json!({ "Value": [{ "Alphabetic": "Yamada^Tarou", "Phonetic": "x" }, null, { "Ideographic": "y" }] });
        check(VR::PN, b"Yamada^Tarou==x\\\\=y", groups);
    }

    #[test]
    fn lookup_tables_are_inline_and_pixels_are_not() {
        let table = element(Tag(0x0028, 0x1201), VR::OW, &[0; 4096]);
        let pixels = Element { value: Content::Located, ..element(tags::PIXEL_DATA, VR::OW, &[0; 2]) };
        let written = to_json(&data_set(vec![table, pixels]), &uri);
        assert!(written["00281201"]["InlineBinary"].is_string());
        assert_eq!(written["7FE00010"], json!({ "vr": "OW", "BulkDataURI": "bulk/7FE00010?2" }));
    }

    #[test]
    fn items_nest_and_paths_lead_into_them() {
        let item = data_set(vec![element(Tag(0x0009, 0x1002), VR::OB, &[0; 1025])]);
        let items = Content::Sequence(vec![DataSet::default(), item]);
        let sequence = Element { value: items, ..element(Tag(0x0008, 0x1140), VR::SQ, b"") };
        let bulk = json!({ "vr": "OB", "BulkDataURI": "bulk/00081140/1/00091002?1025" });
        let written = to_json(&data_set(vec![sequence]), &uri);
        assert_eq!(written["00081140"], json!({ "vr": "SQ", "Value": [{}, { "00091002": bulk }] }));
    }

    #[test]
    fn text_is_utf_8_and_says_so_and_group_lengths_are_gone() {
        let mut set = data_set(vec![
            element(Tag(0x0008, 0), VR::UL, &[4, 0, 0, 0]),
            element(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"GB18030 "),
            element(tags::PATIENT_ID, VR::LO, &[0xD5, 0xC5]),
            element(tags::PATIENT_ID, VR::LO, b"again"),
            element(tags::MODALITY, VR::CS, b"CT"),
        ]);
        set.character_set = CharacterSet::from_terms(&["GB18030"]);
        let text = String::from_utf8(to_json_text(&set, &uri)).expect("UTF-8");
        let expected = r#"{"00080005":{"Value":["ISO_IR 192"],"vr":"CS"},"00080060":{"vr":"CS","Value":["CT"]},"00100020":{"vr":"LO","Value":["张"]}}"#;
        assert_eq!(text, expected);
        assert_eq!(to_json(&set, &uri), serde_json::from_str::<Value>(expected).expect("JSON"));
    }

    proptest! {
        #[test]
        fn any_value_of_any_vr_is_written_as_json(vr in 0..34usize, bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            use VR::*;
            let vrs = [
                AE, AS, AT, CS, DA, DS, DT, FL, FD, IS, LO, LT, OB, OD, OF, OL, OV, OW, PN, SH, SL, SQ, SS, ST, SV, TM, UC,
                UI, UL, UN, UR, US, UT, UV,
            ];
            let set = data_set(vec![element(Tag(0x0009, 0x1001), vrs[vr], &bytes)]);
            prop_assert!(serde_json::from_slice::<Value>(&to_json_text(&set, &uri)).is_ok());
        }
    }
}
