//! Settings of the archive.

use crate::{
    encryption::Cipher, jwt::JwtConfig, recompression::RecompressionRule, retention::RetentionRule, tiers::ColdRule,
};
use std::path::PathBuf;

/// Where and how the archive keeps its data.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Folder for the SQLite database, objects and the spool.
    pub data_dir: PathBuf,
    /// `postgres://…` or `sqlite://…`; unset: SQLite in `data_dir`.
    pub database_url: Option<String>,
    /// `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///…`; unset: `data_dir/objects`. See docs/storage.md.
    pub store_url: Option<String>,
    /// Folder or URL of a cheaper, slower store, to which packs go by the rules `cold` or by `pacs tier move`. See
    /// docs/storage.md.
    pub cold_url: Option<String>,
    /// Which series go to the cold store, a table `[[storage.cold]]` each with `days`, `unread_days` and `modalities`; none:
    /// only what `pacs tier move` moves.
    pub cold: Vec<ColdRule>,
    /// How many megabytes of packs are kept near, in `data_dir/cache`, where a store is a bucket; 0: none. What was used
    /// longest ago goes first. See docs/storage.md.
    pub cache_megabytes: u64,
    /// Encrypts packs in the store by the keys of `file:PATH`, `env:VARIABLE` or `command:COMMAND LINE` (for a key management
    /// service): a line `NAME SECRET` for each, as `pacs key new` prints it, the first for new packs, all for reading; unset:
    /// not encrypted. See docs/encryption.md.
    pub keys: Option<String>,
    /// How packs are encrypted if there are keys: `aes-256-gcm`, `sm4-gcm`, or `none` (new packs are plain).
    pub cipher: Cipher,
    /// A series is complete when no instance has come for this many seconds.
    pub quiet_seconds: u64,
    /// A series is complete as soon as the association that sent it closes.
    pub complete_on_release: bool,
    /// Refuse instances larger than this, in bytes.
    pub max_instance_bytes: u64,
    /// The quarantine for unknown callers (dicom.unknown_callers) takes so many megabytes.
    pub quarantine_megabytes: u64,
    /// How long which studies are kept, a table `[[storage.retention]]` each; none: nothing expires, and anything may be
    /// deleted. See docs/retention.md.
    pub retention: Vec<RetentionRule>,
    /// Studies whose term is over are deleted without anybody asking.
    pub delete_expired: bool,
    /// How many megabytes of the store are read and checked a second, round after round; 0: none.
    pub scrub_megabytes_per_second: u32,
    /// A backup (`pacs backup`) or another copy of the store, folder or URL: where whole bytes are taken from, by themselves,
    /// when damage is found. See docs/storage.md.
    pub mend_from: Option<String>,
    /// Folder or URL of a replica: packs and catalog are copied there as they come, for a second site. See docs/backup.md.
    pub replica_url: Option<String>,
    /// What was deleted or made anew stays at the replica for so many days.
    pub replica_keep_days: u32,
    /// Other content under a SOP Instance UID that its series holds already: `keep-both` (the first stays what is seen),
    /// `keep-latest` (both are kept, the newest is seen) or `reject`.
    pub same_uid_other_content: SameUidOtherContent,
    /// Rules by which frames are encoded anew without loss when a series is sealed, each with `modalities`, `sop_classes`,
    /// `from`, `min_bytes` and `to`. See docs/recompression.md.
    pub recompression: Vec<RecompressionRule>,
    pub jwt: JwtConfig,
}

/// What becomes of other content under a held SOP Instance UID.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SameUidOtherContent {
    /// Kept as a further version; the first stays the current one.
    #[default]
    KeepBoth,
    /// Kept as a further version, which becomes the current one.
    KeepLatest,
    /// Refused: the sender keeps its own.
    Reject,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dir: "yinghai-data".into(),
            database_url: None,
            store_url: None,
            cold_url: None,
            cold: Vec::new(),
            cache_megabytes: 0,
            keys: None,
            cipher: Cipher::default(),
            quiet_seconds: 10,
            complete_on_release: false,
            max_instance_bytes: 4 << 30,
            quarantine_megabytes: 10_240,
            retention: Vec::new(),
            delete_expired: false,
            scrub_megabytes_per_second: 2,
            mend_from: None,
            replica_url: None,
            replica_keep_days: 7,
            same_uid_other_content: SameUidOtherContent::default(),
            recompression: Vec::new(),
            jwt: JwtConfig::default(),
        }
    }
}
