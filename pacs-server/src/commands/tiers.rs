//! `pacs tier …`: packs kept near, and packs of the cold store.

use crate::config::Config;
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::Uid;
use std::{process::ExitCode, time::Duration};
use storage::{Archive, Moved, PatientKey, Tier};

pub const EXAMPLES: &str = "Examples:
  pacs tier status
  pacs tier prefetch --study 1.2.3             this study, and the newest others of its patient
  pacs tier prefetch --patient P17 --studies 5 before the patient comes
  pacs tier move --by-rule --dry-run           what the rules of pacs.toml would move to the cold store
  pacs tier move --study 1.2.3 --to hot        back into the archive's own store

Packs are kept near where storage.cache_megabytes is not 0 and a store is a bucket; they go to the cold store of
storage.cold_url by the rules [[storage.cold]], once a day while `pacs serve` runs: docs/storage.md";

#[derive(Debug, Subcommand)]
pub enum TierCommand {
    /// Tell what is hot, cold and kept near
    Status,
    /// Bring the packs of a study, or of a patient's newest studies, near
    Prefetch {
        /// Study Instance UID
        #[arg(long, value_name = "UID", required_unless_present = "patient", conflicts_with = "patient")]
        study: Option<Uid>,
        /// Patient ID
        #[arg(long, value_name = "ID")]
        patient: Option<String>,
        /// Issuer of Patient ID, where there is one
        #[arg(long, default_value = "", requires = "patient")]
        issuer: String,
        /// How many of the patient's studies
        #[arg(long, default_value_t = 3, requires = "patient")]
        studies: u32,
    },
    /// Move packs between the archive's own store and the cold one
    Move {
        /// Of this study, by its Study Instance UID
        #[arg(
            long,
            value_name = "UID",
            required_unless_present = "by_rule",
            conflicts_with = "by_rule",
            requires = "to"
        )]
        study: Option<Uid>,
        /// Where to
        #[arg(long)]
        to: Option<To>,
        /// All that the rules of the configuration speak of, to the cold store
        #[arg(long, conflicts_with = "to")]
        by_rule: bool,
        /// Tell what would be moved, and change nothing
        #[arg(long, requires = "by_rule")]
        dry_run: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum To {
    /// The archive's own store
    Hot,
    /// The store of storage.cold_url
    Cold,
}

pub async fn run(config: &Config, command: TierCommand) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let done = match command {
        TierCommand::Status => status(&archive, config).await,
        TierCommand::Prefetch { study: Some(study), .. } => prefetch(&archive, Wanted::Study(study)).await,
        TierCommand::Prefetch { patient, issuer, studies, .. } => {
            let patient = PatientKey { id: patient.unwrap_or_default(), issuer };
            prefetch(&archive, Wanted::Patient(patient, studies)).await
        }
        TierCommand::Move { study, to, dry_run, .. } => relocate(&archive, config, study, to, dry_run).await,
    };
    archive.close().await;
    done
}

async fn status(archive: &Archive, config: &Config) -> anyhow::Result<ExitCode> {
    let found = archive.tier_use().await?;
    println!("hot   {} packs, {} MB", found.hot_packs, found.hot_bytes >> 20);
    match &config.storage.cold_url {
        None if found.cold_packs == 0 => println!("cold  no cold store (storage.cold_url)"),
        _ => println!("cold  {} packs, {} MB", found.cold_packs, found.cold_bytes >> 20),
    }
    match archive.cache_use().await? {
        None => println!("near  nothing is: set storage.cache_megabytes, where a store is a bucket"),
        Some(near) => println!("near  {} packs, {} of {} MB", near.packs, near.byte_len >> 20, near.limit >> 20),
    }
    Ok(ExitCode::SUCCESS)
}

enum Wanted {
    Study(Uid),
    Patient(PatientKey, u32),
}

async fn prefetch(archive: &Archive, wanted: Wanted) -> anyhow::Result<ExitCode> {
    if archive.cache_use().await?.is_none() {
        println!("nothing is kept near: set storage.cache_megabytes, where a store is a bucket");
        return Ok(ExitCode::SUCCESS);
    }
    let done = match wanted {
        Wanted::Study(study) => archive.prefetch_study(&study).await?,
        Wanted::Patient(patient, studies) => archive.prefetch_priors(&patient, studies).await?,
    };
    let megabytes = done.byte_len >> 20;
    println!("{} packs brought near, {megabytes} MB; {} were near already", done.packs, done.near);
    if done.left > 0 {
        println!("{} stay where they are: one prefetch brings a quarter of the cache at most", done.left);
    }
    Ok(ExitCode::SUCCESS)
}

/// Of a study, or by rule.
async fn relocate(
    archive: &Archive,
    config: &Config,
    study: Option<Uid>,
    to: Option<To>,
    is_trial: bool,
) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let progress = |done: &Moved| bar.set_message(done.to_string());
    let done = match (study, to) {
        (Some(study), Some(To::Hot)) => archive.move_study(&study, Tier::Hot, progress).await?,
        (Some(study), _) => archive.move_study(&study, Tier::Cold, progress).await?,
        (None, _) if config.storage.cold.is_empty() => {
            anyhow::bail!("there is no rule: write one to [[storage.cold]] in pacs.toml, docs/storage.md shows how")
        }
        (None, _) => archive.cool(is_trial, progress).await?,
    };
    bar.finish_and_clear();
    if is_trial {
        println!("nothing was moved, this is what would be:");
    }
    println!("{done}");
    for reason in &done.failed {
        println!("failed    {reason}");
    }
    Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
