//! Workitems created, changed, claimed and ended.

use super::{fault, moment, notify::notify, subscribe::subscribe_to_new, workitem};
use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    database::Change,
    error::ArchiveError,
};
use pacs_core::{
    Item, Uid, tags,
    ups::{Cancel, State, UpsError, UpsEvent, Warning, Workitem, cancel_requested, reports, state_report},
};

impl Archive {
    /// Creates a workitem; who is subscribed to all that come hears of it.
    pub async fn create_workitem(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        item: Item,
    ) -> Result<Option<Warning>, ArchiveError> {
        let now = now();
        let (workitem, warning) = Workitem::create(sop_instance, item, &moment(now))?;
        let mut change = self.inner.database.change().await?;
        let insert = sqlx::query(CREATE)
            .bind(sop_instance.as_str())
            .bind(workitem.state.as_str())
            .bind(workitem.item.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME))
            .bind(json(&workitem.item)?)
            .bind(now);
        if insert.execute(&mut *change.transaction).await?.rows_affected() == 0 {
            return Err(UpsError::Duplicate.into());
        }
        subscribe_to_new(&mut change, sop_instance, &workitem.item).await?;
        notify(&mut change, sop_instance, UpsEvent::StateReport, &state_report(&workitem.item)).await?;
        note(&mut change, by, origin, sop_instance, &workitem, "created").await?;
        change.commit().await?;
        Ok(warning)
    }

    /// Changes attributes of a workitem; in progress only for who has its Transaction UID, which `modification` then holds.
    pub async fn update_workitem(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        modification: Item,
    ) -> Result<Option<Warning>, ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let mut workitem = held(&mut change, sop_instance).await?;
        let before = workitem.item.clone();
        let warning = workitem.update(modification, &moment(now()))?;
        write(&mut change, sop_instance, &workitem).await?;
        for (event, information) in reports(&before, &workitem.item) {
            notify(&mut change, sop_instance, event, &information).await?;
        }
        note(&mut change, by, origin, sop_instance, &workitem, "changed").await?;
        change.commit().await?;
        Ok(warning)
    }

    /// Brings a workitem into another state. Of any number who claim it at the same time, one does.
    pub async fn change_workitem_state(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        to: State,
        transaction: Option<&Uid>,
    ) -> Result<Option<Warning>, ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let mut workitem = held(&mut change, sop_instance).await?;
        let warning = workitem.change_state(to, transaction, &moment(now()))?;
        if warning.is_some() {
            return Ok(warning);
        }
        write(&mut change, sop_instance, &workitem).await?;
        notify(&mut change, sop_instance, UpsEvent::StateReport, &state_report(&workitem.item)).await?;
        note(&mut change, by, origin, sop_instance, &workitem, to.as_str()).await?;
        change.commit().await?;
        Ok(None)
    }

    /// Asks that a workitem be cancelled: done at once while nobody is at work on it, else its performer is told, if anybody
    /// hears of it.
    pub async fn request_workitem_cancel(
        &self,
        by: &str,
        origin: &str,
        sop_instance: &Uid,
        request: &Item,
    ) -> Result<Option<Warning>, ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let mut workitem = held(&mut change, sop_instance).await?;
        match workitem.request_cancel(request, &moment(now()))? {
            Cancel::Already => return Ok(Some(Warning::AlreadyCanceled)),
            Cancel::Asked => {
                let told = notify(&mut change, sop_instance, UpsEvent::CancelRequested, &cancel_requested(request, by))
                    .await?;
                if told == 0 {
                    return Err(UpsError::NoPerformer.into());
                }
            }
            Cancel::Done => {
                write(&mut change, sop_instance, &workitem).await?;
                notify(&mut change, sop_instance, UpsEvent::StateReport, &state_report(&workitem.item)).await?;
            }
        }
        note(&mut change, by, origin, sop_instance, &workitem, "cancellation requested").await?;
        change.commit().await?;
        Ok(None)
    }
}

pub(super) async fn held(change: &mut Change<'_>, sop_instance: &Uid) -> Result<Workitem, ArchiveError> {
    let row = sqlx::query(HELD).bind(sop_instance.as_str()).fetch_optional(&mut *change.transaction).await?;
    workitem(&row.ok_or(UpsError::NoSuchWorkitem)?, 0)
}

async fn write(change: &mut Change<'_>, sop_instance: &Uid, workitem: &Workitem) -> Result<(), ArchiveError> {
    sqlx::query(WRITE)
        .bind(sop_instance.as_str())
        .bind(workitem.state.as_str())
        .bind(workitem.transaction.as_ref().map_or("", Uid::as_str))
        .bind(workitem.item.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME))
        .bind(json(&workitem.item)?)
        .bind(now())
        .execute(&mut *change.transaction)
        .await?;
    Ok(())
}

fn json(item: &Item) -> Result<String, ArchiveError> {
    serde_json::to_string(item).map_err(|error| fault(&error.to_string()))
}

async fn note(
    change: &mut Change<'_>,
    by: &str,
    origin: &str,
    sop_instance: &Uid,
    workitem: &Workitem,
    what: &str,
) -> Result<(), sqlx::Error> {
    let study = workitem.item.text(tags::STUDY_INSTANCE_UID);
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Procedure,
        actor: by.to_owned(),
        origin: origin.to_owned(),
        success: true,
        study: Some(study.to_owned()).filter(|study| !study.is_empty()),
        detail: format!("workitem {sop_instance} {what}"),
    };
    write_audit(change, &record).await
}

const CREATE: &str = "insert into workitem (sop_instance_uid, procedure_step_state, transaction_uid, start_date_time,
        json, created_at, changed_at)
    values ($1, $2, '', $3, $4, $5, $5) on conflict (sop_instance_uid) do nothing";

const HELD: &str = "select procedure_step_state, transaction_uid, json from workitem where sop_instance_uid = $1";

const WRITE: &str =
    "update workitem set procedure_step_state = $2, transaction_uid = $3, start_date_time = $4, json = $5,
        changed_at = $6
    where sop_instance_uid = $1";
