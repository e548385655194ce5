//! Whole bytes in the place of damaged ones: from a replica or backup, or sent again by the modality.
//!
//! They are checked against the digest of what was received, written as a new copy, and the row is switched to it only if
//! it still points to the damaged one. The pack is then made anew, and its object set aside.

use super::{Damage, MAKE_ANEW, OWN_PARTS, check::Thing, elsewhere::Elsewhere, told};
use crate::{
    archive::{Archive, Inner},
    audit::AuditAction,
    clock::now,
    database::Change,
    error::ArchiveError,
    index::{NewInstance, put_pack},
    ingest::{Body, Described, Origin, blocking},
    pack::Record,
};
use futures::TryStreamExt;
use sqlx::Row;
use std::sync::Arc;

/// Findings looked at in one go.
const AT_ONCE: i64 = 100;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Findings that are no longer so: what was missing is there again.
    pub whole: u64,
    /// Instances whose bytes came from elsewhere.
    pub mended: u64,
    /// Packs that are whole but for their own parts, or records, and are made anew as the archive runs.
    pub anew: u64,
    /// What stays damaged, and why.
    pub left: Vec<(Damage, String)>,
}

impl Mended {
    fn add(&mut self, damage: Damage, fate: Result<Fate, ArchiveError>) {
        match fate {
            Ok(Fate::Whole) => self.whole += 1,
            Ok(Fate::Mended) => self.mended += 1,
            Ok(Fate::Anew) => self.anew += 1,
            Ok(Fate::Left(why)) => self.left.push((damage, why)),
            Err(error) => self.left.push((damage, error.to_string())),
        }
    }
}

impl Archive {
    /// Looks again at all that is damaged, and mends what it can from `from`, a replica or backup in a folder or bucket, or
    /// from those of the configuration. `progress` hears what was done so far.
    pub async fn mend(&self, from: Option<&str>, progress: impl Fn(&Mended)) -> Result<Mended, ArchiveError> {
        let mut done = Mended::default();
        let places = self.inner.places(from).await?;
        self.inner.drop_stale_findings().await?;
        let mut before = i64::MAX;
        loop {
            let found = self.inner.damage_before(before, false, AT_ONCE).await?;
            let Some(last) = found.last() else { return Ok(done) };
            before = last.key;
            for damage in found {
                let fate = self.mend_one(&damage, &places).await;
                done.add(damage, fate);
                progress(&done);
            }
        }
    }

    async fn mend_one(&self, damage: &Damage, places: &[Elsewhere]) -> Result<Fate, ArchiveError> {
        if damage.instance == OWN_PARTS {
            let Some(parts) = self.inner.parts(&damage.object).await? else { return Ok(Fate::Whole) };
            let found = self.inner.check_parts(&parts, "repair").await?;
            return Ok(found.map_or(Fate::Whole, |_| Fate::Anew));
        }
        let Some(thing) = self.inner.thing(damage.instance).await? else { return Ok(Fate::Whole) };
        match self.inner.check(&thing, "repair").await? {
            None => return Ok(Fate::Whole),
            Some(what) if !what.hides() => return Ok(Fate::Anew),
            Some(_) => {}
        }
        let mut why = Vec::new();
        for place in places {
            match self.mend_from(&thing, place).await {
                Ok(true) => return Ok(Fate::Mended),
                Ok(false) => why.push(format!("{} does not have it", place.name)),
                Err(error) => why.push(format!("{}: {error}", place.name)),
            }
        }
        let nowhere = "no replica or backup is named: storage.mend_from, or --from".to_owned();
        Ok(Fate::Left(if why.is_empty() { nowhere } else { why.join("; ") }))
    }

    async fn mend_from(&self, thing: &Thing, place: &Elsewhere) -> Result<bool, ArchiveError> {
        for found in place.copies(thing).await? {
            let mut incoming = self.receive(Origin::Room("repair")).await?;
            let mut bytes = found.stream().await?;
            while let Some(piece) = bytes.try_next().await? {
                incoming.write(&piece).await?;
            }
            let Ok((described, body)) = incoming.describe().await else { continue };
            if thing.is_same(&described.record) && self.inner.replace(thing.key, described, body, &place.name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What became of a finding.
enum Fate {
    Whole,
    Mended,
    Anew,
    Left(String),
}

impl Inner {
    /// Whether the bytes of an instance are noted as damaged, as the catalog has it now.
    pub(crate) async fn is_hidden(&self, key: i64) -> Result<bool, ArchiveError> {
        if self.quarantine.holds(key) {
            return Ok(true);
        }
        Ok(sqlx::query(HIDDEN).bind(key).fetch_optional(&self.database.pool).await?.is_some())
    }

    /// Puts bytes of the same digest in the place of what is damaged; `false` if the row is gone or was switched by another.
    pub(crate) async fn replace(
        self: &Arc<Self>,
        key: i64,
        mut described: Described,
        body: Body,
        by: &str,
    ) -> Result<bool, ArchiveError> {
        let Some(thing) = self.thing(key).await? else { return Ok(false) };
        if !thing.is_same(&described.record) {
            return Err(ArchiveError::Damaged(thing.sop_instance));
        }
        // The very bytes may be of our making, what was received never is.
        if described.record.digest != thing.digest {
            described.record = self.as_catalogued(&thing.place, described.record).await?;
        }
        described.record = self.as_received(key, described.record).await?;
        let archive = self.clone();
        let new = blocking(move || {
            let folder = described.facts.folder();
            let placed = body.place(&archive, &described, &folder, false)?;
            NewInstance::new(described, placed, archive.config.same_uid_other_content)
        });
        let new = new.await?;
        let mut change = self.database.change().await?;
        let position = change.head.next_key();
        let switched = switch(&mut change, &thing, &new, position).await?;
        // What is made anew is the damaged pack, or that of a copy to which nothing points.
        let to_go = if switched { &thing.place.key } else { &new.placed.key };
        sqlx::query(MAKE_ANEW).bind(to_go).execute(&mut *change.transaction).await?;
        if switched {
            let mended = sqlx::query(MENDED).bind(&thing.place.key).bind(key).bind(now()).bind(by);
            mended.execute(&mut *change.transaction).await?;
        }
        let detail =
            format!("instance {} mended from {by}, it was damaged in pack {}", thing.sop_instance, thing.place.key);
        self.finish(change, position, &told(AuditAction::Store, "repair", switched, detail)).await?;
        // A power cut must not take it: whoever sent it again may keep no copy, and copies are not looked for in the spool.
        self.database.make_durable().await?;
        Ok(switched)
    }

    /// The record of a copy tells who brought the instance at first, and when.
    async fn as_received(&self, key: i64, record: Record) -> Result<Record, ArchiveError> {
        let row = sqlx::query(RECEIVED).bind(key).fetch_optional(&self.database.pool).await?;
        let gone = || ArchiveError::NotFound(format!("instance {}", record.sop_instance));
        let row = row.ok_or_else(gone)?;
        Ok(Record { actor: row.try_get(0)?, received_at: row.try_get(1)?, is_copy: true, ..record })
    }
}

/// The same data set may have come with other File Meta Information, so that lengths and offsets are others.
async fn switch(change: &mut Change<'_>, thing: &Thing, new: &NewInstance, position: i64) -> Result<bool, sqlx::Error> {
    let row = sqlx::query(OLD_PACK).bind(&thing.place.key).fetch_optional(&mut *change.transaction).await?;
    let Some(row) = row else { return Ok(false) };
    let (old_pack, series): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let pack = put_pack(change, &new.placed.key, series).await?;
    let syntax = new.record.transfer_syntax.as_str();
    let place = |statement| {
        sqlx::query(statement)
            .bind(thing.key)
            .bind(old_pack)
            .bind(pack)
            .bind(new.pack_offset)
            .bind(new.record_len)
            .bind(new.byte_len)
            .bind(new.data_set_offset)
            .bind(i64::from(new.record.checksum))
    };
    let mut switched = 0;
    for statement in
        [place(SWITCH).bind(&new.frame_layout).bind(syntax).bind(&new.recompressed), place(SWITCH_NON_PATIENT)]
    {
        switched += statement.execute(&mut *change.transaction).await?.rows_affected();
    }
    let grown = new.byte_len.saturating_sub(i64::try_from(thing.len).unwrap_or(i64::MAX));
    for statement in [RESIZE_SERIES, RESIZE_STUDY] {
        let statement = sqlx::query(statement).bind(series).bind(if switched > 0 { grown } else { 0 }).bind(position);
        statement.execute(&mut *change.transaction).await?;
    }
    Ok(switched > 0)
}

const HIDDEN: &str = "select damage_key from damage where instance_key = $1 and hides = 1 and mended_at = 0 limit 1";

const RECEIVED: &str = "select received_from, stored_at from instance where instance_key = $1
    union all select received_from, stored_at from non_patient_object where non_patient_key = $1";

const OLD_PACK: &str = "select pack_key, series_key from pack where object_key = $1";

const SWITCH: &str = "update instance set pack_key = $3, pack_offset = $4, record_len = $5, byte_len = $6,
        data_set_offset = $7, checksum = $8, frame_layout = $9, available_transfer_syntax_uid = $10, recompressed = $11,
        content_key = case when $11 = '' then 0 else content_key end
    where instance_key = $1 and pack_key = $2";

const SWITCH_NON_PATIENT: &str = "update non_patient_object set pack_key = $3, pack_offset = $4, record_len = $5,
        byte_len = $6, data_set_offset = $7, checksum = $8
    where non_patient_key = $1 and pack_key = $2";

// Readers look again, also those who remember what was read while it was damaged.
const RESIZE_SERIES: &str = "update series set byte_len = byte_len + $2, changed_position = $3 where series_key = $1";

const RESIZE_STUDY: &str = "update study set byte_len = byte_len + $2, changed_position = $3
    where study_key = (select study_key from series where series_key = $1)";

const MENDED: &str = "update damage set mended_at = $3, mended_by = $4 where object_key = $1 and instance_key = $2";
