//! Housekeeping: series that fell quiet, what a crash left behind, and removal.

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    commit::{Work, announce},
    database::Change,
    error::ArchiveError,
    outbox::{EventKind, NewEvent, write_event},
    removal::remove,
    retention::{Grounds, check_reason, refuse_kept},
    tiers::{is_cold, series_folder},
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use std::collections::HashSet;

/// Doomed objects looked at in one go.
const DOOMED_AT_ONCE: i64 = 1000;
/// When one is looked at again that cannot go yet.
const PUT_OFF_MILLISECONDS: i64 = 60_000;

impl Archive {
    /// The association or batch that brought these series is over: announces them complete if the configuration says so.
    pub async fn released(&self, series: &[Uid]) -> Result<(), ArchiveError> {
        if !self.inner.config.complete_on_release || series.is_empty() {
            return Ok(());
        }
        let mut change = self.inner.database.change().await?;
        for uid in series {
            let rows = sqlx::query(RELEASE).bind(uid.as_str()).fetch_all(&mut *change.transaction).await?;
            write_complete(&mut change, &rows).await?;
        }
        announce(&self.inner.newest, change.commit().await?);
        Ok(())
    }

    /// Writes a `SeriesComplete` event for every series that has been quiet long enough, and the audit lines about transfers
    /// that have ended; returns how many series.
    pub async fn announce_quiet_series(&self) -> Result<usize, ArchiveError> {
        self.inner.committer.submit(Work::EndTransfers).await?;
        let quiet = i64::try_from(self.inner.config.quiet_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let (before, after) = (now().saturating_sub(quiet), now().saturating_add(quiet));
        if sqlx::query(ANY_QUIET).bind(before).bind(after).fetch_optional(&self.inner.database.pool).await?.is_none() {
            return Ok(0);
        }
        let mut change = self.inner.database.change().await?;
        let rows = sqlx::query(QUIET).bind(before).bind(after).fetch_all(&mut *change.transaction).await?;
        write_complete(&mut change, &rows).await?;
        announce(&self.inner.newest, change.commit().await?);
        Ok(rows.len())
    }

    /// Removes a study, series or instance from index and store; written to the outbox. Returns how many instances.
    pub async fn delete(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<usize, ArchiveError> {
        self.delete_by("archive", "", study, series, sop_instance).await
    }

    /// As [`Self::delete`]; the audit trail names who did it and from where. An error if the study is on legal hold, or kept
    /// by a rule.
    pub async fn delete_by(
        &self,
        actor: &str,
        origin: &str,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<usize, ArchiveError> {
        let grounds = self.grounds(study).await?;
        let (series, sop_instance) = (text(series), text(sop_instance));
        let (study, series, sop_instance) = (study.as_str(), series.as_str(), sop_instance.as_str());
        self.delete_on(&grounds, Removal { actor, origin, study, series, sop_instance, why: "" }).await
    }

    /// Deletes a study before its term is over, with a reason for the audit trail. Who may ask for it is up to the caller;
    /// what is on legal hold stays all the same.
    pub async fn delete_early(
        &self,
        actor: &str,
        origin: &str,
        study: &Uid,
        reason: &str,
    ) -> Result<usize, ArchiveError> {
        check_reason(reason)?;
        let why = &format!(", before its term was over: {reason}");
        let removal = Removal { actor, origin, study: study.as_str(), series: "", sop_instance: "", why };
        self.delete_on(&Grounds::Override, removal).await
    }

    async fn delete_on(&self, grounds: &Grounds, removal: Removal<'_>) -> Result<usize, ArchiveError> {
        let mut change = self.inner.database.change().await?;
        refuse_kept(&mut change, removal.study, grounds).await?;
        let removed = remove_noted(&mut change, removal).await?;
        if removed == 0 {
            return Err(ArchiveError::NotFound(removal.named()));
        }
        announce(&self.inner.newest, change.commit().await?);
        self.inner.database.make_durable().await?;
        self.remove_doomed_objects().await?;
        Ok(removed)
    }

    /// Removes the objects of deleted rows from the store; what cannot be removed now is tried again next time.
    pub async fn remove_doomed_objects(&self) -> Result<(), ArchiveError> {
        // Whether cold: a store that is away is asked once, and keeps the other not waiting.
        let mut away = HashSet::new();
        loop {
            let rows =
                sqlx::query(DOOMED).bind(now()).bind(DOOMED_AT_ONCE).fetch_all(&self.inner.database.pool).await?;
            if rows.is_empty() {
                return Ok(());
            }
            // A power cut must not bring rows back whose bytes are gone.
            self.inner.database.make_durable().await?;
            let growing = self.inner.growing().await?;
            if self.inner.is_cold_disk_away(&rows).await {
                away.insert(true);
            }
            for row in &rows {
                let (key, keep): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
                if growing.contains(series_folder(&key)) || away.contains(&is_cold(&key)) {
                    self.inner.put_off(&key, PUT_OFF_MILLISECONDS).await?;
                } else if let Err(error) = self.inner.remove_doomed(&key, keep == 0).await {
                    tracing::warn!(%error, "removing an object failed, it is tried again later");
                    away.insert(is_cold(&key));
                    // Later than what was not tried: it may be the only one that cannot go.
                    self.inner.put_off(&key, 2 * PUT_OFF_MILLISECONDS).await?;
                }
            }
        }
    }
}

impl Inner {
    /// Folders of packs that are in no store yet and hold what may have moved there from objects that are doomed: until they
    /// are, the old objects are all there is beside the disk of one machine.
    async fn growing(&self) -> Result<HashSet<String>, ArchiveError> {
        let rows = sqlx::query(GROWING).fetch_all(&self.database.pool).await?;
        let folder = |row: &AnyRow| Ok(series_folder(&row.try_get::<String, _>(0)?).to_owned());
        rows.iter().map(folder).collect()
    }

    /// Where a disk is not mounted, all that is to go from it seems to be gone already.
    async fn is_cold_disk_away(&self, doomed: &[AnyRow]) -> bool {
        let is_any_cold = doomed.iter().any(|row| row.try_get::<&str, _>(0).is_ok_and(is_cold));
        is_any_cold && self.refuse_other_cold_store().await.is_err()
    }

    async fn put_off(&self, key: &str, milliseconds: i64) -> Result<(), ArchiveError> {
        self.database.execute(sqlx::query(PUT_OFF).bind(key).bind(now() + milliseconds)).await?;
        Ok(())
    }

    async fn remove_doomed(&self, key: &str, for_good: bool) -> Result<(), ArchiveError> {
        match for_good {
            true => self.objects.remove(key).await?,
            false => self.objects.put_aside(key).await?,
        }
        self.database.execute(sqlx::query(GONE).bind(key)).await?;
        Ok(())
    }
}

/// What is to be removed, in whose name and why. `series` and `sop_instance` are empty for all there are.
#[derive(Clone, Copy)]
pub(crate) struct Removal<'a> {
    pub(crate) actor: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) study: &'a str,
    pub(crate) series: &'a str,
    pub(crate) sop_instance: &'a str,
    /// Ends the line of the audit trail.
    pub(crate) why: &'a str,
}

impl Removal<'_> {
    /// What is asked for, in words.
    fn named(&self) -> String {
        let levels = [("study", self.study), ("series", self.series), ("instance", self.sop_instance)];
        let named: Vec<_> =
            levels.iter().filter(|(_, uid)| !uid.is_empty()).map(|(level, uid)| format!("{level} {uid}")).collect();
        named.join(", ")
    }
}

fn text(uid: Option<&Uid>) -> String {
    uid.map(Uid::to_string).unwrap_or_default()
}

/// Removes rows, with their event and their line in the audit trail. Returns how many instances went; if none did, the
/// change is not to be committed.
pub(crate) async fn remove_noted(change: &mut Change<'_>, removal: Removal<'_>) -> Result<usize, sqlx::Error> {
    let Removal { actor, origin, study, series, sop_instance, why } = removal;
    let event = NewEvent { kind: EventKind::Deleted, study, series, sop_instance, sop_class: "" };
    let position = write_event(change, event).await?;
    let removed = remove(change, study, series, sop_instance, position).await?;
    if removed == 0 {
        return Ok(0);
    }
    let record = AuditRecord {
        at: 0,
        action: AuditAction::Delete,
        actor: actor.to_owned(),
        origin: origin.to_owned(),
        success: true,
        study: Some(study.to_owned()),
        detail: format!("{removed} instances of {}{why}", removal.named()),
    };
    write_audit(change, &record).await?;
    Ok(removed)
}

/// Events for rows of (study, series).
async fn write_complete(change: &mut Change<'_>, rows: &[AnyRow]) -> Result<(), sqlx::Error> {
    for row in rows {
        let (study, series): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let event = NewEvent {
            kind: EventKind::SeriesComplete,
            study: &study,
            series: &series,
            sop_instance: "",
            sop_class: "",
        };
        write_event(change, event).await?;
    }
    Ok(())
}

// A change far in the future was made before the clock was put back.
const ANY_QUIET: &str = "select series_key from series
    where announced = 0 and (changed_at <= $1 or changed_at > $2) limit 1";

const QUIET: &str = "update series set announced = 1 where announced = 0 and (changed_at <= $1 or changed_at > $2)
    returning (select study_instance_uid from study where study.study_key = series.study_key), series_instance_uid";

const RELEASE: &str = "update series set announced = 1 where announced = 0 and series_instance_uid = $1
    returning (select study_instance_uid from study where study.study_key = series.study_key), series_instance_uid";

const DOOMED: &str = "select object_key, keep from doomed_object where due_at <= $1 limit $2";

const GONE: &str = "delete from doomed_object where object_key = $1";

const PUT_OFF: &str = "update doomed_object set due_at = $2 where object_key = $1";

const GROWING: &str = "select p.object_key from pack p where p.sealed = 0 and (
    exists (select 1 from instance i where i.pack_key = p.pack_key)
    or exists (select 1 from non_patient_object n where n.pack_key = p.pack_key))";
