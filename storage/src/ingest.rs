//! Bytes in: spool → scan → sync → store → rows, audit line and event in one transaction → success.

use crate::{
    archive::{Archive, Inner},
    audit::{AuditAction, AuditRecord},
    commit::Work,
    config::SameUidOtherContent,
    digest::DataSetDigest,
    error::ArchiveError,
    facts::Facts,
    index::NewInstance,
    versions::held_as,
};
use pacs_core::{
    AeTitle, Uid,
    data_set::{self, DataSet, Limits},
    json::{PathStep, to_json_text},
    part10::read_meta,
    sop_class::NonPatient,
};
use std::{
    fs::File,
    io::{BufReader, Seek, Write},
    sync::Arc,
};
use tempfile::{NamedTempFile, TempPath};

/// Bytes gathered before they go to the spool file in one go.
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
    pub sop_class: Option<Uid>,
    pub sop_instance: Option<Uid>,
    /// An object of no patient, of this kind.
    pub non_patient: Option<NonPatient>,
}

impl Expected {
    fn check(&self, facts: &Facts) -> Result<(), ArchiveError> {
        let resource = |kind: Option<NonPatient>| kind.map(NonPatient::resource);
        let text = |uid: &Option<Uid>| uid.as_ref().map(Uid::to_string);
        let pairs = [
            ("Study Instance UID", text(&self.study), facts.study().map(Uid::as_str)),
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
    archive: Arc<Inner>,
    origin: Origin,
    /// `None` only while a blocking thread writes to it, and for good if that failed.
    spool: Option<NamedTempFile>,
    buffer: Vec<u8>,
    len: u64,
    digest: DataSetDigest,
}

impl Archive {
    /// Makes room in the spool for one instance.
    pub async fn receive(&self, origin: Origin) -> Result<Incoming, ArchiveError> {
        let spool = self.inner.spool.clone();
        let spool = blocking(move || spool.new_file()).await?;
        Ok(Incoming {
            archive: self.inner.clone(),
            origin,
            spool: Some(spool),
            buffer: Vec::new(),
            len: 0,
            digest: DataSetDigest::default(),
        })
    }

    /// A whole Part 10 file at once.
    pub async fn ingest(&self, origin: Origin, part10: &[u8], expected: &Expected) -> Result<Ingested, ArchiveError> {
        let mut incoming = self.receive(origin).await?;
        incoming.write(part10).await?;
        incoming.commit(expected).await
    }
}

impl Incoming {
    /// Appends bytes of a Part 10 file (preamble and meta included; see `pacs_core::part10::write_meta`).
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let limit = self.archive.config.max_instance_bytes;
        self.len += bytes.len() as u64;
        if self.len > limit {
            return Err(ArchiveError::TooLarge(limit));
        }
        for piece in bytes.chunks(BUFFER) {
            self.digest.update(piece);
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Makes the instance durable and visible. On `Ok` it survives a crash.
    pub async fn commit(mut self, expected: &Expected) -> Result<Ingested, ArchiveError> {
        if self.len > self.archive.config.max_instance_bytes {
            return Err(ArchiveError::TooLarge(self.archive.config.max_instance_bytes));
        }
        let mut spool = self.spool.take().ok_or_else(spool_lost)?;
        let (buffer, digest, len) = (self.buffer, self.digest, self.len);
        let expected = expected.clone();
        let read = blocking(move || {
            spool.write_all(&buffer)?;
            let read = Read10::of(spool.as_file_mut(), digest)?;
            expected.check(&read.facts)?;
            Ok((read, spool))
        });
        let (read, spool) = read.await?;
        let audit = AuditRecord::of_store(&self.origin, &read.facts);
        store(&self.archive, read, spool, len, audit).await
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        let mut spool = self.spool.take().ok_or_else(spool_lost)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = blocking(move || {
            spool.write_all(&buffer)?;
            buffer.clear();
            Ok((spool, buffer))
        });
        let (spool, buffer) = written.await?;
        self.spool = Some(spool);
        self.buffer = buffer;
        Ok(())
    }
}

/// Puts the object, then commits its rows. An object whose rows are not wanted is removed again.
async fn store(
    archive: &Inner,
    read: Read10,
    spool: NamedTempFile,
    len: u64,
    audit: AuditRecord,
) -> Result<Ingested, ArchiveError> {
    let facts = &read.facts;
    let ingested = |outcome| Ingested {
        outcome,
        study: facts.study().cloned(),
        series: facts.series().cloned(),
        sop_instance: facts.sop_instance().clone(),
        sop_class: facts.sop_class().clone(),
    };
    if let Some(version) = held_as(archive, facts, &read.digest).await? {
        // A peer that sends all again should not cost us the bytes; the commit below decides in every other case.
        let outcome = Outcome::Identical(version);
        archive.committer.submit(|reply| Work::Audit(audit.with_outcome(outcome), reply)).await?;
        return Ok(ingested(outcome));
    }
    let spooled = blocking(move || synced(spool)).await?;
    let key = facts.new_key();
    archive.objects.put(spooled, &key).await?;
    let ready = ingested(Outcome::Stored);
    let new = Box::new(read.into_new_instance(len, key.clone(), audit, archive.config.same_uid_other_content)?);
    // On failure the rows may be there all the same (an answer lost): the object stays, and the sweep finds out.
    let outcome = archive.committer.submit(|reply| Work::Store(new, reply)).await?;
    if outcome.is_written() {
        tracing::info!(sop_instance_uid = %ready.sop_instance, bytes = len, ?outcome, "instance stored");
    } else if let Err(error) = archive.objects.remove(&key).await {
        tracing::warn!(%error, "object of a duplicate stays behind");
    }
    Ok(Ingested { outcome, ..ready })
}

fn synced(spool: NamedTempFile) -> Result<TempPath, ArchiveError> {
    spool.as_file().sync_data()?;
    Ok(spool.into_temp_path())
}

/// What is read from a received file.
struct Read10 {
    facts: Facts,
    metadata: String,
    frame_layout: String,
    data_set_offset: u64,
    digest: String,
}

impl Read10 {
    fn of(file: &mut File, digest: DataSetDigest) -> Result<Self, ArchiveError> {
        file.rewind()?;
        let mut reader = BufReader::with_capacity(64 << 10, &mut *file);
        let meta = read_meta(&mut reader)?;
        let data_set = data_set::scan(&mut reader, &meta.transfer_syntax, Limits::default())?;
        let facts = Facts::of(&data_set, &meta.transfer_syntax)?;
        let layout = facts.frames().map(serde_json::to_string).transpose();
        Ok(Self {
            metadata: metadata(&data_set, &facts)?,
            frame_layout: layout.map_err(|e| ArchiveError::Internal(e.to_string()))?.unwrap_or_default(),
            data_set_offset: meta.data_set_offset,
            digest: digest.finish(file, &meta)?,
            facts,
        })
    }

    fn into_new_instance(
        self,
        len: u64,
        key: String,
        audit: AuditRecord,
        same_uid_other_content: SameUidOtherContent,
    ) -> Result<NewInstance, ArchiveError> {
        let fits = |n: u64| i64::try_from(n).map_err(|_| ArchiveError::TooLarge(i64::MAX.unsigned_abs()));
        Ok(NewInstance {
            byte_len: fits(len)?,
            data_set_offset: fits(self.data_set_offset)?,
            facts: self.facts,
            metadata: self.metadata,
            data_set_digest: self.digest,
            object_key: key,
            frame_layout: self.frame_layout,
            audit,
            same_uid_other_content,
        })
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
    fn of_store(origin: &Origin, facts: &Facts) -> Self {
        let (actor, place) = origin.actor();
        Self {
            at: 0,
            action: AuditAction::Store,
            actor: actor.to_owned(),
            origin: place.to_owned(),
            success: true,
            study: facts.study().map(Uid::to_string),
            detail: facts.sop_instance().to_string(),
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

fn spool_lost() -> ArchiveError {
    ArchiveError::Internal("an earlier write to the spool failed".into())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ArchiveError::Internal(e.to_string()))?
}
