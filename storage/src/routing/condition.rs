//! Which arrivals a rule speaks of.

use crate::retention::is_like;
use serde::{Deserialize, Serialize};
use std::fmt;
use time::{OffsetDateTime, Time, UtcOffset, Weekday};

/// What is known of an instance that arrived, with the corrections in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// AE title, user or room that brought it.
    pub from: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    pub sop_class: String,
    pub modality: String,
    pub body_part: String,
    pub station: String,
    pub study_description: String,
    pub series_description: String,
    pub institution: String,
}

/// Met by what meets all parts; an empty part is met by everything, a list by any of its patterns. Patterns have `*` and
/// `?`, case does not matter (PS3.4 C.2.2.2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Condition {
    /// AE title, user or room that brought the instance.
    pub from: Vec<String>,
    /// SOP Class UID.
    pub sop_class: Vec<String>,
    pub modality: Vec<String>,
    /// Body Part Examined.
    pub body_part: Vec<String>,
    /// Station Name.
    pub station: Vec<String>,
    pub study_description: Vec<String>,
    pub series_description: Vec<String>,
    /// Institution Name.
    pub institution: Vec<String>,
    /// When the instance arrived.
    pub between: Option<DayTime>,
}

impl Condition {
    pub fn is_met(&self, arrival: &Arrival) -> bool {
        let parts = [
            (&self.from, &arrival.from),
            (&self.sop_class, &arrival.sop_class),
            (&self.modality, &arrival.modality),
            (&self.body_part, &arrival.body_part),
            (&self.station, &arrival.station),
            (&self.study_description, &arrival.study_description),
            (&self.series_description, &arrival.series_description),
            (&self.institution, &arrival.institution),
        ];
        let meets = |(patterns, value): &(&Vec<String>, &String)| {
            patterns.is_empty() || patterns.iter().any(|pattern| is_like(pattern, value))
        };
        parts.iter().all(meets) && self.between.as_ref().is_none_or(|between| between.covers(arrival.at))
    }
}

/// Hours of the day, on some days of the week: `18:00-07:00`, `sat,sun`, `mon-fri 18:00-07:00 +08:00`. Beyond midnight they
/// belong to the day on which they begin. The offset from UTC is that of the clock they are read on; without one it is UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayTime {
    text: String,
    days: Vec<Weekday>,
    from: Time,
    /// Exclusive; not after `from`: of the next day.
    to: Time,
    offset: UtcOffset,
}

/// Why a text names no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "hours are written as 18:00-07:00, before them perhaps days (mon-fri, sat,sun), behind them an offset from UTC (+08:00)"
)]
pub struct DayTimeError;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl DayTime {
    fn covers(&self, at: i64) -> bool {
        let Ok(at) = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)) else { return false };
        let at = at.to_offset(self.offset);
        let (day, time) = (at.weekday(), at.time());
        let is_of = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.to {
            return is_of(day) && (self.from..self.to).contains(&time);
        }
        is_of(day) && time >= self.from || is_of(day.previous()) && time < self.to
    }
}

impl std::str::FromStr for DayTime {
    type Err = DayTimeError;

    fn from_str(text: &str) -> Result<Self, DayTimeError> {
        let mut read = Self {
            text: text.trim().to_owned(),
            days: Vec::new(),
            from: Time::MIDNIGHT,
            to: Time::MIDNIGHT,
            offset: UtcOffset::UTC,
        };
        let mut is_anything = false;
        for word in text.split_whitespace() {
            is_anything = true;
            if word.starts_with(['+', '-']) {
                read.offset = offset(word).ok_or(DayTimeError)?;
            } else if word.starts_with(|c: char| c.is_ascii_digit()) {
                let (from, to) = word.split_once('-').ok_or(DayTimeError)?;
                (read.from, read.to) = (hour(from).ok_or(DayTimeError)?, hour(to).ok_or(DayTimeError)?);
            } else {
                read.days = days(word).ok_or(DayTimeError)?;
            }
        }
        if is_anything { Ok(read) } else { Err(DayTimeError) }
    }
}

fn hour(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    match (hour.parse().ok()?, minute.parse().ok()?) {
        // The end of a day is the start of the next.
        (24, 0) => Some(Time::MIDNIGHT),
        (hour, minute) => Time::from_hms(hour, minute, 0).ok(),
    }
}

fn offset(text: &str) -> Option<UtcOffset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes): (i8, i8) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours < 0 || minutes < 0 {
        return None;
    }
    let sign = if sign == "-" { -1 } else { 1 };
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

fn days(text: &str) -> Option<Vec<Weekday>> {
    let day = |name: &str| {
        let name = name.to_ascii_lowercase();
        DAYS.iter().find(|(known, _)| *known == name).map(|(_, day)| *day)
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        days.push(at);
        while at != last {
            at = at.next();
            days.push(at);
        }
    }
    Some(days)
}

impl TryFrom<String> for DayTime {
    type Error = DayTimeError;
    fn try_from(text: String) -> Result<Self, DayTimeError> {
        text.parse()
    }
}

impl From<DayTime> for String {
    fn from(between: DayTime) -> Self {
        between.text
    }
}

impl fmt::Display for DayTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn arrival() -> Arrival {
        Arrival {
            from: "CT1".into(),
            at: 0,
            sop_class: "1.2.840.10008.5.1.4.1.1.2".into(),
            modality: "CT".into(),
            body_part: "CHEST".into(),
            station: "ROOM 2".into(),
            study_description: "Thorax nativ".into(),
            series_description: String::new(),
            institution: "St. Elsewhere".into(),
        }
    }

    #[test]
    fn all_parts_must_be_met_and_any_pattern_of_a_part() {
        let list = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let condition = Condition { modality: list(&["MR", "ct"]), from: list(&["CT?"]), ..Condition::default() };
        assert!(Condition::default().is_met(&arrival()));
        assert!(condition.is_met(&arrival()));
        assert!(!Condition { body_part: list(&["HEAD"]), ..condition.clone() }.is_met(&arrival()));
        assert!(Condition { study_description: list(&["*thorax*"]), ..condition.clone() }.is_met(&arrival()));
        assert!(!Condition { series_description: list(&["*lung*"]), ..condition }.is_met(&arrival()));
    }

    #[test]
    fn hours_beyond_midnight_belong_to_the_day_on_which_they_begin() {
        let covers = |text: &str, at: OffsetDateTime| {
            text.parse::<DayTime>().unwrap().covers(i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap())
        };
        // 2026-11-27 is a Friday.
        let friday = datetime!(2026-11-27 22:30 UTC);
        assert!(covers("18:00-07:00", friday) && !covers("07:00-18:00", friday));
        assert!(covers("mon-fri 18:00-07:00", datetime!(2026-11-28 06:59:59 UTC)));
        assert!(!covers("mon-fri 18:00-07:00", datetime!(2026-11-28 07:00 UTC)));
        assert!(!covers("sat,sun", friday) && covers("sat,sun +08:00", friday) && covers("fri-sun", friday));
        assert!(covers("06:00-07:00 +08:00", friday) && covers("13:00-24:00 -05:30", friday.replace_hour(20).unwrap()));
    }

    #[test]
    fn what_names_no_hours_is_refused() {
        for text in ["", "18:00", "25:00-07:00", "18-07", "someday", "18:00-07:00 +8", "18:00-07:00 +08:75", "+-8:00"] {
            assert_eq!(text.parse::<DayTime>(), Err(DayTimeError), "{text:?}");
        }
        let written = serde_json::to_string(&" mon 18:00-07:00 ".parse::<DayTime>().unwrap()).unwrap();
        assert_eq!(written, "\"mon 18:00-07:00\"");
    }
}
