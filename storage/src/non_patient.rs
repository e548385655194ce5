//! Objects of no patient (PS3.4 Annex GG): palettes, protocols, templates. They have no study and no event; a SOP
//! Instance UID alone names one, and other content under it is a further version as with instances.

use crate::{
    archive::Archive,
    audit::{AuditAction, AuditRecord, write_audit},
    database::Change,
    error::ArchiveError,
    index::{NewInstance, OF_NO_SERIES, put_pack},
    ingest::Outcome,
    read::{Place, place},
    versions::{Verdict, becomes_current, held, judge, outcome, version_number},
};
use bytes::Bytes;
use futures::stream::BoxStream;
use pacs_core::{TransferSyntax, Uid, instance::NonPatientInstance, sop_class::NonPatient};
use sqlx::{Row, any::AnyRow};

/// A listing gives at most this many, the newest.
const LISTED: i64 = 10_000;

/// Where and what a stored object of no patient is.
#[derive(Debug, Clone, PartialEq)]
pub struct NonPatientObject {
    pub sop_instance: Uid,
    pub sop_class: Uid,
    /// Of the contents held under this SOP Instance UID, counted from 1.
    pub version: u32,
    /// Stands for these very bytes: never given to anything else, also after a deletion.
    pub id: i64,
    pub transfer_syntax: TransferSyntax,
    /// Length of the stored Part 10 file in bytes.
    pub len: u64,
    /// DICOM JSON; BulkDataURIs are relative: `color-palettes/…/bulkdata/…`.
    pub metadata: String,
    place: Place,
}

impl Archive {
    /// The current versions of all objects of a kind, newest first, at most 10,000.
    pub async fn non_patient_objects(&self, kind: NonPatient) -> Result<Vec<NonPatientObject>, ArchiveError> {
        let rows = of_kind(sqlx::query(LIST), kind).bind(LISTED).fetch_all(&self.inner.database.pool).await?;
        rows.iter().map(object).collect()
    }

    /// One object of a kind: its current version, or the one of a number.
    pub async fn non_patient_object(
        &self,
        kind: NonPatient,
        sop_instance: &Uid,
        version: Option<u32>,
    ) -> Result<NonPatientObject, ArchiveError> {
        let row = of_kind(sqlx::query(OBJECT), kind)
            .bind(sop_instance.as_str())
            .bind(version.map_or(-1, i64::from))
            .fetch_optional(&self.inner.database.pool)
            .await?;
        object(&row.ok_or_else(|| ArchiveError::NotFound(format!("{} {sop_instance}", kind.resource())))?)
    }

    /// The whole stored file, streamed.
    pub async fn read_non_patient_object(
        &self,
        object: &NonPatientObject,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        self.read_whole(object.id, &object.place, object.len, &object.sop_instance).await
    }

    /// Removes an object with all its versions; the audit trail names who did it and from where.
    pub async fn delete_non_patient_object(
        &self,
        actor: &str,
        origin: &str,
        kind: NonPatient,
        sop_instance: &Uid,
    ) -> Result<(), ArchiveError> {
        let mut change = self.inner.database.change().await?;
        let mut removed = 0;
        for statement in [BURY, COMPACT, REMOVE] {
            let statement = of_kind(sqlx::query(statement), kind).bind(sop_instance.as_str());
            removed = statement.execute(&mut *change.transaction).await?.rows_affected();
        }
        if removed == 0 {
            return Err(ArchiveError::NotFound(format!("{} {sop_instance}", kind.resource())));
        }
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Delete,
            actor: actor.to_owned(),
            origin: origin.to_owned(),
            success: true,
            study: None,
            detail: format!("{} {sop_instance}", kind.resource()),
        };
        write_audit(&mut change, &record).await?;
        change.commit().await?;
        self.remove_doomed_objects().await
    }
}

type Statement<'q> = crate::database::Statement<'q>;

/// Binds the SOP Classes of a kind as the first three values: none has more, and '' is none.
fn of_kind(statement: Statement<'_>, kind: NonPatient) -> Statement<'_> {
    let classes = kind.sop_classes().iter().copied().chain(std::iter::repeat(""));
    classes.take(3).fold(statement, |statement, class| statement.bind(class))
}

/// In the transaction of the audit line that tells of it.
pub(crate) async fn store_non_patient(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &NonPatientInstance,
) -> Result<Outcome, sqlx::Error> {
    let policy = new.same_uid_other_content;
    let sop_instance = facts.sop_instance.as_str();
    let rows = sqlx::query(HELD_NON_PATIENT).bind(sop_instance).fetch_all(&mut *change.transaction).await?;
    let held = held(&rows)?;
    match judge(&held, new.place(), &new.record.digest, policy) {
        Verdict::Leave(outcome) => Ok(outcome),
        Verdict::Write(version) => {
            let is_current = becomes_current(version, &held, policy);
            if is_current {
                sqlx::query(STEP_BACK).bind(sop_instance).execute(&mut *change.transaction).await?;
            }
            put(change, new, facts, version, is_current).await?;
            Ok(outcome(version))
        }
    }
}

async fn put(
    change: &mut Change<'_>,
    new: &NewInstance,
    facts: &NonPatientInstance,
    version: i64,
    is_current: bool,
) -> Result<(), sqlx::Error> {
    let pack = put_pack(change, &new.placed.key, OF_NO_SERIES).await?;
    sqlx::query(PUT)
        .bind(change.head.next_key())
        .bind(facts.sop_instance.as_str())
        .bind(facts.sop_class.as_str())
        .bind(version)
        .bind(i64::from(is_current))
        .bind(facts.transfer_syntax.uid().as_str())
        .bind(new.byte_len)
        .bind(new.data_set_offset)
        .bind(&new.record.digest)
        .bind(pack)
        .bind(new.pack_offset)
        .bind(new.record_len)
        .bind(i64::from(new.record.checksum))
        .bind(&new.metadata)
        .bind(&new.record.actor)
        .bind(new.record.received_at)
        .execute(&mut *change.transaction)
        .await?;
    Ok(())
}

fn object(row: &AnyRow) -> Result<NonPatientObject, ArchiveError> {
    let uid = |index: usize| -> Result<Uid, ArchiveError> {
        let text: String = row.try_get(index)?;
        text.parse().map_err(|e| ArchiveError::Internal(format!("catalog holds UID {text:?}: {e}")))
    };
    Ok(NonPatientObject {
        sop_instance: uid(0)?,
        sop_class: uid(1)?,
        transfer_syntax: TransferSyntax::new(uid(2)?),
        version: version_number(row.try_get(3)?),
        id: row.try_get(4)?,
        len: row.try_get::<i64, _>(5)?.unsigned_abs(),
        metadata: row.try_get(6)?,
        place: place(row, 7)?,
    })
}

pub(crate) const HELD_NON_PATIENT: &str =
    "select n.non_patient_key as held_key, n.version, n.data_set_digest, p.object_key,
        n.pack_offset, cast(0 as bigint) as rejected
    from non_patient_object n join pack p on p.pack_key = n.pack_key where n.sop_instance_uid = $1";

const STEP_BACK: &str = "update non_patient_object set is_current = 0 where sop_instance_uid = $1";

const PUT: &str =
    "insert into non_patient_object (non_patient_key, sop_instance_uid, sop_class_uid, version, is_current,
        available_transfer_syntax_uid, byte_len, data_set_offset, data_set_digest, pack_key, pack_offset, record_len,
        checksum, json, received_from, stored_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

const LIST: &str = "select n.sop_instance_uid, n.sop_class_uid, n.available_transfer_syntax_uid, n.version,
        n.non_patient_key, n.byte_len, n.json, p.object_key, p.sealed, n.pack_offset, n.record_len, n.checksum
    from non_patient_object n join pack p on p.pack_key = n.pack_key
    where n.sop_class_uid in ($1, $2, $3) and n.is_current = 1
    order by n.non_patient_key desc limit $4";

const OBJECT: &str = "select n.sop_instance_uid, n.sop_class_uid, n.available_transfer_syntax_uid, n.version,
        n.non_patient_key, n.byte_len, n.json, p.object_key, p.sealed, n.pack_offset, n.record_len, n.checksum
    from non_patient_object n join pack p on p.pack_key = n.pack_key
    where n.sop_class_uid in ($1, $2, $3) and n.sop_instance_uid = $4
        and (n.version = $5 or $5 < 0 and n.is_current = 1)";

const BURY: &str = "insert into tombstone (pack_key, pack_offset)
    select n.pack_key, n.pack_offset from non_patient_object n join pack p on p.pack_key = n.pack_key
    where n.sop_class_uid in ($1, $2, $3) and n.sop_instance_uid = $4 and p.sealed = 0";

const COMPACT: &str = "update pack set compact = 1 where pack_key in (
    select pack_key from non_patient_object where sop_class_uid in ($1, $2, $3) and sop_instance_uid = $4)";

const REMOVE: &str = "delete from non_patient_object where sop_class_uid in ($1, $2, $3) and sop_instance_uid = $4";
