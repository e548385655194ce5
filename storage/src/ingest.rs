//! Bytes in: scan → pack in the spool → sync → rows, audit line and event in one transaction → success.

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord},
    clock::now,
    commit::Work,
    config::SameUidOtherContent,
    digest::Digest,
    error::ArchiveError,
    facts::Facts,
    index::NewInstance,
    pack::{self, Growing, Record},
    packs::{News, Placed},
    versions::{held_as, is_series_held, version_number},
};
use pacs_core::{
    AeTitle, Failure, Uid,
    data_set::{self, DataSet, Limits},
    json::{PathStep, to_json_text},
    part10::read_meta,
    sop_class::NonPatient,
};
use std::{
    io::{BufReader, Cursor, Read, Seek, Write},
    sync::Arc,
};
use tokio::sync::OwnedSemaphorePermit;

/// A larger instance is written to a file as it comes.
const IN_MEMORY: usize = 1 << 20;
/// So many instances may be in memory whole at a time, whoever sends them; of further ones only so many bytes, and they go
/// to a file sooner.
pub(crate) const WHOLE: usize = 256;
const BEYOND: usize = 16 << 10;
/// Bytes gathered before they go to that file in one go.
const BUFFER: usize = 256 << 10;

/// Who brought an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// C-STORE.
    Dimse { calling: AeTitle, address: String },
    /// STOW-RS.
    Web { user: String, address: String },
    /// `pacs import`.
    Import { path: String },
    /// A room of ours, e.g. `"ai-inference"`.
    Room(&'static str),
}

impl Origin {
    /// Actor and place, for the audit trail.
    fn actor(&self) -> (&str, &str) {
        match self {
            Self::Dimse { calling, address } => (calling.as_str(), address),
            Self::Web { user, address } => (user, address),
            Self::Import { path } => ("import", path),
            Self::Room(room) => (room, ""),
        }
    }
}

/// What the sender announced; checked against the data set before anything is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    pub study: Option<Uid>,
    pub series: Option<Uid>,
    pub sop_class: Option<Uid>,
    pub sop_instance: Option<Uid>,
    /// An object of no patient, of this kind.
    pub non_patient: Option<NonPatient>,
    /// To be the current version from now on, unless the configuration refuses other content under a held UID.
    pub is_replacement: bool,
}

impl Expected {
    pub(crate) fn check(&self, facts: &Facts) -> Result<(), ArchiveError> {
        let resource = |kind: Option<NonPatient>| kind.map(NonPatient::resource);
        let text = |uid: &Option<Uid>| uid.as_ref().map(Uid::to_string);
        let pairs = [
            ("Study Instance UID", text(&self.study), facts.study().map(Uid::as_str)),
            ("Series Instance UID", text(&self.series), facts.series().map(Uid::as_str)),
            ("SOP Class UID", text(&self.sop_class), Some(facts.sop_class().as_str())),
            ("SOP Instance UID", text(&self.sop_instance), Some(facts.sop_instance().as_str())),
            ("kind", resource(self.non_patient).map(str::to_owned), resource(facts.non_patient())),
        ];
        for (what, expected, actual) in pairs {
            if let Some(expected) = expected.filter(|expected| Some(expected.as_str()) != actual) {
                let actual = actual.unwrap_or("absent").to_owned();
                return Err(ArchiveError::Mismatch { what, expected, actual });
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// Stored as the version of this number, beside other content under the same SOP Instance UID.
    Version(u32),
    /// The same bytes (data set) were here already, as the version of this number; nothing was stored.
    Identical(u32),
    /// Other content is held under the same SOP Instance UID, and the configuration says to refuse more.
    Rejected,
}

impl Outcome {
    /// Whether the archive took these very bytes into its care.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Stored | Self::Version(_))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub outcome: Outcome,
    /// `None`, as the series, for an object of no patient.
    pub study: Option<Uid>,
    pub series: Option<Uid>,
    pub sop_instance: Uid,
    pub sop_class: Uid,
}

impl Ingested {
    /// Its web resource, relative to the service's base (PS3.18 §10.1.1, §12.1.1).
    pub fn path(&self) -> String {
        let Self { sop_instance, sop_class, .. } = self;
        match (&self.study, &self.series, NonPatient::of(sop_class.as_str())) {
            (Some(study), Some(series), _) => format!("studies/{study}/series/{series}/instances/{sop_instance}"),
            (_, _, Some(kind)) => format!("{}/{sop_instance}", kind.resource()),
            _ => format!("instances/{sop_instance}"),
        }
    }
}

/// An instance on its way in. Dropped without `commit`, it leaves nothing behind.
pub struct Incoming {
    pub(crate) archive: Arc<Inner>,
    origin: Origin,
    body: Body,
    len: u64,
    digest: Digest,
}

/// What has come so far. A small instance stays in memory until it goes into its series' pack in one write; a large one
/// grows in a file that becomes a pack.
#[derive(Default)]
pub(crate) struct Body {
    buffer: Vec<u8>,
    file: Option<Growing>,
    /// To be in memory whole.
    place: Option<OwnedSemaphorePermit>,
}

impl Archive {
    /// A file beside what is received, for what cannot be taken in as it comes: it has no name, and is gone when it is
    /// closed.
    pub async fn scratch(&self) -> Result<std::fs::File, ArchiveError> {
        let archive = self.inner.clone();
        blocking(move || Ok(archive.packs.scratch()?.into_file())).await
    }

    /// Makes room for one instance.
    pub async fn receive(&self, origin: Origin) -> Result<Incoming, ArchiveError> {
        let archive = self.inner.clone();
        if archive.packs.reserve.is_unneeded() {
            let archive = archive.clone();
            blocking(move || {
                archive.packs.reserve.prepare();
                Ok(())
            })
            .await?;
        }
        archive.packs.reserve.admit()?;
        Ok(Incoming::new(archive, origin))
    }

    /// A whole Part 10 file at once.
    pub async fn ingest(&self, origin: Origin, part10: &[u8], expected: &Expected) -> Result<Ingested, ArchiveError> {
        let mut incoming = self.receive(origin).await?;
        incoming.write(part10).await?;
        incoming.commit(expected).await
    }
}

impl Incoming {
    pub(crate) fn new(archive: Arc<Inner>, origin: Origin) -> Self {
        let place = Arc::clone(&archive.in_memory).try_acquire_owned().ok();
        let body = Body { place, ..Body::default() };
        Self { archive, origin, body, len: 0, digest: Digest::default() }
    }

    /// Appends bytes of a Part 10 file (preamble and meta included; see `pacs_core::part10::write_meta`).
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let limit = self.archive.config.max_instance_bytes;
        self.len += bytes.len() as u64;
        if self.len > limit {
            return Err(ArchiveError::TooLarge(limit));
        }
        for piece in bytes.chunks(BUFFER) {
            self.digest.update(piece);
            self.body.buffer.extend_from_slice(piece);
            if self.body.is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Makes the instance durable and visible. On `Ok` it survives a crash.
    pub async fn commit(self, expected: &Expected) -> Result<Ingested, ArchiveError> {
        let archive = self.archive.clone();
        let (described, body) = self.describe().await?;
        expected.check(&described.facts)?;
        let stored = store(&archive, described, body, expected.is_replacement).await;
        stored.inspect_err(|error| archive.heed(error))
    }

    /// What it is, now that all of it has come.
    pub(crate) async fn describe(self) -> Result<(Described, Body), ArchiveError> {
        if self.len > self.archive.config.max_instance_bytes {
            return Err(ArchiveError::TooLarge(self.archive.config.max_instance_bytes));
        }
        let Self { origin, mut body, len, digest, .. } = self;
        if body.file.is_none() {
            // A header in memory is read in less time than another thread takes to wake.
            return Ok((body.describe(digest, len, &origin)?, body));
        }
        blocking(move || {
            body.finish()?;
            Ok((body.describe(digest, len, &origin)?, body))
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        let mut body = std::mem::take(&mut self.body);
        let archive = self.archive.clone();
        let written = blocking(move || {
            let mut file = body.file.take().map_or_else(|| archive.packs.grow(), Ok)?;
            file.write(&body.buffer)?;
            body.buffer.clear();
            body.buffer.shrink_to(BUFFER);
            Ok(Body { buffer: body.buffer, file: Some(file), place: None })
        });
        // After a failure what follows would start in the middle: its header is not found, and it is refused.
        self.body = written.await.inspect_err(|error| self.archive.heed(error))?;
        Ok(())
    }
}

impl Inner {
    /// Makes room for sealing when a failure says that there is none.
    fn heed(&self, error: &ArchiveError) {
        if error.failure() == Failure::NoRoom {
            self.packs.reserve.spend();
        }
    }
}

impl Body {
    fn is_full(&self) -> bool {
        let most = match (&self.file, &self.place) {
            (Some(_), _) => BUFFER,
            (None, Some(_)) => IN_MEMORY,
            (None, None) => BEYOND,
        };
        self.buffer.len() >= most
    }

    /// Nothing more comes.
    fn finish(&mut self) -> Result<(), ArchiveError> {
        if let Some(file) = &mut self.file {
            file.write(&self.buffer)?;
            self.buffer = Vec::new();
        }
        Ok(())
    }

    fn describe(&mut self, digest: Digest, len: u64, origin: &Origin) -> Result<Described, ArchiveError> {
        match &mut self.file {
            Some(file) => Described::of(&mut file.part10()?, digest, len, origin),
            None => Described::of(&mut Cursor::new(&self.buffer), digest, len, origin),
        }
    }

    /// The Part 10 file.
    pub(crate) fn copy(self, to: &mut impl Write) -> Result<(), ArchiveError> {
        match self.file {
            Some(mut file) => _ = std::io::copy(&mut file.part10()?, to)?,
            None => to.write_all(&self.buffer)?,
        }
        Ok(())
    }

    /// Durable when this returns.
    pub(crate) fn place(
        self,
        archive: &Inner,
        described: &Described,
        folder: &str,
        is_new_series: bool,
    ) -> Result<Placed, ArchiveError> {
        let record = &described.record;
        let packed = record.packed(&described.metadata)?;
        match self.file {
            Some(file) => archive.packs.store_large(folder, file, record, &packed),
            None => archive.packs.store(folder, &self.buffer, record, &packed, is_new_series),
        }
    }
}

/// Puts the instance into a pack, then commits its rows.
async fn store(
    archive: &Arc<Inner>,
    described: Described,
    body: Body,
    is_replacement: bool,
) -> Result<Ingested, ArchiveError> {
    let Described { facts, record, .. } = &described;
    let ingested = |outcome| Ingested {
        outcome,
        study: record.study.clone(),
        series: record.series.clone(),
        sop_instance: record.sop_instance.clone(),
        sop_class: record.sop_class.clone(),
    };
    let folder = facts.folder();
    let news = archive.packs.news(&folder, &record.sop_instance);
    let is_new_series = match news {
        News::NewSeries => true,
        News::Unknown => !is_series_held(archive, facts).await?,
        News::HeldSeries => false,
    };
    if !is_new_series && let Some(held) = held_as(archive, facts, &record.digest).await? {
        let identical = Outcome::Identical(version_number(held.version));
        if archive.is_hidden(held.key).await? {
            // What we hold of it is damaged: these bytes take its place, or the sender keeps its own.
            let (ready, by) = (ingested(identical), record.actor.clone());
            let is_replaced = archive.replace(held.key, described, body, &by).await?;
            return if is_replaced { Ok(ready) } else { Err(ArchiveError::changed_meanwhile()) };
        }
        if is_replacement && !archive.is_current(held.key).await? {
            let text =
                format!("these bytes are held as version {} already, and another version is current", held.version);
            return Err(ArchiveError::Conflict(text));
        }
        // A peer that sends all again should not cost us the bytes; the commit below decides in every other case.
        let audit = AuditRecord::of_store(record).with_outcome(identical);
        archive.committer.submit(|reply| Work::Audit(audit, reply)).await?;
        return Ok(ingested(identical));
    }
    let ready = ingested(Outcome::Stored);
    let policy = match archive.config.same_uid_other_content {
        SameUidOtherContent::KeepBoth if is_replacement => SameUidOtherContent::KeepLatest,
        policy => policy,
    };
    let place = {
        let archive = archive.clone();
        move || {
            let placed = body.place(&archive, &described, &folder, is_new_series)?;
            NewInstance::new(described, placed, policy)
        }
    };
    let new = Box::new(blocking(place).await?);
    let bytes = new.record.byte_len;
    // On failure the rows may be there all the same (an answer lost): what is in the pack stays in it.
    let outcome = archive.committer.submit(|reply| Work::Store(new, reply)).await?;
    if outcome.is_written() {
        tracing::info!(sop_instance_uid = %ready.sop_instance, bytes, ?outcome, "instance stored");
    }
    Ok(Ingested { outcome, ..ready })
}

/// What is read from a received file.
pub(crate) struct Described {
    pub(crate) facts: Facts,
    pub(crate) record: Record,
    /// DICOM JSON.
    pub(crate) metadata: String,
}

impl Described {
    fn of(file: &mut (impl Read + Seek), digest: Digest, len: u64, origin: &Origin) -> Result<Self, ArchiveError> {
        let mut reader = BufReader::with_capacity(64 << 10, &mut *file);
        let meta = read_meta(&mut reader)?;
        let data_set = data_set::scan(&mut reader, &meta.transfer_syntax, Limits::default())?;
        let facts = Facts::of(&data_set, &meta.transfer_syntax)?;
        let metadata = metadata(&data_set, &facts)?;
        let (digest, checksum) = digest.finish(file, &meta)?;
        let (actor, place) = origin.actor();
        let record = Record {
            study: facts.study().cloned(),
            series: facts.series().cloned(),
            sop_instance: facts.sop_instance().clone(),
            sop_class: facts.sop_class().clone(),
            transfer_syntax: meta.transfer_syntax.uid().clone(),
            values: pack::values(&facts),
            frames: facts.frames().cloned(),
            byte_len: len,
            data_set_offset: meta.data_set_offset,
            digest,
            checksum,
            received_at: now(),
            actor: actor.to_owned(),
            place: place.to_owned(),
            is_copy: false,
            recompressed: None,
        };
        Ok(Self { facts, record, metadata })
    }
}

/// DICOM JSON with BulkDataURIs relative to the service's base, e.g. `studies/1/series/2/instances/3/bulkdata/7FE00010`;
/// inside sequences item indices from 0 stand between the tags.
fn metadata(data_set: &DataSet, facts: &Facts) -> Result<String, ArchiveError> {
    let base = format!("{}/bulkdata", facts.path());
    let uri = |path: &[PathStep], _: &data_set::Element| {
        path.iter().fold(base.clone(), |uri, step| match step {
            PathStep::Tag(tag) => format!("{uri}/{:04X}{:04X}", tag.0, tag.1),
            PathStep::Item(index) => format!("{uri}/{index}"),
        })
    };
    String::from_utf8(to_json_text(data_set, &uri)).map_err(|e| ArchiveError::Internal(e.to_string()))
}

impl AuditRecord {
    pub(crate) fn of_store(record: &Record) -> Self {
        Self {
            at: 0,
            action: AuditAction::Store,
            actor: record.actor.clone(),
            origin: record.place.clone(),
            success: true,
            study: record.study.as_ref().map(Uid::to_string),
            detail: record.sop_instance.to_string(),
        }
    }

    pub(crate) fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.success = outcome != Outcome::Rejected;
        match outcome {
            Outcome::Stored => {}
            Outcome::Identical(_) => self.detail += " identical, held already",
            Outcome::Version(number) => self.detail += &format!(" other content, kept as version {number}"),
            Outcome::Rejected => self.detail += " other content, refused",
        }
        self
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ArchiveError::Internal(e.to_string()))?
}
