//! `pacs hold …`: legal holds.

use crate::config::Config;
use clap::Subcommand;
use pacs_core::Uid;
use storage::{Hold, Holding};
use time::OffsetDateTime;

pub const EXAMPLES: &str = "Examples:
  pacs hold add --study 1.2.3 --reason 'case 17/2026'        nobody can delete this study
  pacs hold add --patient P17 --reason 'case 17/2026'        nor any study of this patient, later ones included
  pacs hold list
  pacs hold release 4711 --reason 'case closed'";

/// Holds read at a time.
const AT_ONCE: u32 = 500;

#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Hold a study, or all studies of a patient: they cannot be deleted until the hold is released
    Add {
        /// Study Instance UID
        #[arg(long, value_name = "UID", required_unless_present = "patient", conflicts_with = "patient")]
        study: Option<Uid>,
        /// Patient ID
        #[arg(long, value_name = "ID")]
        patient: Option<String>,
        /// Issuer of Patient ID, where there is one
        #[arg(long, default_value = "", requires = "patient")]
        issuer: String,
        #[arg(long)]
        reason: String,
    },
    /// List holds, newest first
    List {
        /// Those that were released too
        #[arg(long)]
        all: bool,
    },
    /// End a hold
    Release {
        number: i64,
        #[arg(long)]
        reason: String,
    },
}

pub async fn run(config: &Config, command: HoldCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    let actor = super::actor();
    match command {
        HoldCommand::Add { study, patient, issuer, reason } => {
            let of = match study {
                Some(study) => Holding::Study(study),
                None => Holding::Patient { id: patient.unwrap_or_default(), issuer },
            };
            let number = archive.hold(&actor, "localhost", &of, &reason).await?;
            println!("hold {number}");
        }
        HoldCommand::List { all } => {
            let mut before = 0;
            loop {
                let holds = archive.holds(all, before, AT_ONCE).await?;
                let Some(last) = holds.last() else { break };
                before = last.number;
                holds.iter().for_each(|hold| println!("{}", line(hold)));
            }
            if before == 0 {
                println!("nothing is held");
            }
        }
        HoldCommand::Release { number, reason } => {
            archive.release_hold(&actor, "localhost", number, &reason).await?;
            println!("hold {number} is released");
        }
    }
    archive.close().await;
    Ok(())
}

fn line(hold: &Hold) -> String {
    let of = match &hold.of {
        Holding::Study(uid) => format!("study {uid}"),
        Holding::Patient { id, issuer } if issuer.is_empty() => format!("patient {id}"),
        Holding::Patient { id, issuer } => format!("patient {id} of {issuer}"),
    };
    let mut line = format!("{}  {of}  {} by {}: {}", hold.number, day(hold.held_at), hold.held_by, hold.reason);
    if hold.released_at > 0 {
        line += &format!("; released {} by {}: {}", day(hold.released_at), hold.released_by, hold.release_reason);
    }
    line
}

/// UTC.
fn day(milliseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(milliseconds / 1000).map_or_else(|_| "?".into(), |at| at.date().to_string())
}
