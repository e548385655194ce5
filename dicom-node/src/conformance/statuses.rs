//! Statuses that requests are answered with (PS3.7 Annex C, PS3.4).

use crate::{
    association::supported::Service,
    dimse::{
        CommandSet,
        command::field,
        status::{self, SUCCESS},
    },
};
use pacs_core::{
    Failure,
    mpps::MppsError,
    statement::{Statement, code},
    ups::{UpsError, Warning},
};

/// A status, and when it is answered.
pub type Status = (u16, &'static str);

pub const ECHO: &[Status] = &[(SUCCESS, "we are there")];

const UNRECOGNIZED: Status = (status::UNRECOGNIZED_OPERATION, "not an operation of the SOP Class");
const NOT_AUTHORISED: Status =
    (Failure::NotAuthorised.dimse(), "in the roles that were negotiated the peer may not ask this");
const NO_ROOM: Status =
    (Failure::NoRoom.dimse(), "out of resources, try again later: the disk is full, the database away");
const CANNOT_UNDERSTAND: Status = (Failure::CannotUnderstand.dimse(), "the data set cannot be understood");
const INTERNAL: Status = (Failure::Internal.dimse(), "a fault of ours");
const INSTANCE_UID: Status = (status::INVALID_SOP_INSTANCE, "the SOP Instance UID is missing or is no UID");
const CLASS: Status = (Failure::SopClass.dimse(), "the SOP Class is not that of the presentation context");

pub const STORE: &[Status] = &[
    (SUCCESS, "stored, also as a further version; or the same data set was held already"),
    (
        Failure::DuplicateInstance.dimse(),
        "other content is held under this SOP Instance UID and `storage.same_uid_other_content` is `reject`: the sender keeps its own",
    ),
    INSTANCE_UID,
    (
        Failure::MissingAttribute.dimse(),
        "an attribute that the index needs is missing or malformed, such as Study Instance UID",
    ),
    CLASS,
    NOT_AUTHORISED,
    (
        Failure::NoRoom.dimse(),
        "out of resources, try again later; or the instance is larger than `storage.max_instance_bytes`, or the quarantine is full",
    ),
    (Failure::DataSetMismatch.dimse(), "SOP Class or Instance UID of data set and command differ"),
    CANNOT_UNDERSTAND,
    INTERNAL,
];

const MATCH: Status = (status::PENDING, "a match");
const NO_MORE: Status = (SUCCESS, "no more matches");
const CANCELLED: Status = (status::CANCELLED, "cancelled by C-CANCEL");
const TOO_MANY: Status = (
    status::OUT_OF_RESOURCES,
    "more than `dicom.max_find_results` matches: those sent are valid. Or an identifier of more than 1 MiB, or the database is away",
);
const NOT_SEARCHED: Status =
    (Failure::CannotUnderstand.dimse(), "the identifier cannot be understood, or the archive cannot be searched");

pub const FIND: &[Status] = &[
    MATCH,
    (status::PENDING_WITHOUT_SOME_KEYS, "a match; some optional key is not supported"),
    NO_MORE,
    CANCELLED,
    TOO_MANY,
    (Failure::InvalidQuery.dimse(), "level missing or not of the model; a key that cannot be understood"),
    NOT_SEARCHED,
];

/// Of the worklist, and of workitems.
pub const FIND_ITEMS: &[Status] = &[
    MATCH,
    (
        status::PENDING_WITHOUT_SOME_KEYS,
        "a match; a key has a value that nothing can be compared with, such as a binary one",
    ),
    NO_MORE,
    CANCELLED,
    UNRECOGNIZED,
    TOO_MANY,
    (Failure::InvalidQuery.dimse(), "a key that cannot be understood, or more than 1024 keys"),
    NOT_SEARCHED,
];

pub const RETRIEVE: &[Status] = &[
    (status::PENDING, "sub-operations go on; numbers of remaining, completed, failed and warning ones"),
    (SUCCESS, "all are done"),
    (
        status::SUB_OPERATIONS_FAILED,
        "some failed, or were answered with a warning; those that failed are in the Failed SOP Instance UID List",
    ),
    (status::NO_SUB_OPERATION, "none could be done; the Error Comment has the reason of the first"),
    (status::OUT_OF_RESOURCES, "the identifier is longer than 1 MiB, or the database is away"),
    (
        status::TOO_MANY_MATCHES,
        "more than 10,000 studies, series or instances are named, or more than 65,535 instances meant",
    ),
    (status::UNKNOWN_DESTINATION, "C-MOVE: the move destination is not configured, or without host and port"),
    (
        Failure::InvalidQuery.dimse(),
        "level missing or not of the model; its unique key missing, or a wildcard or range",
    ),
    NOT_SEARCHED,
    (status::CANCELLED, "cancelled; the number of remaining sub-operations tells how many were not begun"),
];

pub const COMMIT: &[Status] = &[
    (SUCCESS, "the request is kept"),
    (status::NO_SUCH_SOP_INSTANCE, "not the well-known instance 1.2.840.10008.1.20.1.1"),
    (status::INVALID_ARGUMENT, "Transaction UID or Referenced SOP Sequence is missing or cannot be read"),
    (Failure::SopClass.dimse(), "Requested SOP Class is not Storage Commitment"),
    (status::NO_SUCH_ACTION, "Action Type ID is not 1"),
    NOT_AUTHORISED,
    (status::OUT_OF_RESOURCES, "the data set is longer than 4 MiB; or try again later"),
    CANNOT_UNDERSTAND,
    INTERNAL,
];

pub const HEAR: &[Status] = &[
    (SUCCESS, "taken down"),
    (status::NO_SUCH_SOP_INSTANCE, "we asked this peer for no such transaction"),
    (status::NO_SUCH_EVENT_TYPE, "Event Type ID is neither 1 nor 2"),
    (status::INVALID_ARGUMENT, "Transaction UID is missing, or an item names no instance"),
    (status::OUT_OF_RESOURCES, "the data set is longer than 4 MiB; or try again later"),
    CANNOT_UNDERSTAND,
    INTERNAL,
];

pub const PERFORMED: &[Status] = &[
    (SUCCESS, "done"),
    (
        MppsError::Invalid("").statuses().0,
        "a value that cannot be, such as another status than `IN PROGRESS` at the begin",
    ),
    (
        status::ATTRIBUTE_LIST_ERROR,
        "N-SET: some attributes may not change and did not; N-GET: some that were asked for are not there. They are in the Attribute Identifier List",
    ),
    (
        MppsError::Over.statuses().0,
        "the step is over and may no longer be updated, with Error ID A710; or a fault of ours, without",
    ),
    (Failure::DuplicateInstance.dimse(), "a step of this UID was created before"),
    (Failure::NoSuchInstance.dimse(), "there is no step of this UID"),
    INSTANCE_UID,
    (MppsError::Missing("").statuses().0, "an attribute that must be there is missing"),
    (MppsError::NoValue("").statuses().0, "an attribute that must have a value has none"),
    CLASS,
    NO_ROOM,
    CANNOT_UNDERSTAND,
];

pub const WORKITEMS: &[Status] = &[
    (SUCCESS, "done"),
    (status::OPTIONAL_ATTRIBUTES, "N-GET: some attributes that were asked for are not there"),
    (UpsError::Invalid("").status(), "a value that cannot be"),
    (Failure::Internal.dimse(), "a fault of ours"),
    (UpsError::Duplicate.status(), "a workitem of this UID was created before"),
    INSTANCE_UID,
    (UpsError::Missing("").status(), "an attribute that must be there is missing"),
    (UpsError::NoValue("").status(), "an attribute that must have a value has none"),
    (Failure::SopClass.dimse(), "the SOP Class is not one of this service"),
    (status::NO_SUCH_ACTION, "Action Type ID is not 1 to 5"),
    UNRECOGNIZED,
    NO_ROOM,
    (Warning::Modified.status(), "created with modifications: what only its performer can say was left out"),
    (Warning::AlreadyCanceled.status(), "it was cancelled before"),
    (Warning::Coerced.status(), "attributes that may not change did not"),
    (Warning::AlreadyCompleted.status(), "it was completed before"),
    CANNOT_UNDERSTAND,
    (UpsError::Final.status(), "it is over, and may no longer be updated"),
    (UpsError::Transaction.status(), "the Transaction UID is missing, or not that of its performer"),
    (UpsError::InProgress.status(), "it is already in progress"),
    (UpsError::Scheduled.status(), "it becomes `SCHEDULED` by N-CREATE only"),
    (UpsError::Requirements("").status(), "it lacks what its final state requires"),
    (UpsError::NoSuchWorkitem.status(), "there is no such workitem"),
    (UpsError::UnknownReceiver.status(), "the receiving AE title is not configured with host and port"),
    (UpsError::NotScheduled.status(), "Procedure Step State was not `SCHEDULED`"),
    (UpsError::NotInProgress.status(), "it is not yet in progress"),
    (UpsError::Completed.status(), "it is already completed"),
    (UpsError::NoPerformer.status(), "nobody is subscribed who could be asked to cancel"),
    (UpsError::NotAppropriate.status(), "the action is not for this instance"),
];

/// What a request is answered with that is not of its context's service.
const OTHER: &[Status] = &[UNRECOGNIZED];

/// What a request, or the response to it, by this command field may be answered with on a context of a service.
fn stated(service: Service, command_field: u16) -> &'static [Status] {
    match (service, command_field & !field::RESPONSE) {
        (Service::Verification, field::C_ECHO_RQ) => ECHO,
        (Service::Storage, field::C_STORE_RQ) => STORE,
        (Service::Find(_), field::C_FIND_RQ) => FIND,
        (Service::Worklist | Service::Workitems, field::C_FIND_RQ) => FIND_ITEMS,
        (Service::Move(_), field::C_MOVE_RQ) | (Service::Get(_), field::C_GET_RQ) => RETRIEVE,
        (Service::Commitment, field::N_ACTION_RQ) => COMMIT,
        (Service::Commitment, field::N_EVENT_REPORT_RQ) => HEAR,
        (Service::Performed, field::N_CREATE_RQ | field::N_SET_RQ | field::N_GET_RQ) => PERFORMED,
        (Service::Workitems, field::N_CREATE_RQ | field::N_SET_RQ | field::N_GET_RQ | field::N_ACTION_RQ) => WORKITEMS,
        _ => OTHER,
    }
}

/// Whether the statement has an answer.
pub fn is_stated(service: Service, response: &CommandSet) -> bool {
    stated(service, response.command_field).iter().any(|(status, _)| response.status == Some(*status))
}

pub(super) fn table(statement: &mut Statement, request: &str, answers: &[Status]) {
    statement.paragraph(format!("Statuses of {request}:"));
    let row = |(status, meaning): &Status| [code(format!("{status:04X}")), (*meaning).to_owned()];
    statement.table(["Status", "When"], answers.iter().map(row));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::supported::PROVIDED;

    #[test]
    fn no_status_stands_twice_and_each_service_has_some() {
        let all = [ECHO, STORE, FIND, FIND_ITEMS, RETRIEVE, COMMIT, HEAR, PERFORMED, WORKITEMS];
        for answers in all {
            for (at, (status, _)) in answers.iter().enumerate() {
                assert!(!answers.iter().take(at).any(|(other, _)| other == status), "{status:04X}");
            }
        }
        let fields = [field::C_ECHO_RQ, field::C_FIND_RQ, field::C_MOVE_RQ, field::C_GET_RQ, field::N_ACTION_RQ];
        let fields = fields.into_iter().chain([field::N_CREATE_RQ]);
        for class in PROVIDED {
            assert!(fields.clone().any(|field| stated(class.service, field) != OTHER), "{}", class.name);
        }
    }

    #[test]
    fn an_answer_that_is_not_stated_is_known() {
        let answer =
            |status| CommandSet { command_field: field::C_STORE_RSP, status: Some(status), ..CommandSet::default() };
        assert!(is_stated(Service::Storage, &answer(SUCCESS)));
        assert!(!is_stated(Service::Storage, &answer(0xB000)) && !is_stated(Service::Performed, &answer(SUCCESS)));
    }
}
