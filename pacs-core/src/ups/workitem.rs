//! The machine itself.

use super::{State, UPS_PUSH, UpsError, Warning};
use crate::item::Item;
use crate::uid::Uid;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// A workitem as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Workitem {
    pub state: State,
    /// Of who performs it; nobody else is ever told.
    pub transaction: Option<Uid>,
    /// All attributes but Transaction UID.
    pub item: Item,
}

/// What must have a value when a workitem is created (PS3.4 Table CC.2.5-3, type 1 of the user).
pub const NEEDED: [(Tag, &str); 5] = [
    (tags::PROCEDURE_STEP_STATE, "ProcedureStepState"),
    (tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "ScheduledProcedureStepPriority"),
    (tags::PROCEDURE_STEP_LABEL, "ProcedureStepLabel"),
    (tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, "ScheduledProcedureStepStartDateTime"),
    (tags::INPUT_READINESS_STATE, "InputReadinessState"),
];

/// What only performing it can say.
const PERFORMED: [Tag; 2] =
    [tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE, tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE];

/// What stays as it was created (PS3.4 Table CC.2.5-3).
pub const FIXED: [Tag; 12] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::ADMISSION_ID,
    tags::STUDY_INSTANCE_UID,
    tags::REFERENCED_REQUEST_SEQUENCE,
    tags::REPLACED_PROCEDURE_STEP_SEQUENCE,
    tags::SCHEDULED_PROCEDURE_STEP_MODIFICATION_DATE_TIME,
];

/// What the UPS Performed Procedure Sequence of a completed workitem must say (PS3.4 Table CC.2.5-3, final state).
pub const NEEDED_IN_THE_END: [(Tag, &str); 4] = [
    (tags::PERFORMED_STATION_NAME_CODE_SEQUENCE, "PerformedStationNameCodeSequence"),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE_TIME, "PerformedProcedureStepStartDateTime"),
    (tags::PERFORMED_PROCEDURE_STEP_END_DATE_TIME, "PerformedProcedureStepEndDateTime"),
    (tags::PERFORMED_WORKITEM_CODE_SEQUENCE, "PerformedWorkitemCodeSequence"),
];

/// The list that who gives none puts a workitem on.
const WORKLIST: &str = "DEFAULT";

impl Workitem {
    /// A new workitem; `now` is a DT value.
    pub fn create(sop_instance: &Uid, mut item: Item, now: &str) -> Result<(Self, Option<Warning>), UpsError> {
        for (tag, keyword) in NEEDED {
            if !item.contains(tag) {
                return Err(UpsError::Missing(keyword));
            }
            if !item.has_value(tag) {
                return Err(UpsError::NoValue(keyword));
            }
        }
        if item.text(tags::PROCEDURE_STEP_STATE) != State::Scheduled.as_str() {
            return Err(UpsError::NotScheduled);
        }
        check_words(&item)?;
        let ahead = PERFORMED.into_iter().chain([tags::TRANSACTION_UID]);
        let warning = ahead.clone().any(|tag| item.has_value(tag)).then_some(Warning::Modified);
        ahead.for_each(|tag| item.remove(tag));
        PERFORMED.into_iter().for_each(|tag| item.put_items(tag, Vec::new()));
        item.put_text(tags::SOP_CLASS_UID, UPS_PUSH);
        item.put_text(tags::SOP_INSTANCE_UID, sop_instance.as_str());
        item.put_text(tags::SCHEDULED_PROCEDURE_STEP_MODIFICATION_DATE_TIME, now);
        if !item.has_value(tags::WORKLIST_LABEL) {
            item.put_text(tags::WORKLIST_LABEL, WORKLIST);
        }
        Ok((Self { state: State::Scheduled, transaction: None, item }, warning))
    }

    /// Takes over what an N-SET says: from anybody while it is scheduled, then from its performer only.
    pub fn update(&mut self, mut modification: Item, now: &str) -> Result<Option<Warning>, UpsError> {
        let transaction = modification.text(tags::TRANSACTION_UID).to_owned();
        match self.state {
            State::Completed | State::Canceled => return Err(UpsError::Final),
            State::Scheduled if !transaction.is_empty() => return Err(UpsError::NotInProgress),
            State::InProgress if !self.is_transaction(&transaction) => return Err(UpsError::Transaction),
            State::Scheduled | State::InProgress => {}
        }
        match modification.text(tags::PROCEDURE_STEP_STATE) {
            "" => {}
            "SCHEDULED" => return Err(UpsError::Scheduled),
            _ => return Err(UpsError::Invalid("ProcedureStepState")),
        }
        check_words(&modification)?;
        let differs = |tag: Tag| modification.contains(tag) && modification.element(tag) != self.item.element(tag);
        let warning = FIXED.into_iter().any(differs).then_some(Warning::Coerced);
        let left_out = FIXED.into_iter().chain([tags::TRANSACTION_UID, tags::PROCEDURE_STEP_STATE]);
        left_out.for_each(|tag| modification.remove(tag));
        if self.state == State::Scheduled {
            self.item.put_text(tags::SCHEDULED_PROCEDURE_STEP_MODIFICATION_DATE_TIME, now);
        }
        self.item.merge(modification);
        Ok(warning)
    }

    /// The state table (PS3.4 Table CC.1.1-2).
    pub fn change_state(
        &mut self,
        to: State,
        transaction: Option<&Uid>,
        now: &str,
    ) -> Result<Option<Warning>, UpsError> {
        let given = transaction.map_or("", Uid::as_str);
        match (self.state, to) {
            (_, State::Scheduled) => return Err(UpsError::Scheduled),
            _ if given.is_empty() => return Err(UpsError::Transaction),
            (State::Scheduled, State::InProgress) => {
                self.transaction = transaction.cloned();
                self.set(State::InProgress);
                return Ok(None);
            }
            (State::InProgress, State::InProgress) => return Err(UpsError::InProgress),
            (State::Scheduled, _) => return Err(UpsError::NotInProgress),
            _ if !self.is_transaction(given) => return Err(UpsError::Transaction),
            (State::Completed, State::Completed) => return Ok(Some(Warning::AlreadyCompleted)),
            (State::Canceled, State::Canceled) => return Ok(Some(Warning::AlreadyCanceled)),
            (State::Completed | State::Canceled, _) => return Err(UpsError::Final),
            (State::InProgress, State::Completed) => self.check_performed()?,
            (State::InProgress, State::Canceled) => self.note_cancellation(now),
        }
        self.set(to);
        Ok(None)
    }

    /// What becomes of the wish that it be cancelled: done where nobody is at work on it; else its performer has the say.
    pub fn request_cancel(&mut self, request: &Item, now: &str) -> Result<Cancel, UpsError> {
        match self.state {
            State::Completed => Err(UpsError::Completed),
            State::Canceled => Ok(Cancel::Already),
            State::InProgress => Ok(Cancel::Asked),
            State::Scheduled => {
                self.note_cancellation(now);
                self.change_progress(|progress| {
                    for tag in
                        [tags::REASON_FOR_CANCELLATION, tags::PROCEDURE_STEP_DISCONTINUATION_REASON_CODE_SEQUENCE]
                    {
                        if let Some(said) = request.element(tag) {
                            progress.put(tag, said.clone());
                        }
                    }
                });
                self.set(State::Canceled);
                Ok(Cancel::Done)
            }
        }
    }

    fn set(&mut self, state: State) {
        self.state = state;
        self.item.put_text(tags::PROCEDURE_STEP_STATE, state.as_str());
    }

    fn is_transaction(&self, given: &str) -> bool {
        self.transaction.as_ref().is_some_and(|own| own.as_str() == given)
    }

    fn check_performed(&self) -> Result<(), UpsError> {
        let performed = self.item.items(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE);
        let missing = UpsError::Requirements("UnifiedProcedureStepPerformedProcedureSequence");
        let performed = performed.first().ok_or(missing)?;
        for (tag, keyword) in NEEDED_IN_THE_END {
            if !performed.has_value(tag) {
                return Err(UpsError::Requirements(keyword));
            }
        }
        Ok(())
    }

    /// A cancelled workitem must say when: who does not is helped.
    fn note_cancellation(&mut self, now: &str) {
        self.change_progress(|progress| {
            if !progress.has_value(tags::PROCEDURE_STEP_CANCELLATION_DATE_TIME) {
                progress.put_text(tags::PROCEDURE_STEP_CANCELLATION_DATE_TIME, now);
            }
        });
    }

    fn change_progress(&mut self, change: impl FnOnce(&mut Item)) {
        let tag = tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE;
        let mut progress = self.item.items(tag).into_iter().next().unwrap_or_default();
        change(&mut progress);
        self.item.put_items(tag, vec![progress]);
    }
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    Done,
    /// Its performer is to be asked.
    Asked,
    Already,
}

/// Words that the standard enumerates.
fn check_words(item: &Item) -> Result<(), UpsError> {
    for (tag, keyword, words) in [
        (tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "ScheduledProcedureStepPriority", ["HIGH", "MEDIUM", "LOW"]),
        (tags::INPUT_READINESS_STATE, "InputReadinessState", ["INCOMPLETE", "UNAVAILABLE", "READY"]),
    ] {
        let said = item.text(tag);
        if !said.is_empty() && !words.contains(&said) {
            return Err(UpsError::Invalid(keyword));
        }
    }
    Ok(())
}
