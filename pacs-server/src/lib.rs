//! The `pacs` program: configuration, wiring and command line. It knows every room and decides nothing.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | one [`config::Config`] from defaults, file, environment and flags, each value with its origin |
//! | [`serve`] | opens the archive, starts the rooms, stops them in order |
//! | [`http`] | the HTTP sockets and their limits |
//! | [`telemetry`] | the tracing subscriber |
//! | [`phantom`] | a deterministic synthetic chest CT with planted nodules, for `pacs demo`, tests and benches |
//! | [`commands`] | one file per subcommand |

pub mod commands;
pub mod config;
pub mod conformance;
pub mod http;
pub mod phantom;
pub mod serve;
pub mod telemetry;
