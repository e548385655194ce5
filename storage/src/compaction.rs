//! Packs made anew: without what was deleted, and one where there were many small ones.

use crate::{
    archive::{Archive, Inner},
    clock::now,
    database::Change,
    error::ArchiveError,
    index::put_pack,
    ingest::{Incoming, Origin, blocking},
    pack::Record,
    packs::Placed,
    read::Place,
};
use futures::TryStreamExt;
use sqlx::{Row, any::AnyRow};
use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

/// A series with so many small packs gets one of them all.
const MANY: i64 = 8;
/// A pack below this is small.
const SMALL: i64 = 64 << 20;
/// How long an object stays after its instances moved, for those who are about to read them there.
pub(crate) const GRACE_MILLISECONDS: i64 = 600_000;

/// An instance of a pack that is made anew.
struct Moving {
    key: i64,
    place: Place,
    len: u64,
    pack: i64,
}

impl Moving {
    /// Where it lies in its pack.
    fn part10(&self) -> Range<u64> {
        self.place.offset..self.place.offset.saturating_add(self.len)
    }

    fn check(&self, checksum: u32) -> Result<(), ArchiveError> {
        match checksum == self.place.checksum {
            true => Ok(()),
            false => Err(ArchiveError::Damaged(self.place.key.clone())),
        }
    }
}

impl Archive {
    /// Makes the packs of one series anew that hold deleted instances or are many and small; `false` if there are none. After
    /// an error it is the turn of others first.
    pub async fn compact_one_series(&self) -> Result<bool, ArchiveError> {
        // What room there is is for packs that leave.
        if self.inner.packs.reserve.is_spent() {
            return Ok(false);
        }
        let Some((pack, series)) = self.inner.next_to_compact().await? else { return Ok(false) };
        let compacted = self.compact(series).await;
        if compacted.is_err() {
            self.inner.compact_after.store(pack, Ordering::Relaxed);
        }
        compacted.map(|()| true)
    }

    async fn compact(&self, series: i64) -> Result<(), ArchiveError> {
        let pool = &self.inner.database.pool;
        let packs = sqlx::query(PACKS).bind(series).fetch_all(pool).await?;
        let instances = sqlx::query(INSTANCES).bind(series).fetch_all(pool).await?;
        let moving = instances.iter().map(moving).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let mut moved = Vec::with_capacity(moving.len());
        let mut failure = None;
        for one in moving {
            match self.inner.copy(&one).await {
                Ok(placed) => moved.push((one, placed)),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        // After a failure too: otherwise the same would be copied again and again, until the disk is full.
        self.inner.switch(series, &packs, &moved).await?;
        tracing::info!(packs = packs.len(), instances = moved.len(), "packs of a series were made anew");
        failure.map_or(Ok(()), Err)
    }
}

impl Inner {
    /// Key of a pack, and of its series.
    async fn next_to_compact(&self) -> Result<Option<(i64, i64)>, ArchiveError> {
        let after = self.compact_after.load(Ordering::Relaxed);
        for after in [after, 0] {
            let row = sqlx::query(TO_COMPACT).bind(after).fetch_optional(&self.database.pool).await?;
            if let Some(row) = row {
                return Ok(Some((row.try_get(0)?, row.try_get(1)?)));
            }
        }
        Ok(None)
    }

    /// Copies an instance into the open pack of its series, or one that no small pack holds into a pack of its own.
    async fn copy(self: &Arc<Self>, one: &Moving) -> Result<Placed, ArchiveError> {
        let copied =
            if one.len < SMALL.unsigned_abs() { self.copy_small(one).await } else { self.copy_large(one).await };
        // Once it is noted as damaged, its pack waits until it is mended.
        copied.inspect_err(|error| self.suspect(one.key, error))
    }

    async fn copy_small(self: &Arc<Self>, one: &Moving) -> Result<Placed, ArchiveError> {
        let part10 = self.read_pack(&one.place, one.part10()).await?;
        one.check(crc32c::crc32c(&part10))?;
        let (record, metadata) = self.record_at(&one.place, one.len).await?;
        let record = Record { is_copy: true, ..record };
        let archive = self.clone();
        blocking(move || {
            archive.packs.store(&record.facts()?.folder(), &part10, &record, &record.packed(&metadata)?, false)
        })
        .await
    }

    /// As it comes in: such an instance may be longer than there is memory.
    async fn copy_large(self: &Arc<Self>, one: &Moving) -> Result<Placed, ArchiveError> {
        let mut incoming = Incoming::new(self.clone(), Origin::Room("compaction"));
        let mut bytes = self.stream_pack(&one.place, one.part10()).await?;
        while let Some(piece) = bytes.try_next().await? {
            incoming.write(&piece).await?;
        }
        let (mut described, body) = incoming.describe().await?;
        one.check(described.record.checksum)?;
        (described.record, described.metadata) = self.record_at(&one.place, one.len).await?;
        described.record.is_copy = true;
        let archive = self.clone();
        blocking(move || body.place(&archive, &described, &described.facts.folder(), false)).await
    }

    /// Lets the rows point to the new places, and dooms the old packs.
    async fn switch(&self, series: i64, packs: &[AnyRow], moved: &[(Moving, Placed)]) -> Result<(), ArchiveError> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut change = self.database.change().await?;
        for (one, placed) in moved {
            let pack = put_pack(&mut change, &placed.key, series).await?;
            let mut switched = 0;
            // Keys of the two tables come from one counter.
            for statement in [SWITCH, SWITCH_NON_PATIENT] {
                let switch = sqlx::query(statement)
                    .bind(one.key)
                    .bind(pack)
                    .bind(number(placed.offset))
                    .bind(number(placed.record_len))
                    .bind(one.pack);
                switched += switch.execute(&mut *change.transaction).await?.rows_affected();
            }
            if switched == 0 {
                // Deleted meanwhile: the copy goes the same way.
                sqlx::query(COMPACT).bind(pack).execute(&mut *change.transaction).await?;
            }
        }
        for pack in packs {
            self.let_go_if_empty(&mut change, pack.try_get(0)?).await?;
        }
        change.commit().await?;
        self.refresh_quarantine().await
    }

    /// After instances moved out of a pack: if none is left in it, it goes, and its object after a while.
    pub(crate) async fn let_go_if_empty(&self, change: &mut Change<'_>, pack: i64) -> Result<(), sqlx::Error> {
        if sqlx::query(LEFT).bind(pack).fetch_optional(&mut *change.transaction).await?.is_some() {
            return Ok(());
        }
        // Not the key from before the change: the pack may have got another since.
        let row = sqlx::query(REMOVE).bind(pack).fetch_all(&mut *change.transaction).await?.into_iter().next();
        let Some(key) = row.map(|row| row.try_get::<String, _>(0)).transpose()? else { return Ok(()) };
        let doom = sqlx::query(DOOM).bind(&key).bind(now() + GRACE_MILLISECONDS);
        doom.execute(&mut *change.transaction).await?;
        self.note_made_anew(change, &key).await
    }

    /// After a pack of a series was sealed: many small ones are to become one.
    pub(crate) async fn note_small_packs(&self, object_key: &str) -> Result<(), ArchiveError> {
        let statement = sqlx::query(NOTE_SMALL).bind(object_key).bind(SMALL).bind(MANY);
        self.database.execute(statement).await?;
        Ok(())
    }
}

fn moving(row: &AnyRow) -> Result<Moving, sqlx::Error> {
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let place = Place {
        key: row.try_get(2)?,
        sealed: true,
        offset: number(3)?,
        record_len: number(4)?,
        checksum: u32::try_from(number(5)?).unwrap_or_default(),
    };
    Ok(Moving { key: row.try_get(0)?, pack: row.try_get(1)?, place, len: number(6)? })
}

const TO_COMPACT: &str = "select pack_key, series_key from pack where compact = 1 and sealed = 1 and pack_key > $1
    and object_key not in (select object_key from damage where hides = 1 and mended_at = 0)
    order by pack_key limit 1";

const PACKS: &str = "select pack_key from pack where series_key = $1 and compact = 1 and sealed = 1
    and object_key not in (select object_key from damage where hides = 1 and mended_at = 0)";

const INSTANCES: &str = "select i.instance_key, p.pack_key, p.object_key, i.pack_offset, i.record_len, i.checksum,
        i.byte_len
    from instance i join pack p on p.pack_key = i.pack_key
    where p.series_key = $1 and p.compact = 1 and p.sealed = 1
        and p.object_key not in (select object_key from damage where hides = 1 and mended_at = 0)
    union all select n.non_patient_key, p.pack_key, p.object_key, n.pack_offset, n.record_len, n.checksum, n.byte_len
    from non_patient_object n join pack p on p.pack_key = n.pack_key
    where p.series_key = $1 and p.compact = 1 and p.sealed = 1
        and p.object_key not in (select object_key from damage where hides = 1 and mended_at = 0)
    order by 1";

const SWITCH: &str = "update instance set pack_key = $2, pack_offset = $3, record_len = $4
    where instance_key = $1 and pack_key = $5";

const SWITCH_NON_PATIENT: &str = "update non_patient_object set pack_key = $2, pack_offset = $3, record_len = $4
    where non_patient_key = $1 and pack_key = $5";

const COMPACT: &str = "update pack set compact = 1 where pack_key = $1";

const LEFT: &str = "select instance_key from instance where pack_key = $1
    union all select non_patient_key from non_patient_object where pack_key = $1 limit 1";

// What was damaged in it is worth a look before it goes.
pub(crate) const DOOM: &str = "insert into doomed_object (object_key, due_at, keep)
    values ($1, $2, (select count(*) from (select 1 from damage where object_key = $1 limit 1) as damaged))";

const REMOVE: &str = "delete from pack where pack_key = $1 returning object_key";

const NOTE_SMALL: &str = "update pack set compact = 1 where sealed = 1 and byte_len < $2
    and series_key = (select series_key from pack where object_key = $1)
    and (select count(*) from pack o where o.series_key = pack.series_key and o.sealed = 1 and o.byte_len < $2) >= $3";
