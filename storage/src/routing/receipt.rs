//! Coercion on receipt: what arrived is corrected by rule before it is sent on. What the sender sent stays as it is.

use super::{CoercionRule, arrivals::Arrived, coercion::Values, outgoing::header};
use crate::{
    archive::Archive,
    corrections::{Correcting, Correction, Deed, PatientKey, Target},
    error::ArchiveError,
    ingest::blocking,
    read::StoredInstance,
};
use pacs_core::{
    DataSet, Failure,
    query::{self, Level},
    tags,
};
use std::collections::BTreeSet;

/// Corrections of a study that are looked through for those that a rule made already.
const MOST: u32 = 10_000;

impl Archive {
    /// Corrects what rules speak of; returns whether anything was. A rule corrects a series, its study and its patient once:
    /// what somebody undoes or corrects otherwise is not corrected again.
    pub(super) async fn coerce(
        &self,
        arrived: &[Arrived],
        rules: &[(CoercionRule, i64)],
    ) -> Result<bool, ArchiveError> {
        let mut done = BTreeSet::new();
        let mut is_changed = false;
        for one in arrived {
            for (at, (rule, since)) in rules.iter().enumerate() {
                let speaks = one.key > *since && !one.is_hidden && rule.when.is_met(&one.arrival);
                if speaks && done.insert((one.series_key, at)) {
                    is_changed |= self.coerce_one(one, rule).await?;
                }
            }
        }
        Ok(is_changed)
    }

    async fn coerce_one(&self, one: &Arrived, rule: &CoercionRule) -> Result<bool, ArchiveError> {
        let stored = match self.visible(one.key).await {
            Ok(stored) => stored,
            Err(error) if error.failure() == Failure::NoSuchInstance => return Ok(false),
            Err(error) => return Err(error),
        };
        let (archive, own) = (self.clone(), stored.clone());
        let received = blocking(move || header(archive, &own)).await;
        let received = match received {
            Ok(received) => received,
            // What is not at hand now comes again: the position is not moved on.
            Err(error) if error.failure() == Failure::Unavailable => return Err(error),
            Err(error) => {
                tracing::warn!(%error, rule = rule.name, "an instance cannot be read, and so not be coerced");
                return Ok(false);
            }
        };
        let (values, unfit) = rule.coercion.values(&received);
        for why in unfit {
            tracing::warn!(rule = rule.name, why, "a value does not fit");
        }
        let mut is_changed = false;
        for (target, correcting) in corrections(&stored, &received, values) {
            is_changed |= self.correct_once(target, correcting, one, rule).await?;
        }
        Ok(is_changed)
    }

    async fn correct_once(
        &self,
        target: Target,
        correcting: Correcting,
        one: &Arrived,
        rule: &CoercionRule,
    ) -> Result<bool, ArchiveError> {
        let by = format!("rule {}", rule.name);
        let (study, patient) = match &target {
            Target::Patient(patient) => (None, Some(patient)),
            target => (target.study(), None),
        };
        let made = self.corrections(study, patient, MOST).await?;
        let is_same = |made: &Correction| {
            made.made.by == by && made.target == target && made.correcting.word() == correcting.word()
        };
        if made.iter().any(is_same) {
            return Ok(false);
        }
        let deed = Deed::new(&by, &one.arrival.from, "coerced on receipt");
        let made = match correcting {
            Correcting::Assignment(to, values) => self.assign(target, to, values, &deed).await,
            correcting => self.correct(target, correcting, &deed).await.map(drop),
        };
        match made {
            Ok(()) => Ok(true),
            Err(error @ (ArchiveError::Conflict(_) | ArchiveError::NotFound(_))) => {
                tracing::warn!(%error, rule = rule.name, "what arrived was not coerced");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Assigns a study to a patient who may be new.
    async fn assign(
        &self,
        study: Target,
        to: PatientKey,
        values: super::coercion::Values,
        deed: &Deed,
    ) -> Result<(), ArchiveError> {
        let known = Correcting::Assignment(to.clone(), Values::new());
        match self.correct(study.clone(), known, deed).await {
            Err(ArchiveError::NotFound(_)) => {
                self.correct(study, Correcting::Assignment(to, values), deed).await.map(drop)
            }
            made => made.map(drop),
        }
    }
}

/// What is to be corrected where, without what is so already. First to whom the study belongs: what is of the patient is then
/// that patient's.
fn corrections(stored: &StoredInstance, received: &DataSet, mut values: Values) -> Vec<(Target, Correcting)> {
    let mut seen = received.clone();
    stored.correct(&mut seen);
    let text = |tag| seen.text(tag).unwrap_or_default();
    let before = PatientKey { id: text(tags::PATIENT_ID), issuer: text(tags::ISSUER_OF_PATIENT_ID) };
    let given = |value: Option<Option<String>>, before: &str| {
        value.map_or_else(|| before.to_owned(), Option::unwrap_or_default)
    };
    let patient = PatientKey {
        id: given(values.remove(&tags::PATIENT_ID), &before.id),
        issuer: given(values.remove(&tags::ISSUER_OF_PATIENT_ID), &before.issuer),
    };
    values.retain(|tag, value| match value {
        Some(value) => seen.texts(*tag).join("\\") != *value,
        None => seen.get(*tag).is_some(),
    });
    let mut made = Vec::new();
    if patient != before {
        made.push((Target::Study(stored.study.clone()), Correcting::Assignment(patient.clone(), known_of(&seen))));
    }
    let of_series = Target::Series(stored.study.clone(), stored.series.clone());
    for (level, target) in [
        (Level::Patient, Target::Patient(patient)),
        (Level::Study, Target::Study(stored.study.clone())),
        (Level::Series, of_series),
    ] {
        let own =
            |tag: &pacs_core::Tag| query::attribute(*tag).map_or(Level::Series, |attribute| attribute.level) == level;
        let own: Values = values.extract_if(.., |tag, _| own(tag)).collect();
        if !own.is_empty() {
            made.push((target, Correcting::Attributes(own)));
        }
    }
    made
}

/// What the instance says of its patient, for one who is new to the archive.
fn known_of(seen: &DataSet) -> Values {
    let known = [tags::PATIENT_NAME, tags::PATIENT_BIRTH_DATE, tags::PATIENT_SEX];
    known.into_iter().filter_map(|tag| Some((tag, Some(seen.text(tag)?)))).collect()
}
