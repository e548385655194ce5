//! Query (PS3.4 Annex C): a C-FIND identifier becomes a search, a row becomes a response identifier. Pure; the session
//! asks the archive and sends.

use super::{
    clock,
    identifier::{self, Field, Fields},
    keys::{Keys, Refusal},
};
use crate::{
    association::{roles::QueryOptions, supported::Root},
    config::NodeConfig,
    dimse::{CommandSet, status},
};
use bytes::Bytes;
use pacs_core::{
    AeTitle, DataSet, Failure, Tag, TransferSyntax, VR,
    character_set::CharacterSet,
    data_set::{Element, Value},
    query::{Clock, Level, Query, UNIQUE_KEYS, Zone, ZoneError, attribute},
    tags,
};
use std::collections::BTreeMap;
use storage::Row;

/// More keys than any model has attributes only multiply the work for each match.
const MAX_KEYS: usize = 1024;

/// Keys that are answered whether they are asked for or not (PS3.4 §C.4.1.1.3.2); nothing is matched by them.
pub const OWN_KEYS: [Tag; 3] = [tags::SPECIFIC_CHARACTER_SET, tags::QUERY_RETRIEVE_LEVEL, tags::RETRIEVE_AE_TITLE];

/// A C-FIND request whose identifier is coming.
pub struct Find {
    pub request: CommandSet,
    root: Root,
    options: QueryOptions,
    identifier: Keys,
}

/// A query understood.
#[derive(Debug)]
pub struct Search {
    pub query: Query,
    /// Keys to return, in the order of their tags.
    keys: BTreeMap<Tag, Key>,
    level_name: String,
    charset: CharacterSet,
    explicit_vr: bool,
    /// Status of each match.
    pub pending: u16,
}

#[derive(Debug)]
enum Key {
    Value(VR),
    Sequence(BTreeMap<Tag, VR>),
}

impl Find {
    pub fn new(request: CommandSet, syntax: TransferSyntax, root: Root, options: QueryOptions) -> Self {
        Self { request, root, options, identifier: Keys::new(syntax) }
    }

    /// Takes a piece of the identifier.
    pub fn write(&mut self, piece: &[u8]) {
        self.identifier.write(piece);
    }

    /// Reads the identifier.
    pub fn search(&self, config: &NodeConfig) -> Result<Search, Refusal> {
        let identifier = self.identifier.read()?;
        let mut search = Search::read(&identifier, self.identifier.is_explicit(), config)?;
        search.query.fuzzy = self.options.fuzzy;
        search.query.clock = self.clock(&identifier, config)?;
        self.root.refuse(search.query.level)?;
        Ok(search)
    }
}

impl Find {
    fn clock(&self, identifier: &DataSet, config: &NodeConfig) -> Result<Clock, Refusal> {
        let asked =
            identifier.text(tags::TIMEZONE_OFFSET_FROM_UTC).filter(|text| self.options.zoned && !text.is_empty());
        let refusal = |error: ZoneError| Refusal::new(Failure::InvalidQuery.dimse(), &error.to_string());
        let asked = asked.map(|text| text.parse::<Zone>().map_err(refusal)).transpose()?;
        let zones = asked.map(|asked| (asked, config.utc_offset));
        Ok(Clock { combined: self.options.combined, zones })
    }
}

impl Search {
    fn read(identifier: &DataSet, explicit_vr: bool, config: &NodeConfig) -> Result<Self, Refusal> {
        let mut query = Query::from_identifier(identifier)
            .map_err(|error| Refusal::new(Failure::InvalidQuery.dimse(), &error.to_string()))?;
        // One more than may be answered, to know that there are more.
        query.limit = Some(config.max_find_results.saturating_add(1));
        let mut keys: BTreeMap<_, _> = identifier.elements.iter().filter_map(key).collect();
        if keys.len() > MAX_KEYS {
            return Err(Refusal::new(Failure::InvalidQuery.dimse(), "more than 1024 keys"));
        }
        let is_supported = keys.iter().all(|(tag, key)| is_supported(*tag, key, query.level));
        for tag in unique_keys(query.level) {
            keys.entry(tag).or_insert(Key::Value(VR::UI));
        }
        let charset = identifier.character_set.clone();
        let level_name = identifier.text(tags::QUERY_RETRIEVE_LEVEL).unwrap_or_default();
        let pending = if is_supported { status::PENDING } else { status::PENDING_WITHOUT_SOME_KEYS };
        Ok(Self { query, keys, level_name, charset, explicit_vr, pending })
    }

    /// The response identifier of a match: every key that was asked for, of zero length where nothing is known. It is
    /// retrieved from `called`.
    pub fn identifier(&self, row: &Row, called: &AeTitle) -> Bytes {
        let on_clock = self.query.clock.zones.map(|zones| clock::on_clock_of(zones, row));
        let row = on_clock.as_ref().unwrap_or(row);
        let text = |vr, value: &str| Field::Text(vr, value.to_owned());
        let value = |tag: &Tag, vr: &VR| text(*vr, row.values.get(tag).map(String::as_str).unwrap_or_default());
        let mut fields: Fields = self
            .keys
            .iter()
            .map(|(tag, key)| match key {
                Key::Value(vr) => (*tag, value(tag, vr)),
                Key::Sequence(nested) => (*tag, Field::Items(item(nested, row).into_iter().collect())),
            })
            .collect();
        fields.insert(tags::QUERY_RETRIEVE_LEVEL, text(VR::CS, &self.level_name));
        // Who holds the instances (PS3.4 §C.4.1.1.3.2).
        fields.insert(tags::RETRIEVE_AE_TITLE, text(VR::AE, called.as_str()));
        if self.keys.contains_key(&tags::INSTANCE_AVAILABILITY) {
            let availability = row.values.get(&tags::INSTANCE_AVAILABILITY).map_or("ONLINE", String::as_str);
            fields.insert(tags::INSTANCE_AVAILABILITY, text(VR::CS, availability));
        }
        identifier::write(fields, self.explicit_vr, &self.charset)
    }

    /// The names of the keys, without values: what an audit may know of a query.
    pub fn describe(&self) -> String {
        let name = |tag: &Tag| attribute(*tag).map_or_else(|| tag.to_string(), |known| known.keyword.to_owned());
        let conditions: Vec<_> = self.query.conditions.keys().map(name).collect();
        format!(
            "C-FIND {} by {}",
            self.level_name,
            if conditions.is_empty() { "nothing".into() } else { conditions.join(", ") }
        )
    }
}

/// The item of a requested sequence: the archive holds the first of the Request Attributes Sequence.
fn item(nested: &BTreeMap<Tag, VR>, row: &Row) -> Option<Fields> {
    let known = nested.keys().any(|tag| row.values.get(tag).is_some_and(|value| !value.is_empty()));
    let value = |tag: &Tag| row.values.get(tag).cloned().unwrap_or_default();
    known.then(|| nested.iter().map(|(tag, vr)| (*tag, Field::Text(*vr, value(tag)))).collect())
}

/// A key to return; `None` for what is no key.
fn key(element: &Element) -> Option<(Tag, Key)> {
    if OWN_KEYS.contains(&element.tag) || element.tag.element() == 0 {
        return None;
    }
    Some((
        element.tag,
        match &element.value {
            Value::Sequence(items) => Key::Sequence(nested(items)),
            _ if element.vr == VR::SQ => Key::Sequence(BTreeMap::new()),
            _ => Key::Value(attribute(element.tag).map_or(element.vr, |known| known.vr)),
        },
    ))
}

fn nested(items: &[DataSet]) -> BTreeMap<Tag, VR> {
    items.iter().flat_map(|item| &item.elements).map(|element| (element.tag, element.vr)).collect()
}

fn is_supported(tag: Tag, key: &Key, level: Level) -> bool {
    let indexed =
        |tag: Tag, within: Option<Tag>| attribute(tag).is_some_and(|a| a.level <= level && a.within == within);
    match key {
        Key::Value(_) => tag == tags::INSTANCE_AVAILABILITY || indexed(tag, None),
        Key::Sequence(nested) => !nested.is_empty() && nested.keys().all(|inner| indexed(*inner, Some(tag))),
    }
}

/// The unique keys of a level and of those above, down from the study (PS3.4 §C.6.1, §C.6.2).
fn unique_keys(level: Level) -> impl Iterator<Item = Tag> {
    let ours = move |of: Level| of >= Level::Study && of <= level;
    UNIQUE_KEYS.into_iter().filter(move |(of, ..)| ours(*of)).map(|(_, tag, _)| tag)
}

impl Root {
    /// Refuses a level that is not of the model (PS3.4 §C.6).
    pub fn refuse(self, level: Level) -> Result<(), Refusal> {
        if self.levels().contains(&level) {
            return Ok(());
        }
        let other = match self {
            Self::Patient | Self::Study => "level PATIENT is not of the Study Root model",
            Self::PatientStudyOnly => "the model has patients and studies only",
        };
        Err(Refusal::new(Failure::InvalidQuery.dimse(), other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacs_core::data_set::{Limits, scan};
    use proptest::prelude::*;
    use std::io::Cursor;

    const STUDY_UID: Tag = tags::STUDY_INSTANCE_UID;

    /// A find with these keys in implicit VR little endian.
    fn find(root: Root, keys: &[(Tag, &str)]) -> Find {
        let mut bytes = Vec::new();
        for (tag, value) in keys {
            let value = format!("{value}{}", if value.len() % 2 == 1 { " " } else { "" });
            bytes.extend([tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat());
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        let mut find =
            Find::new(CommandSet::default(), TransferSyntax::implicit_little(), root, QueryOptions::default());
        find.write(&bytes);
        find
    }

    fn search(root: Root, keys: &[(Tag, &str)]) -> Result<Search, Refusal> {
        find(root, keys).search(&NodeConfig::default())
    }

    /// The tags of the response to a match.
    fn answered(search: &Search, row: &Row) -> DataSet {
        let bytes = search.identifier(row, &NodeConfig::default().ae_title);
        scan(&mut Cursor::new(bytes), &TransferSyntax::implicit_little(), Limits::default()).unwrap()
    }

    #[test]
    fn every_key_asked_for_comes_back_and_the_unique_ones_besides() {
        let keys =
            [(tags::QUERY_RETRIEVE_LEVEL, "SERIES"), (tags::PATIENT_NAME, ""), (tags::CURRENT_PATIENT_LOCATION, "")];
        let search = search(Root::Study, &keys).unwrap();
        assert_eq!(search.pending, status::PENDING_WITHOUT_SOME_KEYS);
        let row = Row::of([(STUDY_UID, "1.2.3".to_owned())].into());
        let response = answered(&search, &row);
        let tags: Vec<_> = response.elements.iter().map(|element| element.tag).collect();
        let expected = [
            tags::QUERY_RETRIEVE_LEVEL,
            tags::RETRIEVE_AE_TITLE,
            tags::PATIENT_NAME,
            STUDY_UID,
            tags::SERIES_INSTANCE_UID,
            tags::CURRENT_PATIENT_LOCATION,
        ];
        assert_eq!(tags, expected);
        assert_eq!(response.text(STUDY_UID).as_deref(), Some("1.2.3"));
        assert_eq!(response.text(tags::RETRIEVE_AE_TITLE).as_deref(), Some("YINGHAI"));
        assert_eq!(response.get(tags::PATIENT_NAME).map(|element| element.len), Some(0));
    }

    #[test]
    fn supported_keys_are_plain_matches_and_values_stay_out_of_the_audit() {
        let keys = [(tags::QUERY_RETRIEVE_LEVEL, "STUDY"), (tags::PATIENT_NAME, "Wang*"), (tags::STUDY_DATE, "")];
        let search = search(Root::Study, &keys).unwrap();
        assert_eq!(search.pending, status::PENDING);
        assert_eq!(search.describe(), "C-FIND STUDY by PatientName");
    }

    #[test]
    fn levels_outside_the_model_are_refused() {
        let status =
            |root, level| search(root, &[(tags::QUERY_RETRIEVE_LEVEL, level)]).err().map(|refusal| refusal.status);
        assert_eq!(status(Root::Study, "PATIENT"), Some(0xA900));
        assert_eq!(status(Root::Patient, "PATIENT"), None);
        assert_eq!(status(Root::Study, "FRAME"), Some(0xA900));
        assert_eq!(status(Root::PatientStudyOnly, "STUDY"), None);
        assert_eq!(status(Root::PatientStudyOnly, "SERIES"), Some(0xA900));
        assert_eq!(search(Root::Study, &[]).err().map(|refusal| refusal.status), Some(0xA900));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_search_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut find = find(Root::Patient, &[(tags::QUERY_RETRIEVE_LEVEL, "IMAGE")]);
            find.write(&bytes);
            if let Ok(search) = find.search(&NodeConfig::default()) {
                search.identifier(&Row::default(), &NodeConfig::default().ae_title);
            }
        }
    }
}
