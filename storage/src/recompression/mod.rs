//! Lossless recompression by rule: frames encoded anew, compared, and switched to.
//!
//! A sealed pack whose series a rule may speak of is a job. Each instance is written as a copy with its frames encoded anew,
//! every frame having been decoded again and compared; then its row is switched to the copy, if it still points to the
//! original. The row keeps the digest of what was received, so that the same instance sent again is the same, and so does
//! the record. Whatever cannot be proven to be identical stays as it is, with the reason.
//!
//! | module | what |
//! |---|---|
//! | `rule` | which instances, and how |
//! | `rewrite` | original → copy, in the open pack of the series |
//! | `switch` | the rows |

mod rewrite;
mod rule;
mod switch;

pub use rule::{RecompressionRule, RecompressionTarget};

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord},
    error::ArchiveError,
    jobs::Job,
};
use pacs_core::Uid;
use rewrite::Written;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use switch::Candidate;

/// The kind of its jobs.
const KIND: &str = "recompress";
/// A job is another process's again when its holder has not been heard of for so long: the longest instance takes less.
const LEASE: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(60);
const ATTEMPTS: i64 = 5;
/// Packs listed in one go.
const PAGE: i64 = 200;

/// What was received of an instance whose stored file is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recompressed {
    pub transfer_syntax: Uid,
    /// Of the Part 10 file that was received, in bytes.
    pub byte_len: u64,
    /// CRC-32C of it.
    pub checksum: u32,
    /// Milliseconds since 1970-01-01 UTC.
    pub at: i64,
    /// The program that did it.
    pub by: String,
}

/// What a recompression did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recompression {
    pub packs: u64,
    /// Instances of which a rule speaks.
    pub instances: u64,
    pub recompressed: u64,
    /// Bytes of the recompressed ones as they were, and as they are.
    pub before: u64,
    pub after: u64,
    /// Why others stayed as they are, and how many.
    pub kept: BTreeMap<String, u64>,
    /// What failed, and may succeed another time.
    pub failed: Vec<String>,
}

impl std::fmt::Display for Recompression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { instances, recompressed, before, after, .. } = self;
        write!(f, "{recompressed} of {instances} instances recompressed, {before} bytes became {after}")
    }
}

impl Recompression {
    fn keep(&mut self, reason: String) {
        *self.kept.entry(reason).or_default() += 1;
    }
}

/// How much of a processor the work may have.
#[derive(Debug, Clone, Copy)]
enum Pace<'a> {
    /// It rests as long as it works, and holds on to its job meanwhile.
    Background(&'a Job),
    /// Somebody waits for it.
    Full,
}

/// What is done with copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Store,
    /// They are made and compared, and dropped.
    Try,
}

impl Archive {
    /// Recompresses the next pack that was sealed since; `false` if there is none.
    pub async fn recompress_one_pack(&self) -> Result<bool, ArchiveError> {
        if self.inner.config.recompression.is_empty() || self.inner.packs.reserve.is_spent() {
            return Ok(false);
        }
        let Some(job) = self.claim(KIND, &format!("{}", std::process::id()), LEASE).await? else { return Ok(false) };
        let mut done = Recompression::default();
        match self.recompress_pack(&job.key, Mode::Store, Pace::Background(&job), &mut done).await {
            Ok(()) if done.failed.is_empty() => self.finish(&job, &done.to_string()).await?,
            Ok(()) => self.try_again(&job, &done.failed.join("; ")).await?,
            Err(error) => self.try_again(&job, &error.to_string()).await?,
        }
        Ok(true)
    }

    async fn try_again(&self, job: &Job, error: &str) -> Result<(), ArchiveError> {
        tracing::warn!(pack = job.key, error, "recompressing a pack failed");
        self.fail(job, error, (job.attempts < ATTEMPTS).then_some(RETRY)).await
    }

    /// Recompresses what is sealed of a study, or of all, by the rules of the configuration; with `is_trial` all is done but
    /// the storing. May be run again, and beside running servers. `progress` hears what was done so far.
    pub async fn recompress(
        &self,
        study: Option<&Uid>,
        is_trial: bool,
        progress: impl Fn(&Recompression),
    ) -> Result<Recompression, ArchiveError> {
        let mode = if is_trial { Mode::Try } else { Mode::Store };
        let mut done = Recompression::default();
        let mut after = 0_i64;
        loop {
            let packs = sqlx::query(SEALED).bind(after).bind(study.map_or("", Uid::as_str)).bind(PAGE);
            let packs = packs.fetch_all(&self.inner.database.pool).await?;
            let Some(last) = packs.last() else { return Ok(done) };
            after = last.try_get(0)?;
            for pack in &packs {
                let key: String = pack.try_get(1)?;
                self.recompress_pack(&key, mode, Pace::Full, &mut done).await?;
                progress(&done);
            }
        }
    }

    async fn recompress_pack(
        &self,
        pack: &str,
        mode: Mode,
        pace: Pace<'_>,
        done: &mut Recompression,
    ) -> Result<(), ArchiveError> {
        let mut moved = Recompression::default();
        for candidate in self.inner.candidates(pack).await? {
            let Some(target) = rule::target(&self.inner.config.recompression, &candidate) else { continue };
            if let Pace::Background(job) = pace {
                self.extend(job, LEASE).await?;
            }
            let begun = Instant::now();
            moved.instances += 1;
            if let Err(error) = self.recompress_instance(&candidate, target, mode, &mut moved).await {
                self.inner.suspect(candidate.key, &error);
                moved.failed.push(format!("instance {}: {error}", candidate.sop_instance));
            }
            if let Pace::Background(_) = pace {
                tokio::time::sleep(begun.elapsed()).await;
            }
        }
        if mode == Mode::Store && moved.recompressed > 0 {
            self.inner.make_rest_anew(pack).await?;
            self.audit(&told(pack, &moved)).await?;
        }
        if moved.instances > 0 {
            tracing::info!(pack, done = %moved, kept = ?moved.kept, "recompressed a pack");
        }
        done.add(moved);
        Ok(())
    }

    async fn recompress_instance(
        &self,
        candidate: &Candidate,
        target: RecompressionTarget,
        mode: Mode,
        done: &mut Recompression,
    ) -> Result<(), ArchiveError> {
        let written = match self.rewritten(candidate, target).await? {
            Ok(written) => written,
            Err(reason) => {
                done.keep(reason);
                return Ok(());
            }
        };
        let len = written.len();
        if mode == Mode::Store && !self.inner.put(candidate, written).await? {
            done.keep("it was changed meanwhile".to_owned());
            return Ok(());
        }
        done.recompressed += 1;
        done.before += candidate.len;
        done.after += len;
        Ok(())
    }
}

impl Recompression {
    fn add(&mut self, more: Self) {
        self.packs += 1;
        self.instances += more.instances;
        self.recompressed += more.recompressed;
        self.before += more.before;
        self.after += more.after;
        self.failed.extend(more.failed);
        for (reason, count) in more.kept {
            *self.kept.entry(reason).or_default() += count;
        }
    }
}

impl Inner {
    /// After a pack was sealed: there may be something to do in it.
    pub(crate) async fn note_to_recompress(self: &Arc<Self>, pack: &str) -> Result<(), ArchiveError> {
        let rules = &self.config.recompression;
        if rules.is_empty() {
            return Ok(());
        }
        let candidates = self.candidates(pack).await?;
        if candidates.iter().any(|candidate| rule::target(rules, candidate).is_some()) {
            Archive { inner: self.clone() }.enqueue(KIND, pack, &serde_json::Value::Null).await?;
        }
        Ok(())
    }

    async fn put(self: &Arc<Self>, candidate: &Candidate, written: Written) -> Result<bool, ArchiveError> {
        let new = written.placed(self).await?;
        self.switch_to_recompressed(candidate, &new).await
    }
}

fn told(pack: &str, done: &Recompression) -> AuditRecord {
    AuditRecord {
        at: 0,
        action: AuditAction::Store,
        actor: KIND.to_owned(),
        origin: String::new(),
        success: true,
        study: None,
        detail: format!("pack {pack}: {done}, without loss"),
    }
}

const SEALED: &str = "select p.pack_key, p.object_key
    from pack p join series se on se.series_key = p.series_key join study st on st.study_key = se.study_key
    where p.sealed = 1 and p.pack_key > $1 and ($2 = '' or st.study_instance_uid = $2)
    order by p.pack_key limit $3";
