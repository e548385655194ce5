//! Modality Performed Procedure Step: what may be created, what may change, and what that means for the order
//! (PS3.4 Annex F).

use crate::item::Item;
use crate::query::moment_text;
use crate::uid::Uid;
use crate::worklist::StepStatus;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

pub const MPPS: &str = "1.2.840.10008.3.1.2.3.3";
pub const MPPS_RETRIEVE: &str = "1.2.840.10008.3.1.2.3.4";

/// Performed Procedure Step Status (PS3.3 C.4.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerformedStatus {
    InProgress,
    Completed,
    Discontinued,
}

impl PerformedStatus {
    const ALL: [Self; 3] = [Self::InProgress, Self::Completed, Self::Discontinued];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Discontinued => "DISCONTINUED",
        }
    }

    /// `None` for a word that the standard does not have.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Why a step is not created, or not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MppsError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} has no value")]
    NoValue(&'static str),
    #[error("{0} has a value that it cannot have here")]
    Invalid(&'static str),
    #[error("the performed procedure step is over and may no longer be updated")]
    Over,
}

/// Error ID of [`MppsError::Over`] (PS3.4 §F.7.2.2.3).
pub const MAY_NO_LONGER_BE_UPDATED: u16 = 0xA710;

impl MppsError {
    /// Status of the response, and Error ID (PS3.7 Annex C, PS3.4 Table F.7.2-2).
    pub const fn statuses(&self) -> (u16, Option<u16>) {
        match self {
            Self::Missing(_) => (0x0120, None),
            Self::NoValue(_) => (0x0121, None),
            Self::Invalid(_) => (0x0106, None),
            Self::Over => (0x0110, Some(MAY_NO_LONGER_BE_UPDATED)),
        }
    }
}

/// What an archive knows a performed step by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Performed {
    pub status: PerformedStatus,
    pub id: String,
    pub study: Uid,
    pub patient_id: String,
    /// Study Instance UID and Scheduled Procedure Step ID of what it was performed for.
    pub scheduled: Vec<(Uid, String)>,
}

/// Attributes that must have a value when a step is created (PS3.4 Table F.7.2-1, type 1). Those that may be empty may be
/// missing too: many modalities leave them out.
pub const NEEDED: [(Tag, &str); 7] = [
    (tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, "ScheduledStepAttributesSequence"),
    (tags::PERFORMED_PROCEDURE_STEP_ID, "PerformedProcedureStepID"),
    (tags::PERFORMED_STATION_AE_TITLE, "PerformedStationAETitle"),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, "PerformedProcedureStepStartDate"),
    (tags::PERFORMED_PROCEDURE_STEP_START_TIME, "PerformedProcedureStepStartTime"),
    (tags::PERFORMED_PROCEDURE_STEP_STATUS, "PerformedProcedureStepStatus"),
    (tags::MODALITY, "Modality"),
];

/// Attributes that are as they were created (PS3.4 Table F.7.2-1).
pub const FIXED: [Tag; 17] = [
    tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::REFERENCED_PATIENT_SEQUENCE,
    tags::ADMISSION_ID,
    tags::PERFORMED_PROCEDURE_STEP_ID,
    tags::PERFORMED_STATION_AE_TITLE,
    tags::PERFORMED_STATION_NAME,
    tags::PERFORMED_LOCATION,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::MODALITY,
    tags::STUDY_ID,
];

/// Judges an N-CREATE.
pub fn create(item: &Item) -> Result<Performed, MppsError> {
    for (tag, keyword) in NEEDED {
        if !item.contains(tag) {
            return Err(MppsError::Missing(keyword));
        }
        if !item.has_value(tag) {
            return Err(MppsError::NoValue(keyword));
        }
    }
    let is_moment = |vr, tag| moment_text(vr, item.text(tag), '0').is_some();
    if !is_moment(VR::DA, tags::PERFORMED_PROCEDURE_STEP_START_DATE) {
        return Err(MppsError::Invalid("PerformedProcedureStepStartDate"));
    }
    if !is_moment(VR::TM, tags::PERFORMED_PROCEDURE_STEP_START_TIME) {
        return Err(MppsError::Invalid("PerformedProcedureStepStartTime"));
    }
    let performed = performed(item)?;
    match performed.status {
        PerformedStatus::InProgress => Ok(performed),
        _ => Err(MppsError::Invalid("PerformedProcedureStepStatus")),
    }
}

/// Reads a step.
pub fn performed(item: &Item) -> Result<Performed, MppsError> {
    let mut scheduled = Vec::new();
    for step in item.items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE) {
        let study = step.text(tags::STUDY_INSTANCE_UID);
        if study.is_empty() {
            return Err(MppsError::NoValue("StudyInstanceUID"));
        }
        let study = study.parse::<Uid>().map_err(|_| MppsError::Invalid("StudyInstanceUID"))?;
        scheduled.push((study, step.text(tags::SCHEDULED_PROCEDURE_STEP_ID).to_owned()));
    }
    let study = scheduled.first().map(|(study, _)| study.clone());
    let status = PerformedStatus::of(item.text(tags::PERFORMED_PROCEDURE_STEP_STATUS));
    Ok(Performed {
        status: status.ok_or(MppsError::Invalid("PerformedProcedureStepStatus"))?,
        id: item.text(tags::PERFORMED_PROCEDURE_STEP_ID).to_owned(),
        study: study.ok_or(MppsError::NoValue("ScheduledStepAttributesSequence"))?,
        patient_id: item.text(tags::PATIENT_ID).to_owned(),
        scheduled,
    })
}

/// A step after an N-SET.
#[derive(Debug, Clone, PartialEq)]
pub struct Modified {
    pub item: Item,
    pub performed: Performed,
    /// Attributes that were to change and may not: they are as they were.
    pub kept: Vec<Tag>,
}

/// Judges an N-SET: a step in progress changes, one that is over does not.
pub fn modify(held: &Item, mut modification: Item) -> Result<Modified, MppsError> {
    if performed(held)?.status != PerformedStatus::InProgress {
        return Err(MppsError::Over);
    }
    let kept: Vec<_> = FIXED
        .into_iter()
        .filter(|tag| modification.contains(*tag) && modification.element(*tag) != held.element(*tag))
        .collect();
    FIXED.into_iter().for_each(|tag| modification.remove(tag));
    let mut item = held.clone();
    item.merge(modification);
    let performed = performed(&item)?;
    if performed.status != PerformedStatus::InProgress {
        check_final(&item, performed.status)?;
    }
    Ok(Modified { item, performed, kept })
}

/// Attributes that must have a value in the end (PS3.4 Table F.7.2-1, Final State).
pub const NEEDED_IN_THE_END: [(Tag, &str); 2] = [
    (tags::PERFORMED_PROCEDURE_STEP_END_DATE, "PerformedProcedureStepEndDate"),
    (tags::PERFORMED_PROCEDURE_STEP_END_TIME, "PerformedProcedureStepEndTime"),
];

/// What a step must have in the end. A step that was discontinued before anything was acquired has no series.
fn check_final(item: &Item, status: PerformedStatus) -> Result<(), MppsError> {
    for (tag, keyword) in NEEDED_IN_THE_END {
        if !item.has_value(tag) {
            return Err(MppsError::NoValue(keyword));
        }
    }
    let series = item.items(tags::PERFORMED_SERIES_SEQUENCE);
    if series.is_empty() && status == PerformedStatus::Completed {
        return Err(MppsError::NoValue("PerformedSeriesSequence"));
    }
    let is_named = |series: &Item| series.text(tags::SERIES_INSTANCE_UID).parse::<Uid>().is_ok();
    if series.iter().all(is_named) { Ok(()) } else { Err(MppsError::Invalid("SeriesInstanceUID")) }
}

/// What the steps performed for a scheduled step say of it; `None` if there are none.
pub fn step_status<'a>(performed: impl Iterator<Item = &'a Item>) -> Option<StepStatus> {
    let said: Vec<_> = performed.map(says).collect();
    let in_order = [StepStatus::Started, StepStatus::Completed, StepStatus::Discontinued, StepStatus::Scheduled];
    in_order.into_iter().find(|status| said.contains(status))
}

fn says(performed: &Item) -> StepStatus {
    match PerformedStatus::of(performed.text(tags::PERFORMED_PROCEDURE_STEP_STATUS)) {
        Some(PerformedStatus::Completed) => StepStatus::Completed,
        // It is still to be done.
        Some(PerformedStatus::Discontinued) if is_wrong_entry(performed) => StepStatus::Scheduled,
        Some(PerformedStatus::Discontinued) => StepStatus::Discontinued,
        _ => StepStatus::Started,
    }
}

/// Discontinuation reason "Incorrect Worklist Entry Selected" (PS3.16 CID 9301).
fn is_wrong_entry(performed: &Item) -> bool {
    let reasons = performed.items(tags::PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE);
    let is_it = |reason: &Item| {
        reason.text(tags::CODE_VALUE) == "110514" && reason.text(tags::CODING_SCHEME_DESIGNATOR) == "DCM"
    };
    reasons.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn started() -> Item {
        Item::from_json(json!({
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00400241": {"vr": "AE", "Value": ["CT1"]},
            "00400244": {"vr": "DA", "Value": ["20261201"]},
            "00400245": {"vr": "TM", "Value": ["0931"]},
            "00400252": {"vr": "CS", "Value": ["IN PROGRESS"]},
            "00400253": {"vr": "SH", "Value": ["PPS1"]},
            "00400270": {"vr": "SQ", "Value": [{
                "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
                "00400009": {"vr": "SH", "Value": ["SPS1"]},
            }]},
        }))
        .expect("an item")
    }

    fn ended(status: &str) -> Item {
        let mut item = Item::default();
        item.put_text(tags::PERFORMED_PROCEDURE_STEP_STATUS, status);
        item.put_text(tags::PERFORMED_PROCEDURE_STEP_END_DATE, "20261201");
        item.put_text(tags::PERFORMED_PROCEDURE_STEP_END_TIME, "0945");
        let mut series = Item::default();
        series.put_text(tags::SERIES_INSTANCE_UID, "1.2.3.4");
        item.put_items(tags::PERFORMED_SERIES_SEQUENCE, vec![series]);
        item
    }

    #[test]
    fn a_step_begins_in_progress_with_what_the_standard_asks_for() {
        let performed = create(&started()).expect("a step");
        assert_eq!((performed.id.as_str(), performed.study.as_str()), ("PPS1", "1.2.3"));
        assert_eq!(performed.scheduled, [("1.2.3".parse().expect("a UID"), "SPS1".to_owned())]);
        for (tag, keyword) in NEEDED {
            let mut step = started();
            step.remove(tag);
            assert_eq!(create(&step), Err(MppsError::Missing(keyword)));
            step.put_text(tag, "");
            assert_eq!(create(&step), Err(MppsError::NoValue(keyword)));
        }
        let with = |tag, value| {
            let mut step = started();
            step.put_text(tag, value);
            create(&step).map_err(|error| error.statuses())
        };
        assert_eq!(with(tags::PERFORMED_PROCEDURE_STEP_STATUS, "COMPLETED"), Err((0x0106, None)));
        assert_eq!(with(tags::PERFORMED_PROCEDURE_STEP_START_DATE, "soon"), Err((0x0106, None)));
        let mut step = started();
        step.put_items(tags::SCHEDULED_STEP_ATTRIBUTES_SEQUENCE, vec![Item::default()]);
        assert_eq!(create(&step), Err(MppsError::NoValue("StudyInstanceUID")));
    }

    #[test]
    fn a_step_that_is_over_stays_as_it_is() {
        let done = modify(&started(), ended("COMPLETED")).expect("completed");
        assert_eq!(done.performed.status, PerformedStatus::Completed);
        let again = modify(&done.item, ended("IN PROGRESS")).expect_err("over");
        assert_eq!(again.statuses(), (0x0110, Some(0xA710)));
    }

    #[test]
    fn a_step_ends_with_an_end_and_its_series() {
        let without = |tag, status| {
            let mut end = ended(status);
            end.remove(tag);
            modify(&started(), end).map(|_| ()).map_err(|error| error.statuses().0)
        };
        assert_eq!(without(tags::PERFORMED_PROCEDURE_STEP_END_TIME, "COMPLETED"), Err(0x0121));
        assert_eq!(without(tags::PERFORMED_SERIES_SEQUENCE, "COMPLETED"), Err(0x0121));
        assert_eq!(without(tags::PERFORMED_SERIES_SEQUENCE, "DISCONTINUED"), Ok(()));
        assert_eq!(without(tags::PERFORMED_PROCEDURE_STEP_END_TIME, "IN PROGRESS"), Ok(()));
        assert_eq!(modify(&started(), ended("DONE")).expect_err("no status").statuses().0, 0x0106);
    }

    #[test]
    fn what_was_created_stays_and_is_told() {
        let mut change = ended("IN PROGRESS");
        change.put_text(tags::PATIENT_ID, "P2");
        change.put_text(tags::MODALITY, "CT");
        let modified = modify(&started(), change).expect("modified");
        assert_eq!((modified.item.text(tags::PATIENT_ID), modified.kept), ("P1", vec![tags::PATIENT_ID]));
    }

    #[test]
    fn the_order_follows_what_is_performed() {
        let (mut wrong, mut completed, mut stopped) = (started(), started(), started());
        completed.merge(ended("COMPLETED"));
        stopped.merge(ended("DISCONTINUED"));
        wrong.merge(ended("DISCONTINUED"));
        let mut reason = Item::default();
        reason.put_text(tags::CODE_VALUE, "110514");
        reason.put_text(tags::CODING_SCHEME_DESIGNATOR, "DCM");
        wrong.put_items(tags::PERFORMED_PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE, vec![reason]);
        for (performed, expected) in [
            (vec![], None),
            (vec![&completed, &wrong], Some(StepStatus::Completed)),
            (vec![&stopped], Some(StepStatus::Discontinued)),
            (vec![&wrong], Some(StepStatus::Scheduled)),
            (vec![&stopped, &started()], Some(StepStatus::Started)),
        ] {
            assert_eq!(step_status(performed.into_iter()), expected);
        }
    }
}
