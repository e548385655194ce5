//! The catalog at the replica: a base, and numbered segments of what changed after it.
//!
//! A segment is as a dump, `["table", {row}]` a line for a row as it is, and `["table", {primary key}, true]` for one that
//! is gone. It tells of one moment, so that a base and the segments after it are the catalog of that moment.

use super::{
    Replica, SET,
    capture::{HEAD, primary_key},
};
use crate::{
    archive::Inner,
    backup::catalog::{LineWriter, Snapshot, values},
    clock::now,
    error::ArchiveError,
};
use serde_json::{Map, Value};
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use std::{collections::BTreeSet, ops::RangeInclusive};
use tempfile::NamedTempFile;

pub(super) const BASE: &str = "replica/base/";
pub(super) const CHANGES: &str = "replica/changes/";
/// Changes that go into one segment.
const AT_ONCE: i64 = 20_000;
/// After so many segments, or when they are as long as the base, a new base keeps the way back short.
const MOST_SEGMENTS: i64 = 20_000;
const SMALL_BASE: i64 = 4 << 20;

/// Rows that changed, and which rows of the log say so.
#[derive(Default)]
struct Noted {
    rows: BTreeSet<(String, String, String)>,
    ids: Vec<RangeInclusive<i64>>,
    count: i64,
}

impl Inner {
    /// Writes a base if one is due, and a segment if anything changed.
    pub(super) async fn write_changes(&self, replica: &Replica) -> Result<(), ArchiveError> {
        let base = self.state("base").await?;
        let (segments, len) = self.state("segment").await?.unwrap_or_default();
        let len: i64 = len.parse().unwrap_or(0);
        let is_due = base.as_ref().is_none_or(|(_, base_len)| {
            segments >= MOST_SEGMENTS || len > base_len.parse().unwrap_or(0).max(SMALL_BASE)
        });
        match base {
            Some((base, _)) if !is_due => self.write_segments(replica, base, segments, len).await,
            _ => self.write_base(replica).await,
        }
    }

    /// As many as it takes to tell of all that had changed when this began.
    async fn write_segments(
        &self,
        replica: &Replica,
        base: i64,
        mut number: i64,
        mut len: i64,
    ) -> Result<(), ArchiveError> {
        loop {
            number += 1;
            let (added, is_last) = self.write_segment(replica, base, number, len).await?;
            len = len.saturating_add(added);
            if is_last {
                return Ok(());
            }
        }
    }

    async fn write_base(&self, replica: &Replica) -> Result<(), ArchiveError> {
        let stamp = now();
        let snapshot = Snapshot::take(&self.database, self.packs.scratch()?).await?;
        let len = snapshot.file.as_file().metadata()?.len();
        let name = replica.named(&format!("{BASE}{stamp:015}"), "gz");
        replica.put_new(snapshot.file.path(), &name).await?;
        let (mut transaction, _turn) = self.database.begin().await?;
        for (name, number, word) in [("base", stamp, len.to_string()), ("segment", 0, "0".to_owned())] {
            sqlx::query(SET).bind(name).bind(number).bind(word).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        self.remove_older(replica, &name, stamp).await
    }

    /// What the way back no longer needs.
    async fn remove_older(&self, replica: &Replica, base: &str, stamp: i64) -> Result<(), ArchiveError> {
        let own = format!("{CHANGES}{stamp:015}/");
        let bases = replica.store.keys_under(BASE.trim_end_matches('/')).await?;
        let segments = replica.store.keys_under(CHANGES.trim_end_matches('/')).await?;
        let older = bases.iter().filter(|key| *key != base).chain(segments.iter().filter(|key| !key.starts_with(&own)));
        for key in older {
            replica.store.remove(key).await?;
        }
        Ok(())
    }

    /// Its length, and whether there was nothing more to tell of.
    async fn write_segment(
        &self,
        replica: &Replica,
        base: i64,
        number: i64,
        len: i64,
    ) -> Result<(i64, bool), ArchiveError> {
        let mut transaction = self.database.begin_reading().await?;
        let noted = noted(&mut transaction).await?;
        if noted.rows.is_empty() {
            return Ok((0, true));
        }
        let is_last = noted.count < AT_ONCE;
        let file = segment(&mut transaction, &noted, self.packs.scratch()?).await?;
        drop(transaction);
        let added = i64::try_from(file.as_file().metadata()?.len()).unwrap_or(i64::MAX);
        let name = replica.named(&format!("{CHANGES}{base:015}/{number:09}"), "gz");
        replica.put_new(file.path(), &name).await?;
        let (mut transaction, _turn) = self.database.begin().await?;
        for ids in noted.ids {
            let told = sqlx::query(TOLD).bind(*ids.start()).bind(*ids.end());
            told.execute(&mut *transaction).await?;
        }
        let len = len.saturating_add(added).to_string();
        sqlx::query(SET).bind("segment").bind(number).bind(len).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((added, is_last))
    }
}

async fn noted(transaction: &mut Transaction<'static, Any>) -> Result<Noted, ArchiveError> {
    let mut noted = Noted::default();
    for row in sqlx::query(LOG).bind(AT_ONCE).fetch_all(&mut **transaction).await? {
        let id: i64 = row.try_get(0)?;
        noted.count += 1;
        noted.rows.insert((row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        match noted.ids.last_mut() {
            Some(run) if *run.end() + 1 == id => *run = *run.start()..=id,
            // An id that is missing may belong to a transaction that is not committed yet.
            _ => noted.ids.push(id..=id),
        }
    }
    Ok(noted)
}

async fn segment(
    transaction: &mut Transaction<'static, Any>,
    noted: &Noted,
    file: NamedTempFile,
) -> Result<NamedTempFile, ArchiveError> {
    let mut lines = LineWriter::new(file)?;
    let head = sqlx::query("select * from head").fetch_one(&mut **transaction).await?;
    lines.write(&(HEAD, values(&head)?))?;
    for (table, first, second) in &noted.rows {
        let key = primary_key(table);
        let mut at = Map::new();
        for (column, text) in key.iter().zip([first, second]) {
            let value = if column.is_number { text.parse::<i64>().map(Value::from).ok() } else { None };
            at.insert(column.name.clone(), value.unwrap_or_else(|| Value::from(text.as_str())));
        }
        let terms: Vec<_> = key.iter().zip(1..).map(|(column, place)| format!("{} = ${place}", column.name)).collect();
        let sql = format!("select * from {table} where {}", terms.join(" and "));
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for column in &key {
            query = match at.get(&column.name) {
                Some(Value::Number(number)) => query.bind(number.as_i64()),
                Some(Value::String(text)) => query.bind(text.clone()),
                _ => query,
            };
        }
        match query.fetch_optional(&mut **transaction).await? {
            Some(row) => lines.write(&(table, values(&row)?))?,
            None => lines.write(&(table, at, true))?,
        }
    }
    lines.finish()
}

const LOG: &str = "select id, tab, k1, k2 from replica_log order by id limit $1";

const TOLD: &str = "delete from replica_log where id between $1 and $2";
