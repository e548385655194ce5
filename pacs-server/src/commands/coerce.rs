//! `pacs coerce …`: rules by which what arrives is corrected.

use super::route::ConditionArguments;
use crate::config::Config;
use clap::{Args, Subcommand};
use storage::{
    AuditAction,
    routing::{Coercion, CoercionRule},
};

pub const EXAMPLES: &str = "Examples:
  pacs coerce add ward7 --from 'CT?' 'InstitutionName=Ward 7' 'StationName={StationName}-7'
  pacs coerce add second-house --from MR9 'PatientID=H2-{PatientID}' IssuerOfPatientID=H2
  pacs coerce add body-parts --map BodyPartExamined:THX=CHEST --map BodyPartExamined:ABD=ABDOMEN
  pacs coerce add no-comments StudyComments-
  pacs coerce list

What was received stays as it is: a rule makes corrections, which pacs correct list shows and pacs correct undo undoes. It speaks
of what arrives after it was made, and corrects each patient, study and series once.";

#[derive(Debug, Subcommand)]
pub enum CoerceCommand {
    /// Correct what arrives and meets all conditions; replaces the rule of this name
    Add(Box<AddArguments>),
    /// Remove a rule; what it has corrected stays corrected
    Remove { name: String },
    /// List rules
    List,
}

#[derive(Debug, Args)]
pub struct AddArguments {
    name: String,
    /// KEYWORD=VALUE, where {KEYWORD} stands for the value that came, or KEYWORD- to remove the attribute
    #[arg(value_parser = setting, value_name = "SETTING")]
    values: Vec<Setting>,
    /// KEYWORD:OLD=NEW, a value in place of another
    #[arg(long, value_parser = mapping, value_name = "MAPPING")]
    map: Vec<Mapping>,
    #[command(flatten)]
    when: ConditionArguments,
}

pub type Setting = (String, Option<String>);
pub type Mapping = (String, String, String);

pub fn setting(text: &str) -> Result<Setting, String> {
    match (text.split_once('='), text.strip_suffix('-')) {
        (Some((keyword, value)), _) => Ok((keyword.to_owned(), Some(value.to_owned()))),
        (None, Some(keyword)) => Ok((keyword.to_owned(), None)),
        (None, None) => Err("it is KEYWORD=VALUE, or KEYWORD- to remove the attribute".into()),
    }
}

pub fn mapping(text: &str) -> Result<Mapping, String> {
    let parts = text.split_once(':').and_then(|(keyword, rest)| Some((keyword, rest.split_once('=')?)));
    let (keyword, (old, new)) = parts.ok_or("it is KEYWORD:OLD=NEW")?;
    Ok((keyword.to_owned(), old.to_owned(), new.to_owned()))
}

pub fn coercion(set: Vec<Setting>, map: Vec<Mapping>) -> Coercion {
    let mut coercion = Coercion { set: set.into_iter().collect(), ..Coercion::default() };
    for (keyword, old, new) in map {
        coercion.map.entry(keyword).or_default().insert(old, new);
    }
    coercion
}

pub async fn run(config: &Config, command: CoerceCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        CoerceCommand::Add(arguments) => {
            let AddArguments { name, values, map, when } = *arguments;
            let rule = CoercionRule { name, when: when.into(), coercion: coercion(values, map) };
            archive.put_coercion(&rule).await?;
            super::audit(&archive, AuditAction::Configuration, format!("coercion {} set", rule.name)).await?;
            println!("{}", line(&rule));
        }
        CoerceCommand::Remove { name } => {
            archive.remove_coercion(&name).await?;
            super::audit(&archive, AuditAction::Configuration, format!("coercion {name} removed")).await?;
            println!("coercion {name} removed");
        }
        CoerceCommand::List => {
            let rules = archive.coercions().await?;
            rules.iter().for_each(|rule| println!("{}", line(rule)));
            if rules.is_empty() {
                println!("nothing is coerced");
            }
        }
    }
    archive.close().await;
    Ok(())
}

fn line(rule: &CoercionRule) -> String {
    format!("{:16} {}: {}", rule.name, super::route::in_words(&rule.when), rule.coercion)
}
