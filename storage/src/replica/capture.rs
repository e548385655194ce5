//! What changes in the catalog is noted by triggers, which are there only where a replica is kept.
//!
//! They are not of the migrations: who keeps no replica pays nothing. A row of `replica_log` names a row that was written
//! or removed; it is removed when a segment that tells of it is at the replica. `replica_pack` are the sealed packs to be
//! copied, `replica_gone` those that the archive let go.

use crate::{
    backup::catalog::TABLES,
    database::{Database, MIGRATIONS, SCHEMA},
    error::ArchiveError,
};
use sqlx::{AssertSqlSafe, Row};
use std::fmt::Write;

/// Its one row is locked by every change, and is in every segment.
pub(super) const HEAD: &str = "head";

/// A column of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    pub(super) is_number: bool,
}

/// The primary key of a table, from the migration that makes it.
pub(super) fn primary_key(table: &str) -> Vec<KeyColumn> {
    let start = format!("create table {table} (\n");
    let made =
        MIGRATIONS.iter().find_map(|(_, _, sql)| sql.split_once(&start)?.1.split_once("\n)").map(|(own, _)| own));
    let lines: Vec<&str> = made.unwrap_or_default().lines().map(|line| line.trim().trim_end_matches(',')).collect();
    let of_column = |name: &str| {
        let is_number = lines.iter().any(|line| line.split_whitespace().take(2).eq([name, "bigint"]));
        KeyColumn { name: name.to_owned(), is_number }
    };
    let named = lines.iter().find_map(|line| line.strip_prefix("primary key (")?.strip_suffix(')'));
    let inline =
        lines.iter().find(|line| line.ends_with(" primary key")).and_then(|line| line.split_whitespace().next());
    named.or(inline).unwrap_or_default().split(", ").filter(|name| !name.is_empty()).map(of_column).collect()
}

/// Makes tables and triggers where they are missing or of an older version of the catalog; then a new base is due.
pub(super) async fn begin(database: &Database) -> Result<(), ArchiveError> {
    if schema(database).await.is_some_and(|known| known >= SCHEMA) {
        return Ok(());
    }
    // Alone: no other process makes them at the same time, and no change is under way that they would miss.
    let mut change = database.change().await?;
    let sql = definition(database.is_sqlite());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *change.transaction).await?;
    sqlx::query(FILL).bind(crate::clock::now()).execute(&mut *change.transaction).await?;
    sqlx::query(KEEP_SCHEMA).bind(SCHEMA).execute(&mut *change.transaction).await?;
    sqlx::query(BASE_IS_OLD).execute(&mut *change.transaction).await?;
    change.commit().await?;
    Ok(())
}

/// Removes all of it, so that nothing piles up for a replica that is no longer kept.
pub(super) async fn end(database: &Database) -> Result<(), ArchiveError> {
    let mut change = database.change().await?;
    let sql = removal(database.is_sqlite());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *change.transaction).await?;
    change.commit().await?;
    Ok(())
}

/// The version of the catalog for which there are triggers; `None` without.
pub(super) async fn schema(database: &Database) -> Option<i64> {
    let row = sqlx::query(KEPT_SCHEMA).fetch_optional(&database.pool).await;
    row.ok().flatten().and_then(|row| row.try_get(0).ok())
}

fn captured() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().filter(|table| *table != HEAD)
}

/// Names and keys are of our own migrations.
fn definition(is_sqlite: bool) -> String {
    let mut sql = removal_of_triggers(is_sqlite);
    let id = if is_sqlite { "integer primary key autoincrement" } else { "bigserial primary key" };
    let now = if is_sqlite {
        "cast((julianday('now') - 2440587.5) * 86400000 as bigint)"
    } else {
        "cast(extract(epoch from now()) * 1000 as bigint)"
    };
    let _ = write!(
        sql,
        "create table if not exists replica_log (id {id}, tab text not null, k1 text not null, k2 text not null,
            written_at bigint not null);
        create table if not exists replica_pack (object_key text primary key, queued_at bigint not null);
        create table if not exists replica_gone (object_key text primary key, gone_at bigint not null);
        create table if not exists replica_state (name text primary key, number bigint not null, word text not null);"
    );
    for table in captured() {
        sql += &if is_sqlite { sqlite_triggers(table, now) } else { postgres_trigger(table, now) };
    }
    sql += &if is_sqlite { sqlite_pack_triggers(now) } else { postgres_pack_trigger(now) };
    sql
}

fn note(table: &str, row: &str, now: &str) -> String {
    let key = primary_key(table);
    let part = |at: usize| key.get(at).map_or("''".to_owned(), |column| format!("cast({row}.{} as text)", column.name));
    format!("insert into replica_log (tab, k1, k2, written_at) values ('{table}', {}, {}, {now})", part(0), part(1))
}

fn sqlite_triggers(table: &str, now: &str) -> String {
    [("insert", "new"), ("update", "new"), ("delete", "old")]
        .map(|(event, row)| {
            format!(
                "create trigger replica_{event}_{table} after {event} on {table} begin {}; end;",
                note(table, row, now)
            )
        })
        .concat()
}

fn postgres_trigger(table: &str, now: &str) -> String {
    format!(
        "create or replace function replica_note_{table}() returns trigger language plpgsql as $f$ begin
            if tg_op = 'DELETE' then {}; else {}; end if; return null; end $f$;
        create trigger replica_note_{table} after insert or update or delete on {table}
            for each row execute function replica_note_{table}();",
        note(table, "old", now),
        note(table, "new", now)
    )
}

fn queue(now: &str) -> String {
    format!("insert into replica_pack (object_key, queued_at) values (new.object_key, {now}) on conflict do nothing")
}

fn let_go(now: &str) -> String {
    format!(
        "delete from replica_pack where object_key = old.object_key;
        insert into replica_gone (object_key, gone_at) values (old.object_key, {now}) on conflict do nothing"
    )
}

fn sqlite_pack_triggers(now: &str) -> String {
    format!(
        "create trigger replica_seal after update on pack
            when new.sealed = 1 and (old.sealed = 0 or old.object_key <> new.object_key) begin {}; end;
        create trigger replica_rename after update on pack when old.object_key <> new.object_key begin {}; end;
        create trigger replica_remove after delete on pack begin {}; end;
        create trigger replica_stranger after insert on stranger begin {}; end;
        create trigger replica_moved_stranger after update on stranger
            when old.object_key <> new.object_key begin {}; {}; end;
        create trigger replica_no_stranger after delete on stranger begin {}; end;",
        queue(now),
        let_go(now),
        let_go(now),
        queue(now),
        queue(now),
        let_go(now),
        let_go(now)
    )
}

fn postgres_pack_trigger(now: &str) -> String {
    format!(
        "create or replace function replica_pack_change() returns trigger language plpgsql as $f$ begin
            if tg_op = 'DELETE' then {let_go}; return null; end if;
            if old.object_key <> new.object_key then {let_go}; end if;
            if new.sealed = 1 and (old.sealed = 0 or old.object_key <> new.object_key) then {queue}; end if;
            return null; end $f$;
        create trigger replica_pack_change after update or delete on pack
            for each row execute function replica_pack_change();
        create or replace function replica_stranger_change() returns trigger language plpgsql as $f$ begin
            if tg_op = 'DELETE' then {let_go}; return null; end if;
            if tg_op = 'UPDATE' then
                if old.object_key = new.object_key then return null; end if;
                {let_go};
            end if;
            {queue}; return null; end $f$;
        create trigger replica_stranger_change after insert or update or delete on stranger
            for each row execute function replica_stranger_change();",
        queue = queue(now),
        let_go = let_go(now),
    )
}

fn removal_of_triggers(is_sqlite: bool) -> String {
    if !is_sqlite {
        let one = |table| format!("drop trigger if exists replica_note_{table} on {table};");
        return captured().map(one).collect::<String>()
            + "drop trigger if exists replica_pack_change on pack;
            drop trigger if exists replica_stranger_change on stranger;";
    }
    let events = ["insert", "update", "delete"];
    let one = |table: &str| events.map(|event| format!("drop trigger if exists replica_{event}_{table};")).concat();
    let of_packs = ["seal", "rename", "remove", "stranger", "moved_stranger", "no_stranger"]
        .map(|name| format!("drop trigger if exists replica_{name};"));
    captured().map(one).collect::<String>() + &of_packs.concat()
}

fn removal(is_sqlite: bool) -> String {
    let tables = ["log", "pack", "gone", "state"].map(|name| format!("drop table if exists replica_{name};"));
    removal_of_triggers(is_sqlite) + &tables.concat()
}

const FILL: &str = "insert into replica_pack (object_key, queued_at)
    select object_key, cast($1 as bigint) from pack where sealed = 1
    union all select object_key, cast($1 as bigint) from stranger where 1 = 1
    on conflict do nothing";

const KEEP_SCHEMA: &str = "insert into replica_state (name, number, word) values ('schema', $1, '')
    on conflict (name) do update set number = excluded.number";

const BASE_IS_OLD: &str = "delete from replica_state where name = 'base'";

const KEPT_SCHEMA: &str = "select number from replica_state where name = 'schema'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_catalog_has_a_primary_key_of_one_or_two_columns() {
        for table in TABLES {
            let key = primary_key(table);
            assert!(matches!(key.len(), 1 | 2), "{table}: {key:?}");
        }
        let key = primary_key("tombstone");
        assert_eq!(
            key.iter().map(|c| (c.name.as_str(), c.is_number)).collect::<Vec<_>>(),
            [("pack_key", true), ("pack_offset", true)]
        );
        assert!(!primary_key("patient")[0].is_number);
    }
}
