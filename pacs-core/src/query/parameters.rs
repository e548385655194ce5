//! QIDO-RS parameters → query (PS3.18 §8.3.4, §10.6.1).

use super::{Include, Keys, Level, OrderBy, Query, QueryError, attribute};
use crate::uid::Uid;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

impl Query {
    /// From QIDO-RS parameters, already percent-decoded, in order, and the UIDs of the path (PS3.18 §10.6).
    pub fn from_parameters(
        level: Level,
        study: Option<&Uid>,
        series: Option<&Uid>,
        parameters: &[(String, String)],
    ) -> Result<Self, QueryError> {
        let mut keys = Keys::new(level);
        keys.matches_empty = flag(parameters, EMPTY_VALUE_MATCHING)?;
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => keys.query.limit = Some(whole_number(name, value)?),
                "offset" => keys.query.offset = whole_number(name, value)?,
                "fuzzymatching" => keys.query.fuzzy = truth(name, value)?,
                "includefield" => include_fields(&mut keys, value),
                "orderby" => keys.query.order = order(level, value)?,
                "cursor" => keys.query.cursor = Some(value.clone()),
                EMPTY_VALUE_MATCHING => {}
                _ => add_key(&mut keys, name, value)?,
            }
        }
        // The path has the last word: a parameter must not lead out of it.
        for (tag, uid) in [(tags::STUDY_INSTANCE_UID, study), (tags::SERIES_INSTANCE_UID, series)] {
            if let Some(uid) = uid {
                keys.add(tag, uid.as_str())?;
            }
        }
        Ok(keys.finish())
    }
}

/// Whether two quotes ask for what has no value (PS3.18 §8.3.4.6).
const EMPTY_VALUE_MATCHING: &str = "emptyvaluematching";

/// A parameter that changes how others are read, wherever it stands.
fn flag(parameters: &[(String, String)], wanted: &str) -> Result<bool, QueryError> {
    let found = parameters.iter().find(|(name, _)| name == wanted);
    found.map_or(Ok(false), |(name, value)| truth(name, value))
}

/// Each is a term of a condition for every one before it.
const MOST_FIELDS: usize = 8;

/// Attributes separated by commas, each by keyword or tag, those that descend after a minus; an extension.
fn order(level: Level, value: &str) -> Result<Vec<OrderBy>, QueryError> {
    let what = "orders by at most 8 attributes of the index at this level or above, such as -StudyDate,PatientName";
    let refused = || QueryError::Key { keyword: "orderby".to_owned(), what };
    let by = |field: &str| {
        let (is_descending, name) = field.strip_prefix('-').map_or((false, field), |name| (true, name));
        let known = attribute(attribute_id(name)?).filter(|known| known.level <= level)?;
        Some(OrderBy { tag: known.tag, is_descending })
    };
    let mut order: Vec<OrderBy> = Vec::new();
    for field in value.split(',').take(MOST_FIELDS + 1) {
        let by = by(field.trim()).filter(|_| order.len() < MOST_FIELDS).ok_or_else(refused)?;
        // A second time it decides nothing.
        if order.iter().all(|before| before.tag != by.tag) {
            order.push(by);
        }
    }
    Ok(order)
}

pub(super) fn whole_number(keyword: &str, value: &str) -> Result<u32, QueryError> {
    let what = "is not a whole number";
    value.parse().map_err(|_| QueryError::Key { keyword: keyword.to_owned(), what })
}

fn truth(keyword: &str, value: &str) -> Result<bool, QueryError> {
    let what = "is neither true nor false";
    value.parse().map_err(|_| QueryError::Key { keyword: keyword.to_owned(), what })
}

/// `all`, or attributes separated by commas; those not known are passed over (PS3.18 §8.3.4.3).
fn include_fields(keys: &mut Keys, value: &str) {
    for field in value.split(',').map(str::trim) {
        if field == "all" {
            keys.query.include = Include::All;
        } else if let Some(path) = attribute_path(field) {
            keys.asked.extend(path);
        }
    }
}

fn add_key(keys: &mut Keys, name: &str, value: &str) -> Result<(), QueryError> {
    let unknown = || QueryError::Parameter(name.to_owned());
    let path = attribute_path(name).ok_or_else(unknown)?;
    let (tag, sequences) = path.split_last().ok_or_else(unknown)?;
    let within = super::attribute(*tag).and_then(|attribute| attribute.within);
    if !sequences.is_empty() && sequences.last().copied() != within {
        return Err(unknown());
    }
    keys.asked.extend(sequences);
    if keys.add(*tag, value)? { Ok(()) } else { Err(unknown()) }
}

/// An attribute, or one inside sequences joined by dots, each by keyword or eight hexadecimal digits.
pub(super) fn attribute_path(text: &str) -> Option<Vec<Tag>> {
    text.split('.').map(attribute_id).collect()
}

/// An attribute by its keyword, or by eight hexadecimal digits.
pub fn attribute_id(text: &str) -> Option<Tag> {
    match u32::from_str_radix(text, 16) {
        Ok(number) if text.len() == 8 => Some(Tag((number >> 16) as u16, number as u16)),
        _ => Some(StandardDataDictionary.by_name(text)?.tag()),
    }
}

/// By the dictionary; LO, which matches as text, for what is not in it.
pub(super) fn vr_of(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::LO, |entry| entry.vr().relaxed())
}
