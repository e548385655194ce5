//! Attributes that get other values by rule: on receipt, where that is a correction, or on the way to a destination.

use super::Condition;
use crate::error::ArchiveError;
use pacs_core::{
    DataSet, Tag,
    correction::{check, keyword_of},
    query::{self, Level, attribute_id},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What attributes get, by keyword.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coercion {
    /// Values; `{Keyword}` in one stands for the value that that attribute came with, `null` removes the attribute.
    pub set: BTreeMap<String, Option<String>>,
    /// Values in place of others: for each attribute old → new; what is not in the list stays.
    pub map: BTreeMap<String, BTreeMap<String, String>>,
}

/// What meets the condition is corrected when it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoercionRule {
    pub name: String,
    #[serde(default)]
    pub when: Condition,
    pub coercion: Coercion,
}

pub(super) type Values = BTreeMap<Tag, Option<String>>;

impl Coercion {
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.map.is_empty()
    }

    /// Refuses what is no attribute, may not be given, or can be given no such value.
    pub(super) fn check(&self) -> Result<(), ArchiveError> {
        for (keyword, value) in &self.set {
            let tag = tag(keyword)?;
            let is_literal = value.as_ref().is_none_or(|value| !value.contains('{'));
            may_be(tag, value.as_deref().filter(|_| is_literal).unwrap_or_default())?;
            for part in value.iter().flat_map(|value| parts(value)) {
                if let Part::Value(keyword) = part {
                    self::tag(keyword)?;
                }
            }
        }
        for (keyword, values) in &self.map {
            let tag = tag(keyword)?;
            values.values().try_for_each(|value| may_be(tag, value))?;
        }
        Ok(())
    }

    /// As [`Self::check`], where it is made on receipt: there values belong to patients, studies and series.
    pub(super) fn check_received(&self) -> Result<(), ArchiveError> {
        self.check()?;
        for keyword in self.set.keys().chain(self.map.keys()) {
            let attribute = query::attribute(tag(keyword)?);
            if attribute.is_some_and(|attribute| attribute.level == Level::Instance || attribute.within.is_some()) {
                return Err(ArchiveError::Conflict(format!(
                    "{keyword} is of each instance by itself, or within a sequence: it cannot be coerced on receipt"
                )));
            }
        }
        Ok(())
    }

    /// What an instance gets that came so; what is no value of its attribute is left out, and named.
    pub(super) fn values(&self, received: &DataSet) -> (Values, Vec<String>) {
        let value_of = |tag| received.texts(tag).join("\\");
        let set = self.set.iter().filter_map(|(keyword, value)| {
            Some((attribute_id(keyword)?, value.as_ref().map(|value| filled(value, &value_of))))
        });
        let mapped = self.map.iter().filter_map(|(keyword, values)| {
            let tag = attribute_id(keyword)?;
            Some((tag, Some(values.get(&value_of(tag))?.clone())))
        });
        let mut unfit = Vec::new();
        let mut values: Values = mapped.chain(set).collect();
        values.retain(|tag, value| match may_be(*tag, value.as_deref().unwrap_or_default()) {
            Ok(()) => true,
            Err(error) => {
                unfit.push(error.to_string());
                false
            }
        });
        (values, unfit)
    }
}

fn tag(keyword: &str) -> Result<Tag, ArchiveError> {
    attribute_id(keyword)
        .ok_or_else(|| ArchiveError::Conflict(format!("{keyword} is neither a keyword nor a tag of DICOM")))
}

/// The value is not told of: it may be a patient's.
fn may_be(tag: Tag, value: &str) -> Result<(), ArchiveError> {
    use pacs_core::correction::NotCorrectable::Value;
    let why = match check(tag, value) {
        Ok(_) => return Ok(()),
        Err(Value { keyword, why, .. }) => format!("{keyword} cannot be that: {why}"),
        Err(other) => other.to_string(),
    };
    Err(ArchiveError::Conflict(why))
}

/// A piece of a value.
enum Part<'a> {
    Text(&'a str),
    /// Of the attribute of this keyword.
    Value(&'a str),
}

fn parts(value: &str) -> impl Iterator<Item = Part<'_>> {
    let pieces = value.split('{').enumerate();
    pieces.flat_map(|(at, piece)| match piece.split_once('}').filter(|_| at > 0) {
        Some((keyword, text)) => vec![Part::Value(keyword), Part::Text(text)],
        None => vec![Part::Text(piece)],
    })
}

fn filled(value: &str, value_of: &impl Fn(Tag) -> String) -> String {
    let one = |part| match part {
        Part::Text(text) => text.to_owned(),
        Part::Value(keyword) => attribute_id(keyword).map(value_of).unwrap_or_default(),
    };
    parts(value).map(one).collect()
}

/// In words, for lists.
impl std::fmt::Display for Coercion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |keyword: &str| attribute_id(keyword).map_or_else(|| keyword.to_owned(), keyword_of);
        let set = self.set.iter().map(|(keyword, value)| match value {
            Some(value) => format!("{}={value}", name(keyword)),
            None => format!("{} removed", name(keyword)),
        });
        let mapped = self.map.iter().flat_map(|(keyword, values)| {
            values.iter().map(move |(old, new)| format!("{}: {old} → {new}", name(keyword)))
        });
        f.write_str(&set.chain(mapped).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacs_core::{VR, character_set::CharacterSet, data_set::Element, tags};

    fn coercion(set: &[(&str, Option<&str>)], map: &[(&str, &str, &str)]) -> Coercion {
        let mut coercion = Coercion::default();
        for (keyword, value) in set {
            coercion.set.insert((*keyword).to_owned(), value.map(str::to_owned));
        }
        for (keyword, old, new) in map {
            coercion.map.entry((*keyword).to_owned()).or_default().insert((*old).to_owned(), (*new).to_owned());
        }
        coercion
    }

    fn received() -> DataSet {
        let elements = vec![
            Element::of_text(tags::STATION_NAME, VR::SH, "CT1"),
            Element::of_text(tags::PATIENT_ID, VR::LO, "4711"),
            Element::of_text(tags::BODY_PART_EXAMINED, VR::CS, "THX"),
        ];
        DataSet { elements, character_set: CharacterSet::utf_8() }
    }

    #[test]
    fn values_are_set_filled_in_mapped_and_removed() {
        let set = [
            ("InstitutionName", Some("Ward {StationName}!")),
            ("PatientID", Some("H1-{PatientID}")),
            ("PatientComments", None),
            ("StudyDescription", Some("{SeriesDescription}")),
        ];
        let (values, unfit) = coercion(&set, &[("BodyPartExamined", "THX", "CHEST")]).values(&received());
        let text = |tag| values.get(&tag).cloned().flatten();
        assert_eq!(text(tags::INSTITUTION_NAME).as_deref(), Some("Ward CT1!"));
        assert_eq!(text(tags::PATIENT_ID).as_deref(), Some("H1-4711"));
        assert_eq!(text(tags::BODY_PART_EXAMINED).as_deref(), Some("CHEST"));
        assert_eq!(text(tags::STUDY_DESCRIPTION).as_deref(), Some(""));
        assert_eq!((values.get(&tags::PATIENT_COMMENTS), unfit.len()), (Some(&None), 0));
    }

    #[test]
    fn what_is_not_mapped_stays_and_what_does_not_fit_is_left_out() {
        let map = [("BodyPartExamined", "ABD", "ABDOMEN")];
        let (values, unfit) =
            coercion(&[("StationName", Some("{PatientID}-is-much-too-long"))], &map).values(&received());
        assert!(values.is_empty());
        assert_eq!(unfit.len(), 1);
        assert!(!unfit[0].contains("4711"), "no value of a patient is told");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for set in [
            ("Nonsense", Some("x")),
            ("SOPInstanceUID", Some("1.2")),
            ("PatientBirthDate", Some("yesterday")),
            ("StudyDescription", Some("{Nonsense}")),
        ] {
            assert!(coercion(&[set], &[]).check().is_err(), "{set:?}");
        }
        assert!(coercion(&[("InstanceNumber", Some("1"))], &[]).check().is_ok());
        assert!(coercion(&[("InstanceNumber", Some("1"))], &[]).check_received().is_err());
        assert!(coercion(&[("PatientID", Some("{PatientID}"))], &[]).check_received().is_ok());
    }
}
