//! Settings of the AI worker.

use crate::{error::AiError, report::offset};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Whether, with what and how hard the AI worker works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AiConfig {
    /// Look for nodules in chest CT series that are complete.
    pub enabled: bool,
    /// Folder of model packages, `ID/VERSION/card.toml`; unset: the demonstration model built into the program.
    pub models_dir: Option<PathBuf>,
    /// Model to use, `ID/VERSION`.
    pub model: String,
    /// Operating point of the model's card: which score counts as a finding.
    pub operating_point: String,
    /// Threads that decode and infer; each needs about 100 MB while it works. 0: one a core.
    pub threads: usize,
    /// A job is another worker's again when its holder has not been heard of for this many seconds.
    pub lease_seconds: u64,
    /// A failing job is tried this often, then left for an administrator.
    pub max_attempts: u32,
    /// Wait before the second attempt, in seconds; doubled for each further one.
    pub retry_seconds: u64,
    /// Refuse series of more voxels than this; a voxel takes about 7 bytes while the job runs.
    pub max_voxels: u64,
    /// Offset from UTC, `±HHMM`, of dates and times in reports where the images do not state theirs.
    pub utc_offset: String,
}

impl Default for AiConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            models_dir: None,
            model: "nodule-demo/1".into(),
            operating_point: "default".into(),
            threads: 0,
            lease_seconds: 60,
            max_attempts: 3,
            retry_seconds: 30,
            max_voxels: 400_000_000,
            utc_offset: "+0000".into(),
        }
    }
}

impl AiConfig {
    /// Finds what would fail only once a job runs.
    pub fn check(&self) -> Result<(), AiError> {
        if self.lease_seconds < 3 {
            return Err(AiError::Config("ai.lease_seconds must be 3 or more".into()));
        }
        if offset(&self.utc_offset).is_none() {
            return Err(AiError::Config(format!("ai.utc_offset is {:?}, write it as +0800", self.utc_offset)));
        }
        Ok(())
    }
}
