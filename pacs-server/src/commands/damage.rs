//! `pacs damage …`: what is damaged in the store, and how it is mended.

use crate::config::Config;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::process::ExitCode;
use storage::{Archive, Damage};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub const EXAMPLES: &str = "Examples:
  pacs damage list                         what is damaged, and what to do
  pacs damage repair                       from storage.mend_from or the replica
  pacs damage repair --from /mnt/backup    from a backup, a replica or another copy of the store
  pacs damage discard --all                remove the damaged packs that were replaced";

#[derive(Debug, clap::Subcommand)]
pub enum DamageCommand {
    /// List what was found damaged by reading, verify or scrub
    List {
        /// Also what was mended, as long as its damaged pack is kept
        #[arg(long)]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look again at all of it, and fetch whole bytes from a replica or backup
    ///
    /// Exit code 0: nothing is damaged any more; 1: something is, and is named.
    Repair {
        /// Folder or URL of a backup, a replica or another copy of the store [default: storage.mend_from, the replica]
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
    },
    /// Remove damaged packs that were replaced and set aside
    Discard {
        /// A pack as `list --all` names it
        #[arg(required_unless_present = "all")]
        pack: Option<String>,
        /// All of them
        #[arg(long, conflicts_with = "pack")]
        all: bool,
    },
}

pub async fn run(config: &Config, command: DamageCommand) -> anyhow::Result<ExitCode> {
    let archive = super::open(config).await?;
    let code = match command {
        DamageCommand::List { all, json } => list(&archive, all, json).await?,
        DamageCommand::Repair { from } => repair(&archive, from.as_deref()).await?,
        DamageCommand::Discard { pack, .. } => discard(&archive, pack).await?,
    };
    archive.close().await;
    Ok(code)
}

async fn list(archive: &Archive, all: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let found = archive.damage(all).await?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&found.iter().map(object).collect::<Vec<_>>())?);
        return Ok(ExitCode::SUCCESS);
    }
    found.iter().for_each(|damage| println!("{}", line(damage)));
    let aside = archive.set_aside().await?;
    for pack in &aside {
        println!("set aside  {pack}");
    }
    if found.iter().any(|damage| damage.mended_at == 0 && damage.what.hides()) {
        println!(
            "`pacs damage repair --from BACKUP` fetches whole bytes; or let the modality send these instances again"
        );
    }
    if !aside.is_empty() {
        println!("`pacs damage discard --all` removes the packs that are set aside");
    }
    if found.is_empty() {
        println!("no damage is known; `pacs verify --read` looks at all that is stored");
    }
    Ok(ExitCode::SUCCESS)
}

async fn repair(archive: &Archive, from: Option<&str>) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {pos} mended, {elapsed}")?);
    let done = archive.mend(from, |done| bar.set_position(done.mended)).await?;
    bar.finish_and_clear();
    // Here and now, for there may be no server that does it as it runs.
    while archive.compact_one_series().await? {}
    println!("{} mended, {} whole again, {} packs made anew", done.mended, done.whole, done.anew);
    for (damage, why) in &done.left {
        println!("{}\n           {why}", line(damage));
    }
    Ok(if done.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn discard(archive: &Archive, pack: Option<String>) -> anyhow::Result<ExitCode> {
    let packs = match pack {
        Some(pack) => vec![pack],
        None => archive.set_aside().await?,
    };
    let actor = std::env::var("USER").unwrap_or_else(|_| "command line".to_owned());
    for pack in &packs {
        archive.discard(&actor, "localhost", pack).await?;
        println!("removed    {pack}");
    }
    if packs.is_empty() {
        println!("nothing is set aside");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(damage: &Damage) -> String {
    let state = if damage.mended_at > 0 { "mended" } else { "damaged" };
    let what = if damage.sop_instance.is_empty() { "own parts of the pack" } else { &damage.sop_instance };
    let by = if damage.mended_at > 0 { format!(", mended from {}", damage.mended_by) } else { String::new() };
    format!(
        "{state:10} {what}: {}\n           in {}, found {} by {}{by}",
        damage.what.words(),
        damage.object,
        moment(damage.found_at),
        damage.found_by
    )
}

fn object(damage: &Damage) -> serde_json::Value {
    json!({
        "id": damage.key,
        "study": damage.study,
        "series": damage.series,
        "sop_instance": damage.sop_instance,
        "pack": damage.object,
        "what": damage.what,
        "found_at": moment(damage.found_at),
        "found_by": damage.found_by,
        "mended_at": (damage.mended_at > 0).then(|| moment(damage.mended_at)),
        "mended_by": damage.mended_by,
    })
}

/// UTC, RFC 3339.
fn moment(milliseconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(milliseconds / 1000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
