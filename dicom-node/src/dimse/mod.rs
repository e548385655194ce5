//! DIMSE messages as values, without sockets (PS3.7, PS3.8 Annex E).

pub mod command;
pub mod message;
pub mod status;

pub use command::CommandSet;
pub use message::{Assembler, Part};
