//! The front door: opening, closing, and what the archive is made of. What it does is beside what it does it with.

use crate::{
    accounts::Believed,
    commit::{Committer, Work, announce},
    config::StorageConfig,
    damage::Quarantine,
    database::Database,
    error::ArchiveError,
    ingest::WHOLE,
    jwt::Jwt,
    names::add_missing_keys,
    objects::{Naming, Objects},
    outbox::newest_position,
    packs::Packs,
    read::Inflated,
    retention,
    sign_in::SignIns,
    stir::pulse,
    tiers::{self, Opened, Reads},
};
use std::{
    path::Path,
    sync::{Arc, Weak, atomic::AtomicI64},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// How long the packs may take that are sealed at the end.
const LAST_SEALS: Duration = Duration::from_secs(10);
/// How often other processes' events are looked for.
const POLL: Duration = Duration::from_secs(1);

/// The archive. Cheap to clone; all clones share one pool and one committer.
#[derive(Clone)]
pub struct Archive {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: StorageConfig,
    pub(crate) database: Arc<Database>,
    pub(crate) objects: Objects,
    pub(crate) packs: Packs,
    /// Places for instances that are in memory whole while they come.
    pub(crate) in_memory: Arc<Semaphore>,
    pub(crate) committer: Committer,
    pub(crate) newest: watch::Sender<i64>,
    pub(crate) believed: Believed,
    pub(crate) sign_ins: SignIns,
    /// Who else vouches for users.
    pub(crate) jwt: Option<Jwt>,
    pub(crate) inflated: Inflated,
    pub(crate) opened: Opened,
    pub(crate) reads: Reads,
    pub(crate) quarantine: Quarantine,
    /// Key of the pack that could not be made anew at last: those behind it come first.
    pub(crate) compact_after: AtomicI64,
}

impl Archive {
    /// Opens (and on first use makes) database, migrations, object store and spool; takes over what a crash left in the spool.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        retention::check_rules(&config.retention)?;
        tiers::check_rules(config)?;
        make_private_folder(&config.data_dir).await?;
        let database = Arc::new(Database::open(config).await?);
        let objects = Objects::open(config).await?;
        let (newest, _) = watch::channel(newest_position(&database.pool).await?);
        let inner = Arc::new(Inner {
            config: config.clone(),
            committer: Committer::start(database.clone(), newest.clone()),
            database,
            packs: Packs::open(&config.data_dir.join("spool"), Naming::new(objects.lock()))?,
            objects,
            in_memory: Arc::new(Semaphore::new(WHOLE)),
            newest,
            believed: Believed::default(),
            sign_ins: SignIns::default(),
            jwt: Jwt::open(&config.jwt)?,
            inflated: Inflated::default(),
            opened: Opened::default(),
            reads: Reads::default(),
            quarantine: Quarantine::default(),
            compact_after: AtomicI64::default(),
        });
        tokio::spawn(watch_other_processes(Arc::downgrade(&inner)));
        tokio::spawn(add_missing_keys(Arc::downgrade(&inner)));
        let archive = Self { inner };
        archive.inner.refuse_lost_cold_store().await?;
        archive.inner.refresh_quarantine().await?;
        archive.inner.recover().await?;
        archive.inner.settle().await?;
        archive.remove_doomed_objects().await?;
        Ok(archive)
    }

    /// Stops taking new instances, finishes the commits under way, seals what it can in a moment.
    pub async fn close(&self) {
        // A second close finds the committer gone, which is what was wanted.
        let _ = self.inner.committer.submit(Work::Close).await;
        // What is not sealed now waits in the spool for the next process on this machine.
        if tokio::time::timeout(LAST_SEALS, self.seal_idle(Duration::ZERO)).await.is_err() {
            tracing::warn!("some packs stay in the spool until another process takes them over");
        }
        self.inner.database.pool.close().await;
    }

    /// For `/readyz` and `pacs doctor`: database answers, store can be written and read.
    pub async fn check(&self) -> Result<(), ArchiveError> {
        newest_position(&self.inner.database.pool).await?;
        self.inner.objects.store.check().await
    }

    /// As [`Self::check`], for the cold store; `None` if there is none.
    pub async fn check_cold_store(&self) -> Option<Result<(), ArchiveError>> {
        let store = &self.inner.objects.store;
        if !store.has_cold() {
            return None;
        }
        Some(match store.check_cold().await {
            Ok(()) => self.inner.refuse_other_cold_store().await,
            refused => refused,
        })
    }
}

/// Patients' data is nobody else's business on a shared machine.
async fn make_private_folder(path: &Path) -> Result<(), ArchiveError> {
    if tokio::fs::try_exists(path).await? {
        return Ok(());
    }
    tokio::fs::create_dir_all(path).await?;
    #[cfg(unix)]
    tokio::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).await?;
    Ok(())
}

/// Ends when the archive is dropped or closed.
async fn watch_other_processes(archive: Weak<Inner>) {
    let mut known = 0;
    loop {
        tokio::time::sleep(POLL).await;
        let Some(inner) = archive.upgrade() else { return };
        match inner.look_for_changes(known).await {
            Ok(position) => known = position,
            Err(_) if inner.database.pool.is_closed() => return,
            Err(error) => tracing::warn!(%error, "looking for changes by other processes failed"),
        }
    }
}

impl Inner {
    /// Lets those hear who wait for it that something happened after the position that was known, here or elsewhere, or that
    /// something is due. Returns the newest position.
    async fn look_for_changes(&self, known: i64) -> Result<i64, ArchiveError> {
        let (newest, is_due) = pulse(&self.database.pool).await?;
        if newest != known {
            announce(&self.newest, newest);
            self.refresh_quarantine().await?;
        }
        if newest != known || is_due {
            self.database.stir.tell();
        }
        Ok(newest)
    }
}
