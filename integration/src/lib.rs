//! AI results on their way to the hospital's other systems: HL7 v2 ORU^R01 over MLLP, FHIR R4 over HTTP. Instances on their
//! way to other archives over HTTP.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`relay`](mod@relay) | stored report → one job a route → message → acknowledgement | |
//! | [`config`] | the routes and how often to try | |
//! | [`imaging_result`], [`moment`], [`wording`] | what every message tells: patient, study, report, times, sentences | PS3.3 C.7, PS3.16 TID 1500 |
//! | [`identity`] | control ids and resource ids that a second delivery repeats | |
//! | [`hl7`] | pure: segments, ORU^R01, acknowledgements, MLLP frames | HL7 v2.5.1 chapters 2, 7 |
//! | [`fhir`] | pure: resources, transaction Bundle, OperationOutcome | FHIR 4.0.1 |
//! | [`retry`] | pure: what becomes of a delivery that failed | |
//! | [`route`] | a result in one receiver's language, sent and answered | |
//! | [`stow`] | instances that are sent on by rule to DICOMweb peers | PS3.18 §10.5 |
//! | [`wire`] | the only sockets | |
//! | [`error`] | failures of the room, and of one delivery | |
//!
//! Invariants: an event counts as read only after its jobs are kept, so that nothing is lost in a crash; a result may
//! be sent twice, and then with the same bytes; a result of an algorithm alone is never sent as final; the words
//! "demonstration, not for clinical use" go with every result; no patient attribute and no peer's text is logged.

pub mod config;
pub mod error;
pub mod fhir;
pub mod hl7;
pub mod identity;
pub mod imaging_result;
pub mod moment;
pub mod relay;
pub mod retry;
pub mod route;
pub mod stow;
pub mod wire;
pub mod wording;

pub use config::IntegrationConfig;
pub use error::RelayError;
pub use relay::relay;
pub use stow::forward;
