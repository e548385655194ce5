//! Corrections: versions on top of what was received, with who, when and why, undone at any time.
//!
//! | module | what |
//! |---|---|
//! | `rows` | corrections in the catalog, and in the store for a catalog that is made anew |
//! | `owner` | to which patient a study belongs, by assignment and merge |
//! | `settle` | the catalog's columns and counts brought in step with the corrections in force |
//! | `view`, `seen` | what a reader of a study sees, now or at a time |
//! | `outgoing` | an instance's file as corrected |
//! | `rejection` | instances hidden by rejection notes (IHE RAD TF, Imaging Object Change Management) |
//!
//! Queries see corrected values because their columns are; whatever leaves has them laid over it as it is read
//! ([`pacs_core::correction`]), so the bytes of a modality stay what they were.

mod outgoing;
mod owner;
mod rejection;
mod rows;
mod seen;
mod settle;
mod view;

pub(crate) use outgoing::corrected;
pub(crate) use rows::{ALL_TO_STORE, end_corrections};
pub(crate) use settle::settle_arrival;
pub(crate) use view::{View, date_time};

use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    commit::announce,
    database::Change,
    error::ArchiveError,
    retention::check_reason,
};
use pacs_core::{Tag, Uid, correction::check, query, query::Level, tags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a correction is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Target {
    Patient(PatientKey),
    Study(Uid),
    /// Study and series.
    Series(Uid, Uid),
    /// Study, series and SOP instance.
    Instance(Uid, Uid, Uid),
}

/// What tells a patient from another: Patient ID and its issuer, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PatientKey {
    pub id: String,
    #[serde(default)]
    pub issuer: String,
}

/// What is corrected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correcting {
    /// Attributes get other values, multiple ones backslash-separated; `None` removes one.
    Attributes(#[serde(with = "by_tag")] BTreeMap<Tag, Option<String>>),
    /// A study belongs to another patient.
    Assignment(PatientKey, #[serde(with = "by_tag")] BTreeMap<Tag, Option<String>>),
    /// All of a patient, also what comes later, belongs to another one. The values of either are those of the patient it
    /// now belongs to: for one that the archive does not know yet, and for a catalog that is made anew.
    Merge(PatientKey, #[serde(with = "by_tag")] BTreeMap<Tag, Option<String>>),
    /// Instances (series and SOP Instance UID) are no longer to be seen; none named: all that the target has now.
    Rejection(RejectionReason, Vec<(Uid, Uid)>),
}

/// Why instances are rejected: the title of the rejection note (PS3.16 CID 7011).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionReason {
    /// (113001, DCM)
    Quality,
    /// (113037, DCM)
    PatientSafety,
    /// (113038, DCM)
    IncorrectWorklistEntry,
    /// (113039, DCM)
    RetentionExpired,
}

/// Who did something to a correction, from where, and why; when is added by the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    pub by: String,
    pub from: String,
    pub why: String,
}

impl Deed {
    pub fn new(by: &str, from: &str, why: &str) -> Self {
        Self { at: 0, by: by.to_owned(), from: from.to_owned(), why: why.to_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    pub id: String,
    pub(crate) position: i64,
    pub target: Target,
    pub correcting: Correcting,
    pub made: Deed,
    pub undone: Option<Deed>,
}

impl Correction {
    /// Whether it holds now, or held at a time.
    pub(crate) fn is_in_force(&self, as_of: Option<i64>) -> bool {
        match (as_of, &self.undone) {
            (None, undone) => undone.is_none(),
            (Some(at), undone) => self.made.at <= at && undone.as_ref().is_none_or(|undone| undone.at > at),
        }
    }
}

impl PatientKey {
    /// Key of its row.
    pub(crate) fn row(&self) -> String {
        format!("id {}\\{}", self.issuer, self.id)
    }
}

impl Target {
    pub fn study(&self) -> Option<&Uid> {
        match self {
            Self::Patient(_) => None,
            Self::Study(study) | Self::Series(study, _) | Self::Instance(study, ..) => Some(study),
        }
    }

    const fn level(&self) -> Level {
        match self {
            Self::Patient(_) => Level::Patient,
            Self::Study(_) => Level::Study,
            Self::Series(..) => Level::Series,
            Self::Instance(..) => Level::Instance,
        }
    }

    /// Whether a correction of this is one of an instance, too.
    pub(crate) fn covers(&self, series: &Uid, sop_instance: &Uid) -> bool {
        match self {
            Self::Patient(_) | Self::Study(_) => true,
            Self::Series(_, own) => own == series,
            Self::Instance(_, own, instance) => (own, instance) == (series, sop_instance),
        }
    }
}

impl Archive {
    /// Makes a correction. It holds for every reader when this returns, and goes into the store soon after.
    ///
    /// Fails with `Conflict` if an attribute may not be corrected so, or the target already belongs where it is to go;
    /// with `NotFound` if there is no such study, series or instance.
    pub async fn correct(
        &self,
        target: Target,
        correcting: Correcting,
        deed: &Deed,
    ) -> Result<Correction, ArchiveError> {
        may_be_made(&target, &correcting)?;
        check_reason(&deed.why)?;
        let mut change = self.inner.database.change().await?;
        let made = Deed { at: now(), ..deed.clone() };
        let id = format!("{:016x}", rand::random::<u64>());
        let mut correction =
            Correction { id, position: change.head.next_key(), target, correcting, made, undone: None };
        rows::refuse_too_many(&mut change, &correction.target).await?;
        settle::complete(&mut change, &mut correction).await?;
        rows::add(&mut change, &correction).await?;
        settle::settle(&mut change, &correction).await?;
        self.conclude(change, &correction, &correction.made, "made").await?;
        Ok(correction)
    }

    /// Undoes a correction; what others say of the same attributes holds on.
    pub async fn undo_correction(&self, id: &str, deed: &Deed) -> Result<Correction, ArchiveError> {
        check_reason(&deed.why)?;
        let mut change = self.inner.database.change().await?;
        let found = rows::by_id(&mut change.transaction, id).await?;
        let mut correction = found.ok_or_else(|| ArchiveError::NotFound(format!("correction {id}")))?;
        if correction.undone.is_some() {
            return Err(ArchiveError::Conflict(format!("correction {id} is undone already")));
        }
        let undone = Deed { at: now().max(correction.made.at), ..deed.clone() };
        correction.undone = Some(undone.clone());
        rows::mark_undone(&mut change, id, &undone).await?;
        settle::settle(&mut change, &correction).await?;
        self.conclude(change, &correction, &undone, "undone").await?;
        Ok(correction)
    }

    /// Corrections about a study and what is in it, or about a patient, or all; the newest first, undone ones too.
    pub async fn corrections(
        &self,
        study: Option<&Uid>,
        patient: Option<&PatientKey>,
        limit: u32,
    ) -> Result<Vec<Correction>, ArchiveError> {
        Ok(rows::newest(&self.inner.database.pool, study, patient, limit).await?)
    }

    async fn conclude(
        &self,
        mut change: Change<'_>,
        correction: &Correction,
        deed: &Deed,
        what: &str,
    ) -> Result<(), ArchiveError> {
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Correct,
            actor: deed.by.clone(),
            origin: deed.from.clone(),
            success: true,
            study: correction.target.study().map(Uid::to_string),
            detail: format!("{} {what}, correction {}: {}", correction.correcting.word(), correction.id, deed.why),
        };
        write_audit(&mut change, &record).await?;
        announce(&self.inner.newest, change.commit().await?);
        self.inner.database.make_durable().await?;
        if let Err(error) = self.inner.store_corrections().await {
            tracing::warn!(%error, "a correction is not in the store yet, it is tried again");
        }
        Ok(())
    }
}

impl Correcting {
    /// What it is, in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Attributes(_) => "attributes",
            Self::Assignment(..) => "assignment",
            Self::Merge(..) => "merge",
            Self::Rejection(..) => "rejection",
        }
    }
}

/// What can be told without the catalog.
fn may_be_made(target: &Target, correcting: &Correcting) -> Result<(), ArchiveError> {
    let refused = |why: String| Err(ArchiveError::Conflict(why));
    match (correcting, target) {
        (Correcting::Attributes(values), _) if values.is_empty() => refused("no attribute is to be corrected".into()),
        (Correcting::Attributes(values), _) => {
            values.iter().try_for_each(|(tag, value)| may_be_given(target, *tag, value.as_deref()))
        }
        (Correcting::Assignment(patient, values), Target::Study(_))
        | (Correcting::Merge(patient, values), Target::Patient(_)) => {
            if patient.id.is_empty() {
                return refused("the patient needs a Patient ID".into());
            }
            values.iter().try_for_each(|(tag, value)| is_of_patient(*tag, value.as_deref()))
        }
        (Correcting::Assignment(..), _) => refused("only a study is assigned to a patient".into()),
        (Correcting::Merge(..), _) => refused("only a patient is merged into another".into()),
        (Correcting::Rejection(..), Target::Patient(_)) => refused("reject the patient's studies one by one".into()),
        (Correcting::Rejection(..), _) => Ok(()),
    }
}

/// An indexed attribute is corrected where it belongs, so that no two instances of one study tell different things.
fn may_be_given(target: &Target, tag: Tag, value: Option<&str>) -> Result<(), ArchiveError> {
    check(tag, value.unwrap_or_default()).map_err(|error| ArchiveError::Conflict(error.to_string()))?;
    if is_identity(tag) {
        return Err(ArchiveError::Conflict(
            "Patient ID and issuer are who the patient is: assign the study to another patient, or merge".into(),
        ));
    }
    match query::attribute(tag) {
        Some(attribute) if attribute.level != target.level() || attribute.within.is_some() => {
            let (keyword, level) = (attribute.keyword, attribute.level);
            Err(ArchiveError::Conflict(format!("{keyword} is corrected at the level of {level:?}, not here")))
        }
        _ => Ok(()),
    }
}

fn is_of_patient(tag: Tag, value: Option<&str>) -> Result<(), ArchiveError> {
    check(tag, value.unwrap_or_default()).map_err(|error| ArchiveError::Conflict(error.to_string()))?;
    match query::attribute(tag) {
        _ if is_identity(tag) => {
            Err(ArchiveError::Conflict("Patient ID and issuer are given by whom it is to belong to".into()))
        }
        Some(attribute) if attribute.level == Level::Patient => Ok(()),
        _ => Err(ArchiveError::Conflict(format!("{tag} is not an attribute of the patient"))),
    }
}

/// Whether it tells who the patient is.
fn is_identity(tag: Tag) -> bool {
    matches!(tag, tags::PATIENT_ID | tags::ISSUER_OF_PATIENT_ID)
}

/// Values by tag, which JSON writes as eight hexadecimal digits.
mod by_tag {
    use pacs_core::Tag;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    type Values = BTreeMap<Tag, Option<String>>;

    pub(super) fn serialize<S: Serializer>(values: &Values, serializer: S) -> Result<S::Ok, S::Error> {
        let text: BTreeMap<_, _> =
            values.iter().map(|(tag, value)| (format!("{:04X}{:04X}", tag.0, tag.1), value)).collect();
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
        let text = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        let tag = |key: &str| {
            let number = u32::from_str_radix(key, 16).map_err(serde::de::Error::custom)?;
            Ok(Tag((number >> 16) as u16, number as u16))
        };
        text.into_iter().map(|(key, value)| Ok((tag(&key)?, value))).collect()
    }
}
