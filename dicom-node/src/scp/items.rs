//! Queries for items with sequences (PS3.4 Annexes K and CC): an identifier becomes a search, an item a response identifier. Pure;
//! the session asks the archive and sends.

use super::{
    identifier::{fields, write},
    keys::{Keys, Refusal},
};
use crate::{
    association::supported::Service,
    dimse::{CommandSet, status},
};
use bytes::Bytes;
use pacs_core::{Failure, Item, TransferSyntax, character_set::CharacterSet, query::ItemQuery};

/// More keys than any model has attributes only multiply the work for each match.
const MAX_KEYS: usize = 1024;

/// A C-FIND request whose identifier is coming.
pub struct Find {
    pub request: CommandSet,
    /// Whose items are searched.
    pub service: Service,
    is_fuzzy: bool,
    identifier: Keys,
}

/// A query understood.
pub struct Search {
    pub query: ItemQuery,
    charset: CharacterSet,
    explicit_vr: bool,
    /// Status of each match.
    pub pending: u16,
}

impl Find {
    pub fn new(request: CommandSet, syntax: TransferSyntax, service: Service, is_fuzzy: bool) -> Self {
        Self { request, service, is_fuzzy, identifier: Keys::new(syntax) }
    }

    /// Takes a piece of the identifier.
    pub fn write(&mut self, piece: &[u8]) {
        self.identifier.write(piece);
    }

    /// Reads the identifier.
    pub fn search(&self) -> Result<Search, Refusal> {
        let identifier = self.identifier.read()?;
        let query = ItemQuery::from_identifier(&identifier, self.is_fuzzy)
            .map_err(|error| Refusal::new(Failure::InvalidQuery.dimse(), &error.to_string()))?;
        if query.len() > MAX_KEYS {
            return Err(Refusal::new(Failure::InvalidQuery.dimse(), "more than 1024 keys"));
        }
        let pending = if query.is_supported() { status::PENDING } else { status::PENDING_WITHOUT_SOME_KEYS };
        Ok(Search { query, charset: identifier.character_set, explicit_vr: self.identifier.is_explicit(), pending })
    }
}

impl Search {
    /// The response identifier of a match: the keys that were asked for, of zero length where nothing is known.
    pub fn identifier(&self, item: &Item) -> Bytes {
        write(fields(&self.query.returned(item)), self.explicit_vr, &self.charset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacs_core::{
        data_set::{Limits, scan},
        tags,
    };
    use proptest::prelude::*;
    use std::io::Cursor;

    fn find(identifier: &[u8]) -> Find {
        let mut find = Find::new(CommandSet::default(), TransferSyntax::implicit_little(), Service::Worklist, false);
        find.write(identifier);
        find
    }

    /// Patient's Name asked for, and a step of modality CT.
    const ASKED: &[u8] = b"\x10\0\x10\0\0\0\0\0\x40\0\0\x01\x12\0\0\0\xFE\xFF\0\xE0\x0A\0\0\0\x08\0\x60\0\x02\0\0\0CT";

    #[test]
    fn a_match_is_answered_with_the_keys_asked_for() {
        let search = find(ASKED).search().unwrap();
        assert_eq!(search.pending, status::PENDING);
        let item = Item::from_json(serde_json::json!({
            "00100010": {"vr": "PN", "Value": [{"Ideographic": "李^四"}]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00400100": {"vr": "SQ", "Value": [{"00080060": {"vr": "CS", "Value": ["CT"]}}]},
        }));
        let answer = search.identifier(&item.unwrap());
        let answer = scan(&mut Cursor::new(answer), &TransferSyntax::implicit_little(), Limits::default()).unwrap();
        assert_eq!(answer.text(tags::SPECIFIC_CHARACTER_SET).as_deref(), Some("ISO_IR 192"));
        assert_eq!(answer.text(tags::PATIENT_NAME).as_deref(), Some("=李^四"));
        assert!(answer.get(tags::PATIENT_ID).is_none());
        let step = &answer.items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE)[0];
        assert_eq!(step.text(tags::MODALITY).as_deref(), Some("CT"));
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        let refused = |bytes: &[u8]| find(bytes).search().err().map(|refusal| refusal.status);
        assert_eq!(refused(b"\x10\0\x30\0\x04\0\0\0soon"), Some(0xA900));
        assert_eq!(refused(b"\x10\0\x30\0\xFF\0\0\0soon"), Some(0xC000));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_search_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(search) = find(&bytes).search() {
                search.identifier(&Item::default());
            }
        }
    }
}
