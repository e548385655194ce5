//! Quarantine: instances from callers that nobody has configured are kept apart, where no search and no reader finds them,
//! until somebody takes them in or throws them away.
//!
//! Each is an object of its own, with a document beside it for a catalog that is made anew. Durable, as all that is answered
//! with success.

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord, write_audit},
    clock::now,
    database::Change,
    documents::EXTENSION as DOCUMENT,
    encryption::Lock,
    error::ArchiveError,
    ingest::{Body, Described, Expected, Incoming, Ingested, Origin, Outcome, blocking},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, Stream},
};
use pacs_core::{Uid, tags};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Row, any::AnyRow};
use std::{pin::pin, sync::Arc};
use tempfile::NamedTempFile;

/// Their objects and documents.
const FOLDER: &str = "quarantine";
const EXTENSION: &str = "dcm";
/// However small they are.
const MOST: i64 = 100_000;
/// Rows looked at in one go.
const PAGE: u32 = 500;
/// An object whose row was not written in so long has none.
const UNFINISHED_MILLISECONDS: i64 = 86_400_000;

/// An instance in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Never given to another.
    #[serde(default)]
    pub id: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub received_at: i64,
    /// The AE title that the caller gave itself.
    pub calling: String,
    pub address: String,
    pub sop_class: Uid,
    pub sop_instance: Uid,
    pub study: Option<Uid>,
    pub series: Option<Uid>,
    /// Length of the Part 10 file in bytes.
    pub len: u64,
    pub modality: String,
    /// As sent.
    pub patient_id: String,
    pub patient_name: String,
    pub study_date: String,
    digest: String,
    checksum: u32,
    object: String,
}

/// Which instances in quarantine are meant: those that meet all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    pub id: Option<i64>,
    pub calling: Option<String>,
    pub study: Option<Uid>,
}

impl Incoming {
    /// Keeps the instance in quarantine. On `Ok` it survives a crash; what its sender sent before is not kept twice.
    pub async fn quarantine(self, expected: &Expected) -> Result<Ingested, ArchiveError> {
        let archive = Arc::clone(&self.archive);
        let (described, body) = self.describe().await?;
        expected.check(&described.facts)?;
        let ingested = |outcome| Ingested {
            outcome,
            study: described.record.study.clone(),
            series: described.record.series.clone(),
            sop_instance: described.record.sop_instance.clone(),
            sop_class: described.record.sop_class.clone(),
        };
        if archive.is_quarantined_already(&described).await? {
            return Ok(ingested(Outcome::Identical(1)));
        }
        let (stored, identical) = (ingested(Outcome::Stored), ingested(Outcome::Identical(1)));
        let is_new = archive.keep_apart(described, body).await?;
        Ok(if is_new { stored } else { identical })
    }
}

impl Inner {
    async fn is_quarantined_already(&self, described: &Described) -> Result<bool, ArchiveError> {
        let (record, pool) = (&described.record, &self.database.pool);
        let held = sqlx::query(HELD).bind(&record.actor).bind(&record.digest).fetch_optional(pool).await?;
        if held.is_some() {
            return Ok(true);
        }
        let row = sqlx::query(SIZE).fetch_one(pool).await?;
        let (count, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let limit = self.config.quarantine_megabytes.saturating_mul(1 << 20);
        let is_full = count >= MOST || bytes.unsigned_abs().saturating_add(record.byte_len) > limit;
        if is_full { Err(ArchiveError::QuarantineFull) } else { Ok(false) }
    }

    /// Returns whether it was new; two that come at the same time may be the same.
    async fn keep_apart(self: &Arc<Self>, described: Described, body: Body) -> Result<bool, ArchiveError> {
        let name = new_name();
        let object = self.objects.named(&name, EXTENSION);
        let kept = Quarantined::of(&described, object.clone());
        let archive = Arc::clone(self);
        let file = blocking(move || {
            let file = archive.packs.scratch()?;
            body.copy(&mut file.as_file())?;
            file.as_file().sync_all()?;
            Ok(file)
        });
        let file = file.await?;
        self.put_apart(&name, &kept, file).await?;
        let mut change = self.database.change().await?;
        let is_new = insert(&mut change, &kept).await?;
        if is_new {
            spare(&mut change, &object).await?;
            write_audit(&mut change, &kept.line(AuditAction::Store, &kept.calling, &kept.address, "in quarantine"))
                .await?;
        }
        change.commit().await?;
        // There is no pack from which the row would be written again after a power cut.
        self.database.make_durable().await?;
        if is_new {
            tracing::warn!(calling = kept.calling, sop_instance_uid = %kept.sop_instance, "instance of an unknown caller");
        }
        Ok(is_new)
    }

    /// Object and document. Until a row names them, and they are spared, nobody knows of them: what is left so goes by itself.
    async fn put_apart(&self, name: &str, kept: &Quarantined, file: NamedTempFile) -> Result<(), ArchiveError> {
        let due = now() + UNFINISHED_MILLISECONDS;
        for object in [kept.object.clone(), document_of(&kept.object)] {
            self.database.execute(sqlx::query(DOOM).bind(object).bind(due)).await?;
        }
        self.objects.put(file.path(), &kept.object).await?;
        self.put_document(name, kept).await
    }
}

impl Archive {
    /// What is in quarantine and selected, oldest first, after an id and at most `limit`.
    pub async fn quarantined(
        &self,
        selected: &Selection,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Quarantined>, ArchiveError> {
        let statement = sqlx::query(SELECT)
            .bind(after)
            .bind(selected.id.unwrap_or_default())
            .bind(selected.calling.as_deref().unwrap_or_default())
            .bind(selected.study.as_ref().map_or("", Uid::as_str))
            .bind(i64::from(limit));
        statement.fetch_all(&self.inner.database.pool).await?.iter().map(quarantined).collect()
    }

    /// All that is in quarantine and selected, oldest first.
    pub fn quarantine(&self, selected: Selection) -> impl Stream<Item = Result<Quarantined, ArchiveError>> + use<> {
        let next = |(archive, selected, after): (Self, Selection, i64)| async move {
            let page = archive.quarantined(&selected, after, PAGE).await?;
            let last = page.last().map(|kept| kept.id);
            Ok::<_, ArchiveError>(last.map(|last| (stream::iter(page).map(Ok), (archive, selected, last))))
        };
        stream::try_unfold((self.clone(), selected, 0), next).try_flatten()
    }

    /// Takes an instance out of quarantine into the archive, as received from its caller; the audit trail names who did it and
    /// from where.
    pub async fn release(&self, actor: &str, origin: &str, kept: &Quarantined) -> Result<Ingested, ArchiveError> {
        let calling = kept.calling.parse().map_err(|_| ArchiveError::Internal(format!("AE {:?}", kept.calling)))?;
        let mut incoming = self.receive(Origin::Dimse { calling, address: kept.address.clone() }).await?;
        let mut bytes = self.inner.objects.stream(&kept.object, 0..kept.len).await?;
        let mut checksum = 0;
        while let Some(piece) = bytes.try_next().await? {
            checksum = crc32c::crc32c_append(checksum, &piece);
            incoming.write(&piece).await?;
        }
        if checksum != kept.checksum {
            return Err(ArchiveError::Damaged(kept.sop_instance.to_string()));
        }
        let ingested = incoming.commit(&Expected::default()).await?;
        if ingested.outcome == Outcome::Rejected {
            return Err(ArchiveError::Duplicate(kept.sop_instance.to_string()));
        }
        let line = kept.line(AuditAction::Store, actor, origin, "taken out of quarantine");
        self.inner.let_go_of(kept, &line).await?;
        Ok(ingested)
    }

    /// Throws an instance in quarantine away; the audit trail names who did it and from where.
    pub async fn discard_quarantined(&self, actor: &str, origin: &str, kept: &Quarantined) -> Result<(), ArchiveError> {
        let line = kept.line(AuditAction::Delete, actor, origin, "thrown out of quarantine");
        self.inner.let_go_of(kept, &line).await?;
        self.remove_doomed_objects().await
    }

    /// Encrypts again what is encrypted otherwise than new objects are.
    pub(crate) async fn rekey_quarantined(&self) -> Result<(), ArchiveError> {
        let mut all = pin!(self.quarantine(Selection::default()));
        while let Some(kept) = all.try_next().await? {
            if Lock::of(&kept.object).as_ref() != self.inner.objects.lock() {
                self.inner.rekey_one(&kept).await?;
            }
        }
        Ok(())
    }

    /// Writes the rows of what is in quarantine and the catalog lacks; returns of how many, and what cannot be read.
    pub(crate) async fn take_in_quarantined(&self) -> Result<(u64, Vec<String>), ArchiveError> {
        let (mut found, damaged) = self.inner.documents::<Quarantined>(&format!("{FOLDER}/")).await?;
        found.sort_by(|a, b| (a.received_at, &a.sop_instance).cmp(&(b.received_at, &b.sop_instance)));
        let mut written = 0;
        for kept in found {
            // Of what was broken off or let go there may be the document alone, or both for a while.
            let pool = &self.inner.database.pool;
            let is_doomed = sqlx::query(IS_DOOMED).bind(&kept.object).fetch_optional(pool).await?.is_some();
            if !is_doomed && self.inner.objects.len(&kept.object).await? == Some(kept.len) {
                let mut change = self.inner.database.change().await?;
                written += u64::from(insert(&mut change, &kept).await?);
                change.commit().await?;
            }
        }
        Ok((written, damaged))
    }
}

impl Inner {
    async fn rekey_one(&self, kept: &Quarantined) -> Result<(), ArchiveError> {
        let file = self.packs.scratch()?;
        self.objects.download(&kept.object, &file).await?;
        let name = new_name();
        let again = Quarantined { object: self.objects.named(&name, EXTENSION), ..kept.clone() };
        self.put_apart(&name, &again, file).await?;
        let mut change = self.database.change().await?;
        let moved = sqlx::query(MOVE).bind(kept.id).bind(&again.object).execute(&mut *change.transaction).await?;
        // Let go meanwhile: then it is the new one that goes, in a while.
        if moved.rows_affected() == 1 {
            spare(&mut change, &again.object).await?;
            doom(&mut change, kept).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Its row goes, and then its object and document.
    async fn let_go_of(&self, kept: &Quarantined, line: &AuditRecord) -> Result<(), ArchiveError> {
        let mut change = self.database.change().await?;
        let removed = sqlx::query(REMOVE).bind(kept.id).execute(&mut *change.transaction).await?.rows_affected();
        if removed == 0 {
            return Err(ArchiveError::NotFound(format!("{} in quarantine", kept.sop_instance)));
        }
        doom(&mut change, kept).await?;
        write_audit(&mut change, line).await?;
        change.commit().await?;
        Ok(())
    }
}

/// Object and document stay.
async fn spare(change: &mut Change<'_>, object: &str) -> Result<(), ArchiveError> {
    for object in [object.to_owned(), document_of(object)] {
        let spared = sqlx::query(SPARE).bind(object).execute(&mut *change.transaction).await?;
        if spared.rows_affected() == 0 {
            return Err(ArchiveError::Internal("it took a day, and what had come is gone".into()));
        }
    }
    Ok(())
}

/// Object and document go.
async fn doom(change: &mut Change<'_>, kept: &Quarantined) -> Result<(), sqlx::Error> {
    for object in [kept.object.clone(), document_of(&kept.object)] {
        sqlx::query(DOOM).bind(object).bind(now()).execute(&mut *change.transaction).await?;
    }
    Ok(())
}

fn new_name() -> String {
    format!("{FOLDER}/{:016x}", rand::random::<u64>())
}

/// Whether an object is an instance in quarantine.
pub(crate) fn is_quarantined(object: &str) -> bool {
    object.starts_with(FOLDER) && object.ends_with(EXTENSION)
}

/// The name of the document beside an object.
fn document_of(object: &str) -> String {
    let name = object.strip_suffix(EXTENSION).unwrap_or(object);
    format!("{name}{DOCUMENT}")
}

fn quarantined(row: &AnyRow) -> Result<Quarantined, ArchiveError> {
    let detail: String = row.try_get(1)?;
    let kept = serde_json::from_str(&detail).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    Ok(Quarantined { id: row.try_get(0)?, object: row.try_get(2)?, ..kept })
}

async fn insert(change: &mut Change<'_>, kept: &Quarantined) -> Result<bool, ArchiveError> {
    let detail = serde_json::to_string(kept).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    let statement = sqlx::query(INSERT)
        .bind(change.head.next_key())
        .bind(&kept.object)
        .bind(&kept.calling)
        .bind(kept.study.as_ref().map_or("", Uid::as_str))
        .bind(&kept.digest)
        .bind(i64::try_from(kept.len).unwrap_or(i64::MAX))
        .bind(detail);
    Ok(statement.execute(&mut *change.transaction).await?.rows_affected() == 1)
}

impl Quarantined {
    fn of(described: &Described, object: String) -> Self {
        let record = &described.record;
        let value = |tag| described.facts.value(tag).unwrap_or_default().to_owned();
        Self {
            id: 0,
            received_at: record.received_at,
            calling: record.actor.clone(),
            address: record.place.clone(),
            sop_class: record.sop_class.clone(),
            sop_instance: record.sop_instance.clone(),
            study: record.study.clone(),
            series: record.series.clone(),
            len: record.byte_len,
            modality: value(tags::MODALITY),
            patient_id: value(tags::PATIENT_ID),
            patient_name: value(tags::PATIENT_NAME),
            study_date: value(tags::STUDY_DATE),
            digest: record.digest.clone(),
            checksum: record.checksum,
            object,
        }
    }

    /// For those who decide; times in milliseconds since 1970-01-01 UTC.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "received_at": self.received_at,
            "calling": self.calling,
            "address": self.address,
            "patient_id": self.patient_id,
            "patient_name": self.patient_name,
            "modality": self.modality,
            "study_date": self.study_date,
            "study": self.study,
            "series": self.series,
            "sop_class": self.sop_class,
            "sop_instance": self.sop_instance,
            "bytes": self.len,
        })
    }

    fn line(&self, action: AuditAction, actor: &str, origin: &str, what: &str) -> AuditRecord {
        AuditRecord {
            at: 0,
            action,
            actor: actor.to_owned(),
            origin: origin.to_owned(),
            success: true,
            study: self.study.as_ref().map(Uid::to_string),
            detail: format!("{} of {} {what}", self.sop_instance, self.calling),
        }
    }
}

const HELD: &str = "select stranger_key from stranger where calling = $1 and digest = $2";

const SIZE: &str = "select count(*), cast(coalesce(sum(byte_len), 0) as bigint) from stranger";

const DOOM: &str = "insert into doomed_object (object_key, due_at) values ($1, $2) on conflict do nothing";

const IS_DOOMED: &str = "select object_key from doomed_object where object_key = $1";

const SPARE: &str = "delete from doomed_object where object_key = $1";

const INSERT: &str = "insert into stranger (stranger_key, object_key, calling, study, digest, byte_len, detail)
    values ($1, $2, $3, $4, $5, $6, $7) on conflict (calling, digest) do nothing";

const SELECT: &str = "select stranger_key, detail, object_key from stranger
    where stranger_key > $1 and ($2 = 0 or stranger_key = $2) and ($3 = '' or calling = $3) and ($4 = '' or study = $4)
    order by stranger_key limit $5";

const MOVE: &str = "update stranger set object_key = $2 where stranger_key = $1";

const REMOVE: &str = "delete from stranger where stranger_key = $1";
