//! How a pack leaves the spool: sealed, put into the store, known there; and what is done about packs after a crash.

use crate::{
    archive::{Archive, Inner},
    commit::Work,
    error::ArchiveError,
    facts::Facts,
    index::NewInstance,
    ingest::{Described, Outcome, blocking},
    pack::{Footer, Found, Kept, OpenPack, Record, TRAILER_LEN, read_trailer},
    packs::{Adopted, Placed},
    read::Place,
};
use futures::{StreamExt, stream};
use sqlx::{Row, any::AnyRow};
use std::{collections::HashSet, fs::File, path::Path, sync::Arc, time::Duration};

/// Packs on their way into the store at the same time.
const AT_ONCE: usize = 4;

impl Archive {
    /// Seals the packs of series that fell quiet, those too that ended processes left; returns how many. One that fails stays
    /// in the spool, where it can be read, and is tried again next time.
    pub async fn seal_quiet_packs(&self) -> usize {
        if let Err(error) = self.inner.recover().await {
            tracing::warn!(error = %chain(&error), "taking over packs of ended processes failed, it is tried again");
        }
        self.seal_idle(Duration::from_secs(self.inner.config.quiet_seconds)).await
    }

    /// Seals the packs into which nothing has come for as long.
    pub(crate) async fn seal_idle(&self, idle: Duration) -> usize {
        let sealed = stream::iter(self.inner.packs.due(idle)).map(|pack| async move {
            let sealed = self.inner.seal(&pack).await;
            if let Err(error) = &sealed {
                tracing::warn!(error = %chain(error), pack = pack.key, "sealing failed, it is tried again");
            }
            usize::from(sealed.is_ok())
        });
        let sealed = sealed.buffer_unordered(AT_ONCE).fold(0, |sum, one| async move { sum + one }).await;
        if self.inner.packs.reserve.is_spent() {
            let archive = self.inner.clone();
            // Nothing but the end of the program breaks it off.
            let _ = tokio::task::spawn_blocking(move || archive.packs.reserve.restore()).await;
        }
        sealed
    }
}

impl Inner {
    async fn seal(self: &Arc<Self>, pack: &Arc<OpenPack>) -> Result<(), ArchiveError> {
        let contents = self.contents(&pack.key).await?;
        if contents.kept.is_empty() {
            self.discard(pack).await?;
        } else {
            let footer = match self.move_to_store(pack, contents.kept).await? {
                Some(footer) => footer,
                // A seal before this one came as far as the store.
                None => self.footer_in_store(&pack.key).await?,
            };
            let position = if footer.is_whole { contents.position } else { OUT_OF_DATE };
            self.note_sealed(&pack.key, footer, position).await?;
            self.note_small_packs(&pack.key).await?;
            self.note_to_recompress(&pack.key).await?;
        }
        self.packs.forget(pack);
        match tokio::fs::remove_file(&pack.path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// `None` if the file is no longer in the spool.
    async fn move_to_store(&self, pack: &Arc<OpenPack>, kept: Vec<Kept>) -> Result<Option<Footer>, ArchiveError> {
        if !pack.path.is_file() {
            return Ok(None);
        }
        let closed = pack.clone();
        let footer = blocking(move || closed.seal(&kept)).await?;
        self.objects.put(&pack.path, &pack.key).await?;
        Ok(Some(footer))
    }

    pub(crate) async fn footer_in_store(&self, key: &str) -> Result<Footer, ArchiveError> {
        let missing = || ArchiveError::NotFound(format!("pack {key}"));
        let byte_len = self.objects.len(key).await?.ok_or_else(missing)?;
        let end = self.objects.read_range(key, byte_len.saturating_sub(TRAILER_LEN)..byte_len).await?;
        Ok(Footer { trailer: read_trailer(&end)?, byte_len, is_whole: true })
    }

    /// What the catalog says about a pack.
    async fn contents(&self, key: &str) -> Result<Contents, ArchiveError> {
        // The position first: whatever changes after it makes the metadata of this moment out of date.
        let position = sqlx::query(POSITION).bind(key).fetch_optional(&self.database.pool).await?;
        let position = position.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        let rows = sqlx::query(CONTENTS).bind(key).fetch_all(&self.database.pool).await?;
        let kept = rows.iter().map(kept).collect::<Result<_, _>>()?;
        Ok(Contents { position, kept })
    }

    pub(crate) async fn note_sealed(&self, key: &str, footer: Footer, position: i64) -> Result<(), ArchiveError> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let trailer = footer.trailer;
        let mut change = self.database.change().await?;
        sqlx::query(SEALED)
            .bind(key)
            .bind(number(footer.byte_len))
            .bind(number(trailer.metadata_offset))
            .bind(number(trailer.metadata_len))
            .bind(number(trailer.index_offset))
            .bind(number(trailer.index_len))
            .bind(position)
            .execute(&mut *change.transaction)
            .await?;
        sqlx::query(REMOVE_TOMBSTONES).bind(key).execute(&mut *change.transaction).await?;
        change.commit().await?;
        Ok(())
    }

    /// Nothing in the pack was kept, or all of it was deleted.
    async fn discard(&self, pack: &OpenPack) -> Result<(), ArchiveError> {
        let mut change = self.database.change().await?;
        for statement in [REMOVE_TOMBSTONES, REMOVE_PACK] {
            sqlx::query(statement).bind(&pack.key).execute(&mut *change.transaction).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Takes over the packs that ended processes left in the spool, and writes the rows that the catalog lacks of them.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), ArchiveError> {
        // One at a time: who comes second has nothing to do.
        let Ok(mut left) = self.packs.left.try_lock() else { return Ok(()) };
        let archive = self.clone();
        left.extend(blocking(move || archive.packs.take_over()).await?);
        let mut is_behind = false;
        while let Some(path) = left.last().cloned() {
            let archive = self.clone();
            let known = self.known_pack(&path).await?;
            if let Some(adopted) = blocking(move || archive.packs.adopt(path, known)).await? {
                self.recover_pack(adopted, &mut is_behind).await?;
            }
            left.pop();
        }
        Ok(())
    }

    /// What the catalog knows of a pack in the spool, by its file: its key, and where the last instance ends.
    async fn known_pack(&self, path: &Path) -> Result<Option<(String, u64)>, ArchiveError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for row in sqlx::query(OPEN).fetch_all(&self.database.pool).await? {
            let key: String = row.try_get(0)?;
            if key.rsplit('/').next() == Some(&*name) {
                let kept = self.contents(&key).await?.kept;
                return Ok(kept.iter().map(Kept::end).max().map(|end| (key, end)));
            }
        }
        Ok(None)
    }

    /// `is_behind`: whether it is known that rows are missing.
    async fn recover_pack(
        self: &Arc<Self>,
        Adopted { pack, instances }: Adopted,
        is_behind: &mut bool,
    ) -> Result<(), ArchiveError> {
        let known = self.known(&pack.key).await?;
        let is_missing = |found: &Found| !found.record.is_copy && !known.contains(&found.offset);
        let missing: Vec<_> = instances.into_iter().filter(is_missing).collect();
        if !missing.is_empty() {
            if !std::mem::replace(is_behind, true) {
                // Positions that were lost have been shown to clients, in entity tags for one: no second use of them.
                self.database.change_of(LOST_AT_MOST).await?.commit().await?;
            }
            tracing::info!(
                pack = pack.key,
                instances = missing.len(),
                "writing rows that a crash kept from the catalog"
            );
        }
        for found in missing {
            self.recover_instance(&pack, found).await?;
        }
        // Not before: what has no row would be left out of a sealed pack.
        self.packs.queue(pack);
        Ok(())
    }

    async fn recover_instance(self: &Arc<Self>, pack: &Arc<OpenPack>, found: Found) -> Result<(), ArchiveError> {
        let path = pack.path.clone();
        let (offset, len, expected) = (found.offset, found.record.byte_len, found.record.checksum);
        // It was not acknowledged if it is not whole; and what is not whole must never be shown.
        if blocking(move || checksum(&path, offset, len)).await? != expected {
            tracing::warn!(sop_instance_uid = %found.record.sop_instance, "an instance that was not acknowledged is not whole");
            return Ok(());
        }
        let placed =
            Placed { key: pack.key.clone(), offset, record_len: found.record_len, _undecided: Some(pack.undecided()) };
        self.store_again(found.record, placed, false).await?;
        Ok(())
    }

    /// Writes the rows of an instance that is in a pack.
    pub(crate) async fn store_again(
        self: &Arc<Self>,
        record: Record,
        placed: Placed,
        sealed: bool,
    ) -> Result<Outcome, ArchiveError> {
        let facts = record.facts()?;
        let metadata = match &facts {
            Facts::Instance(_) => String::new(),
            Facts::NonPatient(_) => {
                let (key, offset, record_len) = (placed.key.clone(), placed.offset, placed.record_len);
                let place = Place { key, sealed, offset, record_len, checksum: record.checksum };
                self.record_at(&place, record.byte_len).await?.1
            }
        };
        let described = Described { facts, record, metadata };
        let new = NewInstance::new(described, placed, self.config.same_uid_other_content)?;
        self.committer.submit(|reply| Work::Store(Box::new(new), reply)).await
    }

    /// Offsets in a pack that have a row, or had one.
    async fn known(&self, key: &str) -> Result<HashSet<u64>, ArchiveError> {
        let rows = sqlx::query(KNOWN).bind(key).fetch_all(&self.database.pool).await?;
        let offsets = rows.iter().map(|row| Ok(row.try_get::<i64, _>(0)?.unsigned_abs()));
        Ok(offsets.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Packs of which a crash came between store and catalog. A store that is away now must not keep the archive from
    /// opening: such packs can be read as they are, and the next start settles them.
    pub(crate) async fn settle(&self) -> Result<(), ArchiveError> {
        for row in sqlx::query(OPEN).fetch_all(&self.database.pool).await? {
            let key: String = row.try_get(0)?;
            if self.packs.file_of(&key)?.is_some() {
                continue;
            }
            match self.objects.len(&key).await {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let footer = self.footer_in_store(&key).await?;
                    self.note_sealed(&key, footer, OUT_OF_DATE).await?;
                }
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the object store is away, some packs are settled later");
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Instances whose rows a power cut may take at most, by far.
const LOST_AT_MOST: usize = 1_000_000;

/// A position that no series has: its metadata is put together item by item.
pub(crate) const OUT_OF_DATE: i64 = -1;

struct Contents {
    /// Of the last change of the series.
    position: i64,
    kept: Vec<Kept>,
}

fn kept(row: &AnyRow) -> Result<Kept, sqlx::Error> {
    let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
    let (order, is_current): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Kept {
        offset: number(0)?,
        byte_len: number(3)?,
        record_len: number(4)?,
        order: (is_current == 1).then_some(order),
    })
}

fn checksum(path: &Path, offset: u64, len: u64) -> Result<u32, ArchiveError> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut part = file.take(len);
    let mut buffer = vec![0; 256 << 10];
    let mut sum = 0;
    loop {
        let read = part.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { return Ok(sum) };
        sum = crc32c::crc32c_append(sum, piece);
    }
}

/// The error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

const POSITION: &str = "select se.changed_position from pack p join series se on se.series_key = p.series_key
    where p.object_key = $1";

const CONTENTS: &str = "select i.pack_offset, i.instance_order, i.is_current, i.byte_len, i.record_len
    from instance i join pack p on p.pack_key = i.pack_key where p.object_key = $1
    union all select n.pack_offset, n.non_patient_key, n.is_current, n.byte_len, n.record_len
    from non_patient_object n join pack p on p.pack_key = n.pack_key where p.object_key = $1";

const SEALED: &str = "update pack set sealed = 1, byte_len = $2, metadata_offset = $3, metadata_len = $4,
    index_offset = $5, index_len = $6, metadata_position = $7 where object_key = $1";

const REMOVE_TOMBSTONES: &str = "delete from tombstone
    where pack_key = (select pack_key from pack where object_key = $1)";

const REMOVE_PACK: &str = "delete from pack where object_key = $1";

const KNOWN: &str =
    "select i.pack_offset from instance i join pack p on p.pack_key = i.pack_key where p.object_key = $1
    union all select n.pack_offset from non_patient_object n join pack p on p.pack_key = n.pack_key
        where p.object_key = $1
    union all select t.pack_offset from tombstone t join pack p on p.pack_key = t.pack_key where p.object_key = $1";

const OPEN: &str = "select object_key from pack where sealed = 0";
