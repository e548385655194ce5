//! Dates and times of DICOM, as HL7 v2 and FHIR write them.

use time::{Date, Month, OffsetDateTime, Time, UtcOffset, macros::format_description};

/// A date, perhaps with a time of day, perhaps with its offset from UTC (PS3.5 §6.2 DA, TM; PS3.3 C.12.1.1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub date: Date,
    pub time: Option<Time>,
    pub offset: Option<UtcOffset>,
}

impl Moment {
    /// From `YYYYMMDD`, `HH[MM[SS[.F]]]` and `±HHMM`; `None` without a real date. A time or offset that makes no
    /// sense is left out.
    pub fn read(date: &str, time: Option<&str>, offset: Option<&str>) -> Option<Self> {
        let date = read_date(date)?;
        Some(Self { date, time: time.and_then(read_time), offset: offset.and_then(read_offset) })
    }

    /// An instant in UTC, given in milliseconds since 1970-01-01; one beyond the calendar becomes 1970-01-01.
    pub fn of_millis(millis: i64) -> Self {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
        let instant = instant.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self { date: instant.date(), time: Some(instant.time()), offset: Some(UtcOffset::UTC) }
    }

    /// HL7 v2 TS: `YYYYMMDD[HHMMSS[±ZZZZ]]`.
    pub fn hl7(&self) -> String {
        let date = hl7_date(self.date);
        let Some(time) = self.time else { return date };
        let (hour, minute, second) = time.as_hms();
        let offset = self.offset.map_or(String::new(), |offset| offset_text(offset, ""));
        format!("{date}{hour:02}{minute:02}{second:02}{offset}")
    }

    /// FHIR dateTime; the time of day is left out where its offset is unknown, as FHIR demands both or none.
    pub fn fhir(&self) -> String {
        self.fhir_instant().unwrap_or_else(|| fhir_date(self.date))
    }

    /// FHIR instant: only with time and offset.
    pub fn fhir_instant(&self) -> Option<String> {
        let (hour, minute, second) = self.time?.as_hms();
        let offset = offset_text(self.offset?, ":");
        Some(format!("{}T{hour:02}:{minute:02}:{second:02}{offset}", fhir_date(self.date)))
    }
}

/// A DICOM date (DA), if it is a day of the calendar.
pub fn read_date(text: &str) -> Option<Date> {
    let text = text.trim();
    if text.len() != 8 {
        return None;
    }
    let month = Month::try_from(number::<u8>(text.get(4..6)?)?).ok()?;
    Date::from_calendar_date(i32::from(number::<u16>(text.get(..4)?)?), month, number(text.get(6..)?)?).ok()
}

/// `YYYYMMDD`.
pub fn hl7_date(date: Date) -> String {
    // A date of four digits always formats.
    date.format(format_description!("[year][month][day]")).unwrap_or_default()
}

/// `YYYY-MM-DD`.
pub fn fhir_date(date: Date) -> String {
    date.format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}

fn read_time(text: &str) -> Option<Time> {
    let digits = text.trim().split('.').next()?;
    let pair = |at: usize| match digits.get(at..at + 2) {
        Some(pair) => number(pair),
        None => (digits.len() <= at).then_some(0),
    };
    if digits.is_empty() {
        return None;
    }
    // A leap second is written as 59: neither receiver's format is sure to take 60.
    Time::from_hms(pair(0)?, pair(2)?, pair(4)?.min(59)).ok()
}

fn read_offset(text: &str) -> Option<UtcOffset> {
    let text = text.trim();
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = (number::<i8>(text.get(1..3)?)?, number::<i8>(text.get(3..5)?)?);
    if text.len() != 5 || hours > 14 || minutes > 59 {
        return None;
    }
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn offset_text(offset: UtcOffset, separator: &str) -> String {
    let (hours, minutes, _) = offset.as_hms();
    let sign = if offset.is_negative() { '-' } else { '+' };
    format!("{sign}{:02}{separator}{:02}", hours.abs(), minutes.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(parts: (&str, Option<&str>, Option<&str>), hl7: &str, fhir: &str) {
        let moment = Moment::read(parts.0, parts.1, parts.2).unwrap();
        assert_eq!((moment.hl7().as_str(), moment.fhir().as_str()), (hl7, fhir), "{parts:?}");
    }

    #[test]
    fn a_time_of_day_goes_to_fhir_only_with_its_offset() {
        check(("20261123", Some("091500.123456"), Some("+0800")), "20261123091500+0800", "2026-11-23T09:15:00+08:00");
        check(("20261123", Some("0915"), Some("-0330")), "20261123091500-0330", "2026-11-23T09:15:00-03:30");
        check(("20261123", Some("09"), None), "20261123090000", "2026-11-23");
        check(("20261123", None, Some("+0800")), "20261123", "2026-11-23");
        check(("20261123", Some("noon"), Some("east")), "20261123", "2026-11-23");
        check(("20161231", Some("235960"), Some("+0000")), "20161231235959+0000", "2016-12-31T23:59:59+00:00");
    }

    #[test]
    fn what_is_no_day_is_no_date() {
        for text in ["", "20260230", "2026-11-23", "2026112", "+2261123", "２０２６"] {
            assert_eq!(read_date(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_instant_is_written_in_utc() {
        assert_eq!(Moment::of_millis(1_795_400_000_000).fhir(), "2026-11-23T02:13:20+00:00");
        assert_eq!(Moment::of_millis(i64::MAX).fhir(), "1970-01-01T00:00:00+00:00");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_left_out(date in any::<String>(), time in any::<String>(), offset in any::<String>()) {
            let _ = Moment::read(&date, Some(&time), Some(&offset));
            let _ = Moment::read("20261123", Some(&time), Some(&offset));
        }
    }
}
