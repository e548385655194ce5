//! What has expired, what will within a time, and what is held: page by page, from the index of studies by date.

use super::{
    study::{KeptStudy, StudyFacts, select_studies},
    term::{Term, day_of, subtract_years, term, text_of},
};
use crate::{archive::Archive, clock::now, error::ArchiveError};
use time::{Date, Duration};

/// Studies looked at for one page.
const AT_ONCE: i64 = 500;

/// Where a study stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TermState {
    /// May be deleted.
    Expired,
    /// On legal hold, whether or not it would have expired.
    Held,
    /// Will expire within the time that was asked for.
    Expiring,
}

impl TermState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Held => "held",
            Self::Expiring => "expiring",
        }
    }
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StudyTerm {
    pub state: TermState,
    #[serde(flatten)]
    pub of: KeptStudy,
}

/// Where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Past the studies that may have expired: now those that are held.
    of_held: bool,
    date: String,
    time: String,
    key: i64,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { of_held: false, date: String::new(), time: String::new(), key: i64::MIN }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = if self.of_held { "held" } else { "terms" };
        write!(f, "{phase}.{}.{}.{}", self.date, self.time, self.key)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ArchiveError;

    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        let wrong = || ArchiveError::Conflict("the next page begins where the last one said".into());
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let (phase, date, time, key) = (next()?, next()?, next()?, next()?);
        let is_number = |text: &str| text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_digit());
        if !matches!(phase, "held" | "terms") || !is_number(date) || !is_number(time) {
            return Err(wrong());
        }
        let key = key.parse().map_err(|_| wrong())?;
        Ok(Self { of_held: phase == "held", date: date.to_owned(), time: time.to_owned(), key })
    }
}

impl Cursor {
    /// Whether it is among the studies that may have expired.
    pub(super) fn is_of_terms(&self) -> bool {
        !self.of_held
    }

    fn behind(study: &StudyFacts, of_held: bool) -> Self {
        Self { of_held, date: study.study_date.clone(), time: study.study_time.clone(), key: study.key }
    }
}

/// Some lines of the report, perhaps none, and where to go on; `None` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub studies: Vec<StudyTerm>,
    pub next: Option<Cursor>,
}

impl Archive {
    /// A page of the report: what has expired or will within so many days, oldest first, then what else is held.
    pub async fn retention_report(&self, within_days: u16, from: &Cursor) -> Result<Page, ArchiveError> {
        let today = day_of(now());
        let last = today.saturating_add(Duration::days(within_days.into()));
        let (found, next) = self.candidates(last, from).await?;
        let line = |(study, term): (StudyFacts, Option<Term>)| {
            let is_due = term.as_ref().is_some_and(|term| term.is_over(last));
            let state = match &term {
                // It was told of among those that may have expired.
                _ if from.of_held && is_due => return None,
                _ if study.is_held => TermState::Held,
                Some(term) if term.is_over(today) => TermState::Expired,
                Some(_) if is_due => TermState::Expiring,
                _ => return None,
            };
            (from.of_held || is_due).then(|| StudyTerm { state, of: KeptStudy::of(&study, term.as_ref()) })
        };
        Ok(Page { studies: found.into_iter().filter_map(line).collect(), next })
    }

    /// Studies that may have expired on a day, each with its term; then those that are held.
    pub(super) async fn candidates(
        &self,
        day: Date,
        from: &Cursor,
    ) -> Result<(Vec<(StudyFacts, Option<Term>)>, Option<Cursor>), ArchiveError> {
        let rules = &self.inner.config.retention;
        // No study of a later date can have expired: a term counts from the study date, or from later.
        let shortest = rules.iter().map(|rule| rule.years).min();
        let newest = shortest.map_or_else(String::new, |years| text_of(subtract_years(day, years)));
        let statement = match (from.of_held, shortest) {
            (false, None) => return Ok((Vec::new(), Some(Cursor { of_held: true, ..Cursor::default() }))),
            (false, Some(_)) => sqlx::query(OLD).bind(&from.date).bind(&from.time).bind(from.key).bind(newest),
            (true, _) => sqlx::query(HELD).bind(from.key),
        };
        let rows = statement.bind(AT_ONCE).fetch_all(&self.inner.database.pool).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let study = self.completed(StudyFacts::of(row)?).await?;
            let term = term(rules, &study);
            found.push((study, term));
        }
        let is_full = rows.len() >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        let next = match found.last() {
            Some((last, _)) if is_full => Some(Cursor::behind(last, from.of_held)),
            _ => (!from.of_held).then(|| Cursor { of_held: true, ..Cursor::default() }),
        };
        Ok((found, next))
    }
}

const OLD: &str = select_studies!(
    "where (st.study_date_match, st.study_time_match, st.study_key) > ($1, $2, $3) and st.study_date_match <= $4
    order by st.study_date_match, st.study_time_match, st.study_key limit $5"
);

const HELD: &str = select_studies!(
    "where st.study_key > $1 and st.study_key in (
        select s.study_key from legal_hold h join study s on s.study_instance_uid = h.study_instance_uid
            where h.released_at = 0 and h.study_instance_uid <> ''
        union select s.study_key from legal_hold h join study s on s.patient_key = h.patient_key
            where h.released_at = 0 and h.patient_key <> ''
        union select s.study_key from legal_hold h join study s on s.received_patient_key = h.patient_key
            and s.received_patient_key <> ''
            where h.released_at = 0
        union select s.study_key from legal_hold h join held_study hs on hs.hold_key = h.hold_key
            join study s on s.study_instance_uid = hs.study_instance_uid
            where h.released_at = 0)
    order by st.study_key limit $2"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else() {
        let cursor = Cursor { of_held: true, date: "20100131".into(), time: String::new(), key: -7 };
        assert_eq!(cursor.to_string().parse::<Cursor>().ok(), Some(cursor));
        assert_eq!(Cursor::default().to_string().parse::<Cursor>().ok(), Some(Cursor::default()));
        for text in ["", "held", "terms.1.2", "terms.x.2.3", "other.1.2.3", "terms.1.2.z"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
