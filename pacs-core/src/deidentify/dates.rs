//! Dates moved by some days, in the calendar of DICOM (PS3.5 Table 6.2-1, DA and DT).

use dicom_core::VR;

/// Moves all values of a DA or DT element back; times stay. `None` if one of them is no whole date: then it is not known how
/// far to move it.
pub(super) fn earlier(vr: VR, value: &str, days: u16) -> Option<String> {
    let one = |value: &str| match value.trim_matches([' ', '\0']) {
        "" => Some(String::new()),
        // Before 1993 dates were written with dots.
        text if vr == VR::DA => date(&text.replace('.', ""), days).filter(|_| text.replace('.', "").len() == 8),
        text => Some(date(text.get(..8)?, days)? + text.get(8..)?),
    };
    value.split('\\').map(one).collect::<Option<Vec<_>>>().map(|values| values.join("\\"))
}

fn date(text: &str, days: u16) -> Option<String> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month, day) = civil(days_of(year, month, day) - i64::from(days));
    (year >= 0).then(|| format!("{year:04}{month:02}{day:02}"))
}

/// Days since 1970-01-01 of the Gregorian calendar; years begin in March here, so that the day of a leap year is the last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_move_over_months_and_leap_years_and_times_stay() {
        for (vr, value, days, expected) in [
            (VR::DA, "20260301", 1, Some("20260228")),
            (VR::DA, "20240301", 1, Some("20240229")),
            (VR::DA, "20000301", 366, Some("19990301")),
            (VR::DA, "2026.03.01", 1, Some("20260228")),
            (VR::DA, "20260101\\20260102", 1, Some("20251231\\20260101")),
            (VR::DA, "", 1, Some("")),
            (VR::DT, "20260101123000.5+0800", 1, Some("20251231123000.5+0800")),
            (VR::DT, "2026", 1, None),
            (VR::DA, "20261301", 1, None),
            (VR::DA, "202601011", 1, None),
            (VR::DA, "00000101", 1, None),
            (VR::DA, "yesterday", 1, None),
        ] {
            assert_eq!(earlier(vr, value, days).as_deref(), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn days_and_dates_are_one_to_one(days in -719_000_i64..2_900_000) {
            let (year, month, day) = civil(days);
            prop_assert_eq!(days_of(year, month, day), days);
        }

        #[test]
        fn no_text_is_too_odd(value in any::<String>(), days in any::<u16>()) {
            earlier(VR::DA, &value, days);
            earlier(VR::DT, &value, days);
        }
    }
}
