//! Orders as Modality Worklist has them: items of one scheduled procedure step each (PS3.4 §K.6.1, PS3.3 C.4.10 to C.4.12).

use crate::item::Item;
use crate::query::moment_text;
use crate::uid::Uid;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use std::str::FromStr;

const STEP: Tag = tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE;

/// Scheduled Procedure Step Status (PS3.3 C.4.10), and what became of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StepStatus {
    Scheduled,
    /// The patient is there.
    Arrived,
    Ready,
    /// A modality is at work on it; `IN PROGRESS` is read as this.
    Started,
    Departed,
    Completed,
    Discontinued,
    /// By who ordered it.
    Canceled,
}

impl StepStatus {
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Arrived,
        Self::Ready,
        Self::Started,
        Self::Departed,
        Self::Completed,
        Self::Discontinued,
        Self::Canceled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Arrived => "ARRIVED",
            Self::Ready => "READY",
            Self::Started => "STARTED",
            Self::Departed => "DEPARTED",
            Self::Completed => "COMPLETED",
            Self::Discontinued => "DISCONTINUED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Whether there is still something to do: only such steps are on the worklist unless others are asked for.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Completed | Self::Discontinued | Self::Canceled)
    }
}

impl FromStr for StepStatus {
    type Err = WorklistError;

    fn from_str(text: &str) -> Result<Self, WorklistError> {
        let text = if text == "IN PROGRESS" { Self::Started.as_str() } else { text };
        let known = Self::ALL.into_iter().find(|status| status.as_str() == text);
        known.ok_or_else(|| WorklistError::Value { keyword: "ScheduledProcedureStepStatus", text: text.to_owned() })
    }
}

impl TryFrom<String> for StepStatus {
    type Error = WorklistError;
    fn try_from(text: String) -> Result<Self, WorklistError> {
        text.parse()
    }
}

impl From<StepStatus> for String {
    fn from(status: StepStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// Why an item cannot be on a worklist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorklistError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{keyword} {text:?} cannot be understood")]
    Value { keyword: &'static str, text: String },
    #[error("there is no item in the Scheduled Procedure Step Sequence")]
    NoStep,
}

/// What an item is known by, and what it is looked for by. Texts are empty where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Order {
    pub step_id: String,
    pub study: Option<Uid>,
    pub accession_number: String,
    pub requested_procedure_id: String,
    pub placer_order_number: String,
    pub filler_order_number: String,
    pub patient_id: String,
    pub issuer_of_patient_id: String,
    /// Eight digits.
    pub start_date: String,
    /// Twelve digits, to microseconds; zeros where nothing is said.
    pub start_time: String,
    pub status: Option<StepStatus>,
}

/// One item for each scheduled procedure step of an order.
pub fn steps(order: &Item) -> Result<Vec<Item>, WorklistError> {
    let steps = order.items(STEP);
    if steps.is_empty() {
        return Err(WorklistError::NoStep);
    }
    let alone = |step: Item| {
        let mut item = order.clone();
        item.put_items(STEP, vec![step]);
        item
    };
    Ok(steps.into_iter().map(alone).collect())
}

/// The step of an item of one.
pub fn step(item: &Item) -> Item {
    item.items(STEP).into_iter().next().unwrap_or_default()
}

/// Changes the step of an item of one.
pub fn change_step(item: &mut Item, change: impl FnOnce(&mut Item)) {
    let mut step = step(item);
    change(&mut step);
    item.put_items(STEP, vec![step]);
}

/// What a worklist has to return and cannot make up (PS3.4 Table K.6-1): of the order, and of its step.
pub const NEEDED: [(Tag, &str); 2] = [(tags::PATIENT_NAME, "PatientName"), (tags::PATIENT_ID, "PatientID")];
pub const NEEDED_OF_STEP: [(Tag, &str); 2] =
    [(tags::MODALITY, "Modality"), (tags::SCHEDULED_PROCEDURE_STEP_START_DATE, "ScheduledProcedureStepStartDate")];

/// Reads an item of one step.
pub fn order(item: &Item) -> Result<Order, WorklistError> {
    let step = step(item);
    let of_order = NEEDED.into_iter().map(|(tag, keyword)| (item, tag, keyword));
    let of_step = NEEDED_OF_STEP.into_iter().map(|(tag, keyword)| (&step, tag, keyword));
    for (of, tag, keyword) in of_order.chain(of_step) {
        if !of.has_value(tag) {
            return Err(WorklistError::Missing(keyword));
        }
    }
    let study = item.text(tags::STUDY_INSTANCE_UID);
    let status = step.text(tags::SCHEDULED_PROCEDURE_STEP_STATUS);
    let unreadable = |keyword, text: &str| WorklistError::Value { keyword, text: text.to_owned() };
    Ok(Order {
        step_id: step.text(tags::SCHEDULED_PROCEDURE_STEP_ID).to_owned(),
        study: (!study.is_empty())
            .then(|| study.parse().map_err(|_| unreadable("StudyInstanceUID", study)))
            .transpose()?,
        accession_number: item.text(tags::ACCESSION_NUMBER).to_owned(),
        requested_procedure_id: item.text(tags::REQUESTED_PROCEDURE_ID).to_owned(),
        placer_order_number: item.text(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST).to_owned(),
        filler_order_number: item.text(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST).to_owned(),
        patient_id: item.text(tags::PATIENT_ID).to_owned(),
        issuer_of_patient_id: item.text(tags::ISSUER_OF_PATIENT_ID).to_owned(),
        start_date: moment(VR::DA, step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE)).ok_or_else(|| {
            unreadable("ScheduledProcedureStepStartDate", step.text(tags::SCHEDULED_PROCEDURE_STEP_START_DATE))
        })?,
        start_time: moment(VR::TM, step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME)).ok_or_else(|| {
            unreadable("ScheduledProcedureStepStartTime", step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME))
        })?,
        status: (!status.is_empty()).then(|| status.parse()).transpose()?,
    })
}

/// All digits of a date, which must have them, or of a time, which need not.
fn moment(vr: VR, text: &str) -> Option<String> {
    match vr {
        VR::TM if text.is_empty() => Some("0".repeat(12)),
        VR::DA if text.chars().filter(char::is_ascii_digit).count() != 8 => None,
        _ => moment_text(vr, text, '0'),
    }
}

/// Gives an item what it lacks of what a worklist has to return; `id` makes identifiers of up to 16 characters.
pub fn complete(item: &mut Item, order: &Order, study: &Uid, id: &str) {
    item.put_text(tags::STUDY_INSTANCE_UID, study.as_str());
    if order.requested_procedure_id.is_empty() {
        item.put_text(tags::REQUESTED_PROCEDURE_ID, id);
    }
    for (from, to) in [
        (tags::REQUESTED_PROCEDURE_DESCRIPTION, tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION),
        (tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, tags::SCHEDULED_PROTOCOL_CODE_SEQUENCE),
    ] {
        lend(item, from, to);
    }
    let status = order.status.unwrap_or(StepStatus::Scheduled);
    change_step(item, |step| {
        step.put_text(tags::SCHEDULED_PROCEDURE_STEP_STATUS, status.as_str());
        if order.step_id.is_empty() {
            step.put_text(tags::SCHEDULED_PROCEDURE_STEP_ID, id);
        }
        if !step.has_value(tags::SCHEDULED_PROCEDURE_STEP_START_TIME) {
            step.put_text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME, "000000");
        }
    });
}

/// What is said of the requested procedure and not of its step is said of the step too, and the other way round.
fn lend(item: &mut Item, of_procedure: Tag, of_step: Tag) {
    let (procedure, step) = (item.element(of_procedure).cloned(), step(item).element(of_step).cloned());
    match (procedure, step) {
        (Some(procedure), None) => change_step(item, |step| step.put(of_step, procedure)),
        (None, Some(step)) => item.put(of_procedure, step),
        _ => {}
    }
}

/// Whether a step is for this station, as one of those that it may be done on.
pub fn is_for_station(item: &Item, ae_title: &str) -> bool {
    let step = step(item);
    step.attributes().texts(tags::SCHEDULED_STATION_AE_TITLE).iter().any(|station| station.trim() == ae_title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn item(step: Value) -> Item {
        Item::from_json(json!({
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Li^Si"}]},
            "00100020": {"vr": "LO", "Value": ["P1"]},
            "00080050": {"vr": "SH", "Value": ["A1"]},
            "00321060": {"vr": "LO", "Value": ["CT chest"]},
            "00400100": {"vr": "SQ", "Value": [step]},
        }))
        .expect("an item")
    }

    fn ct() -> Value {
        json!({
            "00080060": {"vr": "CS", "Value": ["CT"]},
            "00400001": {"vr": "AE", "Value": ["CT1"]},
            "00400002": {"vr": "DA", "Value": ["20261128"]},
        })
    }

    #[test]
    fn an_order_is_completed_with_what_a_worklist_has_to_return() {
        let mut item = item(ct());
        let order = order(&item).expect("an order");
        assert_eq!((order.start_date.as_str(), order.start_time.as_str()), ("20261128", "000000000000"));
        assert_eq!((order.accession_number.as_str(), order.status), ("A1", None));
        complete(&mut item, &order, &"2.25.7".parse().expect("a UID"), "S17");
        let again = super::order(&item).expect("an order");
        assert_eq!((again.step_id.as_str(), again.requested_procedure_id.as_str()), ("S17", "S17"));
        assert_eq!(
            (again.study.map(String::from).as_deref(), again.status),
            (Some("2.25.7"), Some(StepStatus::Scheduled))
        );
        let step = step(&item);
        assert_eq!(step.text(tags::SCHEDULED_PROCEDURE_STEP_START_TIME), "000000");
        assert_eq!(step.text(tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION), "CT chest");
        assert!(is_for_station(&item, "CT1") && !is_for_station(&item, "CT"));
    }

    #[test]
    fn what_is_missing_or_unreadable_is_named() {
        let without = |tag: &str| {
            let mut step = ct();
            step.as_object_mut().expect("an object").remove(tag);
            order(&item(step)).expect_err("an error")
        };
        assert_eq!(without("00080060"), WorklistError::Missing("Modality"));
        assert_eq!(without("00400002"), WorklistError::Missing("ScheduledProcedureStepStartDate"));
        let with = |tag: &str, vr: &str, value: &str| {
            let mut step = ct();
            step[tag] = json!({ "vr": vr, "Value": [value] });
            order(&item(step)).map_err(|error| error.to_string())
        };
        assert!(with("00400002", "DA", "202611").is_err() && with("00400003", "TM", "noon").is_err());
        assert!(with("00400020", "CS", "DONE").is_err());
        assert_eq!(with("00400020", "CS", "IN PROGRESS").map(|order| order.status), Ok(Some(StepStatus::Started)));
        assert_eq!(steps(&Item::default()), Err(WorklistError::NoStep));
    }

    #[test]
    fn an_order_of_several_steps_is_several_items() {
        let mut order = item(ct());
        let steps = order.items(STEP);
        order.put_items(STEP, [steps.clone(), steps].concat());
        let items = super::steps(&order).expect("steps");
        assert!(items.len() == 2 && items.iter().all(|item| item.items(STEP).len() == 1));
    }
}
