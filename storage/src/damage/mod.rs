//! Damage of what is stored: found, noted once, kept from readers, and mended.
//!
//! | module | what |
//! |---|---|
//! | `what` | what is damage, and what is only a store that is away |
//! | `check` | instances, their records and packs' own parts read through |
//! | `again` | what a pack should keep beside an instance, from the instance itself |
//! | `quarantine` | what must not be read, in memory |
//! | [`mend`] | whole bytes in the place of damaged ones: from elsewhere, or sent again |
//! | `elsewhere` | replica or backup, where whole bytes are looked for |
//! | [`aside`] | damaged objects that were replaced, until an administrator discards them |
//!
//! A finding is a row of `damage`. One that hides an instance keeps its bytes from every reader, in every process; its rows
//! stay, so that lists and metadata go on. Damage beside instances hides nothing: the pack is made anew from them.

mod again;
pub mod aside;
mod check;
mod elsewhere;
pub mod mend;
mod quarantine;
mod what;

pub(crate) use check::Thing;
pub(crate) use quarantine::Quarantine;
pub use what::What;
pub(crate) use what::is_suspect;

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    commit::announce,
    database::Change,
    error::ArchiveError,
    read::Place,
};
use sqlx::{Row, any::AnyRow};
use std::sync::Arc;

/// A listing gives at most this many findings, the newest.
const LISTED: i64 = 10_000;

/// Something that was found damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Names the finding.
    pub key: i64,
    /// Empty for an object of no patient, and for a pack's own parts, as those below.
    pub study: String,
    pub series: String,
    /// Empty for a pack's own parts.
    pub sop_instance: String,
    /// The pack's object.
    pub object: String,
    pub what: What,
    /// Milliseconds since 1970-01-01 UTC.
    pub found_at: i64,
    /// `scrub`, `verify`, `reading`, `replica`, `tier`, `restore` or `repair`.
    pub found_by: String,
    /// 0: not yet.
    pub mended_at: i64,
    /// Where the whole bytes came from.
    pub mended_by: String,
    pub(crate) instance: i64,
}

impl Archive {
    /// What is damaged, newest first, at most 10,000; with `mended` also what was mended and whose object is kept still.
    pub async fn damage(&self, mended: bool) -> Result<Vec<Damage>, ArchiveError> {
        self.inner.drop_stale_findings().await?;
        self.inner.damage_before(i64::MAX, mended, LISTED).await
    }

    /// How many findings are not mended, as far as this process knows: others' show within a second.
    pub fn damage_count(&self) -> usize {
        self.inner.quarantine.found()
    }

    /// An error if the bytes of an instance are known to be damaged. To be asked before an answer that is not read from
    /// them, such as one from a cache.
    pub fn refuse_damaged(&self, instance: &crate::StoredInstance) -> Result<(), ArchiveError> {
        self.inner.refuse_damaged(instance.key, &instance.sop_instance)
    }
}

impl Inner {
    pub(crate) fn refuse_damaged(&self, key: i64, sop_instance: &pacs_core::Uid) -> Result<(), ArchiveError> {
        match self.quarantine.holds(key) {
            true => Err(ArchiveError::Damaged(sop_instance.to_string())),
            false => Ok(()),
        }
    }

    /// A reader met an error: if it may be damage, somebody has a second look, which the reader does not wait for.
    pub(crate) fn suspect(self: &Arc<Self>, key: i64, error: &ArchiveError) {
        if what::suspected(error).is_none() || self.quarantine.holds(key) {
            return;
        }
        let archive = self.clone();
        tokio::spawn(async move {
            if let Err(error) = archive.look_into(key).await {
                tracing::warn!(%error, "a second look at what could not be read failed");
            }
        });
    }

    async fn look_into(self: &Arc<Self>, key: i64) -> Result<(), ArchiveError> {
        if let Some(thing) = self.thing(key).await? {
            self.check(&thing, READING).await?;
        }
        Ok(())
    }

    /// As [`Self::suspect`], of what lies at a place: an instance's record, or at 0 a pack's own parts.
    pub(crate) fn suspect_place(self: &Arc<Self>, place: &Place) {
        // An answer that was garbled on its way may have been kept.
        self.objects.forget(&place.key);
        let (archive, place) = (self.clone(), place.clone());
        tokio::spawn(async move {
            if let Err(error) = archive.look_at(&place).await {
                tracing::warn!(%error, pack = place.key, "a second look at a pack failed");
            }
        });
    }

    async fn look_at(self: &Arc<Self>, place: &Place) -> Result<(), ArchiveError> {
        if place.offset > 0 {
            return match self.key_at(place).await? {
                Some(key) => self.look_into(key).await,
                None => Ok(()),
            };
        }
        match self.parts(&place.key).await? {
            Some(parts) => self.check_parts(&parts, READING).await.map(drop),
            None => Ok(()),
        }
    }

    async fn key_at(&self, place: &Place) -> Result<Option<i64>, ArchiveError> {
        let offset = i64::try_from(place.offset).unwrap_or(i64::MAX);
        let row = sqlx::query(AT).bind(&place.key).bind(offset).fetch_optional(&self.database.pool).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Reads a thing through, and notes what is found, or that what was found is no longer so.
    pub(crate) async fn check(self: &Arc<Self>, thing: &Thing, by: &str) -> Result<Option<What>, ArchiveError> {
        let found = self.examine(thing).await?;
        self.settle_finding(found, thing.key, &thing.sop_instance, &thing.place, by).await?;
        Ok(found)
    }

    /// As [`Self::check`], of the pack's own parts where the thing is the last in its pack.
    pub(crate) async fn check_behind(
        self: &Arc<Self>,
        thing: &Thing,
        by: &str,
    ) -> Result<Option<String>, ArchiveError> {
        let Some(parts) = self.parts_behind(thing).await? else { return Ok(None) };
        Ok(self.check_parts(&parts, by).await?.map(|_| thing.place.key.clone()))
    }

    async fn check_parts(&self, parts: &check::Parts, by: &str) -> Result<Option<What>, ArchiveError> {
        let found = self.examine_parts(parts).await?;
        self.settle_finding(found, OWN_PARTS, "", &parts.place, by).await?;
        Ok(found)
    }

    async fn settle_finding(
        &self,
        found: Option<What>,
        key: i64,
        sop_instance: &str,
        place: &Place,
        by: &str,
    ) -> Result<(), ArchiveError> {
        let known = sqlx::query(KNOWN).bind(&place.key).bind(key).fetch_optional(&self.database.pool).await?;
        let known: Option<String> = known.map(|row| row.try_get(0)).transpose()?;
        match found {
            Some(what) if known.as_deref() == Some(what.as_str()) => Ok(()),
            Some(what) => self.note(what, key, sop_instance, place, by).await,
            None if known.is_some() => self.forget(key, sop_instance, place, by).await,
            None => Ok(()),
        }
    }

    /// Writes a finding, its audit line and, where that mends it, that the pack is to be made anew.
    async fn note(
        &self,
        what: What,
        key: i64,
        sop_instance: &str,
        place: &Place,
        by: &str,
    ) -> Result<(), ArchiveError> {
        tracing::error!(sop_instance_uid = sop_instance, pack = place.key, what = what.as_str(), "damage was found");
        let mut change = self.database.change().await?;
        let position = change.head.next_key();
        sqlx::query(NOTE)
            .bind(position)
            .bind(key)
            .bind(&place.key)
            .bind(sop_instance)
            .bind(what.as_str())
            .bind(i64::from(what.hides()))
            .bind(now())
            .bind(by)
            .execute(&mut *change.transaction)
            .await?;
        if !what.hides() {
            sqlx::query(MAKE_ANEW).bind(&place.key).execute(&mut *change.transaction).await?;
        }
        let named =
            if sop_instance.is_empty() { "its own parts".to_owned() } else { format!("instance {sop_instance}") };
        let detail = format!("damage in pack {}: {named}: {}", place.key, what.words());
        self.finish(change, position, &told(AuditAction::SecurityAlert, by, false, detail)).await
    }

    /// It is whole after all, or again.
    async fn forget(&self, key: i64, sop_instance: &str, place: &Place, by: &str) -> Result<(), ArchiveError> {
        let mut change = self.database.change().await?;
        let position = change.head.next_key();
        sqlx::query(FORGET).bind(&place.key).bind(key).execute(&mut *change.transaction).await?;
        // Metadata may have been told without it.
        sqlx::query(CHANGED).bind(&place.key).bind(position).execute(&mut *change.transaction).await?;
        let detail = format!("pack {} is whole again: {sop_instance}", place.key);
        self.finish(change, position, &told(AuditAction::Configuration, by, true, detail)).await
    }

    /// Commits a change of the findings, and lets all processes know of it.
    async fn finish(&self, mut change: Change<'_>, position: i64, line: &AuditRecord) -> Result<(), ArchiveError> {
        sqlx::query(KEEP_MARK).bind(quarantine::MARK).bind(position).execute(&mut *change.transaction).await?;
        write_audit(&mut change, line).await?;
        announce(&self.newest, change.commit().await?);
        self.refresh_quarantine().await
    }

    /// Findings about what was deleted since, or lies elsewhere now.
    pub(crate) async fn drop_stale_findings(&self) -> Result<(), ArchiveError> {
        if self.quarantine.found() == 0 {
            return Ok(());
        }
        let mut change = self.database.change().await?;
        let position = change.head.next_key();
        let dropped = sqlx::query(DROP_STALE).execute(&mut *change.transaction).await?.rows_affected();
        if dropped == 0 {
            return Ok(());
        }
        sqlx::query(KEEP_MARK).bind(quarantine::MARK).bind(position).execute(&mut *change.transaction).await?;
        announce(&self.newest, change.commit().await?);
        self.refresh_quarantine().await
    }

    /// A pack was made anew from its whole instances: what was wrong beside them is mended by that.
    pub(crate) async fn note_made_anew(&self, change: &mut Change<'_>, object_key: &str) -> Result<(), sqlx::Error> {
        let mended = sqlx::query(MADE_ANEW).bind(object_key).bind(now()).execute(&mut *change.transaction).await?;
        if mended.rows_affected() > 0 {
            let position = change.head.next_key();
            sqlx::query(KEEP_MARK).bind(quarantine::MARK).bind(position).execute(&mut *change.transaction).await?;
        }
        Ok(())
    }

    /// A pack that the catalog names is nowhere: each of its instances is noted as damaged, so that its sender may send it
    /// again.
    pub(crate) async fn note_lost(&self, object_key: &str) -> Result<(), ArchiveError> {
        let mut change = self.database.change().await?;
        let lost = sqlx::query(IN_PACK).bind(object_key).fetch_all(&mut *change.transaction).await?;
        for row in &lost {
            let (key, sop_instance): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            let note = sqlx::query(NOTE).bind(change.head.next_key()).bind(key).bind(object_key).bind(sop_instance);
            let note = note.bind(What::Missing.as_str()).bind(1_i64).bind(now()).bind("restore");
            note.execute(&mut *change.transaction).await?;
        }
        sqlx::query(NO_LONGER_OPEN).bind(object_key).execute(&mut *change.transaction).await?;
        let position = change.head.next_key();
        let detail = format!("{} instances are lost with pack {object_key}", lost.len());
        self.finish(change, position, &told(AuditAction::SecurityAlert, "restore", false, detail)).await
    }

    /// At most `limit` findings with keys below this, newest first.
    async fn damage_before(&self, key: i64, mended: bool, limit: i64) -> Result<Vec<Damage>, ArchiveError> {
        let list = sqlx::query(LIST).bind(i64::from(mended)).bind(limit).bind(key);
        list.fetch_all(&self.database.pool).await?.iter().map(damage).collect()
    }

    /// Reads a sealed pack through, and notes what is found; whether nothing is.
    pub(crate) async fn is_pack_whole(self: &Arc<Self>, object_key: &str, by: &str) -> Result<bool, ArchiveError> {
        for row in sqlx::query(IN_PACK).bind(object_key).fetch_all(&self.database.pool).await? {
            let thing = self.thing(row.try_get(0)?).await?.filter(|thing| thing.place.key == object_key);
            if let Some(thing) = thing
                && self.check(&thing, by).await?.is_some()
            {
                return Ok(false);
            }
        }
        match self.parts(object_key).await? {
            Some(parts) => Ok(self.check_parts(&parts, by).await?.is_none()),
            None => Ok(true),
        }
    }

    /// Whether there is anything unmended in a pack.
    pub(crate) async fn is_pack_damaged(&self, object_key: &str) -> Result<bool, ArchiveError> {
        Ok(sqlx::query(OF_PACK).bind(object_key).fetch_optional(&self.database.pool).await?.is_some())
    }
}

/// Who reads for somebody.
const READING: &str = "reading";
/// In the place of an instance's key: a pack's own parts.
const OWN_PARTS: i64 = 0;

fn told(action: AuditAction, by: &str, success: bool, detail: String) -> AuditRecord {
    AuditRecord { at: 0, action, actor: by.to_owned(), origin: String::new(), success, study: None, detail }
}

fn damage(row: &AnyRow) -> Result<Damage, ArchiveError> {
    let word: String = row.try_get(6)?;
    Ok(Damage {
        key: row.try_get(0)?,
        instance: row.try_get(1)?,
        object: row.try_get(2)?,
        study: row.try_get(3)?,
        series: row.try_get(4)?,
        sop_instance: row.try_get(5)?,
        what: What::of_word(&word).ok_or_else(|| ArchiveError::Internal(format!("damage of kind {word:?}")))?,
        found_at: row.try_get(7)?,
        found_by: row.try_get(8)?,
        mended_at: row.try_get(9)?,
        mended_by: row.try_get(10)?,
    })
}

const AT: &str = "select i.instance_key from instance i join pack p on p.pack_key = i.pack_key
    where p.object_key = $1 and i.pack_offset = $2
    union all select n.non_patient_key from non_patient_object n join pack p on p.pack_key = n.pack_key
    where p.object_key = $1 and n.pack_offset = $2";

const KNOWN: &str = "select what from damage where object_key = $1 and instance_key = $2 and mended_at = 0";

const NOTE: &str = "insert into damage (damage_key, instance_key, object_key, study, series, sop_instance, what, hides,
        found_at, found_by, mended_at, mended_by)
    values ($1, $2, $3,
        coalesce((select st.study_instance_uid from instance i join series se on se.series_key = i.series_key
            join study st on st.study_key = se.study_key where i.instance_key = $2), ''),
        coalesce((select se.series_instance_uid from instance i join series se on se.series_key = i.series_key
            where i.instance_key = $2), ''),
        $4, $5, $6, $7, $8, 0, '')
    on conflict (object_key, instance_key) do update set what = excluded.what, hides = excluded.hides, mended_at = 0";

const MAKE_ANEW: &str = "update pack set compact = 1 where object_key = $1";

const FORGET: &str = "delete from damage where object_key = $1 and instance_key = $2 and mended_at = 0";

const CHANGED: &str = "update series set changed_position = $2
    where series_key = (select series_key from pack where object_key = $1)";

const KEEP_MARK: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position";

const DROP_STALE: &str = "delete from damage where mended_at = 0 and (
    not exists (select 1 from pack p where p.object_key = damage.object_key)
    or instance_key <> 0
        and not exists (select 1 from instance i join pack p on p.pack_key = i.pack_key
            where i.instance_key = damage.instance_key and p.object_key = damage.object_key)
        and not exists (select 1 from non_patient_object n join pack p on p.pack_key = n.pack_key
            where n.non_patient_key = damage.instance_key and p.object_key = damage.object_key))";

const MADE_ANEW: &str = "update damage set mended_at = $2, mended_by = 'made anew'
    where object_key = $1 and mended_at = 0";

const IN_PACK: &str = "select i.instance_key, i.sop_instance_uid from instance i join pack p on p.pack_key = i.pack_key
    where p.object_key = $1
    union all select n.non_patient_key, n.sop_instance_uid
    from non_patient_object n join pack p on p.pack_key = n.pack_key where p.object_key = $1";

// The process in whose spool it grew is gone.
const NO_LONGER_OPEN: &str = "update pack set sealed = 1 where object_key = $1";

const OF_PACK: &str = "select damage_key from damage where object_key = $1 and mended_at = 0 limit 1";

const LIST: &str = "select damage_key, instance_key, object_key, study, series, sop_instance, what, found_at, found_by,
        mended_at, mended_by
    from damage where ($1 = 1 or mended_at = 0) and damage_key < $3 order by damage_key desc limit $2";
