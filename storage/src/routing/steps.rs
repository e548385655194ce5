//! What modalities report of procedure steps (MPPS) is told on by rule: each message as it came, in order.

use super::rules::{STEPS, check_name, json, refused};
use crate::{archive::Archive, database::Change, error::ArchiveError, jobs::enqueue_within, retention::is_like};
use pacs_core::{AeTitle, Item, Uid, tags};
use serde::{Deserialize, Serialize};

/// The kind of the jobs that tell of steps.
pub const STEP_MESSAGE: &str = "mpps";

/// Messages about steps of which all parts are met go to an application entity; an empty part is met by every step, a list
/// by any of its patterns, as in [`super::Condition`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRule {
    pub name: String,
    pub to: AeTitle,
    /// AE title of who reports.
    #[serde(default)]
    pub from: Vec<String>,
    /// Modality of the step.
    #[serde(default)]
    pub modality: Vec<String>,
}

/// A message about a performed procedure step, on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMessage {
    pub to: AeTitle,
    pub sop_instance: Uid,
    /// Whether it begins the step (N-CREATE), or changes it (N-SET).
    pub begins: bool,
    pub item: Item,
}

impl StepRule {
    fn is_met(&self, by: &str, step: &Item) -> bool {
        let meets = |patterns: &[String], value: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| is_like(pattern, value))
        };
        // It has the step from itself.
        by != self.to.as_str() && meets(&self.from, by) && meets(&self.modality, step.text(tags::MODALITY))
    }
}

impl StepMessage {
    /// What all messages about a step to a receiver begin with in the keys of their jobs.
    fn key(to: &AeTitle, sop_instance: &Uid) -> String {
        format!("{to} {sop_instance} ")
    }

    /// Whether an earlier one about the same step is still on its way to the same receiver.
    pub async fn is_early(&self, archive: &Archive, job_key: &str) -> Result<bool, ArchiveError> {
        archive.is_any_open(STEP_MESSAGE, &Self::key(&self.to, &self.sop_instance), job_key).await
    }
}

impl Archive {
    /// Adds a rule, which speaks of messages that come from now on, or changes the one of this name.
    pub async fn put_step_rule(&self, rule: &StepRule) -> Result<(), ArchiveError> {
        check_name("rule", &rule.name)?;
        let is_known = self.peers().await?.iter().any(|peer| peer.ae_title == rule.to && peer.port.is_some());
        if !is_known {
            return Err(refused(format!(
                "{} has no host and port configured: pacs ae add {} --host … --port …",
                rule.to, rule.to
            )));
        }
        self.put(STEPS, &rule.name, json(rule)?).await
    }

    /// What is on its way by it stays on its way.
    pub async fn remove_step_rule(&self, name: &str) -> Result<(), ArchiveError> {
        self.remove(STEPS, name).await
    }

    /// All of them, by name.
    pub async fn step_rules(&self) -> Result<Vec<StepRule>, ArchiveError> {
        Ok(self.since(STEPS).await?.into_iter().map(|(rule, _)| rule).collect())
    }
}

/// Queues a message about `step` for each receiver, once.
pub(crate) async fn tell_on(
    change: &mut Change<'_>,
    rules: &[StepRule],
    by: &str,
    step: &Item,
    (sop_instance, begins, item): (&Uid, bool, &Item),
) -> Result<(), ArchiveError> {
    let mut told: Vec<&AeTitle> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.is_met(by, step)) {
        if told.contains(&&rule.to) {
            continue;
        }
        told.push(&rule.to);
        let message =
            StepMessage { to: rule.to.clone(), sop_instance: sop_instance.clone(), begins, item: item.clone() };
        let payload = serde_json::to_value(message).map_err(|error| ArchiveError::Internal(error.to_string()))?;
        let key = format!("{}{:020}", StepMessage::key(&rule.to, sop_instance), change.head.next_key());
        enqueue_within(change, STEP_MESSAGE, &key, &payload).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &[&str], modality: &[&str], by: &str, expected: bool) {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let to = "RIS".parse().expect("an AE title");
        let rule = StepRule { name: "1".into(), to, from: texts(from), modality: texts(modality) };
        let mut step = Item::default();
        step.put_text(tags::MODALITY, "CT");
        assert_eq!(rule.is_met(by, &step), expected, "{from:?} {modality:?} {by}");
    }

    #[test]
    fn a_rule_speaks_of_steps_by_who_reports_and_by_modality_and_sends_none_back() {
        check(&[], &[], "CT1", true);
        check(&["MR*", "ct?"], &["CT"], "CT1", true);
        check(&["MR*"], &[], "CT1", false);
        check(&[], &["MR"], "CT1", false);
        check(&[], &[], "RIS", false);
    }
}
