//! `pacs quarantine …`: what unknown callers stored, and what becomes of it.

use crate::config::Config;
use futures::TryStreamExt;
use pacs_core::Uid;
use std::{pin::pin, process::ExitCode};
use storage::{Archive, Quarantined, Selection};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub const EXAMPLES: &str = "Callers that are not configured get in where dicom.unknown_callers is \"quarantine\".

Examples:
  pacs quarantine list                    who sent what, of whom
  pacs quarantine release --calling CT7   take in all that CT7 stored (then let it in for good: pacs ae add CT7 --store)
  pacs quarantine discard --study 1.2.3   throw a study away
  pacs quarantine release --all";

#[derive(Debug, clap::Subcommand)]
pub enum QuarantineCommand {
    /// List what is in quarantine
    List {
        #[command(flatten)]
        which: Which,
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
    },
    /// Take instances into the archive, as received from their callers
    ///
    /// Exit code 0: all of them are in the archive; 1: some are not, and are named.
    #[command(group = clap::ArgGroup::new("chosen").required(true).multiple(true))]
    Release {
        #[command(flatten)]
        which: Which,
        /// All there are
        #[arg(long, group = "chosen")]
        all: bool,
    },
    /// Throw instances away
    #[command(group = clap::ArgGroup::new("chosen").required(true).multiple(true))]
    Discard {
        #[command(flatten)]
        which: Which,
        /// All there are
        #[arg(long, group = "chosen")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct Which {
    /// The one of this number
    #[arg(long, group = "chosen", value_name = "NUMBER")]
    id: Option<i64>,
    /// What this AE title stored
    #[arg(long, group = "chosen", value_name = "AE_TITLE")]
    calling: Option<String>,
    /// What is of this study
    #[arg(long, group = "chosen", value_name = "UID")]
    study: Option<Uid>,
}

impl From<Which> for Selection {
    fn from(Which { id, calling, study }: Which) -> Self {
        Self { id, calling, study }
    }
}

pub async fn run(config: &Config, command: QuarantineCommand) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let code = match command {
        QuarantineCommand::List { which, json } => list(&archive, which.into(), json).await?,
        QuarantineCommand::Release { which, .. } => release(&archive, which.into()).await?,
        QuarantineCommand::Discard { which, .. } => discard(&archive, which.into()).await?,
    };
    archive.close().await;
    Ok(code)
}

async fn list(archive: &Archive, which: Selection, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut count = 0;
    let mut all = pin!(archive.quarantine(which));
    while let Some(kept) = all.try_next().await? {
        count += 1;
        println!("{}", if as_json { kept.to_json().to_string() } else { line(&kept) });
    }
    if !as_json {
        match count {
            0 => println!("nothing is in quarantine"),
            _ => println!("{count} instances; `pacs quarantine release` takes them in, `discard` throws them away"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn release(archive: &Archive, which: Selection) -> anyhow::Result<ExitCode> {
    let (mut released, mut left) = (0, 0);
    let actor = super::actor();
    let mut all = pin!(archive.quarantine(which));
    while let Some(kept) = all.try_next().await? {
        match archive.release(&actor, "localhost", &kept).await {
            Ok(_) => released += 1,
            Err(error) => {
                left += 1;
                println!("stays: {}\n       {:#}", line(&kept), anyhow::Error::from(error));
            }
        }
    }
    archive.remove_doomed_objects().await?;
    println!("{released} instances taken into the archive, {left} stay in quarantine");
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn discard(archive: &Archive, which: Selection) -> anyhow::Result<ExitCode> {
    let mut discarded = 0;
    let actor = super::actor();
    let mut all = pin!(archive.quarantine(which));
    while let Some(kept) = all.try_next().await? {
        archive.discard_quarantined(&actor, "localhost", &kept).await?;
        discarded += 1;
    }
    println!("{discarded} instances thrown away");
    Ok(ExitCode::SUCCESS)
}

fn line(kept: &Quarantined) -> String {
    let study = kept.study.as_ref().map_or("no study", Uid::as_str);
    format!(
        "{:8} {}  {} at {}  {} {}  {}  {}\n         study {study}, instance {}, {} bytes",
        kept.id,
        moment(kept.received_at),
        kept.calling,
        kept.address,
        kept.patient_id,
        kept.patient_name,
        kept.modality,
        kept.study_date,
        kept.sop_instance,
        kept.len
    )
}

/// UTC, RFC 3339.
fn moment(milliseconds: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(milliseconds / 1000).ok();
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}
