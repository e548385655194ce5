//! A pack goes from one place to another: copied, looked at there, switched to, and let go where it was after a while.
//!
//! The key tells where an object lies, so that the catalog knows each pack's place by its name alone, and a catalog made anew
//! from the packs knows it too. What is broken off is done again.

use super::{
    cold, hot, is_cold,
    rule::{ColdRule, Facts},
    series_folder,
};
use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord},
    clock::now,
    compaction::{DOOM, GRACE_MILLISECONDS},
    error::ArchiveError,
    jobs::Job,
};
use pacs_core::Uid;
use sqlx::{Row, any::AnyRow};
use std::{path::Path, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// The kind of its jobs: one a day, for whichever process takes it.
const KIND: &str = "cool";
/// Longer than the largest pack takes.
const LEASE: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(1800);
const ATTEMPTS: i64 = 20;
/// Rows looked at in one go.
const PAGE: i64 = 500;
/// Where the place of the round is kept, among those who follow the archive.
const PLACE: &str = "cool";
/// After so many failures a round ends.
const FAILURES: usize = 10;
/// Cold packs that tell whether a cold store is the one that they are in.
const LOOKED_FOR: i64 = 3;
/// A copy that no catalog knows goes after so long; who is not done with it in time does it again.
const UNFINISHED_MILLISECONDS: i64 = 86_400_000;
/// Who finds damage here.
const BY: &str = "tier";

/// Where a pack lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// In the archive's own store.
    Hot,
    /// In the cold one, `storage.cold_url`.
    Cold,
}

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    pub packs: u64,
    pub byte_len: u64,
    /// Packs that were there already, or are not asked about by any rule.
    pub left: u64,
    /// Packs that stay where they are, with the reason.
    pub failed: Vec<String>,
}

/// What lies where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TierUse {
    pub hot_packs: u64,
    /// As sealed, before encryption.
    pub hot_bytes: u64,
    pub cold_packs: u64,
    pub cold_bytes: u64,
}

impl Moved {
    /// A store that is away or full takes none of the rest either.
    fn is_given_up(&self) -> bool {
        self.failed.len() >= FAILURES
    }
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} packs moved, {} MB; {} stay", self.packs, self.byte_len >> 20, self.left)
    }
}

impl Archive {
    /// Moves the sealed packs of a study. `progress` hears what was done so far.
    pub async fn move_study(&self, study: &Uid, tier: Tier, progress: impl Fn(&Moved)) -> Result<Moved, ArchiveError> {
        self.refuse_without_cold_store()?;
        if tier == Tier::Cold {
            self.inner.refuse_other_cold_store().await?;
        }
        let packs = sqlx::query(OF_STUDY).bind(study.as_str()).fetch_all(&self.inner.database.pool).await?;
        if packs.is_empty() {
            return Err(ArchiveError::NotFound(format!("study {study}, or a sealed pack of it,")));
        }
        let mut done = Moved::default();
        for row in &packs {
            self.inner.move_pack(&row.try_get::<String, _>(0)?, tier, &mut done).await;
            progress(&done);
        }
        let to = if tier == Tier::Cold { "cold" } else { "hot" };
        self.audit(&told(Some(study.to_string()), format!("moved to the {to} store: {done}"))).await?;
        Ok(done)
    }

    /// Moves all that the rules of the configuration speak of to the cold store; with `is_trial` tells what that would be.
    pub async fn cool(&self, is_trial: bool, progress: impl Fn(&Moved)) -> Result<Moved, ArchiveError> {
        self.refuse_without_cold_store()?;
        self.inner.refuse_other_cold_store().await?;
        let (mut done, mut after) = (Moved::default(), 0);
        while let Some(last) = self.cool_page(after, is_trial, None, &mut done).await? {
            after = last;
            progress(&done);
            if done.is_given_up() {
                break;
            }
        }
        self.audit_cooled(&done, is_trial).await?;
        Ok(done)
    }

    /// The round of the day, if it is due and no other process has it. One that was broken off goes on where it was.
    pub async fn cool_daily(&self) -> Result<(), ArchiveError> {
        if self.inner.config.cold.is_empty() {
            return Ok(());
        }
        let today = OffsetDateTime::now_utc().date().to_string();
        self.enqueue(KIND, &today, &serde_json::Value::Null).await?;
        let Some(job) = self.claim(KIND, &format!("{}", std::process::id()), LEASE).await? else { return Ok(()) };
        let mut done = Moved::default();
        let round = async {
            self.inner.refuse_other_cold_store().await?;
            let mut after = self.consumer_position(PLACE).await?;
            while let Some(last) = self.cool_page(after, false, Some(&job), &mut done).await? {
                after = last;
                self.inner.keep_place(PLACE, after).await?;
                if done.is_given_up() {
                    return Ok(());
                }
            }
            self.inner.keep_place(PLACE, 0).await
        };
        let outcome = round.await;
        self.audit_cooled(&done, false).await?;
        let failure = outcome.err().map(|error| error.to_string()).or_else(|| done.failed.first().cloned());
        match failure {
            None => self.finish(&job, &done.to_string()).await,
            Some(failure) => {
                tracing::warn!(failure, packs = done.failed.len(), "moving packs to the cold store failed");
                self.fail(&job, &failure, (job.attempts < ATTEMPTS).then_some(RETRY)).await
            }
        }
    }

    /// Looks at the packs behind a place; returns the place of the last, `None` if there are no more.
    async fn cool_page(
        &self,
        after: i64,
        is_trial: bool,
        job: Option<&Job>,
        done: &mut Moved,
    ) -> Result<Option<i64>, ArchiveError> {
        let rows = sqlx::query(SEALED).bind(after).bind(PAGE).fetch_all(&self.inner.database.pool).await?;
        let rules = &self.inner.config.cold;
        for row in &rows {
            let key: String = row.try_get(1)?;
            let facts = facts(row)?;
            if is_cold(&key) || !rules.iter().any(|rule: &ColdRule| rule.matches(&facts, now())) {
                done.left += 1;
            } else if is_trial {
                done.packs += 1;
                done.byte_len += row.try_get::<i64, _>(2)?.unsigned_abs();
            } else {
                if let Some(job) = job {
                    self.extend(job, LEASE).await?;
                }
                self.inner.move_pack(&key, Tier::Cold, done).await;
            }
            if done.is_given_up() {
                return Ok(Some(row.try_get(0)?));
            }
        }
        Ok(rows.last().map(|row| row.try_get(0)).transpose()?)
    }

    async fn audit_cooled(&self, done: &Moved, is_trial: bool) -> Result<(), ArchiveError> {
        if is_trial || done.packs == 0 {
            return Ok(());
        }
        tracing::info!(%done, "packs were moved to the cold store by rule");
        self.audit(&told(None, format!("moved to the cold store by rule: {done}"))).await
    }

    /// What lies where. Counts all packs.
    pub async fn tier_use(&self) -> Result<TierUse, ArchiveError> {
        let row = sqlx::query(USE).fetch_one(&self.inner.database.pool).await?;
        let number = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
        Ok(TierUse { hot_packs: number(0)?, hot_bytes: number(1)?, cold_packs: number(2)?, cold_bytes: number(3)? })
    }

    fn refuse_without_cold_store(&self) -> Result<(), ArchiveError> {
        match self.inner.objects.store.has_cold() {
            true => Ok(()),
            false => Err(ArchiveError::Config("there is no cold store: set storage.cold_url".into())),
        }
    }
}

impl Inner {
    async fn move_pack(self: &Arc<Self>, key: &str, tier: Tier, done: &mut Moved) {
        let folder = series_folder(key);
        let folder = if tier == Tier::Cold { cold(folder) } else { hot(folder).to_owned() };
        if is_cold(key) == (tier == Tier::Cold) {
            done.left += 1;
            return;
        }
        match self.relocate(key, &self.packs.naming().new_key(&folder)).await {
            Ok(bytes) => {
                done.packs += 1;
                done.byte_len += bytes;
            }
            Err(error) => done.failed.push(format!("{key}: {error}")),
        }
    }

    /// Makes another object of a pack; its bytes are the same, and what lies where in it. Returns how many bytes.
    pub(crate) async fn relocate(self: &Arc<Self>, key: &str, to: &str) -> Result<u64, ArchiveError> {
        if self.is_pack_damaged(key).await? {
            return Err(ArchiveError::Conflict("it is damaged: see `pacs damage list`".into()));
        }
        let copy = self.packs.scratch()?;
        let len = self.objects.download(key, &copy).await?;
        self.check_download(key, copy.path()).await?;
        // First, lest what is broken off stay there, known to nobody.
        self.database.execute(sqlx::query(DOOM).bind(to).bind(now() + UNFINISHED_MILLISECONDS)).await?;
        self.objects.put(copy.path(), to).await?;
        self.mark_cold(to).await?;
        self.switch_object(key, to).await?;
        Ok(len)
    }

    /// The whole pack is about to go: what was garbled on its way must not take its place.
    async fn check_download(self: &Arc<Self>, key: &str, copy: &Path) -> Result<(), ArchiveError> {
        if self.is_copy_whole(key, copy).await? {
            return Ok(());
        }
        match self.is_pack_whole(key, BY).await? {
            true => Err(ArchiveError::Internal(format!("what the store gave of {key} was garbled on its way"))),
            false => Err(ArchiveError::Damaged(key.to_owned())),
        }
    }

    async fn switch_object(&self, key: &str, to: &str) -> Result<(), ArchiveError> {
        let mut change = self.database.change().await?;
        let switched = sqlx::query(SWITCH).bind(key).bind(to).execute(&mut *change.transaction).await?;
        if switched.rows_affected() == 0 {
            // What lost its row meanwhile was made anew or deleted: then the copy is what goes.
            sqlx::query(LET_GO).bind(to).bind(now()).execute(&mut *change.transaction).await?;
        } else {
            let soon = now() + GRACE_MILLISECONDS;
            if sqlx::query(SPARE).bind(to).bind(soon).execute(&mut *change.transaction).await?.rows_affected() == 0 {
                return Err(ArchiveError::Conflict("copying it took too long; it is tried again".into()));
            }
            sqlx::query(DOOM).bind(key).bind(soon).execute(&mut *change.transaction).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Refuses a cold store that lacks the newest cold packs: a disk that is not mounted, or another one. What is put there
    /// would be lost with it. One that is away refuses by itself.
    pub(crate) async fn refuse_other_cold_store(&self) -> Result<(), ArchiveError> {
        let rows = sqlx::query(NEWEST_COLD).bind(LOOKED_FOR).fetch_all(&self.database.pool).await?;
        for row in &rows {
            if !matches!(self.objects.store.len(row.try_get(0)?).await, Ok(None)) {
                return Ok(());
            }
        }
        let Some(key) = rows.first().map(|row| row.try_get::<String, _>(0)).transpose()? else { return Ok(()) };
        Err(ArchiveError::Conflict(format!(
            "pack {key} is not in the cold store: is its disk mounted, and storage.cold_url the right place?"
        )))
    }

    /// Remembers that there is a cold store if this is a key of it.
    pub(crate) async fn mark_cold(&self, key: &str) -> Result<(), ArchiveError> {
        if is_cold(key) {
            self.database.execute(sqlx::query(MARK)).await?;
        }
        Ok(())
    }

    /// Refuses an archive that has cold packs, and not the store in which they are: they would all seem lost.
    pub(crate) async fn refuse_lost_cold_store(&self) -> Result<(), ArchiveError> {
        if self.objects.store.has_cold() {
            return Ok(());
        }
        let row = sqlx::query(ANY_COLD).fetch_optional(&self.database.pool).await?;
        let Some(key) = row.map(|row| row.try_get::<String, _>(0)).transpose()? else { return Ok(()) };
        // A second site keeps all in one place.
        match self.objects.store.len(&key).await? {
            Some(_) => Ok(()),
            None => Err(ArchiveError::Config(format!("pack {key} is in a cold store: set storage.cold_url to it"))),
        }
    }
}

fn facts(row: &AnyRow) -> Result<Facts, sqlx::Error> {
    Ok(Facts {
        modality: row.try_get(3)?,
        study_date: row.try_get(4)?,
        changed_at: row.try_get(5)?,
        read_at: row.try_get(6)?,
    })
}

fn told(study: Option<String>, detail: String) -> AuditRecord {
    AuditRecord {
        at: 0,
        action: AuditAction::Configuration,
        actor: "tier".to_owned(),
        origin: "localhost".to_owned(),
        success: true,
        study,
        detail,
    }
}

const SWITCH: &str = "update pack set object_key = $2 where object_key = $1 and sealed = 1";

const LET_GO: &str = "update doomed_object set due_at = $2 where object_key = $1";

// What is due may be on its way out already.
const SPARE: &str = "delete from doomed_object where object_key = $1 and due_at > $2";

const NEWEST_COLD: &str = "select object_key from pack where sealed = 1 and substr(object_key, 1, 5) = 'cold/'
        and object_key not in (select object_key from damage where mended_at = 0)
    order by pack_key desc limit $1";

const OF_STUDY: &str = "select p.object_key from study st join series se on se.study_key = st.study_key
        join pack p on p.series_key = se.series_key
    where st.study_instance_uid = $1 and p.sealed = 1 order by p.pack_key";

// What is to be made anew or mended is looked at after that.
const SEALED: &str = "select p.pack_key, p.object_key, p.byte_len, se.modality, st.study_date_match, st.changed_at,
        coalesce(r.read_at, 0)
    from pack p join series se on se.series_key = p.series_key join study st on st.study_key = se.study_key
        left join study_read r on r.study_key = st.study_key
    where p.sealed = 1 and p.compact = 0 and p.pack_key > $1
        and p.object_key not in (select object_key from damage where mended_at = 0) order by p.pack_key limit $2";

const USE: &str = "select cast(count(*) - coalesce(sum(is_cold), 0) as bigint),
        cast(coalesce(sum(byte_len * (1 - is_cold)), 0) as bigint), cast(coalesce(sum(is_cold), 0) as bigint),
        cast(coalesce(sum(byte_len * is_cold), 0) as bigint)
    from (select byte_len, case when substr(object_key, 1, 5) = 'cold/' then 1 else 0 end as is_cold
        from pack where sealed = 1) as packs";

// Only archives that had a cold store are looked through.
const MARK: &str = "insert into consumer (name, position) values ('cold store', 0) on conflict (name) do nothing";

const ANY_COLD: &str = "select object_key from pack
    where substr(object_key, 1, 5) = 'cold/' and exists (select 1 from consumer where name = 'cold store') limit 1";
