//! Until which day a study is kept.

use super::{rule::RetentionRule, study::StudyFacts};
use std::ops::Range;
use time::{Date, Duration, Month, OffsetDateTime};

/// A day that is over somewhere is not over everywhere: dates of studies are local ones, ours are of UTC.
const TIME_ZONES: Duration = Duration::DAY;

/// How long a study is kept, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) rule: String,
    /// The last day.
    pub(crate) until: Date,
}

impl Term {
    pub(super) fn is_over(&self, today: Date) -> bool {
        self.until.checked_add(TIME_ZONES).is_some_and(|last| last < today)
    }
}

/// The longest term that a rule gives; of equals the first. `None` is for ever.
pub(super) fn term(rules: &[RetentionRule], study: &StudyFacts) -> Option<Term> {
    let terms = rules.iter().filter(|rule| rule.matches(study)).map(|rule| (kept_until(rule, study), &rule.name));
    let longest = terms.reduce(|longest, other| if other.0 > longest.0 { other } else { longest });
    longest.map(|(until, rule)| Term { rule: rule.clone(), until })
}

fn kept_until(rule: &RetentionRule, study: &StudyFacts) -> Date {
    let arrived = day_of(study.arrived_at);
    let start = study.date().map_or(arrived, |date| date.max(arrived));
    let until = add_years(start, rule.years);
    match (rule.years_after_coming_of_age, study.birth()) {
        (Some(years), Some(birth)) => {
            let of_age = add_years(birth, rule.coming_of_age);
            let was_minor = study.date().unwrap_or(start) < of_age;
            if was_minor { until.max(add_years(of_age, years)) } else { until }
        }
        _ => until,
    }
}

/// The day of a moment in milliseconds since 1970-01-01 UTC.
pub(super) fn day_of(milliseconds: i64) -> Date {
    let moment = OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000));
    moment.map_or(if milliseconds < 0 { Date::MIN } else { Date::MAX }, OffsetDateTime::date)
}

/// The same day of a later year; 29 February becomes 1 March where there is none, lest a day be lost.
pub(super) fn add_years(date: Date, years: u16) -> Date {
    in_year(date, date.year().saturating_add(years.into()))
}

/// The same day of an earlier year, or the one after it.
pub(super) fn subtract_years(date: Date, years: u16) -> Date {
    in_year(date, date.year().saturating_sub(years.into()))
}

fn in_year(date: Date, year: i32) -> Date {
    let end = if year < date.year() { Date::MIN } else { Date::MAX };
    date.replace_year(year).or_else(|_| Date::from_calendar_date(year, Month::March, 1)).unwrap_or(end)
}

/// A date of DICOM (PS3.5 §6.2, DA), `None` where the calendar has no such day.
pub(super) fn date_of(text: &str) -> Option<Date> {
    let part = |range: Range<usize>| text.get(range)?.parse::<u16>().ok();
    let month = u8::try_from(part(4..6)?).ok().and_then(|month| Month::try_from(month).ok())?;
    Date::from_calendar_date(part(0..4)?.into(), month, u8::try_from(part(6..8)?).ok()?).ok()
}

/// As DICOM writes it.
pub(super) fn text_of(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year().max(0), u8::from(date.month()), date.day())
}

/// The latest day of birth of a patient of this Patient's Age (PS3.5 §6.2, AS) at a date.
pub(super) fn birth_by_age(age: &str, date: Date) -> Option<Date> {
    let number: u16 = age.get(..3)?.parse().ok()?;
    match age.get(3..)? {
        "Y" => Some(subtract_years(date, number)),
        // Counted as born that day: a child is a child.
        "M" | "W" | "D" => Some(date),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::date;

    /// Milliseconds since 1970 at the beginning of a day.
    fn at(date: Date) -> i64 {
        date.midnight().assume_utc().unix_timestamp() * 1000
    }

    fn study(date: &str, arrived: Date) -> StudyFacts {
        StudyFacts { study_date: date.into(), arrived_at: at(arrived), ..StudyFacts::default() }
    }

    fn rule(name: &str, years: u16) -> RetentionRule {
        RetentionRule { name: name.into(), years, ..RetentionRule::default() }
    }

    fn check(rule: &RetentionRule, study: &StudyFacts, until: Date) {
        assert_eq!(kept_until(rule, study), until, "{study:?}");
    }

    #[test]
    fn a_term_counts_from_study_or_arrival_whichever_is_later() {
        check(&rule("a", 15), &study("20100131", date!(2010 - 02 - 01)), date!(2025 - 02 - 01));
        check(&rule("a", 15), &study("20100131", date!(2009 - 01 - 01)), date!(2025 - 01 - 31));
        check(&rule("a", 15), &study("", date!(2010 - 02 - 01)), date!(2025 - 02 - 01));
        check(&rule("a", 15), &study("20109999", date!(2010 - 02 - 01)), date!(2025 - 02 - 01));
        check(&rule("a", 0), &study("20100131", date!(2009 - 01 - 01)), date!(2010 - 01 - 31));
    }

    #[test]
    fn a_leap_day_is_followed_by_the_first_of_march() {
        let study = study("20120229", date!(2012 - 02 - 29));
        check(&rule("a", 15), &study, date!(2027 - 03 - 01));
        check(&rule("a", 16), &study, date!(2028 - 02 - 29));
    }

    #[test]
    fn minors_are_kept_until_years_after_they_came_of_age() {
        let rule = RetentionRule { years_after_coming_of_age: Some(3), ..rule("a", 15) };
        let born = |birth: &str| StudyFacts { birth_date: birth.into(), ..study("20100131", date!(2010 - 01 - 31)) };
        check(&rule, &born("20080229"), date!(2029 - 03 - 01));
        check(&rule, &born("19950601"), date!(2025 - 01 - 31));
        check(&rule, &born("19920131"), date!(2025 - 01 - 31));
        check(&rule, &born(""), date!(2025 - 01 - 31));
        let aged = |age: &str| StudyFacts { age: age.into(), ..born("") };
        check(&rule, &aged("002Y"), date!(2029 - 01 - 31));
        check(&rule, &aged("003M"), date!(2031 - 01 - 31));
        check(&rule, &aged("040Y"), date!(2025 - 01 - 31));
        check(&rule, &aged("x"), date!(2025 - 01 - 31));
    }

    #[test]
    fn the_longest_term_wins_and_what_no_rule_speaks_of_is_kept() {
        let study = study("20100131", date!(2010 - 01 - 31));
        let longest = term(&[rule("a", 15), rule("b", 30), rule("c", 30)], &study);
        assert_eq!(longest, Some(Term { rule: "b".into(), until: date!(2040 - 01 - 31) }));
        let of_mr = RetentionRule { modalities: vec!["MR".into()], ..rule("a", 1) };
        assert_eq!(term(&[of_mr], &study), None);
    }

    #[test]
    fn a_term_is_over_when_its_last_day_is_over_everywhere() {
        let term = Term { rule: String::new(), until: date!(2025 - 01 - 31) };
        let over = [date!(2025 - 01 - 31), date!(2025 - 02 - 01), date!(2025 - 02 - 02)].map(|day| term.is_over(day));
        assert_eq!(over, [false, false, true]);
        assert!(!Term { until: Date::MAX, ..term }.is_over(Date::MAX));
    }

    #[test]
    fn clocks_that_are_wrong_only_lengthen_a_term() {
        check(&rule("a", 15), &study("20100131", date!(1970 - 01 - 01)), date!(2025 - 01 - 31));
        let far = StudyFacts { arrived_at: i64::MAX, ..study("20100131", date!(1970 - 01 - 01)) };
        check(&rule("a", 15), &far, Date::MAX);
        assert_eq!(day_of(-1), date!(1969 - 12 - 31));
    }

    proptest! {
        #[test]
        fn any_texts_give_a_term(date in "\\PC{0,10}", birth in "[0-9]{8}|\\PC{0,10}", age in "\\PC{0,5}", at: i64, years: u16) {
            let rule = RetentionRule { years_after_coming_of_age: Some(years), ..rule("a", years) };
            let study = StudyFacts { study_date: date, birth_date: birth, age, arrived_at: at, ..StudyFacts::default() };
            prop_assert!(kept_until(&rule, &study) >= day_of(at));
        }

        #[test]
        fn a_date_is_written_as_it_was_read(year in 1i32..9900, day in 1u16..=365) {
            let date = Date::from_ordinal_date(year, day).expect("a day");
            prop_assert_eq!(date_of(&text_of(date)), Some(date));
            prop_assert!(subtract_years(add_years(date, 30), 30) >= date);
        }
    }
}
