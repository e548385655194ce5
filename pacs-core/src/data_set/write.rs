//! A scanned data set written again (PS3.5 §7): kept values from memory, long ones as stretches of what was scanned.

use super::header::{ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Syntax, UNDEFINED, has_long_length, unit};
use super::{DataSet, Element, Value};
use crate::transfer_syntax::{Encoding, TransferSyntax};
use dicom_core::{Tag, VR};
use std::ops::Range;

/// A part of a written data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    New(Vec<u8>),
    /// Bytes of what was scanned, as they stand.
    Old(Range<u64>),
}

/// A value does not fit the length field of its transfer syntax.
#[derive(Debug, thiserror::Error)]
#[error("element {0} is too long to be written")]
pub struct TooLong(Tag);

/// Writes a data set in the encoding it was scanned in (a deflated one as it is before it is deflated), so that long
/// values and fragments need not be touched. Sequences come out in undefined length, group lengths are left out.
pub fn write(data_set: &DataSet, transfer_syntax: &TransferSyntax) -> Result<Vec<Stretch>, TooLong> {
    let written = write_converted(data_set, transfer_syntax, transfer_syntax)?;
    Ok(written.into_iter().map(|(stretch, _)| stretch).collect())
}

/// As [`write`], of what was scanned in one encoding, in another; not from little endian to big. Each stretch comes with
/// the length of the values in it whose bytes are to be reversed, 1 where none are.
pub fn write_converted(
    data_set: &DataSet,
    scanned: &TransferSyntax,
    target: &TransferSyntax,
) -> Result<Vec<(Stretch, usize)>, TooLong> {
    let syntax = match target.encoding() {
        Encoding::ImplicitLittle => Syntax::IMPLICIT,
        Encoding::ExplicitLittle | Encoding::Deflated => Syntax::EXPLICIT,
        Encoding::ExplicitBig => Syntax::BIG_ENDIAN,
    };
    let swaps = scanned.encoding() == Encoding::ExplicitBig && !syntax.big_endian;
    let mut writer = Writer { syntax, swaps, stretches: Vec::new(), bytes: Vec::new() };
    writer.data_set(data_set)?;
    writer.flush();
    Ok(writer.stretches)
}

struct Writer {
    syntax: Syntax,
    /// What stays is big endian, and what is written is not.
    swaps: bool,
    stretches: Vec<(Stretch, usize)>,
    /// Written since the last stretch.
    bytes: Vec<u8>,
}

impl Writer {
    fn data_set(&mut self, data_set: &DataSet) -> Result<(), TooLong> {
        // Delimiters out of place, which the scan lets pass, would end something here.
        let written = data_set.elements.iter().filter(|e| e.tag.element() != 0 && e.tag.group() != ITEM.group());
        written.into_iter().try_for_each(|element| self.element(element))
    }

    fn element(&mut self, element: &Element) -> Result<(), TooLong> {
        match &element.value {
            Value::Bytes(bytes) => self.value(element, bytes),
            Value::Located => {
                self.header(element.tag, element.vr, even(element.tag, element.len)?);
                let range = element.offset..element.offset.saturating_add(element.len);
                self.old(range, if self.swaps { unit(element.vr) } else { 1 });
                self.pad(element.vr, element.len);
                Ok(())
            }
            Value::Sequence(items) => self.sequence(element.tag, items),
            Value::Fragments { .. } => {
                self.header(element.tag, element.vr, UNDEFINED);
                self.old(element.offset..element.offset.saturating_add(element.len), 1);
                self.delimiter(SEQUENCE_DELIMITATION, 0);
                Ok(())
            }
        }
    }

    fn value(&mut self, element: &Element, bytes: &[u8]) -> Result<(), TooLong> {
        self.header(element.tag, element.vr, even(element.tag, bytes.len() as u64)?);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.syntax.big_endian
            && let Some(written) = self.bytes.get_mut(start..)
        {
            written.chunks_exact_mut(unit(element.vr)).for_each(<[u8]>::reverse);
        }
        self.pad(element.vr, bytes.len() as u64);
        Ok(())
    }

    fn sequence(&mut self, tag: Tag, items: &[DataSet]) -> Result<(), TooLong> {
        self.header(tag, VR::SQ, UNDEFINED);
        for item in items {
            self.delimiter(ITEM, UNDEFINED);
            self.data_set(item)?;
            self.delimiter(ITEM_DELIMITATION, 0);
        }
        self.delimiter(SEQUENCE_DELIMITATION, 0);
        Ok(())
    }

    fn header(&mut self, tag: Tag, vr: VR, len: u32) {
        self.tag(tag);
        if !self.syntax.explicit {
            return self.u32(len);
        }
        let short = u16::try_from(len).ok().filter(|_| !has_long_length(vr));
        // A value too long for the 16-bit length of its VR is UN (PS3.5 §6.2.2).
        let vr = if short.is_none() && !has_long_length(vr) { VR::UN } else { vr };
        self.bytes.extend_from_slice(&vr.to_bytes());
        match short {
            Some(len) => self.u16(len),
            None => {
                self.u16(0);
                self.u32(len);
            }
        }
    }

    fn delimiter(&mut self, tag: Tag, len: u32) {
        self.tag(tag);
        self.u32(len);
    }

    fn tag(&mut self, tag: Tag) {
        self.u16(tag.group());
        self.u16(tag.element());
    }

    fn u16(&mut self, number: u16) {
        let bytes = if self.syntax.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    fn u32(&mut self, number: u32) {
        let bytes = if self.syntax.big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
        self.bytes.extend_from_slice(&bytes);
    }

    fn old(&mut self, range: Range<u64>, width: usize) {
        self.flush();
        self.stretches.push((Stretch::Old(range), width));
    }

    fn flush(&mut self) {
        if !self.bytes.is_empty() {
            self.stretches.push((Stretch::New(std::mem::take(&mut self.bytes)), 1));
        }
    }

    fn pad(&mut self, vr: VR, len: u64) {
        if !len.is_multiple_of(2) {
            let is_spaced = super::values::is_text(vr) && vr != VR::UI;
            self.bytes.push(if is_spaced { b' ' } else { 0 });
        }
    }
}

/// A value length, rounded up to even (PS3.5 §7.1).
fn even(tag: Tag, len: u64) -> Result<u32, TooLong> {
    u32::try_from(len.next_multiple_of(2)).ok().filter(|len| *len != UNDEFINED).ok_or(TooLong(tag))
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, scan};
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn scanned(bytes: &[u8], syntax: &TransferSyntax, kept_value: u64) -> DataSet {
        let limits = Limits { kept_value, ..Limits::default() };
        scan(&mut Cursor::new(bytes), syntax, limits).expect("a data set")
    }

    fn joined(stretches: &[Stretch], old: &[u8]) -> Vec<u8> {
        let part = |stretch: &Stretch| match stretch {
            Stretch::New(bytes) => bytes.clone(),
            Stretch::Old(range) => old[range.start as usize..range.end as usize].to_vec(),
        };
        stretches.iter().flat_map(part).collect()
    }

    /// Tags and texts of all elements, those of items in their place.
    fn told(data_set: &DataSet) -> String {
        let element = |e: &Element| match &e.value {
            Value::Sequence(items) => format!("{}{:?}", e.tag, items.iter().map(told).collect::<Vec<_>>()),
            Value::Fragments { fragments, .. } => {
                format!("{}{:?}", e.tag, fragments.iter().map(|f| f.len).collect::<Vec<_>>())
            }
            Value::Located => format!("{} {}", e.tag, e.len),
            Value::Bytes(bytes) => format!("{} {} {bytes:?}", e.tag, e.vr),
        };
        data_set.elements.iter().map(element).collect::<Vec<_>>().join("; ")
    }

    fn check(bytes: &[u8], syntax: &TransferSyntax, kept_value: u64) -> Vec<u8> {
        let data_set = scanned(bytes, syntax, kept_value);
        let written = joined(&write(&data_set, syntax).expect("written"), bytes);
        assert_eq!(told(&scanned(&written, syntax, kept_value)), told(&data_set));
        written
    }

    const EXPLICIT: &[u8] = b"\x08\0\x05\0CS\x0A\0ISO_IR 192\x08\0\x40\x11SQ\0\0\x1C\0\0\0\xFE\xFF\0\xE0\x14\0\0\0\
        \x08\0\x50\x11UI\x04\x001.2\0\x28\0\x10\0US\0\0\x10\0\x20\0LO\x02\0P1\x28\0\x10\0US\x02\0\x10\0\
        \xE0\x7F\x10\0OW\0\0\x06\0\0\0abcdef";
    const IMPLICIT: &[u8] = b"\x10\0\x20\0\x02\0\0\0P1\x28\0\x10\0\x02\0\0\0\x10\0\xE0\x7F\x10\0\x06\0\0\0abcdef";
    const BIG_ENDIAN: &[u8] = b"\0\x10\0\x20LO\0\x02P1\0\x28\0\x10US\0\x02\0\x10\x7F\xE0\0\x10OW\0\0\0\0\0\x06abcdef";

    #[test]
    fn what_is_written_is_what_was_scanned() {
        for kept_value in [0, 1 << 10] {
            let explicit = TransferSyntax::explicit_little();
            check(EXPLICIT, &explicit, kept_value);
            assert_eq!(check(IMPLICIT, &TransferSyntax::implicit_little(), kept_value), IMPLICIT);
            let big = TransferSyntax::new("1.2.840.10008.1.2.2".parse().expect("a UID"));
            assert_eq!(check(BIG_ENDIAN, &big, kept_value), BIG_ENDIAN);
        }
    }

    #[test]
    fn fragments_stay_as_they_stand_and_get_their_delimiter() {
        let jpeg = TransferSyntax::new("1.2.840.10008.1.2.4.70".parse().expect("a UID"));
        let open = b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\0\0\0\0\xFE\xFF\0\xE0\x04\0\0\0\xFF\xD8ab";
        let closed = [&open[..], b"\xFE\xFF\xDD\xE0\0\0\0\0"].concat();
        assert_eq!(check(open, &jpeg, 1 << 10), closed);
        assert_eq!(check(&closed, &jpeg, 1 << 10), closed);
    }

    proptest! {
        #[test]
        fn whatever_can_be_scanned_can_be_written(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for syntax in [TransferSyntax::explicit_little(), TransferSyntax::implicit_little()] {
                let head = if syntax == TransferSyntax::explicit_little() { EXPLICIT } else { IMPLICIT };
                let bytes = [head, &bytes].concat();
                if let Ok(data_set) = scan(&mut Cursor::new(&bytes), &syntax, Limits::default()) {
                    let written = joined(&write(&data_set, &syntax).expect("written"), &bytes);
                    prop_assert!(scan(&mut Cursor::new(&written), &syntax, Limits::default()).is_ok());
                }
            }
        }
    }
}
