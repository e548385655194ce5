//! How keys are read and values matched (PS3.4 C.2.2.2).

use super::{Attribute, Condition, QueryError, date_time::DateTime, is_universal};
use crate::person_name::fold;
use crate::uid::Uid;
use dicom_core::VR;

/// How keys of a value representation are matched, beside universal matching and lists of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    Uid,
    /// Dates and times.
    Moment,
    DateTime,
    Number,
    Text,
}

impl Matching {
    pub const fn of(vr: VR) -> Self {
        match vr {
            VR::UI => Self::Uid,
            VR::DA | VR::TM => Self::Moment,
            VR::DT => Self::DateTime,
            VR::IS | VR::US | VR::DS => Self::Number,
            _ => Self::Text,
        }
    }

    /// As PS3.4 §C.2.2.2 names it.
    pub const fn described(self) -> &'static str {
        match self {
            Self::Uid => "single value, list of UID",
            Self::Moment | Self::DateTime => "single value, range, list",
            Self::Number => "single value, list",
            Self::Text => "single value, wildcard, list",
        }
    }
}

impl Condition {
    /// Reads a key; `None` is universal matching.
    ///
    /// Lists are separated by a backslash; of UIDs and code strings, which can hold none, also by a comma.
    pub fn parse(attribute: &Attribute, text: &str) -> Result<Option<Self>, QueryError> {
        Self::of(attribute.keyword, attribute.vr, text)
    }

    /// As [`Self::parse`], for an attribute that the index does not hold.
    pub(super) fn of(keyword: &str, vr: VR, text: &str) -> Result<Option<Self>, QueryError> {
        let invalid = |what| QueryError::Key { keyword: keyword.to_owned(), what };
        let text = text.trim_matches([' ', '\0']);
        if is_universal(text) {
            return Ok(None);
        }
        let comma = matches!(vr, VR::UI | VR::CS);
        let values: Vec<_> = text.split(|c| c == '\\' || comma && c == ',').map(str::trim).collect();
        let mut conditions = Vec::new();
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            conditions.push(Self::single(vr, value).map_err(invalid)?);
        }
        if conditions.len() < 2 {
            return Ok(conditions.pop());
        }
        let exact = |condition| match condition {
            Self::Exact(value) => Ok(value),
            _ => Err(invalid("a list holds single values only")),
        };
        Ok(Some(Self::AnyOf(conditions.into_iter().map(exact).collect::<Result<_, _>>()?)))
    }

    fn single(vr: VR, text: &str) -> Result<Self, &'static str> {
        let exact = || Self::Exact(text.to_owned());
        match Matching::of(vr) {
            Matching::Uid => text.parse::<Uid>().map(|uid| Self::Exact(uid.into())).map_err(|_| "is not a UID"),
            Matching::Moment => Self::moment(vr, text),
            Matching::DateTime => Self::date_time(text),
            Matching::Number => text.parse::<f64>().is_ok_and(f64::is_finite).then(exact).ok_or("is not a number"),
            Matching::Text if text.contains(['*', '?']) => Ok(Self::Wildcard(text.to_owned())),
            Matching::Text => Ok(exact()),
        }
    }

    /// A date, a time, or a range of them. `2010*` is not by the standard but clear.
    fn moment(vr: VR, text: &str) -> Result<Self, &'static str> {
        let text = text.trim_end_matches('*');
        let what = if vr == VR::DA { "is not a date or range of dates" } else { "is not a time or range of times" };
        let sound = |text: &str| digits(vr, text).map(|_| text.to_owned()).ok_or(what);
        let Some((from, to)) = text.split_once('-') else { return Ok(Self::Exact(sound(text)?)) };
        let end = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(sound).transpose();
        match (end(from)?, end(to)?) {
            (None, None) => Err(what),
            (from, to) => Ok(Self::Range { from, to }),
        }
    }

    /// A date-time or a range of them; see [`DateTime::take`] for what a minus is.
    fn date_time(text: &str) -> Result<Self, &'static str> {
        let what = "is not a date-time or range of date-times";
        let single = |text: &str| DateTime::parse(text).map(|_| Some(text.to_owned())).ok_or(what);
        if let Some(to) = text.strip_prefix('-') {
            return Ok(Self::Range { from: None, to: single(to)? });
        }
        let (_, rest) = DateTime::take(text).ok_or(what)?;
        let from = text.strip_suffix(rest).unwrap_or(text).to_owned();
        match rest.strip_prefix('-') {
            None if rest.is_empty() => Ok(Self::Exact(from)),
            None => Err(what),
            Some("") => Ok(Self::Range { from: Some(from), to: None }),
            Some(to) => Ok(Self::Range { from: Some(from), to: single(to)? }),
        }
    }

    /// Whether `value` (one value) matches; the reference that SQL is tested against.
    ///
    /// Dates and times may be given to any precision: `10` is the hour, a range up to `10` includes it. Person names
    /// match as [`fold`] leaves them, without regard to case, width, accents and simplified or traditional characters; a
    /// name without `=` matches any of the component groups. Numbers match by value.
    pub fn matches(&self, vr: VR, value: &str) -> bool {
        let value = value.trim_matches([' ', '\0']);
        match self {
            Self::Exact(wanted) => equal(vr, wanted, value),
            Self::AnyOf(wanted) => wanted.iter().any(|wanted| equal(vr, wanted, value)),
            Self::Wildcard(pattern) if vr == VR::PN => names(pattern, value, wildcard),
            Self::Wildcard(pattern) => wildcard(pattern, value),
            Self::Range { from, to } => within(vr, from.as_deref(), to.as_deref(), value),
            Self::Empty => value.is_empty(),
        }
    }
}

fn equal(vr: VR, wanted: &str, value: &str) -> bool {
    match vr {
        VR::DA | VR::TM | VR::DT => within(vr, Some(wanted), Some(wanted), value),
        VR::PN => names(wanted, value, |wanted, value| wanted == value),
        VR::IS | VR::US | VR::DS => number_text(wanted) == number_text(value),
        _ => wanted == value,
    }
}

/// Compares names group by group; a question of one group may be any of the three.
fn names(wanted: &str, value: &str, same: fn(&str, &str) -> bool) -> bool {
    let (wanted, value) = (name_groups(wanted), name_groups(value));
    if let [wanted] = wanted.as_slice() {
        return value.iter().any(|value| same(wanted, value));
    }
    let mut values = value.iter().map(String::as_str);
    wanted.iter().all(|wanted| {
        let value = values.next().unwrap_or_default();
        wanted.is_empty() || same(wanted, value)
    })
}

/// The component groups of a person name (PS3.5 §6.2.1) as they are compared: folded, without trailing delimiters.
pub fn name_groups(name: &str) -> Vec<String> {
    name.split('=').map(|group| fold(group).trim_end_matches([' ', '^']).to_owned()).collect()
}

/// A number as it is compared: one text for `7`, `007` and `+7`; what is no number stays as it is.
pub fn number_text(text: &str) -> String {
    match text.trim().parse::<f64>() {
        // The sum makes one zero of the two.
        Ok(number) if number.is_finite() => (number + 0.0).to_string(),
        _ => text.to_owned(),
    }
}

/// `*` is any characters, `?` any one (PS3.4 C.2.2.2.4). Takes time proportional to both lengths at worst.
fn wildcard(pattern: &str, value: &str) -> bool {
    let (pattern, value): (Vec<_>, Vec<_>) = (pattern.chars().collect(), value.chars().collect());
    let (mut p, mut v) = (0, 0);
    // Where to go on after the last star: one more character of the value is then the star's.
    let mut star = None;
    loop {
        match (pattern.get(p), value.get(v)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p + 1, v));
                p += 1;
            }
            (Some(wanted), Some(character)) if *wanted == '?' || wanted == character => {
                p += 1;
                v += 1;
            }
            _ => match star {
                Some((after, taken)) if taken < value.len() => {
                    star = Some((after, taken + 1));
                    (p, v) = (after, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

/// Both ends inclusive, each to its own precision.
fn within(vr: VR, from: Option<&str>, to: Option<&str>, value: &str) -> bool {
    if vr == VR::DT {
        return within_date_times(from, to, value);
    }
    let Some(value) = moment_text(vr, value, '0') else { return false };
    let bound = |text: Option<&str>, fill| text.and_then(|text| moment_text(vr, text, fill));
    bound(from, '0').is_none_or(|from| from <= value) && bound(to, '9').is_none_or(|to| value <= to)
}

fn within_date_times(from: Option<&str>, to: Option<&str>, value: &str) -> bool {
    let Some(value) = DateTime::parse(value) else { return false };
    let bound = |text: Option<&str>| text.and_then(DateTime::parse);
    bound(from).is_none_or(|from| from.is_before_or_at(&value)) && bound(to).is_none_or(|to| to.is_at_or_after(&value))
}

/// A date or time as it is compared: all digits it can have, those that are not given filled with `fill` (`0` for a
/// value or the begin of a range, `9` for the end). `None` if it is neither date nor time.
pub fn moment_text(vr: VR, text: &str, fill: char) -> Option<String> {
    let digits = digits(vr, text)?;
    let width = if vr == VR::DA { 8 } else { 12 };
    let missing = width - digits.len().min(width);
    Some(digits.chars().chain(std::iter::repeat_n(fill, missing)).collect())
}

/// The digits of a date (to 8) or time (to 12, microseconds), most significant first; `None` if it is none.
///
/// Separators of older editions are let in: `2010.01.31`, `10:30:00` (PS3.5 §6.2).
fn digits(vr: VR, text: &str) -> Option<String> {
    let text = text.trim();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let sound = match vr {
        VR::DA => matches!(digits.len(), 4 | 6 | 8) && text.chars().all(|c| c.is_ascii_digit() || c == '.'),
        _ => {
            let whole: String = text.chars().take_while(|c| *c != '.').filter(char::is_ascii_digit).collect();
            let fraction = digits.len() - whole.len();
            matches!((whole.len(), fraction), (2 | 4, 0) | (6, 0..=6))
                && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'))
        }
    };
    sound.then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{ATTRIBUTES, attribute};
    use dicom_core::Tag;
    use dicom_dictionary_std::tags;
    use proptest::prelude::*;

    #[track_caller]
    fn check(tag: Tag, key: &str, matching: &[&str], others: &[&str]) {
        let attribute = attribute(tag).expect("an indexed attribute");
        let condition = Condition::parse(attribute, key).expect("a key").expect("a condition");
        for value in matching {
            assert!(condition.matches(attribute.vr, value), "{key} should match {value}");
        }
        for value in others {
            assert!(!condition.matches(attribute.vr, value), "{key} should not match {value}");
        }
    }

    #[test]
    fn names_match_in_any_group_however_they_are_written() {
        let zhang = "Zhang^San=张^三=";
        check(tags::PATIENT_NAME, "zhang^san", &[zhang, "ZHANG^SAN^^"], &["Zhang^Sanfeng", ""]);
        check(tags::PATIENT_NAME, "张*", &[zhang, "张^伟"], &["Zhang^San", "王^小东"]);
        check(tags::PATIENT_NAME, "*三", &[zhang], &["Zhang^San=张^三丰"]);
        check(tags::PATIENT_NAME, "=张^三", &[zhang, "Other=张^三"], &["张^三"]);
        check(tags::PATIENT_NAME, "É*", &["éa", "ÉA", "ea"], &["aé"]);
        check(tags::PATIENT_NAME, "陳^大文", &["Chen^Tai Man=陳^大文", "陈^大文"], &["陳^文大"]);
        check(tags::PATIENT_NAME, "＊ﾔﾏ*", &["=山田=やまだ"], &["=山田"]);
    }

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        check(tags::STUDY_DESCRIPTION, "CT*", &["CT", "CT THORAX"], &["ct thorax", "NCT"]);
        check(tags::STUDY_DESCRIPTION, "*低?量*", &["胸部CT（低剂量筛查）"], &["低量"]);
        check(tags::STUDY_DESCRIPTION, "?", &["A", "张"], &["", "AB"]);
        check(tags::STUDY_DESCRIPTION, "a*b*c", &["abc", "aXbXbXc"], &["acb", "abcX"]);
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!wildcard(&pattern, &"a".repeat(4000)));
    }

    #[test]
    fn dates_match_to_their_precision_and_ranges_include_their_ends() {
        check(tags::STUDY_DATE, "20200131", &["20200131", "2020.01.31"], &["20200201", "", "unknown"]);
        check(tags::STUDY_DATE, "202001", &["20200131"], &["20200201"]);
        check(tags::STUDY_DATE, "2020*", &["20200131"], &["20210101"]);
        check(tags::STUDY_DATE, "20200101-20200131", &["20200101", "20200131"], &["20191231", "20200201"]);
        check(tags::STUDY_DATE, "-20200131", &["18991231", "20200131"], &["20200201", ""]);
        check(tags::STUDY_DATE, "20200101-", &["20200101"], &["20191231"]);
    }

    #[test]
    fn times_match_to_their_precision() {
        check(tags::STUDY_TIME, "10", &["10", "1030", "103000", "105959.999999"], &["110000", "095959"]);
        check(tags::STUDY_TIME, "103000", &["103000", "1030", "103000.5", "10:30:00"], &["103001"]);
        check(tags::STUDY_TIME, "1030-11", &["1030", "115959.9"], &["102959", "12"]);
    }

    #[test]
    fn lists_match_any_of_their_values() {
        check(tags::STUDY_INSTANCE_UID, "1.2\\1.3", &["1.2", "1.3\0"], &["1.2.3"]);
        check(tags::STUDY_INSTANCE_UID, "1.2,1.3", &["1.3"], &["1"]);
        check(tags::MODALITY, "CT,MR", &["MR"], &["US"]);
        check(tags::ACCESSION_NUMBER, "A1\\A2", &["A2"], &["A1\\A2"]);
    }

    #[test]
    fn numbers_match_by_value() {
        check(tags::INSTANCE_NUMBER, "7", &["7", "007", "+7", "7 "], &["70", ""]);
    }

    #[test]
    fn nothing_and_stars_ask_nothing() {
        for attribute in ATTRIBUTES {
            for key in ["", " ", "*", "**"] {
                assert_eq!(Condition::parse(attribute, key), Ok(None), "{}", attribute.keyword);
            }
        }
    }

    proptest! {
        #[test]
        fn a_value_matches_itself(value in "[A-Za-z0-9\u{4e00}-\u{4eff}]{1,20}") {
            for vr in [VR::PN, VR::LO, VR::CS, VR::SH] {
                prop_assert!(Condition::Exact(value.clone()).matches(vr, &value));
                let (pattern, longer) = (format!("*{value}?*"), format!("x{value}yz"));
                prop_assert!(Condition::Wildcard(pattern).matches(vr, &longer));
            }
        }
    }
}
