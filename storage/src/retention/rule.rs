//! Rules: how long which studies are kept.

use super::{class::PatientClass, study::StudyFacts};
use crate::error::ArchiveError;
use pacs_core::{VR, query::Condition};
use std::collections::BTreeSet;

/// Longer than this is for ever.
const MOST_YEARS: u16 = 1000;

/// Studies that meet all conditions are kept for so many years. Of several rules the longest term counts; what no rule
/// speaks of is kept for ever.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionRule {
    /// What reports and the audit trail call it.
    pub name: String,
    /// Counted from the study date or the arrival of the last instance, whichever is later.
    pub years: u16,
    /// Patients who were under age are kept at least so many years after they came of age.
    pub years_after_coming_of_age: Option<u16>,
    /// At how many years that is.
    pub coming_of_age: u16,
    /// Any of these modalities is in the study; empty: any at all.
    pub modalities: Vec<String>,
    /// Institution Name, with `*` and `?`; case does not matter.
    pub institution: Option<String>,
    /// Study Description, likewise.
    pub study_description: Option<String>,
    /// AE title, user or room that brought the first instance of any of its series, likewise.
    pub sender: Option<String>,
    /// `inpatient` or `outpatient`; a study of which it is not known meets either.
    pub patient_class: Option<PatientClass>,
}

impl Default for RetentionRule {
    fn default() -> Self {
        Self {
            name: String::new(),
            years: MOST_YEARS,
            years_after_coming_of_age: None,
            coming_of_age: 18,
            modalities: Vec::new(),
            institution: None,
            study_description: None,
            sender: None,
            patient_class: None,
        }
    }
}

impl RetentionRule {
    /// Whether a study meets its conditions, as far as it is known.
    pub(super) fn matches(&self, study: &StudyFacts) -> bool {
        let meets = |pattern: &Option<String>, value: &str| pattern.as_ref().is_none_or(|p| is_like(p, value));
        (self.modalities.is_empty() || study.modalities().any(|one| self.modalities.iter().any(|m| m == one)))
            && meets(&self.institution, &study.institution)
            && meets(&self.study_description, &study.description)
            && (self.sender.is_none() || study.senders.iter().any(|sender| meets(&self.sender, sender)))
            && (self.patient_class.is_none() || study.class.is_none() || self.patient_class == study.class)
    }
}

/// PS3.4 C.2.2.2.4, without regard to case.
pub(crate) fn is_like(pattern: &str, value: &str) -> bool {
    Condition::Wildcard(pattern.to_lowercase()).matches(VR::LO, &value.to_lowercase())
}

/// Refuses rules that cannot be told apart, or cannot be meant.
pub(crate) fn check_rules(rules: &[RetentionRule]) -> Result<(), ArchiveError> {
    let mut names = BTreeSet::new();
    for rule in rules {
        let fault = if rule.name.trim().is_empty() {
            "a rule has no name"
        } else if !names.insert(&rule.name) {
            "two rules have the same name"
        } else if [Some(rule.years), rule.years_after_coming_of_age].into_iter().flatten().any(|y| y > MOST_YEARS) {
            "a rule keeps longer than 1000 years; to keep for ever, let no rule speak of it"
        } else if !(1..=100).contains(&rule.coming_of_age) {
            "coming_of_age is from 1 to 100 years"
        } else {
            continue;
        };
        return Err(ArchiveError::Config(format!("storage.retention: {fault} ({:?})", rule.name)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study() -> StudyFacts {
        StudyFacts {
            modalities: "CT\\SR".into(),
            institution: "Huaxi Hospital".into(),
            description: "CHEST ROUTINE".into(),
            senders: vec!["CT1".into()],
            ..StudyFacts::default()
        }
    }

    fn check(rule: RetentionRule, expected: bool) {
        assert_eq!(rule.matches(&study()), expected, "{rule:?}");
    }

    #[test]
    fn a_rule_speaks_of_what_meets_all_its_conditions() {
        let rule = RetentionRule::default;
        let text = |text: &str| Some(text.to_owned());
        check(rule(), true);
        check(RetentionRule { modalities: vec!["MR".into(), "CT".into()], ..rule() }, true);
        check(RetentionRule { modalities: vec!["MR".into()], ..rule() }, false);
        check(RetentionRule { institution: text("huaxi*"), study_description: text("chest*"), ..rule() }, true);
        check(RetentionRule { institution: text("huaxi*"), study_description: text("head*"), ..rule() }, false);
        check(RetentionRule { sender: text("CT?"), ..rule() }, true);
        check(RetentionRule { sender: text("MR?"), ..rule() }, false);
    }

    #[test]
    fn a_study_of_unknown_class_meets_the_rules_of_both() {
        use PatientClass::{Inpatient, Outpatient};
        for wanted in [Inpatient, Outpatient] {
            let rule = RetentionRule { patient_class: Some(wanted), ..RetentionRule::default() };
            assert!(rule.matches(&study()));
            for class in [Inpatient, Outpatient] {
                assert_eq!(rule.matches(&StudyFacts { class: Some(class), ..study() }), class == wanted);
            }
        }
    }

    #[test]
    fn rules_that_cannot_be_meant_are_named() {
        let rule = |name: &str| RetentionRule { name: name.into(), ..RetentionRule::default() };
        assert!(check_rules(&[rule("a"), rule("b")]).is_ok());
        for rules in [
            vec![rule(" ")],
            vec![rule("a"), rule("a")],
            vec![RetentionRule { years: 1001, ..rule("a") }],
            vec![RetentionRule { coming_of_age: 0, ..rule("a") }],
        ] {
            let error = check_rules(&rules).expect_err("a fault").to_string();
            assert!(error.contains("storage.retention"), "{error}");
        }
    }
}
