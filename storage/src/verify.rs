//! Whether catalog and store agree, both ways, and whether what is stored is what was received.

use crate::{
    archive::{Archive, Inner},
    damage::{Thing, is_suspect},
    error::ArchiveError,
    spool::PACK,
};
use futures::TryStreamExt;
use sqlx::Row;
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
    /// Packs whose instances are whole, and something beside them is not: they are made anew as the archive runs.
    pub damaged_packs: Vec<String>,
}

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty() && self.damaged.is_empty() && self.damaged_packs.is_empty()
    }
}

/// What one step of the scrub did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub instances: u64,
    pub bytes: u64,
    /// SOP Instance UIDs.
    pub damaged: Vec<String>,
    /// Packs whose instances are whole, and something beside them is not.
    pub damaged_packs: Vec<String>,
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
            let things = self.inner.things_after(after, PAGE).await?;
            let Some(last) = things.last() else { return Ok(()) };
            after = last.key;
            for thing in &things {
                let checked = self.check_thing(thing, "verify").await?;
                found.damaged.extend(checked.instance);
                found.damaged_packs.extend(checked.pack);
                found.instances += 1;
                progress(found.instances);
            }
        }
    }

    /// Reads a thing through, and its pack's own parts if it is the last in it.
    async fn check_thing(&self, thing: &Thing, by: &str) -> Result<Checked, ArchiveError> {
        let what = match self.inner.check(thing, by).await {
            Err(ArchiveError::Elsewhere(_)) => return Ok(Checked::default()),
            // Key or store may be the wrong ones: it is told of, and not noted.
            Err(error) if is_suspect(&error) => {
                tracing::error!(%error, sop_instance_uid = thing.sop_instance, "an instance cannot be read");
                return Ok(Checked { instance: Some(thing.sop_instance.clone()), pack: None });
            }
            checked => checked?,
        };
        let behind = self.inner.check_behind(thing, by).await?;
        // What is wrong beside an instance is the pack's.
        let beside = what.filter(|what| !what.hides()).map(|_| thing.place.key.clone());
        Ok(Checked {
            instance: what.filter(|what| what.hides()).map(|_| thing.sop_instance.clone()),
            pack: behind.or(beside),
        })
    }

    /// Checks the next instances of the round through all of them, at least until so many bytes were read; the place is
    /// kept in the catalog. What is damaged is noted, see [`crate::damage`]. A new round begins after the last instance.
    pub async fn scrub(&self, bytes: u64) -> Result<Scrubbed, ArchiveError> {
        let mut done = Scrubbed::default();
        let mut after = self.consumer_position(SCRUB).await?;
        while done.bytes < bytes && !done.is_round_over {
            let things = self.inner.things_after(after, SCRUBBED_AT_ONCE).await?;
            done.is_round_over = things.is_empty();
            for thing in &things {
                if done.bytes >= bytes {
                    break;
                }
                let checked = self.check_thing(thing, SCRUB).await?;
                done.damaged.extend(checked.instance);
                done.damaged_packs.extend(checked.pack);
                done.bytes += thing.len;
                done.instances += 1;
                after = thing.key;
            }
        }
        let place = if done.is_round_over { 0 } else { after };
        self.inner.keep_place(SCRUB, place).await?;
        Ok(done)
    }
}

/// What a check found wrong: a SOP Instance UID, the object of a pack.
#[derive(Default)]
struct Checked {
    instance: Option<String>,
    pack: Option<String>,
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
        for key in there {
            // Moved here since its row was read.
            if !self.is_pack(&key).await? {
                found.unknown.push(key);
            }
        }
        found.unknown.sort();
        Ok(())
    }
}

const PACKS: &str = "select pack_key, object_key, sealed from pack where pack_key > $1 order by pack_key limit $2";

const DOOMED: &str = "select object_key from doomed_object";
