//! Calendar days as DICOM writes them, `YYYYMMDD` (PS3.5 §6.2, VR DA).

/// A day `days` before `date`; `None` if `date` is no date.
pub fn days_before(date: &str, days: i64) -> Option<String> {
    Some(to_text(to_days(date)? - days))
}

/// `YYYY-MM-DD` for people; what is no date is shown as it is.
pub fn display(date: &str) -> String {
    match to_days(date) {
        Some(_) => format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..8]),
        None => date.to_owned(),
    }
}

/// `HH:MM` of a DICOM time (VR TM).
pub fn display_time(time: &str) -> String {
    match (time.get(..2), time.get(2..4)) {
        (Some(hour), Some(minute)) => format!("{hour}:{minute}"),
        _ => String::new(),
    }
}

/// Whole years from `birth` to `day`, both `YYYYMMDD`.
pub fn age_years(birth: &str, day: &str) -> Option<i32> {
    to_days(birth)?;
    to_days(day)?;
    let number = |text: &str| text.parse::<i32>().ok();
    let years = (number(day)? - number(birth)?) / 10_000;
    (0..=150).contains(&years).then_some(years)
}

/// Days since 1970-01-01 (civil calendar, H. Hinnant's algorithm).
fn to_days(date: &str) -> Option<i64> {
    if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (year, month, day): (i64, i64, i64) =
        (date[..4].parse().ok()?, date[4..6].parse().ok()?, date[6..].parse().ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn to_text(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_before_cross_months_leap_days_and_years() {
        for (date, days, expected) in [
            ("20260101", 1, "20251231"),
            ("20240301", 1, "20240229"),
            ("20260301", 1, "20260228"),
            ("20261124", 0, "20261124"),
        ] {
            assert_eq!(days_before(date, days).as_deref(), Some(expected));
        }
        assert_eq!(days_before("2026-1-1", 1), None);
    }

    #[test]
    fn age_counts_birthdays() {
        assert_eq!(age_years("19800615", "20260614"), Some(45));
        assert_eq!(age_years("19800615", "20260615"), Some(46));
        assert_eq!(age_years("", "20260615"), None);
    }

    #[test]
    fn people_read_dashes_and_colons() {
        assert_eq!(display("20261124"), "2026-11-24");
        assert_eq!(display("1999"), "1999");
        assert_eq!(display_time("093015.123"), "09:30");
        assert_eq!(display_time("9"), "");
    }

    proptest! {
        #[test]
        fn any_text_is_shown_without_harm(text in any::<String>()) {
            display(&text);
            display_time(&text);
            days_before(&text, 7);
            age_years(&text, "20260101");
        }

        #[test]
        fn going_no_days_back_changes_nothing(days in -700_000i64..700_000) {
            let date = to_text(days);
            prop_assume!(date.len() == 8);
            prop_assert_eq!(to_days(&date), Some(days));
        }
    }
}
