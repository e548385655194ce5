//! Whether the patient of a study was an inpatient.
//!
//! The catalog has no such attribute. It is what somebody said of the study, or else an inpatient where a data set of the
//! study has an Admission ID (0038,0010). That it has none tells nothing: most modalities leave it out.

use super::study::StudyFacts;
use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord, write_audit},
    error::ArchiveError,
};
use pacs_core::Uid;
use serde_json::Value;
use sqlx::Row;

/// What a patient was to the house when the study was made (Patient Class of HL7 v2 PV1-2, as far as terms depend on it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatientClass {
    Inpatient,
    Outpatient,
}

impl PatientClass {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inpatient => "inpatient",
            Self::Outpatient => "outpatient",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Inpatient, Self::Outpatient].into_iter().find(|class| class.as_str() == text)
    }
}

impl Archive {
    /// Says what the patient of a study was, against whatever its data sets tell; `NotFound` if there is no such study.
    pub async fn set_patient_class(
        &self,
        actor: &str,
        origin: &str,
        study: &Uid,
        class: PatientClass,
    ) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let set = sqlx::query(SET).bind(study.as_str()).bind(class.as_str()).bind(actor);
        if set.execute(&mut *change.transaction).await?.rows_affected() == 0 {
            return Err(ArchiveError::NotFound(format!("study {study}")));
        }
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Configuration,
            actor: actor.to_owned(),
            origin: origin.to_owned(),
            success: true,
            study: Some(study.to_string()),
            detail: format!("patient class set to {}", class.as_str()),
        };
        write_audit(&mut change, &record).await?;
        change.commit().await?;
        Ok(())
    }

    /// What is known of a study; what its data sets tell is read once and kept until it changes.
    pub(super) async fn patient_class(&self, study: &StudyFacts) -> Result<Option<PatientClass>, ArchiveError> {
        let known = sqlx::query(KNOWN).bind(&study.uid).bind(study.position);
        if let Some(row) = known.fetch_optional(&self.inner.database.pool).await? {
            return Ok(PatientClass::of(row.try_get(0)?));
        }
        let class = match self.admission_id(study).await {
            Ok(is_there) => is_there.then_some(PatientClass::Inpatient),
            Err(error) => {
                tracing::warn!(%error, study = study.uid, "whether a study is of an inpatient cannot be read now");
                return Ok(None);
            }
        };
        self.inner.learn_class(study, class).await?;
        Ok(class)
    }

    /// Whether the first instance of any series of a study has one.
    async fn admission_id(&self, study: &StudyFacts) -> Result<bool, ArchiveError> {
        let rows = sqlx::query(SERIES).bind(study.key).fetch_all(&self.inner.database.pool).await?;
        let uid = study.uid.parse().map_err(|_| ArchiveError::NotFound("the study".into()))?;
        for row in rows {
            let series = row.try_get::<String, _>(0)?.parse().ok();
            let Some(instance) = self.first_instance(&uid, series.as_ref()).await? else { continue };
            if has_admission_id(&self.metadata_of(&instance).await?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn has_admission_id(metadata: &str) -> bool {
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    let value = metadata.get("00380010").and_then(|element| element.get("Value")?.get(0)?.as_str());
    value.is_some_and(|text| !text.trim().is_empty())
}

impl Inner {
    async fn learn_class(&self, study: &StudyFacts, class: Option<PatientClass>) -> Result<(), ArchiveError> {
        let text = class.map_or("", PatientClass::as_str);
        let learn = sqlx::query(LEARN).bind(&study.uid).bind(text).bind(study.position);
        self.database.execute(learn).await?;
        Ok(())
    }
}

const SET: &str = "insert into patient_class (study_instance_uid, patient_class, set_by, changed_position)
    select study_instance_uid, $2, $3, 0 from study where study_instance_uid = $1
    on conflict (study_instance_uid) do update set patient_class = excluded.patient_class, set_by = excluded.set_by";

const KNOWN: &str = "select patient_class from patient_class
    where study_instance_uid = $1 and (set_by <> '' or changed_position = $2)";

// What somebody said stays.
const LEARN: &str = "insert into patient_class (study_instance_uid, patient_class, set_by, changed_position)
    values ($1, $2, '', $3)
    on conflict (study_instance_uid) do update set patient_class = excluded.patient_class,
        changed_position = excluded.changed_position
    where patient_class.set_by = ''";

const SERIES: &str = "select series_instance_uid from series where study_key = $1 order by series_order, series_key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admission_id_is_one_with_a_value() {
        for (metadata, expected) in [
            (r#"{"00380010":{"vr":"LO","Value":["A1"]}}"#, true),
            (r#"{"00380010":{"vr":"LO","Value":[" "]}}"#, false),
            (r#"{"00380010":{"vr":"LO"}}"#, false),
            ("{}", false),
            ("not JSON", false),
        ] {
            assert_eq!(has_admission_id(metadata), expected, "{metadata}");
        }
    }
}
