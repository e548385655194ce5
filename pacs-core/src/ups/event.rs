//! What is told of a workitem (PS3.4 §CC.2.4).

use crate::item::Item;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// What subscribers are told (PS3.4 Table CC.2.4-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpsEvent {
    StateReport,
    CancelRequested,
    ProgressReport,
    ScpStatusChange,
    Assigned,
}

impl UpsEvent {
    pub const fn event_type_id(self) -> u16 {
        match self {
            Self::StateReport => 1,
            Self::CancelRequested => 2,
            Self::ProgressReport => 3,
            Self::ScpStatusChange => 4,
            Self::Assigned => 5,
        }
    }
}

/// State as an event tells it.
pub fn state_report(item: &Item) -> Item {
    let mut report = item.only(&[tags::PROCEDURE_STEP_STATE, tags::INPUT_READINESS_STATE]);
    let progress = item.items(tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE);
    if let Some(progress) = progress.first() {
        report.merge(
            progress.only(&[tags::REASON_FOR_CANCELLATION, tags::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE]),
        );
    }
    report
}

/// That the provider has started anew, and knows its workitems and subscriptions still.
pub fn restarted() -> Item {
    let mut report = Item::default();
    report.put_text(tags::SCP_STATUS, "RESTARTED");
    report.put_text(tags::SUBSCRIPTION_LIST_STATUS, "WARM START");
    report.put_text(tags::UNIFIED_PROCEDURE_STEP_LIST_STATUS, "WARM START");
    report
}

/// Who asks for a cancellation, and why.
pub fn cancel_requested(request: &Item, by: &str) -> Item {
    let mut report = request.only(&[
        tags::REASON_FOR_CANCELLATION,
        tags::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE,
        tags::CONTACT_URI,
        tags::CONTACT_DISPLAY_NAME,
    ]);
    report.put_text(tags::REQUESTING_AE, by);
    report
}

/// What a change of attributes is to be told as: how far it is, and to whom it was given.
pub fn reports(before: &Item, after: &Item) -> Vec<(UpsEvent, Item)> {
    const ASSIGNED: [Tag; 2] = [tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE, tags::SCHEDULED_HUMAN_PERFORMERS_SEQUENCE];
    let changed = |tag: &Tag| before.element(*tag) != after.element(*tag);
    let progress = tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE;
    let mut reports = Vec::new();
    if changed(&tags::INPUT_READINESS_STATE) {
        reports.push((UpsEvent::StateReport, state_report(after)));
    }
    if changed(&progress) {
        reports.push((UpsEvent::ProgressReport, after.only(&[progress])));
    }
    if ASSIGNED.iter().any(changed) {
        reports.push((UpsEvent::Assigned, assigned(after)));
    }
    reports
}

fn assigned(item: &Item) -> Item {
    let mut report = item.only(&[tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE]);
    if let Some(performer) = item.items(tags::SCHEDULED_HUMAN_PERFORMERS_SEQUENCE).first() {
        report.merge(performer.only(&[tags::HUMAN_PERFORMER_CODE_SEQUENCE, tags::HUMAN_PERFORMER_ORGANIZATION]));
    }
    report
}
