//! `pacs correct …`.

use crate::config::Config;
use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use pacs_core::{Tag, Uid, correction::keyword_of, query::attribute_id};
use std::collections::BTreeMap;
use storage::{Correcting, Correction, Deed, PatientKey, RejectionReason, Target};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub const EXAMPLES: &str = "Examples:
  pacs correct set --study 1.2.3 AccessionNumber=A77 --reason 'typing error'
  pacs correct set --patient P100 'PatientName=Zhang^San=张^三' --reason 'passport seen'
  pacs correct assign 1.2.3 --to P200 --reason 'wrong patient chosen from the worklist'
  pacs correct merge P100 --into P200 --reason 'registered twice'
  pacs correct reject --study 1.2.3 --series 1.2.3.4 --as quality --reason 'patient moved'
  pacs correct list --study 1.2.3
  pacs correct undo 5f0c… --reason 'it was right'

What was received stays as it is; everything can be undone. Readers see the corrected view at once.";

/// Values on the command line: `Keyword=value`, an empty value empties, `Keyword-` removes.
type Value = (Tag, Option<String>);

#[derive(Debug, Subcommand)]
pub enum CorrectCommand {
    /// Give attributes of a patient, study, series or instance other values
    Set {
        #[command(flatten)]
        target: TargetArguments,
        /// KEYWORD=VALUE, or KEYWORD- to remove the attribute
        #[arg(required = true, value_parser = value)]
        values: Vec<Value>,
        #[arg(long)]
        reason: String,
    },
    /// Give a study to another patient
    Assign {
        #[arg(value_name = "STUDY")]
        study: Uid,
        /// Patient ID
        #[arg(long)]
        to: String,
        #[command(flatten)]
        more: PatientArguments,
        #[arg(long)]
        reason: String,
    },
    /// Give all of a patient, also what comes later, to another patient
    Merge {
        /// Patient ID
        #[arg(value_name = "PATIENT_ID")]
        from: String,
        /// Issuer of the Patient ID
        #[arg(long, default_value = "")]
        from_issuer: String,
        /// Patient ID of the other one
        #[arg(long)]
        into: String,
        #[command(flatten)]
        more: PatientArguments,
        #[arg(long)]
        reason: String,
    },
    /// Hide instances from queries and retrieval
    Reject {
        #[command(flatten)]
        target: TargetArguments,
        /// What is the matter with them
        #[arg(long = "as", value_enum)]
        title: Title,
        #[arg(long)]
        reason: String,
    },
    /// List corrections, the newest first
    List {
        #[arg(long)]
        study: Option<Uid>,
        /// Patient ID
        #[arg(long)]
        patient: Option<String>,
        #[arg(long, default_value = "")]
        issuer: String,
    },
    /// Undo a correction
    Undo {
        id: String,
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct TargetArguments {
    #[arg(long)]
    study: Option<Uid>,
    #[arg(long, requires = "study")]
    series: Option<Uid>,
    #[arg(long, requires = "series")]
    instance: Option<Uid>,
    /// Patient ID
    #[arg(long, conflicts_with = "study")]
    patient: Option<String>,
    /// Issuer of the Patient ID
    #[arg(long, default_value = "")]
    issuer: String,
}

/// The patient to whom something goes.
#[derive(Debug, Args)]
pub struct PatientArguments {
    /// Issuer of the Patient ID
    #[arg(long, default_value = "")]
    issuer: String,
    /// What is known of a patient who is new to the archive, such as PatientName=…
    #[arg(long, value_parser = value)]
    with: Vec<Value>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Title {
    /// For quality reasons (113001)
    Quality,
    /// For patient safety reasons (113037)
    PatientSafety,
    /// Incorrect modality worklist entry (113038)
    IncorrectWorklistEntry,
    /// Data retention policy expired (113039)
    RetentionExpired,
}

impl From<Title> for RejectionReason {
    fn from(title: Title) -> Self {
        match title {
            Title::Quality => Self::Quality,
            Title::PatientSafety => Self::PatientSafety,
            Title::IncorrectWorklistEntry => Self::IncorrectWorklistEntry,
            Title::RetentionExpired => Self::RetentionExpired,
        }
    }
}

impl TargetArguments {
    fn target(self) -> anyhow::Result<Target> {
        Ok(match (self.patient, self.study, self.series, self.instance) {
            (Some(id), ..) => Target::Patient(PatientKey { id, issuer: self.issuer }),
            (None, Some(study), None, _) => Target::Study(study),
            (None, Some(study), Some(series), None) => Target::Series(study, series),
            (None, Some(study), Some(series), Some(instance)) => Target::Instance(study, series, instance),
            (None, None, ..) => bail!("say what is corrected: --patient ID, or --study UID and what is in it"),
        })
    }
}

fn value(text: &str) -> Result<Value, String> {
    let (name, value) = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((name, value)), _) => (name, Some(value.to_owned())),
        (None, Some(name)) => (name, None),
        (None, None) => return Err("it is KEYWORD=VALUE, or KEYWORD- to remove the attribute".into()),
    };
    let tag = attribute_id(name).ok_or_else(|| format!("{name} is neither a keyword nor a tag of DICOM"))?;
    Ok((tag, value))
}

pub async fn run(config: &Config, command: CorrectCommand) -> anyhow::Result<()> {
    let (target, correcting, reason) = match command {
        CorrectCommand::Set { target, values, reason } => {
            (target.target()?, Correcting::Attributes(values.into_iter().collect()), reason)
        }
        CorrectCommand::Assign { study, to, more, reason } => {
            let to = PatientKey { id: to, issuer: more.issuer };
            (Target::Study(study), Correcting::Assignment(to, more.with.into_iter().collect()), reason)
        }
        CorrectCommand::Merge { from, from_issuer, into, more, reason } => {
            let from = Target::Patient(PatientKey { id: from, issuer: from_issuer });
            let into = PatientKey { id: into, issuer: more.issuer };
            (from, Correcting::Merge(into, more.with.into_iter().collect()), reason)
        }
        CorrectCommand::Reject { target, title, reason } => {
            (target.target()?, Correcting::Rejection(title.into(), Vec::new()), reason)
        }
        CorrectCommand::List { study, patient, issuer } => return list(config, study, patient, issuer).await,
        CorrectCommand::Undo { id, reason } => return undo(config, &id, &reason).await,
    };
    let archive = super::open(config).await?;
    let made = archive.correct(target, correcting, &deed(&reason)).await.context("nothing was corrected")?;
    println!("{}\nundo it with: pacs correct undo {} --reason …", line(&made), made.id);
    Ok(())
}

async fn undo(config: &Config, id: &str, reason: &str) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    let undone = archive.undo_correction(id, &deed(reason)).await?;
    println!("{}", line(&undone));
    Ok(())
}

async fn list(config: &Config, study: Option<Uid>, patient: Option<String>, issuer: String) -> anyhow::Result<()> {
    const MOST: u32 = 1000;
    let archive = super::open(config).await?;
    let patient = patient.map(|id| PatientKey { id, issuer });
    let found = archive.corrections(study.as_ref(), patient.as_ref(), MOST).await?;
    found.iter().for_each(|correction| println!("{}", line(correction)));
    if found.is_empty() {
        println!("nothing was corrected");
    }
    Ok(())
}

fn deed(reason: &str) -> Deed {
    let actor = super::record(storage::AuditAction::Correct, String::new()).actor;
    Deed::new(&actor, "localhost", reason)
}

fn line(correction: &Correction) -> String {
    let what = match &correction.target {
        Target::Patient(patient) => format!("patient {}", named(patient)),
        Target::Study(study) => format!("study {study}"),
        Target::Series(_, series) => format!("series {series}"),
        Target::Instance(_, _, instance) => format!("instance {instance}"),
    };
    let done = match &correction.correcting {
        Correcting::Attributes(values) => values_in_words(values),
        Correcting::Assignment(to, _) => format!("belongs to patient {}", named(to)),
        Correcting::Merge(into, _) => format!("merged into patient {}", named(into)),
        Correcting::Rejection(why, instances) => format!("{} instances rejected ({why:?})", instances.len()),
    };
    let undone = correction.undone.as_ref().map(|undone| format!("\n    undone {}", in_words(undone)));
    format!("{}  {what}: {done}\n    {}{}", correction.id, in_words(&correction.made), undone.unwrap_or_default())
}

fn named(patient: &PatientKey) -> String {
    let issuer = if patient.issuer.is_empty() { String::new() } else { format!(" of {}", patient.issuer) };
    format!("{}{issuer}", patient.id)
}

fn values_in_words(values: &BTreeMap<Tag, Option<String>>) -> String {
    let one = |(tag, value): (&Tag, &Option<String>)| match value {
        Some(value) => format!("{} = {value:?}", keyword_of(*tag)),
        None => format!("{} removed", keyword_of(*tag)),
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn in_words(deed: &Deed) -> String {
    let at = OffsetDateTime::from_unix_timestamp(deed.at / 1000);
    let at = at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
    format!("{at} by {} from {}: {}", deed.by, deed.from, deed.why)
}
