//! Date-times as they are compared (PS3.5 §6.2, VR DT; PS3.4 §C.2.2.2.5).

/// A date-time to the precision that it was given with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DateTime {
    /// Up to microseconds, most significant first.
    digits: String,
    /// From UTC, in minutes.
    offset: Option<i64>,
}

impl DateTime {
    /// One value: all of `text`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::take(text.trim()).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
    }

    /// The value at the begin of `text`, and the rest. A minus and four digits up to 1400 that end the value are its offset:
    /// as the begin of the other end of a range they would be a year nobody lived in.
    pub(super) fn take(text: &str) -> Option<(Self, &str)> {
        let len = text.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, mut rest) = text.split_at_checked(len)?;
        let mut digits = whole.to_owned();
        if let Some(fraction) = rest.strip_prefix('.') {
            let len = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, after) = fraction.split_at_checked(len)?;
            if whole.len() != 14 || !(1..=6).contains(&len) {
                return None;
            }
            digits += fraction;
            rest = after;
        }
        if !matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14..=20) || whole.len() > 14 {
            return None;
        }
        let (offset, rest) = take_offset(rest).map_or((None, rest), |(offset, rest)| (Some(offset), rest));
        Some((Self { digits, offset }, rest))
    }

    /// Whether this as the begin of a range lets `value` in.
    pub(super) fn is_before_or_at(&self, value: &Self) -> bool {
        ordered(self, '0', value, '0')
    }

    /// Whether this as the end of a range lets `value` in: all that its precision leaves open is in it.
    pub(super) fn is_at_or_after(&self, value: &Self) -> bool {
        ordered(value, '0', self, '9')
    }

    /// All digits, those not given filled with the first or last that there are.
    fn filled(&self, fill: char) -> String {
        let rest = if fill == '0' { "00000101000000000000" } else { "99991231235959999999" };
        self.digits.chars().chain(rest.chars().skip(self.digits.len())).collect()
    }

    fn utc(&self, fill: char) -> Option<i64> {
        let filled = self.filled(fill);
        let number = |from: usize, to: usize| filled.get(from..to)?.parse::<i64>().ok();
        let (year, month) = (number(0, 4)?, number(4, 6)?);
        let day = number(6, 8)?.min(days_of(year, month));
        let minutes = days(year, month, day) * 1440 + number(8, 10)? * 60 + number(10, 12)? - self.offset?;
        Some((minutes * 60 + number(12, 14)?) * 1_000_000 + number(14, 20)?)
    }
}

/// By the clock of the world where both say where they stand to it, else by that on the wall.
fn ordered(a: &DateTime, fill_a: char, b: &DateTime, fill_b: char) -> bool {
    match (a.utc(fill_a), b.utc(fill_b)) {
        (Some(a), Some(b)) => a <= b,
        _ => a.filled(fill_a) <= b.filled(fill_b),
    }
}

fn take_offset(text: &str) -> Option<(i64, &str)> {
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (digits, rest) = text.get(1..)?.split_at_checked(4)?;
    let number: i64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let ends = rest.is_empty() || rest.starts_with('-');
    (ends && number <= 1400).then_some((sign * (number / 100 * 60 + number % 100), rest))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1 March of the year 0, in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> DateTime {
        DateTime::parse(text).expect("a date-time")
    }

    #[test]
    fn moments_compare_by_their_offsets_where_both_have_one() {
        assert!(value("20261128080000+0800").is_before_or_at(&value("20261128000000+0000")));
        assert!(!value("20261128080001+0800").is_before_or_at(&value("20261128000000+0000")));
        assert!(value("20260228").is_at_or_after(&value("20260228235959.999999")));
        assert!(value("202602+0000").is_at_or_after(&value("20260228235959+0000")));
        assert!(!value("202602+0000").is_at_or_after(&value("20260301000000+0000")));
        assert!(value("20261128").is_before_or_at(&value("20261128080000+0800")));
    }

    #[test]
    fn an_offset_and_the_other_end_of_a_range_are_told_apart() {
        let rest = |text: &'static str| DateTime::take(text).map(|(value, rest)| (value.offset, rest));
        assert_eq!(rest("20261128-0500"), Some((Some(-300), "")));
        assert_eq!(rest("20261128-2027"), Some((None, "-2027")));
        assert_eq!(rest("20261128-0500-20261129"), Some((Some(-300), "-20261129")));
        assert_eq!(rest("20261128-20261129"), Some((None, "-20261129")));
        assert_eq!(rest("2026112"), None);
        assert_eq!(rest("2026.5"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_moment_or_none(text in any::<String>(), digits in "[0-9]{0,22}[.+-]?[0-9]{0,8}") {
            for text in [text, digits] {
                if let Some(moment) = DateTime::parse(&text) {
                    prop_assert!(moment.is_before_or_at(&moment) && moment.is_at_or_after(&moment));
                }
            }
        }
    }
}
