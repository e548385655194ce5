//! `pacs tier …`: packs of a bucket that are kept near.

use crate::config::Config;
use clap::Subcommand;
use pacs_core::Uid;
use storage::PatientKey;

pub const EXAMPLES: &str = "Examples:
  pacs tier status
  pacs tier prefetch --study 1.2.3             this study, and the newest others of its patient
  pacs tier prefetch --patient P17 --studies 5 before the patient comes

Packs are kept near where storage.cache_megabytes is not 0 and the store is a bucket: docs/storage.md";

#[derive(Debug, Subcommand)]
pub enum TierCommand {
    /// Tell what is kept near
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
}

pub async fn run(config: &Config, command: TierCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match (archive.cache_use().await?, command) {
        (None, _) => println!("nothing is kept near: set storage.cache_megabytes, and --store-url to a bucket"),
        (Some(found), TierCommand::Status) => {
            println!("{} packs near, {} of {} MB", found.packs, found.byte_len >> 20, found.limit >> 20);
        }
        (Some(_), TierCommand::Prefetch { study, patient, issuer, studies }) => {
            let done = match (study, patient) {
                (Some(study), _) => archive.prefetch_study(&study).await?,
                (None, id) => {
                    archive.prefetch_priors(&PatientKey { id: id.unwrap_or_default(), issuer }, studies).await?
                }
            };
            let megabytes = done.byte_len >> 20;
            println!("{} packs brought near, {megabytes} MB; {} were near already", done.packs, done.near);
            if done.left > 0 {
                println!("{} stay where they are: one prefetch brings a quarter of the cache at most", done.left);
            }
        }
    }
    archive.close().await;
    Ok(())
}
