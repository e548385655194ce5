//! Keys of queries and attributes of procedure steps, level by level.

use crate::{
    NodeConfig,
    association::supported::{PROVIDED, Root, Service},
    scp::query::OWN_KEYS,
};
use pacs_core::{
    VR, mpps,
    query::{ATTRIBUTES, Attribute, Level, Matching, UNIQUE_KEYS},
    statement::{Statement, attribute_name, attribute_names},
    tags, ups, worklist,
};

const LEVELS: [Level; 4] = [Level::Patient, Level::Study, Level::Series, Level::Instance];

/// Matching and return keys of C-FIND, by level.
pub(super) fn of_queries(statement: &mut Statement, config: &NodeConfig) {
    models(statement);
    statement.paragraph(format!(
        "A C-FIND is answered with at most {} matches (`dicom.max_find_results`). Dates and times of instances that do not \
         state their zone are taken to be of {} (`dicom.utc_offset`).",
        config.max_find_results, config.utc_offset
    ));
    for level in LEVELS {
        statement.paragraph(format!("Keys of level {}:", level.as_str()));
        let attributes = ATTRIBUTES.iter().filter(|attribute| attribute.level == level).map(key);
        statement.table(["Attribute", "VR", "Value", "Matching"], attributes);
    }
    statement.paragraph(format!(
        "Returned on every level: {}; if asked for, {}.",
        attribute_names(OWN_KEYS),
        attribute_name(tags::INSTANCE_AVAILABILITY)
    ));
}

fn models(statement: &mut Statement) {
    let rows = PROVIDED.iter().filter_map(|class| {
        let Service::Find(root) = class.service else { return None };
        let levels = root.levels().iter().map(|level| level.as_str()).collect::<Vec<_>>().join(", ");
        Some([model(root).to_owned(), levels])
    });
    statement.table(["Information model", "Query/Retrieve levels"], rows);
}

const fn model(root: Root) -> &'static str {
    match root {
        Root::Patient => "Patient Root",
        Root::Study => "Study Root",
        Root::PatientStudyOnly => "Patient/Study Only (retired)",
    }
}

fn key(attribute: &Attribute) -> [String; 4] {
    let kind = match attribute {
        _ if UNIQUE_KEYS.iter().any(|(_, tag, _)| *tag == attribute.tag) => "as stored; unique key",
        Attribute { derived: true, .. } => "reckoned by us",
        _ => "as stored",
    };
    let within = attribute.within.map(|sequence| format!("{} > ", attribute_name(sequence)));
    let name = format!("{}{}", within.unwrap_or_default(), attribute_name(attribute.tag));
    [name, attribute.vr.to_string().to_owned(), kind.to_owned(), matching(attribute.vr)]
}

fn matching(vr: VR) -> String {
    let by_name = if vr == VR::PN { ", without regard to case; fuzzy if negotiated" } else { "" };
    format!("{}{by_name}, universal", Matching::of(vr).described())
}

/// Keys of C-MOVE and C-GET.
pub(super) fn of_retrieval(statement: &mut Statement) {
    statement.paragraph("Keys of C-MOVE and C-GET:");
    let row = |(level, tag, _): (Level, _, _)| [level.as_str().to_owned(), attribute_name(tag)];
    statement.table(["Level", "Unique key: one value, or a list"], UNIQUE_KEYS.map(row));
}

/// What an order must have, and so every item of the worklist does.
pub(super) fn of_worklist(statement: &mut Statement) {
    let step = attribute_name(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE);
    let of_order = worklist::NEEDED.map(|(tag, _)| [attribute_name(tag), "who ordered".to_owned()]);
    let of_step = worklist::NEEDED_OF_STEP
        .map(|(tag, _)| [format!("{step} > {}", attribute_name(tag)), "who ordered".to_owned()]);
    let ours = [
        attribute_name(tags::STUDY_INSTANCE_UID),
        attribute_name(tags::REQUESTED_PROCEDURE_ID),
        format!("{step} > {}", attribute_name(tags::SCHEDULED_PROCEDURE_STEP_ID)),
        format!("{step} > {}", attribute_name(tags::SCHEDULED_PROCEDURE_STEP_STATUS)),
    ];
    let ours = ours.map(|name| [name, "who ordered, else us".to_owned()]);
    statement.paragraph("Every item has a value of:");
    statement.table(["Attribute", "From"], of_order.into_iter().chain(of_step).chain(ours));
    let statuses = worklist::StepStatus::ALL.map(|status| {
        let shown = if status.is_open() { "yes" } else { "only if it is asked for" };
        [status.as_str().to_owned(), shown.to_owned()]
    });
    statement.table(["Scheduled Procedure Step Status", "On the worklist"], statuses);
}

/// Attributes of performed procedure steps.
pub(super) fn of_performed(statement: &mut Statement) {
    let names = |needed: &[(pacs_core::Tag, &str)]| attribute_names(needed.iter().map(|(tag, _)| *tag));
    let rows = [
        ["N-CREATE: must have a value".to_owned(), names(&mpps::NEEDED)],
        ["N-SET: stay as they were created".to_owned(), attribute_names(mpps::FIXED)],
        [
            "N-SET to another status than IN PROGRESS: must have a value then".to_owned(),
            names(&mpps::NEEDED_IN_THE_END),
        ],
        ["N-SET to COMPLETED: must have an item then".to_owned(), attribute_name(tags::PERFORMED_SERIES_SEQUENCE)],
    ];
    statement.table(["Modality Performed Procedure Step", "Attributes"], rows);
}

/// Attributes of workitems.
pub(super) fn of_workitems(statement: &mut Statement) {
    let names = |needed: &[(pacs_core::Tag, &str)]| attribute_names(needed.iter().map(|(tag, _)| *tag));
    let sequence = attribute_name(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE);
    let rows = [
        ["N-CREATE: must have a value".to_owned(), names(&ups::NEEDED)],
        ["N-SET: stay as they were created".to_owned(), attribute_names(ups::FIXED)],
        [format!("Change to COMPLETED: must have a value in {sequence}"), names(&ups::NEEDED_IN_THE_END)],
    ];
    statement.table(["Unified Procedure Step", "Attributes"], rows);
}
