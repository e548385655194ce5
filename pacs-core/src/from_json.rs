//! DICOM JSON model (PS3.18 Annex F) → data set.

use crate::attributes::key;
use crate::character_set::CharacterSet;
use crate::data_set::{DataSet, Element, Value};
use crate::item::{Content, ItemError, content, tag};
use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::{Map, Value as Json};
use std::ops::Range;

/// Sequences within sequences, as far as a scan goes.
const DEPTH: usize = 40;
/// Attributes over all levels.
const ATTRIBUTES: usize = 1 << 20;

/// Where the bytes of a bulk data value lie in what is to be written from, by its BulkDataURI; `None` leaves the value
/// out.
pub type Bulk<'a> = dyn FnMut(Tag, &str) -> Option<Range<u64>> + 'a;

/// A data set of JSON that anybody sends. Text is in UTF-8 and says so; group lengths and File Meta Information are left
/// out, as is what is about them.
pub fn from_json(json: &Json, bulk: &mut Bulk<'_>) -> Result<DataSet, ItemError> {
    let map = json.as_object().ok_or(ItemError::NoObject)?;
    let mut data_set = Builder { bulk, left: ATTRIBUTES }.data_set(map, DEPTH)?;
    let declared = Value::Bytes(b"ISO_IR 192".as_slice().into());
    let is_about = |element: &Element| element.tag.group() < 0x0008;
    data_set.elements.retain(|element| !is_about(element));
    let declared = Element { tag: tags::SPECIFIC_CHARACTER_SET, vr: VR::CS, offset: 0, len: 10, value: declared };
    let at = data_set.elements.partition_point(|element| element.tag < declared.tag);
    data_set.elements.insert(at, declared);
    Ok(data_set)
}

struct Builder<'a, 'b> {
    bulk: &'a mut Bulk<'b>,
    left: usize,
}

impl Builder<'_, '_> {
    fn data_set(&mut self, map: &Map<String, Json>, depth: usize) -> Result<DataSet, ItemError> {
        self.left = self.left.checked_sub(map.len()).ok_or(ItemError::TooLarge)?;
        let mut elements = Vec::with_capacity(map.len());
        for (name, json) in map {
            let tag = tag(name).ok_or_else(|| ItemError::Name(name.clone()))?;
            // Text of JSON is UTF-8, whatever it says of itself.
            if tag.element() == 0 || tag == tags::SPECIFIC_CHARACTER_SET {
                continue;
            }
            elements.extend(self.element(tag, json, depth)?);
        }
        elements.sort_by_key(|element| element.tag);
        // In upper and in lower case a name is the same.
        elements.dedup_by_key(|element| element.tag);
        Ok(DataSet { elements, character_set: CharacterSet::utf_8() })
    }

    fn element(&mut self, tag: Tag, json: &Json, depth: usize) -> Result<Option<Element>, ItemError> {
        let vr = json.get("vr").and_then(Json::as_str).and_then(|vr| vr.parse::<VR>().ok());
        let vr = vr.ok_or_else(|| ItemError::Vr(key(tag)))?;
        if let Some(uri) = json.get("BulkDataURI").and_then(Json::as_str) {
            let range = (self.bulk)(tag, uri);
            let located = |range: Range<u64>| Element {
                tag,
                vr,
                offset: range.start,
                len: range.end.saturating_sub(range.start),
                value: Value::Located,
            };
            return Ok(range.map(located));
        }
        let value = match json.get("Value") {
            Some(Json::Array(items)) if vr == VR::SQ => Value::Sequence(self.items(tag, items, depth)?),
            None if vr == VR::SQ => Value::Sequence(Vec::new()),
            Some(Json::Array(_)) | None => {
                is_readable(json).then_some(()).ok_or_else(|| ItemError::Value(key(tag)))?;
                let bytes = encoded(vr, content(vr, json)).ok_or_else(|| ItemError::Value(key(tag)))?;
                Value::Bytes(bytes.into())
            }
            Some(_) => return Err(ItemError::Value(key(tag))),
        };
        let len = if let Value::Bytes(bytes) = &value { bytes.len() as u64 } else { 0 };
        Ok(Some(Element { tag, vr, offset: 0, len, value }))
    }

    fn items(&mut self, tag: Tag, items: &[Json], depth: usize) -> Result<Vec<DataSet>, ItemError> {
        let depth = depth.checked_sub(1).ok_or(ItemError::TooLarge)?;
        let empty = Map::new();
        let item = |item: &Json| match item {
            Json::Object(map) => self.data_set(map, depth),
            Json::Null => self.data_set(&empty, depth),
            _ => Err(ItemError::Value(key(tag))),
        };
        items.iter().map(item).collect()
    }
}

/// Whether bytes that are in the text can be read from it, and binary numbers are all there.
fn is_readable(json: &Json) -> bool {
    let is_base64 = |text: &Json| text.as_str().is_some_and(|text| STANDARD.decode(text).is_ok());
    let is_number = |value: &Json| !value.is_null() && value.as_str() != Some("");
    let vr = json.get("vr").and_then(Json::as_str).unwrap_or_default();
    let is_binary = ["AT", "FL", "FD", "SL", "SS", "SV", "UL", "US", "UV"].contains(&vr);
    let values = json.get("Value").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    json.get("InlineBinary").is_none_or(is_base64) && (!is_binary || values.len() < 2 || values.iter().all(is_number))
}

/// The bytes of a value, little endian; `None` where the VR cannot have it.
fn encoded(vr: VR, content: Content) -> Option<Vec<u8>> {
    let text = match content {
        Content::Bytes(bytes) => return Some(bytes),
        Content::Text(text) => text,
        Content::Items(_) => return None,
    };
    let numbers = || text.split('\\').map(str::trim).filter(|text| !text.is_empty());
    let each = |bytes: &dyn Fn(&str) -> Option<Vec<u8>>| numbers().map(bytes).collect::<Option<Vec<_>>>();
    let of = |bytes: &dyn Fn(&str) -> Option<Vec<u8>>| each(bytes).map(|values| values.concat());
    match vr {
        VR::US => of(&|text| Some(text.parse::<u16>().ok()?.to_le_bytes().to_vec())),
        VR::SS => of(&|text| Some(text.parse::<i16>().ok()?.to_le_bytes().to_vec())),
        VR::UL => of(&|text| Some(text.parse::<u32>().ok()?.to_le_bytes().to_vec())),
        VR::SL => of(&|text| Some(text.parse::<i32>().ok()?.to_le_bytes().to_vec())),
        VR::UV => of(&|text| Some(text.parse::<u64>().ok()?.to_le_bytes().to_vec())),
        VR::SV => of(&|text| Some(text.parse::<i64>().ok()?.to_le_bytes().to_vec())),
        VR::FL => of(&|text| Some(text.parse::<f32>().ok()?.to_le_bytes().to_vec())),
        VR::FD => of(&|text| Some(text.parse::<f64>().ok()?.to_le_bytes().to_vec())),
        VR::AT => of(&|text| {
            let tag = tag(text)?;
            Some([tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat())
        }),
        VR::OB | VR::OW | VR::OD | VR::OF | VR::OL | VR::OV | VR::UN => text.is_empty().then(Vec::new),
        _ => Some(text.into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::{Limits, Stretch, scan, write};
    use crate::json::to_json;
    use crate::transfer_syntax::TransferSyntax;
    use proptest::prelude::*;
    use serde_json::json;
    use std::io::Cursor;

    /// Written and scanned again.
    fn again(json: &Json) -> Json {
        let explicit = TransferSyntax::explicit_little();
        let data_set = from_json(json, &mut |_, _| None).expect("a data set");
        let stretches = write(&data_set, &explicit).expect("written");
        let bytes = stretches.into_iter().map(|stretch| match stretch {
            Stretch::New(bytes) => bytes,
            Stretch::Old(_) => panic!("nothing lies elsewhere"),
        });
        let bytes = bytes.collect::<Vec<_>>().concat();
        let scanned = scan(&mut Cursor::new(bytes), &explicit, Limits::default()).expect("scanned");
        to_json(&scanned, &|_, _| String::new())
    }

    #[test]
    fn what_is_written_from_json_reads_as_that_json() {
        let data_set = json!({
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}, {}]},
            "00090010": {"vr": "LO", "Value": ["ACME"]},
            "00091001": {"vr": "OB", "InlineBinary": "AAEC"},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Zhang^San", "Ideographic": "张^三"}]},
            "00100020": {"vr": "LO"},
            "00101030": {"vr": "DS", "Value": [70.5]},
            "00280009": {"vr": "AT", "Value": ["00181063"]},
            "00280010": {"vr": "US", "Value": [512]},
            "00189087": {"vr": "FD", "Value": [0.1, -3.0]},
            "00281055": {"vr": "LO", "Value": ["one", null, "three"]},
            "00720066": {"vr": "SL", "Value": [-7]},
        });
        let mut expected = data_set.clone();
        // Padded to even length.
        expected["00091001"]["InlineBinary"] = "AAECAA==".into();
        assert_eq!(again(&data_set), expected);
    }

    #[test]
    fn what_is_about_the_encoding_is_ours_to_say() {
        let json = json!({
            "00020010": {"vr": "UI", "Value": ["1.2"]},
            "00080000": {"vr": "UL", "Value": [4]},
            "00080005": {"vr": "CS", "Value": ["GB18030"]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
        });
        assert_eq!(
            again(&json),
            json!({ "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]}, "00100020": {"vr": "LO", "Value": ["P1"]} })
        );
    }

    #[test]
    fn bulk_data_is_where_its_address_leads() {
        let json = json!({
            "00420011": {"vr": "OB", "BulkDataURI": "a"}, "00420012": {"vr": "LO", "BulkDataURI": "b"},
        });
        let data_set = from_json(&json, &mut |_, uri| (uri == "a").then_some(7..10)).expect("a data set");
        let document = data_set.get(tags::ENCAPSULATED_DOCUMENT).expect("located");
        assert_eq!((document.offset, document.len, &document.value), (7, 3, &Value::Located));
        assert_eq!(data_set.elements.len(), 2);
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        for (json, expected) in [
            (json!([]), ItemError::NoObject),
            (json!({"PatientID": {"vr": "LO"}}), ItemError::Name("PatientID".into())),
            (json!({"00100020": {"vr": "XX"}}), ItemError::Vr("00100020".into())),
            (json!({"00100020": {"vr": "LO", "Value": "x"}}), ItemError::Value("00100020".into())),
            (json!({"00280010": {"vr": "US", "Value": [70000]}}), ItemError::Value("00280010".into())),
            (json!({"00400100": {"vr": "SQ", "Value": ["x"]}}), ItemError::Value("00400100".into())),
            (json!({"00420011": {"vr": "OB", "InlineBinary": "%"}}), ItemError::Value("00420011".into())),
            (json!({"00189087": {"vr": "FD", "Value": [1.5, null, 2.5]}}), ItemError::Value("00189087".into())),
            (json!({"+0100020": {"vr": "LO"}}), ItemError::Name("+0100020".into())),
        ] {
            assert_eq!(from_json(&json, &mut |_, _| None), Err(expected));
        }
        let deep = (0..60).fold(json!({}), |inner, _| json!({"00400100": {"vr": "SQ", "Value": [inner]}}));
        assert_eq!(from_json(&deep, &mut |_, _| None), Err(ItemError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_member_is_an_element_or_an_error(name in "[0-9A-F]{7,9}", vr in "[A-Z]{2}", value in any::<String>()) {
            let _ = from_json(&json!({ name: { "vr": vr, "Value": [value] } }), &mut |_, _| None);
        }
    }
}
