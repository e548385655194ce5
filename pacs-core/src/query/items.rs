//! Search in data sets with sequences: worklists and workitems (PS3.4 §C.2.2.2, §K.6.1, §CC.2.8).

use super::{Condition, QueryError, json::text, moment_text, parameters::attribute_path};
use crate::attributes::key;
use crate::data_set::header::dictionary_vr;
use crate::data_set::values::is_text;
use crate::data_set::{DataSet, Element, Value as Scanned};
use crate::item::{Content, Item};
use crate::person_name::{search_keys, search_terms};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A date and a time whose ranges are one range (PS3.4 Table K.6-1).
const COMBINED: (Tag, Tag) = (tags::SCHEDULED_PROCEDURE_STEP_START_DATE, tags::SCHEDULED_PROCEDURE_STEP_START_TIME);

/// What must match, and what of a match is returned.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ItemQuery {
    keys: BTreeMap<Tag, Key>,
    /// Person names are found as a search finds them too: by words in any order, in pinyin, by initials.
    pub fuzzy: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Key {
    Value(VR, Option<Condition>),
    /// Asked with a value that nothing can be compared with.
    NotSupported(VR),
    /// Of its items these keys; `None`: the whole sequence.
    Sequence(Option<ItemQuery>),
}

impl ItemQuery {
    /// From a C-FIND identifier.
    pub fn from_identifier(identifier: &DataSet, fuzzy: bool) -> Result<Self, QueryError> {
        let mut keys = BTreeMap::new();
        for element in identifier.elements.iter().filter(|element| is_key(element.tag)) {
            keys.insert(element.tag, Key::read(element, identifier, fuzzy)?);
        }
        Ok(Self { keys, fuzzy })
    }

    /// From an item of keys with their values.
    pub fn from_item(keys: &Item) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (tag, vr, content) in keys.contents() {
            let key = match content {
                Content::Text(text) => Key::Value(vr, Condition::of(&keyword(tag), vr, &text)?),
                Content::Bytes(_) => Key::NotSupported(vr),
                Content::Items(items) => {
                    let nested = items.first().filter(|item| !item.is_empty()).map(Self::from_item);
                    Key::Sequence(nested.transpose()?)
                }
            };
            query.keys.insert(tag, key);
        }
        Ok(query)
    }

    /// From parameters of a request, already percent-decoded: an attribute by keyword or tag, in a sequence with that
    /// before it and a dot (PS3.18 §8.3.4.1), and its value.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, QueryError> {
        let add = |query: Self, (name, value): &(String, String)| {
            let path = attribute_path(name).ok_or_else(|| QueryError::Parameter(name.clone()))?;
            query.with(&path, value)
        };
        parameters.iter().try_fold(Self::default(), add)
    }

    /// Adds a condition on an attribute, with the sequences that it lies in before it, or replaces the one there is.
    pub fn with(mut self, path: &[Tag], value: &str) -> Result<Self, QueryError> {
        let Some((tag, rest)) = path.split_first() else { return Ok(self) };
        let key = if rest.is_empty() {
            let vr = dictionary_vr(*tag, false).unwrap_or(VR::LO);
            Key::Value(vr, Condition::of(&keyword(*tag), vr, value)?)
        } else {
            let nested = match self.keys.remove(tag) {
                Some(Key::Sequence(Some(nested))) => nested,
                _ => Self { fuzzy: self.fuzzy, ..Self::default() },
            };
            Key::Sequence(Some(nested.with(rest, value)?))
        };
        self.keys.insert(*tag, key);
        Ok(self)
    }

    /// The attributes of its first level.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.keys.keys().copied()
    }

    /// How many keys there are, over all levels.
    pub fn len(&self) -> usize {
        let below = |key: &Key| if let Key::Sequence(Some(nested)) = key { nested.len() } else { 0 };
        self.keys.values().map(|key| 1 + below(key)).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether every key could be matched (PS3.4 Table C.4-1: FF00H, else FF01H).
    pub fn is_supported(&self) -> bool {
        self.keys.values().all(|key| match key {
            Key::Value(..) | Key::Sequence(None) => true,
            Key::NotSupported(_) => false,
            Key::Sequence(Some(nested)) => nested.is_supported(),
        })
    }

    /// The condition on an attribute, with the sequences that it lies in before it.
    pub fn condition(&self, path: &[Tag]) -> Option<&Condition> {
        let (first, rest) = path.split_first()?;
        match self.keys.get(first)? {
            Key::Value(_, condition) if rest.is_empty() => condition.as_ref(),
            Key::Sequence(Some(nested)) => nested.condition(rest),
            _ => None,
        }
    }

    /// The keywords of what must match, without values: what an audit may know of a query.
    pub fn describe(&self) -> String {
        let names = self.conditions();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }

    fn conditions(&self) -> Vec<String> {
        let of = |(tag, key): (&Tag, &Key)| match key {
            Key::Value(_, Some(_)) => vec![keyword(*tag)],
            Key::Sequence(Some(nested)) => nested.conditions(),
            _ => Vec::new(),
        };
        self.keys.iter().flat_map(of).collect()
    }

    pub fn matches(&self, item: &Item) -> bool {
        self.matches_map(item.map())
    }

    /// What of a match is returned: every key asked for, of zero length where nothing is known.
    pub fn returned(&self, item: &Item) -> Item {
        Item::from_map(self.returned_map(item.map()))
    }

    fn matches_map(&self, item: &Map<String, Value>) -> bool {
        let together = self.combined();
        let apart = |tag: &Tag| together.is_none() || *tag != COMBINED.0 && *tag != COMBINED.1;
        let matches = |(tag, key): (&Tag, &Key)| self.matches_key(*tag, key, item);
        self.keys.iter().filter(|(tag, _)| apart(tag)).all(matches)
            && together.is_none_or(|(date, time)| is_within(date, time, item))
    }

    fn matches_key(&self, tag: Tag, key: &Key, item: &Map<String, Value>) -> bool {
        match key {
            Key::Value(vr, Some(condition)) => {
                let mut values = values(item, tag).iter().map(text);
                values.any(|value| condition.matches(*vr, &value) || self.fuzzy && is_found(*vr, condition, &value))
            }
            Key::Sequence(Some(nested)) if !nested.conditions().is_empty() => {
                values(item, tag).iter().filter_map(Value::as_object).any(|item| nested.matches_map(item))
            }
            Key::Value(_, None) | Key::NotSupported(_) | Key::Sequence(_) => true,
        }
    }

    /// Date and time, if both are asked for by range.
    fn combined(&self) -> Option<(&Condition, &Condition)> {
        let range = |tag| self.condition(&[tag]).filter(|condition| matches!(condition, Condition::Range { .. }));
        range(COMBINED.0).zip(range(COMBINED.1))
    }

    fn returned_map(&self, item: &Map<String, Value>) -> Map<String, Value> {
        let returned = |(tag, asked): (&Tag, &Key)| (key(*tag), asked.returned(item.get(&key(*tag))));
        self.keys.iter().map(returned).collect()
    }
}

impl Key {
    fn read(element: &Element, identifier: &DataSet, fuzzy: bool) -> Result<Self, QueryError> {
        if let Scanned::Sequence(items) = &element.value {
            // An empty item asks for all that there is (PS3.4 §C.2.2.2.6).
            let nested = items.first().filter(|item| !item.elements.is_empty());
            let nested = nested.map(|item| ItemQuery::from_identifier(item, fuzzy)).transpose()?;
            return Ok(Self::Sequence(nested));
        }
        let vr = dictionary_vr(element.tag, false).unwrap_or(element.vr);
        match vr {
            VR::SQ => Ok(Self::Sequence(None)),
            _ if element.len == 0 => Ok(Self::Value(vr, None)),
            _ if is_text(vr) || matches!(vr, VR::US | VR::SS | VR::UL | VR::SL | VR::AT) => {
                let asked = identifier.texts(element.tag).join("\\");
                Ok(Self::Value(vr, Condition::of(&keyword(element.tag), vr, &asked)?))
            }
            _ => Ok(Self::NotSupported(vr)),
        }
    }

    fn returned(&self, held: Option<&Value>) -> Value {
        let empty = |vr: VR| json!({ "vr": vr.to_string() });
        match (self, held) {
            (Self::Sequence(Some(nested)), Some(held)) => {
                let items = held.get("Value").and_then(Value::as_array).into_iter().flatten();
                let items: Vec<_> = items.filter_map(Value::as_object).map(|item| nested.returned_map(item)).collect();
                if items.is_empty() { empty(VR::SQ) } else { json!({ "vr": "SQ", "Value": items }) }
            }
            (Self::Sequence(_), None) => empty(VR::SQ),
            (Self::Value(vr, _) | Self::NotSupported(vr), None) => empty(*vr),
            (_, Some(held)) => held.clone(),
        }
    }
}

/// All but what says how to read the identifier.
fn is_key(tag: Tag) -> bool {
    tag.element() != 0 && tag != tags::SPECIFIC_CHARACTER_SET && tag != tags::TIMEZONE_OFFSET_FROM_UTC
}

fn keyword(tag: Tag) -> String {
    StandardDataDictionary.by_tag(tag).map_or_else(|| tag.to_string(), |entry| entry.alias().to_owned())
}

fn values(item: &Map<String, Value>, tag: Tag) -> &[Value] {
    let values = item.get(&key(tag)).and_then(|element| element.get("Value")).and_then(Value::as_array);
    values.map_or(&[], Vec::as_slice)
}

/// Whether the words typed are begins of what the name is searched by (PS3.4 §C.2.2.2.1.1 leaves this to us).
fn is_found(vr: VR, condition: &Condition, name: &str) -> bool {
    if vr != VR::PN {
        return false;
    }
    let typed = match condition {
        Condition::Exact(name) | Condition::Wildcard(name) => std::slice::from_ref(name),
        Condition::AnyOf(names) => names,
        Condition::Range { .. } | Condition::Empty => &[],
    };
    let keys = search_keys(name);
    let is_begin = |term: &String| keys.iter().any(|key| key.starts_with(term.as_str()));
    typed.iter().map(|typed| search_terms(typed)).any(|terms| !terms.is_empty() && terms.iter().all(is_begin))
}

/// Whether date and time together lie between the begins and the ends of the ranges.
fn is_within(date: &Condition, time: &Condition, item: &Map<String, Value>) -> bool {
    let (Condition::Range { from: from_date, to: to_date }, Condition::Range { from: from_time, to: to_time }) =
        (date, time)
    else {
        return false;
    };
    let joined = |date: Option<&str>, time: Option<&str>, fill| {
        let date = moment_text(VR::DA, date?, fill)?;
        Some(
            date + &time
                .and_then(|time| moment_text(VR::TM, time, fill))
                .unwrap_or_else(|| fill.to_string().repeat(12)),
        )
    };
    let held = |tag| values(item, tag).first().map(text);
    let (held_date, held_time) = (held(COMBINED.0), held(COMBINED.1));
    let Some(value) = joined(held_date.as_deref(), held_time.as_deref(), '0') else { return false };
    joined(from_date.as_deref(), from_time.as_deref(), '0').is_none_or(|from| from <= value)
        && joined(to_date.as_deref(), to_time.as_deref(), '9').is_none_or(|to| value <= to)
}

#[cfg(test)]
mod tests;
