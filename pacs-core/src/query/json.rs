//! Search over DICOM JSON itself, for the few objects that no index holds (PS3.18 §12.6).

use super::{Condition, Include, parameters};
use crate::{attributes::key, query::QueryError};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::{Map, Value};

/// A question to data sets in the DICOM JSON model, of their top level.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonQuery {
    conditions: Vec<(Tag, VR, Condition)>,
    include: Include,
    pub limit: Option<u32>,
    pub offset: u32,
}

impl JsonQuery {
    /// From QIDO-RS parameters, already percent-decoded, and the names of those that mean nothing here.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<(Self, Vec<&str>), QueryError> {
        let mut query = Self { conditions: Vec::new(), include: Include::Tags(Vec::new()), limit: None, offset: 0 };
        let mut ignored = Vec::new();
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => query.limit = Some(parameters::whole_number(name, value)?),
                "offset" => query.offset = parameters::whole_number(name, value)?,
                "includefield" => query.include_fields(value),
                _ => match parameters::attribute_id(name) {
                    Some(tag) => query.add(name, tag, value)?,
                    None => ignored.push(name.as_str()),
                },
            }
        }
        Ok((query, ignored))
    }

    fn include_fields(&mut self, value: &str) {
        for field in value.split(',').map(str::trim) {
            match (&mut self.include, parameters::attribute_id(field)) {
                (include, _) if field == "all" => *include = Include::All,
                (Include::Tags(tags), Some(tag)) => tags.push(tag),
                _ => {}
            }
        }
    }

    fn add(&mut self, keyword: &str, tag: Tag, value: &str) -> Result<(), QueryError> {
        let vr = parameters::vr_of(tag);
        if let Some(condition) = Condition::of(keyword, vr, value)? {
            self.conditions.push((tag, vr, condition));
        }
        if let Include::Tags(tags) = &mut self.include {
            tags.push(tag);
        }
        Ok(())
    }

    /// Whether a data set meets every condition: one of an attribute's values is enough.
    pub fn matches(&self, data_set: &Map<String, Value>) -> bool {
        self.conditions.iter().all(|(tag, vr, condition)| {
            let values = data_set.get(&key(*tag)).and_then(|element| element.get("Value")?.as_array());
            values.is_some_and(|values| values.iter().any(|value| condition.matches(*vr, &text(value))))
        })
    }

    /// What of a match is returned: single values, and whatever else was asked for.
    pub fn returned(&self, data_set: Map<String, Value>) -> Map<String, Value> {
        let Include::Tags(asked) = &self.include else { return data_set };
        let asked: Vec<_> = asked.iter().chain([&tags::SPECIFIC_CHARACTER_SET]).map(|tag| key(*tag)).collect();
        data_set.into_iter().filter(|(key, element)| asked.contains(key) || is_plain(element)).collect()
    }
}

/// Neither a sequence nor binary.
fn is_plain(element: &Value) -> bool {
    element["vr"] != "SQ" && element.get("InlineBinary").is_none() && element.get("BulkDataURI").is_none()
}

/// One value as the text that is matched; the component groups of a name are joined again.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(name) => {
            let group = |group: &str| name.get(group).and_then(Value::as_str).unwrap_or_default();
            let groups = [group("Alphabetic"), group("Ideographic"), group("Phonetic")].join("=");
            groups.trim_end_matches('=').to_owned()
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn palette() -> Map<String, Value> {
        let palette = json!({
            "00080018": {"vr": "UI", "Value": ["1.2.3"]},
            "00081201": {"vr": "OW", "InlineBinary": "AAA="},
            "00700080": {"vr": "CS", "Value": ["HOT_IRON"]},
            "00700084": {"vr": "PN", "Value": [{"Alphabetic": "Li^Si", "Ideographic": "李^四"}]},
            "00700087": {"vr": "SQ", "Value": [{}]},
            "00720014": {"vr": "US", "Value": [2]},
        });
        palette.as_object().expect("an object").clone()
    }

    fn query(name: &str, value: &str) -> Result<JsonQuery, QueryError> {
        let parameters = [(name.to_owned(), value.to_owned())];
        JsonQuery::from_parameters(&parameters).map(|(query, _)| query)
    }

    fn check(name: &str, value: &str, expected: bool) {
        assert_eq!(query(name, value).expect("a query").matches(&palette()), expected, "{name}={value}");
    }

    #[test]
    fn values_match_as_in_any_query() {
        check("ContentLabel", "HOT*", true);
        check("00700080", "HOT_IRON", true);
        check("ContentLabel", "PET", false);
        check("ContentLabel", "*", true);
        check("SOPInstanceUID", "1.2.4,1.2.3", true);
        check("ContentCreatorName", "li^si", true);
        check("ContentCreatorName", "李*", true);
        check("NumberOfPriorsReferenced", "2", true);
        check("HangingProtocolName", "Any", false);
        check("limit", "1", true);
        assert!(query("SOPInstanceUID", "../x").is_err());
        let parameters = [("Nonsense".to_owned(), "1".to_owned())];
        assert_eq!(JsonQuery::from_parameters(&parameters).expect("a query").1, ["Nonsense"]);
    }

    #[test]
    fn a_match_returns_single_values_and_what_was_asked_for() {
        let keys = |name, value| query(name, value).expect("a query").returned(palette()).len();
        assert_eq!(keys("limit", "1"), 4);
        assert_eq!(keys("includefield", "AlternateContentDescriptionSequence"), 5);
        assert_eq!(keys("includefield", "all"), 6);
    }

    proptest! {
        #[test]
        fn any_parameter_is_read_without_panic(name in any::<String>(), value in any::<String>()) {
            if let Ok(query) = query(&name, &value) {
                query.matches(&palette());
            }
        }
    }
}
