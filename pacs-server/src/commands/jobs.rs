//! `pacs jobs …`: what the AI and the relay have done, are doing, and could not do.

use crate::config::Config;
use clap::Subcommand;
use storage::{AuditAction, Job, JobState};

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, newest first
    List {
        /// `ai`, `hl7:` or `fhir:`
        #[arg(default_value = "")]
        kind: String,
        /// Only those that were given up: the dead letters
        #[arg(long)]
        dead: bool,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Try a dead job again
    Retry { id: String },
}

pub async fn run(config: &Config, command: JobCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        JobCommand::List { kind, dead, limit } => {
            let state = dead.then_some(JobState::Dead);
            let jobs = archive.jobs(&kind, state, limit).await?;
            jobs.iter().for_each(|job| println!("{}", line(job)));
            if jobs.is_empty() {
                println!("no jobs");
            }
        }
        JobCommand::Retry { id } => {
            archive.revive(&id).await?;
            super::audit(&archive, AuditAction::Configuration, format!("job {id} revived")).await?;
            println!("job {id} is due again");
        }
    }
    Ok(())
}

fn line(job: &Job) -> String {
    let state = match job.state {
        JobState::Due => "due",
        JobState::Leased => "running",
        JobState::Done => "done",
        JobState::Dead => "dead",
    };
    let said = job.last_error.as_deref().filter(|_| job.state != JobState::Done).or(job.result.as_deref());
    format!(
        "{}  {:10} {:7} tries {:2}  {}  {}",
        job.id,
        job.kind,
        state,
        job.attempts,
        job.key,
        said.unwrap_or_default()
    )
}
