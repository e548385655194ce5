//! The tracing subscriber.

use crate::config::Config;
use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// Logs to standard error, so that standard output stays for what a command prints; in colour only to a terminal.
pub fn start(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    let started = if config.log_json { subscriber.json().try_init() } else { subscriber.compact().try_init() };
    started.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
