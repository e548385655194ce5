//! One file per subcommand.

use crate::config::Config;
use anyhow::Context;
use storage::{Archive, AuditAction, AuditRecord};

pub mod accounts;
pub mod backup;
pub mod coerce;
pub mod conformance;
pub mod correct;
pub mod damage;
pub mod demo;
pub mod doctor;
pub mod echo;
pub mod export;
pub mod holds;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod peers;
pub mod quarantine;
pub mod recompress;
pub mod replica;
pub mod retention;
pub mod route;
pub mod tiers;
pub mod verify;
pub mod worklist;

/// The archive that the configuration names, beside a running server if there is one.
async fn open(config: &Config) -> anyhow::Result<Archive> {
    let place = || format!("cannot open the archive in {}; try `pacs doctor`", config.storage.data_dir.display());
    Archive::open(&config.storage).await.with_context(place)
}

/// A change made from the command line, for the audit trail.
async fn audit(archive: &Archive, action: AuditAction, detail: String) -> anyhow::Result<()> {
    Ok(archive.audit(&record(action, detail)).await?)
}

/// Whoever is at the command line.
fn actor() -> String {
    std::env::var("USER").unwrap_or_else(|_| "command line".to_owned())
}

/// What somebody on the command line did.
fn record(action: AuditAction, detail: String) -> AuditRecord {
    AuditRecord { at: 0, action, actor: actor(), origin: "localhost".to_owned(), success: true, study: None, detail }
}
