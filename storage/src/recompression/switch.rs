//! The rows of recompressed instances.

use crate::{
    archive::Inner,
    error::ArchiveError,
    index::{NewInstance, put_pack},
    pack::Record,
    read::{Place, place},
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};

/// An instance in a sealed pack, whole and as received.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) key: i64,
    pub(super) pack: i64,
    pub(super) series: i64,
    pub(super) sop_instance: Uid,
    pub(super) sop_class: String,
    pub(super) modality: String,
    pub(super) transfer_syntax: String,
    pub(super) len: u64,
    pub(super) digest: String,
    pub(super) place: Place,
}

impl Inner {
    pub(super) async fn candidates(&self, pack: &str) -> Result<Vec<Candidate>, ArchiveError> {
        let rows = sqlx::query(CANDIDATES).bind(pack).fetch_all(&self.database.pool).await?;
        rows.iter().map(candidate).collect()
    }

    /// Lets the row point to the copy; `false` if it no longer points to the original, which then is newer than the copy.
    pub(super) async fn switch_to_recompressed(
        &self,
        candidate: &Candidate,
        new: &NewInstance,
    ) -> Result<bool, ArchiveError> {
        let mut change = self.database.change().await?;
        let position = change.head.next_key();
        let pack = put_pack(&mut change, &new.placed.key, candidate.series).await?;
        let switched = sqlx::query(SWITCH)
            .bind(candidate.key)
            .bind(candidate.pack)
            .bind(pack)
            .bind(new.pack_offset)
            .bind(new.record_len)
            .bind(new.byte_len)
            .bind(new.data_set_offset)
            .bind(i64::from(new.record.checksum))
            .bind(&new.frame_layout)
            .bind(new.record.transfer_syntax.as_str())
            .bind(&new.recompressed)
            .bind(position)
            .bind(i64::try_from(candidate.place.offset).unwrap_or(i64::MAX));
        let switched = switched.execute(&mut *change.transaction).await?.rows_affected() > 0;
        if switched {
            let grown = new.byte_len.saturating_sub(i64::try_from(candidate.len).unwrap_or(i64::MAX));
            for statement in [RESIZE_SERIES, RESIZE_STUDY] {
                let statement = sqlx::query(statement).bind(candidate.series).bind(grown).bind(position);
                statement.execute(&mut *change.transaction).await?;
            }
            self.let_go_if_empty(&mut change, candidate.pack).await?;
        } else {
            // The copy goes the way of what was deleted.
            sqlx::query(COMPACT).bind(pack).execute(&mut *change.transaction).await?;
        }
        change.commit().await?;
        Ok(switched)
    }

    /// What stayed in a pack from which others moved is put together anew without them.
    pub(super) async fn make_rest_anew(&self, pack: &str) -> Result<(), ArchiveError> {
        self.database.execute(sqlx::query(COMPACT_OBJECT).bind(pack)).await?;
        Ok(())
    }

    /// The record of an instance that was made anew from its bytes, with what only the catalog knows: the digest of what was
    /// received.
    pub(crate) async fn as_catalogued(&self, place: &Place, record: Record) -> Result<Record, ArchiveError> {
        let offset = i64::try_from(place.offset).unwrap_or(i64::MAX);
        let row = sqlx::query(RECEIVED).bind(&place.key).bind(offset).fetch_optional(&self.database.pool).await?;
        let Some(row) = row else { return Ok(record) };
        let received = serde_json::from_str(row.try_get(1)?).map_err(|e| ArchiveError::Internal(e.to_string()))?;
        Ok(Record { digest: row.try_get(0)?, recompressed: Some(received), ..record })
    }
}

fn candidate(row: &AnyRow) -> Result<Candidate, ArchiveError> {
    let sop_instance: String = row.try_get(3)?;
    Ok(Candidate {
        key: row.try_get(0)?,
        pack: row.try_get(1)?,
        series: row.try_get(2)?,
        sop_instance: sop_instance.parse().map_err(|e| ArchiveError::Internal(format!("{sop_instance}: {e}")))?,
        sop_class: row.try_get(4)?,
        modality: row.try_get(5)?,
        transfer_syntax: row.try_get(6)?,
        len: row.try_get::<i64, _>(7)?.unsigned_abs(),
        digest: row.try_get(8)?,
        place: place(row, 9)?,
    })
}

const CANDIDATES: &str =
    "select i.instance_key, i.pack_key, i.series_key, i.sop_instance_uid, i.sop_class_uid, se.modality,
        i.available_transfer_syntax_uid, i.byte_len, i.data_set_digest, p.object_key, p.sealed, i.pack_offset,
        i.record_len, i.checksum
    from pack p join instance i on i.pack_key = p.pack_key join series se on se.series_key = i.series_key
    where p.object_key = $1 and p.sealed = 1 and i.recompressed = '' and i.frame_layout <> ''
        and i.instance_key not in (select instance_key from damage where hides = 1 and mended_at = 0)
    order by i.pack_offset";

const SWITCH: &str = "update instance set pack_key = $3, pack_offset = $4, record_len = $5, byte_len = $6,
        data_set_offset = $7, checksum = $8, frame_layout = $9, available_transfer_syntax_uid = $10, recompressed = $11,
        content_key = $12
    where instance_key = $1 and pack_key = $2 and pack_offset = $13";

// Readers look again: transfer syntax and length are others.
const RESIZE_SERIES: &str = "update series set byte_len = byte_len + $2, changed_position = $3 where series_key = $1";

const RESIZE_STUDY: &str = "update study set byte_len = byte_len + $2, changed_position = $3
    where study_key = (select study_key from series where series_key = $1)";

const COMPACT: &str = "update pack set compact = 1 where pack_key = $1";

const COMPACT_OBJECT: &str = "update pack set compact = 1 where object_key = $1";

const RECEIVED: &str = "select i.data_set_digest, i.recompressed
    from instance i join pack p on p.pack_key = i.pack_key
    where p.object_key = $1 and i.pack_offset = $2 and i.recompressed <> ''";
