//! `pacs replica …`: how far the second site's copy has come.

use crate::config::Config;
use anyhow::bail;
use std::process::ExitCode;
use storage::ReplicaStatus;

pub const EXAMPLES: &str = "Examples:
  pacs serve --set storage.replica_url=s3://second-site/pacs      keep a replica
  pacs replica status                                             how far it has come
  pacs restore s3://second-site/pacs --store-url s3://second-site/pacs --data-dir new
                                                                  bring the second site up on it
  pacs replica stop                                               keep none any more";

#[derive(Debug, clap::Subcommand)]
pub enum ReplicaCommand {
    /// What is not at the replica yet
    ///
    /// Exit code 0: all is there, or on its way; 1: the last attempt failed.
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget what waits for a replica: after storage.replica_url was taken out of the configuration
    Stop,
}

pub async fn run(config: &Config, command: ReplicaCommand) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let code = match command {
        ReplicaCommand::Status { json } => match archive.replica_status().await? {
            Some(status) if json => {
                println!("{}", serde_json::to_string_pretty(&status)?);
                ExitCode::SUCCESS
            }
            Some(status) => {
                println!("{}", words(&status));
                ExitCode::from(u8::from(!status.error.is_empty()))
            }
            None => bail!("no replica is kept: set storage.replica_url, and run `pacs serve`"),
        },
        ReplicaCommand::Stop => {
            if config.storage.replica_url.is_some() {
                bail!("storage.replica_url is still set: take it out of the configuration of all processes first");
            }
            archive.stop_replica().await?;
            println!("nothing is noted for a replica any more");
            ExitCode::SUCCESS
        }
    };
    archive.close().await;
    Ok(code)
}

/// In a line.
pub fn words(status: &ReplicaStatus) -> String {
    let ReplicaStatus { packs, bytes, changes, lag_milliseconds, error } = status;
    let error = if error.is_empty() { String::new() } else { format!("; the last attempt failed: {error}") };
    if packs + changes == 0 {
        return format!("all is at the replica{error}");
    }
    let (megabytes, seconds) = (bytes / 1_000_000, lag_milliseconds / 1000);
    format!("{packs} packs ({megabytes} MB) and {changes} changes wait, the oldest for {seconds} s{error}")
}
