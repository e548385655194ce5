//! The query model shared by C-FIND and QIDO-RS (PS3.4 C.2.2.2, PS3.18 §8.3.4).

mod attribute;
mod date_time;
mod identifier;
mod items;
mod json;
mod matching;
mod moment;
mod parameters;
mod view;

pub use attribute::{ATTRIBUTES, Attribute, UNIQUE_KEYS, attribute};
pub use items::ItemQuery;
pub use json::JsonQuery;
pub(crate) use json::text;
pub use matching::{Matching, moment_text, name_groups, number_text};
pub use moment::{Clock, MOMENTS, Span, Zone, ZoneError, ahead, times_ahead};
pub use parameters::attribute_id;
pub use view::{View, ViewError};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Patient,
    Study,
    Series,
    Instance,
}

impl Level {
    /// Query/Retrieve Level (0008,0052).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "PATIENT",
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Instance => "IMAGE",
        }
    }
}

/// One level's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub level: Level,
    /// Conditions; keys above `level` restrict by the parent's attributes.
    pub conditions: BTreeMap<Tag, Condition>,
    /// What the asker sees at all.
    pub view: View,
    pub clock: Clock,
    /// Attributes asked for beyond the level's defaults, in ascending order, those of conditions among them; also
    /// attributes that the index does not hold, for C-FIND answers them empty.
    pub include: Include,
    /// At most this many rows.
    pub limit: Option<u32>,
    pub offset: u32,
    /// Where the rows go on, as the page before told; its text is the index's.
    pub cursor: Option<String>,
    /// The order of rows, the weightiest first; what is equal in it stands in the order of the archive.
    pub order: Vec<OrderBy>,
    pub fuzzy: bool,
}

/// An attribute, of the level asked for or above it, that rows are put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderBy {
    pub tag: Tag,
    pub is_descending: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Include {
    Tags(Vec<Tag>),
    All,
}

/// How a value must match (PS3.4 C.2.2.2.1 to .6). Universal matching is the absence of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Single value matching; person names as [`crate::person_name::fold`] leaves them.
    Exact(String),
    /// `*` and `?`.
    Wildcard(String),
    /// Dates or times, both ends inclusive.
    Range { from: Option<String>, to: Option<String> },
    /// UID list matching and QIDO multi-value: any of these.
    AnyOf(Vec<String>),
    /// Empty value matching (PS3.4 C.2.2.2.7): there is no value.
    Empty,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("Query/Retrieve Level is missing or not one of STUDY, SERIES, IMAGE")]
    Level,
    #[error("{keyword}: {what}")]
    Key { keyword: String, what: &'static str },
    /// Not an attribute of the index at this level: PS3.18 §8.3.4.1 lets the server go on without it.
    #[error("parameter {0} is not known")]
    Parameter(String),
}

impl Query {
    /// All rows of a level.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            conditions: BTreeMap::new(),
            view: View::default(),
            clock: Clock::default(),
            include: Include::Tags(Vec::new()),
            limit: None,
            offset: 0,
            cursor: None,
            order: Vec::new(),
            fuzzy: false,
        }
    }

    /// Narrows to one value.
    pub fn with(mut self, tag: Tag, value: impl Into<String>) -> Self {
        self.conditions.insert(tag, Condition::Exact(value.into()));
        self
    }
}

/// Collects the keys of a question, in whichever form it comes, so that C-FIND and QIDO-RS cannot differ.
struct Keys {
    query: Query,
    asked: BTreeSet<Tag>,
    /// Whether [`EMPTY`] is matched with no value, and not as a text.
    matches_empty: bool,
}

/// How empty value matching is asked for (PS3.4 C.2.2.2.7).
const EMPTY: &str = "\"\"";

impl Keys {
    fn new(level: Level) -> Self {
        Self { query: Query::new(level), asked: BTreeSet::new(), matches_empty: false }
    }

    /// A key to return, and to match unless `text` is empty or matches everything.
    ///
    /// `false`: the key is to match but the index does not hold it at this level.
    fn add(&mut self, tag: Tag, text: &str) -> Result<bool, QueryError> {
        self.asked.insert(tag);
        let Some(attribute) = attribute(tag) else { return Ok(is_universal(text)) };
        let attribute = match (attribute.tag, self.query.level) {
            // A worklist asks for the studies that have this modality (PS3.4 C.3.4).
            (tags::MODALITY, Level::Patient | Level::Study) => {
                self::attribute(tags::MODALITIES_IN_STUDY).unwrap_or(attribute)
            }
            _ => attribute,
        };
        let condition = match text.trim() {
            EMPTY if self.matches_empty => Some(Condition::Empty),
            _ => Condition::parse(attribute, text)?,
        };
        let Some(condition) = condition else { return Ok(true) };
        if attribute.level > self.query.level {
            return Ok(false);
        }
        self.query.conditions.insert(attribute.tag, condition);
        Ok(true)
    }

    fn finish(mut self) -> Query {
        if let Include::Tags(include) = &mut self.query.include {
            include.extend(self.asked);
        }
        self.query
    }
}

/// Universal matching (PS3.4 C.2.2.2.3), and wildcards that let everything pass.
fn is_universal(text: &str) -> bool {
    text.trim_matches([' ', '\0']).chars().all(|c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::{DataSet, Element, Value};
    use crate::uid::Uid;
    use dicom_core::VR;
    use proptest::prelude::*;

    fn text(tag: Tag, vr: VR, text: &str) -> Element {
        Element::of_text(tag, vr, text)
    }

    fn identifier(level: &str, keys: &[(Tag, VR, &str)]) -> DataSet {
        let level = text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, level);
        let keys = keys.iter().map(|(tag, vr, value)| text(*tag, *vr, value));
        DataSet { elements: std::iter::once(level).chain(keys).collect(), ..DataSet::default() }
    }

    fn parameters(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn one_question_in_both_forms_is_one_query() {
        let study: Uid = "1.2.3".parse().expect("a UID");
        let found = Query::from_identifier(&identifier(
            "SERIES",
            &[
                (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3\0"),
                (tags::PATIENT_NAME, VR::PN, "zhang*"),
                (tags::STUDY_DATE, VR::DA, "20200101-"),
                (tags::MODALITY, VR::CS, "CT\\MR"),
                (tags::SERIES_NUMBER, VR::IS, "3 "),
                (tags::SERIES_DESCRIPTION, VR::LO, ""),
                (tags::BODY_PART_EXAMINED, VR::CS, "*"),
            ],
        ));
        let asked = parameters(&[
            ("PatientName", "zhang*"),
            ("00080020", "20200101-"),
            ("Modality", "CT,MR"),
            ("SeriesNumber", "3"),
            ("BodyPartExamined", ""),
            ("includefield", "SeriesDescription"),
        ]);
        let asked = Query::from_parameters(Level::Series, Some(&study), None, &asked);
        assert!(found.is_ok());
        assert_eq!(found, asked);
    }

    #[test]
    fn a_key_inside_the_request_attributes_is_one_query_in_both_forms() {
        let item =
            DataSet { elements: vec![text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS1")], ..DataSet::default() };
        let mut keys = identifier("SERIES", &[]);
        let value = Value::Sequence(vec![item]);
        keys.elements.push(Element { tag: tags::REQUEST_ATTRIBUTES_SEQUENCE, vr: VR::SQ, offset: 0, len: 0, value });
        let asked = parameters(&[("RequestAttributesSequence.00400009", "SPS1")]);
        let asked = Query::from_parameters(Level::Series, None, None, &asked);
        assert_eq!(Query::from_identifier(&keys), asked);
        let step = Condition::Exact("SPS1".to_owned());
        assert_eq!(asked.expect("a query").conditions.get(&tags::SCHEDULED_PROCEDURE_STEP_ID), Some(&step));
    }

    #[test]
    fn the_path_has_the_last_word_on_the_study() {
        let study: Uid = "1.2.3".parse().expect("a UID");
        let other = parameters(&[("StudyInstanceUID", "9.9")]);
        let query = Query::from_parameters(Level::Series, Some(&study), None, &other).expect("a query");
        assert_eq!(query.conditions[&tags::STUDY_INSTANCE_UID], Condition::Exact("1.2.3".to_owned()));
    }

    #[test]
    fn the_modality_of_a_study_is_any_of_its_series() {
        let query = Query::from_parameters(Level::Study, None, None, &parameters(&[("Modality", "CT")]));
        let query = query.expect("a query");
        assert_eq!(query.conditions[&tags::MODALITIES_IN_STUDY], Condition::Exact("CT".to_owned()));
    }

    #[test]
    fn two_quotes_ask_for_no_value_where_that_is_agreed_on() {
        let asked = |agreed: &str| parameters(&[("AccessionNumber", "\"\""), ("emptyvaluematching", agreed)]);
        let condition = |agreed: &str| {
            let query = Query::from_parameters(Level::Study, None, None, &asked(agreed)).expect("a query");
            query.conditions[&tags::ACCESSION_NUMBER].clone()
        };
        assert_eq!(condition("true"), Condition::Empty);
        assert_eq!(condition("false"), Condition::Exact("\"\"".to_owned()));
        assert!(Condition::Empty.matches(VR::SH, " ") && !Condition::Empty.matches(VR::SH, "A1"));
    }

    #[test]
    fn an_order_is_of_attributes_of_the_level_and_above() {
        let order = |level, text: &str| {
            let asked = parameters(&[("orderby", text)]);
            Query::from_parameters(level, None, None, &asked).map(|query| query.order)
        };
        let expected = [
            OrderBy { tag: tags::STUDY_DATE, is_descending: true },
            OrderBy { tag: tags::PATIENT_NAME, is_descending: false },
        ];
        assert_eq!(order(Level::Study, "-StudyDate, 00100010").expect("an order"), expected);
        assert_eq!(order(Level::Study, "StudyDate,-StudyDate").expect("an order").len(), 1);
        let many = "StudyDate,".repeat(4000) + "StudyDate";
        for text in ["SeriesNumber", "Bogus", "", "StudyDate,,PatientID", "-", &many] {
            let found = order(Level::Study, text).map(|order| order.len());
            assert!(found.is_err() || found == Ok(1), "{text}");
        }
    }

    #[test]
    fn paging_and_fields_are_read() {
        let asked =
            parameters(&[("limit", "10"), ("offset", "20"), ("fuzzymatching", "true"), ("includefield", "all")]);
        let query = Query::from_parameters(Level::Study, None, None, &asked).expect("a query");
        assert_eq!((query.limit, query.offset, query.fuzzy, query.include), (Some(10), 20, true, Include::All));
        let asked = parameters(&[("cursor", "abc")]);
        let query = Query::from_parameters(Level::Study, None, None, &asked).expect("a query");
        assert_eq!(query.cursor.as_deref(), Some("abc"));
    }

    #[track_caller]
    fn refused(name: &str, value: &str) -> QueryError {
        let asked = parameters(&[(name, value)]);
        Query::from_parameters(Level::Study, None, None, &asked).expect_err("no query")
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (name, value) in [
            ("limit", "-1"),
            ("fuzzymatching", "maybe"),
            ("StudyDate", "yesterday"),
            ("StudyTime", "-"),
            ("StudyInstanceUID", "../etc"),
            ("NumberOfStudyRelatedSeries", "many"),
        ] {
            assert!(matches!(refused(name, value), QueryError::Key { keyword, .. } if keyword == name));
        }
        for name in ["Bogus", "00111001", "InstanceNumber", "StudyDate.PatientID", ""] {
            assert_eq!(refused(name, "1"), QueryError::Parameter(name.to_owned()));
        }
    }

    #[test]
    fn an_identifier_is_answered_though_some_keys_do_not_count() {
        let keys = [(tags::INSTANCE_NUMBER, VR::IS, "1"), (tags::PATIENT_COMMENTS, VR::LT, "x")];
        let query = Query::from_identifier(&identifier("STUDY", &keys)).expect("a query");
        assert!(query.conditions.is_empty());
        assert_eq!(query.include, Include::Tags(vec![tags::PATIENT_COMMENTS, tags::INSTANCE_NUMBER]));
        assert_eq!(Query::from_identifier(&identifier("PLANET", &[])), Err(QueryError::Level));
    }

    proptest! {
        #[test]
        fn any_parameters_are_judged(pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..4)) {
            let _ = Query::from_parameters(Level::Instance, None, None, &pairs);
        }

        #[test]
        fn any_value_of_any_key_is_judged(at in 0..ATTRIBUTES.len(), key in any::<String>(), value in any::<String>()) {
            let attribute = &ATTRIBUTES[at];
            if let Ok(Some(condition)) = Condition::parse(attribute, &key) {
                let _ = condition.matches(attribute.vr, &value);
            }
        }
    }
}
