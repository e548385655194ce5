//! The pool over SQLite or PostgreSQL, and the write transaction that every change of the catalog goes through.

use crate::{config::StorageConfig, error::ArchiveError, stir::Stir};
use sqlx::{
    Any, AnyPool, AssertSqlSafe, Executor, Row, SqlSafeStr, Transaction,
    any::{AnyArguments, AnyPoolOptions, AnyQueryResult},
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    query::Query,
};
use std::{borrow::Cow, path::Path, sync::atomic::AtomicBool, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// Numbered, never changed once landed.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "index", include_str!("../migrations/0001_index.sql")),
    (2, "names", include_str!("../migrations/0002_names.sql")),
    (3, "corrections", include_str!("../migrations/0003_corrections.sql")),
    (4, "retention", include_str!("../migrations/0004_retention.sql")),
    (5, "damage", include_str!("../migrations/0005_damage.sql")),
    (6, "recompression", include_str!("../migrations/0006_recompression.sql")),
    (7, "held_study", include_str!("../migrations/0007_held_study.sql")),
    (8, "cold", include_str!("../migrations/0008_cold.sql")),
    (9, "retrieve", include_str!("../migrations/0009_retrieve.sql")),
    (10, "peer_tls", include_str!("../migrations/0010_peer_tls.sql")),
    (11, "routing", include_str!("../migrations/0011_routing.sql")),
    (12, "procedure_steps", include_str!("../migrations/0012_procedure_steps.sql")),
    (13, "peer_limits", include_str!("../migrations/0013_peer_limits.sql")),
    (14, "open_jobs", include_str!("../migrations/0014_open_jobs.sql")),
    (15, "quarantine", include_str!("../migrations/0015_quarantine.sql")),
    (16, "web_subscribers", include_str!("../migrations/0016_web_subscribers.sql")),
    (17, "patient_studies", include_str!("../migrations/0017_patient_studies.sql")),
];

/// The version of the catalog after all of them.
pub(crate) const SCHEMA: i64 = match MIGRATIONS.last() {
    Some((version, _, _)) => *version,
    None => 0,
};

/// The catalogs of before the first release have an object for each instance and are not taken over.
const BEFORE_PACKS: &str = "the catalog is not of this version of Yinghai; one from before packs is replaced so: move the \
    data folder away, start anew, and `pacs import` the objects folder of the old one";

/// Readers beside the one writer; a connection of SQLite is a thread and a page cache.
const SQLITE_CONNECTIONS: u32 = 6;
const POSTGRES_CONNECTIONS: u32 = 16;

/// How many keys a change takes from the head when it begins; what it does not need is skipped.
const KEYS_AT_ONCE: i64 = 32;

/// `synchronous = normal`: a commit is in the write-ahead log when it returns and survives the end of the process, but a
/// power cut may take the last ones. What was received is then written again from the packs, which are synced; what must
/// not come back is made durable by [`Database::make_durable`].
/// `case_sensitive_like` makes LIKE mean the same on both databases and lets SQLite use an index for a prefix.
const SQLITE_PRAGMAS: &str = "pragma busy_timeout = 30000; pragma journal_mode = wal; pragma synchronous = normal;
    pragma foreign_keys = on; pragma case_sensitive_like = on; pragma cache_size = -16384; pragma temp_store = memory";

pub(crate) type Statement<'q> = Query<'q, Any, AnyArguments>;

pub(crate) struct Database {
    pub(crate) pool: AnyPool,
    is_sqlite: bool,
    // SQLite has one writer: waiting here is fair and wakes at once, its own busy handler polls.
    turn: Mutex<()>,
    /// Whether it is known that all patients' names have their search keys.
    pub(crate) names_have_keys: AtomicBool,
    /// Hears of every change.
    pub(crate) stir: Stir,
}

impl Database {
    pub(crate) async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        sqlx::any::install_default_drivers();
        let url = config.database_url.clone().unwrap_or_else(|| sqlite_url(&config.data_dir.join("index.sqlite")));
        let sqlite = url.starts_with("sqlite:");
        let pool = AnyPoolOptions::new()
            .max_connections(if sqlite { SQLITE_CONNECTIONS } else { POSTGRES_CONNECTIONS })
            .acquire_timeout(Duration::from_secs(30))
            // A connection to a file does not go stale, and asking costs two switches of thread each time.
            .test_before_acquire(!sqlite)
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
        migrator(sqlite).run(&pool).await.map_err(|error| match error {
            MigrateError::VersionMismatch(_) | MigrateError::VersionMissing(_) => {
                ArchiveError::Config(BEFORE_PACKS.into())
            }
            error => error.into(),
        })?;
        Ok(Self {
            pool,
            is_sqlite: sqlite,
            turn: Mutex::new(()),
            names_have_keys: AtomicBool::new(false),
            stir: Stir::default(),
        })
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.is_sqlite
    }

    /// Runs one changing statement by itself.
    pub(crate) async fn execute(&self, statement: Statement<'_>) -> Result<AnyQueryResult, sqlx::Error> {
        let _turn = self.turn.lock().await;
        let done = statement.execute(&self.pool).await?;
        if done.rows_affected() > 0 {
            self.stir.tell();
        }
        Ok(done)
    }

    /// Runs one changing statement with `returning` by itself.
    pub(crate) async fn execute_returning(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<sqlx::any::AnyRow>, sqlx::Error> {
        let _turn = self.turn.lock().await;
        // `fetch_optional` would leave SQLite's statement unfinished, its change uncommitted, until the next use.
        let row = statement.fetch_all(&self.pool).await?.into_iter().next();
        if row.is_some() {
            self.stir.tell();
        }
        Ok(row)
    }

    /// A transaction for people, peers and the like, which leave the head alone.
    pub(crate) async fn begin(&self) -> Result<(Transaction<'static, Any>, MutexGuard<'_, ()>), sqlx::Error> {
        let turn = self.turn.lock().await;
        Ok((self.pool.begin().await?, turn))
    }

    /// A transaction that reads all of the catalog as it is at one moment.
    pub(crate) async fn begin_reading(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        if !self.is_sqlite {
            sqlx::query("set transaction isolation level repeatable read, read only")
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction)
    }

    /// Begins a change of the catalog.
    pub(crate) async fn change(&self) -> Result<Change<'_>, sqlx::Error> {
        self.change_of(1).await
    }

    /// Begins a change that will write about so many instances.
    pub(crate) async fn change_of(&self, instances: usize) -> Result<Change<'_>, sqlx::Error> {
        let keys = KEYS_AT_ONCE.saturating_add(i64::try_from(instances).unwrap_or(0).saturating_mul(2));
        let (mut transaction, turn) = self.begin().await?;
        let head = Head::lock(&mut transaction, keys).await?;
        Ok(Change { transaction, head, stir: &self.stir, _turn: turn })
    }

    /// Everything committed so far survives a power cut when this returns.
    pub(crate) async fn make_durable(&self) -> Result<(), sqlx::Error> {
        if self.is_sqlite {
            // Syncs the write-ahead log before it copies from it.
            sqlx::raw_sql("pragma wal_checkpoint(passive)").execute(&self.pool).await?;
        }
        Ok(())
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
    stir: &'a Stir,
    _turn: MutexGuard<'a, ()>,
}

impl Change<'_> {
    /// Commits; returns the newest position.
    pub(crate) async fn commit(mut self) -> Result<i64, sqlx::Error> {
        let newest = self.head.save(&mut self.transaction).await?;
        self.transaction.commit().await?;
        self.stir.tell();
        Ok(newest)
    }
}

/// Keys handed out so far, and the end of the audit chain. Keys are positions too: of the events among what has one.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    last_key: i64,
    /// Keys up to this are taken already.
    reserved: i64,
    audit_position: i64,
    audit_hash: String,
    is_changed: bool,
}

impl Head {
    pub(crate) fn next_key(&mut self) -> i64 {
        self.last_key += 1;
        self.is_changed |= self.last_key > self.reserved;
        self.last_key
    }

    /// The position of the next audit record and the hash before it.
    pub(crate) fn next_audit(&self) -> (i64, &str) {
        (self.audit_position + 1, &self.audit_hash)
    }

    /// The audit trail now ends in a record of this hash.
    pub(crate) fn audited(&mut self, hash: String) {
        self.audit_position += 1;
        self.audit_hash = hash;
        self.is_changed = true;
    }

    async fn lock(transaction: &mut Transaction<'static, Any>, keys: i64) -> Result<Self, sqlx::Error> {
        let row = sqlx::query(LOCK_HEAD).bind(keys).fetch_one(&mut **transaction).await?;
        let reserved: i64 = row.try_get(0)?;
        Ok(Self {
            last_key: reserved - keys,
            reserved,
            audit_position: row.try_get(1)?,
            audit_hash: row.try_get(2)?,
            is_changed: false,
        })
    }

    async fn save(&self, transaction: &mut Transaction<'static, Any>) -> Result<i64, sqlx::Error> {
        if self.is_changed {
            sqlx::query(SAVE_HEAD)
                .bind(self.last_key.max(self.reserved))
                .bind(self.audit_position)
                .bind(&self.audit_hash)
                .execute(&mut **transaction)
                .await?;
        }
        Ok(self.last_key)
    }
}

// The change takes the row lock on PostgreSQL and the write lock on SQLite before anything is read.
const LOCK_HEAD: &str = "update head set last_key = last_key + $1 where id = 1
    returning last_key, audit_position, audit_hash";

const SAVE_HEAD: &str = "update head set last_key = $1, audit_position = $2, audit_hash = $3 where id = 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_may_have_signs_that_mean_something_in_a_url() {
        assert_eq!(sqlite_url(Path::new("/a b/50%?#x")), "sqlite:///a b/50%25%3f%23x?mode=rwc");
    }
}
