//! C-FIND identifier → query (PS3.4 C.4.1.1.3).

use super::{Keys, Level, Query, QueryError};
use crate::data_set::{DataSet, Value};
use dicom_core::Tag;
use dicom_dictionary_std::tags;

impl Query {
    /// From a C-FIND identifier (PS3.4 C.4.1.1.3); its keys, to be echoed in responses, are `include`.
    ///
    /// A key that is not supported, or belongs to a lower level, does not restrict (PS3.4 C.2.2.1.3: as if it were
    /// empty).
    pub fn from_identifier(identifier: &DataSet) -> Result<Self, QueryError> {
        let level = match identifier.text(tags::QUERY_RETRIEVE_LEVEL).as_deref() {
            Some("PATIENT") => Level::Patient,
            Some("STUDY") => Level::Study,
            Some("SERIES") => Level::Series,
            Some("IMAGE") => Level::Instance,
            _ => return Err(QueryError::Level),
        };
        let mut keys = Keys::new(level);
        for element in identifier.elements.iter().filter(|element| is_key(element.tag)) {
            keys.add(element.tag, &identifier.texts(element.tag).join("\\"))?;
            if let Value::Sequence(items) = &element.value {
                add_nested(&mut keys, element.tag, items.first())?;
            }
        }
        Ok(keys.finish())
    }
}

/// Keys of a sequence that the index holds.
fn add_nested(keys: &mut Keys, sequence: Tag, item: Option<&DataSet>) -> Result<(), QueryError> {
    let Some(item) = item else { return Ok(()) };
    for element in &item.elements {
        if super::attribute(element.tag).is_some_and(|attribute| attribute.within == Some(sequence)) {
            keys.add(element.tag, &item.texts(element.tag).join("\\"))?;
        }
    }
    Ok(())
}

/// All but what says how to read the identifier.
fn is_key(tag: Tag) -> bool {
    let about = [tags::SPECIFIC_CHARACTER_SET, tags::QUERY_RETRIEVE_LEVEL, tags::TIMEZONE_OFFSET_FROM_UTC];
    tag.element() != 0 && !about.contains(&tag)
}
