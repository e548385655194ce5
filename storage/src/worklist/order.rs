//! Orders come in, change, and go.

use super::{ScheduledStep, scheduled_step};
use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    database::Change,
    error::ArchiveError,
    performed::follow,
};
use pacs_core::{
    Item, Uid, tags,
    worklist::{self, Order, StepStatus},
};
use sqlx::Row;

/// A step that an order may mean.
struct Known {
    number: i64,
    study: Uid,
    step_id: String,
    accession_number: String,
    requested_procedure_id: String,
    status: StepStatus,
    item: Item,
}

impl Archive {
    /// Takes an order over as steps of the worklist, all of its steps or none; `order` has the attributes of the worklist
    /// information model (PS3.4 Table K.6-1).
    ///
    /// A step is one that we have if its study, or its patient with accession, filler or placer number, and its Scheduled
    /// Procedure Step ID are the same: then it is replaced. Without that ID it is the only step of its order. What is not
    /// said stays: Study Instance UID, IDs and status. Identifiers that nobody gives are made, once. A status from before
    /// the work began does not undo what the modality reported since.
    ///
    /// This is the way in for every source of orders: HTTP, command line, HL7.
    pub async fn put_order(&self, actor: &str, origin: &str, order: &Item) -> Result<Vec<ScheduledStep>, ArchiveError> {
        let items = worklist::steps(order)?;
        let mut change = self.inner.database.change().await?;
        let mut steps = Vec::new();
        for item in items {
            let step = put_step(&mut change, item).await?;
            note(&mut change, actor, origin, &step, "set").await?;
            steps.push(step);
        }
        change.commit().await?;
        Ok(steps)
    }

    /// Gives a step another status: the patient has arrived, the order is cancelled.
    pub async fn set_step_status(
        &self,
        actor: &str,
        origin: &str,
        number: i64,
        status: StepStatus,
    ) -> Result<ScheduledStep, ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let row = sqlx::query(STEP).bind(number).fetch_optional(&mut *change.transaction).await?;
        let mut step = scheduled_step(&row.ok_or_else(|| missing(number))?)?;
        set_status(&mut change, &mut step, status).await?;
        note(&mut change, actor, origin, &step, status.as_str()).await?;
        change.commit().await?;
        Ok(step)
    }

    /// Takes a step off the worklist as if it had never been ordered.
    pub async fn remove_step(&self, actor: &str, origin: &str, number: i64) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let row = sqlx::query(STEP).bind(number).fetch_optional(&mut *change.transaction).await?;
        let step = scheduled_step(&row.ok_or_else(|| missing(number))?)?;
        sqlx::query(REMOVE).bind(number).execute(&mut *change.transaction).await?;
        note(&mut change, actor, origin, &step, "removed").await?;
        change.commit().await?;
        Ok(())
    }
}

fn missing(number: i64) -> ArchiveError {
    ArchiveError::NotFound(format!("scheduled procedure step {number}"))
}

async fn put_step(change: &mut Change<'_>, mut item: Item) -> Result<ScheduledStep, ArchiveError> {
    let order = worklist::order(&item)?;
    let known = known(change, &order).await?;
    let same = same(&known, &order)?;
    let number = same.map_or_else(|| change.head.next_key(), |same| same.number);
    keep_what_is_known(&mut item, &order, same);
    let study = same.or_else(|| of_procedure(&known, &order)).map(|known| known.study.clone());
    let study = study.or_else(|| order.study.clone()).unwrap_or_else(|| Uid::from_uuid(rand::random()));
    let order = worklist::order(&item)?;
    worklist::complete(&mut item, &order, &study, &format!("S{number:X}"));
    let is_new = same.is_none();
    let mut step = write(change, number, item).await?;
    if is_new {
        // It may have been performed before anybody ordered it.
        follow(change, &mut step).await?;
    }
    Ok(step)
}

/// The steps of the orders that this one may be.
async fn known(change: &mut Change<'_>, order: &Order) -> Result<Vec<Known>, ArchiveError> {
    let rows = sqlx::query(KNOWN)
        .bind(order.study.as_ref().map_or("", Uid::as_str))
        .bind(&order.patient_id)
        .bind(&order.issuer_of_patient_id)
        .bind(&order.accession_number)
        .bind(&order.filler_order_number)
        .bind(&order.placer_order_number)
        .fetch_all(&mut *change.transaction)
        .await?;
    let known = |row| {
        let step = scheduled_step(row)?;
        Ok(Known {
            number: step.number,
            study: step.study,
            step_id: step.step_id,
            accession_number: row.try_get(6)?,
            requested_procedure_id: row.try_get(7)?,
            status: step.status,
            item: step.item,
        })
    };
    rows.iter().map(known).collect()
}

/// The step that is meant, if we have it.
fn same<'a>(known: &'a [Known], order: &Order) -> Result<Option<&'a Known>, ArchiveError> {
    let says = |said: &str, held: &str| said.is_empty() || said == held;
    let is_of = |known: &Known| match &order.study {
        Some(study) => *study == known.study,
        None => {
            says(&order.requested_procedure_id, &known.requested_procedure_id)
                && says(&order.accession_number, &known.accession_number)
        }
    };
    let mut meant = known.iter().filter(|known| says(&order.step_id, &known.step_id) && is_of(known));
    match (meant.next(), meant.next()) {
        (Some(_), Some(_)) => {
            Err(ArchiveError::Conflict("the order has several steps: give the Scheduled Procedure Step ID".into()))
        }
        (same, _) => Ok(same),
    }
}

/// A step of the same requested procedure, which has its study.
fn of_procedure<'a>(known: &'a [Known], order: &Order) -> Option<&'a Known> {
    let is_it = |known: &&Known| {
        order.study.is_none()
            && known.accession_number == order.accession_number
            && (order.requested_procedure_id.is_empty() || order.requested_procedure_id == known.requested_procedure_id)
    };
    known.iter().find(is_it)
}

fn keep_what_is_known(item: &mut Item, order: &Order, same: Option<&Known>) {
    let Some(known) = same else { return };
    if order.requested_procedure_id.is_empty() {
        item.put_text(tags::REQUESTED_PROCEDURE_ID, known.item.text(tags::REQUESTED_PROCEDURE_ID));
    }
    let said = order.status.filter(|said| !(is_before_work(*said) && is_work(known.status)));
    worklist::change_step(item, |step| {
        step.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, &known.step_id);
        step.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, said.unwrap_or(known.status).as_str());
    });
}

fn is_before_work(status: StepStatus) -> bool {
    matches!(status, StepStatus::Scheduled | StepStatus::Arrived | StepStatus::Ready)
}

/// What a modality reports.
fn is_work(status: StepStatus) -> bool {
    matches!(status, StepStatus::Started | StepStatus::Completed | StepStatus::Discontinued)
}

async fn write(change: &mut Change<'_>, number: i64, item: Item) -> Result<ScheduledStep, ArchiveError> {
    let order = worklist::order(&item)?;
    let (Some(study), Some(status)) = (order.study.clone(), order.status) else {
        return Err(ArchiveError::Internal("a completed order has a study and a status".into()));
    };
    let json = serde_json::to_string(&item).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    let changed_at = now();
    sqlx::query(PUT)
        .bind(number)
        .bind(study.as_str())
        .bind(&order.step_id)
        .bind(&order.accession_number)
        .bind(&order.requested_procedure_id)
        .bind(&order.placer_order_number)
        .bind(&order.filler_order_number)
        .bind(&order.patient_id)
        .bind(&order.issuer_of_patient_id)
        .bind(&order.start_date)
        .bind(&order.start_time)
        .bind(status.as_str())
        .bind(i64::from(status.is_open()))
        .bind(json)
        .bind(changed_at)
        .execute(&mut *change.transaction)
        .await?;
    Ok(ScheduledStep { number, study, step_id: order.step_id, status, item, changed_at })
}

/// The step of a study, if it is on the worklist.
pub(crate) async fn step_of(
    change: &mut Change<'_>,
    study: &Uid,
    step_id: &str,
) -> Result<Option<ScheduledStep>, ArchiveError> {
    let statement = sqlx::query(STEP_OF_STUDY).bind(study.as_str()).bind(step_id);
    let row = statement.fetch_optional(&mut *change.transaction).await?;
    row.as_ref().map(scheduled_step).transpose()
}

/// Changes the status of a step, in the item too.
pub(crate) async fn set_status(
    change: &mut Change<'_>,
    step: &mut ScheduledStep,
    status: StepStatus,
) -> Result<(), ArchiveError> {
    worklist::change_step(&mut step.item, |item| {
        item.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, status.as_str());
    });
    step.status = status;
    let json = serde_json::to_string(&step.item).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    sqlx::query(SET_STATUS)
        .bind(step.number)
        .bind(status.as_str())
        .bind(i64::from(status.is_open()))
        .bind(json)
        .bind(now())
        .execute(&mut *change.transaction)
        .await?;
    Ok(())
}

async fn note(
    change: &mut Change<'_>,
    actor: &str,
    origin: &str,
    step: &ScheduledStep,
    what: &str,
) -> Result<(), sqlx::Error> {
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Order,
        actor: actor.to_owned(),
        origin: origin.to_owned(),
        success: true,
        study: Some(step.study.to_string()),
        detail: format!("scheduled procedure step {} {what}", step.step_id),
    };
    write_audit(change, &record).await
}

const STEP: &str = "select step_key, study_instance_uid, scheduled_procedure_step_id, status, json, changed_at
    from scheduled_step where step_key = $1";

const STEP_OF_STUDY: &str = "select step_key, study_instance_uid, scheduled_procedure_step_id, status, json, changed_at
    from scheduled_step where study_instance_uid = $1 and scheduled_procedure_step_id = $2";

// An accession or order number alone could be another patient's, from another house.
const KNOWN: &str = "select step_key, study_instance_uid, scheduled_procedure_step_id, status, json, changed_at,
        accession_number, requested_procedure_id
    from scheduled_step
    where study_instance_uid = $1
        or patient_id = $2 and (issuer_of_patient_id = $3 or issuer_of_patient_id = '' or $3 = '')
            and (accession_number = $4 and $4 <> '' or filler_order_number = $5 and $5 <> ''
                or placer_order_number = $6 and $6 <> '')
    order by step_key";

const PUT: &str = "insert into scheduled_step (step_key, study_instance_uid, scheduled_procedure_step_id,
        accession_number, requested_procedure_id, placer_order_number, filler_order_number, patient_id,
        issuer_of_patient_id, start_date, start_time, status, is_open, json, changed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    on conflict (step_key) do update set study_instance_uid = excluded.study_instance_uid,
        scheduled_procedure_step_id = excluded.scheduled_procedure_step_id,
        accession_number = excluded.accession_number, requested_procedure_id = excluded.requested_procedure_id,
        placer_order_number = excluded.placer_order_number, filler_order_number = excluded.filler_order_number,
        patient_id = excluded.patient_id, issuer_of_patient_id = excluded.issuer_of_patient_id,
        start_date = excluded.start_date, start_time = excluded.start_time, status = excluded.status,
        is_open = excluded.is_open, json = excluded.json, changed_at = excluded.changed_at";

const SET_STATUS: &str = "update scheduled_step set status = $2, is_open = $3, json = $4, changed_at = $5
    where step_key = $1";

const REMOVE: &str = "delete from scheduled_step where step_key = $1";
