//! `pacs conformance`: the conformance statement.

use crate::{config::Config, conformance::statement};

pub const EXAMPLES: &str = "Examples:
  pacs conformance                                  of the configuration that runs (pacs.toml, environment, flags)
  pacs conformance --config /etc/pacs/pacs.toml > conformance.md
  pacs conformance --default                        of the default configuration: docs/dicom-conformance.md
  pandoc conformance.md -o conformance.docx         for those who want it as a document

What peers may do is not in it: `pacs ae list`. The same for machines: OPTIONS on /dicom-web (PS3.18 §8.9).";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Of the default configuration, whatever is configured here
    #[arg(long = "default")]
    is_default: bool,
}

pub fn run(config: &Config, arguments: &Arguments) {
    let default = Config::default();
    print!("{}", statement(if arguments.is_default { &default } else { config }));
}
