//! What a reader of a study sees, now or at a time.

use super::{
    Correcting, Correction, Target,
    owner::{Owner, Values, is_indexed, owner, values_as_of},
    rows,
};
use crate::{archive::Inner, error::ArchiveError};
use pacs_core::{
    Uid,
    correction::{OF_ANOTHER_PATIENT, Step},
    tags,
};
use sqlx::Row;
use std::{collections::HashSet, sync::Arc};
use time::{OffsetDateTime, macros::format_description};

/// The corrections of a study that are in force.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct View {
    /// Of the last change of the study: views of one position are alike.
    pub(crate) position: i64,
    pub(crate) as_of: Option<i64>,
    of_patient: Vec<Step>,
    of_study: Vec<(Target, Step)>,
    /// Series and SOP Instance UID.
    hidden: HashSet<(Uid, Uid)>,
}

impl View {
    /// What is laid over an instance, in order.
    pub(crate) fn steps(&self, series: &Uid, sop_instance: &Uid) -> Vec<Step> {
        let own = self.of_study.iter().filter(|(target, _)| target.covers(series, sop_instance));
        self.of_patient.iter().chain(own.map(|(_, step)| step)).cloned().collect()
    }

    pub(crate) fn hides(&self, series: &Uid, sop_instance: &Uid) -> bool {
        // A search by parts would need no copies; rejections are few.
        !self.hidden.is_empty() && self.hidden.contains(&(series.clone(), sop_instance.clone()))
    }
}

impl Inner {
    /// `None` if there is no such study.
    pub(crate) async fn view(&self, study: &Uid, as_of: Option<i64>) -> Result<Option<Arc<View>>, ArchiveError> {
        let mut connection = self.database.pool.acquire().await?;
        let row = sqlx::query(STUDY).bind(study.as_str()).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { return Ok(None) };
        let (received, position): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let corrections = rows::of_study(&mut connection, study.as_str()).await?;
        let owner = owner(&mut connection, &received, &corrections, as_of).await?;
        let values = values_as_of(&mut connection, &owner, as_of).await?;
        let mut view = View { position, as_of, of_patient: patient_steps(&owner, values, as_of), ..View::default() };
        for correction in corrections.into_iter().filter(|correction| correction.is_in_force(as_of)) {
            view.add(correction);
        }
        Ok(Some(Arc::new(view)))
    }
}

impl View {
    fn add(&mut self, correction: Correction) {
        match correction.correcting {
            Correcting::Attributes(values) => {
                let step = Step { at: date_time(correction.made.at), values };
                self.of_study.push((correction.target, step));
            }
            Correcting::Rejection(_, instances) => self.hidden.extend(instances),
            Correcting::Assignment(..) | Correcting::Merge(..) => {}
        }
    }
}

fn patient_steps(owner: &Owner, values: Option<Values>, as_of: Option<i64>) -> Vec<Step> {
    let moved = owner.moved.as_ref().map(|moved| {
        let mut values = values.unwrap_or_else(|| moved.values.clone());
        values.insert(tags::PATIENT_ID, Some(moved.to.id.clone()));
        values.insert(tags::ISSUER_OF_PATIENT_ID, Some(moved.to.issuer.clone()));
        let known = values.into_iter().map(|(tag, value)| (tag, kept(tag, value)));
        let values = known.chain(OF_ANOTHER_PATIENT.map(|tag| (tag, None))).collect();
        Step { at: date_time(moved.at), values }
    });
    let attributes = owner.corrections.iter().filter(|correction| correction.is_in_force(as_of));
    let attributes = attributes.filter_map(|correction| match &correction.correcting {
        Correcting::Attributes(values) => {
            // What the row says is in the values above already, as all corrections together left it.
            let is_new = |tag| owner.moved.is_none() || !is_indexed(tag);
            let values = values.clone().into_iter().filter(|(tag, _)| is_new(*tag)).collect();
            Some(Step { at: date_time(correction.made.at), values })
        }
        _ => None,
    });
    moved.into_iter().chain(attributes).collect()
}

/// An attribute of Type 2 stays, empty; one of Type 3 goes (PS3.3 C.7.1.1).
fn kept(tag: pacs_core::Tag, value: Option<String>) -> Option<String> {
    let is_optional = matches!(tag, tags::ISSUER_OF_PATIENT_ID | tags::PATIENT_BIRTH_TIME);
    value.filter(|value| !(is_optional && value.is_empty())).or_else(|| (!is_optional).then(String::new))
}

/// A DT value in UTC.
pub(crate) fn date_time(at: i64) -> String {
    let format = format_description!("[year][month][day][hour][minute][second].[subsecond digits:3]+0000");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
    at.ok().and_then(|at| at.format(&format).ok()).unwrap_or_default()
}

const STUDY: &str = "select case when received_patient_key = '' then patient_key else received_patient_key end,
        changed_position
    from study where study_instance_uid = $1";
