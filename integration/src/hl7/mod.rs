//! HL7 v2.5.1, pure: no sockets, no clock.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`message`] | segments, fields, escape sequences, written and read | chapter 2 §2.5, §2.7 |
//! | [`charset`] | MSH-18 and the bytes it stands for | table 0211 |
//! | [`oru`] | a result as ORU^R01 | chapter 7 §7.3.1, IHE RAD TF RAD-128 |
//! | [`ack`] | the receiver's answer | chapter 2 §2.9, table 0008 |
//! | [`mllp`] | frames | HL7 Transport Specification: MLLP, Release 1 |

pub mod ack;
pub mod charset;
pub mod message;
pub mod mllp;
pub mod oru;

pub use ack::{AckError, Severity};
pub use charset::{Charset, CharsetError};
pub use message::{Field, Message, Segment};
pub use mllp::MllpError;
pub use oru::Envelope;
