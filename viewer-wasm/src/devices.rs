//! Application entities as administrators see and change them (`/api/aes`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::Problem;

/// The page of application entities.
#[derive(Debug, Default)]
pub struct Devices {
    pub rows: Vec<Device>,
    /// The first answer has come.
    pub loaded: bool,
    pub problem: Option<Problem>,
    /// What is being added or changed.
    pub draft: Option<Draft>,
    /// By AE title.
    pub echoes: BTreeMap<String, Echo>,
}

/// An application entity in the form.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub device: Device,
    /// Its AE title is not chosen yet.
    pub is_new: bool,
    pub saving: bool,
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Device {
    pub ae_title: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub may_store: bool,
    pub may_find: bool,
    pub may_retrieve: bool,
    pub tls: bool,
    pub certificate: Option<String>,
    pub workflow: Workflow,
    pub view: String,
    pub max_associations: Option<u16>,
    /// What this page does not know; it is sent back as it came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What a device has to do with orders and procedure steps.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Workflow {
    /// `own` or `all`: the steps that it finds on the worklist.
    pub worklist: Option<String>,
    pub may_perform: bool,
    pub may_workitems: bool,
    pub wants_availability: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Echo {
    Underway,
    Answered { milliseconds: u64 },
    Failed(String),
}

impl Device {
    /// Where it is called, as far as that is known.
    pub fn address(&self) -> String {
        match (&self.host, self.port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.clone(),
            (None, _) => String::new(),
        }
    }

    pub fn can_be_called(&self) -> bool {
        self.host.is_some() && self.port.is_some()
    }

    /// The body of a `PUT`: the AE title is in the path.
    pub fn settings(&self) -> Value {
        let mut settings = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = settings.as_object_mut() {
            members.remove("ae_title");
        }
        settings
    }
}

/// The path of an application entity, whatever characters its title has.
pub fn path(ae_title: &str) -> String {
    let escaped = ae_title.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    });
    format!("/api/aes/{}", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_page_does_not_know_goes_back_as_it_came() {
        let sent = json!({ "ae_title": "CT1", "host": "10.0.0.7", "port": 104, "may_store": true, "may_fly": [1] });
        let device: Device = serde_json::from_value(sent).expect("a device");
        assert_eq!(device.address(), "10.0.0.7:104");
        let settings = device.settings();
        assert_eq!((&settings["may_fly"], &settings["may_store"]), (&json!([1]), &json!(true)));
        assert!(settings.get("ae_title").is_none());
    }

    #[test]
    fn any_ae_title_is_one_segment_of_a_path() {
        assert_eq!(path("CT 1/A?"), "/api/aes/CT%201%2FA%3F");
    }
}
