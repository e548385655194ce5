//! `pacs key` and `pacs rekey`: encryption at rest.

use crate::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Print a new key as a line for the key ring (storage.keys)
    #[command(after_help = NEW_EXAMPLES)]
    New {
        /// Name of the key: a-z, 0-9 and -, seen in the names of objects
        name: String,
    },
}

const NEW_EXAMPLES: &str = "Examples:
  (umask 077; pacs key new 2026 > /etc/pacs/keys)       the first key of a ring
  pacs serve --set storage.keys=file:/etc/pacs/keys     packs are encrypted from now on

Rotation: put a new key in front of the others, restart all servers, then `pacs rekey`. Without its key a pack is lost:
keep a copy of the ring where the data is not.";

pub const REKEY_EXAMPLES: &str = "Examples:
  pacs rekey      after a key was added in front, the cipher changed, or encryption was switched on or off

Works beside running servers, which must have been started with the new key; goes on where it was broken off.
Exit code 0: every pack is as new ones are; 1: some could not be read or written.";

pub fn new(name: &str) -> anyhow::Result<()> {
    println!("{}", storage::new_key_line(name)?);
    Ok(())
}

pub async fn rekey(config: &Config) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} packs, {msg}, {eta} left")?;
    let bar = ProgressBar::new(0).with_style(style);
    let done = archive
        .rekey(|done| {
            bar.set_length(done.due);
            bar.set_position(done.packs + done.failed.len() as u64);
            bar.set_message(format!("{} MB", done.bytes / 1_000_000));
        })
        .await?;
    bar.finish_and_clear();
    let like = archive.new_packs_lock().unwrap_or_else(|| "plain".to_owned());
    println!("{} of {} packs that were not {like} now are, {} MB", done.packs, done.due, done.bytes / 1_000_000);
    for reason in &done.failed {
        println!("failed    {reason}");
    }
    Ok(if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
