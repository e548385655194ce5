//! One data set of the DICOM JSON model (PS3.18 Annex F) that may be changed: a worklist item, a procedure step.
//!
//! [`Attributes`] reads; this is taken in from outside, checked, merged and given out again.

use crate::attributes::{Attributes, key};
use crate::data_set::DataSet;
use crate::data_set::header::dictionary_vr;
use crate::json::to_json;
use crate::person_name::PersonName;
use crate::query::text;
use base64::Engine;
use dicom_core::{Tag, VR};
use serde_json::{Map, Value, json};

/// Sequences within sequences; each level is three of JSON.
const DEPTH: usize = 16;
/// Attributes over all levels. An order has some dozens.
const ATTRIBUTES: usize = 20_000;

#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Item(Map<String, Value>);

/// Why a JSON value is no data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    #[error("not an object of DICOM JSON")]
    NoObject,
    #[error("{0:?} is no attribute: eight hexadecimal digits are")]
    Name(String),
    #[error("attribute {0} has no VR, or one that does not exist")]
    Vr(String),
    #[error("attribute {0} has a value that its VR cannot have")]
    Value(String),
    #[error("more than {ATTRIBUTES} attributes, or sequences nest deeper than {DEPTH}")]
    TooLarge,
}

impl Item {
    /// From the DICOM JSON model as anybody sends it: names in upper case, group lengths and bulk data left out.
    pub fn from_json(value: Value) -> Result<Self, ItemError> {
        Self::checked(value, DEPTH, &mut { ATTRIBUTES })
    }

    /// As scanned. Values too long for JSON are left out.
    pub fn from_data_set(data_set: &DataSet) -> Self {
        match to_json(data_set, &|_, _| String::new()) {
            Value::Object(mut map) => {
                drop_bulk_data(&mut map);
                map.remove(&key(dicom_dictionary_std::tags::SPECIFIC_CHARACTER_SET));
                Self(map)
            }
            _ => Self::default(),
        }
    }

    fn checked(value: Value, depth: usize, left: &mut usize) -> Result<Self, ItemError> {
        let Value::Object(map) = value else { return Err(ItemError::NoObject) };
        *left = left.checked_sub(map.len()).ok_or(ItemError::TooLarge)?;
        let mut item = Map::new();
        for (name, element) in map {
            let tag = tag(&name).ok_or_else(|| ItemError::Name(name.clone()))?;
            // Text of JSON is UTF-8, whatever it says of itself.
            let is_about = tag.element() == 0 || tag == dicom_dictionary_std::tags::SPECIFIC_CHARACTER_SET;
            if is_about || element.get("BulkDataURI").is_some() {
                continue;
            }
            item.insert(key(tag), checked_element(name, element, depth, left)?);
        }
        Ok(Self(item))
    }

    pub fn attributes(&self) -> Attributes<'_> {
        Attributes::from(&self.0)
    }

    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First value of a text, empty where there is none.
    pub fn text(&self, tag: Tag) -> &str {
        self.attributes().text(tag).unwrap_or_default().trim()
    }

    /// The JSON of an attribute: its VR and values.
    pub fn element(&self, tag: Tag) -> Option<&Value> {
        self.0.get(&key(tag))
    }

    pub fn contains(&self, tag: Tag) -> bool {
        self.0.contains_key(&key(tag))
    }

    /// Whether an attribute has a value, a sequence an item.
    pub fn has_value(&self, tag: Tag) -> bool {
        self.element(tag).is_some_and(|element| {
            let values = element.get("Value").and_then(Value::as_array);
            values.is_some_and(|values| values.iter().any(|v| !v.is_null())) || element.get("InlineBinary").is_some()
        })
    }

    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.0.keys().filter_map(|name| tag(name))
    }

    /// Gives an attribute a JSON element as [`Self::element`] has it.
    pub fn put(&mut self, tag: Tag, element: Value) {
        self.0.insert(key(tag), element);
    }

    /// Gives an attribute one text; an empty one is no value. Its VR is that of the dictionary.
    pub fn put_text(&mut self, tag: Tag, text: &str) {
        let vr = dictionary_vr(tag, false).unwrap_or(VR::LO).to_string();
        let element = if text.is_empty() { json!({ "vr": vr }) } else { json!({ "vr": vr, "Value": [text] }) };
        self.put(tag, element);
    }

    pub fn put_name(&mut self, tag: Tag, name: &PersonName) {
        let groups =
            [("Alphabetic", &name.alphabetic), ("Ideographic", &name.ideographic), ("Phonetic", &name.phonetic)];
        let groups = groups.into_iter().filter(|(_, text)| !text.is_empty());
        let groups: Map<_, _> = groups.map(|(group, text)| (group.to_owned(), Value::from(text.as_str()))).collect();
        let element = if groups.is_empty() { json!({ "vr": "PN" }) } else { json!({ "vr": "PN", "Value": [groups] }) };
        self.put(tag, element);
    }

    pub fn put_items(&mut self, tag: Tag, items: Vec<Item>) {
        let element = if items.is_empty() { json!({ "vr": "SQ" }) } else { json!({ "vr": "SQ", "Value": items }) };
        self.put(tag, element);
    }

    pub fn remove(&mut self, tag: Tag) {
        self.0.remove(&key(tag));
    }

    /// The items of a sequence.
    pub fn items(&self, tag: Tag) -> Vec<Item> {
        let values = self.element(tag).and_then(|element| element.get("Value")).and_then(Value::as_array);
        let item = |value: &Value| value.as_object().cloned().map(Item);
        values.map(|values| values.iter().filter_map(item).collect()).unwrap_or_default()
    }

    /// All attributes by rising tag, as they are written in a data set.
    pub fn contents(&self) -> impl Iterator<Item = (Tag, VR, Content)> {
        self.0.iter().filter_map(|(name, element)| {
            let vr = element.get("vr")?.as_str()?.parse().ok()?;
            Some((tag(name)?, vr, content(vr, element)))
        })
    }

    /// Takes over each attribute of another item, whole sequences too (PS3.7 §10.1.3: Modification List).
    pub fn merge(&mut self, other: Item) {
        self.0.extend(other.0);
    }

    /// The attributes asked for, those only.
    pub fn only(&self, asked: &[Tag]) -> Self {
        let kept = |name: &String| tag(name).is_some_and(|tag| asked.contains(&tag));
        Self(self.0.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Of what is known to be sound.
    pub(crate) fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }

    pub(crate) fn map(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Values, backslash-separated; numbers in decimal.
    Text(String),
    Bytes(Vec<u8>),
    Items(Vec<Item>),
}

pub(crate) fn content(vr: VR, element: &Value) -> Content {
    if let Some(binary) = element.get("InlineBinary").and_then(Value::as_str) {
        return Content::Bytes(base64::engine::general_purpose::STANDARD.decode(binary).unwrap_or_default());
    }
    let values = element.get("Value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match vr {
        VR::SQ => Content::Items(values.iter().filter_map(Value::as_object).cloned().map(Item).collect()),
        _ => Content::Text(values.iter().map(|value| plain(vr, value)).collect::<Vec<_>>().join("\\")),
    }
}

/// One value as text. A DS has room for 16 characters (PS3.5 §6.2), which is more than a measurement has digits.
fn plain(vr: VR, value: &Value) -> String {
    match value.as_f64().filter(|_| vr == VR::DS) {
        Some(number) => {
            let short = (0..=10).rev().map(|digits| format!("{number:.digits$e}")).find(|text| text.len() <= 16);
            Some(number.to_string()).filter(|text| text.len() <= 16).or(short).unwrap_or_default()
        }
        None => text(value),
    }
}

fn checked_element(name: String, element: Value, depth: usize, left: &mut usize) -> Result<Value, ItemError> {
    let vr = element.get("vr").and_then(Value::as_str).and_then(|vr| vr.parse::<VR>().ok());
    let vr = vr.ok_or_else(|| ItemError::Vr(name.clone()))?;
    let mut checked = json!({ "vr": vr.to_string() });
    if let Some(binary) = element.get("InlineBinary") {
        if !binary.is_string() {
            return Err(ItemError::Value(name));
        }
        checked["InlineBinary"] = binary.clone();
    }
    let values = match element.get("Value").cloned() {
        None | Some(Value::Null) => return Ok(checked),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(ItemError::Value(name)),
    };
    let depth = depth.checked_sub(1).ok_or(ItemError::TooLarge)?;
    let value = |value: Value| match value {
        Value::Object(_) if vr == VR::SQ => Item::checked(value, depth, left).map(Item::into_json),
        Value::Object(_) if vr == VR::PN => Ok(value),
        Value::Null | Value::String(_) | Value::Number(_) if vr != VR::SQ => Ok(value),
        _ => Err(ItemError::Value(name.clone())),
    };
    let values = values.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
    if !values.is_empty() {
        checked["Value"] = values.into();
    }
    Ok(checked)
}

fn drop_bulk_data(map: &mut Map<String, Value>) {
    map.retain(|_, element| element.get("BulkDataURI").is_none());
    for element in map.values_mut() {
        let values = element.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten();
        // Names of persons are objects too, and hold no bulk data.
        values.filter_map(Value::as_object_mut).for_each(drop_bulk_data);
    }
}

/// The tag that a member of DICOM JSON names.
pub(crate) fn tag(name: &str) -> Option<Tag> {
    let is_tag = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(name, 16).ok().filter(|_| is_tag)?;
    Some(Tag((number >> 16) as u16, number as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_dictionary_std::tags;
    use proptest::prelude::*;

    #[test]
    fn what_comes_from_outside_is_checked_and_brought_into_one_form() {
        let item = Item::from_json(json!({
            "00080005": {"vr": "CS", "Value": ["GB18030"]},
            "0040a043": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["X"]}}]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Li^Si"}]},
            "00100020": {"vr": "LO", "Value": []},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://x"},
        }));
        let item = item.expect("a data set");
        assert_eq!(item.tags().count(), 3);
        assert_eq!(item.items(Tag(0x0040, 0xA043))[0].text(tags::CODE_VALUE), "X");
        assert!(item.contains(tags::PATIENT_ID) && !item.has_value(tags::PATIENT_ID));
        for (bad, expected) in [
            (json!([]), ItemError::NoObject),
            (json!({"PatientID": {"vr": "LO"}}), ItemError::Name("PatientID".into())),
            (json!({"00100020": {"vr": "XX"}}), ItemError::Vr("00100020".into())),
            (json!({"00100020": {"vr": "LO", "Value": "x"}}), ItemError::Value("00100020".into())),
            (json!({"00100020": {"vr": "LO", "Value": [{}]}}), ItemError::Value("00100020".into())),
            (json!({"00400100": {"vr": "SQ", "Value": ["x"]}}), ItemError::Value("00400100".into())),
        ] {
            assert_eq!(Item::from_json(bad), Err(expected));
        }
        let deep = (0..40).fold(json!({}), |inner, _| json!({"00400100": {"vr": "SQ", "Value": [inner]}}));
        assert_eq!(Item::from_json(deep), Err(ItemError::TooLarge));
    }

    #[test]
    fn a_modification_replaces_whole_attributes() {
        let mut item = Item::default();
        item.put_text(tags::PATIENT_ID, "P1");
        item.put_items(tags::PERFORMED_SERIES_SEQUENCE, vec![Item::default()]);
        let mut change = Item::default();
        change.put_items(tags::PERFORMED_SERIES_SEQUENCE, Vec::new());
        item.merge(change);
        assert!(item.text(tags::PATIENT_ID) == "P1" && !item.has_value(tags::PERFORMED_SERIES_SEQUENCE));
        assert_eq!(item.only(&[tags::PATIENT_ID]).tags().collect::<Vec<_>>(), [tags::PATIENT_ID]);
    }

    #[test]
    fn values_are_told_as_they_are_written() {
        let item = Item::from_json(json!({
            "00101030": {"vr": "DS", "Value": [0.1, 70.5, 0.333_333_333_333_333_3]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Li^Si", "Ideographic": "李^四"}]},
            "00280010": {"vr": "US", "Value": [512]},
            "00091001": {"vr": "OB", "InlineBinary": "AQI="},
            "00080050": {"vr": "SH"},
        }));
        let contents: Vec<_> = item.expect("an item").contents().map(|(_, _, content)| content).collect();
        let text = |text: &str| Content::Text(text.to_owned());
        let expected = [
            text(""),
            Content::Bytes(vec![1, 2]),
            text("Li^Si=李^四"),
            text("0.1\\70.5\\3.3333333333e-1"),
            text("512"),
        ];
        assert_eq!(contents, expected);
    }

    proptest! {
        #[test]
        fn any_members_are_a_data_set_or_an_error(name in "[0-9A-Fa-f]{0,9}", vr in "[A-Z]{2}", value in any::<String>()) {
            let _ = Item::from_json(json!({ name: { "vr": vr, "Value": [value] } }));
        }
    }
}
