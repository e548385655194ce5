//! A scanned data set de-identified.

use super::{Dates, Key, Profile, Risk, dates, private::Safe, table, table::Action, words};
use crate::data_set::header::dictionary_vr;
use crate::data_set::values::is_text;
use crate::data_set::{DataSet, Element, Value};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

/// (0012,0063) of what we de-identify.
const METHOD: &str = "YINGHAI PS3.15 Annex E";

/// Applies the profile to an instance, on which corrections were laid before. The key makes the pseudonyms.
///
/// Private attributes, overlays, curves and what the dictionary does not know go. An instance that may name the patient in
/// its pixels or text stays as it is, and the risk is told.
pub fn deidentify(data_set: &mut DataSet, profile: &Profile, key: &Key) -> Result<(), Risk> {
    if let Some(risk) = Risk::of(data_set).filter(|risk| !(profile.allow_burned_in && risk.may_be_allowed())) {
        return Err(risk);
    }
    let [id, issuer] = patient(data_set);
    let safe = if profile.retain_safe_private { Safe::of(data_set) } else { Safe::default() };
    let work = Work { profile, key, days: key.days(&id, &issuer), telling: telling(data_set) };
    work.data_set(data_set, &safe);
    let pseudonym = key.patient(&id, &issuer);
    set(data_set, tags::PATIENT_ID, VR::LO, &pseudonym);
    set(data_set, tags::PATIENT_NAME, VR::PN, &pseudonym);
    tell(data_set, profile);
    Ok(())
}

/// Who the patient is. Without Patient ID nobody knows of two studies that they are of one: each has a patient of its own.
fn patient(data_set: &DataSet) -> [String; 2] {
    let text = |tag| data_set.text(tag).unwrap_or_default();
    match text(tags::PATIENT_ID) {
        id if id.is_empty() => [text(tags::STUDY_INSTANCE_UID), "study".to_owned()],
        id => [id, text(tags::ISSUER_OF_PATIENT_ID)],
    }
}

struct Work<'a> {
    profile: &'a Profile,
    key: &'a Key,
    days: u16,
    /// What no text may hold.
    telling: Vec<String>,
}

/// Shorter ones stand in texts by chance.
const SHORTEST: usize = 5;

/// Patient ID, name and accession number as they came, in lower case: labels and comments often repeat them.
fn telling(data_set: &DataSet) -> Vec<String> {
    let of = [tags::PATIENT_ID, tags::PATIENT_NAME, tags::ACCESSION_NUMBER];
    let values = of.into_iter().flat_map(|tag| data_set.texts(tag));
    values.map(|value| value.to_lowercase()).filter(|value| value.len() >= SHORTEST).collect()
}

impl Work<'_> {
    /// Nested no deeper than a scan lets through. What is `safe` stays.
    fn data_set(&self, data_set: &mut DataSet, safe: &Safe) {
        let character_set = data_set.character_set.clone();
        data_set.elements.retain_mut(|element| {
            let text = || element.texts(&character_set).join("\\");
            match self.action(element, safe) {
                Action::Remove => return false,
                Action::Keep if is_text(element.vr) && element.vr != VR::UI && self.tells(&text()) => {
                    return dummy(element);
                }
                Action::Keep => {}
                Action::Empty => return empty(element),
                Action::Dummy => return dummy(element),
                Action::NewUid => {
                    if !matches!(element.value, Value::Sequence(_)) {
                        let uids = element.texts(&character_set);
                        let new =
                            uids.iter().map(|uid| self.key.uid(uid).map(String::from)).collect::<Option<Vec<_>>>();
                        return new.is_some_and(|uids| put(element, &uids.join("\\")));
                    }
                }
                Action::Shift if matches!(element.vr, VR::DA | VR::DT) => {
                    let earlier = dates::earlier(element.vr, &text(), self.days);
                    return earlier.is_some_and(|value| put(element, &value));
                }
                // The time of day tells of no day.
                Action::Shift if element.vr == VR::TM => {}
                Action::Shift => return false,
                Action::Clean => {
                    let left = is_text(element.vr).then(|| words::clean(&text())).flatten();
                    return left.is_some_and(|value| put(element, &value));
                }
            }
            if let Value::Sequence(items) = &mut element.value {
                items.iter_mut().for_each(|item| self.data_set(item, &Safe::default()));
            }
            true
        });
    }

    fn tells(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.telling.iter().any(|telling| text.contains(telling))
    }

    fn action(&self, element: &Element, safe: &Safe) -> Action {
        let Tag(group, _) = element.tag;
        if group % 2 == 1 && safe.covers(element.tag) {
            return Action::Keep;
        }
        // Private, curves and overlays, and what nobody knows.
        if group % 2 == 1 || matches!(group & 0xFF00, 0x5000 | 0x6000) || dictionary_vr(element.tag, false).is_none() {
            return Action::Remove;
        }
        table::action(element.tag, self.profile)
    }
}

/// Leaves no value.
fn empty(element: &mut Element) -> bool {
    element.value = match &element.value {
        Value::Sequence(_) => Value::Sequence(Vec::new()),
        _ => Value::Bytes(Box::default()),
    };
    element.len = 0;
    true
}

/// A value that says nothing, in place of one that must not be empty. A sequence goes: no item says nothing.
fn dummy(element: &mut Element) -> bool {
    let value = match element.vr {
        VR::DA => "19000101",
        VR::TM => "000000",
        VR::DT => "19000101000000",
        VR::AS => "000Y",
        VR::IS | VR::DS => "0",
        VR::UI => return false,
        VR::SQ => return false,
        VR::CS | VR::AE | VR::SH | VR::LO | VR::ST | VR::LT | VR::UT | VR::UC | VR::PN => "REMOVED",
        _ => {
            element.value = Value::Bytes(Box::new([0, 0]));
            element.len = 2;
            return true;
        }
    };
    put(element, value)
}

/// Gives an element a text of ASCII, which every character set can hold.
fn put(element: &mut Element, text: &str) -> bool {
    element.len = text.len() as u64;
    element.value = Value::Bytes(text.as_bytes().into());
    true
}

fn set(data_set: &mut DataSet, tag: Tag, vr: VR, text: &str) {
    data_set.insert(Element::of_text(tag, vr, text));
}

/// Writes down what was done (PS3.15 §E.1.1, PS3.3 C.7.1.1). What others did to it before stays.
fn tell(data_set: &mut DataSet, profile: &Profile) {
    let mut items = data_set.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).to_vec();
    for (code, meaning) in profile.methods() {
        let mut item = DataSet { elements: Vec::new(), character_set: data_set.character_set.clone() };
        item.elements = vec![
            Element::of_text(tags::CODE_VALUE, VR::SH, code),
            Element::of_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
            Element::of_text(tags::CODE_MEANING, VR::LO, meaning),
        ];
        items.push(item);
    }
    let mut methods = data_set.texts(tags::DEIDENTIFICATION_METHOD);
    methods.retain(|method| !method.is_empty() && method.is_ascii());
    methods.push(METHOD.to_owned());
    set(data_set, tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES");
    set(data_set, tags::DEIDENTIFICATION_METHOD, VR::LO, &methods.join("\\"));
    let sequence = Value::Sequence(items);
    data_set.insert(Element {
        tag: tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
        vr: VR::SQ,
        offset: 0,
        len: 0,
        value: sequence,
    });
    let dates = match profile.dates {
        Dates::Full => "UNMODIFIED",
        Dates::Modified => "MODIFIED",
        Dates::Removed => "REMOVED",
    };
    set(data_set, tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS, dates);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::character_set::CharacterSet;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn sequence(tag: Tag, items: Vec<DataSet>) -> Element {
        Element { tag, vr: VR::SQ, offset: 0, len: 0, value: Value::Sequence(items) }
    }

    fn of(elements: Vec<Element>) -> DataSet {
        DataSet { elements, character_set: CharacterSet::utf_8() }
    }

    fn instance(patient_id: &str) -> DataSet {
        let referenced = of(vec![
            Element::of_text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, CT),
            Element::of_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, "1.2.3"),
        ]);
        let requested = of(vec![
            Element::of_text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "S1"),
            Element::of_text(tags::ACCESSION_NUMBER, VR::SH, "ACC-77"),
        ]);
        of(vec![
            Element::of_text(tags::SOP_CLASS_UID, VR::UI, CT),
            Element::of_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
            Element::of_text(tags::STUDY_DATE, VR::DA, "20260301"),
            Element::of_text(tags::STUDY_TIME, VR::TM, "101500"),
            Element::of_text(tags::ACCESSION_NUMBER, VR::SH, "ACC-77"),
            Element::of_text(tags::STUDY_DESCRIPTION, VR::LO, "CT Chest 张三"),
            sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![referenced]),
            Element::of_text(Tag(0x0009, 0x0010), VR::LO, "ACME"),
            Element::of_text(Tag(0x0009, 0x1001), VR::LO, "张三"),
            Element::of_text(tags::PATIENT_NAME, VR::PN, "Zhang^San=张^三"),
            Element::of_text(tags::PATIENT_ID, VR::LO, patient_id),
            Element::of_text(tags::PATIENT_AGE, VR::AS, "056Y"),
            Element::of_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2"),
            Element::of_text(tags::ROWS, VR::US, "\u{10}\0"),
            sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![requested]),
            Element::of_text(Tag(0x6000, 0x3000), VR::OW, "ab"),
            Element::of_text(tags::PIXEL_DATA, VR::OW, "ab"),
        ])
    }

    fn done(patient_id: &str, profile: &Profile) -> DataSet {
        let mut data_set = instance(patient_id);
        deidentify(&mut data_set, profile, &Key::from([7; 32])).unwrap();
        data_set
    }

    /// All text in it, at any depth.
    fn all_text(data_set: &DataSet) -> String {
        let of_element = |element: &Element| match &element.value {
            Value::Sequence(items) => items.iter().map(all_text).collect(),
            _ => element.texts(&data_set.character_set).join(" ") + " ",
        };
        data_set.elements.iter().map(of_element).collect()
    }

    #[test]
    fn nothing_of_the_patient_is_left_and_what_was_done_is_told() {
        let data_set = done("P1", &Profile::default());
        let left = all_text(&data_set);
        for gone in ["张", "Zhang", "P1 ", "ACC-77", "1.2.3 ", "20260301", "056Y", "ACME", "Chest"] {
            assert!(!left.contains(gone), "{gone} in {left}");
        }
        assert_eq!(data_set.texts(tags::PATIENT_IDENTITY_REMOVED), ["YES"]);
        assert_eq!(data_set.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).len(), 1);
        assert_eq!(data_set.texts(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED), ["REMOVED"]);
        assert!(data_set.elements.is_sorted_by_key(|element| element.tag));
        let kept = [tags::SOP_CLASS_UID, tags::ROWS, tags::PIXEL_DATA];
        assert!(kept.iter().all(|tag| data_set.get(*tag) == instance("P1").get(*tag)));
        assert!(data_set.get(Tag(0x6000, 0x3000)).is_none());
    }

    #[test]
    fn a_label_that_repeats_who_the_patient_is_is_replaced() {
        let mut data_set = instance("PAT-4711");
        set(&mut data_set, tags::CONTENT_LABEL, VR::CS, "LUNG OF pat-4711");
        deidentify(&mut data_set, &Profile::default(), &Key::from([7; 32])).unwrap();
        assert_eq!(data_set.texts(tags::CONTENT_LABEL), ["REMOVED"]);
    }

    #[test]
    fn pseudonyms_are_consistent_over_instances_and_references() {
        let (one, same, other) =
            (done("P1", &Profile::default()), done("P1", &Profile::default()), done("P2", &Profile::default()));
        assert_eq!(one, same);
        assert_ne!(one.text(tags::PATIENT_ID), other.text(tags::PATIENT_ID));
        assert_eq!(one.text(tags::STUDY_INSTANCE_UID), other.text(tags::STUDY_INSTANCE_UID));
        let referenced = &one.items(tags::REFERENCED_IMAGE_SEQUENCE)[0];
        assert_eq!(referenced.text(tags::REFERENCED_SOP_INSTANCE_UID), one.text(tags::SOP_INSTANCE_UID));
        assert_eq!(referenced.text(tags::REFERENCED_SOP_CLASS_UID).as_deref(), Some(CT));
    }

    #[test]
    fn options_keep_what_they_name() {
        let profile = Profile {
            dates: Dates::Modified,
            retain_patient_characteristics: true,
            retain_uids: true,
            clean_descriptors: true,
            ..Profile::default()
        };
        let data_set = done("P1", &profile);
        assert_eq!(data_set.texts(tags::STUDY_DESCRIPTION), ["CT Chest"]);
        assert_eq!(data_set.texts(tags::PATIENT_AGE), ["056Y"]);
        assert_eq!(data_set.texts(tags::SOP_INSTANCE_UID), ["1.2.3"]);
        assert_eq!(data_set.texts(tags::STUDY_TIME), ["101500"]);
        let date = data_set.text(tags::STUDY_DATE).unwrap();
        assert!(date.as_str() < "20260301" && date.as_str() > "20160101", "{date}");
        assert_eq!(data_set.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).len(), 5);
        let full = done("P1", &Profile { dates: Dates::Full, ..Profile::default() });
        assert_eq!(full.texts(tags::STUDY_DATE), ["20260301"]);
    }

    #[test]
    fn what_may_show_a_name_stays_unless_that_is_allowed_and_text_stays_in_any_case() {
        let key = Key::from([7; 32]);
        let of_class = |class: &str, allow_burned_in| {
            let mut data_set = instance("P1");
            data_set.elements[0] = Element::of_text(tags::SOP_CLASS_UID, VR::UI, class);
            let before = data_set.clone();
            let done = deidentify(&mut data_set, &Profile { allow_burned_in, ..Profile::default() }, &key);
            (done, data_set == before)
        };
        let secondary_capture = "1.2.840.10008.5.1.4.1.1.7";
        assert_eq!(of_class(secondary_capture, false), (Err(Risk::SopClass), true));
        assert_eq!(of_class(secondary_capture, true), (Ok(()), false));
        assert_eq!(of_class("1.2.840.10008.5.1.4.1.1.88.11", true), (Err(Risk::Text), true));
    }

    #[test]
    fn studies_without_patient_id_are_of_patients_of_their_own() {
        let with_study = |study: &str| {
            let mut data_set = instance("");
            set(&mut data_set, tags::STUDY_INSTANCE_UID, VR::UI, study);
            deidentify(&mut data_set, &Profile::default(), &Key::from([7; 32])).unwrap();
            data_set.text(tags::PATIENT_ID)
        };
        assert_eq!(with_study("1.2"), with_study("1.2"));
        assert_ne!(with_study("1.2"), with_study("1.3"));
    }
}
