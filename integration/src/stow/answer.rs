//! What a STOW-RS response says of each instance (PS3.18 §10.5.3, Annex I).

use pacs_core::{Uid, attributes::key, tags};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use storage::{StoredInstance, routing::Outcome};

/// Duplicate SOP Instance: it is there (PS3.7 §C.5.7).
const DUPLICATE: u64 = 0x0111;

/// What became of a request.
#[derive(Debug)]
pub enum Answer {
    /// The server cannot be reached, wants other credentials, or has no room.
    Away(String),
    /// It will not have the request.
    No(String),
    /// It says of each instance what became of it.
    Told { stored: HashSet<String>, failed: HashMap<String, u64>, is_success: bool },
}

impl Answer {
    /// From the status and the body of a response.
    pub fn read(status: u16, body: &[u8]) -> Self {
        match status {
            401 | 403 => Self::Away(format!("the server answered {status}: mend its authorization")),
            404 => Self::Away("the server answered 404: its URL is to end where /studies follows".to_owned()),
            408 | 429 | 507 | 500..=599 => Self::Away(format!("the server answered {status}; its log says why")),
            200 | 202 | 409 => Self::told(status, body),
            _ => Self::No(format!("the server answered {status}; its log says what it dislikes")),
        }
    }

    fn told(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        // Some servers answer with a list of one.
        let body = if let Value::Array(list) = &body { list.first().cloned().unwrap_or_default() } else { body };
        let items = |tag| body[key(tag)]["Value"].as_array().cloned().unwrap_or_default();
        let text = |item: &Value, tag| item[key(tag)]["Value"][0].as_str().map(str::to_owned);
        let uid = |item: &Value| text(item, tags::REFERENCED_SOP_INSTANCE_UID);
        let stored = items(tags::REFERENCED_SOP_SEQUENCE).iter().filter_map(uid).collect();
        let failed = items(tags::FAILED_SOP_SEQUENCE);
        let reason = |item: &Value| item[key(tags::FAILURE_REASON)]["Value"][0].as_u64().unwrap_or_default();
        let failed = failed.iter().filter_map(|item| Some((uid(item)?, reason(item)))).collect();
        Self::Told { stored, failed, is_success: status == 200 }
    }

    pub fn is_reached(&self) -> bool {
        !matches!(self, Self::Away(_))
    }

    pub fn outcome(&self, sent: &StoredInstance) -> Outcome {
        self.outcome_of(&sent.leaves_as())
    }

    fn outcome_of(&self, uid: &Uid) -> Outcome {
        let sent = || Outcome::Sent(uid.to_string());
        match self {
            Self::Away(why) => Outcome::Unreachable(why.clone()),
            Self::No(why) => Outcome::Declined(why.clone()),
            Self::Told { stored, failed, is_success } => match failed.get(uid.as_str()) {
                Some(&DUPLICATE) => sent(),
                Some(reason @ 0xA700..=0xA7FF) => {
                    Outcome::Unreachable(format!("the server has no room (Failure Reason {reason:04X}H)"))
                }
                Some(reason) => Outcome::Declined(format!(
                    "the server took it not, Failure Reason {reason:04X}H; its log says what it dislikes"
                )),
                None if *is_success || stored.contains(uid.as_str()) => sent(),
                None => Outcome::Declined("the server does not say that it took it".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: u16, body: &Value, uid: &str, expected: &str) {
        let outcome = Answer::read(status, body.to_string().as_bytes()).outcome_of(&uid.parse().unwrap());
        assert!(format!("{outcome:?}").starts_with(expected), "{status} {uid}: {outcome:?}");
    }

    #[test]
    fn each_instance_gets_its_own_answer() {
        let item = |uid: &str| json!({ "00081155": { "vr": "UI", "Value": [uid] } });
        let failed = |uid: &str, reason: u16| {
            let mut item = item(uid);
            item["00081197"] = json!({ "vr": "US", "Value": [reason] });
            item
        };
        let body = json!({
            "00081199": { "vr": "SQ", "Value": [item("1.1")] },
            "00081198": { "vr": "SQ", "Value": [failed("1.2", 0xA700), failed("1.3", 0x0122), failed("1.4", 0x0111)] },
        });
        for (uid, expected) in
            [("1.1", "Sent"), ("1.2", "Unreachable"), ("1.3", "Declined"), ("1.4", "Sent"), ("1.5", "Declined")]
        {
            check(202, &body, uid, expected);
        }
        check(200, &json!({}), "1.1", "Sent");
        check(200, &json!([body]), "1.3", "Declined");
        check(409, &json!("nonsense"), "1.1", "Declined");
    }

    #[test]
    fn who_wants_other_credentials_is_waited_for_and_who_dislikes_the_request_is_not() {
        for (status, expected) in [(401, "Unreachable"), (404, "Unreachable"), (503, "Unreachable"), (415, "Declined")]
        {
            check(status, &json!({}), "1.1", expected);
        }
    }
}
