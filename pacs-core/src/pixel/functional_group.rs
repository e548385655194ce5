//! Functional groups of multi-frame instances (PS3.3 C.7.6.16).

use crate::attributes::Attributes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// The functional group macro `sequence` that holds for frame `index` (from 0): the frame's own, else the shared one.
///
/// A frame without it never takes another frame's: the item is chosen by position first, and only then looked into.
pub(super) fn of_frame(attributes: Attributes<'_>, index: u32, sequence: Tag) -> Option<Attributes<'_>> {
    let own = attributes.item_at(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, index as usize);
    let shared = || attributes.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?.item(sequence);
    own.and_then(|group| group.item(sequence)).or_else(shared)
}
