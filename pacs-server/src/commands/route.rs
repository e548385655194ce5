//! `pacs route …`: rules by which what arrives is sent on, destinations, and their queues.

mod arguments;
mod lines;

pub use arguments::ConditionArguments;
pub(super) use lines::in_words;

use super::coerce;
use crate::config::Config;
use anyhow::{Context, bail};
use arguments::{AddArguments, DestinationArguments, profile};
use clap::Subcommand;
use lines::{backlog_line, destination_line, queued_line, rule_line, step_line};
use pacs_core::{AeTitle, Uid};
use storage::{
    Archive, AuditAction,
    routing::{Destination, ForwardState, Priors, Receiver, Rule, StepRule, WebReceiver},
};

pub const EXAMPLES: &str = "Examples:
  pacs ae add RESEARCH --host 10.0.0.9 --port 104
  pacs route add chest-ct --to RESEARCH --modality CT --body-part 'CHEST*'
  pacs route add night --to TELERAD --between 'mon-fri 18:00-07:00 +08:00' --from 'CT?' --priors 2 --commit
  pacs route destination TELERAD --ae TELERAD --associations 4
  pacs route destination STUDY7 --ae RESEARCH --deidentify --keep patient --keep modified-dates
  pacs route steps ris --to RIS --modality CT    performed procedure steps of CTs
  pacs route list                       rules, destinations, what waits and what failed
  pacs route queue RESEARCH --state failed
  pacs route retry RESEARCH
  pacs route pause RESEARCH             the queue grows; pacs route resume RESEARCH sends it
  pacs route send RESEARCH --study 1.2.3

Rules speak of what arrives after they were made. A list of patterns is met by any of them, several conditions only together.";

#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Send on what meets all conditions; replaces the rule of this name
    Add(Box<AddArguments>),
    /// Remove a rule; what it has queued stays queued
    Remove { name: String },
    /// Tell an application entity what modalities report of procedure steps (MPPS); replaces the rule of this name
    Steps {
        /// Of the rule
        name: String,
        /// Who is told; `pacs ae add` says where it is
        #[arg(long, value_name = "AE_TITLE")]
        to: AeTitle,
        /// What this AE title reports; * and ? are wildcards, several are met by any
        #[arg(long, value_name = "PATTERN")]
        from: Vec<String>,
        /// Steps of this modality
        #[arg(long, value_name = "PATTERN")]
        modality: Vec<String>,
    },
    /// Remove a rule about procedure steps
    RemoveSteps { name: String },
    /// Add or change a destination; one for a configured AE is made by itself when a rule sends there
    Destination(Box<DestinationArguments>),
    /// Remove a destination to which no rule sends any more, with its queue
    Forget { destination: String },
    /// List rules and destinations, and how much waits, went and failed
    List,
    /// Send nothing to a destination for now
    Pause { destination: String },
    /// Go on
    Resume { destination: String },
    /// List instances in the queue, and that were: the last changed first
    Queue {
        destination: Option<String>,
        /// due, leased, sent, uncommitted, asked, committed, failed or refused
        #[arg(long, value_parser = state)]
        state: Option<ForwardState>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Try again what failed, and at once what waits for its next try
    Retry {
        destination: Option<String>,
        /// Also what was refused
        #[arg(long)]
        refused: bool,
    },
    /// Take instances that were not sent out of the queue
    Drop {
        destination: String,
        /// Only those that failed or were refused
        #[arg(long)]
        failed: bool,
    },
    /// Queue what is held of a study, also what was sent before
    Send {
        destination: String,
        #[arg(long)]
        study: Uid,
        #[arg(long)]
        series: Option<Uid>,
    },
}

fn state(word: &str) -> Result<ForwardState, String> {
    let known = ForwardState::ALL.into_iter().find(|state| state.as_str() == word);
    known.ok_or_else(|| "it is one of due, leased, sent, uncommitted, asked, committed, failed, refused".to_owned())
}

pub async fn run(config: &Config, command: RouteCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        RouteCommand::Add(arguments) => add(&archive, *arguments).await?,
        RouteCommand::Remove { name } => {
            archive.remove_rule(&name).await?;
            told(&archive, format!("route {name} removed")).await?;
        }
        RouteCommand::Steps { name, to, from, modality } => {
            archive.put_step_rule(&StepRule { name: name.clone(), to, from, modality }).await?;
            told(&archive, format!("route of steps {name} set")).await?;
        }
        RouteCommand::RemoveSteps { name } => {
            archive.remove_step_rule(&name).await?;
            told(&archive, format!("route of steps {name} removed")).await?;
        }
        RouteCommand::Destination(arguments) => set(&archive, *arguments).await?,
        RouteCommand::Forget { destination } => {
            archive.remove_destination(&destination).await?;
            told(&archive, format!("destination {destination} removed")).await?;
        }
        RouteCommand::List => list(&archive).await?,
        RouteCommand::Pause { destination } => {
            archive.pause_destination(&destination, true).await?;
            told(&archive, format!("destination {destination} paused")).await?;
        }
        RouteCommand::Resume { destination } => {
            archive.pause_destination(&destination, false).await?;
            told(&archive, format!("destination {destination} goes on")).await?;
        }
        RouteCommand::Queue { destination, state, limit } => {
            queue(&archive, destination.as_deref(), state, limit).await?;
        }
        RouteCommand::Retry { destination, refused } => {
            let count = archive.retry_forwards(destination.as_deref(), refused).await?;
            told(&archive, format!("{count} instances are tried again")).await?;
        }
        RouteCommand::Drop { destination, failed } => {
            let count = archive.drop_forwards(&destination, failed).await?;
            told(&archive, format!("{count} instances taken out of the queue of {destination}")).await?;
        }
        RouteCommand::Send { destination, study, series } => {
            known(&archive, &destination).await?;
            let count = archive.send(&destination, &study, series.as_ref()).await?;
            told(&archive, format!("{count} instances of study {study} queued for {destination}")).await?;
        }
    }
    archive.close().await;
    Ok(())
}

/// Says and writes down what was done.
async fn told(archive: &Archive, what: String) -> anyhow::Result<()> {
    println!("{what}");
    super::audit(archive, AuditAction::Configuration, what).await
}

async fn add(archive: &Archive, arguments: AddArguments) -> anyhow::Result<()> {
    known(archive, &arguments.to).await?;
    let rule = Rule {
        name: arguments.name,
        to: arguments.to,
        when: arguments.when.into(),
        sends_back: arguments.send_back,
        commits: arguments.commit,
        priors: arguments.priors.map(|studies| Priors {
            studies,
            same_modality: arguments.priors_same_modality,
            same_body_part: arguments.priors_same_body_part,
        }),
        allow_burned_in: arguments.allow_burned_in,
    };
    archive.put_rule(&rule).await?;
    super::audit(archive, AuditAction::Configuration, format!("route {} set", rule.name)).await?;
    println!("{}", rule_line(&rule));
    Ok(())
}

/// Makes a destination of a configured application entity that is none yet.
async fn known(archive: &Archive, name: &str) -> anyhow::Result<()> {
    if archive.destinations().await?.iter().any(|destination| destination.name == name) {
        return Ok(());
    }
    let peers = archive.peers().await?;
    match peers.into_iter().find(|peer| peer.ae_title.as_str() == name) {
        Some(peer) => Ok(archive.put_destination(&Destination::ae(peer.ae_title)).await?),
        None => bail!("{name} is neither a destination nor a configured AE: pacs ae add {name} --host … --port …"),
    }
}

async fn set(archive: &Archive, arguments: DestinationArguments) -> anyhow::Result<()> {
    let held = archive.destinations().await?.into_iter().find(|destination| destination.name == arguments.name);
    let receiver = match (arguments.receiver, arguments.url) {
        (Some(ae_title), _) => Some(Receiver::Ae(ae_title)),
        (None, Some(url)) => Some(Receiver::Web(WebReceiver { url, authorization: None })),
        (None, None) => None,
    };
    let mut destination = match (held, receiver) {
        (Some(held), Some(receiver)) => Destination { receiver, ..held },
        (Some(held), None) => held,
        (None, Some(receiver)) => Destination::new(&arguments.name, receiver),
        (None, None) => bail!("say where {} is: --ae AE_TITLE or --url URL", arguments.name),
    };
    if let Some(file) = &arguments.authorization {
        let Receiver::Web(web) = &mut destination.receiver else { bail!("only a DICOMweb peer takes --authorization") };
        let value = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        web.authorization = Some(value.trim().to_owned());
    }
    destination.associations = arguments.associations.unwrap_or(destination.associations);
    for (asked, limit) in [
        (arguments.instances_per_second, &mut destination.instances_per_second),
        (arguments.megabytes_per_second, &mut destination.megabytes_per_second),
    ] {
        *limit = asked.or(*limit).filter(|most| *most > 0);
    }
    if !arguments.also_known_as.is_empty() {
        destination.also_known_as = arguments.also_known_as;
    }
    if arguments.as_they_are || !arguments.coerce.is_empty() || !arguments.map.is_empty() {
        destination.coercion = coerce::coercion(arguments.coerce, arguments.map);
    }
    match (arguments.deidentify, arguments.identified) {
        (true, _) => destination.deidentify = Some(profile(&arguments.keep)),
        (_, true) => destination.deidentify = None,
        _ => {}
    }
    archive.put_destination(&destination).await?;
    super::audit(archive, AuditAction::Configuration, format!("destination {} set", destination.name)).await?;
    println!("{}", destination_line(&destination));
    let Receiver::Ae(ae_title) = &destination.receiver else { return Ok(()) };
    let peers = archive.peers().await?;
    if !peers.iter().any(|peer| peer.ae_title == *ae_title && peer.host.is_some() && peer.port.is_some()) {
        println!("nothing can be sent before it has host and port: pacs ae add {ae_title} --host … --port …");
    }
    Ok(())
}

async fn list(archive: &Archive) -> anyhow::Result<()> {
    let (rules, destinations) = (archive.rules().await?, archive.destinations().await?);
    let (backlog, errors) = (archive.backlog().await?, archive.forward_errors().await?);
    rules.iter().for_each(|rule| println!("{}", rule_line(rule)));
    let steps = archive.step_rules().await?;
    steps.iter().for_each(|rule| println!("{}", step_line(rule)));
    for destination in &destinations {
        println!("{}", destination_line(destination));
        let own = backlog.iter().filter(|one| one.destination == destination.name);
        own.for_each(|one| println!("    {}", backlog_line(one)));
        let own = errors.iter().filter(|(name, ..)| *name == destination.name).take(3);
        own.for_each(|(_, error, count)| println!("    {count} × {error}"));
    }
    if destinations.is_empty() && steps.is_empty() {
        println!("nothing is sent on");
    }
    Ok(())
}

async fn queue(
    archive: &Archive,
    destination: Option<&str>,
    state: Option<ForwardState>,
    limit: u32,
) -> anyhow::Result<()> {
    let found = archive.forwards(destination, state, limit).await?;
    found.iter().for_each(|one| println!("{}", queued_line(one)));
    if found.is_empty() {
        println!("nothing");
    }
    Ok(())
}
