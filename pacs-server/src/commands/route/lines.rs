//! What `pacs route` prints.

use storage::routing::{Backlog, Condition, Destination, ForwardState, Priors, Queued, Receiver, Rule, StepRule};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A condition in words.
pub(crate) fn in_words(when: &Condition) -> String {
    let Condition {
        from,
        sop_class,
        modality,
        body_part,
        station,
        study_description,
        series_description,
        institution,
        between,
    } = when;
    let parts = [
        ("from", from),
        ("sop-class", sop_class),
        ("modality", modality),
        ("body-part", body_part),
        ("station", station),
        ("study-description", study_description),
        ("series-description", series_description),
        ("institution", institution),
    ];
    let mut words: Vec<_> = parts
        .iter()
        .filter(|(_, patterns)| !patterns.is_empty())
        .map(|(name, patterns)| format!("{name} {}", patterns.join("|")))
        .collect();
    words.extend(between.as_ref().map(|between| format!("between {between}")));
    if words.is_empty() { "whatever arrives".to_owned() } else { words.join(", ") }
}

pub(super) fn step_line(rule: &StepRule) -> String {
    let StepRule { name, to, from, modality } = rule;
    let part = |what: &str, patterns: &[String]| match patterns {
        [] => String::new(),
        patterns => format!(" {what} {}", patterns.join(" or ")),
    };
    format!("{name}: procedure steps{}{} are told to {to}", part("from", from), part("of modality", modality))
}

pub(super) fn rule_line(rule: &Rule) -> String {
    let when = in_words(&rule.when);
    let back = if rule.sends_back { ", also back" } else { "" };
    let commits = if rule.commits { ", with storage commitment" } else { "" };
    let priors = match &rule.priors {
        Some(Priors { studies, same_modality, same_body_part }) => {
            let same = match (same_modality, same_body_part) {
                (true, true) => " of the same modality and body part",
                (true, false) => " of the same modality",
                (false, true) => " of the same body part",
                (false, false) => "",
            };
            format!(", with {studies} prior studies{same}")
        }
        None => String::new(),
    };
    let burned_in = if rule.allow_burned_in { ", also with names burned in" } else { "" };
    format!("rule {:16} {when} → {}{back}{commits}{priors}{burned_in}", rule.name, rule.to)
}

pub(super) fn destination_line(destination: &Destination) -> String {
    let receiver = match &destination.receiver {
        Receiver::Ae(ae_title) => format!("AE {ae_title}"),
        Receiver::Web(web) => web.url.clone(),
    };
    let paused = if destination.is_paused { "  PAUSED" } else { "" };
    let many = match destination.associations {
        1 => String::new(),
        many => format!("  {many} associations"),
    };
    let unnamed = if destination.deidentify.is_some() { "  de-identified" } else { "" };
    let coerced = match destination.coercion.is_empty() {
        true => String::new(),
        false => format!("  with {}", destination.coercion),
    };
    format!("destination {:16} {receiver}{many}{coerced}{unnamed}{paused}", destination.name)
}

pub(super) fn backlog_line(one: &Backlog) -> String {
    let (state, instances, megabytes) = (one.state.as_str(), one.instances, one.bytes as f64 / 1e6);
    format!("{state:8} {instances} instances, {megabytes:.1} MB, since {}", moment(one.oldest))
}

pub(super) fn queued_line(one: &Queued) -> String {
    let next = match one.state {
        ForwardState::Due if one.attempts > 0 => format!("  next {}", moment(one.due_at)),
        _ => String::new(),
    };
    let error = if one.last_error.is_empty() { String::new() } else { format!("\n    {}", one.last_error) };
    format!(
        "{:8} {}  {}  tries {}  {}{next}{error}",
        one.state.as_str(),
        one.destination,
        one.sop_instance,
        one.attempts,
        moment(one.changed_at)
    )
}

/// UTC.
fn moment(milliseconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(milliseconds / 1000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
