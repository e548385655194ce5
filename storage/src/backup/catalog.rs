//! The catalog as text that either database takes: gzip of JSON lines, first `{"format": 1, "schema": N}`, then
//! `["table", {"column": value, …}]` for each row.

use crate::{
    archive::Inner,
    database::{Database, SCHEMA},
    error::ArchiveError,
    objects::Objects,
    pack::{BLOCK, record_offset},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{Any, AssertSqlSafe, Column, Row, Transaction, any::AnyRow};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, BufWriter, Write},
};
use tempfile::NamedTempFile;

/// In an order in which what a row refers to is there before it. The keys of names are not among them: they are made again.
pub(crate) const TABLES: [&str; 33] = [
    "head",
    "patient",
    "study",
    "series",
    "pack",
    "instance",
    "non_patient_object",
    "tombstone",
    "doomed_object",
    "damage",
    "legal_hold",
    "held_study",
    "patient_class",
    "deletion",
    "event",
    "consumer",
    "job",
    "person",
    "credential",
    "peer",
    "audit",
    "correction",
    "received_value",
    "study_read",
    "destination",
    "routing_rule",
    "forward",
    "scheduled_step",
    "performed_step",
    "performed_for",
    "workitem",
    "workitem_subscriber",
    "stranger",
];

/// The tables that hold data as soon as an archive is used.
pub(super) const FILLED: [&str; 4] = ["person", "patient", "non_patient_object", "pack"];

/// The tables that name objects of the store.
const HAVE_OBJECTS: [&str; 2] = ["pack", "stranger"];

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    schema: i64,
}

/// The catalog at one moment.
pub(crate) struct Snapshot {
    pub(crate) file: NamedTempFile,
    pub(super) packs: Vec<SnapshotPack>,
}

pub(super) struct SnapshotPack {
    pub(super) key: String,
    pub(super) sealed: bool,
    /// Where the last instance that the catalog knows ends in it; of open packs only.
    pub(super) end: u64,
}

impl Snapshot {
    pub(crate) async fn take(database: &Database, file: NamedTempFile) -> Result<Self, ArchiveError> {
        let mut transaction = database.begin_reading().await?;
        let mut lines = LineWriter::new(file)?;
        for table in TABLES {
            let mut rows = sqlx::query(AssertSqlSafe(format!("select * from {table}"))).fetch(&mut *transaction);
            while let Some(row) = rows.try_next().await? {
                lines.write(&(table, values(&row)?))?;
            }
        }
        let packs = packs(&mut transaction).await?;
        Ok(Self { file: lines.finish()?, packs })
    }
}

async fn packs(transaction: &mut Transaction<'static, Any>) -> Result<Vec<SnapshotPack>, ArchiveError> {
    let mut ends: HashMap<String, u64> = HashMap::new();
    for row in sqlx::query(OPEN_INSTANCES).fetch_all(&mut **transaction).await? {
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
        let end = record_offset(number(1)?, number(2)?) + number(3)?.next_multiple_of(BLOCK);
        let known = ends.entry(row.try_get(0)?).or_default();
        *known = end.max(*known);
    }
    let rows = sqlx::query(ALL_PACKS).fetch_all(&mut **transaction).await?;
    let pack = |row: &AnyRow| {
        let key: String = row.try_get(0)?;
        Ok(SnapshotPack { sealed: row.try_get::<i64, _>(1)? == 1, end: ends.get(&key).copied().unwrap_or(0), key })
    };
    rows.iter().map(pack).collect()
}

pub(crate) fn values(row: &AnyRow) -> Result<Map<String, Value>, ArchiveError> {
    let value = |column: &<Any as sqlx::Database>::Column| {
        let index = column.ordinal();
        let value =
            row.try_get::<i64, _>(index).map(Value::from).or_else(|_| row.try_get::<String, _>(index).map(Value::from));
        Ok((column.name().to_owned(), value?))
    };
    row.columns().iter().map(value).collect()
}

/// Writes a file as a dump is.
pub(crate) struct LineWriter(GzEncoder<BufWriter<NamedTempFile>>);

impl LineWriter {
    pub(crate) fn new(file: NamedTempFile) -> Result<Self, ArchiveError> {
        let mut lines = Self(GzEncoder::new(BufWriter::new(file), Compression::fast()));
        lines.write(&Head { format: FORMAT, schema: SCHEMA })?;
        Ok(lines)
    }

    pub(crate) fn write(&mut self, line: &impl Serialize) -> Result<(), ArchiveError> {
        serde_json::to_writer(&mut self.0, line).map_err(std::io::Error::from)?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// Synced when this returns.
    pub(crate) fn finish(self) -> Result<NamedTempFile, ArchiveError> {
        let file = self.0.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// A row of a dump: the values by column. One that is gone, in a segment of a replica, has those of its primary key.
pub(crate) struct DumpRow {
    pub(crate) table: &'static str,
    pub(crate) values: Map<String, Value>,
    pub(crate) is_gone: bool,
}

/// Rows of a dump, one by one.
pub(crate) struct Dump {
    lines: std::io::Lines<BufReader<GzDecoder<std::fs::File>>>,
}

impl Dump {
    fn open(file: std::fs::File) -> Result<Self, ArchiveError> {
        let mut lines = BufReader::new(GzDecoder::new(file)).lines();
        let head = lines.next().transpose()?.unwrap_or_default();
        let head: Head = serde_json::from_str(&head).map_err(unreadable)?;
        if head.format > FORMAT || head.schema > SCHEMA {
            return Err(ArchiveError::Config("the backup is of a newer version of Yinghai: restore with that".into()));
        }
        Ok(Self { lines })
    }

    /// The next row; its table and columns may be put into a statement.
    pub(crate) fn next_row(&mut self) -> Result<Option<DumpRow>, ArchiveError> {
        let Some(line) = self.lines.next().transpose()? else { return Ok(None) };
        let Line(table, values, is_gone) = serde_json::from_str(&line).map_err(unreadable)?;
        let table = TABLES.into_iter().find(|known| *known == table);
        let table = table.ok_or_else(|| unreadable("there is a table that it should not have"))?;
        if !values.keys().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) {
            return Err(unreadable("there is a column that it should not have"));
        }
        Ok(Some(DumpRow { table, values, is_gone }))
    }
}

#[derive(Deserialize)]
struct Line(String, Map<String, Value>, #[serde(default)] bool);

fn unreadable(why: impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Internal(format!("the dump in the backup cannot be read: {why}"))
}

impl Inner {
    pub(crate) async fn open_dump(&self, backup: &Objects, dump: &str) -> Result<Dump, ArchiveError> {
        let file = self.packs.scratch()?;
        backup.download(dump, &file).await?;
        Dump::open(file.reopen()?)
    }

    /// Objects of the packs that a dump names, and of what is in quarantine.
    pub(super) async fn packs_in(&self, backup: &Objects, dump: &str) -> Result<Vec<String>, ArchiveError> {
        let mut dump = self.open_dump(backup, dump).await?;
        let mut packs = Vec::new();
        while let Some(DumpRow { table, values, .. }) = dump.next_row()? {
            if HAVE_OBJECTS.contains(&table) {
                packs.extend(values.get("object_key").and_then(Value::as_str).map(str::to_owned));
            }
        }
        Ok(packs)
    }
}

const OPEN_INSTANCES: &str = "select p.object_key, i.pack_offset, i.byte_len, i.record_len
    from instance i join pack p on p.pack_key = i.pack_key where p.sealed = 0
    union all select p.object_key, n.pack_offset, n.byte_len, n.record_len
    from non_patient_object n join pack p on p.pack_key = n.pack_key where p.sealed = 0";

const ALL_PACKS: &str = "select object_key, sealed from (
        select object_key, sealed, pack_key as at from pack
        union all select object_key, cast(1 as bigint) as sealed, stranger_key as at from stranger) as named
    order by at";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::MIGRATIONS;

    #[test]
    fn every_table_is_in_the_dump_or_made_again() {
        for (_, _, sql) in MIGRATIONS {
            for table in sql.split("create table ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
                assert!(TABLES.contains(&table) || table == "patient_name_key", "{table}");
            }
        }
    }
}
