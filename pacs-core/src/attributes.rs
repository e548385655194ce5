//! A read-only view of a data set in the DICOM JSON model (PS3.18 Annex F).
//!
//! This is how everything past the archive's door reads attributes: the archive makes the JSON once at ingest
//! from the scanned bytes, and the viewer, the AI worker and the integration relay read that.

use crate::person_name::PersonName;
use dicom_core::Tag;
use dicom_core::dictionary::DataDictionary;
use dicom_dictionary_std::StandardDataDictionary;
use serde_json::{Map, Value};

/// One data set, or one item of a sequence, of the DICOM JSON model. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(&'a Map<String, Value>);

impl<'a> From<&'a Map<String, Value>> for Attributes<'a> {
    fn from(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }
}

impl<'a> Attributes<'a> {
    /// `None` unless `value` is a JSON object.
    pub fn of(value: &'a Value) -> Option<Self> {
        value.as_object().map(Self)
    }

    fn values(&self, tag: Tag) -> &'a [Value] {
        let element = self.0.get(&key(tag));
        element.and_then(|e| e.get("Value")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn contains(&self, tag: Tag) -> bool {
        self.0.contains_key(&key(tag))
    }

    /// The value representation as written, e.g. `"PN"`.
    pub fn vr(&self, tag: Tag) -> Option<&'a str> {
        self.0.get(&key(tag))?.get("vr")?.as_str()
    }

    /// First value, if it is text (all string VRs but PN).
    pub fn text(&self, tag: Tag) -> Option<&'a str> {
        self.values(tag).first()?.as_str()
    }

    /// All text values; a null value is an empty text.
    pub fn texts(&self, tag: Tag) -> Vec<&'a str> {
        self.values(tag).iter().map(|v| v.as_str().unwrap_or_default()).collect()
    }

    /// First value as a number; numbers written as text (some servers do) are read too.
    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.values(tag).first().and_then(number)
    }

    /// All values that are numbers.
    pub fn numbers(&self, tag: Tag) -> Vec<f64> {
        self.values(tag).iter().filter_map(number).collect()
    }

    /// All values by position; `None` for one that is no number.
    pub fn numbers_and_gaps(&self, tag: Tag) -> Vec<Option<f64>> {
        self.values(tag).iter().map(number).collect()
    }

    pub fn integer(&self, tag: Tag) -> Option<i64> {
        let number = self.number(tag)?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    }

    pub fn person_name(&self, tag: Tag) -> Option<PersonName> {
        let groups = self.values(tag).first()?.as_object()?;
        let group = |name| groups.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(PersonName {
            alphabetic: group("Alphabetic"),
            ideographic: group("Ideographic"),
            phonetic: group("Phonetic"),
        })
    }

    /// The items of a sequence; empty when absent.
    pub fn items(&self, tag: Tag) -> impl Iterator<Item = Attributes<'a>> + use<'a> {
        self.values(tag).iter().filter_map(Attributes::of)
    }

    /// First item of a sequence.
    pub fn item(&self, tag: Tag) -> Option<Attributes<'a>> {
        self.items(tag).next()
    }

    /// Item `index` (from 0) of a sequence; an item that is no data set counts, so later ones keep their place.
    pub fn item_at(&self, tag: Tag, index: usize) -> Option<Attributes<'a>> {
        self.values(tag).get(index).and_then(Attributes::of)
    }

    /// Base64 text of an `InlineBinary` value.
    pub fn inline_binary(&self, tag: Tag) -> Option<&'a str> {
        self.0.get(&key(tag))?.get("InlineBinary")?.as_str()
    }

    pub fn bulk_data_uri(&self, tag: Tag) -> Option<&'a str> {
        self.0.get(&key(tag))?.get("BulkDataURI")?.as_str()
    }
}

/// The JSON member name of a tag: eight upper-case hexadecimal digits.
pub fn key(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

/// The keyword of a tag (PS3.6); `None` for a private attribute, and for one that is not known.
pub fn keyword(tag: Tag) -> Option<&'static str> {
    StandardDataDictionary.by_tag(tag).map(|entry| entry.alias)
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|n| n.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_dictionary_std::tags;
    use serde_json::json;

    #[test]
    fn values_are_read_from_the_json_of_any_server() {
        let value = json!({
            "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "Zhang^San", "Ideographic": "张^三" }] },
            "00080008": { "vr": "CS", "Value": ["ORIGINAL", null, "AXIAL"] },
            "00280010": { "vr": "US", "Value": [512] },
            "00280030": { "vr": "DS", "Value": ["0.70", 0.5, "x"] },
            "00100020": { "vr": "LO" },
            "00081140": { "vr": "SQ", "Value": [{ "00081155": { "vr": "UI", "Value": ["1.2"] } }, {}] },
            "7FE00010": { "vr": "OW", "BulkDataURI": "bulk/1" },
            "00091001": { "vr": "UN", "InlineBinary": "AQI=" },
        });
        let attributes = Attributes::of(&value).expect("an object");
        assert_eq!(attributes.person_name(tags::PATIENT_NAME).map(|name| name.display()), Some("张 三".to_owned()));
        assert_eq!(attributes.texts(tags::IMAGE_TYPE), ["ORIGINAL", "", "AXIAL"]);
        assert_eq!((attributes.integer(tags::ROWS), attributes.vr(tags::ROWS)), (Some(512), Some("US")));
        assert_eq!(attributes.numbers(tags::PIXEL_SPACING), [0.7, 0.5]);
        assert!(attributes.contains(tags::PATIENT_ID) && attributes.text(tags::PATIENT_ID).is_none());
        let referenced = attributes.item(tags::REFERENCED_IMAGE_SEQUENCE).expect("an item");
        assert_eq!(referenced.text(tags::REFERENCED_SOP_INSTANCE_UID), Some("1.2"));
        assert_eq!(attributes.items(tags::REFERENCED_IMAGE_SEQUENCE).count(), 2);
        assert_eq!(attributes.bulk_data_uri(tags::PIXEL_DATA), Some("bulk/1"));
        assert_eq!(attributes.inline_binary(Tag(0x0009, 0x1001)), Some("AQI="));
        assert!(Attributes::of(&json!([])).is_none());
    }
}
