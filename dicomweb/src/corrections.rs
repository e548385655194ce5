//! Corrections over HTTP, for administrators: an extension.

use crate::{auth::Caller, error::WebError, web::Web};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::JsonRejection, rejection::QueryRejection},
    http::StatusCode,
};
use pacs_core::{Tag, Uid, correction::keyword_of, query::attribute_id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::{Correcting, Correction, Deed, PatientKey, RejectionReason, Target};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const MOST_LISTED: u32 = 1000;

/// Values by keyword or tag; `null` removes an attribute.
type Values = BTreeMap<String, Option<String>>;

/// What is to be corrected: exactly one of a study (and what is in it) or a patient, and exactly one of the ways.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    study: Option<Uid>,
    series: Option<Uid>,
    instance: Option<Uid>,
    patient: Option<PatientKey>,
    /// Attributes get these values.
    set: Option<Values>,
    /// The study is given to this patient.
    assign_to: Option<PatientKey>,
    /// All of the patient is given to this one.
    merge_into: Option<PatientKey>,
    /// With either: what is known of a patient who is new.
    #[serde(default)]
    with: Values,
    /// What is hidden from now on, and why.
    reject: Option<RejectionReason>,
    reason: String,
}

impl Wanted {
    fn target(&self) -> Result<Target, WebError> {
        match (self.patient.clone(), self.study.clone(), self.series.clone(), self.instance.clone()) {
            (Some(patient), None, None, None) => Ok(Target::Patient(patient)),
            (None, Some(study), None, None) => Ok(Target::Study(study)),
            (None, Some(study), Some(series), None) => Ok(Target::Series(study, series)),
            (None, Some(study), Some(series), Some(instance)) => Ok(Target::Instance(study, series, instance)),
            _ => Err(WebError::bad_request("name a patient, or a study, its series, its instance")),
        }
    }

    fn correcting(self) -> Result<Correcting, WebError> {
        match (self.set, self.assign_to, self.merge_into, self.reject) {
            (Some(values), None, None, None) => Ok(Correcting::Attributes(by_tag(values)?)),
            (None, Some(to), None, None) => Ok(Correcting::Assignment(to, by_tag(self.with)?)),
            (None, None, Some(to), None) => Ok(Correcting::Merge(to, by_tag(self.with)?)),
            (None, None, None, Some(why)) => Ok(Correcting::Rejection(why, Vec::new())),
            _ => Err(WebError::bad_request("give one of set, assign_to, merge_into and reject")),
        }
    }
}

fn by_tag(values: Values) -> Result<BTreeMap<Tag, Option<String>>, WebError> {
    let tag = |name: String| {
        attribute_id(&name)
            .ok_or_else(|| WebError::bad_request(format!("{name} is neither a keyword nor a tag of DICOM")))
    };
    values.into_iter().map(|(name, value)| Ok((tag(name)?, value))).collect()
}

/// A correction as the client sees it.
#[derive(Debug, Serialize)]
pub struct Shown {
    id: String,
    /// attributes, assignment, merge or rejection
    kind: &'static str,
    target: Target,
    /// Values by keyword.
    values: Values,
    /// The patient to whom it belongs now.
    patient: Option<PatientKey>,
    rejected: Option<RejectionReason>,
    instances: usize,
    made: Done,
    undone: Option<Done>,
}

#[derive(Debug, Serialize)]
struct Done {
    /// UTC, RFC 3339.
    at: String,
    by: String,
    from: String,
    reason: String,
}

impl From<Deed> for Done {
    fn from(Deed { at, by, from, why }: Deed) -> Self {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
        Self { at: at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default(), by, from, reason: why }
    }
}

impl From<Correction> for Shown {
    fn from(correction: Correction) -> Self {
        let kind = correction.correcting.word();
        let (values, patient, rejected, instances) = match correction.correcting {
            Correcting::Attributes(values) => (values, None, None, 0),
            Correcting::Assignment(to, values) | Correcting::Merge(to, values) => (values, Some(to), None, 0),
            Correcting::Rejection(why, instances) => (BTreeMap::new(), None, Some(why), instances.len()),
        };
        Self {
            id: correction.id,
            kind,
            target: correction.target,
            values: values.into_iter().map(|(tag, value)| (keyword_of(tag), value)).collect(),
            patient,
            rejected,
            instances,
            made: correction.made.into(),
            undone: correction.undone.map(Done::from),
        }
    }
}

pub async fn make(
    State(web): State<Web>,
    caller: Caller,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), WebError> {
    let Json(wanted) = wanted.map_err(|error| WebError::bad_request(error.body_text()))?;
    let deed = Deed::new(&caller.principal.name, &caller.address, &wanted.reason);
    let made = web.archive.correct(wanted.target()?, wanted.correcting()?, &deed).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    study: Option<Uid>,
    patient_id: Option<String>,
    #[serde(default)]
    issuer: String,
    limit: Option<u32>,
}

/// The newest first; undone ones too.
pub async fn list(
    State(web): State<Web>,
    listed: Result<Query<Listed>, QueryRejection>,
) -> Result<Json<Vec<Shown>>, WebError> {
    let usage = |_| WebError::bad_request("parameters are study, patient_id, issuer and limit");
    let Query(Listed { study, patient_id, issuer, limit }) = listed.map_err(usage)?;
    let patient = patient_id.map(|id| PatientKey { id, issuer });
    let limit = limit.unwrap_or(MOST_LISTED).min(MOST_LISTED);
    let found = web.archive.corrections(study.as_ref(), patient.as_ref(), limit).await?;
    Ok(Json(found.into_iter().map(Shown::from).collect()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Why {
    reason: String,
}

pub async fn undo(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<String>,
    why: Result<Query<Why>, QueryRejection>,
) -> Result<Json<Shown>, WebError> {
    let Query(Why { reason }) = why.map_err(|_| WebError::bad_request("say why: ?reason=…"))?;
    let deed = Deed::new(&caller.principal.name, &caller.address, &reason);
    Ok(Json(web.archive.undo_correction(&id, &deed).await?.into()))
}
