//! One route: a result in the receiver's language, sent and answered.

use crate::{
    config::{FhirRoute, Hl7Route, IntegrationConfig},
    error::{DeliveryError, RelayError},
    fhir::interaction::interactions,
    hl7::{Envelope, ack, oru::oru},
    identity::control_id,
    imaging_result::ImagingResult,
    wire::{FhirServer, exchange},
};
use pacs_core::finding::Report;
use std::time::Duration;
use tokio::{sync::Notify, time::timeout};

/// Requests that one delivery of single resources may take at their slowest.
const SLOW_REQUESTS: u64 = 10;

#[derive(Debug)]
pub struct Route {
    /// The kind of this route's jobs, `hl7:NAME` or `fhir:NAME`.
    pub kind: String,
    /// Rung when there is a new job.
    pub queued: Notify,
    algorithms: Vec<String>,
    limit: Duration,
    receiver: Receiver,
}

#[derive(Debug)]
enum Receiver {
    Hl7 { route: Hl7Route, sending_application: String, sending_facility: String },
    Fhir { server: FhirServer, route: FhirRoute },
}

impl Route {
    /// All routes of a configuration that [`IntegrationConfig::check`] found sound.
    pub fn all(config: &IntegrationConfig) -> Result<Vec<Self>, RelayError> {
        let hl7 = config.hl7.iter().map(|route| Ok(Self::hl7(route, config)));
        hl7.chain(config.fhir.iter().map(Self::fhir)).collect()
    }

    fn hl7(route: &Hl7Route, config: &IntegrationConfig) -> Self {
        let receiver = Receiver::Hl7 {
            route: route.clone(),
            sending_application: config.sending_application.clone(),
            sending_facility: config.sending_facility.clone(),
        };
        let limit = Duration::from_secs(route.connect_seconds.saturating_add(route.acknowledgement_seconds));
        Self { kind: route.kind(), queued: Notify::new(), algorithms: route.algorithms.clone(), limit, receiver }
    }

    fn fhir(route: &FhirRoute) -> Result<Self, RelayError> {
        let server = FhirServer::new(route).map_err(|error| RelayError::Client(route.kind(), error))?;
        let limit = Duration::from_secs(route.request_seconds.saturating_mul(SLOW_REQUESTS));
        let receiver = Receiver::Fhir { server, route: route.clone() };
        Ok(Self { kind: route.kind(), queued: Notify::new(), algorithms: route.algorithms.clone(), limit, receiver })
    }

    /// Whether results of this report's algorithm go here.
    pub fn takes(&self, report: &Report) -> bool {
        self.algorithms.is_empty() || self.algorithms.contains(&report.algorithm_name)
    }

    /// How long a job of this route may be held: a delivery and its book-keeping.
    pub fn lease(&self) -> Duration {
        self.limit.saturating_add(Duration::from_secs(30))
    }

    /// Sends a result. `Ok`: the receiver has accepted it; the text is its receipt.
    pub async fn deliver(&self, result: &ImagingResult) -> Result<String, DeliveryError> {
        let delivery = async {
            match &self.receiver {
                Receiver::Hl7 { route, sending_application, sending_facility } => {
                    let control_id = control_id(&self.kind, result.sr_instance.as_str());
                    let envelope = Envelope {
                        control_id: &control_id,
                        sending_application,
                        sending_facility,
                        receiving_application: &route.receiving_application,
                        receiving_facility: &route.receiving_facility,
                        charset: route.charset.name(),
                    };
                    send_hl7(route, result, &envelope).await
                }
                Receiver::Fhir { server, route } => send_fhir(server, route, result).await,
            }
        };
        timeout(self.limit, delivery).await.map_err(|_| DeliveryError::Timeout("the delivery"))?
    }
}

async fn send_hl7(route: &Hl7Route, result: &ImagingResult, envelope: &Envelope<'_>) -> Result<String, DeliveryError> {
    let message = route.charset.encode(&oru(result, envelope).to_string())?;
    let answer = exchange(route, &message).await?;
    Ok(ack::read(&answer, route.charset, envelope.control_id)?)
}

async fn send_fhir(server: &FhirServer, route: &FhirRoute, result: &ImagingResult) -> Result<String, DeliveryError> {
    let mut receipt = String::new();
    for interaction in interactions(result, &route.patient_system, route.mode) {
        receipt = server.send(&interaction).await?;
    }
    Ok(receipt)
}

#[cfg(test)]
mod foreign_tests;
#[cfg(test)]
mod tests;
