//! Private attributes that the object itself declares to identify nobody (PS3.3 C.12.1.1.7, PS3.15 §E.3.10).

use crate::data_set::DataSet;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Declared blocks of a data set.
#[derive(Default)]
pub(super) struct Safe(Vec<Block>);

struct Block {
    group: u16,
    /// The high byte of its elements.
    block: u16,
    /// Low bytes of its elements that are safe; `None`: all are.
    elements: Option<Vec<u16>>,
}

impl Safe {
    /// What Private Data Element Characteristics Sequence says of blocks that are there.
    pub(super) fn of(data_set: &DataSet) -> Self {
        let items = data_set.items(tags::PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE);
        Self(items.iter().flat_map(|item| declared(data_set, item)).collect())
    }

    pub(super) fn covers(&self, Tag(group, element): Tag) -> bool {
        self.0.iter().filter(|safe| safe.group == group).any(|safe| match element {
            // The element that reserves the block.
            0x0010..=0x00FF => safe.block == element,
            _ => {
                let low = element & 0xFF;
                safe.block == element >> 8 && safe.elements.as_ref().is_none_or(|elements| elements.contains(&low))
            }
        })
    }
}

fn declared(data_set: &DataSet, item: &DataSet) -> Option<Block> {
    let number = |tag| item.integer(tag).and_then(|number| u16::try_from(number).ok());
    let group = number(tags::PRIVATE_GROUP_REFERENCE).filter(|group| group % 2 == 1)?;
    let creator = item.text(tags::PRIVATE_CREATOR_REFERENCE)?;
    let elements = match item.text(tags::BLOCK_IDENTIFYING_INFORMATION_STATUS)?.as_str() {
        "SAFE" => None,
        "MIXED" => {
            Some(item.numbers(tags::NONIDENTIFYING_PRIVATE_ELEMENTS).into_iter().map(|low| low as u16).collect())
        }
        _ => return None,
    };
    let reserves = |tag: Tag| tag.0 == group && (0x0010..=0x00FF).contains(&tag.1);
    let reserved = data_set.elements.iter().filter(|element| reserves(element.tag));
    let block = reserved.map(|element| element.tag).find(|tag| data_set.text(*tag).as_ref() == Some(&creator))?.1;
    Some(Block { group, block, elements })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::{Element, Value};
    use dicom_core::VR;

    fn element(tag: Tag, vr: VR, bytes: &[u8]) -> Element {
        Element { tag, vr, offset: 0, len: bytes.len() as u64, value: Value::Bytes(bytes.into()) }
    }

    fn item(group: u16, creator: &str, status: &str, elements: &[u16]) -> DataSet {
        let low: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        let elements = vec![
            element(tags::PRIVATE_GROUP_REFERENCE, VR::US, &group.to_le_bytes()),
            element(tags::PRIVATE_CREATOR_REFERENCE, VR::LO, creator.as_bytes()),
            element(tags::BLOCK_IDENTIFYING_INFORMATION_STATUS, VR::CS, status.as_bytes()),
            element(tags::NONIDENTIFYING_PRIVATE_ELEMENTS, VR::US, &low),
        ];
        DataSet { elements, ..DataSet::default() }
    }

    #[test]
    fn only_what_is_declared_safe_in_a_block_that_is_there_is_covered() {
        let items = vec![
            item(0x0009, "ACME 1", "SAFE", &[]),
            item(0x0011, "ACME 2", "MIXED", &[0x05]),
            item(0x0013, "ACME 3", "UNSAFE", &[]),
            item(0x0015, "ACME 4", "SAFE", &[]),
            item(0x0008, "ACME 5", "SAFE", &[]),
        ];
        let sequence = Element {
            tag: tags::PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE,
            vr: VR::SQ,
            offset: 0,
            len: 0,
            value: Value::Sequence(items),
        };
        let elements = vec![
            sequence,
            element(Tag(0x0009, 0x0010), VR::LO, b"OTHER"),
            element(Tag(0x0009, 0x0011), VR::LO, b"ACME 1"),
            element(Tag(0x0011, 0x0010), VR::LO, b"ACME 2"),
            element(Tag(0x0013, 0x0010), VR::LO, b"ACME 3"),
        ];
        let safe = Safe::of(&DataSet { elements, ..DataSet::default() });
        for (tag, expected) in [
            (Tag(0x0009, 0x0010), false),
            (Tag(0x0009, 0x0011), true),
            (Tag(0x0009, 0x1001), false),
            (Tag(0x0009, 0x1101), true),
            (Tag(0x0011, 0x0010), true),
            (Tag(0x0011, 0x1005), true),
            (Tag(0x0011, 0x1006), false),
            (Tag(0x0013, 0x1001), false),
            (Tag(0x0015, 0x1001), false),
            (Tag(0x0008, 0x1001), false),
        ] {
            assert_eq!(safe.covers(tag), expected, "{tag}");
        }
    }
}
