//! What becomes of which attribute: PS3.15 Table E.1-1.

use super::{Dates, Profile};
use dicom_core::Tag;
use std::{collections::HashMap, sync::LazyLock};

/// What becomes of an attribute (PS3.15 §E.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Kept; a sequence with its items treated likewise.
    Keep,
    /// X
    Remove,
    /// Z
    Empty,
    /// D
    Dummy,
    /// U
    NewUid,
    /// C of dates: moved by some days.
    Shift,
    /// C of descriptors: only words that tell nothing of anybody.
    Clean,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    basic: Action,
    full_dates: bool,
    modified_dates: bool,
    uids: bool,
    device: bool,
    institution: bool,
    patient: bool,
    clean_patient: bool,
    descriptors: bool,
}

/// What the profile makes of an attribute of the standard, not of a repeating group.
pub(super) fn action(tag: Tag, profile: &Profile) -> Action {
    static TABLE: LazyLock<HashMap<u32, Row>> = LazyLock::new(|| rows(include_str!("table.tsv")).collect());
    let Some(row) = TABLE.get(&(u32::from(tag.0) << 16 | u32::from(tag.1))) else { return Action::Keep };
    let keeps = row.full_dates && profile.dates == Dates::Full
        || row.uids && profile.retain_uids
        || row.device && profile.retain_device
        || row.institution && profile.retain_institution
        || row.patient && profile.retain_patient_characteristics;
    let cleans = row.descriptors && profile.clean_descriptors
        || row.clean_patient && profile.retain_patient_characteristics && profile.clean_descriptors;
    match row.basic {
        _ if keeps => Action::Keep,
        _ if row.modified_dates && profile.dates == Dates::Modified => Action::Shift,
        _ if cleans => Action::Clean,
        basic => basic,
    }
}

/// Rows of single attributes. Where the table leaves a choice that depends on the IOD, such as X/Z/D, the last is taken: it
/// leaves a valid object in every IOD.
fn rows(table: &'static str) -> impl Iterator<Item = (u32, Row)> {
    table.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let tag = u32::from_str_radix(fields.next()?, 16).ok()?;
        let basic = match fields.next()?.rsplit('/').next()? {
            "X" => Action::Remove,
            "Z" => Action::Empty,
            "D" => Action::Dummy,
            "U" => Action::NewUid,
            _ => return None,
        };
        let options = fields.next()?;
        let has = |option: &str| options.split(' ').any(|one| one == option);
        let row = Row {
            basic,
            full_dates: has("full=K"),
            modified_dates: has("modified=C"),
            uids: has("uids=K"),
            device: has("device=K"),
            institution: has("institution=K"),
            patient: has("patient=K"),
            clean_patient: has("patient=C"),
            descriptors: has("descriptors=C"),
        };
        Some((tag, row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_set::header::dictionary_vr;
    use dicom_dictionary_std::tags;

    const TABLE: &str = include_str!("table.tsv");

    #[test]
    fn every_row_of_the_table_is_read() {
        let lines: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 620);
        let repeating: Vec<_> = lines.iter().filter(|line| line[..8].contains('X')).collect();
        assert_eq!((repeating.len(), rows(TABLE).count()), (3, 617));
        assert!(lines.is_sorted());
        let known = rows(TABLE).filter(|(tag, _)| dictionary_vr(Tag((tag >> 16) as u16, *tag as u16), false).is_some());
        assert!(known.count() > 590, "most are attributes of the dictionary");
    }

    fn check(tag: Tag, profile: Profile, expected: Action) {
        assert_eq!(action(tag, &profile), expected, "{tag} {profile:?}");
    }

    #[test]
    fn the_options_change_what_becomes_of_an_attribute() {
        let basic = Profile::default;
        check(tags::PATIENT_NAME, basic(), Action::Empty);
        check(tags::ROWS, basic(), Action::Keep);
        check(tags::SOP_INSTANCE_UID, basic(), Action::NewUid);
        check(tags::SOP_INSTANCE_UID, Profile { retain_uids: true, ..basic() }, Action::Keep);
        check(tags::STUDY_DATE, basic(), Action::Empty);
        check(tags::STUDY_DATE, Profile { dates: Dates::Full, ..basic() }, Action::Keep);
        check(tags::STUDY_DATE, Profile { dates: Dates::Modified, ..basic() }, Action::Shift);
        check(tags::PATIENT_BIRTH_DATE, Profile { dates: Dates::Full, ..basic() }, Action::Empty);
        check(tags::PATIENT_AGE, basic(), Action::Remove);
        check(tags::PATIENT_AGE, Profile { retain_patient_characteristics: true, ..basic() }, Action::Keep);
        check(tags::ALLERGIES, Profile { retain_patient_characteristics: true, ..basic() }, Action::Remove);
        check(tags::STATION_NAME, basic(), Action::Dummy);
        check(tags::STATION_NAME, Profile { retain_device: true, ..basic() }, Action::Keep);
        check(tags::INSTITUTION_NAME, Profile { retain_institution: true, ..basic() }, Action::Keep);
        check(tags::STUDY_DESCRIPTION, basic(), Action::Remove);
        check(tags::STUDY_DESCRIPTION, Profile { clean_descriptors: true, ..basic() }, Action::Clean);
        check(tags::REFERENCED_IMAGE_SEQUENCE, basic(), Action::NewUid);
    }
}
