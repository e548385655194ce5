//! Dates and times of a match as clocks in the asker's zone show them (PS3.4 §C.4.1.1.3.2, timezone query adjustment).

use pacs_core::{
    VR,
    query::{MOMENTS, Zone, ahead, moment_text},
    tags,
};
use storage::Row;

/// The row on clocks in the first zone; where it does not say its own, it is in the second.
pub(super) fn on_clock_of((asked, local): (Zone, Zone), row: &Row) -> Row {
    let own = row.values.get(&tags::TIMEZONE_OFFSET_FROM_UTC).and_then(|text| text.parse().ok()).unwrap_or(local);
    let minutes = asked.ahead_of(own);
    let mut moved = row.clone();
    moved.values.insert(tags::TIMEZONE_OFFSET_FROM_UTC, asked.to_string());
    for (date, time) in MOMENTS.into_iter().filter(|(date, _)| *date != tags::PATIENT_BIRTH_DATE) {
        let text = |tag, vr| moment_text(vr, row.values.get(&tag)?, '0');
        // A day of which the time is not known stays that day.
        let (Some(on), Some(at)) = (text(date, VR::DA), text(time, VR::TM)) else { continue };
        if let Some((on, at)) = ahead(&on, &at, minutes).filter(|_| minutes != 0) {
            moved.values.insert(date, on);
            moved.values.insert(time, written(&at));
        }
    }
    moved
}

/// A time of twelve digits as VR TM has it.
fn written(time: &str) -> String {
    match time.split_at_checked(6) {
        Some((seconds, "000000")) => seconds.to_owned(),
        Some((seconds, micro)) => format!("{seconds}.{micro}"),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_told_in_the_asker_s_time() {
        let values = [
            (tags::STUDY_DATE, "20260101"),
            (tags::STUDY_TIME, "0130"),
            (tags::SERIES_DATE, "20260101"),
            (tags::CONTENT_DATE, "20260101"),
            (tags::CONTENT_TIME, "120000.5"),
            (tags::PATIENT_BIRTH_DATE, "19800101"),
            (tags::PATIENT_BIRTH_TIME, "0100"),
        ];
        let row = Row::of(values.map(|(tag, value)| (tag, value.to_owned())).into());
        let zones = ("+0000".parse().unwrap(), "+0800".parse().unwrap());
        let moved = on_clock_of(zones, &row).values;
        let expected = [
            (tags::STUDY_DATE, "20251231"),
            (tags::STUDY_TIME, "173000"),
            (tags::SERIES_DATE, "20260101"),
            (tags::CONTENT_DATE, "20260101"),
            (tags::CONTENT_TIME, "040000.500000"),
            (tags::PATIENT_BIRTH_DATE, "19800101"),
            (tags::PATIENT_BIRTH_TIME, "0100"),
            (tags::TIMEZONE_OFFSET_FROM_UTC, "+0000"),
        ];
        assert_eq!(moved, expected.map(|(tag, value)| (tag, value.to_owned())).into());
        let own = Row::of(
            [&values[..2], &[(tags::TIMEZONE_OFFSET_FROM_UTC, "+0000")]]
                .concat()
                .into_iter()
                .map(|(tag, value)| (tag, value.to_owned()))
                .collect(),
        );
        assert_eq!(on_clock_of(zones, &own), own);
    }
}
