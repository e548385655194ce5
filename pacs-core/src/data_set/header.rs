//! Element headers: tag, value representation and length (PS3.5 §7.1).

use super::ScanError;
use super::source::{Skip, Source};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

pub(crate) const ITEM: Tag = Tag(0xFFFE, 0xE000);
pub(crate) const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
pub(crate) const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);
/// The length that means: up to the delimiter.
pub(crate) const UNDEFINED: u32 = u32::MAX;

/// How a data set, or one item, is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Syntax {
    pub(crate) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(crate) const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    pub(crate) const BIG_ENDIAN: Self = Self { explicit: true, big_endian: true };

    fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub(crate) fn tag(self, head: [u8; 8]) -> Tag {
        let [a, b, c, d, ..] = head;
        Tag(self.u16([a, b]), self.u16([c, d]))
    }

    /// The four bytes after the tag as a length.
    pub(crate) fn len32(self, head: [u8; 8]) -> u32 {
        let [_, _, _, _, a, b, c, d] = head;
        self.u32([a, b, c, d])
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub tag: Tag,
    /// `None` where none was written.
    pub vr: Option<VR>,
    pub len: u32,
}

/// Reads the header of an element; `source` is left at its value.
///
/// An element of an explicit VR data set whose VR bytes are no letters is read as implicit VR: some writers copy
/// private elements over like that.
pub(crate) fn read<R: Skip>(source: &mut Source<R>, syntax: Syntax) -> Result<Header, ScanError> {
    let offset = source.position();
    let truncated = |tag| ScanError::Truncated { tag, offset };
    if source.left() < 8 {
        return Err(truncated(Tag(0, 0)));
    }
    let head = source.head()?;
    let tag = syntax.tag(head);
    let [_, _, _, _, v, r, a, b] = head;
    let implicit = Header { tag, vr: None, len: syntax.len32(head) };
    if !syntax.explicit || tag.group() == 0xFFFE {
        return Ok(implicit);
    }
    let (vr, long) = match VR::from_binary([v, r]) {
        Some(vr) => (vr, has_long_length(vr)),
        // A VR of a later edition has the long form (PS3.5 §7.1.2); its two reserved bytes are zero.
        None if v.is_ascii_uppercase() && r.is_ascii_uppercase() => (VR::UN, [a, b] == [0, 0]),
        None if u64::from(implicit.len) <= source.left() || implicit.len == UNDEFINED => return Ok(implicit),
        None => (VR::UN, false),
    };
    if !long {
        return Ok(Header { tag, vr: Some(vr), len: syntax.u16([a, b]).into() });
    }
    if source.left() < 4 {
        return Err(truncated(tag));
    }
    let len = syntax.u32(source.array()?);
    Ok(Header { tag, vr: Some(vr), len })
}

/// The VRs with a 32-bit length (PS3.5 Table 7.1-1).
pub(crate) fn has_long_length(vr: VR) -> bool {
    use VR::*;
    matches!(vr, OB | OD | OF | OL | OV | OW | SQ | SV | UC | UN | UR | UT | UV)
}

/// Whether an element head that should be implicit VR is explicit VR: the two letters of a VR, as a length, would
/// be past the end or at least differ from what the dictionary says of the tag.
pub(crate) fn looks_explicit(head: [u8; 8], left: u64) -> bool {
    let [_, _, _, _, v, r, ..] = head;
    let Some(vr) = VR::from_binary([v, r]) else { return false };
    let len = Syntax::IMPLICIT.len32(head);
    u64::from(len) > left || dictionary_vr(Syntax::IMPLICIT.tag(head), false) == Some(vr)
}

/// The VR that the dictionary gives a tag; `signed` is Pixel Representation, on which some depend.
pub(crate) fn dictionary_vr(tag: Tag, signed: bool) -> Option<VR> {
    let vr = StandardDataDictionary.by_tag(tag)?.vr();
    Some(match vr {
        VirtualVr::Xs if signed => VR::SS,
        vr => vr.relaxed(),
    })
}

/// Size of the units of a value, whose bytes big endian reverses (PS3.5 §7.3).
pub(crate) fn unit(vr: VR) -> usize {
    use VR::*;
    match vr {
        US | SS | OW | AT => 2,
        UL | SL | FL | OL | OF => 4,
        FD | OD | SV | UV | OV => 8,
        _ => 1,
    }
}
