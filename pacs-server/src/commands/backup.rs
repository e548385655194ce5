//! `pacs backup` and `pacs restore`: packs and catalog in another place, and back.

use crate::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use storage::AuditAction;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pacs backup /mnt/nas/yinghai                      to a folder
  pacs backup s3://backups/pacs                     to a bucket; credentials from AWS_… variables
  pacs backup s3://backups/pacs?endpoint=http://minio:9000&allow_http=true
  pacs backup --prune /mnt/nas/yinghai              what was deleted here goes there too

Works beside a running server. Copies only what the backup lacks, and goes on where it was broken off.
Exit code 0: all is in the backup; 1: something is not, and is named.")]
pub struct BackupArguments {
    /// Folder, or URL of a bucket (s3://…, gs://…, az://…)
    #[arg(value_name = "TO")]
    to: String,
    /// Keep only the newest state: remove older catalogs, and packs that it does not need
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  pacs restore /mnt/nas/yinghai --data-dir new-data
  pacs restore s3://backups/pacs --database-url postgres://pacs@db/new --store-url s3://new-store
  pacs restore s3://second-site/pacs --store-url s3://second-site/pacs --data-dir new-data
                                                     a replica, which serves itself from then on

Stop the server first. The catalog must be empty: name a new data folder, and a new database if it is PostgreSQL. Another
database and store than those of the backup will do. Goes on where it was broken off. An encrypted backup needs its keys
(storage.keys).
Exit code 0: all is back; 1: packs are missing in the backup, and are named.")]
pub struct RestoreArguments {
    /// Folder, or URL of a bucket (s3://…, gs://…, az://…), with a backup or a replica
    #[arg(value_name = "FROM")]
    from: String,
}

pub async fn backup(config: &Config, arguments: BackupArguments) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    // Before anything leaves: a backup that breaks off has taken something too.
    super::audit(&archive, AuditAction::Export, "backup".to_owned()).await?;
    let bar = bar()?;
    let done = archive.backup(&arguments.to, |done| show(&bar, done.packs, done.done, done.bytes)).await?;
    bar.finish_and_clear();
    println!("{} packs, {} of them new in the backup, {} MB", done.packs, done.copied, done.bytes / 1_000_000);
    for key in &done.missing {
        println!("missing    {key}: in the catalog and not in the store; `pacs verify` tells more");
    }
    for key in &done.elsewhere {
        println!("elsewhere  {key}: in the spool of another machine; back up again when its series is complete");
    }
    if arguments.prune && done.is_whole() {
        println!("{} objects removed that it does not need", archive.prune_backup(&arguments.to).await?);
    }
    archive.close().await;
    Ok(if done.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub async fn restore(config: &Config, arguments: RestoreArguments) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let bar = bar()?;
    let done = archive.restore(&arguments.from, |done| show(&bar, done.packs, done.done, done.bytes)).await?;
    bar.finish_and_clear();
    super::audit(&archive, AuditAction::Configuration, "restored from a backup".to_owned()).await?;
    println!("{} packs and {} rows of the catalog are back, {} MB", done.packs, done.rows, done.bytes / 1_000_000);
    for key in &done.missing {
        println!("missing    {key}: named by the catalog and nowhere; its instances can be sent again");
    }
    for destination in archive.destinations().await? {
        println!("paused     {0}: to let the queue go on from here, pacs route resume {0}", destination.name);
    }
    archive.close().await;
    Ok(if done.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} packs, {msg}, {eta} left")?;
    Ok(ProgressBar::new(0).with_style(style))
}

fn show(bar: &ProgressBar, packs: u64, done: u64, bytes: u64) {
    bar.set_length(packs);
    bar.set_position(done);
    bar.set_message(format!("{} MB", bytes / 1_000_000));
}
