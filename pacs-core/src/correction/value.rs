//! Which attributes may be corrected, and to what.

use crate::attributes::{key, keyword};
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

/// Why an attribute cannot be given a value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotCorrectable {
    #[error("{0} is not an attribute of the standard")]
    Unknown(Tag),
    #[error("{0} cannot be corrected: it says what the object is, how it is encoded, or is no text")]
    Fixed(&'static str),
    #[error("{keyword} cannot be {value:?}: {why}")]
    Value { keyword: &'static str, value: String, why: &'static str },
}

/// The VR of an attribute that may have this value; an empty one always may be.
///
/// Text of the data set itself may be corrected, if it neither identifies (UIDs) nor tells how pixels are to be read.
pub fn check(tag: Tag, value: &str) -> Result<VR, NotCorrectable> {
    let entry = StandardDataDictionary.by_tag(tag).ok_or(NotCorrectable::Unknown(tag))?;
    let VirtualVr::Exact(vr) = entry.vr() else { return Err(NotCorrectable::Fixed(entry.alias)) };
    if is_fixed(tag) || !may_be_given(vr) {
        return Err(NotCorrectable::Fixed(entry.alias));
    }
    let refused = |why| NotCorrectable::Value { keyword: entry.alias, value: value.to_owned(), why };
    if value.is_empty() {
        return Ok(vr);
    }
    if is_single(vr) {
        return one(vr, value).map(|()| vr).map_err(refused);
    }
    value.split('\\').try_for_each(|value| one(vr, value)).map(|()| vr).map_err(refused)
}

/// The keyword of an attribute, or its tag as eight hexadecimal digits.
pub fn keyword_of(tag: Tag) -> String {
    keyword(tag).map_or_else(|| key(tag), str::to_owned)
}

/// Groups of commands, file meta, image pixel, digital signatures and pixel data, the character set, and whatever is private.
fn is_fixed(tag: Tag) -> bool {
    let group = tag.group();
    group < 0x0008
        || group % 2 == 1
        || matches!(group, 0x0028 | 0x0400 | 0x4FFE | 0x5400 | 0x7FE0..)
        || matches!(group & 0xFF00, 0x5000 | 0x6000)
        || matches!(tag, tags::SPECIFIC_CHARACTER_SET | tags::MODALITY)
}

fn may_be_given(vr: VR) -> bool {
    use VR::*;
    matches!(vr, AE | AS | CS | DA | DS | DT | IS | LO | LT | PN | SH | ST | TM | UC)
}

fn is_single(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST)
}

/// PS3.5 Table 6.2-1, of one value.
fn one(vr: VR, value: &str) -> Result<(), &'static str> {
    let longest = match vr {
        VR::AE | VR::SH | VR::CS | VR::DS => 16,
        VR::IS => 12,
        VR::LO => 64,
        VR::ST => 1024,
        VR::LT => 10_240,
        VR::PN => return name(value),
        _ => 256,
    };
    let may_break_lines = |c: char| is_single(vr) && matches!(c, '\r' | '\n' | '\t' | '\u{C}');
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match vr {
        _ if value.chars().count() > longest => Err("it is too long"),
        _ if value.chars().any(|c| c.is_control() && !may_break_lines(c)) => Err("it has control characters"),
        VR::DA if !(value.len() == 8 && digits(value) && is_day(value)) => Err("a date is YYYYMMDD"),
        VR::TM if !digits(&value.replacen('.', "", 1)) => Err("a time is HHMMSS.FFFFFF"),
        VR::DT if !value.starts_with(|c: char| c.is_ascii_digit()) => Err("a date time is YYYYMMDDHHMMSS.FFFFFF&ZZXX"),
        VR::AS
            if !(value.len() == 4
                && digits(value.get(..3).unwrap_or_default())
                && value.ends_with(['D', 'W', 'M', 'Y'])) =>
        {
            Err("an age is three digits and one of D, W, M, Y")
        }
        VR::CS if !value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b' ' | b'_')) => {
            Err("a code has capital letters, digits, spaces and underscores")
        }
        VR::IS if value.trim().parse::<i32>().is_err() => Err("it is no integer"),
        VR::DS if value.trim().parse::<f64>().is_err() => Err("it is no number"),
        _ => Ok(()),
    }
}

fn name(value: &str) -> Result<(), &'static str> {
    let groups: Vec<_> = value.split('=').collect();
    if groups.len() > 3 {
        return Err("a name has three component groups at most");
    }
    if groups.iter().any(|group| group.chars().count() > 64) {
        return Err("a component group has 64 characters at most");
    }
    if value.chars().any(char::is_control) { Err("it has control characters") } else { Ok(()) }
}

/// Of the Gregorian calendar, roughly: no modality would write the 31st of April either.
fn is_day(value: &str) -> bool {
    let number = |range: std::ops::Range<usize>| value.get(range).and_then(|text| text.parse::<u8>().ok()).unwrap_or(0);
    let (month, day) = (number(4..6), number(6..8));
    let last = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=last).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_may_be_corrected_within_the_bounds_of_its_vr() {
        for (tag, value, vr) in [
            (tags::PATIENT_NAME, "Zhang^San=张^三", VR::PN),
            (tags::PATIENT_BIRTH_DATE, "19700229", VR::DA),
            (tags::PATIENT_BIRTH_DATE, "", VR::DA),
            (tags::ACCESSION_NUMBER, "A1", VR::SH),
            (tags::PATIENT_AGE, "034Y", VR::AS),
            (tags::PATIENT_COMMENTS, "two\r\nlines", VR::LT),
            (tags::PATIENT_WEIGHT, "70.5", VR::DS),
            (tags::BODY_PART_EXAMINED, "CHEST", VR::CS),
        ] {
            assert_eq!(check(tag, value), Ok(vr), "{tag} {value}");
        }
    }

    #[test]
    fn attributes_are_named_by_keyword_or_tag() {
        assert_eq!((keyword_of(tags::PATIENT_NAME), keyword_of(Tag(9, 1))), ("PatientName".into(), "00090001".into()));
    }

    #[test]
    fn what_is_no_value_of_the_vr_is_refused() {
        for (tag, value) in [
            (tags::PATIENT_BIRTH_DATE, "1970-01-01"),
            (tags::PATIENT_BIRTH_DATE, "19701301"),
            (tags::ACCESSION_NUMBER, "12345678901234567"),
            (tags::PATIENT_SEX, "male"),
            (tags::PATIENT_NAME, "a=b=c=d"),
            (tags::STUDY_DESCRIPTION, "a\nb"),
            (tags::SERIES_NUMBER, "one"),
            (tags::PATIENT_AGE, "34"),
        ] {
            assert!(matches!(check(tag, value), Err(NotCorrectable::Value { .. })), "{tag} {value}");
        }
    }

    #[test]
    fn identity_encoding_and_pixels_are_not_corrected() {
        for tag in [
            tags::STUDY_INSTANCE_UID,
            tags::SOP_CLASS_UID,
            tags::SPECIFIC_CHARACTER_SET,
            tags::ROWS,
            tags::RESCALE_SLOPE,
            tags::PHOTOMETRIC_INTERPRETATION,
            tags::ORIGINAL_ATTRIBUTES_SEQUENCE,
            tags::PIXEL_DATA,
            tags::TRANSFER_SYNTAX_UID,
            Tag(0x6000, 0x0022),
        ] {
            assert!(matches!(check(tag, "1"), Err(NotCorrectable::Fixed(_))), "{tag}");
        }
        assert_eq!(check(Tag(0x0009, 0x1001), "1"), Err(NotCorrectable::Unknown(Tag(0x0009, 0x1001))));
    }
}
