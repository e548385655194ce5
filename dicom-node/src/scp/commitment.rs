//! Storage Commitment Push Model (PS3.4 Annex J): what an N-ACTION asks for, and what its N-EVENT-REPORT says. Pure; see
//! [`crate::commitment`] for the work between the two.

use super::{
    identifier::{self, Field, Fields},
    keys::{Keys, Refusal},
};
use crate::{
    association::supported::{STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE},
    dimse::{CommandSet, command::field, status},
};
use bytes::Bytes;
use pacs_core::{DataSet, Failure, TransferSyntax, Uid, VR, character_set::CharacterSet, data_set::Value, tags};
use serde::{Deserialize, Serialize};

/// Request Storage Commitment (PS3.4 §J.3.2).
const REQUEST: u16 = 1;
/// Storage Commitment Request Successful, and Complete with Failures Exist (PS3.4 §J.3.3).
const SUCCESSFUL: u16 = 1;
const FAILURES_EXIST: u16 = 2;

/// An N-ACTION whose data set is coming.
pub struct Commitment {
    pub request: CommandSet,
    keys: Keys,
}

/// An instance for which somebody wants us to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub sop_class: String,
    pub sop_instance: Uid,
}

/// A transaction: what is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub uid: Uid,
    pub references: Vec<Reference>,
}

impl Commitment {
    pub fn new(request: CommandSet, syntax: TransferSyntax) -> Self {
        Self { request, keys: Keys::long(syntax) }
    }

    /// Takes a piece of the data set.
    pub fn write(&mut self, piece: &[u8]) {
        self.keys.write(piece);
    }

    pub fn read(&self) -> Result<Transaction, Refusal> {
        let CommandSet { action_type_id, requested_sop_class_uid, requested_sop_instance_uid, .. } = &self.request;
        if requested_sop_class_uid.as_deref() != Some(STORAGE_COMMITMENT) {
            return Err(Refusal::new(Failure::SopClass.dimse(), "Requested SOP Class is not Storage Commitment"));
        }
        if requested_sop_instance_uid.as_deref() != Some(STORAGE_COMMITMENT_INSTANCE) {
            return Err(Refusal::new(status::NO_SUCH_SOP_INSTANCE, "not the well-known instance"));
        }
        if *action_type_id != Some(REQUEST) {
            return Err(Refusal::new(status::NO_SUCH_ACTION, "Action Type ID is not 1"));
        }
        transaction(&self.keys.read()?)
    }
}

/// An N-EVENT-REPORT whose data set is coming: what a peer says of what we asked for.
pub struct EventReport {
    pub request: CommandSet,
    keys: Keys,
}

impl EventReport {
    pub fn new(request: CommandSet, syntax: TransferSyntax) -> Self {
        Self { request, keys: Keys::long(syntax) }
    }

    /// Takes a piece of the data set.
    pub fn write(&mut self, piece: &[u8]) {
        self.keys.write(piece);
    }

    pub fn read(&self) -> Result<Report, Refusal> {
        if !matches!(self.request.event_type_id, Some(SUCCESSFUL | FAILURES_EXIST)) {
            return Err(Refusal::new(status::NO_SUCH_EVENT_TYPE, "Event Type ID is neither 1 nor 2"));
        }
        let data_set = self.keys.read()?;
        let refusal = |comment: &str| Refusal::new(status::INVALID_ARGUMENT, comment);
        let transaction = data_set.text(tags::TRANSACTION_UID).unwrap_or_default();
        let transaction = transaction.parse().map_err(|error| refusal(&format!("Transaction UID: {error}")))?;
        let no_instance = || refusal("an item names no instance");
        let committed = data_set.items(tags::REFERENCED_SOP_SEQUENCE).iter().map(reference).collect::<Option<_>>();
        let failed = data_set.items(tags::FAILED_SOP_SEQUENCE).iter().map(|item| {
            let reason = item.integer(tags::FAILURE_REASON).and_then(|reason| u16::try_from(reason).ok());
            Some((reference(item)?, reason.unwrap_or_default()))
        });
        let failed = failed.collect::<Option<_>>().ok_or_else(no_instance)?;
        Ok(Report { transaction, committed: committed.ok_or_else(no_instance)?, failed })
    }
}

impl Transaction {
    /// The N-ACTION that asks for it.
    pub fn request(&self, message_id: u16) -> CommandSet {
        CommandSet {
            command_field: field::N_ACTION_RQ,
            message_id: Some(message_id),
            requested_sop_class_uid: Some(STORAGE_COMMITMENT.to_owned()),
            requested_sop_instance_uid: Some(STORAGE_COMMITMENT_INSTANCE.to_owned()),
            action_type_id: Some(REQUEST),
            has_data_set: true,
            ..CommandSet::default()
        }
    }

    /// Its data set.
    pub fn data_set(&self, explicit_vr: bool) -> Bytes {
        let uid = Field::Text(VR::UI, self.uid.to_string());
        let items = Field::Items(self.references.iter().map(item).collect());
        let fields = Fields::from([(tags::TRANSACTION_UID, uid), (tags::REFERENCED_SOP_SEQUENCE, items)]);
        identifier::write(fields, explicit_vr, &CharacterSet::default())
    }
}

fn item(reference: &Reference) -> Fields {
    let uid = |value: &str| Field::Text(VR::UI, value.to_owned());
    Fields::from([
        (tags::REFERENCED_SOP_CLASS_UID, uid(&reference.sop_class)),
        (tags::REFERENCED_SOP_INSTANCE_UID, uid(reference.sop_instance.as_str())),
    ])
}

fn transaction(data_set: &DataSet) -> Result<Transaction, Refusal> {
    let refusal = |comment: &str| Refusal::new(status::INVALID_ARGUMENT, comment);
    let uid = data_set.text(tags::TRANSACTION_UID).unwrap_or_default();
    let uid = uid.parse().map_err(|error| refusal(&format!("Transaction UID: {error}")))?;
    let sequence = data_set.get(tags::REFERENCED_SOP_SEQUENCE).map(|element| &element.value);
    let Some(Value::Sequence(items)) = sequence else { return Err(refusal("no Referenced SOP Sequence")) };
    let references = items.iter().map(reference).collect::<Option<Vec<_>>>();
    let references = references.filter(|references| !references.is_empty());
    let references = references.ok_or_else(|| refusal("an item of the Referenced SOP Sequence names no instance"))?;
    Ok(Transaction { uid, references })
}

fn reference(item: &DataSet) -> Option<Reference> {
    let sop_instance = item.text(tags::REFERENCED_SOP_INSTANCE_UID)?.parse().ok()?;
    Some(Reference { sop_class: item.text(tags::REFERENCED_SOP_CLASS_UID).unwrap_or_default(), sop_instance })
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub transaction: Uid,
    pub committed: Vec<Reference>,
    /// With the Failure Reason (PS3.3 C.14.1.1).
    pub failed: Vec<(Reference, u16)>,
}

impl Report {
    /// The N-EVENT-REPORT.
    pub fn request(&self, message_id: u16) -> CommandSet {
        CommandSet {
            command_field: field::N_EVENT_REPORT_RQ,
            message_id: Some(message_id),
            affected_sop_class_uid: Some(STORAGE_COMMITMENT.to_owned()),
            affected_sop_instance_uid: Some(STORAGE_COMMITMENT_INSTANCE.to_owned()),
            event_type_id: Some(if self.failed.is_empty() { SUCCESSFUL } else { FAILURES_EXIST }),
            has_data_set: true,
            ..CommandSet::default()
        }
    }

    /// Its data set; `retrieve_from`: our AE title.
    pub fn data_set(&self, retrieve_from: &str, explicit_vr: bool) -> Bytes {
        identifier::write(self.fields(retrieve_from), explicit_vr, &CharacterSet::default())
    }

    pub fn fields(&self, retrieve_from: &str) -> Fields {
        let text = |vr, value: &str| Field::Text(vr, value.to_owned());
        let failed = |(reference, reason): &(Reference, u16)| {
            let mut fields = item(reference);
            fields.insert(tags::FAILURE_REASON, text(VR::US, &reason.to_string()));
            fields
        };
        let mut fields = Fields::from([
            (tags::TRANSACTION_UID, text(VR::UI, self.transaction.as_str())),
            (tags::RETRIEVE_AE_TITLE, text(VR::AE, retrieve_from)),
        ]);
        for (tag, items) in [
            (tags::REFERENCED_SOP_SEQUENCE, self.committed.iter().map(item).collect::<Vec<_>>()),
            (tags::FAILED_SOP_SEQUENCE, self.failed.iter().map(failed).collect()),
        ] {
            if !items.is_empty() {
                fields.insert(tag, Field::Items(items));
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pacs_core::data_set::{Limits, scan};
    use std::io::Cursor;

    fn reference_to(sop_instance: &str) -> Reference {
        Reference { sop_class: "1.2.840.10008.5.1.4.1.1.2".into(), sop_instance: sop_instance.parse().unwrap() }
    }

    fn asked(change: impl FnOnce(&mut CommandSet)) -> Commitment {
        let mut request = CommandSet {
            command_field: field::N_ACTION_RQ,
            requested_sop_class_uid: Some(STORAGE_COMMITMENT.into()),
            requested_sop_instance_uid: Some(STORAGE_COMMITMENT_INSTANCE.into()),
            action_type_id: Some(REQUEST),
            ..CommandSet::default()
        };
        change(&mut request);
        Commitment::new(request, TransferSyntax::implicit_little())
    }

    #[test]
    fn a_report_is_read_back_as_a_transaction_of_what_was_committed() {
        let committed = vec![reference_to("1.2.3"), reference_to("1.2.4")];
        let report = Report { transaction: "1.2".parse().unwrap(), committed: committed.clone(), failed: Vec::new() };
        let mut commitment = asked(|_| {});
        commitment.write(&report.data_set("YINGHAI", false));
        assert_eq!(commitment.read(), Ok(Transaction { uid: "1.2".parse().unwrap(), references: committed }));
        assert_eq!(report.request(1).event_type_id, Some(1));
    }

    #[test]
    fn what_we_ask_is_read_as_it_was_meant_and_so_is_the_answer() {
        let references = vec![reference_to("1.2.3"), reference_to("1.2.4")];
        let transaction = Transaction { uid: "1.2".parse().unwrap(), references: references.clone() };
        let mut asked = Commitment::new(transaction.request(1), TransferSyntax::implicit_little());
        asked.write(&transaction.data_set(false));
        assert_eq!(asked.read(), Ok(transaction));
        let report = Report {
            transaction: "1.2".parse().unwrap(),
            committed: vec![references[0].clone()],
            failed: vec![(references[1].clone(), 0x0112)],
        };
        let mut heard = EventReport::new(report.request(1), TransferSyntax::explicit_little());
        heard.write(&report.data_set("YINGHAI", true));
        assert_eq!(heard.read(), Ok(report));
        heard.request.event_type_id = Some(3);
        assert_eq!(heard.read().unwrap_err().status, status::NO_SUCH_EVENT_TYPE);
    }

    #[test]
    fn failures_are_listed_with_their_reasons() {
        let failed = vec![(reference_to("1.2.3"), 0x0112)];
        let report = Report { transaction: "1.2".parse().unwrap(), committed: Vec::new(), failed };
        let data_set = report.data_set("YINGHAI", true);
        let read = scan(&mut Cursor::new(data_set), &TransferSyntax::explicit_little(), Limits::default()).unwrap();
        assert!(read.get(tags::REFERENCED_SOP_SEQUENCE).is_none());
        let Some(Value::Sequence(items)) = read.get(tags::FAILED_SOP_SEQUENCE).map(|e| &e.value) else { panic!() };
        assert_eq!(items[0].text(tags::REFERENCED_SOP_INSTANCE_UID).as_deref(), Some("1.2.3"));
        let Some(Value::Bytes(reason)) = items[0].get(tags::FAILURE_REASON).map(|e| &e.value) else { panic!() };
        assert_eq!(reason[..], 0x0112_u16.to_le_bytes());
        assert_eq!(report.request(1).event_type_id, Some(2));
    }

    #[test]
    fn what_is_no_request_for_commitment_is_refused() {
        let status = |commitment: &Commitment| commitment.read().unwrap_err().status;
        assert_eq!(status(&asked(|rq| rq.action_type_id = Some(2))), status::NO_SUCH_ACTION);
        assert_eq!(status(&asked(|rq| rq.requested_sop_instance_uid = None)), status::NO_SUCH_SOP_INSTANCE);
        assert_eq!(status(&asked(|rq| rq.requested_sop_class_uid = None)), Failure::SopClass.dimse());
        assert_eq!(status(&asked(|_| {})), status::INVALID_ARGUMENT);
    }
}
