//! The AI worker: complete chest CT series in, Structured Reports out.
//!
//! | module | what |
//! |---|---|
//! | [`worker`] | event → job → report, with leases and retries |
//! | [`card`], [`models`] | model packages, checked before they serve |
//! | [`engine`] | ONNX graphs on the CPU |
//! | [`stack`], [`load`], [`volume`] | series → even stack → volume in HU, and its place in the patient |
//! | [`lung`], [`mask`] | where the model looks |
//! | [`detect`], [`measure`] | windows → candidates → size and place of nodules |
//! | [`pipeline`], [`report`] | volume → nodules → report |
//! | [`threads`] | what decodes and infers, apart from what serves |
//!
//! Every coordinate goes through the series' own grid ([`volume::Grid`]): nothing is flipped by convention. A series that
//! is not for the model gets a recorded reason, never silence.

pub mod card;
pub mod config;
pub mod detect;
pub mod engine;
pub mod error;
pub mod load;
pub mod lung;
pub mod mask;
pub mod measure;
pub mod models;
pub mod pipeline;
pub mod report;
mod serving;
pub mod stack;
pub mod threads;
pub mod volume;
pub mod worker;

pub use config::AiConfig;
pub use error::AiError;
pub use worker::work;
