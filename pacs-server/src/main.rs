//! Arguments → configuration → run → exit code.

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use pacs_server::{
    commands::{
        accounts, backup, coerce, conformance, correct, damage, demo, doctor, echo, export, holds, import, jobs, keys,
        peers, quarantine, recompress, replica, retention, route, tiers, verify, worklist,
    },
    config::{self, Effective, Settings},
    serve, telemetry,
};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Gives memory back soon, also what a thread took that has nothing to do now: the network that looks at a chest CT.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const EXAMPLES: &str = "Examples:
  pacs serve                                  run with defaults: viewer on 127.0.0.1:8042, DICOM on 127.0.0.1:11112
  pacs demo                                   push a synthetic chest CT to the running server and wait for the AI
  pacs import scans/ disk.zip DICOMDIR        take files in without the network
  pacs token create --user admin --name ci    a token for Authorization: Bearer
  dcmsend --no-halt -aec YINGHAI 127.0.0.1 11112 +sd +r scans/     push with dcmtk

Every command takes the configuration flags that `pacs serve --help` tells of, such as --data-dir.";

/// The commands whose help tells of the configuration flags; elsewhere they would bury the command's own.
const CONFIGURED: [&str; 2] = ["serve", "doctor"];

/// Yinghai (影海): a PACS that reads lungs. Receives over DICOM, shows in the browser, reports to the EMR.
#[derive(Parser)]
#[command(name = "pacs", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve {
        /// Print the effective configuration, each key with its origin, and stop
        #[arg(long)]
        print_config: bool,
    },
    /// Push a synthetic chest CT with planted nodules to the running server and wait for the AI result
    Demo(demo::Arguments),
    /// Take in files, folders, ZIP archives and DICOMDIRs
    Import(import::Arguments),
    /// Write instances out as Part 10 files
    Export(export::Arguments),
    /// Print the DICOM conformance statement (PS3.2) of the configuration that runs
    Conformance(conformance::Arguments),
    /// Check configuration, database, object store, ports and AI model, and say the remedy
    Doctor,
    /// Compare catalog and store, and check that instances are as they were received
    Verify(verify::VerifyArguments),
    /// What is damaged in the store, and its repair from a replica or backup
    #[command(subcommand, after_help = damage::EXAMPLES)]
    Damage(damage::DamageCommand),
    /// What unknown callers stored, and what becomes of it
    #[command(subcommand, after_help = quarantine::EXAMPLES)]
    Quarantine(quarantine::QuarantineCommand),
    /// What has outlived its term of retention, and its deletion
    #[command(subcommand, after_help = retention::EXAMPLES)]
    Retention(retention::RetentionCommand),
    /// Where packs lie: kept near, hot or cold
    #[command(subcommand, after_help = tiers::EXAMPLES)]
    Tier(tiers::TierCommand),
    /// Legal holds: what nobody can delete
    #[command(subcommand, after_help = holds::EXAMPLES)]
    Hold(holds::HoldCommand),
    /// Write the catalog anew from the packs in the store, where it lacks them
    Reindex,
    /// Bring a backup up to date, in another folder or bucket
    Backup(backup::BackupArguments),
    /// How far the copy for a second site has come
    #[command(subcommand, after_help = replica::EXAMPLES)]
    Replica(replica::ReplicaCommand),
    /// Take a backup or a replica into an empty archive
    Restore(backup::RestoreArguments),
    /// Correct what was received: attributes, patients, rejections; see what was corrected, and undo it
    #[command(subcommand, after_help = correct::EXAMPLES)]
    Correct(correct::CorrectCommand),
    /// Keys by which packs in the store are encrypted
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// Encrypt packs again that are not as the configuration wants them: after a change of keys or cipher
    #[command(after_help = keys::REKEY_EXAMPLES)]
    Rekey,
    /// Encode frames anew without loss, by the rules of storage.recompression
    Recompress(recompress::Arguments),
    /// C-ECHO a peer, or the running server
    Echo(echo::Arguments),
    /// Users
    #[command(subcommand)]
    User(accounts::UserCommand),
    /// API tokens
    #[command(subcommand, after_help = accounts::TOKEN_EXAMPLES)]
    Token(accounts::TokenCommand),
    /// Application entities that may call us, and that we send to
    #[command(subcommand)]
    Ae(peers::PeerCommand),
    /// What is sent on by rule: rules, destinations, their queues
    #[command(subcommand, after_help = route::EXAMPLES)]
    Route(route::RouteCommand),
    /// Rules by which what arrives is corrected
    #[command(subcommand, after_help = coerce::EXAMPLES)]
    Coerce(coerce::CoerceCommand),
    /// Orders: what modalities find on their worklist
    #[command(subcommand, after_help = worklist::EXAMPLES)]
    Worklist(worklist::WorklistCommand),
    /// AI and delivery jobs; dead letters
    #[command(subcommand)]
    Jobs(jobs::JobCommand),
    /// Configuration reference
    #[command(subcommand, hide = true)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print docs/configuration.md
    Reference,
}

fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pacs: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn command_line() -> clap::Command {
    let command = Arguments::command();
    let flags: Vec<Arg> = command.get_arguments().filter(|flag| flag.is_global_set()).cloned().collect();
    let command = command.mut_args(|flag| if flag.is_global_set() { flag.hide(true) } else { flag });
    CONFIGURED.into_iter().fold(command, |all, name| all.mut_subcommand(name, |one| one.args(flags.clone())))
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Config(ConfigCommand::Reference) = arguments.command {
        print!("{}", config::reference());
        return Ok(ExitCode::SUCCESS);
    }
    let environment: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("PACS_")).collect();
    let effective = Effective::load(&arguments.settings, &environment)?;
    if let Command::Serve { print_config: true } = arguments.command {
        print!("{}", effective.print());
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Conformance(arguments) = &arguments.command {
        conformance::run(&effective.config, arguments);
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(dispatch(arguments.command, effective.config));
    // A decode or inference under way must not hold the exit up.
    runtime.shutdown_background();
    ended
}

async fn dispatch(command: Command, config: config::Config) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Serve { .. } => {
            telemetry::start(&config)?;
            let shutdown = CancellationToken::new();
            tokio::spawn(cancel_on_signal(shutdown.clone()));
            serve::serve(config, shutdown).await
        }
        Command::Worklist(command) => worklist::run(&config, command).await,
        Command::Demo(arguments) => demo::run(&config, arguments).await,
        Command::Import(arguments) => return import::run(&config, arguments).await,
        Command::Export(arguments) => export::run(&config, arguments).await,
        Command::Doctor => return doctor::run(&config).await,
        Command::Verify(arguments) => return verify::verify(&config, arguments).await,
        Command::Damage(command) => return damage::run(&config, command).await,
        Command::Quarantine(command) => return quarantine::run(&config, command).await,
        Command::Retention(command) => retention::run(&config, command).await,
        Command::Tier(command) => return tiers::run(&config, command).await,
        Command::Hold(command) => holds::run(&config, command).await,
        Command::Reindex => return verify::reindex(&config).await,
        Command::Backup(arguments) => return backup::backup(&config, arguments).await,
        Command::Replica(command) => return replica::run(&config, command).await,
        Command::Restore(arguments) => return backup::restore(&config, arguments).await,
        Command::Correct(command) => correct::run(&config, command).await,
        Command::Key(keys::KeyCommand::New { name }) => keys::new(&name),
        Command::Rekey => return keys::rekey(&config).await,
        Command::Recompress(arguments) => return recompress::run(&config, arguments).await,
        Command::Echo(arguments) => echo::run(&config, arguments).await,
        Command::User(command) => accounts::run_user(&config, command).await,
        Command::Token(command) => accounts::run_token(&config, command).await,
        Command::Ae(command) => peers::run(&config, command).await,
        Command::Route(command) => route::run(&config, command).await,
        Command::Coerce(command) => coerce::run(&config, command).await,
        Command::Jobs(command) => jobs::run(&config, command).await,
        Command::Config(_) | Command::Conformance(_) => Ok(()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The first SIGINT or SIGTERM stops in order; the second ends the process.
async fn cancel_on_signal(shutdown: CancellationToken) {
    wait_for_signal().await;
    tracing::info!("stopping: finishing what is under way; signal again to end at once");
    shutdown.cancel();
    wait_for_signal().await;
    std::process::exit(130);
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// clap parses into whichever has the id, and panics where the types differ.
    #[test]
    fn no_command_has_an_argument_of_a_global_ones_id() {
        let root = Arguments::command();
        let globals: Vec<_> = root.get_arguments().filter(|a| a.is_global_set()).map(clap::Arg::get_id).collect();
        let mut commands: Vec<&clap::Command> = root.get_subcommands().collect();
        assert!(!globals.is_empty() && !commands.is_empty());
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                assert!(!globals.contains(&argument.get_id()), "{} {}", command.get_name(), argument.get_id());
            }
            commands.extend(command.get_subcommands());
        }
    }

    #[test]
    fn configuration_flags_are_taken_everywhere_and_told_of_where_they_matter() {
        let help = |line: &str| {
            let shown = command_line().try_get_matches_from(line.split(' ')).unwrap_err();
            shown.to_string()
        };
        for line in ["pacs serve --help", "pacs doctor --help"] {
            assert!(help(line).contains("--data-dir"), "{line}");
        }
        for line in ["pacs --help", "pacs token --help", "pacs token create --help", "pacs import --help"] {
            assert!(!help(line).contains("--store-url"), "{line}");
        }
        assert!(help("pacs token --help").contains("Authorization: Bearer"));
        for line in ["pacs --data-dir d serve", "pacs serve --data-dir d", "pacs token list --data-dir d"] {
            let matches = command_line().try_get_matches_from(line.split(' ')).unwrap();
            let arguments = Arguments::from_arg_matches(&matches).unwrap();
            assert_eq!(arguments.settings.data_dir.as_deref(), Some("d"), "{line}");
        }
    }

    #[test]
    fn application_entities_are_named_on_the_command_line() {
        for line in ["pacs ae add CT1 --host 10.0.0.7 --port 104 --store", "pacs ae remove CT1", "pacs echo CT1"] {
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_ok_and(|arguments| arguments.settings.ae_title.is_none()), "{line}");
        }
    }
}
