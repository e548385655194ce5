//! The pool over SQLite or PostgreSQL, and the write transaction that every change of the catalog goes through.

use crate::{config::StorageConfig, error::ArchiveError};
use sqlx::{
    Any, AnyPool, AssertSqlSafe, Executor, Row, SqlSafeStr, Transaction,
    any::{AnyArguments, AnyPoolOptions, AnyQueryResult},
    migrate::{Migration, MigrationType, Migrator},
    query::Query,
};
use std::{borrow::Cow, path::Path, sync::atomic::AtomicBool, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// Numbered, never changed once landed.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "index", include_str!("../migrations/0001_index.sql")),
    (2, "versions", include_str!("../migrations/0002_versions.sql")),
    (3, "names", include_str!("../migrations/0003_names.sql")),
];

/// Readers beside the one writer; a connection of SQLite is a thread and a page cache.
const SQLITE_CONNECTIONS: u32 = 6;
const POSTGRES_CONNECTIONS: u32 = 16;

/// `case_sensitive_like` makes LIKE mean the same on both databases and lets SQLite use an index for a prefix.
const SQLITE_PRAGMAS: &str = "pragma busy_timeout = 30000; pragma journal_mode = wal; pragma synchronous = full;
    pragma foreign_keys = on; pragma case_sensitive_like = on; pragma cache_size = -16384; pragma temp_store = memory";

pub(crate) type Statement<'q> = Query<'q, Any, AnyArguments>;

pub(crate) struct Database {
    pub(crate) pool: AnyPool,
    // SQLite has one writer: waiting here is fair and wakes at once, its own busy handler polls.
    turn: Mutex<()>,
    /// Whether it is known that all patients' names have their search keys.
    pub(crate) names_have_keys: AtomicBool,
}

impl Database {
    pub(crate) async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        sqlx::any::install_default_drivers();
        let url = config.database_url.clone().unwrap_or_else(|| sqlite_url(&config.data_dir.join("index.sqlite")));
        let sqlite = url.starts_with("sqlite:");
        let pool = AnyPoolOptions::new()
            .max_connections(if sqlite { SQLITE_CONNECTIONS } else { POSTGRES_CONNECTIONS })
            .acquire_timeout(Duration::from_secs(30))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if sqlite {
                        connection.execute(SQLITE_PRAGMAS).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await?;
        migrator(sqlite).run(&pool).await?;
        Ok(Self { pool, turn: Mutex::new(()), names_have_keys: AtomicBool::new(false) })
    }

    /// Runs one changing statement by itself.
    pub(crate) async fn execute(&self, statement: Statement<'_>) -> Result<AnyQueryResult, sqlx::Error> {
        let _turn = self.turn.lock().await;
        statement.execute(&self.pool).await
    }

    /// Runs one changing statement with `returning` by itself.
    pub(crate) async fn execute_returning(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<sqlx::any::AnyRow>, sqlx::Error> {
        let _turn = self.turn.lock().await;
        // `fetch_optional` would leave SQLite's statement unfinished, its change uncommitted, until the next use.
        Ok(statement.fetch_all(&self.pool).await?.into_iter().next())
    }

    /// A transaction for people, peers and the like, which leave the head alone.
    pub(crate) async fn begin(&self) -> Result<(Transaction<'static, Any>, MutexGuard<'_, ()>), sqlx::Error> {
        let turn = self.turn.lock().await;
        Ok((self.pool.begin().await?, turn))
    }

    /// Begins a change of the catalog.
    pub(crate) async fn change(&self) -> Result<Change<'_>, sqlx::Error> {
        let (mut transaction, turn) = self.begin().await?;
        let head = Head::lock(&mut transaction).await?;
        Ok(Change { transaction, head, _turn: turn })
    }
}

fn sqlite_url(path: &Path) -> String {
    // In a URL `?` and `#` would end the path.
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("sqlite://{path}?mode=rwc")
}

/// What only one database understands stands in comments for the other.
fn migrator(sqlite: bool) -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        let sql = if sqlite { sql.replace("/* SQLite: without rowid */", "without rowid") } else { sql.to_owned() };
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

/// A transaction that holds the head row. It is the only change of the catalog under way, in any process, until it
/// commits: what it reads stays true, and the positions it hands out become visible in order.
pub(crate) struct Change<'a> {
    pub(crate) transaction: Transaction<'static, Any>,
    pub(crate) head: Head,
    _turn: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Commits; returns the newest event position.
    pub(crate) async fn commit(mut self) -> Result<i64, sqlx::Error> {
        self.head.save(&mut self.transaction).await?;
        self.transaction.commit().await?;
        Ok(self.head.event_position)
    }
}

/// Keys and positions handed out so far, and the end of the audit chain.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    last_key: i64,
    event_position: i64,
    pub(crate) audit_position: i64,
    pub(crate) audit_hash: String,
}

impl Head {
    pub(crate) fn next_key(&mut self) -> i64 {
        self.last_key += 1;
        self.last_key
    }

    pub(crate) fn next_event(&mut self) -> i64 {
        self.event_position += 1;
        self.event_position
    }

    async fn lock(transaction: &mut Transaction<'static, Any>) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(LOCK_HEAD).fetch_one(&mut **transaction).await?;
        Ok(Self {
            last_key: row.try_get(0)?,
            event_position: row.try_get(1)?,
            audit_position: row.try_get(2)?,
            audit_hash: row.try_get(3)?,
        })
    }

    async fn save(&self, transaction: &mut Transaction<'static, Any>) -> Result<(), sqlx::Error> {
        sqlx::query(SAVE_HEAD)
            .bind(self.last_key)
            .bind(self.event_position)
            .bind(self.audit_position)
            .bind(&self.audit_hash)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

// A change to itself: takes the row lock on PostgreSQL and the write lock on SQLite before anything is read.
const LOCK_HEAD: &str = "update head set id = 1 where id = 1
    returning last_key, event_position, audit_position, audit_hash";

const SAVE_HEAD: &str = "update head set last_key = $1, event_position = $2, audit_position = $3, audit_hash = $4
    where id = 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_may_have_signs_that_mean_something_in_a_url() {
        assert_eq!(sqlite_url(Path::new("/a b/50%?#x")), "sqlite:///a b/50%25%3f%23x?mode=rwc");
    }
}
