//! What the patient had before goes along.

use super::{
    Rule,
    arrivals::{Arrived, HELD, arrived, queue},
};
use crate::{archive::Archive, error::ArchiveError};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::time::Duration;

/// The kind of its jobs: one for each rule, destination and study.
const KIND: &str = "priors";
const LEASE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(30);
const ATTEMPTS: i64 = 20;

/// Which studies of the patient from before go along with a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priors {
    /// So many at most, those first that are least old.
    pub studies: u16,
    /// Only those with a modality of the new one.
    #[serde(default)]
    pub same_modality: bool,
    /// Only those with a body part of the new one.
    #[serde(default)]
    pub same_body_part: bool,
}

/// What a job remembers.
#[derive(Serialize, Deserialize)]
struct Asked {
    rule: String,
    study: String,
}

impl Archive {
    /// Has the priors of what was queued by a rule looked for, once for each study.
    pub(super) async fn ask_for_priors(&self, one: &Arrived, rule: &Rule) -> Result<(), ArchiveError> {
        let asked = Asked { rule: rule.name.clone(), study: one.study.clone() };
        let asked = serde_json::to_value(asked).map_err(|error| ArchiveError::Internal(error.to_string()))?;
        self.enqueue(KIND, &format!("{} for {}", one.study, rule.name), &asked).await?;
        Ok(())
    }

    /// Queues the priors that were asked for.
    pub async fn route_priors(&self) -> Result<(), ArchiveError> {
        while let Some(job) = self.claim(KIND, &format!("{}", std::process::id()), LEASE).await? {
            let queued = match serde_json::from_value(job.payload.clone()) {
                Ok(asked) => self.queue_priors(&asked).await,
                Err(error) => Err(ArchiveError::Internal(error.to_string())),
            };
            match queued {
                Ok(told) => self.finish(&job, &told).await?,
                Err(error) => {
                    tracing::warn!(%error, "priors were not queued");
                    self.fail(&job, &error.to_string(), (job.attempts < ATTEMPTS).then_some(RETRY)).await?;
                }
            }
        }
        Ok(())
    }

    async fn queue_priors(&self, asked: &Asked) -> Result<String, ArchiveError> {
        let rule = self.rules().await?.into_iter().find(|rule| rule.name == asked.rule);
        let Some((rule, priors)) = rule.and_then(|rule| Some((rule.clone(), rule.priors?))) else {
            return Ok("the rule is gone".to_owned());
        };
        let destination = self.destination(&rule.to).await?;
        let statement = sqlx::query(PRIORS)
            .bind(&asked.study)
            .bind(i64::from(priors.same_modality))
            .bind(i64::from(priors.same_body_part))
            .bind(i64::from(priors.studies));
        let studies = statement.fetch_all(&self.inner.database.pool).await?;
        let mut instances = 0;
        for study in &studies {
            let study: String = study.try_get(0)?;
            let rows = sqlx::query(HELD).bind(study).bind("").fetch_all(&self.inner.database.pool).await?;
            let mut change = self.inner.database.change_of(rows.len()).await?;
            for row in &rows {
                let one = arrived(row)?;
                let is_echo = destination.is_sender(&one.arrival.from) && !rule.sends_back;
                instances += u64::from(!is_echo && queue(&mut change, &one, &destination.name, &rule.name).await?);
            }
            change.commit().await?;
        }
        Ok(format!("{instances} instances of {} studies for {}", studies.len(), destination.name))
    }
}

// Of the same patient, as corrected, and not later than the new one. What has no date may be as old as any.
const PRIORS: &str = "select p.study_instance_uid from study st
    join study p on p.patient_key = st.patient_key and p.study_key <> st.study_key
    where st.study_instance_uid = $1 and p.number_of_study_related_instances > 0
        and (st.study_date_match = '' or p.study_date_match <= st.study_date_match)
        and ($2 = 0 or exists (select 1 from series a join series b on a.modality = b.modality
            where a.study_key = st.study_key and b.study_key = p.study_key))
        and ($3 = 0 or exists (select 1 from series a join series b on a.body_part_examined = b.body_part_examined
            where a.study_key = st.study_key and b.study_key = p.study_key and a.body_part_examined <> ''))
    order by p.study_date_match desc, p.study_time_match desc, p.study_key desc limit $4";
