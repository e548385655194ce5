//! `pacs recompress`: frames encoded anew without loss, by the rules of the configuration.

use crate::config::Config;
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::Uid;
use std::{process::ExitCode, time::Duration};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pacs recompress --all --dry-run           how much smaller the archive would be, by the rules of pacs.toml
  pacs recompress --study 1.2.840.113       one study
  pacs recompress --all --set 'storage.recompression=[{\"modalities\":[\"CT\"],\"to\":\"jpeg-ls\"}]'

Every frame is decoded again and compared before the original goes, which is ten minutes later. Works beside running
servers, on packs that are sealed; may be broken off and run again.
Exit code 0: done; 1: something failed.")]
pub struct Arguments {
    /// Of this study only, by its Study Instance UID
    #[arg(long, value_name = "UID", required_unless_present = "all", conflicts_with = "all")]
    study: Option<Uid>,
    /// Of all studies
    #[arg(long)]
    all: bool,
    /// Encode and compare, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    if config.storage.recompression.is_empty() {
        bail!("there is no rule: write one to storage.recompression in pacs.toml, docs/recompression.md shows how");
    }
    let archive = super::open(config).await?;
    let style = ProgressStyle::with_template("{spinner} {pos} packs, {msg}, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    let worked = archive.recompress(arguments.study.as_ref(), arguments.dry_run, |done| {
        bar.set_position(done.packs);
        bar.set_message(format!("{} instances, {} MB less", done.recompressed, saved(done) / 1_000_000));
    });
    let done = worked.await?;
    bar.finish_and_clear();
    if arguments.dry_run {
        println!("nothing was changed, this is what would be:");
    }
    println!("{} packs; {done}, {}", done.packs, ratio(&done));
    for (reason, count) in &done.kept {
        println!("kept      {count}: {reason}");
    }
    for reason in &done.failed {
        println!("failed    {reason}");
    }
    archive.close().await;
    Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn saved(done: &storage::Recompression) -> u64 {
    done.before.saturating_sub(done.after)
}

fn ratio(done: &storage::Recompression) -> String {
    match done.after {
        0 => "nothing saved".to_owned(),
        after => format!("{:.2} to 1", done.before as f64 / after as f64),
    }
}
