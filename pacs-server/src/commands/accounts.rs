//! `pacs user …` and `pacs token …`.

use crate::config::Config;
use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use std::io::{BufRead, IsTerminal};
use storage::{Archive, AuditAction, Role};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

pub const TOKEN_EXAMPLES: &str = "Examples:
  pacs token create --user admin --name ci     prints the secret, this once
  curl -H \"Authorization: Bearer SECRET\" http://127.0.0.1:8042/dicom-web/studies
  pacs token list
  pacs token revoke --user admin --name ci";

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user; the password is read from standard input, or made up and printed with --generate
    Add {
        name: String,
        /// What the user may do; repeat for several
        #[arg(id = "user_role", long = "role", value_enum, default_value = "physician")]
        roles: Vec<RoleName>,
        #[arg(long)]
        generate: bool,
    },
    /// Change a password; ends the user's sessions
    Passwd {
        name: String,
        #[arg(long)]
        generate: bool,
    },
    /// Remove a user with its sessions and tokens
    Remove { name: String },
    /// List users and their roles
    List,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make an API token; its secret is printed once
    Create {
        /// Whose rights the token has
        #[arg(long)]
        user: String,
        /// What the token is for
        #[arg(long)]
        name: String,
    },
    /// List tokens: user, name, when they were made; never the secrets
    List,
    /// Revoke a token
    Revoke {
        #[arg(long)]
        user: String,
        #[arg(long)]
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// Everything, users and configuration included
    Admin,
    /// Search, read, store
    Physician,
    /// Store and search, no pixels
    Technician,
    /// Search and read only
    Viewer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Physician => Self::Physician,
            RoleName::Technician => Self::Technician,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

pub async fn run_user(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        UserCommand::Add { name, roles, generate } => {
            let password = password(generate)?;
            let roles: Vec<Role> = roles.into_iter().map(Role::from).collect();
            archive.add_user(&name, &password, &roles).await?;
            super::audit(&archive, AuditAction::Configuration, format!("user {name} added")).await?;
            println!("user {name} added{}", shown(generate, &password));
        }
        UserCommand::Passwd { name, generate } => {
            let password = password(generate)?;
            archive.set_password(&name, &password).await?;
            super::audit(&archive, AuditAction::Configuration, format!("password of {name} changed")).await?;
            println!("password of {name} changed{}", shown(generate, &password));
        }
        UserCommand::Remove { name } => {
            archive.remove_user(&name).await?;
            super::audit(&archive, AuditAction::Configuration, format!("user {name} removed")).await?;
            println!("user {name} removed");
        }
        UserCommand::List => list(&archive).await?,
    }
    Ok(())
}

pub async fn run_token(config: &Config, command: TokenCommand) -> anyhow::Result<()> {
    let archive = super::open(config).await?;
    match command {
        TokenCommand::Create { user, name } => {
            let secret = archive.create_token(&user, &name).await?;
            super::audit(&archive, AuditAction::Configuration, format!("token {name} of {user} created")).await?;
            // Alone on standard output, so that a script can take it.
            eprintln!("token {name} of {user}, shown only now:");
            println!("{secret}");
        }
        TokenCommand::List => {
            for token in archive.tokens().await? {
                println!("{:24} {:24} {}", token.user, token.name, instant(token.created_at));
            }
        }
        TokenCommand::Revoke { user, name } => {
            archive.revoke_token(&user, &name).await?;
            super::audit(&archive, AuditAction::Configuration, format!("token {name} of {user} revoked")).await?;
            println!("token {name} of {user} revoked");
        }
    }
    Ok(())
}

async fn list(archive: &Archive) -> anyhow::Result<()> {
    for user in archive.users().await? {
        let roles: Vec<_> = user.roles.iter().map(|r| format!("{r:?}").to_lowercase()).collect();
        println!("{:24} {}", user.name, roles.join(", "));
    }
    Ok(())
}

/// UTC, to the second.
fn instant(millis: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(millis.div_euclid(1000)).ok();
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

/// Shortest password taken; NIST SP 800-63B asks for 8, we for a little more.
const SHORTEST: usize = 10;

fn password(generate: bool) -> anyhow::Result<String> {
    if generate {
        use rand::{RngExt, distr::Alphanumeric};
        return Ok(rand::rng().sample_iter(Alphanumeric).take(16).map(char::from).collect());
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("password (shown while typing; at least {SHORTEST} characters): ");
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.chars().count() < SHORTEST {
        bail!("a password has at least {SHORTEST} characters; give it on standard input or use --generate");
    }
    Ok(password.to_owned())
}

fn shown(generated: bool, password: &str) -> String {
    if generated { format!(", password {password} (shown only now)") } else { String::new() }
}
