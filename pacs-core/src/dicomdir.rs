//! DICOMDIR: the directory of a file-set, for media and archives of files (PS3.3 Annex F, PS3.10 §8.6).

use crate::{
    Attributes, TransferSyntax, Uid,
    attributes::key,
    data_set::{Stretch, write as write_data_set},
    from_json::from_json,
    part10,
};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];
/// Tag, VR, two bytes reserved, length.
const LONG_HEADER: usize = 12;
/// Where the two offsets lie in a record, from the start of its item: behind item and element headers.
const NEXT: usize = 16;
const LOWER: usize = NEXT + 12 + 10;

/// A file of the set.
#[derive(Debug)]
pub struct Member {
    /// Patient, study, series and instance, each with what tells it from its like.
    levels: [(String, Map<String, Value>); 4],
    kind: &'static str,
    file: [String; 4],
}

impl Member {
    /// `metadata` in the DICOM JSON model; `file_id` is components of at most 8 capital letters, digits and underscores,
    /// joined by backslashes (PS3.10 §8.2); the file is of this class, instance and transfer syntax.
    pub fn new(metadata: &Value, file_id: &str, sop: (&Uid, &Uid), transfer_syntax: &TransferSyntax) -> Option<Self> {
        let attributes = Attributes::of(metadata)?;
        let text = |tag| attributes.text(tag).unwrap_or_default().to_owned();
        let (kind, keys) = record_of(sop.0.as_str());
        let levels = [
            (text(tags::PATIENT_ID), PATIENT),
            (text(tags::STUDY_INSTANCE_UID), STUDY),
            (text(tags::SERIES_INSTANCE_UID), SERIES),
            (sop.1.to_string(), keys),
        ];
        let levels = levels.map(|(own, keys)| (own, chosen(metadata, keys)));
        let file = [file_id, sop.0.as_str(), sop.1.as_str(), transfer_syntax.uid().as_str()].map(str::to_owned);
        Some(Self { levels, kind, file })
    }
}

const PATIENT: &[Tag] = &[tags::PATIENT_NAME, tags::PATIENT_ID, tags::PATIENT_BIRTH_DATE, tags::PATIENT_SEX];
const STUDY: &[Tag] = &[
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::STUDY_DESCRIPTION,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
];
const SERIES: &[Tag] = &[tags::MODALITY, tags::SERIES_DESCRIPTION, tags::SERIES_INSTANCE_UID, tags::SERIES_NUMBER];
const CONTENT: &[Tag] = &[tags::INSTANCE_NUMBER, tags::CONTENT_DATE, tags::CONTENT_TIME];

/// The type of directory record of a SOP class, and the keys that it has (PS3.3 Table F.4-1, §F.5).
fn record_of(sop_class: &str) -> (&'static str, &'static [Tag]) {
    let kind = sop_class.strip_prefix("1.2.840.10008.5.1.4.1.1.").unwrap_or_default();
    match kind {
        "88.59" => (
            "KEY OBJECT DOC",
            &[tags::INSTANCE_NUMBER, tags::CONTENT_DATE, tags::CONTENT_TIME, tags::CONCEPT_NAME_CODE_SEQUENCE],
        ),
        _ if kind.starts_with("88.") => (
            "SR DOCUMENT",
            &[
                tags::INSTANCE_NUMBER,
                tags::COMPLETION_FLAG,
                tags::VERIFICATION_FLAG,
                tags::CONTENT_DATE,
                tags::CONTENT_TIME,
                tags::CONCEPT_NAME_CODE_SEQUENCE,
            ],
        ),
        _ if kind.starts_with("11.") => (
            "PRESENTATION",
            &[
                tags::PRESENTATION_CREATION_DATE,
                tags::PRESENTATION_CREATION_TIME,
                tags::INSTANCE_NUMBER,
                tags::CONTENT_LABEL,
                tags::CONTENT_DESCRIPTION,
                tags::CONTENT_CREATOR_NAME,
            ],
        ),
        _ if kind.starts_with("104.") => (
            "ENCAP DOC",
            &[
                tags::CONTENT_DATE,
                tags::CONTENT_TIME,
                tags::INSTANCE_NUMBER,
                tags::DOCUMENT_TITLE,
                tags::CONCEPT_NAME_CODE_SEQUENCE,
                tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
            ],
        ),
        _ if kind.starts_with("9.") => ("WAVEFORM", CONTENT),
        "481.2" => ("RT DOSE", &[tags::INSTANCE_NUMBER, tags::DOSE_SUMMATION_TYPE]),
        "481.3" => (
            "RT STRUCTURE SET",
            &[tags::INSTANCE_NUMBER, tags::STRUCTURE_SET_LABEL, tags::STRUCTURE_SET_DATE, tags::STRUCTURE_SET_TIME],
        ),
        "481.4" | "481.6" | "481.7" | "481.9" => {
            ("RT TREAT RECORD", &[tags::INSTANCE_NUMBER, tags::TREATMENT_DATE, tags::TREATMENT_TIME])
        }
        "481.5" | "481.8" => {
            ("RT PLAN", &[tags::INSTANCE_NUMBER, tags::RT_PLAN_LABEL, tags::RT_PLAN_DATE, tags::RT_PLAN_TIME])
        }
        "66.1" | "66.3" => ("REGISTRATION", CONTENT),
        "66" => ("RAW DATA", CONTENT),
        "4.2" => ("SPECTROSCOPY", CONTENT),
        _ => ("IMAGE", &[tags::INSTANCE_NUMBER, tags::ROWS, tags::COLUMNS, tags::IMAGE_TYPE]),
    }
}

/// These attributes, empty where the metadata has no value.
fn chosen(metadata: &Value, keys: &[Tag]) -> Map<String, Value> {
    let element = |tag: Tag| {
        use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
        let vr = StandardDataDictionary.by_tag(tag).map_or(VR::LO, |entry| entry.vr().relaxed());
        let held = metadata.get(key(tag)).filter(|element| element.get("BulkDataURI").is_none());
        (key(tag), held.cloned().unwrap_or_else(|| json!({ "vr": vr.to_string() })))
    };
    keys.iter().map(|tag| element(*tag)).collect()
}

/// The directory, a Part 10 file, of members in the order of patients, studies and series. `None` where a value of theirs
/// cannot be written, or all together are beyond 4 GB.
pub fn write(members: &[Member], file_set: &Uid) -> Option<Vec<u8>> {
    let class = uids::MEDIA_STORAGE_DIRECTORY_STORAGE.parse().ok()?;
    let mut file = part10::write_meta(&class, file_set, &TransferSyntax::explicit_little(), None);
    let records = records(members)?;
    short(&mut file, 0x1130, VR::CS, b"");
    let fixed = 2 * (8 + 4) + (8 + 2) + LONG_HEADER;
    let mut at = file.len() + fixed;
    let mut offsets = Vec::with_capacity(records.len());
    for record in &records {
        offsets.push(u32::try_from(at).ok()?);
        at += record.bytes.len();
    }
    let offset = |index: Option<usize>| index.and_then(|index| offsets.get(index).copied()).unwrap_or_default();
    let last = (0..records.len()).rfind(|&index| records.get(index).is_some_and(|record| record.level == 0));
    short(&mut file, 0x1200, VR::UL, &offset(Some(0)).to_le_bytes());
    short(&mut file, 0x1202, VR::UL, &offset(last).to_le_bytes());
    short(&mut file, 0x1212, VR::US, &[0, 0]);
    let len = records.iter().map(|record| record.bytes.len()).sum::<usize>();
    file.extend_from_slice(&[0x04, 0x00, 0x20, 0x12, b'S', b'Q', 0, 0]);
    file.extend_from_slice(&u32::try_from(len).ok()?.to_le_bytes());
    for mut record in records {
        for (place, target) in [(NEXT, record.next), (LOWER, record.lower)] {
            record.bytes.get_mut(place..place + 4)?.copy_from_slice(&offset(target).to_le_bytes());
        }
        file.append(&mut record.bytes);
    }
    Some(file)
}

struct Record {
    level: usize,
    bytes: Vec<u8>,
    /// The record after it of the same level below the same parent, and the first below it.
    next: Option<usize>,
    lower: Option<usize>,
}

const KINDS: [&str; 3] = ["PATIENT", "STUDY", "SERIES"];

/// All records: of each level those that are the same once, where the first member has them.
fn records(members: &[Member]) -> Option<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    let mut known: HashMap<(Option<usize>, &str), usize> = HashMap::new();
    let mut last_below: HashMap<Option<usize>, usize> = HashMap::new();
    for member in members {
        let mut parent = None;
        for (level, (own, keys)) in member.levels.iter().enumerate() {
            let held = known.get(&(parent, own.as_str())).copied();
            let index = match held {
                Some(index) if level < KINDS.len() => index,
                _ => {
                    let bytes = record(level, member, keys)?;
                    let index = records.len();
                    records.push(Record { level, bytes, next: None, lower: None });
                    match (last_below.insert(parent, index), parent) {
                        (Some(before), _) => records.get_mut(before)?.next = Some(index),
                        (None, Some(parent)) => records.get_mut(parent)?.lower = Some(index),
                        (None, None) => {}
                    }
                    known.insert((parent, own), index);
                    index
                }
            };
            parent = Some(index);
        }
    }
    Some(records)
}

/// An item with offsets of zero.
fn record(level: usize, member: &Member, keys: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    short(&mut content, 0x1400, VR::UL, &[0; 4]);
    short(&mut content, 0x1410, VR::US, &[0xFF, 0xFF]);
    short(&mut content, 0x1420, VR::UL, &[0; 4]);
    short(&mut content, 0x1430, VR::CS, KINDS.get(level).copied().unwrap_or(member.kind).as_bytes());
    if level == KINDS.len() {
        let vrs = [(0x1500, VR::CS), (0x1510, VR::UI), (0x1511, VR::UI), (0x1512, VR::UI)];
        for ((element, vr), value) in vrs.into_iter().zip(&member.file) {
            short(&mut content, element, vr, value.as_bytes());
        }
    }
    // What cannot be written is left out of the directory and not the other way round.
    let data_set = from_json(&Value::Object(keys.clone()), &mut |_, _| None).unwrap_or_default();
    for stretch in write_data_set(&data_set, &TransferSyntax::explicit_little()).ok()? {
        match stretch {
            Stretch::New(bytes) => content.extend_from_slice(&bytes),
            Stretch::Old(_) => return None,
        }
    }
    let len = u32::try_from(content.len()).ok()?;
    Some([&ITEM[..], &len.to_le_bytes(), &content].concat())
}

/// An element of group 0004 whose length takes two bytes.
fn short(out: &mut Vec<u8>, element: u16, vr: VR, value: &[u8]) {
    let padding = value.len() % 2;
    let len = u16::try_from(value.len() + padding).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0x04, 0x00]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(&vr.to_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + padding, if vr == VR::UI { 0 } else { b' ' });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::{DataSet, Limits, scan};
    use std::io::Cursor;

    fn member(patient: &str, study: &str, series: &str, instance: &str, class: &str) -> Member {
        let uid = |text: &str| text.parse::<Uid>().expect("a UID");
        let metadata = json!({
            "00100010": {"vr": "PN", "Value": [{"Ideographic": "张^三"}]},
            "00100020": {"vr": "LO", "Value": [patient]},
            "0020000D": {"vr": "UI", "Value": [study]},
            "0020000E": {"vr": "UI", "Value": [series]},
        });
        let id = format!("S1\\I{}", instance.len());
        Member::new(&metadata, &id, (&uid(class), &uid(instance)), &TransferSyntax::explicit_little())
            .expect("a member")
    }

    fn record_at(file: &[u8], offset: u32) -> DataSet {
        let at = offset as usize;
        assert_eq!(file[at..at + 4], ITEM);
        let len = u32::from_le_bytes(file[at + 4..at + 8].try_into().expect("four bytes")) as usize;
        let content = file[at + 8..at + 8 + len].to_vec();
        scan(&mut Cursor::new(content), &TransferSyntax::explicit_little(), Limits::default()).expect("a record")
    }

    fn offset(record: &DataSet, tag: Tag) -> u32 {
        u32::from_le_bytes(record.get(tag).and_then(|e| e.bytes()).expect("bytes").try_into().expect("four bytes"))
    }

    /// Record types, each followed by those below it in brackets.
    fn told(file: &[u8], first: u32) -> String {
        let (mut at, mut text) = (first, String::new());
        while at != 0 {
            let record = record_at(file, at);
            text += &record.text(tags::DIRECTORY_RECORD_TYPE).unwrap_or_default();
            let lower = offset(&record, tags::OFFSET_OF_REFERENCED_LOWER_LEVEL_DIRECTORY_ENTITY);
            if lower != 0 {
                text += &format!("[{}]", told(file, lower));
            }
            at = offset(&record, tags::OFFSET_OF_THE_NEXT_DIRECTORY_RECORD);
            if at != 0 {
                text.push(' ');
            }
        }
        text
    }

    #[test]
    fn records_lead_from_patient_to_instance() {
        const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
        const SR: &str = "1.2.840.10008.5.1.4.1.1.88.22";
        let members = [
            member("A", "1.1", "1.1.1", "1.1.1.1", CT),
            member("A", "1.1", "1.1.2", "1.1.2.1", SR),
            member("B", "1.2", "1.2.1", "1.2.1.1", CT),
            member("A", "1.1", "1.1.1", "1.1.1.2", CT),
        ];
        let file = write(&members, &"1.2.3".parse().expect("a UID")).expect("a directory");
        let meta = part10::read_meta(&mut Cursor::new(&file)).expect("meta");
        let rest = file[meta.data_set_offset as usize..].to_vec();
        let whole = scan(&mut Cursor::new(rest), &TransferSyntax::explicit_little(), Limits::default()).expect("sound");
        assert_eq!(whole.items(tags::DIRECTORY_RECORD_SEQUENCE).len(), 11);
        let first = offset(&whole, tags::OFFSET_OF_THE_FIRST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY);
        let last = offset(&whole, tags::OFFSET_OF_THE_LAST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY);
        assert_eq!(
            told(&file, first),
            "PATIENT[STUDY[SERIES[IMAGE IMAGE] SERIES[SR DOCUMENT]]] PATIENT[STUDY[SERIES[IMAGE]]]"
        );
        assert_eq!(record_at(&file, last).text(tags::PATIENT_ID).as_deref(), Some("B"));
        assert_eq!(record_at(&file, first).text(tags::PATIENT_NAME).as_deref(), Some("=张^三"));
    }
}
