//! Where results go and how often delivery is tried.

use crate::{error::RelayError, hl7::Charset};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};
use url::Url;

/// Routes to the hospital's other systems. Without a route nothing is sent.
///
/// A route gets the results that are stored after it was configured, not the archive's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IntegrationConfig {
    /// Our name in HL7 messages (MSH-3) and the namespace of the numbers we assign.
    pub sending_application: String,
    /// Our facility in HL7 messages (MSH-4); may be empty.
    pub sending_facility: String,
    /// Algorithms of other makers (Algorithm Name, else Manufacturer's Model Name) whose reports are relayed beside those
    /// of the AI built in. A report that names a person as observer, or nobody, is never relayed.
    pub algorithms: Vec<String>,
    /// HL7 v2 receivers, reached over MLLP.
    pub hl7: Vec<Hl7Route>,
    /// FHIR R4 servers.
    pub fhir: Vec<FhirRoute>,
    /// How often a delivery is tried.
    pub retry: RetryConfig,
}

/// One HL7 v2 receiver: gets an ORU^R01 (2.5.1) for each result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hl7Route {
    /// Names the route in job lists and logs: 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// `host:port` of the receiver's MLLP listener.
    pub address: String,
    /// The receiver's application name (MSH-5).
    pub receiving_application: String,
    /// The receiver's facility (MSH-6).
    pub receiving_facility: String,
    /// Character set of the messages, named in MSH-18: `utf-8` or `gb18030`.
    pub charset: Charset,
    /// Send only results of the algorithms with these names; empty: every result.
    pub algorithms: Vec<String>,
    /// Seconds to wait for the connection.
    pub connect_seconds: u64,
    /// Seconds from the connection until the acknowledgement is there.
    pub acknowledgement_seconds: u64,
}

/// One FHIR R4 server: gets Patient, ImagingStudy, Device, Observations and a DiagnosticReport for each result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FhirRoute {
    /// Names the route in job lists and logs: 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    /// The server's base URL, e.g. `https://fhir.example/r4`.
    pub base_url: String,
    /// Sent as `Authorization: Bearer …` when set; use an `https` URL then.
    pub token: Option<Secret>,
    /// `transaction`: one Bundle to the base URL; `resources`: one PUT a resource, for servers without transactions.
    pub mode: FhirMode,
    /// System of patient identifiers without an issuer; an issuer (0010,0021) is appended after a colon.
    pub patient_system: String,
    /// Send only results of the algorithms with these names; empty: every result.
    pub algorithms: Vec<String>,
    /// Seconds to wait for the connection.
    pub connect_seconds: u64,
    /// Seconds for one request, answer included.
    pub request_seconds: u64,
}

/// How resources reach a FHIR server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FhirMode {
    Transaction,
    Resources,
}

/// Tries of one delivery. The pause doubles after each failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Seconds before the second try.
    pub first_seconds: u64,
    /// The longest pause in seconds.
    pub max_seconds: u64,
    /// Tries of a delivery before it is a dead letter.
    pub max_attempts: u32,
    /// Tries of a message that the receiver answers with an error (AE, HTTP 409), which seldom mends by itself.
    pub max_refusals: u32,
}

/// A bearer token. Kept out of debug output; whoever prints the configuration has to mask it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Default for IntegrationConfig {
    fn default() -> Self {
        Self {
            sending_application: "YINGHAI".into(),
            sending_facility: String::new(),
            algorithms: Vec::new(),
            hl7: Vec::new(),
            fhir: Vec::new(),
            retry: RetryConfig::default(),
        }
    }
}

impl Default for Hl7Route {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            receiving_application: String::new(),
            receiving_facility: String::new(),
            charset: Charset::Utf8,
            algorithms: Vec::new(),
            connect_seconds: 10,
            acknowledgement_seconds: 30,
        }
    }
}

impl Default for FhirRoute {
    fn default() -> Self {
        Self {
            name: String::new(),
            base_url: String::new(),
            token: None,
            mode: FhirMode::Transaction,
            patient_system: "urn:yinghai:patient-id".into(),
            algorithms: Vec::new(),
            connect_seconds: 10,
            request_seconds: 60,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { first_seconds: 5, max_seconds: 600, max_attempts: 20, max_refusals: 5 }
    }
}

impl IntegrationConfig {
    /// Finds what would fail only once a result has to go out.
    pub fn check(&self) -> Result<(), RelayError> {
        let mut kinds = BTreeSet::new();
        for route in &self.hl7 {
            route.check().map_err(|what| RelayError::Route(route.kind(), what))?;
            unique(&mut kinds, route.kind())?;
        }
        for route in &self.fhir {
            route.check().map_err(|what| RelayError::Route(route.kind(), what))?;
            unique(&mut kinds, route.kind())?;
        }
        Ok(())
    }
}

fn unique(kinds: &mut BTreeSet<String>, kind: String) -> Result<(), RelayError> {
    if kinds.insert(kind.clone()) { Ok(()) } else { Err(RelayError::Route(kind, "the name is used twice")) }
}

impl Hl7Route {
    /// The kind of this route's jobs.
    pub fn kind(&self) -> String {
        format!("hl7:{}", self.name)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_seconds)
    }

    pub fn acknowledgement_timeout(&self) -> Duration {
        Duration::from_secs(self.acknowledgement_seconds)
    }

    fn check(&self) -> Result<(), &'static str> {
        check_name(&self.name)?;
        let port = self.address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
        port.and_then(|port| port.parse::<u16>().ok()).map(drop).ok_or("address is not host:port")?;
        if self.connect_seconds == 0 || self.acknowledgement_seconds == 0 {
            return Err("a time limit of 0 seconds lets nothing through");
        }
        Ok(())
    }
}

impl FhirRoute {
    /// The kind of this route's jobs.
    pub fn kind(&self) -> String {
        format!("fhir:{}", self.name)
    }

    fn check(&self) -> Result<(), &'static str> {
        check_name(&self.name)?;
        let url = Url::parse(&self.base_url).map_err(|_| "base_url is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("base_url is not an http or https URL");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("base_url has a query or fragment");
        }
        if self.patient_system.is_empty() {
            return Err("patient_system is empty");
        }
        if self.connect_seconds == 0 || self.request_seconds == 0 {
            return Err("a time limit of 0 seconds lets nothing through");
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    if (1..=32).contains(&name.len()) && name.bytes().all(sound) {
        Ok(())
    } else {
        Err("a route's name is 1 to 32 of a-z, 0-9, - and _")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hl7(name: &str, address: &str) -> IntegrationConfig {
        let route = Hl7Route { name: name.into(), address: address.into(), ..Hl7Route::default() };
        IntegrationConfig { hl7: vec![route], ..IntegrationConfig::default() }
    }

    fn fhir(name: &str, base_url: &str) -> IntegrationConfig {
        let route = FhirRoute { name: name.into(), base_url: base_url.into(), ..FhirRoute::default() };
        IntegrationConfig { fhir: vec![route], ..IntegrationConfig::default() }
    }

    #[test]
    fn an_empty_section_is_the_default() {
        let read: IntegrationConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(read, IntegrationConfig::default());
        assert!(read.check().is_ok());
    }

    #[test]
    fn a_route_needs_no_more_than_a_name_and_a_place() {
        let text = r#"{"hl7": [{"name": "emr", "address": "10.0.0.5:2575", "charset": "gb18030"}],
                       "fhir": [{"name": "emr", "base_url": "https://fhir.example/r4", "mode": "resources"}]}"#;
        let read: IntegrationConfig = serde_json::from_str(text).unwrap();
        assert_eq!(read.hl7[0].charset, Charset::Gb18030);
        assert_eq!(read.fhir[0].mode, FhirMode::Resources);
        read.check().unwrap();
    }

    #[test]
    fn a_route_that_cannot_work_is_refused_at_the_start() {
        assert!(hl7("emr", "emr.example:2575").check().is_ok());
        assert!(hl7("emr", "[::1]:2575").check().is_ok());
        for (name, address) in [("", "a:1"), ("Emr", "a:1"), ("emr", "a"), ("emr", ":2575"), ("emr", "a:70000")] {
            assert!(hl7(name, address).check().is_err(), "{name:?} {address:?}");
        }
        assert!(fhir("emr", "https://fhir.example/r4").check().is_ok());
        for url in ["", "fhir.example", "ftp://fhir.example", "http://fhir.example/?a=b"] {
            assert!(fhir("emr", url).check().is_err(), "{url:?}");
        }
    }

    #[test]
    fn two_routes_of_a_kind_may_not_share_a_name() {
        let mut config = hl7("emr", "a:1");
        config.hl7.push(config.hl7[0].clone());
        assert!(config.check().is_err());
    }

    #[test]
    fn a_token_does_not_show_in_debug_output() {
        let mut config = fhir("emr", "https://fhir.example");
        config.fhir[0].token = Some(Secret::new("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
