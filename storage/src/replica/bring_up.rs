//! The second site: the catalog as of the last segment, on the packs that are at the replica.

use super::{
    Replica, TAKEN_OVER,
    capture::primary_key,
    changes::{BASE, CHANGES},
};
use crate::{
    archive::{Archive, Inner},
    backup::{
        Restored,
        catalog::{DumpRow, TABLES},
        copy_object,
        restore::{NAMES_WITHOUT_KEYS, REMOVE_HEAD, insert},
    },
    clock::now,
    compaction::DOOM,
    corrections::ALL_TO_STORE,
    error::ArchiveError,
    retention::ALL_HOLDS_TO_STORE,
    routing::ALL_REST,
    spool::PACK,
    strangers::is_quarantined,
};
use futures::TryStreamExt;
use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Tables to whose rows others refer: what stays of them is written over, not removed and written.
const REFERRED_TO: [&str; 3] = ["person", "study", "series"];

/// The catalog at the replica.
struct Found {
    base: String,
    /// In the order of their numbers, none left out.
    segments: Vec<String>,
    /// When the last of it came there, by the clock of the store.
    at: i64,
    /// Packs there, and when they came.
    packs: BTreeMap<String, i64>,
}

impl Archive {
    /// Takes the state of a replica into this archive, whose catalog must be empty. Packs are copied unless this archive's
    /// store is the replica itself, which then serves, and takes no more from the first site.
    pub(crate) async fn bring_up(
        &self,
        replica: &Replica,
        progress: impl Fn(&Restored),
    ) -> Result<Restored, ArchiveError> {
        let found = Found::at(replica).await?;
        // First of all, so that the first site does not go on while we read.
        let moment = now().to_string();
        replica.store.put(Box::new(std::io::Cursor::new(moment)), 0, TAKEN_OVER).await?;
        let is_own = self.inner.objects.store.len(TAKEN_OVER).await?.is_some();
        if !is_own {
            replica.store.remove(TAKEN_OVER).await?;
        }
        let (rows, gone) = self.inner.replay(replica, &found).await?;
        let mut done = Restored { rows, ..Restored::default() };
        self.inner.packs_of(replica, &found, &gone, &mut done, progress).await?;
        self.inner.database.make_durable().await?;
        Ok(done)
    }
}

impl Found {
    async fn at(replica: &Replica) -> Result<Self, ArchiveError> {
        let listed: HashMap<String, i64> = replica.store.list().try_collect().await?;
        let none = || ArchiveError::NotFound("a base of the catalog at the replica".into());
        let base = listed.keys().filter(|key| key.starts_with(BASE)).max().cloned().ok_or_else(none)?;
        let stamp = base.strip_prefix(BASE).unwrap_or(&base).split('.').next().unwrap_or_default();
        let own = format!("{CHANGES}{stamp}/");
        let number = |key: &str| key.strip_prefix(&own)?.split('.').next()?.parse::<usize>().ok();
        let numbered: BTreeMap<usize, &String> = listed.keys().filter_map(|key| Some((number(key)?, key))).collect();
        let in_order = numbered.into_iter().zip(1..).take_while(|((number, _), expected)| number == expected);
        let segments: Vec<_> = in_order.map(|((_, key), _)| key.clone()).collect();
        let at = segments.last().and_then(|last| listed.get(last)).or_else(|| listed.get(&base)).copied();
        let packs = listed
            .iter()
            .filter(|(key, _)| key.ends_with(PACK) || is_quarantined(key))
            .map(|(key, at)| (key.clone(), *at))
            .collect();
        Ok(Self { base, segments, at: at.unwrap_or_default(), packs })
    }
}

/// Whether there is a replica and not a backup.
pub(crate) async fn is_replica(place: &Replica) -> Result<bool, ArchiveError> {
    Ok(!place.store.keys_under(BASE.trim_end_matches('/')).await?.is_empty())
}

impl Inner {
    /// All rows in one transaction; how many lines, and the packs that were let go on the way.
    async fn replay(&self, replica: &Replica, found: &Found) -> Result<(u64, HashSet<String>), ArchiveError> {
        let (mut transaction, _turn) = self.database.begin().await?;
        sqlx::query(REMOVE_HEAD).execute(&mut *transaction).await?;
        let (mut lines, mut gone) = (0, HashSet::new());
        let mut base = self.open_dump(replica, &found.base).await?;
        while let Some(DumpRow { table, values, .. }) = base.next_row()? {
            insert(&mut transaction, table, values).await?;
            lines += 1;
        }
        for segment in &found.segments {
            let mut dump = self.open_dump(replica, segment).await?;
            let mut rows = Vec::new();
            while let Some(row) = dump.next_row()? {
                rows.push(row);
            }
            lines += rows.len() as u64;
            apply(&mut transaction, rows, &mut gone).await?;
        }
        sqlx::query(NAMES_WITHOUT_KEYS).execute(&mut *transaction).await?;
        for all in [ALL_TO_STORE, ALL_HOLDS_TO_STORE, ALL_REST] {
            sqlx::query(all).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok((lines, gone))
    }

    /// Packs that the catalog names are brought here; those that are nowhere are noted as damage. Packs that it does not
    /// name are newer than it and taken in, or were let go and are doomed.
    async fn packs_of(
        self: &Arc<Self>,
        replica: &Replica,
        found: &Found,
        gone: &HashSet<String>,
        done: &mut Restored,
        progress: impl Fn(&Restored),
    ) -> Result<(), ArchiveError> {
        let here: HashSet<String> = self.objects.store.list().map_ok(|(key, _)| key).try_collect().await?;
        let mut unknown = found.packs.clone();
        let rows = sqlx::query(PACKS).fetch_all(&self.database.pool).await?;
        done.packs = rows.len() as u64;
        for row in &rows {
            let key: String = row.try_get(0)?;
            let is_there = unknown.remove(&key).is_some();
            if !here.contains(&key) && is_there {
                done.bytes += copy_object(&replica.store, &key, &self.objects.store, &key).await?;
            } else if !here.contains(&key) {
                self.note_lost(&key).await?;
                done.missing.push(key);
            }
            done.done += 1;
            progress(done);
        }
        self.settle().await?;
        // What is in no row was let go, or was never answered with success.
        unknown.retain(|key, _| !is_quarantined(key));
        for (key, at) in unknown {
            let is_doomed = sqlx::query(DOOMED).bind(&key).fetch_optional(&self.database.pool).await?.is_some();
            let is_newer = at >= found.at && !gone.contains(&key) && !is_doomed;
            if is_newer && !here.contains(&key) {
                done.bytes += copy_object(&replica.store, &key, &self.objects.store, &key).await?;
            }
            let is_needed = is_newer && self.take_in(&key).await? > 0;
            if !is_needed && !is_doomed && here.contains(&key) {
                self.database.execute(sqlx::query(DOOM).bind(&key).bind(now())).await?;
            }
        }
        self.refresh_quarantine().await
    }
}

/// Rows of one segment: what is gone goes first, for another row may have its identity now.
async fn apply(
    transaction: &mut Transaction<'static, Any>,
    rows: Vec<DumpRow>,
    gone: &mut HashSet<String>,
) -> Result<(), ArchiveError> {
    let of = |table: &'static str| rows.iter().filter(move |row| row.table == table);
    for table in TABLES.into_iter().rev() {
        for row in of(table).filter(|row| row.is_gone || !REFERRED_TO.contains(&table)) {
            if let Some(object) = remove(transaction, row).await?.filter(|_| row.is_gone) {
                gone.insert(object);
            }
        }
    }
    for table in TABLES {
        for row in of(table).filter(|row| !row.is_gone) {
            match REFERRED_TO.contains(&table) {
                true => write_over(transaction, row).await?,
                false => insert(transaction, table, row.values.clone()).await?,
            }
        }
    }
    Ok(())
}

/// Removes a row by its key; of a pack its object.
async fn remove(transaction: &mut Transaction<'static, Any>, row: &DumpRow) -> Result<Option<String>, ArchiveError> {
    let key = primary_key(row.table);
    let terms: Vec<_> = key.iter().zip(1..).map(|(column, place)| format!("{} = ${place}", column.name)).collect();
    let told = if row.table == "pack" { "object_key" } else { "''" };
    let sql = format!("delete from {} where {} returning {told}", row.table, terms.join(" and "));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for column in &key {
        query = match row.values.get(&column.name) {
            Some(Value::String(text)) => query.bind(text.clone()),
            value => query.bind(value.and_then(Value::as_i64)),
        };
    }
    let removed = query.fetch_optional(&mut **transaction).await?;
    Ok(removed.map(|row| row.try_get(0)).transpose()?)
}

async fn write_over(transaction: &mut Transaction<'static, Any>, row: &DumpRow) -> Result<(), ArchiveError> {
    let columns: Vec<_> = row.values.keys().map(|name| format!("\"{name}\"")).collect();
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    let over: Vec<_> = columns.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let key: Vec<_> = primary_key(row.table).into_iter().map(|column| column.name).collect();
    let sql = format!(
        "insert into {} ({}) values ({}) on conflict ({}) do update set {}",
        row.table,
        columns.join(", "),
        places.join(", "),
        key.join(", "),
        over.join(", ")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for value in row.values.values() {
        query = match value {
            Value::String(text) => query.bind(text.clone()),
            value => query.bind(value.as_i64()),
        };
    }
    query.execute(&mut **transaction).await?;
    Ok(())
}

const DOOMED: &str = "select object_key from doomed_object where object_key = $1";

const PACKS: &str = "select object_key from pack union all select object_key from stranger";
