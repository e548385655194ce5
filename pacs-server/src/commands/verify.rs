//! `pacs verify` and `pacs reindex`: catalog and store compared, and the catalog made anew.

use crate::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use pacs_core::query::{Level, Query};
use std::{process::ExitCode, time::Duration};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pacs verify             catalog against store, both ways: quick
  pacs verify --read      also read every instance and check it: as long as reading takes

Exit code 0: sound; 1: something is missing, unknown or damaged.")]
pub struct VerifyArguments {
    /// Read every instance and compare it with what was received
    #[arg(long)]
    read: bool,
}

pub async fn verify(config: &Config, arguments: VerifyArguments) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let bar = bar("instances read")?;
    let found = archive.verify(arguments.read, |read| bar.set_position(read)).await?;
    bar.finish_and_clear();
    println!("{} packs in the catalog, {} instances read", found.packs, found.instances);
    for key in &found.elsewhere {
        println!("elsewhere {key}: not sealed, and in no spool of this machine; start pacs where it was received");
    }
    for key in &found.missing {
        println!("missing   {key}: in the catalog and not in the store; restore it from a backup");
    }
    for key in &found.unknown {
        println!("unknown   {key}: in the store and not in the catalog; `pacs reindex` takes it in");
    }
    for uid in &found.damaged {
        println!("damaged   {uid}: cannot be read as it was received; `pacs damage list` tells more");
    }
    for key in &found.damaged_packs {
        println!("damaged   {key}: its instances are whole, what it keeps beside them is not; it is made anew");
    }
    if !found.is_sound() {
        return Ok(ExitCode::FAILURE);
    }
    println!("sound");
    Ok(ExitCode::SUCCESS)
}

pub async fn reindex(config: &Config) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let bar = bar("packs read")?;
    let done = archive.reindex(|done| bar.set_position(done.packs)).await?;
    bar.finish_and_clear();
    let studies = archive.find(&Query { limit: Some(1), ..Query::new(Level::Study) }).await?.len();
    println!("{} packs read that the catalog did not know, {} instances taken in", done.packs, done.instances);
    if done.corrections > 0 {
        println!("{} corrections taken in", done.corrections);
    }
    if done.holds > 0 {
        println!("{} legal holds taken in", done.holds);
    }
    if done.quarantined > 0 {
        println!("{} instances taken into quarantine", done.quarantined);
    }
    for reason in &done.damaged {
        println!("damaged   {reason}");
    }
    if studies == 0 {
        println!("the archive is empty: is this the right data folder and store? `pacs serve --print-config` tells");
    }
    Ok(if done.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(what: &str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{spinner} {pos} {msg}, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
