//! A backup into an empty archive.

use super::{
    OPEN, PACKS,
    catalog::{DumpRow, FILLED},
    copy_object, newest_dump, stamp_of,
};
use crate::{
    archive::{Archive, Inner},
    corrections::ALL_TO_STORE,
    error::ArchiveError,
    objects::Objects,
    pack::path_of,
    replica::is_replica,
    retention::ALL_HOLDS_TO_STORE,
    routing::ALL_REST,
    store::sync_folder,
};
use futures::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::{Any, AssertSqlSafe, Transaction};
use std::collections::HashSet;

/// What a restoring did so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Packs of the dump.
    pub packs: u64,
    /// Packs looked at.
    pub done: u64,
    pub bytes: u64,
    /// Packs that the catalog names and the place lacks.
    pub missing: Vec<String>,
    /// Rows of the catalog.
    pub rows: u64,
}

impl Archive {
    /// Takes the newest whole state of a backup, or of a replica, into this archive, whose catalog must be empty. The catalog comes last, so
    /// that what was broken off goes on where it was. No server may run on this archive meanwhile.
    pub async fn restore(&self, from: &str, progress: impl Fn(&Restored)) -> Result<Restored, ArchiveError> {
        self.inner.refuse_unless_empty().await?;
        let backup = self.inner.backup_at(from).await?;
        if is_replica(&backup).await? {
            return self.bring_up(&backup, progress).await;
        }
        let dump = newest_dump(&backup).await?;
        let open_folder = format!("{OPEN}{}/", stamp_of(&dump));
        let held: HashSet<String> = backup.store.list().map_ok(|(key, _)| key).try_collect().await?;
        let packs = self.inner.packs_in(&backup, &dump).await?;
        let mut done = Restored { packs: packs.len() as u64, ..Restored::default() };
        for pack in packs {
            let (sealed, open) = (format!("{PACKS}{pack}"), format!("{open_folder}{pack}"));
            if held.contains(&open) {
                done.bytes += self.inner.restore_open_pack(&backup, &open, &pack).await?;
            } else if !held.contains(&sealed) {
                done.missing.push(pack);
            } else if self.inner.objects.store.len(&pack).await?.is_none() {
                done.bytes += copy_object(&backup.store, &sealed, &self.inner.objects.store, &pack).await?;
            }
            done.done += 1;
            progress(&done);
        }
        done.rows = self.inner.restore_catalog(&backup, &dump).await?;
        self.inner.recover().await?;
        self.inner.settle().await?;
        Ok(done)
    }
}

impl Inner {
    async fn refuse_unless_empty(&self) -> Result<(), ArchiveError> {
        for table in FILLED {
            let any = sqlx::query(AssertSqlSafe(format!("select 1 from {table} limit 1")));
            if any.fetch_optional(&self.database.pool).await?.is_some() {
                return Err(ArchiveError::Conflict(
                    "the archive is not empty: restore into a new data folder and, with PostgreSQL, a new database"
                        .into(),
                ));
            }
        }
        Ok(())
    }

    /// Into the spool, from where it is taken over as after a crash.
    async fn restore_open_pack(&self, backup: &Objects, copy: &str, pack: &str) -> Result<u64, ArchiveError> {
        let folder = self.packs.folder();
        let file = self.packs.scratch()?;
        let len = backup.download(copy, &file).await?;
        file.persist(path_of(folder, pack)).map_err(|e| e.error)?;
        sync_folder(folder)?;
        Ok(len)
    }

    /// All rows in one transaction; returns how many.
    async fn restore_catalog(&self, backup: &Objects, dump: &str) -> Result<u64, ArchiveError> {
        let mut dump = self.open_dump(backup, dump).await?;
        let (mut transaction, _turn) = self.database.begin().await?;
        sqlx::query(REMOVE_HEAD).execute(&mut *transaction).await?;
        let mut rows = 0;
        while let Some(DumpRow { table, values, .. }) = dump.next_row()? {
            insert(&mut transaction, table, values).await?;
            rows += 1;
        }
        // The keys by which names are found are made in the background, as for a catalog from before there were any.
        sqlx::query(NAMES_WITHOUT_KEYS).execute(&mut *transaction).await?;
        for all in [ALL_TO_STORE, ALL_HOLDS_TO_STORE, ALL_REST] {
            sqlx::query(all).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        self.database.make_durable().await?;
        Ok(rows)
    }
}

/// `table` and the names of the columns were looked at by `Dump::next_row`.
pub(crate) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    table: &str,
    values: Map<String, Value>,
) -> Result<(), ArchiveError> {
    let columns: Vec<_> = values.keys().map(|name| format!("\"{name}\"")).collect();
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    let statement = format!("insert into {table} ({}) values ({})", columns.join(", "), places.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for value in values.into_iter().map(|(_, value)| value) {
        query = match value {
            Value::String(text) => query.bind(text),
            value => query.bind(value.as_i64()),
        };
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

pub(crate) const REMOVE_HEAD: &str = "delete from head";

pub(crate) const NAMES_WITHOUT_KEYS: &str = "update patient set patient_no = 0, patient_search = ''";
