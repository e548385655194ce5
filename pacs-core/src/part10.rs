//! Part 10 files: preamble, prefix and File Meta Information (PS3.10 §7.1).

use crate::data_set::ScanError;
use crate::data_set::header::{self, Header, Syntax};
use crate::data_set::source::{Skip, Source};
use crate::transfer_syntax::{
    EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, TransferSyntax,
};
use crate::uid::Uid;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// File Meta Information is a few hundred bytes.
const BUFFER: usize = 1 << 10;

const PREAMBLE: usize = 128;
const PREFIX: &[u8] = b"DICM";

/// What we put into (0002,0012) and (0002,0013), and tell peers of an association (PS3.7 §D.3.3.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.169087126487354126018573465298714651347";
pub const IMPLEMENTATION_VERSION_NAME: &str = "YINGHAI_0_1";

/// File Meta Information of interest.
#[derive(Debug, Clone, PartialEq)]
pub struct FileMeta {
    pub media_storage_sop_class_uid: Option<Uid>,
    pub media_storage_sop_instance_uid: Option<Uid>,
    pub transfer_syntax: TransferSyntax,
    /// Where the data set starts in the file.
    pub data_set_offset: u64,
}

/// Reads preamble and File Meta Information; leaves `reader` at the start of the data set.
///
/// A file without preamble or without group 2 (old exports) is let in: the transfer syntax is then recognised from
/// the first element, and `data_set_offset` is where it starts. The group length is not relied on: many are wrong.
pub fn read_meta(reader: &mut (impl Read + Seek)) -> Result<FileMeta, ScanError> {
    let start = reader.stream_position()?;
    let end = reader.seek(SeekFrom::End(0))?;
    let offset = start + prefix_len(reader, start)?;
    reader.seek(SeekFrom::Start(offset))?;
    let meta = read_group(Source::new(BufReader::with_capacity(BUFFER, &mut *reader), offset, end))?;
    reader.seek(SeekFrom::Start(meta.data_set_offset))?;
    Ok(meta)
}

/// Length of preamble and prefix: 132, or 4 where only the prefix is there, or 0.
fn prefix_len(reader: &mut (impl Read + Seek), start: u64) -> Result<u64, ScanError> {
    reader.seek(SeekFrom::Start(start))?;
    let mut head = Vec::with_capacity(134);
    reader.take(134).read_to_end(&mut head)?;
    let prefixed = head.get(128..132) == Some(b"DICM");
    Ok(match head.first_chunk() {
        _ if prefixed && head.ends_with(&[2, 0]) => 132,
        // "DICM" in the text of a data set that starts right away.
        Some(first) if prefixed && recognise(*first, u64::MAX).is_some() => 0,
        _ if prefixed => 132,
        _ if head.starts_with(b"DICM") => 4,
        _ => 0,
    })
}

fn read_group<R: Skip>(mut source: Source<R>) -> Result<FileMeta, ScanError> {
    let (mut sop_class, mut sop_instance, mut transfer_syntax) = (None, None, None);
    let start = source.position();
    let recognised = loop {
        let offset = source.position();
        if source.left() < 8 {
            return Err(ScanError::Malformed { offset, what: "there is no data set" });
        }
        let head = source.head()?;
        source.push_back(head);
        if Syntax::EXPLICIT.tag(head).group() != 0x0002 {
            // A file that says nothing of it is in the default transfer syntax (PS3.5 §10.1).
            let default = (offset > start).then_some(IMPLICIT_VR_LITTLE_ENDIAN);
            break recognise(head, source.left()).or(default);
        }
        let Header { tag, len, .. } = header::read(&mut source, Syntax::EXPLICIT)?;
        let (len, left) = (u64::from(len), source.left());
        if len > left {
            return Err(ScanError::TooLong { tag, offset, len, left });
        }
        let slot = match tag {
            tags::MEDIA_STORAGE_SOP_CLASS_UID => &mut sop_class,
            tags::MEDIA_STORAGE_SOP_INSTANCE_UID => &mut sop_instance,
            tags::TRANSFER_SYNTAX_UID => &mut transfer_syntax,
            _ => {
                source.skip(len)?;
                continue;
            }
        };
        // A longer value is no UID and is passed over.
        *slot = if len > 128 { source.skip(len).map(|()| None)? } else { uid(&source.bytes(len)?) };
    };
    let offset = source.position();
    let recognised = recognised.map(|uid| uid.parse().expect("a valid UID"));
    let Some(transfer_syntax) = transfer_syntax.or(recognised) else {
        return Err(ScanError::Malformed { offset, what: "this is not a DICOM data set" });
    };
    Ok(FileMeta {
        media_storage_sop_class_uid: sop_class,
        media_storage_sop_instance_uid: sop_instance,
        transfer_syntax: TransferSyntax::new(transfer_syntax),
        data_set_offset: offset,
    })
}

fn uid(bytes: &[u8]) -> Option<Uid> {
    std::str::from_utf8(bytes).ok()?.trim().parse().ok()
}

/// The native transfer syntax that a first element is written in, if it can be one: its tag is one of the dictionary, in
/// a low group, and its VR is there or its length fits.
fn recognise(head: [u8; 8], left: u64) -> Option<&'static str> {
    let plausible = |tag: Tag| (0x0004..0x0040).contains(&tag.group()) && header::dictionary_vr(tag, false).is_some();
    let [_, _, _, _, v, r, ..] = head;
    let explicit = VR::from_binary([v, r]).is_some();
    if plausible(Syntax::EXPLICIT.tag(head)) {
        let fits = u64::from(Syntax::IMPLICIT.len32(head)) <= left;
        return explicit.then_some(EXPLICIT_VR_LITTLE_ENDIAN).or_else(|| fits.then_some(IMPLICIT_VR_LITTLE_ENDIAN));
    }
    (explicit && plausible(Syntax::BIG_ENDIAN.tag(head))).then_some(EXPLICIT_VR_BIG_ENDIAN)
}

/// Preamble, prefix and File Meta Information for a data set received without them (C-STORE).
pub fn write_meta(
    sop_class: &Uid,
    sop_instance: &Uid,
    transfer_syntax: &TransferSyntax,
    source_ae: Option<&str>,
) -> Vec<u8> {
    let mut group = Vec::new();
    write_element(&mut group, tags::FILE_META_INFORMATION_VERSION, VR::OB, &[0, 1]);
    write_element(&mut group, tags::MEDIA_STORAGE_SOP_CLASS_UID, VR::UI, sop_class.as_str().as_bytes());
    write_element(&mut group, tags::MEDIA_STORAGE_SOP_INSTANCE_UID, VR::UI, sop_instance.as_str().as_bytes());
    write_element(&mut group, tags::TRANSFER_SYNTAX_UID, VR::UI, transfer_syntax.uid().as_str().as_bytes());
    write_element(&mut group, tags::IMPLEMENTATION_CLASS_UID, VR::UI, IMPLEMENTATION_CLASS_UID.as_bytes());
    write_element(&mut group, tags::IMPLEMENTATION_VERSION_NAME, VR::SH, IMPLEMENTATION_VERSION_NAME.as_bytes());
    if let Some(ae) = source_ae {
        let ae: String = ae.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).take(16).collect();
        write_element(&mut group, tags::SOURCE_APPLICATION_ENTITY_TITLE, VR::AE, ae.as_bytes());
    }
    let len = u32::try_from(group.len()).expect("eight short elements");
    with_group_length(&[0; PREAMBLE], len, &group)
}

fn with_group_length(preamble: &[u8], len: u32, group: &[u8]) -> Vec<u8> {
    let mut file = [preamble, PREFIX].concat();
    write_element(&mut file, tags::FILE_META_INFORMATION_GROUP_LENGTH, VR::UL, &len.to_le_bytes());
    file.extend_from_slice(group);
    file
}

/// The bytes before the data set of a Part 10 file, with another Transfer Syntax UID and the group length that is right
/// then. `None` where there is no File Meta Information, or it names no transfer syntax.
pub fn with_transfer_syntax(head: &[u8], transfer_syntax: &TransferSyntax) -> Option<Vec<u8>> {
    let (preamble, rest) = head.split_at_checked(PREAMBLE)?;
    let old = rest.strip_prefix(PREFIX)?;
    let mut source = Source::new(BufReader::new(std::io::Cursor::new(old)), 0, old.len() as u64);
    let (mut group, mut is_named) = (Vec::new(), false);
    while source.left() > 0 {
        let start = source.position();
        let Header { tag, len, .. } = header::read(&mut source, Syntax::EXPLICIT).ok()?;
        let end = source.position() + u64::from(len);
        source.skip(len.into()).ok()?;
        match tag {
            tags::FILE_META_INFORMATION_GROUP_LENGTH => {}
            tags::TRANSFER_SYNTAX_UID => {
                write_element(&mut group, tag, VR::UI, transfer_syntax.uid().as_str().as_bytes());
                is_named = true;
            }
            _ => group.extend_from_slice(old.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?),
        }
    }
    let len = u32::try_from(group.len()).ok().filter(|_| is_named)?;
    Some(with_group_length(preamble, len, &group))
}

/// One element in explicit VR little endian; its value is short and padded to even length here.
fn write_element(out: &mut Vec<u8>, tag: Tag, vr: VR, value: &[u8]) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    out.extend_from_slice(&vr.to_bytes());
    let len = value.len().next_multiple_of(2);
    if vr == VR::OB {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u32::try_from(len).expect("a short value").to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(len).expect("a short value").to_le_bytes());
    }
    out.extend_from_slice(value);
    if len > value.len() {
        out.push(if vr == VR::UI || vr == VR::OB { 0 } else { b' ' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn uid(text: &str) -> Uid {
        text.parse().expect("a UID")
    }

    fn read(bytes: &[u8]) -> Result<FileMeta, ScanError> {
        read_meta(&mut Cursor::new(bytes))
    }

    /// (0008,0060) Modality CT.
    const EXPLICIT: &[u8] = b"\x08\0\x60\0CS\x02\0CT";
    const IMPLICIT: &[u8] = b"\x08\0\x60\0\x02\0\0\0CT";
    const BIG_ENDIAN: &[u8] = b"\0\x08\0\x60CS\0\x02CT";

    #[test]
    fn what_is_written_is_read_and_ends_at_the_data_set() {
        for source in [None, Some("SCANNER"), Some("影")] {
            let written = write_meta(&uid(CT), &uid("1.2.3"), &TransferSyntax::implicit_little(), source);
            assert_eq!(written.len() % 2, 0);
            let mut reader = Cursor::new([&written, IMPLICIT].concat());
            let meta = read_meta(&mut reader).expect("meta information");
            assert_eq!(reader.position(), written.len() as u64);
            let expected = FileMeta {
                media_storage_sop_class_uid: Some(uid(CT)),
                media_storage_sop_instance_uid: Some(uid("1.2.3")),
                transfer_syntax: TransferSyntax::implicit_little(),
                data_set_offset: written.len() as u64,
            };
            assert_eq!(meta, expected);
        }
    }

    #[test]
    fn without_meta_information_the_first_element_tells_the_transfer_syntax() {
        for (bytes, expected) in [
            (EXPLICIT, EXPLICIT_VR_LITTLE_ENDIAN),
            (IMPLICIT, IMPLICIT_VR_LITTLE_ENDIAN),
            (BIG_ENDIAN, EXPLICIT_VR_BIG_ENDIAN),
        ] {
            for prefix in [Vec::new(), b"DICM".to_vec(), [vec![0; 128], b"DICM".to_vec()].concat()] {
                let meta = read(&[&prefix, bytes].concat()).expect("a data set");
                assert_eq!(meta.transfer_syntax.uid().as_str(), expected);
                assert_eq!(meta.data_set_offset, prefix.len() as u64);
            }
        }
    }

    #[test]
    fn a_prefix_inside_the_text_of_a_data_set_is_no_prefix() {
        let bytes = [EXPLICIT, &[b' '; 118], b"DICM", EXPLICIT].concat();
        assert_eq!(read(&bytes).expect("a data set").data_set_offset, 0);
    }

    #[test]
    fn the_group_length_is_not_believed() {
        let mut written = write_meta(&uid(CT), &uid("1.2.3"), &TransferSyntax::explicit_little(), None);
        let expected = written.len() as u64;
        written[140] = 7;
        assert_eq!(read(&[&written, EXPLICIT].concat()).expect("meta information").data_set_offset, expected);
    }

    #[test]
    fn what_is_no_data_set_is_refused() {
        for bytes in [&b""[..], b"PK\x03\x04\0\0\0\0\0\0", b"<html><body></body>", &[0; 200], &[0xFF; 200]] {
            assert!(matches!(read(bytes), Err(ScanError::Malformed { .. })));
        }
        let only_meta = write_meta(&uid(CT), &uid("1.2.3"), &TransferSyntax::explicit_little(), None);
        assert!(matches!(read(&only_meta), Err(ScanError::Malformed { .. })));
        assert!(read(&only_meta[..150]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..64), prefixed in any::<bool>()) {
            let prefix = if prefixed { [&[0; 128][..], b"DICM\x02\0"].concat() } else { Vec::new() };
            let bytes = [prefix, bytes].concat();
            if let Ok(meta) = read(&bytes) {
                prop_assert!(meta.data_set_offset <= bytes.len() as u64);
            }
        }
    }
}
