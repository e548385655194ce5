//! `pacs retention …`: what has expired, and its deletion.

use crate::config::Config;
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use pacs_core::Uid;
use serde::Serialize;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};
use storage::{Archive, Cursor, Deletion, Expiry, KeptStudy, PatientClass, StudyTerm};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub const EXAMPLES: &str = "Examples:
  pacs retention report --within-days 90            what has expired or will, and what is held
  pacs retention report --format csv > report.csv
  pacs retention delete --expired --dry-run         what would go
  pacs retention delete --expired                   what has expired goes, and is listed in a report file
  pacs retention deletions --format csv             everything that ever went so
  pacs retention class 1.2.3 inpatient              what the patient was, where rules depend on it

Rules are tables [[storage.retention]] of pacs.toml: docs/retention.md";

/// Deletions read at a time.
const AT_ONCE: u32 = 500;

#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// List what has expired, oldest first, then what is on legal hold
    Report {
        /// Also what expires within so many days
        #[arg(long, default_value_t = 0)]
        within_days: u16,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Delete what has expired, or one study before its term is over
    Delete {
        /// All studies whose term is over, as far as they are not on legal hold
        #[arg(long, conflicts_with = "study", required_unless_present = "study")]
        expired: bool,
        /// Only tell how much would go
        #[arg(long, requires = "expired")]
        dry_run: bool,
        /// At most so many studies; what is left goes next time
        #[arg(long, requires = "expired")]
        limit: Option<usize>,
        /// Where the report of what was deleted goes, as CSV [default: retention-RUN.csv in the data folder]
        #[arg(long, value_name = "FILE", requires = "expired")]
        report: Option<PathBuf>,
        /// A study that is to go though its term is not over
        #[arg(long, value_name = "UID", requires = "reason")]
        study: Option<Uid>,
        /// Why it is to go, for the audit trail
        #[arg(long, requires = "study")]
        reason: Option<String>,
    },
    /// List what was deleted because its term was over
    Deletions {
        /// Of one run only
        #[arg(long, default_value_t = 0)]
        run: i64,
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Say whether the patient of a study was an inpatient
    Class {
        study: Uid,
        #[arg(value_enum)]
        class: Class,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Csv,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Class {
    Inpatient,
    Outpatient,
}

pub async fn run(config: &Config, command: RetentionCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    let actor = super::actor();
    match command {
        RetentionCommand::Report { within_days, format } => report(&archive, within_days, format).await?,
        RetentionCommand::Delete { study: Some(study), reason, .. } => {
            let removed = archive.delete_early(&actor, "localhost", &study, &reason.unwrap_or_default()).await?;
            println!("study {study} deleted, {removed} instances");
        }
        RetentionCommand::Delete { dry_run: true, limit, .. } => {
            println!("would delete {}", told(&archive.count_expired(limit.unwrap_or(usize::MAX)).await?));
        }
        RetentionCommand::Delete { limit, report, .. } => {
            let done = archive.delete_expired(&actor, "localhost", limit.unwrap_or(usize::MAX)).await?;
            println!("deleted {}", told(&done));
            if done.run > 0 {
                let path =
                    report.unwrap_or_else(|| config.storage.data_dir.join(format!("retention-{}.csv", done.run)));
                write_report(&archive, done.run, &path).await?;
                println!("report {}", path.display());
            }
        }
        RetentionCommand::Deletions { run, format } => {
            deletions(&archive, run, Lines::new(format, std::io::stdout().lock())).await?;
        }
        RetentionCommand::Class { study, class } => {
            let class = match class {
                Class::Inpatient => PatientClass::Inpatient,
                Class::Outpatient => PatientClass::Outpatient,
            };
            archive.set_patient_class(&actor, "localhost", &study, class).await?;
            println!("study {study} is of an {}", class.as_str());
        }
    }
    archive.close().await;
    Ok(())
}

fn told(done: &Expiry) -> String {
    let megabytes = done.byte_len / 1_000_000;
    format!(
        "{} studies, {} instances, {megabytes} MB; {} more have expired and are on legal hold",
        done.studies, done.instances, done.held
    )
}

async fn report(archive: &Archive, within_days: u16, format: Format) -> anyhow::Result<()> {
    let mut lines = Lines::new(format, std::io::stdout().lock());
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        let page = archive.retention_report(within_days, &from).await?;
        page.studies.iter().try_for_each(|study| lines.write(study, of_term))?;
        next = page.next;
    }
    lines.end("nothing has expired and nothing is held")
}

async fn write_report(archive: &Archive, run: i64, path: &Path) -> anyhow::Result<()> {
    let place = || {
        let path = path.display();
        format!("cannot write {path}; the catalog has it too: pacs retention deletions --run {run} --format csv")
    };
    let file = File::create(path).with_context(place)?;
    deletions(archive, run, Lines::new(Format::Csv, BufWriter::new(&file))).await.with_context(place)?;
    file.sync_all().with_context(place)
}

async fn deletions(archive: &Archive, run: i64, mut lines: Lines<impl Write>) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = archive.deletions(run, after, AT_ONCE).await?;
        let Some(last) = page.last() else { return lines.end("nothing was deleted") };
        after = last.number;
        page.iter().try_for_each(|deletion| lines.write(deletion, of_deletion))?;
    }
}

/// A row as names of columns and their values, in order.
type Cells = Vec<(&'static str, String)>;

fn of_term(StudyTerm { state, of }: &StudyTerm) -> Cells {
    [vec![("state", state.as_str().to_owned())], of_study(of)].concat()
}

fn of_deletion(deletion: &Deletion) -> Cells {
    let at = OffsetDateTime::from_unix_timestamp(deletion.deleted_at / 1000);
    let done = vec![
        ("deleted_at", at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()),
        ("deleted_by", deletion.deleted_by.clone()),
        ("run", deletion.run.to_string()),
    ];
    [done, of_study(&deletion.of)].concat()
}

fn of_study(of: &KeptStudy) -> Cells {
    vec![
        ("rule", of.rule.clone()),
        ("kept_until", of.kept_until.clone()),
        ("study", of.study.clone()),
        ("study_date", of.study_date.clone()),
        ("accession_number", of.accession_number.clone()),
        ("modalities", of.modalities.clone()),
        ("instances", of.instances.to_string()),
        ("bytes", of.byte_len.to_string()),
    ]
}

/// Rows as lines, one by one, the names of their columns first.
struct Lines<W> {
    format: Format,
    out: W,
    is_begun: bool,
}

impl<W: Write> Lines<W> {
    fn new(format: Format, out: W) -> Self {
        Self { format, out, is_begun: false }
    }

    fn write<R: Serialize>(&mut self, row: &R, cells: fn(&R) -> Cells) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return Ok(writeln!(self.out, "{}", serde_json::to_string(row)?)?);
        }
        let (names, values): (Vec<_>, Vec<_>) = cells(row).into_iter().unzip();
        if !self.is_begun {
            writeln!(self.out, "{}", self.line(names.into_iter().map(str::to_owned)))?;
            self.is_begun = true;
        }
        let line = self.line(values.into_iter());
        Ok(writeln!(self.out, "{line}")?)
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let cells: Vec<_> = match self.format {
            Format::Csv => cells.map(|cell| quoted(&cell)).collect(),
            _ => cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }).collect(),
        };
        cells.join(if self.format == Format::Csv { "," } else { "  " })
    }

    fn end(mut self, nothing: &str) -> anyhow::Result<()> {
        if self.format == Format::Table && !self.is_begun {
            writeln!(self.out, "{nothing}")?;
        }
        Ok(self.out.flush()?)
    }
}

/// A cell of CSV (RFC 4180). What a spreadsheet would take for a formula is text.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_table_are_text_whatever_they_hold() {
        for (cell, expected) in [("a", "a"), ("a,b", "\"a,b\""), ("a\"b", "\"a\"\"b\""), ("=1+1", "'=1+1"), ("", "")] {
            assert_eq!(quoted(cell), expected);
        }
    }
}
