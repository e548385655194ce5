//! What the rules look at, read from the catalog.

use super::{
    class::PatientClass,
    rule::RetentionRule,
    term::{Term, birth_by_age, date_of, text_of},
};
use crate::{archive::Archive, database::Change, error::ArchiveError};
use sqlx::{Row, any::AnyRow};
use time::Date;

/// A study as far as rules speak of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StudyFacts {
    pub(crate) key: i64,
    pub(crate) uid: String,
    /// Its date and time as the index of studies by date has them.
    pub(crate) study_date: String,
    pub(crate) study_time: String,
    /// When its last instance came, in milliseconds since 1970-01-01 UTC.
    pub(crate) arrived_at: i64,
    /// Of its last change.
    pub(crate) position: i64,
    pub(crate) accession_number: String,
    pub(crate) modalities: String,
    pub(crate) institution: String,
    pub(crate) description: String,
    pub(crate) age: String,
    pub(crate) birth_date: String,
    pub(crate) instances: i64,
    pub(crate) byte_len: i64,
    pub(crate) is_held: bool,
    /// Of series of which everything is rejected: it may be shown again, and would be deleted too. Read only if a rule asks.
    pub(crate) hidden_modalities: Vec<String>,
    /// Of the first instance of each series, likewise.
    pub(crate) senders: Vec<String>,
    /// Likewise.
    pub(crate) class: Option<PatientClass>,
}

/// What reports and the record of deletions tell of a study: nothing of the patient.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeptStudy {
    /// Study Instance UID.
    pub study: String,
    /// As in DICOM; empty if there is none.
    pub study_date: String,
    pub accession_number: String,
    /// Separated by backslashes.
    pub modalities: String,
    pub instances: i64,
    pub byte_len: i64,
    /// The rule that keeps it longest; empty if none speaks of it.
    pub rule: String,
    /// The last day on which it is kept, as in DICOM; empty for ever.
    pub kept_until: String,
}

impl KeptStudy {
    pub(super) fn of(study: &StudyFacts, term: Option<&Term>) -> Self {
        Self {
            study: study.uid.clone(),
            study_date: study.study_date.clone(),
            accession_number: study.accession_number.clone(),
            modalities: study.modalities.clone(),
            instances: study.instances,
            byte_len: study.byte_len,
            rule: term.map(|term| term.rule.clone()).unwrap_or_default(),
            kept_until: term.map(|term| text_of(term.until)).unwrap_or_default(),
        }
    }
}

impl StudyFacts {
    /// From a row of [`select_studies!`].
    pub(super) fn of(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            key: row.try_get(0)?,
            uid: row.try_get(1)?,
            study_date: row.try_get(2)?,
            study_time: row.try_get(3)?,
            arrived_at: row.try_get(4)?,
            position: row.try_get(5)?,
            accession_number: row.try_get(6)?,
            modalities: row.try_get(7)?,
            institution: row.try_get(8)?,
            description: row.try_get(9)?,
            age: row.try_get(10)?,
            birth_date: row.try_get(11)?,
            instances: row.try_get(12)?,
            byte_len: row.try_get(13)?,
            is_held: row.try_get::<i64, _>(14)? > 0,
            ..Self::default()
        })
    }

    pub(super) fn modalities(&self) -> impl Iterator<Item = &str> {
        self.modalities.split('\\').chain(self.hidden_modalities.iter().map(String::as_str))
    }

    pub(super) fn date(&self) -> Option<Date> {
        date_of(&self.study_date)
    }

    /// By Patient's Birth Date, or else the latest that Patient's Age allows.
    pub(super) fn birth(&self) -> Option<Date> {
        date_of(&self.birth_date).or_else(|| birth_by_age(&self.age, self.date()?))
    }
}

impl Archive {
    /// A study as rules see it; `None` if there is none.
    pub(super) async fn study_facts(&self, uid: &str) -> Result<Option<StudyFacts>, ArchiveError> {
        let row = sqlx::query(STUDY).bind(uid).fetch_optional(&self.inner.database.pool).await?;
        match row {
            Some(row) => Ok(Some(self.completed(StudyFacts::of(&row)?).await?)),
            None => Ok(None),
        }
    }

    /// With what is not in the row of the study, where rules ask for it.
    pub(super) async fn completed(&self, mut study: StudyFacts) -> Result<StudyFacts, ArchiveError> {
        let rules = &self.inner.config.retention;
        let ask = |asks: fn(&RetentionRule) -> bool| rules.iter().any(asks);
        if ask(|rule| rule.sender.is_some()) {
            study.senders = self.texts(SENDERS, study.key).await?;
        }
        if ask(|rule| !rule.modalities.is_empty()) {
            study.hidden_modalities = self.texts(HIDDEN_MODALITIES, study.key).await?;
        }
        if rules.iter().any(|rule| rule.patient_class.is_some() && rule.matches(&study)) {
            study.class = self.patient_class(&study).await?;
        }
        Ok(study)
    }

    async fn texts(&self, statement: &'static str, study: i64) -> Result<Vec<String>, sqlx::Error> {
        let rows = sqlx::query(statement).bind(study).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// A study as it is within a change; what was completed before is taken over if nothing has come since.
pub(super) async fn study_now(change: &mut Change<'_>, known: &StudyFacts) -> Result<Option<StudyFacts>, ArchiveError> {
    let row = sqlx::query(STUDY).bind(&known.uid).fetch_optional(&mut *change.transaction).await?;
    let now = row.as_ref().map(StudyFacts::of).transpose()?.filter(|now| now.position == known.position);
    let (senders, hidden_modalities) = (known.senders.clone(), known.hidden_modalities.clone());
    Ok(now.map(|now| StudyFacts { senders, hidden_modalities, class: known.class, ..now }))
}

/// The columns of [`StudyFacts`], and the end of the statement.
macro_rules! select_studies {
    ($end:literal) => {
        concat!(
            "select st.study_key, st.study_instance_uid, st.study_date_match, st.study_time_match, st.changed_at,
                st.changed_position, st.accession_number, st.modalities_in_study, st.institution_name,
                st.study_description, st.patient_age, coalesce(p.patient_birth_date_match, ''),
                st.number_of_study_related_instances, st.byte_len,
                (select count(*) from legal_hold h
                    where h.released_at = 0 and h.study_instance_uid = st.study_instance_uid)
                + (select count(*) from legal_hold h where h.released_at = 0 and h.patient_key = st.patient_key)
                + (select count(*) from legal_hold h where h.released_at = 0 and h.patient_key = st.received_patient_key
                    and h.patient_key <> '')
                + (select count(*) from held_study hs join legal_hold h on h.hold_key = hs.hold_key
                    where h.released_at = 0 and hs.study_instance_uid = st.study_instance_uid)
            from study st left join patient p on p.patient_key = st.patient_key ",
            $end
        )
    };
}
pub(super) use select_studies;

const STUDY: &str = select_studies!("where st.study_instance_uid = $1");

const SENDERS: &str = "select distinct coalesce((select i.received_from from instance i
        where i.series_key = se.series_key order by i.instance_order, i.instance_key limit 1), '')
    from series se where se.study_key = $1";

const HIDDEN_MODALITIES: &str = "select distinct modality from series
    where study_key = $1 and number_of_series_related_instances = 0";
