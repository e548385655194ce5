//! Content items of an SR, by concept name and value (PS3.3 C.17.3).

use super::concept::{Code, RETIRED};
use crate::{attributes::Attributes, uid::Uid};
use dicom_dictionary_std::tags;

pub(super) fn children<'a>(item: Attributes<'a>, concept: Code) -> impl Iterator<Item = Attributes<'a>> {
    item.items(tags::CONTENT_SEQUENCE).filter(move |child| is(*child, concept))
}

pub(super) fn of_type<'a>(item: Attributes<'a>, value_type: &'static str) -> impl Iterator<Item = Attributes<'a>> {
    item.items(tags::CONTENT_SEQUENCE).filter(move |child| child.text(tags::VALUE_TYPE) == Some(value_type))
}

pub(super) fn is(item: Attributes<'_>, concept: Code) -> bool {
    item.item(tags::CONCEPT_NAME_CODE_SEQUENCE).is_some_and(|code| is_code(code, concept))
}

pub(super) fn has_value(item: Attributes<'_>, concept: Code) -> bool {
    item.item(tags::CONCEPT_CODE_SEQUENCE).is_some_and(|code| is_code(code, concept))
}

fn is_code(code: Attributes<'_>, Code(value, scheme, _): Code) -> bool {
    let (Some(given), Some(by)) = (code.text(tags::CODE_VALUE), code.text(tags::CODING_SCHEME_DESIGNATOR)) else {
        return false;
    };
    let retired = RETIRED.iter().any(|(new, old)| new.0 == value && given == *old && by == "SRT");
    retired || (given == value && by == scheme)
}

pub(super) fn uid(attributes: Attributes<'_>, tag: dicom_core::Tag) -> Option<Uid> {
    attributes.text(tag)?.parse().ok()
}
