//! Whether catalog and store agree, both ways, and whether what is stored is what was received.

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord},
    error::ArchiveError,
    read::{StoredInstance, select_instances},
    spool::PACK,
};
use futures::TryStreamExt;
use sqlx::{Row, any::AnyRow};
use std::collections::HashSet;

/// Rows looked at in one go.
const PAGE: i64 = 500;
/// Rows of one look of the scrub, which is in no hurry.
const SCRUBBED_AT_ONCE: i64 = 16;
/// Where the place of the scrub is kept, among those who follow the archive.
const SCRUB: &str = "scrub";

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    pub packs: u64,
    /// Instances whose bytes were read.
    pub instances: u64,
    /// Objects of packs that the catalog knows and the store lacks.
    pub missing: Vec<String>,
    /// Packs that are not in the store yet and in no spool of this machine: they grow on another one, or are lost with it.
    pub elsewhere: Vec<String>,
    /// Objects that the catalog does not know: `pacs reindex` takes them in.
    pub unknown: Vec<String>,
    /// SOP Instance UIDs whose bytes are not those that were received, or cannot be read.
    pub damaged: Vec<String>,
}

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.damaged.is_empty()
    }
}

/// What one step of the scrub did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub instances: u64,
    pub bytes: u64,
    /// SOP Instance UIDs.
    pub damaged: Vec<String>,
    pub is_round_over: bool,
}

impl Archive {
    /// Compares catalog and store; with `read` also reads every instance and checks it. `progress` hears the instances
    /// read so far.
    pub async fn verify(&self, read: bool, progress: impl Fn(u64)) -> Result<Verification, ArchiveError> {
        let mut found = Verification::default();
        self.inner.compare(&mut found).await?;
        if read {
            self.read_all(&mut found, progress).await?;
        }
        Ok(found)
    }

    async fn read_all(&self, found: &mut Verification, progress: impl Fn(u64)) -> Result<(), ArchiveError> {
        let mut after = 0;
        loop {
            let rows = sqlx::query(PAGE_OF_ALL).bind(after).bind(PAGE).fetch_all(&self.inner.database.pool).await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get("instance_key")?;
            for row in &rows {
                if let Err(uid) = self.check_row(row).await? {
                    found.damaged.push(uid);
                }
                found.instances += 1;
                progress(found.instances);
            }
        }
        Ok(())
    }

    /// Reads an instance through: its length, or its SOP Instance UID if it is damaged. The rest of a check goes on.
    async fn check_row(&self, row: &AnyRow) -> Result<Result<u64, String>, ArchiveError> {
        let checked = async {
            let instance = self.stored_instance(row).await?;
            self.read_through(&instance).await?;
            Ok(instance.len)
        };
        match checked.await {
            Ok(len) => Ok(Ok(len)),
            Err(ArchiveError::Elsewhere(_)) => Ok(Ok(0)),
            // Neither is a damage of this instance.
            Err(error @ (ArchiveError::Database(_) | ArchiveError::Store(_))) => Err(error),
            Err(error) => {
                let uid: String = row.try_get(2)?;
                tracing::error!(%error, sop_instance_uid = uid, "an instance is damaged");
                Ok(Err(uid))
            }
        }
    }

    /// Checks the next instances of the round through all of them, at least until so many bytes were read; the place is
    /// kept in the catalog. What is damaged is told in log and audit trail. A new round begins after the last instance.
    pub async fn scrub(&self, bytes: u64) -> Result<Scrubbed, ArchiveError> {
        let mut done = Scrubbed::default();
        let mut after = self.consumer_position(SCRUB).await?;
        while done.bytes < bytes && !done.is_round_over {
            let rows = sqlx::query(PAGE_OF_ALL).bind(after).bind(SCRUBBED_AT_ONCE);
            let rows = rows.fetch_all(&self.inner.database.pool).await?;
            done.is_round_over = rows.is_empty();
            for row in &rows {
                if done.bytes >= bytes {
                    break;
                }
                match self.check_row(row).await? {
                    Ok(len) => done.bytes += len,
                    Err(uid) => done.damaged.push(uid),
                }
                done.instances += 1;
                after = row.try_get("instance_key")?;
            }
        }
        let place = if done.is_round_over { 0 } else { after };
        self.inner.database.execute(sqlx::query(KEEP_PLACE).bind(SCRUB).bind(place)).await?;
        for uid in &done.damaged {
            self.audit(&damage(uid)).await?;
        }
        Ok(done)
    }

    async fn read_through(&self, instance: &StoredInstance) -> Result<(), ArchiveError> {
        let stream = self.read(instance).await?;
        let len = stream.try_fold(0, |sum, piece| async move { Ok(sum + piece.len() as u64) }).await?;
        if len == instance.len { Ok(()) } else { Err(ArchiveError::Damaged(instance.sop_instance.to_string())) }
    }
}

fn damage(uid: &str) -> AuditRecord {
    AuditRecord {
        at: 0,
        action: AuditAction::SecurityAlert,
        actor: "scrub".to_owned(),
        origin: String::new(),
        success: false,
        study: None,
        detail: format!("instance {uid} is damaged in the store"),
    }
}

impl Inner {
    async fn compare(&self, found: &mut Verification) -> Result<(), ArchiveError> {
        let listed = self.objects.store.list().try_filter(|(key, _)| std::future::ready(key.ends_with(PACK)));
        let mut there: HashSet<String> = listed.map_ok(|(key, _)| key).try_collect().await?;
        let mut after = 0;
        loop {
            let rows = sqlx::query(PACKS).bind(after).bind(PAGE).fetch_all(&self.database.pool).await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0)?;
            for row in &rows {
                let key: String = row.try_get(1)?;
                let is_open = row.try_get::<i64, _>(2)? == 0;
                let is_spooled = is_open && self.packs.file_of(&key)?.is_some();
                // Asked for again: it may have come after the list was made.
                if !there.remove(&key) && !is_spooled && self.objects.len(&key).await?.is_none() {
                    if is_open { found.elsewhere.push(key) } else { found.missing.push(key) }
                }
                found.packs += 1;
            }
        }
        for row in sqlx::query(DOOMED).fetch_all(&self.database.pool).await? {
            there.remove(&row.try_get::<String, _>(0)?);
        }
        found.unknown = there.into_iter().collect();
        found.unknown.sort();
        Ok(())
    }
}

const PAGE_OF_ALL: &str = select_instances!("", "where i.instance_key > $1 order by i.instance_key limit $2");

const PACKS: &str = "select pack_key, object_key, sealed from pack where pack_key > $1 order by pack_key limit $2";

const KEEP_PLACE: &str = "insert into consumer (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position";

const DOOMED: &str = "select object_key from doomed_object";
