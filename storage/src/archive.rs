//! The front door.

use crate::{
    accounts::Principal,
    audit::AuditRecord,
    config::StorageConfig,
    error::ArchiveError,
    ingest::{Expected, Incoming, Ingested, Origin},
    jobs::{Job, JobState},
    outbox::Event,
    peers::Peer,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use pacs_core::{Tag, TransferSyntax, Uid, frame_layout::FrameLayout, query::Query};
use std::{collections::BTreeMap, ops::Range, time::Duration};
use tokio::sync::watch;

/// The archive. Cheap to clone; all clones share one pool and one committer.
#[derive(Clone)]
pub struct Archive {
    // the storage helper fills this in
}

/// One match: values by tag (multiple values backslash-separated), derived counts included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub values: BTreeMap<Tag, String>,
}

/// Where and what a stored instance is.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredInstance {
    pub study: Uid,
    pub series: Uid,
    pub sop_instance: Uid,
    pub sop_class: Uid,
    pub transfer_syntax: TransferSyntax,
    /// Length of the stored Part 10 file in bytes.
    pub len: u64,
    /// Where its data set starts in that file.
    pub data_set_offset: u64,
    pub frames: Option<FrameLayout>,
    /// Object key and, for packs later, offset: opaque outside `storage`.
    pub(crate) key: String,
}

impl Archive {
    /// Opens (and on first use makes) database, migrations, object store and spool; sweeps what a crash left in the spool.
    pub async fn open(config: &StorageConfig) -> Result<Self, ArchiveError> {
        todo!()
    }

    /// Stops taking new instances, finishes the commits under way.
    pub async fn close(&self) {
        todo!()
    }

    // ---- bytes in -------------------------------------------------------------------------------------------

    pub async fn receive(&self, origin: Origin) -> Result<Incoming, ArchiveError> {
        todo!()
    }

    /// A whole Part 10 file at once.
    pub async fn ingest(&self, origin: Origin, part10: &[u8], expected: &Expected) -> Result<Ingested, ArchiveError> {
        let mut incoming = self.receive(origin).await?;
        incoming.write(part10).await?;
        incoming.commit(expected).await
    }

    /// The association or batch that brought these series is over: announces them complete if the configuration says so.
    pub async fn released(&self, series: &[Uid]) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Writes a `SeriesComplete` event for every series that has been quiet long enough; returns how many.
    pub async fn announce_quiet_series(&self) -> Result<usize, ArchiveError> {
        todo!()
    }

    // ---- find and read --------------------------------------------------------------------------------------

    pub async fn find(&self, query: &Query) -> Result<Vec<Row>, ArchiveError> {
        todo!()
    }

    /// DICOM JSON of each instance of a study, series or single instance, ordered by series and instance number.
    /// BulkDataURIs in it are relative: `studies/…/bulkdata/…`, to be prefixed by the wire with its base URL.
    pub async fn metadata(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<String>, ArchiveError> {
        todo!()
    }

    /// The instances of a study, series, or the single one; empty if there is none.
    pub async fn instances(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<Vec<StoredInstance>, ArchiveError> {
        todo!()
    }

    /// One instance by its SOP Instance UID.
    pub async fn instance(&self, sop_instance: &Uid) -> Result<StoredInstance, ArchiveError> {
        todo!()
    }

    /// The whole stored file, streamed.
    pub async fn read(
        &self,
        instance: &StoredInstance,
    ) -> Result<BoxStream<'static, Result<Bytes, ArchiveError>>, ArchiveError> {
        todo!()
    }

    pub async fn read_range(&self, instance: &StoredInstance, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        todo!()
    }

    /// Frame `index` (from 0) as encoded, fragments joined, and the bit offset for 1-bit native frames. One read where the
    /// frame's bytes are contiguous. For a deflated data set the file is inflated first.
    pub async fn read_frame(&self, instance: &StoredInstance, index: u32) -> Result<(Bytes, u8), ArchiveError> {
        todo!()
    }

    /// Removes a study, series or instance from index and store; written to the outbox. Returns how many instances.
    pub async fn delete(
        &self,
        study: &Uid,
        series: Option<&Uid>,
        sop_instance: Option<&Uid>,
    ) -> Result<usize, ArchiveError> {
        todo!()
    }

    // ---- events ---------------------------------------------------------------------------------------------

    /// Events after a position, oldest first.
    pub async fn events(&self, after: i64, limit: u32) -> Result<Vec<Event>, ArchiveError> {
        todo!()
    }

    /// Changes to the newest position known to this process (other processes' events show within a second).
    pub fn newest_event(&self) -> watch::Receiver<i64> {
        todo!()
    }

    /// How far a named consumer has come; 0 for a new one.
    pub async fn consumer_position(&self, consumer: &str) -> Result<i64, ArchiveError> {
        todo!()
    }

    pub async fn acknowledge(&self, consumer: &str, position: i64) -> Result<(), ArchiveError> {
        todo!()
    }

    // ---- jobs -----------------------------------------------------------------------------------------------

    /// Adds work; the same (kind, key) again is no second job. Returns whether it was new.
    pub async fn enqueue(&self, kind: &str, key: &str, payload: &serde_json::Value) -> Result<bool, ArchiveError> {
        todo!()
    }

    /// Takes the oldest due job of a kind for `lease`; a job whose lease ran out is due again.
    pub async fn claim(&self, kind: &str, worker: &str, lease: Duration) -> Result<Option<Job>, ArchiveError> {
        todo!()
    }

    pub async fn extend(&self, job: &Job, lease: Duration) -> Result<(), ArchiveError> {
        todo!()
    }

    /// `result` is kept for people to see.
    pub async fn finish(&self, job: &Job, result: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Due again after `retry_in`, or dead when `None`.
    pub async fn fail(&self, job: &Job, error: &str, retry_in: Option<Duration>) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Newest first; `kind_prefix` such as `"hl7:"`.
    pub async fn jobs(&self, kind_prefix: &str, state: Option<JobState>, limit: u32) -> Result<Vec<Job>, ArchiveError> {
        todo!()
    }

    /// Makes a dead job due again.
    pub async fn revive(&self, job_id: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    // ---- people, tokens, peers ------------------------------------------------------------------------------

    /// Makes user `admin` if there is no user at all; returns the generated password, shown this once.
    pub async fn first_admin(&self) -> Result<Option<String>, ArchiveError> {
        todo!()
    }

    pub async fn add_user(&self, name: &str, password: &str, roles: &[crate::Role]) -> Result<(), ArchiveError> {
        todo!()
    }

    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    pub async fn remove_user(&self, name: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    pub async fn users(&self) -> Result<Vec<Principal>, ArchiveError> {
        todo!()
    }

    /// Checks a password (constant work for unknown users) and opens a session; returns its secret.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<(Principal, String), ArchiveError> {
        todo!()
    }

    pub async fn sign_out(&self, session_secret: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Makes an API token for `Authorization: Bearer`; the secret is returned once and only its hash kept.
    pub async fn create_token(&self, user: &str, name: &str) -> Result<String, ArchiveError> {
        todo!()
    }

    pub async fn revoke_token(&self, user: &str, name: &str) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Who a session or token secret stands for; `None` if unknown or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Option<Principal>, ArchiveError> {
        todo!()
    }

    pub async fn put_peer(&self, peer: &Peer) -> Result<(), ArchiveError> {
        todo!()
    }

    pub async fn remove_peer(&self, ae_title: &pacs_core::AeTitle) -> Result<(), ArchiveError> {
        todo!()
    }

    pub async fn peers(&self) -> Result<Vec<Peer>, ArchiveError> {
        todo!()
    }

    // ---- audit ----------------------------------------------------------------------------------------------

    pub async fn audit(&self, record: &AuditRecord) -> Result<(), ArchiveError> {
        todo!()
    }

    /// Newest first.
    pub async fn audit_trail(&self, limit: u32) -> Result<Vec<AuditRecord>, ArchiveError> {
        todo!()
    }

    // ---- care -----------------------------------------------------------------------------------------------

    /// For `/readyz` and `pacs doctor`: database answers, store can be written and read.
    pub async fn check(&self) -> Result<(), ArchiveError> {
        todo!()
    }
}
