//! FHIR R4 (4.0.1), pure: no sockets, no clock.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`resources`] | a result as Patient, Device, ImagingStudy, Observations, DiagnosticReport | HL7 "DICOM SR to FHIR Resource Mapping" in R4 form |
//! | [`interaction`] | what is sent: one transaction Bundle or one PUT a resource | RESTful API §3.1.0.11 |
//! | [`outcome`] | what the server answers | OperationOutcome, Bundle.entry.response |

pub mod interaction;
pub mod outcome;
pub mod resources;

pub use interaction::{Interaction, Method};
pub use outcome::OutcomeError;
