//! Dates and times that are matched together, and in whose time zone they are meant (PS3.4 §C.2.2.2.5, §C.5.1.1).

use super::{Condition, moment_text};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::{fmt, str::FromStr};

/// The attributes of the index that are date and time of one moment.
pub const MOMENTS: [(Tag, Tag); 5] = [
    (tags::PATIENT_BIRTH_DATE, tags::PATIENT_BIRTH_TIME),
    (tags::STUDY_DATE, tags::STUDY_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, tags::PERFORMED_PROCEDURE_STEP_START_TIME),
];

/// How the dates and times of a question are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// A range of dates and one of times are one range of moments, and not a range of times on each of the days.
    pub combined: bool,
    /// The zone of the asker, and that of what does not say its own.
    pub zones: Option<(Zone, Zone)>,
}

/// Offset from UTC in minutes, east positive (VR SH of Timezone Offset From UTC, PS3.3 §C.12.1.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(i16);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time zone is an offset from UTC from -1200 to +1400, such as +0800")]
pub struct ZoneError;

impl Zone {
    pub const UTC: Self = Self(0);

    /// In minutes.
    pub fn of_minutes(minutes: i16) -> Result<Self, ZoneError> {
        if (-720..=840).contains(&minutes) { Ok(Self(minutes)) } else { Err(ZoneError) }
    }

    /// All that are in use somewhere, and more: every quarter of an hour.
    pub fn all() -> impl Iterator<Item = Self> {
        (-720..=840).step_by(15).map(Self)
    }

    /// Minutes by which clocks here are ahead of those in another zone.
    pub fn ahead_of(self, other: Self) -> i16 {
        self.0 - other.0
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let (sign, digits) = text.trim().split_at_checked(1).ok_or(ZoneError)?;
        let sign = match sign {
            "+" => 1,
            "-" => -1,
            _ => return Err(ZoneError),
        };
        if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ZoneError);
        }
        let number: i16 = digits.parse().map_err(|_| ZoneError)?;
        if number % 100 > 59 {
            return Err(ZoneError);
        }
        Self::of_minutes(sign * (number / 100 * 60 + number % 100))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}{:02}", self.0.abs() / 60, self.0.abs() % 60)
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

/// A date of 8 digits and a time of 12; the time is empty where only the date is known or meant.
pub type Moment = (String, String);

/// A stretch of time, both ends inclusive; an end that is missing is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Moment>,
    pub to: Option<Moment>,
}

impl Span {
    /// Of a condition on dates, and perhaps one on times; `None` if they are no values or ranges.
    pub fn of(date: &Condition, time: Option<&Condition>) -> Option<Self> {
        let (from_date, to_date) = ends(date)?;
        let (from_time, to_time) = time.map_or(Some((None, None)), ends)?;
        let end = |date: Option<&str>, time: Option<&str>, fill| {
            let date = moment_text(VR::DA, date?, fill)?;
            Some((date, time.and_then(|time| moment_text(VR::TM, time, fill)).unwrap_or_default()))
        };
        Some(Self { from: end(from_date, from_time, '0'), to: end(to_date, to_time, '9') })
    }

    /// The same stretch on clocks that are ahead by so many minutes. An end without time then gets one: days begin and end
    /// at other times there.
    #[must_use]
    pub fn ahead(&self, minutes: i16) -> Self {
        if minutes == 0 {
            return self.clone();
        }
        let end = |end: &Option<Moment>, of_day| {
            let (date, time) = end.as_ref()?;
            let time = if time.is_empty() { of_day } else { time.as_str() };
            Some(ahead(date, time, minutes).unwrap_or_else(|| (date.clone(), time.to_owned())))
        };
        Self { from: end(&self.from, MIDNIGHT), to: end(&self.to, LAST) }
    }

    /// Whether a date and time lie within, as [`moment_text`] writes them; an unknown time is that of no end.
    pub fn contains(&self, date: &str, time: &str) -> bool {
        let after =
            |(from, at): &Moment| date > from.as_str() || date == from && (at.is_empty() || time >= at.as_str());
        let before = |(to, at): &Moment| date < to.as_str() || date == to && (at.is_empty() || time <= at.as_str());
        !date.is_empty() && self.from.as_ref().is_none_or(after) && self.to.as_ref().is_none_or(before)
    }
}

const MIDNIGHT: &str = "000000000000";
const LAST: &str = "235959999999";

/// The ends of a single value or range.
fn ends(condition: &Condition) -> Option<(Option<&str>, Option<&str>)> {
    match condition {
        Condition::Exact(value) => Some((Some(value), Some(value))),
        Condition::Range { from, to } => Some((from.as_deref(), to.as_deref())),
        Condition::Wildcard(_) | Condition::AnyOf(_) | Condition::Empty => None,
    }
}

/// The ranges of times of day, each as text of 12 digits, that a range of times is on clocks that are ahead by so many
/// minutes: two where it goes over midnight. `None` if it is no value or range.
pub fn times_ahead(time: &Condition, minutes: i16) -> Option<Vec<(String, String)>> {
    let (from, to) = ends(time)?;
    let bound = |text: Option<&str>, fill, open: &str| {
        text.map_or_else(|| Some(open.to_owned()), |text| moment_text(VR::TM, text, fill))
    };
    let (from, to) = (bound(from, '0', MIDNIGHT)?, bound(to, '9', LAST)?);
    if minutes == 0 {
        return Some(vec![(from, to)]);
    }
    // On some day; only the time counts.
    let moved = |time: &str| ahead("20000102", time, minutes).map(|(_, time)| time);
    let (from, to) = (moved(&from)?, moved(&to)?);
    if from <= to {
        return Some(vec![(from, to)]);
    }
    Some(vec![(from, LAST.to_owned()), (MIDNIGHT.to_owned(), to)])
}

/// What clocks show that are ahead by so many minutes; `None` if it is no date and time. Digits that stand for any, such as
/// the 99 of a month's end, are taken for the last there is.
pub fn ahead(date: &str, time: &str, minutes: i16) -> Option<Moment> {
    let part = |text: &str, at: std::ops::Range<usize>| text.get(at)?.parse::<u32>().ok().map(i64::from);
    let (year, month) = (part(date, 0..4)?, part(date, 4..6)?.clamp(1, 12));
    let first = days_before(year, month);
    let next = if month == 12 { days_before(year + 1, 1) } else { days_before(year, month + 1) };
    let day = part(date, 6..8)?.clamp(1, next - first);
    let (hour, minute, second) = (part(time, 0..2)?.min(23), part(time, 2..4)?.min(59), part(time, 4..6)?.min(59));
    let rest = time.get(6..12).filter(|micro| micro.bytes().all(|b| b.is_ascii_digit()))?;
    let moved = (first + day - 1) * DAY + hour * 60 + minute + i64::from(minutes);
    let (year, month, day) = calendar(moved.div_euclid(DAY))?;
    let at = moved.rem_euclid(DAY);
    Some((format!("{year:04}{month:02}{day:02}"), format!("{:02}{:02}{second:02}{rest}", at / 60, at % 60)))
}

/// In minutes.
const DAY: i64 = 24 * 60;

/// Days of the Gregorian calendar from the first of the year 0 to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    // Years that begin in March have the leap day at their end, and months of a length that repeats every five.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + 60
}

/// The date that so many days after the first of the year 0 is; `None` outside the years 0 to 9999.
fn calendar(days: i64) -> Option<(i64, i64, i64)> {
    let about = days.div_euclid(366);
    let year = (about..=about + 30).rev().find(|year| days_before(*year, 1) <= days)?;
    let month = (1..=12).rev().find(|month| days_before(year, *month) <= days)?;
    (0..=9999).contains(&year).then(|| (year, month, days - days_before(year, month) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Condition {
        let (from, to) = text.split_once('-').map_or((text, text), |ends| ends);
        let end = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Condition::Range { from: end(from), to: end(to) }
    }

    fn check(date: &str, time: Option<&str>, ahead: i16, inside: &[(&str, &str)], outside: &[(&str, &str)]) {
        let time = time.map(range);
        let span = Span::of(&range(date), time.as_ref()).expect("a span").ahead(ahead);
        let full = |time: &str| if time.is_empty() { String::new() } else { format!("{time:0<12}") };
        for (date, time) in inside {
            assert!(span.contains(date, &full(time)), "{date} {time} in {span:?}");
        }
        for (date, time) in outside {
            assert!(!span.contains(date, &full(time)), "{date} {time} not in {span:?}");
        }
    }

    #[test]
    fn a_range_of_dates_and_one_of_times_are_one_of_moments() {
        check(
            "20050101-20050105",
            Some("1000-1800"),
            0,
            &[("20050101", "1000"), ("20050103", "0300"), ("20050105", "1800"), ("20050102", "")],
            &[("20050101", "0959"), ("20050105", "1801"), ("20041231", "1200"), ("", "1200"), ("20050101", "")],
        );
        check("20050101-", Some("1000-"), 0, &[("20050101", "11"), ("2010", "01")], &[("20050101", "0959")]);
        check("-2005", None, 0, &[("20051231", "235959"), ("20051231", "")], &[("20060101", "")]);
    }

    #[test]
    fn a_day_here_begins_and_ends_at_another_time_there() {
        let inside = [("20041231", "1600"), ("20050101", "1559")];
        check("20050101", None, -480, &inside, &[("20041231", "1559"), ("20050101", "1600")]);
        assert_eq!(
            times_ahead(&range("0100-0900"), -120),
            Some(vec![("230000000000".to_owned(), LAST.to_owned()), (MIDNIGHT.to_owned(), "070059999999".to_owned()),])
        );
        assert_eq!(ahead("20240228", "230000000000", 90), Some(("20240229".to_owned(), "003000000000".to_owned())));
    }

    #[test]
    fn zones_are_read_and_written_as_dicom_has_them() {
        for text in ["+0800", "-0330", "+1400", "-1200", "+0000"] {
            assert_eq!(text.parse::<Zone>().map(|zone| zone.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "0800", "+08:00", "+2500", "-1300", "+0860", "+٠٨٠٠", "Z"] {
            assert_eq!(text.parse::<Zone>(), Err(ZoneError), "{text}");
        }
        assert!(Zone::all().any(|zone| zone == "+0545".parse().expect("a zone")));
    }

    #[test]
    fn the_calendar_knows_its_months_and_leap_days() {
        for (date, next) in [
            ("20240228", "20240229"),
            ("20230228", "20230301"),
            ("19000228", "19000301"),
            ("20000228", "20000229"),
            ("20240229", "20240301"),
            ("20231231", "20240101"),
            ("20250430", "20250501"),
            ("00000101", "00000102"),
            ("99991230", "99991231"),
        ] {
            assert_eq!(ahead(date, MIDNIGHT, 1440), Some((next.to_owned(), MIDNIGHT.to_owned())));
            assert_eq!(ahead(next, MIDNIGHT, -1440), Some((date.to_owned(), MIDNIGHT.to_owned())));
        }
        assert_eq!(ahead("99991231", MIDNIGHT, 1440), None);
        assert_eq!(ahead("20059999", LAST, 0), Some(("20051231".to_owned(), LAST.to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_moved_or_left(date in any::<String>(), time in any::<String>(), minutes in any::<i16>()) {
            if let Some((date, time)) = ahead(&date, &time, minutes) {
                prop_assert_eq!((date.len(), time.len()), (8, 12));
            }
            drop(date.parse::<Zone>());
        }
    }
}
