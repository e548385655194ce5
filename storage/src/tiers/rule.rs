//! Rules: which packs are to be cold.

use crate::{config::StorageConfig, error::ArchiveError};
use time::{Date, OffsetDateTime};

const DAY: i64 = 86_400_000;

/// Series that meet all conditions of one rule go to the cold store.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ColdRule {
    /// At least so many days since the study date, or since something last came into the study, whichever is later.
    pub days: u32,
    /// At least so many days since anybody last read the study.
    pub unread_days: u32,
    /// Modality of the series; empty: any at all.
    pub modalities: Vec<String>,
}

impl Default for ColdRule {
    fn default() -> Self {
        Self { days: 365, unread_days: 90, modalities: Vec::new() }
    }
}

/// What a rule asks about. Moments are in milliseconds since 1970-01-01 UTC, 0 if there was none.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) modality: String,
    /// As `YYYYMMDD`, or what was sent for it.
    pub(super) study_date: String,
    pub(super) changed_at: i64,
    pub(super) read_at: i64,
}

impl ColdRule {
    pub(super) fn matches(&self, facts: &Facts, now: i64) -> bool {
        let is_before = |moment: i64, days: u32| now.saturating_sub(moment) >= i64::from(days).saturating_mul(DAY);
        let date = moment(&facts.study_date).unwrap_or_default();
        is_before(facts.changed_at.max(date), self.days)
            && (facts.read_at == 0 || is_before(facts.read_at, self.unread_days))
            && (self.modalities.is_empty()
                || self.modalities.iter().any(|one| one.eq_ignore_ascii_case(&facts.modality)))
    }
}

/// Midnight of a date of the form `YYYYMMDD`.
fn moment(date: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| date.get(range)?.parse::<u16>().ok();
    let month = u8::try_from(number(4..6)?).ok()?.try_into().ok()?;
    let date = Date::from_calendar_date(number(0..4)?.into(), month, u8::try_from(number(6..8)?).ok()?).ok()?;
    Some(OffsetDateTime::new_utc(date, time::Time::MIDNIGHT).unix_timestamp().saturating_mul(1000))
}

/// Refuses rules that nothing can follow.
pub(crate) fn check_rules(config: &StorageConfig) -> Result<(), ArchiveError> {
    match (&config.cold_url, config.cold.is_empty()) {
        (None, false) => Err(ArchiveError::Config("storage.cold: rules need a place: set storage.cold_url".into())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_500_000_000; // 2026-11-24

    fn facts() -> Facts {
        let ago = |days: i64| NOW - days * DAY;
        Facts { modality: "CT".into(), study_date: "20200101".into(), changed_at: ago(400), read_at: ago(100) }
    }

    fn check(facts: &Facts, expected: bool) {
        let rule = ColdRule { modalities: vec!["ct".into()], ..ColdRule::default() };
        assert_eq!(rule.matches(facts, NOW), expected, "{facts:?}");
    }

    #[test]
    fn what_is_old_and_long_unread_is_to_be_cold() {
        check(&facts(), true);
        check(&Facts { read_at: 0, ..facts() }, true);
        check(&Facts { study_date: "in spring".into(), ..facts() }, true);
        check(&Facts { study_date: "20261001".into(), ..facts() }, false);
        check(&Facts { changed_at: NOW - 364 * DAY, ..facts() }, false);
        check(&Facts { read_at: NOW - 89 * DAY, ..facts() }, false);
        check(&Facts { modality: "MR".into(), ..facts() }, false);
    }

    #[test]
    fn a_clock_or_date_in_the_future_keeps_it_hot() {
        for facts in [
            Facts { study_date: "99991231".into(), ..facts() },
            Facts { changed_at: i64::MAX, ..facts() },
            Facts { read_at: i64::MAX, ..facts() },
        ] {
            check(&facts, false);
        }
    }
}
