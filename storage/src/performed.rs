//! What modalities report of procedure steps (PS3.4 Annex F): kept as they say it, and linked to study and order.

use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    commit::announce,
    database::Change,
    error::ArchiveError,
    outbox::{EventKind, NewEvent, write_event},
    routing::tell_on,
    worklist::{ScheduledStep, set_status, step_of},
};
use pacs_core::{
    Item, Tag, Uid,
    mpps::{self, MPPS, Performed},
};
use sqlx::{Row, any::AnyRow};

/// A Modality Performed Procedure Step.
#[derive(Debug, Clone, PartialEq)]
pub struct PerformedStep {
    pub sop_instance: Uid,
    pub study: Uid,
    /// `IN PROGRESS`, `COMPLETED` or `DISCONTINUED`.
    pub status: String,
    /// AE title of who reported it.
    pub performed_by: String,
    pub item: Item,
    /// Milliseconds since 1970-01-01 UTC.
    pub created_at: i64,
    pub changed_at: i64,
}

impl Archive {
    /// Takes over a step that begins; `Duplicate` if there is one of this UID.
    pub async fn create_performed_step(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        item: &Item,
    ) -> Result<(), ArchiveError> {
        let performed = mpps::create(item)?;
        let rules = self.step_rules().await?;
        let mut change = self.inner.database.change().await?;
        let insert = sqlx::query(CREATE)
            .bind(sop_instance.as_str())
            .bind(&performed.id)
            .bind(performed.study.as_str())
            .bind(&performed.patient_id)
            .bind(performed.status.as_str())
            .bind(by)
            .bind(json(item)?)
            .bind(now());
        if insert.execute(&mut *change.transaction).await?.rows_affected() == 0 {
            return Err(ArchiveError::Duplicate(sop_instance.to_string()));
        }
        for (study, step_id) in &performed.scheduled {
            let link = sqlx::query(LINK).bind(change.head.next_key()).bind(sop_instance.as_str());
            link.bind(study.as_str()).bind(step_id).execute(&mut *change.transaction).await?;
        }
        tell_on(&mut change, &rules, by, item, (sop_instance, true, item)).await?;
        self.told(change, by, origin, sop_instance, &performed).await
    }

    /// Changes a step in progress; returns the attributes that may not change and did not.
    pub async fn modify_performed_step(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        modification: Item,
    ) -> Result<Vec<Tag>, ArchiveError> {
        let rules = self.step_rules().await?;
        let mut change = self.inner.database.change().await?;
        let row = sqlx::query(STEP).bind(sop_instance.as_str()).fetch_optional(&mut *change.transaction).await?;
        let held = performed_step(&row.ok_or_else(|| missing(sop_instance))?)?;
        let modified = mpps::modify(&held.item, modification.clone())?;
        tell_on(&mut change, &rules, by, &held.item, (sop_instance, false, &modification)).await?;
        sqlx::query(MODIFY)
            .bind(sop_instance.as_str())
            .bind(modified.performed.status.as_str())
            .bind(json(&modified.item)?)
            .bind(now())
            .execute(&mut *change.transaction)
            .await?;
        self.told(change, by, origin, sop_instance, &modified.performed).await?;
        Ok(modified.kept)
    }

    pub async fn performed_step(&self, sop_instance: &Uid) -> Result<PerformedStep, ArchiveError> {
        let row = sqlx::query(STEP).bind(sop_instance.as_str()).fetch_optional(&self.inner.database.pool).await?;
        performed_step(&row.ok_or_else(|| missing(sop_instance))?)
    }

    /// Steps performed for a study, or all; the newest first, at most `limit`.
    pub async fn performed_steps(&self, study: Option<&Uid>, limit: u32) -> Result<Vec<PerformedStep>, ArchiveError> {
        let study = study.map_or("", Uid::as_str);
        let statement = sqlx::query(STEPS).bind(study).bind(i64::from(limit));
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(performed_step).collect()
    }

    /// The orders follow, the event is written, the audit trail tells of it; then all of it is there.
    async fn told(
        &self,
        mut change: Change<'_>,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        performed: &Performed,
    ) -> Result<(), ArchiveError> {
        for (study, step_id) in &performed.scheduled {
            if let Some(mut step) = step_of(&mut change, study, step_id).await? {
                follow(&mut change, &mut step).await?;
            }
        }
        let (study, sop_instance) = (performed.study.as_str(), sop_instance.as_str());
        let kind = EventKind::MppsChanged;
        let event = NewEvent { kind, study, series: "", sop_instance, sop_class: MPPS };
        write_event(&mut change, event).await?;
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Procedure,
            actor: by.to_owned(),
            origin: origin.to_owned(),
            success: true,
            study: Some(study.to_owned()),
            detail: format!("performed procedure step {sop_instance} {}", performed.status.as_str()),
        };
        write_audit(&mut change, &record).await?;
        announce(&self.inner.newest, change.commit().await?);
        Ok(())
    }
}

/// Gives a scheduled step the status that what was performed for it says.
pub(crate) async fn follow(change: &mut Change<'_>, step: &mut ScheduledStep) -> Result<(), ArchiveError> {
    let statement = sqlx::query(PERFORMED_FOR).bind(step.study.as_str()).bind(&step.step_id);
    let rows = statement.fetch_all(&mut *change.transaction).await?;
    let items = rows.iter().map(performed_step).collect::<Result<Vec<_>, _>>()?;
    match mpps::step_status(items.iter().map(|performed| &performed.item)) {
        Some(status) if status != step.status => set_status(change, step, status).await,
        _ => Ok(()),
    }
}

fn missing(sop_instance: &Uid) -> ArchiveError {
    ArchiveError::NotFound(format!("performed procedure step {sop_instance}"))
}

fn json(item: &Item) -> Result<String, ArchiveError> {
    serde_json::to_string(item).map_err(|error| ArchiveError::Internal(error.to_string()))
}

fn performed_step(row: &AnyRow) -> Result<PerformedStep, ArchiveError> {
    let fault = |what: &str| ArchiveError::Internal(format!("performed step: {what}"));
    let uid = |index: usize| -> Result<Uid, ArchiveError> {
        row.try_get::<String, _>(index)?.parse().map_err(|_| fault("UID"))
    };
    let json: String = row.try_get(4)?;
    Ok(PerformedStep {
        sop_instance: uid(0)?,
        study: uid(1)?,
        status: row.try_get(2)?,
        performed_by: row.try_get(3)?,
        item: serde_json::from_str(&json).map_err(|_| fault("item"))?,
        created_at: row.try_get(5)?,
        changed_at: row.try_get(6)?,
    })
}

const CREATE: &str = "insert into performed_step (sop_instance_uid, performed_procedure_step_id, study_instance_uid,
        patient_id, status, performed_by, json, created_at, changed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $8) on conflict (sop_instance_uid) do nothing";

const LINK: &str = "insert into performed_for (performed_for_key, sop_instance_uid, study_instance_uid,
        scheduled_procedure_step_id)
    values ($1, $2, $3, $4)";

const MODIFY: &str = "update performed_step set status = $2, json = $3, changed_at = $4 where sop_instance_uid = $1";

const STEP: &str = "select sop_instance_uid, study_instance_uid, status, performed_by, json, created_at, changed_at
    from performed_step where sop_instance_uid = $1";

const STEPS: &str = "select sop_instance_uid, study_instance_uid, status, performed_by, json, created_at, changed_at
    from performed_step
    where $1 = '' or study_instance_uid = $1 or sop_instance_uid in (
        select sop_instance_uid from performed_for where study_instance_uid = $1)
    order by created_at desc, sop_instance_uid desc limit $2";

const PERFORMED_FOR: &str = "select p.sop_instance_uid, p.study_instance_uid, p.status, p.performed_by, p.json,
        p.created_at, p.changed_at
    from performed_for f join performed_step p on p.sop_instance_uid = f.sop_instance_uid
    where f.study_instance_uid = $1 and f.scheduled_procedure_step_id = $2";
