//! The archive: the one front door to everything that is kept.
//!
//! | module | what |
//! |---|---|
//! | [`archive`] | [`Archive`]: open, close, what it is made of |
//! | [`ingest`] | [`Incoming`]: bytes come in, are described, put into a pack and synced, and get their rows |
//! | `facts`, `digest` | what an arrival is, and by what it is known to be the same |
//! | `pack` | the format: a TAR of a series' instances with their records, metadata and index |
//! | `packs`, `spool` | the packs that grow on this machine, and those that ended processes left |
//! | `reserve` | room kept for the way out when the disk is full |
//! | `sealing` | a pack goes from the spool into the store |
//! | `compaction` | packs made anew: without what was deleted, and one of many |
//! | `recompression` | frames encoded anew without loss, by rule |
//! | `rekey` | packs encrypted again, after a change of keys |
//! | [`damage`] | what is damaged: found, kept from readers, mended |
//! | `verify`, `reindex` | catalog and store compared; a catalog made anew |
//! | `replica` | packs and catalog copied continuously for a second site |
//! | [`backup`] | packs and catalog in another place, and the way back |
//! | `commit`, `batch` | the committer: rows and audit lines of all that waits in one transaction |
//! | `index` | the rows of patient, study, series, instance, as they are written |
//! | `removal` | rows removed, and counts made anew |
//! | [`non_patient`] | palettes, protocols, templates: objects of no patient |
//! | `versions` | several contents under one SOP Instance UID, and which is current |
//! | `names` | the keys by which patients' names are found: in pinyin, by initials, by parts |
//! | `find` | [`pacs_core::query::Query`] → SQL → rows |
//! | `read`, `metadata` | what is stored, as bytes, frames and DICOM JSON |
//! | `objects`, `encryption` | packs by key, with ranged reads, encrypted if so configured |
//! | [`tiers`] | packs of a bucket kept near, and those that went to a cold store |
//! | `documents` | small objects beside the packs, for a catalog that is made anew |
//! | `store`, `bucket` | objects by key: local folders or buckets by URL, one for the archive, one for what is cold |
//! | [`outbox`] | events, written in the transaction that caused them |
//! | `sweep` | quiet series, removal |
//! | `strangers` | quarantine for what unknown callers store |
//! | `stir` | when there may be something to look for |
//! | [`retention`] | what must be kept and for how long: rules, legal holds, deletion of what has expired |
//! | [`routing`] | what arrives is sent on by rule: destinations, rules, queue |
//! | [`jobs`] | leased work: enqueue, claim, extend, finish, fail |
//! | [`accounts`], `password`, `sign_in`, `jwt` | users, roles, sessions, API tokens, tokens of others |
//! | [`worklist`] | orders as scheduled procedure steps |
//! | [`performed`] | what modalities report of procedure steps |
//! | [`workitems`] | Unified Procedure Step: workitems, subscriptions, notifications |
//! | [`peers`] | configured application entities |
//! | [`audit`] | who saw and changed what, append only |
//! | `database` | the pool, migrations, the head row that orders all changes |
//! | [`corrections`] | merges, re-assignments, corrected attributes, rejections: versions on top of what was received |
//! | [`config`], [`error`] | settings and failures |
//!
//! Invariants: success is answered only after the bytes are synced and the rows committed; an instance never
//! changes after that; consumers of events and jobs see each at least once.

pub mod accounts;
pub mod archive;
pub mod audit;
pub mod backup;
mod batch;
mod bucket;
mod clock;
mod commit;
pub mod commitment;
mod compaction;
pub mod config;
pub mod corrections;
pub mod damage;
mod database;
mod digest;
mod documents;
mod encryption;
pub mod error;
mod facts;
mod find;
mod index;
pub mod ingest;
pub mod jobs;
mod jwt;
mod metadata;
mod names;
pub mod non_patient;
mod objects;
pub mod outbox;
mod pack;
mod packs;
mod password;
pub mod peers;
pub mod performed;
mod read;
mod reader;
mod recompression;
mod reindex;
mod rekey;
mod removal;
mod replica;
mod reserve;
pub mod retention;
pub mod routing;
mod sealing;
mod sign_in;
mod spool;
mod stir;
mod store;
mod strangers;
mod sweep;
pub mod tiers;
mod verify;
mod versions;
pub mod workitems;
pub mod worklist;

pub use accounts::{Principal, Role, Token};
pub use archive::Archive;
pub use audit::{AuditAction, AuditRecord};
pub use config::{SameUidOtherContent, StorageConfig};
pub use corrections::{Correcting, Correction, Deed, PatientKey, RejectionReason, Target};
pub use damage::{Damage, What, mend::Mended};
pub use encryption::{Cipher, EncryptionError, new_key_line};
pub use error::ArchiveError;
pub use find::{Matches, Row};
pub use ingest::{Expected, Incoming, Ingested, Origin, Outcome};
pub use jobs::{Job, JobState};
pub use jwt::JwtConfig;
pub use metadata::MetadataState;
pub use non_patient::NonPatientObject;
pub use outbox::{Event, EventKind};
pub use peers::{Peer, Workflow, WorklistScope};
pub use performed::PerformedStep;
pub use read::StoredInstance;
pub use reader::InstanceReader;
pub use recompression::{Recompressed, Recompression, RecompressionRule, RecompressionTarget};
pub use reindex::Reindexed;
pub use rekey::{KeyUse, Rekeyed};
pub use replica::{ReplicaStatus, Replicator};
pub use retention::{
    Cursor, Deletion, Expiry, Hold, Holding, KeptStudy, Page, PatientClass, RetentionRule, StudyTerm, TermState,
};
pub use stir::Stirrings;
pub use strangers::{Quarantined, Selection};
pub use tiers::{CacheUse, ColdRule, Moved, Prefetched, Tier, TierUse};
pub use verify::{Scrubbed, Verification};
pub use versions::Version;
pub use workitems::{KeptWorkitem, NOTIFICATION, Notification, Subscription, Way, web_notification};
pub use worklist::ScheduledStep;
