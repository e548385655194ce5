//! The tracing subscriber.

use crate::config::Config;
use tracing_subscriber::EnvFilter;

/// Logs to standard error, so that standard output stays for what a command prints.
pub fn start(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if config.log_json { subscriber.json().try_init() } else { subscriber.compact().try_init() };
    started.map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
