//! The scan against data sets written here in every encoding, and against bytes that are none.

use super::header::{self, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, Syntax};
use super::*;
use crate::transfer_syntax::{
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
    TransferSyntax,
};
use dicom_dictionary_std::tags;
use flate2::Compression;
use flate2::write::{DeflateEncoder, ZlibEncoder};
use proptest::prelude::*;
use std::io::{Cursor, Write};

const UNDEFINED: u32 = u32::MAX;

/// An element to be written; values are little endian.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Plain(Tag, VR, Vec<u8>),
    Sequence(Tag, Vec<Vec<Entry>>),
}

/// Writes data sets; lengths of sequences and items are defined or not.
#[derive(Clone, Copy)]
struct Writer {
    syntax: Syntax,
    delimited: bool,
}

impl Writer {
    fn u16(self, number: u16) -> [u8; 2] {
        if self.syntax.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn u32(self, number: u32) -> [u8; 4] {
        if self.syntax.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn tag(self, tag: Tag) -> Vec<u8> {
        [self.u16(tag.group()), self.u16(tag.element())].concat()
    }

    fn header(self, tag: Tag, vr: VR, len: u32) -> Vec<u8> {
        let tag = self.tag(tag);
        let vr_bytes = vr.to_bytes().to_vec();
        match vr {
            _ if !self.syntax.explicit => [tag, self.u32(len).to_vec()].concat(),
            VR::OB | VR::OW | VR::SQ | VR::UN | VR::UT => [tag, vr_bytes, vec![0, 0], self.u32(len).to_vec()].concat(),
            _ => [tag, vr_bytes, self.u16(len as u16).to_vec()].concat(),
        }
    }

    fn item(self, tag: Tag, len: u32) -> Vec<u8> {
        [self.tag(tag), self.u32(len).to_vec()].concat()
    }

    fn plain(self, tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
        let mut value = value.to_vec();
        if self.syntax.big_endian {
            value.chunks_exact_mut(header::unit(vr)).for_each(<[u8]>::reverse);
        }
        [self.header(tag, vr, value.len() as u32), value].concat()
    }

    fn sequence(self, tag: Tag, items: &[Vec<Entry>]) -> Vec<u8> {
        let items: Vec<u8> = items.iter().flat_map(|item| self.wrapped_item(item)).collect();
        if self.delimited {
            let end = self.item(SEQUENCE_DELIMITATION, 0);
            return [self.header(tag, VR::SQ, UNDEFINED), items, end].concat();
        }
        [self.header(tag, VR::SQ, items.len() as u32), items].concat()
    }

    fn wrapped_item(self, entries: &[Entry]) -> Vec<u8> {
        let content = self.data_set(entries);
        if self.delimited {
            return [self.item(ITEM, UNDEFINED), content, self.item(ITEM_DELIMITATION, 0)].concat();
        }
        [self.item(ITEM, content.len() as u32), content].concat()
    }

    fn data_set(self, entries: &[Entry]) -> Vec<u8> {
        let entry = |entry: &Entry| match entry {
            Entry::Plain(tag, vr, value) => self.plain(*tag, *vr, value),
            Entry::Sequence(tag, items) => self.sequence(*tag, items),
        };
        entries.iter().flat_map(entry).collect()
    }
}

const EXPLICIT: Writer = Writer { syntax: Syntax::EXPLICIT, delimited: true };
const IMPLICIT: Writer = Writer { syntax: Syntax::IMPLICIT, delimited: true };
const BIG_ENDIAN: Writer = Writer { syntax: Syntax::BIG_ENDIAN, delimited: true };

fn scan_with(bytes: &[u8], uid: &str, limits: Limits) -> Result<DataSet, ScanError> {
    scan(&mut Cursor::new(bytes), &TransferSyntax::new(uid.parse().expect("a UID")), limits)
}

fn scan_explicit(bytes: &[u8]) -> Result<DataSet, ScanError> {
    scan_with(bytes, EXPLICIT_VR_LITTLE_ENDIAN, Limits::default())
}

/// What was read, without the places.
fn entries(data_set: &DataSet) -> Vec<Entry> {
    let entry = |element: &Element| match &element.value {
        Value::Sequence(items) => Entry::Sequence(element.tag, items.iter().map(entries).collect()),
        value => Entry::Plain(element.tag, element.vr, bytes_of(value)),
    };
    data_set.elements.iter().map(entry).collect()
}

fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Bytes(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn leaf() -> impl Strategy<Value = Entry> {
    let kinds = vec![
        (tags::PATIENT_NAME, VR::PN),
        (tags::MODALITY, VR::CS),
        (tags::ROWS, VR::US),
        (tags::TRIGGER_SAMPLE_POSITION, VR::UL),
        (tags::DIFFUSION_B_VALUE, VR::FD),
        (Tag(0x6002, 0x3000), VR::OW),
        (tags::TEXT_VALUE, VR::UT),
        (Tag(0x0009, 0x0010), VR::LO),
    ];
    let value = prop::collection::vec(any::<[u8; 8]>(), 0..4).prop_map(|chunks| chunks.concat());
    (prop::sample::select(kinds), value).prop_map(|((tag, vr), value)| Entry::Plain(tag, vr, value))
}

fn data_set_entries() -> impl Strategy<Value = Vec<Entry>> {
    let element = leaf().prop_recursive(4, 40, 4, |inner| {
        let items = prop::collection::vec(prop::collection::vec(inner, 0..4), 0..3);
        items.prop_map(|items| Entry::Sequence(tags::CONTENT_SEQUENCE, items))
    });
    prop::collection::vec(element, 0..6)
}

proptest! {
    #[test]
    fn a_data_set_is_read_alike_in_every_encoding(written in data_set_entries(), delimited in any::<bool>()) {
        let bytes = |syntax| Writer { syntax, delimited }.data_set(&written);
        for (uid, bytes) in [
            (IMPLICIT_VR_LITTLE_ENDIAN, bytes(Syntax::IMPLICIT)),
            (EXPLICIT_VR_LITTLE_ENDIAN, bytes(Syntax::EXPLICIT)),
            (EXPLICIT_VR_BIG_ENDIAN, bytes(Syntax::BIG_ENDIAN)),
            (DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, deflated(&bytes(Syntax::EXPLICIT))),
        ] {
            let read = scan_with(&bytes, uid, Limits::default()).expect("a data set");
            prop_assert_eq!(entries(&read), written.clone(), "{}", uid);
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        judge(&bytes);
    }

    #[test]
    fn changed_bytes_are_judged(
        written in data_set_entries(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        for syntax in [Syntax::IMPLICIT, Syntax::EXPLICIT, Syntax::BIG_ENDIAN] {
            let mut bytes = Writer { syntax, delimited: true }.data_set(&written);
            if bytes.is_empty() {
                continue;
            }
            for (at, byte) in &changes {
                *at.get_mut(&mut bytes) = *byte;
            }
            judge(&bytes);
        }
    }
}

fn judge(bytes: &[u8]) {
    for uid in [
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    ] {
        if let Ok(data_set) = scan_with(bytes, uid, Limits { inflated: 1 << 20, ..Limits::default() }) {
            for element in &data_set.elements {
                element.texts(&data_set.character_set);
                data_set.integer(element.tag);
                data_set.numbers(element.tag);
            }
        }
    }
}

#[test]
fn un_of_undefined_length_holds_implicit_vr() {
    let items = IMPLICIT.wrapped_item(&[Entry::Plain(tags::PATIENT_ID, VR::LO, b"A1".into())]);
    let tag = Tag(0x0009, 0x1001);
    let end = EXPLICIT.item(SEQUENCE_DELIMITATION, 0);
    let bytes = [EXPLICIT.header(tag, VR::UN, UNDEFINED), items, end].concat();
    let read = scan_explicit(&bytes).expect("a data set");
    assert_eq!(read.items(tag)[0].text(tags::PATIENT_ID).as_deref(), Some("A1"));
}

#[test]
fn explicit_vr_is_recognised_where_implicit_vr_should_be() {
    let bytes = EXPLICIT.plain(tags::PATIENT_ID, VR::LO, b"A1");
    let read = scan_with(&bytes, IMPLICIT_VR_LITTLE_ENDIAN, Limits::default()).expect("a data set");
    assert_eq!(read.text(tags::PATIENT_ID).as_deref(), Some("A1"));
}

#[test]
fn an_implicit_vr_element_among_explicit_ones_is_read() {
    let bytes = [
        EXPLICIT.plain(tags::MODALITY, VR::CS, b"CT"),
        IMPLICIT.plain(tags::PATIENT_ID, VR::LO, b"A1"),
        EXPLICIT.plain(tags::PATIENT_SEX, VR::CS, b"O "),
    ];
    let read = scan_explicit(&bytes.concat()).expect("a data set");
    assert_eq!(read.text(tags::PATIENT_ID).as_deref(), Some("A1"));
    assert_eq!(read.text(tags::PATIENT_SEX).as_deref(), Some("O"));
}

#[test]
fn pixel_representation_decides_between_us_and_ss() {
    let smallest = |signed: u8| {
        let bytes = [
            IMPLICIT.plain(tags::PIXEL_REPRESENTATION, VR::US, &[signed, 0]),
            IMPLICIT.plain(tags::SMALLEST_IMAGE_PIXEL_VALUE, VR::SS, &[0xFF, 0xFF]),
        ];
        let read = scan_with(&bytes.concat(), IMPLICIT_VR_LITTLE_ENDIAN, Limits::default()).expect("a data set");
        read.integer(tags::SMALLEST_IMAGE_PIXEL_VALUE)
    };
    assert_eq!((smallest(0), smallest(1)), (Some(65535), Some(-1)));
}

#[test]
fn a_character_set_declared_in_an_item_ends_with_the_item() {
    let gbk = vec![
        Entry::Plain(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"GBK ".into()),
        Entry::Plain(tags::PATIENT_NAME, VR::PN, vec![0xD5, 0xC5]),
    ];
    let plain = vec![Entry::Plain(tags::PATIENT_NAME, VR::PN, "张".into())];
    let written = [
        Entry::Plain(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"ISO_IR 192".into()),
        Entry::Sequence(tags::CONTENT_SEQUENCE, vec![gbk, plain]),
        Entry::Plain(tags::PATIENT_NAME, VR::PN, "张".into()),
    ];
    let read = scan_explicit(&EXPLICIT.data_set(&written)).expect("a data set");
    let names = read.items(tags::CONTENT_SEQUENCE).iter().chain([&read]).map(|set| set.text(tags::PATIENT_NAME));
    assert_eq!(names.flatten().collect::<Vec<_>>(), ["张", "张", "张"]);
}

fn nested(levels: usize) -> Vec<u8> {
    let level = [EXPLICIT.header(tags::CONTENT_SEQUENCE, VR::SQ, UNDEFINED), EXPLICIT.item(ITEM, UNDEFINED)].concat();
    level.repeat(levels)
}

#[test]
fn nesting_is_limited_and_never_takes_stack() {
    assert!(matches!(scan_explicit(&nested(100_000)), Err(ScanError::TooDeep(_))));
    let deep = Limits { depth: 40, ..Limits::default() };
    assert!(matches!(scan_with(&nested(40), EXPLICIT_VR_LITTLE_ENDIAN, deep), Err(ScanError::Truncated { .. })));
}

#[test]
fn a_length_is_not_believed_before_the_bytes_are_there() {
    for vr in [VR::OB, VR::UT, VR::UN, VR::SQ] {
        let bytes = EXPLICIT.header(tags::TEXT_VALUE, vr, 0xFFFF_FFF0);
        assert!(matches!(scan_explicit(&bytes), Err(ScanError::TooLong { len: 0xFFFF_FFF0, left: 0, .. })), "{vr}");
    }
}

#[test]
fn an_element_cannot_leave_its_item() {
    let content = EXPLICIT.header(tags::PATIENT_ID, VR::LO, 100);
    let item = [EXPLICIT.item(ITEM, content.len() as u32), content, vec![b' '; 200]].concat();
    let bytes = [EXPLICIT.header(tags::CONTENT_SEQUENCE, VR::SQ, item.len() as u32), item].concat();
    assert!(matches!(scan_explicit(&bytes), Err(ScanError::TooLong { len: 100, left: 0, .. })));
}

#[test]
fn long_values_are_located_and_not_kept() {
    let bytes = EXPLICIT.plain(tags::TEXT_VALUE, VR::UT, &[b'x'; 100]).repeat(3);
    let element = |limits| {
        let read = scan_with(&bytes, EXPLICIT_VR_LITTLE_ENDIAN, limits).expect("a data set");
        read.elements.iter().map(|e| (e.offset, e.len, e.value == Value::Located)).collect::<Vec<_>>()
    };
    let all = vec![(12, 100, true), (124, 100, true), (236, 100, true)];
    assert_eq!(element(Limits { kept_value: 99, ..Limits::default() }), all);
    let last = vec![(12, 100, false), (124, 100, false), (236, 100, true)];
    assert_eq!(element(Limits { kept_total: 250, ..Limits::default() }), last);
}

#[test]
fn elements_and_fragments_are_counted() {
    let bytes = EXPLICIT.plain(tags::MODALITY, VR::CS, b"").repeat(11);
    let few = Limits { elements: 10, fragments: 10, ..Limits::default() };
    assert!(matches!(scan_with(&bytes, EXPLICIT_VR_LITTLE_ENDIAN, few), Err(ScanError::TooMany(10, "elements"))));
    let fragments = [EXPLICIT.header(tags::PIXEL_DATA, VR::OB, UNDEFINED), EXPLICIT.item(ITEM, 0).repeat(12)].concat();
    assert!(matches!(scan_with(&fragments, EXPLICIT_VR_LITTLE_ENDIAN, few), Err(ScanError::TooMany(10, "fragments"))));
}

/// Encapsulated pixel data of two fragments, as far as `parts` goes.
fn encapsulated(end: &[u8]) -> Vec<u8> {
    let head = EXPLICIT.header(tags::PIXEL_DATA, VR::OB, UNDEFINED);
    let table = [EXPLICIT.item(ITEM, 4), vec![0; 4]].concat();
    let fragment = [EXPLICIT.item(ITEM, 2), vec![1, 2]].concat();
    [head, table, fragment.repeat(2), end.to_vec()].concat()
}

#[test]
fn fragments_are_located_with_or_without_their_delimiter() {
    let fragments = vec![Fragment { offset: 32, len: 2 }, Fragment { offset: 42, len: 2 }];
    let expected = Value::Fragments { basic_offset_table: vec![0], fragments };
    let after = EXPLICIT.plain(tags::DATA_SET_TRAILING_PADDING, VR::OB, &[0; 6]);
    for end in [EXPLICIT.item(SEQUENCE_DELIMITATION, 0), Vec::new(), after] {
        let read = scan_explicit(&encapsulated(&end)).expect("a data set");
        assert_eq!(read.elements.len(), 1);
        assert_eq!((read.elements[0].len, &read.elements[0].value), (32, &expected));
    }
}

#[test]
fn an_empty_offset_table_is_made_from_the_codestreams() {
    let item = |content: &[u8]| [EXPLICIT.item(ITEM, content.len() as u32), content.to_vec()].concat();
    let table = |fragments: [&[u8]; 3]| {
        let head = [EXPLICIT.header(tags::PIXEL_DATA, VR::OB, UNDEFINED), EXPLICIT.item(ITEM, 0)].concat();
        let bytes = [head, fragments.map(item).concat(), EXPLICIT.item(SEQUENCE_DELIMITATION, 0)].concat();
        let mut elements = scan_explicit(&bytes).expect("a data set").elements;
        match elements.pop().expect("pixel data").value {
            Value::Fragments { basic_offset_table, .. } => basic_offset_table,
            _ => Vec::new(),
        }
    };
    assert_eq!(table([b"\xFF\xD8ab", b"cdef", b"\xFF\x4F"]), [0, 24]);
    assert!(table([b"abcd", b"ef", b"ab"]).is_empty());
}

#[test]
fn elements_after_pixel_data_and_padding_at_the_end_are_taken() {
    let after = [
        EXPLICIT.item(SEQUENCE_DELIMITATION, 0),
        EXPLICIT.plain(Tag(0x7FE1, 0x0010), VR::LO, b"MAKER "),
        EXPLICIT.plain(tags::DATA_SET_TRAILING_PADDING, VR::OB, &[1; 6]),
        vec![0; 1001],
    ];
    let read = scan_explicit(&encapsulated(&after.concat())).expect("a data set");
    assert_eq!(read.elements.iter().map(|e| e.tag).collect::<Vec<_>>(), [tags::PIXEL_DATA, Tag(0x7FE1, 0x0010)]);
    let more = [after.concat(), vec![1]].concat();
    assert!(matches!(scan_explicit(&encapsulated(&more)), Err(ScanError::Malformed { .. })));
}

#[test]
fn a_data_set_that_ends_inside_a_header_or_sequence_is_truncated() {
    let bytes = EXPLICIT.plain(tags::MODALITY, VR::CS, b"CT");
    for end in [&bytes[..5], &nested(1), &EXPLICIT.header(tags::CONTENT_SEQUENCE, VR::SQ, UNDEFINED)] {
        assert!(matches!(scan_explicit(&[&bytes, end].concat()), Err(ScanError::Truncated { .. })));
    }
}

#[test]
fn a_deflated_data_set_may_be_wrapped_and_is_bounded() {
    let bytes = EXPLICIT.plain(tags::TEXT_VALUE, VR::UT, &[b'x'; 10_000]);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&bytes).expect("memory");
    let zlib = zlib.finish().expect("memory");
    for wrapped in [&deflated(&bytes), &zlib] {
        let read = scan_with(wrapped, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Limits::default()).expect("a data set");
        assert_eq!((read.elements[0].offset, read.elements[0].len), (12, 10_000));
        assert_eq!(inflate(&wrapped[..], 10_012).expect("the bytes"), bytes);
        assert!(matches!(inflate(&wrapped[..], 10_011), Err(ScanError::TooMany(10_011, _))));
        let small = Limits { inflated: 10_011, ..Limits::default() };
        let refused = scan_with(wrapped, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, small);
        assert!(matches!(refused, Err(ScanError::TooMany(10_011, _))));
    }
    let cut = &deflated(&bytes)[..10];
    assert!(matches!(scan_with(cut, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Limits::default()), Err(ScanError::Inflate)));
}

#[test]
fn big_endian_values_are_kept_little_endian() {
    let bytes = BIG_ENDIAN.plain(tags::ROWS, VR::US, &[1, 2]);
    assert_eq!(bytes[8..], [2, 1]);
    let read = scan_with(&bytes, EXPLICIT_VR_BIG_ENDIAN, Limits::default()).expect("a data set");
    assert_eq!(read.integer(tags::ROWS), Some(0x0201));
}

#[test]
fn offsets_count_from_the_start_of_the_stream() {
    let bytes = [vec![9; 100], EXPLICIT.plain(tags::MODALITY, VR::CS, b"CT")].concat();
    let mut reader = Cursor::new(&bytes);
    reader.set_position(100);
    let read = scan(&mut reader, &TransferSyntax::explicit_little(), Limits::default()).expect("a data set");
    assert_eq!(read.elements[0].offset, 108);
}
