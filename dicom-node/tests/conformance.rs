//! The conformance statement says what the code does.

use dicom_node::{
    NodeConfig,
    association::supported::{is_known_transfer_syntax, service},
    dimse::status,
};
use pacs_core::{
    Failure,
    mpps::MppsError,
    part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME},
    ups::{UpsError, Warning},
};

const STATEMENT: &str = include_str!("../../docs/dicom-conformance.md");

/// The text under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = STATEMENT.split_once(heading).expect("the heading is there");
    rest.split("\n#").next().unwrap_or_default()
}

/// What stands between backticks in the tables of a text.
fn codes(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn sop_classes_are_accepted_and_refused_as_stated() {
    for uid in codes(section("#### SOP Classes (*checked*)")) {
        assert!(service(uid, false).is_some(), "{uid}");
    }
    for uid in codes(section("#### SOP Classes not accepted (*checked*)")) {
        assert!(service(uid, true).is_none(), "{uid}");
    }
}

#[test]
fn transfer_syntaxes_are_known_as_stated() {
    let stated = codes(section("#### Transfer syntaxes for storage (*checked*)"));
    assert!(stated.len() > 30);
    for uid in stated {
        assert!(is_known_transfer_syntax(uid), "{uid}");
    }
}

#[test]
fn statuses_are_listed() {
    let storage = [
        status::SUCCESS,
        Failure::DuplicateInstance.dimse(),
        status::INVALID_SOP_INSTANCE,
        Failure::MissingAttribute.dimse(),
        Failure::SopClass.dimse(),
        status::UNRECOGNIZED_OPERATION,
        Failure::NoRoom.dimse(),
        Failure::DataSetMismatch.dimse(),
        Failure::CannotUnderstand.dimse(),
        Failure::Internal.dimse(),
    ];
    let query = [
        status::PENDING,
        status::PENDING_WITHOUT_SOME_KEYS,
        status::SUCCESS,
        status::CANCELLED,
        status::OUT_OF_RESOURCES,
        Failure::InvalidQuery.dimse(),
        Failure::CannotUnderstand.dimse(),
    ];
    let retrieval = [
        status::PENDING,
        status::SUCCESS,
        status::SUB_OPERATIONS_FAILED,
        status::NO_SUB_OPERATION,
        status::OUT_OF_RESOURCES,
        status::TOO_MANY_MATCHES,
        status::UNKNOWN_DESTINATION,
        Failure::InvalidQuery.dimse(),
        Failure::CannotUnderstand.dimse(),
        status::CANCELLED,
    ];
    let commitment = [
        status::SUCCESS,
        status::NO_SUCH_SOP_INSTANCE,
        status::INVALID_ARGUMENT,
        Failure::SopClass.dimse(),
        status::NO_SUCH_ACTION,
        status::OUT_OF_RESOURCES,
        Failure::CannotUnderstand.dimse(),
    ];
    let performed = [
        status::SUCCESS,
        MppsError::Invalid("").statuses().0,
        status::ATTRIBUTE_LIST_ERROR,
        MppsError::Over.statuses().0,
        Failure::DuplicateInstance.dimse(),
        Failure::NoSuchInstance.dimse(),
        status::INVALID_SOP_INSTANCE,
        MppsError::Missing("").statuses().0,
        MppsError::NoValue("").statuses().0,
        Failure::SopClass.dimse(),
        Failure::Unavailable.dimse(),
        Failure::CannotUnderstand.dimse(),
    ];
    let workitems = [
        status::SUCCESS,
        status::OPTIONAL_ATTRIBUTES,
        UpsError::Invalid("").status(),
        UpsError::Duplicate.status(),
        status::INVALID_SOP_INSTANCE,
        UpsError::Missing("").status(),
        UpsError::NoValue("").status(),
        Failure::SopClass.dimse(),
        status::NO_SUCH_ACTION,
        status::UNRECOGNIZED_OPERATION,
        Failure::Unavailable.dimse(),
        Warning::Modified.status(),
        Warning::AlreadyCanceled.status(),
        Warning::Coerced.status(),
        Warning::AlreadyCompleted.status(),
        Failure::CannotUnderstand.dimse(),
        UpsError::Final.status(),
        UpsError::Transaction.status(),
        UpsError::InProgress.status(),
        UpsError::Scheduled.status(),
        UpsError::Requirements("").status(),
        UpsError::NoSuchWorkitem.status(),
        UpsError::UnknownReceiver.status(),
        UpsError::NotScheduled.status(),
        UpsError::NotInProgress.status(),
        UpsError::Completed.status(),
        UpsError::NoPerformer.status(),
        UpsError::NotAppropriate.status(),
    ];
    let check = |heading, statuses: &[u16]| {
        let stated: Vec<_> =
            codes(section(heading)).into_iter().filter_map(|code| u16::from_str_radix(code, 16).ok()).collect();
        assert_eq!(stated, statuses, "{heading}");
    };
    check("### 2.4 Storage", &storage);
    check("### 2.5 Query", &query);
    check("### 2.6 Retrieval", &retrieval);
    check("### 2.7 Storage commitment", &commitment);
    check("### 2.8 Modality Worklist", &query);
    check("### 2.9 Modality Performed Procedure Step", &performed);
    check("### 2.10 Unified Procedure Step", &workitems);
}

#[test]
fn the_defaults_are_those_of_the_configuration() {
    let config = NodeConfig::default();
    let stated = codes(section("### 2.2 Association policies"));
    let numbers = [
        IMPLEMENTATION_CLASS_UID.to_owned(),
        IMPLEMENTATION_VERSION_NAME.to_owned(),
        config.max_pdu_length.to_string(),
        config.max_associations.to_string(),
        config.artim_seconds.to_string(),
        config.idle_seconds.to_string(),
        config.pdu_seconds.to_string(),
        config.write_seconds.to_string(),
    ];
    assert_eq!(stated, numbers);
    assert!(STATEMENT.contains(&format!("by default `{}`", config.ae_title)));
}
