use super::workitem::NEEDED;
use super::*;
use crate::item::Item;
use crate::uid::Uid;
use dicom_dictionary_std::tags;

const NOW: &str = "20261128080000";

fn uid(text: &str) -> Uid {
    text.parse().expect("a UID")
}

fn scheduled() -> Item {
    let mut item = Item::default();
    for (tag, value) in [
        (tags::PROCEDURE_STEP_STATE, "SCHEDULED"),
        (tags::SCHEDULED_PROCEDURE_STEP_PRIORITY, "MEDIUM"),
        (tags::PROCEDURE_STEP_LABEL, "Lung nodules"),
        (tags::SCHEDULED_PROCEDURE_STEP_START_DATE_TIME, "20261128090000"),
        (tags::INPUT_READINESS_STATE, "READY"),
        (tags::PATIENT_ID, "P1"),
    ] {
        item.put_text(tag, value);
    }
    item
}

fn created() -> Workitem {
    Workitem::create(&uid("1.2"), scheduled(), NOW).expect("a workitem").0
}

fn performed() -> Item {
    let mut code = Item::default();
    code.put_text(tags::CODE_VALUE, "110005");
    let mut done = Item::default();
    done.put_items(tags::PERFORMED_STATION_NAME_CODE_SEQUENCE, vec![code.clone()]);
    done.put_items(tags::PERFORMED_WORKITEM_CODE_SEQUENCE, vec![code]);
    done.put_text(tags::PERFORMED_PROCEDURE_STEP_START_DATE_TIME, NOW);
    done.put_text(tags::PERFORMED_PROCEDURE_STEP_END_DATE_TIME, NOW);
    let mut item = Item::default();
    item.put_items(tags::UNIFIED_PROCEDURE_STEP_PERFORMED_PROCEDURE_SEQUENCE, vec![done]);
    item.put_text(tags::TRANSACTION_UID, "1.9");
    item
}

/// A workitem in a state, its performer's Transaction UID 1.9.
fn in_state(state: State) -> Workitem {
    let mut workitem = created();
    if state == State::Scheduled {
        return workitem;
    }
    workitem.change_state(State::InProgress, Some(&uid("1.9")), NOW).expect("claimed");
    workitem.update(performed(), NOW).expect("performed");
    if state != State::InProgress {
        workitem.change_state(state, Some(&uid("1.9")), NOW).expect("ended");
    }
    workitem
}

#[test]
fn the_state_table_is_walked_completely() {
    use State::{Canceled, Completed, InProgress, Scheduled};
    let refused = |error: UpsError| Err(error.status());
    let done: Result<Option<u16>, u16> = Ok(None);
    for (from, to, right, wrong) in [
        (Scheduled, Scheduled, refused(UpsError::Scheduled), refused(UpsError::Scheduled)),
        (Scheduled, InProgress, done, done),
        (Scheduled, Completed, refused(UpsError::NotInProgress), refused(UpsError::NotInProgress)),
        (Scheduled, Canceled, refused(UpsError::NotInProgress), refused(UpsError::NotInProgress)),
        (InProgress, Scheduled, refused(UpsError::Scheduled), refused(UpsError::Scheduled)),
        (InProgress, InProgress, refused(UpsError::InProgress), refused(UpsError::InProgress)),
        (InProgress, Completed, done, refused(UpsError::Transaction)),
        (InProgress, Canceled, done, refused(UpsError::Transaction)),
        (Completed, Scheduled, refused(UpsError::Scheduled), refused(UpsError::Scheduled)),
        (Completed, InProgress, refused(UpsError::Final), refused(UpsError::Transaction)),
        (Completed, Completed, Ok(Some(0xB306)), refused(UpsError::Transaction)),
        (Completed, Canceled, refused(UpsError::Final), refused(UpsError::Transaction)),
        (Canceled, Scheduled, refused(UpsError::Scheduled), refused(UpsError::Scheduled)),
        (Canceled, InProgress, refused(UpsError::Final), refused(UpsError::Transaction)),
        (Canceled, Completed, refused(UpsError::Final), refused(UpsError::Transaction)),
        (Canceled, Canceled, Ok(Some(0xB304)), refused(UpsError::Transaction)),
    ] {
        for (transaction, expected) in [("1.9", right), ("1.8", wrong)] {
            let mut workitem = in_state(from);
            let changed = workitem.change_state(to, Some(&uid(transaction)), NOW);
            let told = changed.map(|warning| warning.map(Warning::status)).map_err(UpsError::status);
            assert_eq!(told, expected, "{from:?} to {to:?} by {transaction}");
            let now = if told == Ok(None) { to } else { from };
            assert_eq!((workitem.state, workitem.item.text(tags::PROCEDURE_STEP_STATE)), (now, now.as_str()));
        }
        let unnamed = in_state(from).change_state(to, None, NOW).map_err(UpsError::status);
        assert_eq!(unnamed, Err(if to == Scheduled { 0xC303 } else { 0xC301 }), "{from:?} to {to:?} by nobody");
    }
}

#[test]
fn a_workitem_is_created_scheduled_and_complete() {
    for (tag, keyword) in NEEDED {
        let mut item = scheduled();
        item.remove(tag);
        assert_eq!(Workitem::create(&uid("1.2"), item, NOW), Err(UpsError::Missing(keyword)));
    }
    let with = |tag, value| {
        let mut item = scheduled();
        item.put_text(tag, value);
        Workitem::create(&uid("1.2"), item, NOW).map(|(_, warning)| warning.map(Warning::status))
    };
    assert_eq!(with(tags::PROCEDURE_STEP_STATE, "IN PROGRESS"), Err(UpsError::NotScheduled));
    assert_eq!(with(tags::INPUT_READINESS_STATE, "MAYBE"), Err(UpsError::Invalid("InputReadinessState")));
    assert_eq!(with(tags::TRANSACTION_UID, "1.9"), Ok(Some(0xB300)));
    assert_eq!(with(tags::WORKLIST_LABEL, "AI"), Ok(None));
    let item = created().item;
    assert_eq!((item.text(tags::SOP_INSTANCE_UID), item.text(tags::WORKLIST_LABEL)), ("1.2", "DEFAULT"));
    assert!(!item.contains(tags::TRANSACTION_UID));
}

#[test]
fn only_its_performer_changes_what_is_in_progress_and_nobody_what_is_over() {
    let change = |transaction: &str, tag, value: &str| {
        let mut item = Item::default();
        item.put_text(tags::TRANSACTION_UID, transaction);
        item.put_text(tag, value);
        item
    };
    let label = tags::PROCEDURE_STEP_LABEL;
    let update = |state, item: Item| in_state(state).update(item, NOW).map(|w| w.map(Warning::status));
    assert_eq!(update(State::Scheduled, change("", label, "x")), Ok(None));
    assert_eq!(update(State::Scheduled, change("1.9", label, "x")), Err(UpsError::NotInProgress));
    assert_eq!(update(State::InProgress, change("1.9", label, "x")), Ok(None));
    assert_eq!(update(State::InProgress, change("1.8", label, "x")), Err(UpsError::Transaction));
    assert_eq!(update(State::InProgress, change("", label, "x")), Err(UpsError::Transaction));
    assert_eq!(update(State::Completed, change("1.9", label, "x")), Err(UpsError::Final));
    assert_eq!(update(State::InProgress, change("1.9", tags::PATIENT_ID, "P2")), Ok(Some(0xB305)));
    let state = tags::PROCEDURE_STEP_STATE;
    assert_eq!(update(State::InProgress, change("1.9", state, "SCHEDULED")), Err(UpsError::Scheduled));
    assert!(matches!(update(State::InProgress, change("1.9", state, "COMPLETED")), Err(UpsError::Invalid(_))));
    let mut workitem = in_state(State::InProgress);
    workitem.update(change("1.9", tags::PATIENT_ID, "P2"), NOW).expect("updated");
    assert!(workitem.item.text(tags::PATIENT_ID) == "P1" && !workitem.item.contains(tags::TRANSACTION_UID));
}

#[test]
fn a_workitem_is_complete_only_with_what_was_performed() {
    let mut workitem = created();
    workitem.change_state(State::InProgress, Some(&uid("1.9")), NOW).expect("claimed");
    let refused = workitem.change_state(State::Completed, Some(&uid("1.9")), NOW);
    assert_eq!(refused.map_err(UpsError::status), Err(0xC304));
    assert_eq!(workitem.state, State::InProgress);
    workitem.change_state(State::Canceled, Some(&uid("1.9")), NOW).expect("cancelled");
    let progress = &workitem.item.items(tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE)[0];
    assert_eq!(progress.text(tags::PROCEDURE_STEP_CANCELLATION_DATE_TIME), NOW);
}

#[test]
fn a_wish_to_cancel_is_granted_while_nobody_is_at_work() {
    let mut wish = Item::default();
    wish.put_text(tags::REASON_FOR_CANCELLATION, "moved");
    let ask = |state| in_state(state).request_cancel(&wish, NOW);
    assert_eq!(ask(State::Scheduled), Ok(Cancel::Done));
    assert_eq!(ask(State::InProgress), Ok(Cancel::Asked));
    assert_eq!(ask(State::Canceled), Ok(Cancel::Already));
    assert_eq!(ask(State::Completed), Err(UpsError::Completed));
    let mut workitem = created();
    workitem.request_cancel(&wish, NOW).expect("done");
    let report = state_report(&workitem.item);
    assert_eq!(report.text(tags::PROCEDURE_STEP_STATE), "CANCELED");
    assert_eq!(report.text(tags::REASON_FOR_CANCELLATION), "moved");
    assert_eq!(cancel_requested(&wish, "RIS").text(tags::REQUESTING_AE), "RIS");
}

#[test]
fn changes_are_told_as_what_they_mean() {
    let before = created().item;
    let told = |tag| {
        let mut after = before.clone();
        after.put_items(tag, vec![scheduled()]);
        reports(&before, &after).into_iter().map(|(event, _)| event.event_type_id()).collect::<Vec<_>>()
    };
    assert_eq!(told(tags::PROCEDURE_STEP_PROGRESS_INFORMATION_SEQUENCE), [3]);
    assert_eq!(told(tags::SCHEDULED_STATION_NAME_CODE_SEQUENCE), [5]);
    assert_eq!(told(tags::SCHEDULED_HUMAN_PERFORMERS_SEQUENCE), [5]);
    assert_eq!(told(tags::INPUT_READINESS_STATE), [1]);
    assert!(told(tags::COMMENTS_ON_THE_SCHEDULED_PROCEDURE_STEP).is_empty());
}
