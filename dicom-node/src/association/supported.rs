//! Which abstract and transfer syntaxes we know.

use pacs_core::{
    TransferSyntax, Uid,
    mpps::{MPPS, MPPS_RETRIEVE},
    sop_class::{NonPatient, VERIFICATION},
    transfer_syntax::{Codec, Encoding},
    ups::{UPS_EVENT, UPS_PULL, UPS_PUSH, UPS_QUERY, UPS_WATCH},
};

/// Root of the Query/Retrieve SOP Classes: then the model, then the service (PS3.4 §C.6).
const QUERY_RETRIEVE_ROOT: &str = "1.2.840.10008.5.1.4.1.2.";
pub const PATIENT_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.1.1";

/// Root of the Storage SOP Classes of PS3.4 §B.5, retired and future ones included.
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";

/// Under the same root, but no storage: the query and retrieve services of protocol approvals and inventories.
const SERVICES: [&str; 3] = ["200.4", "200.5", "200.6"];
const INVENTORY: &str = "201.";

/// Storage SOP Classes that lie elsewhere, with a patient and a study: RT delivery instructions, stored print and hardcopy.
const ELSEWHERE: [&str; 6] = [
    "1.2.840.10008.5.1.4.34.1",
    "1.2.840.10008.5.1.4.34.7",
    "1.2.840.10008.5.1.4.34.10",
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",
];

/// Storage Commitment Push Model (PS3.4 Annex J), and its one well-known instance.
pub const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
pub const STORAGE_COMMITMENT_INSTANCE: &str = "1.2.840.10008.1.20.1.1";

/// Modality Worklist Information Model – FIND (PS3.4 Annex K).
pub const MODALITY_WORKLIST_FIND: &str = "1.2.840.10008.5.1.4.31";

/// Everything that PS3.6 registers begins with this.
const DICOM_ROOT: &str = "1.2.840.10008.";

/// What a presentation context is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Verification,
    Storage,
    Find(Root),
    Move(Root),
    Get(Root),
    Commitment,
    Worklist,
    /// Modality Performed Procedure Step, and its retrieval.
    Performed,
    /// Unified Procedure Step: Push, Pull, Watch, Event and Query.
    Workitems,
}

/// Query/Retrieve information model (PS3.4 §C.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    Patient,
    Study,
    /// Retired; patients and studies only.
    PatientStudyOnly,
}

/// The service of an abstract syntax; `None` for what we do not do. With `accept_unknown` every UID that the standard
/// does not use for something else is taken for a private or newer Storage SOP Class.
pub fn service(abstract_syntax: &str, accept_unknown: bool) -> Option<Service> {
    match abstract_syntax {
        VERIFICATION => Some(Service::Verification),
        STORAGE_COMMITMENT => Some(Service::Commitment),
        MODALITY_WORKLIST_FIND => Some(Service::Worklist),
        UPS_PUSH | UPS_PULL | UPS_WATCH | UPS_EVENT | UPS_QUERY => Some(Service::Workitems),
        MPPS | MPPS_RETRIEVE => Some(Service::Performed),
        uid if uid.starts_with(QUERY_RETRIEVE_ROOT) => query_retrieve(uid),
        uid if is_storage(uid) => Some(Service::Storage),
        uid if accept_unknown && !uid.starts_with(DICOM_ROOT) && uid.parse::<Uid>().is_ok() => Some(Service::Storage),
        _ => None,
    }
}

fn query_retrieve(uid: &str) -> Option<Service> {
    let (model, service) = uid.strip_prefix(QUERY_RETRIEVE_ROOT)?.split_once('.')?;
    let root = match model {
        "1" => Root::Patient,
        "2" => Root::Study,
        "3" => Root::PatientStudyOnly,
        _ => return None,
    };
    match service {
        "1" => Some(Service::Find(root)),
        "2" => Some(Service::Move(root)),
        "3" => Some(Service::Get(root)),
        _ => None,
    }
}

/// Whether the UID is that of a Storage SOP Class, of patients' objects (PS3.4 Annex B) or not (Annex GG).
pub fn is_storage(uid: &str) -> bool {
    if NonPatient::of(uid).is_some() {
        return true;
    }
    match uid.strip_prefix(STORAGE_ROOT) {
        Some(rest) => !SERVICES.contains(&rest) && !rest.starts_with(INVENTORY) && uid.parse::<Uid>().is_ok(),
        None => ELSEWHERE.contains(&uid),
    }
}

/// Whether the transfer syntax is one of PS3.6 Table A-1 that can carry a stored instance.
///
/// Left out: MIME and XML encodings and Papyrus, which are no PS3.5 encodings; SMPTE ST 2110, a real-time stream; JPIP in
/// its deflated forms. What we cannot decode is taken all the same, and kept as received.
pub fn is_known_transfer_syntax(uid: &str) -> bool {
    // Encapsulated uncompressed; JPIP; the hierarchical JPEG processes, retired.
    const NOT_DECODED: [&str; 9] = ["1.98", "4.94", "4.204", "4.59", "4.60", "4.61", "4.62", "4.63", "4.64"];
    let known = |uid: Uid| TransferSyntax::new(uid).codec() != Codec::Unknown;
    let listed = |uid: &str| uid.strip_prefix("1.2.840.10008.1.2.").is_some_and(|rest| NOT_DECODED.contains(&rest));
    listed(uid) || uid.parse().is_ok_and(known)
}

/// Whether queries can be read and answered in it: uncompressed little endian.
pub fn is_query_transfer_syntax(uid: &str) -> bool {
    let plain = |syntax: TransferSyntax| {
        !syntax.is_encapsulated() && matches!(syntax.encoding(), Encoding::ExplicitLittle | Encoding::ImplicitLittle)
    };
    uid.parse().is_ok_and(|uid| plain(TransferSyntax::new(uid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_classes_are_known_by_their_root_and_services_under_it_are_not() {
        for good in [
            "1.2.840.10008.5.1.4.1.1.2",
            "1.2.840.10008.5.1.4.1.1.88.34",
            "1.2.840.10008.5.1.4.1.1.200.1",
            "1.2.840.10008.5.1.4.1.1.200.2",
            "1.2.840.10008.5.1.4.1.1.201.1",
            "1.2.840.10008.5.1.4.39.1",
        ] {
            assert_eq!(service(good, false), Some(Service::Storage), "{good}");
        }
        for bad in [
            "1.2.840.10008.5.1.4.1.1.200.4",
            "1.2.840.10008.5.1.4.1.1.201.2",
            "1.2.840.10008.5.1.4.1.1.",
            "1.2.840.10008.5.1.4.1.2.4.2",
            "1.2.840.10008.5.1.4.1.2.5.3",
            "1.2.840.10008.5.1.4.1.2.2.1.1",
            "1.2.840.10008.1.3.10",
            "1.2.3",
        ] {
            assert_eq!(service(bad, false), None, "{bad}");
        }
    }

    #[test]
    fn each_model_has_three_services() {
        for (uid, expected) in [
            ("1.1", Service::Find(Root::Patient)),
            ("1.2", Service::Move(Root::Patient)),
            ("2.3", Service::Get(Root::Study)),
            ("3.1", Service::Find(Root::PatientStudyOnly)),
        ] {
            assert_eq!(service(&format!("{QUERY_RETRIEVE_ROOT}{uid}"), false), Some(expected));
        }
    }

    #[test]
    fn private_classes_are_taken_by_switch_only_and_other_services_never() {
        assert_eq!(service("1.2.276.0.7230010.3.1.0.1", true), Some(Service::Storage));
        assert_eq!(service("../escaped", true), None);
        assert_eq!(service("1.2.840.10008.5.1.4.33", true), None);
    }

    #[test]
    fn transfer_syntaxes_beyond_our_decoders_are_known_too() {
        for uid in
            ["1.2.840.10008.1.2", "1.2.840.10008.1.2.4.64", "1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.106.1"]
        {
            assert!(is_known_transfer_syntax(uid), "{uid}");
        }
        for uid in ["1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20", "1.2.3", "", "1.2.840.10008.1.2.4.999"] {
            assert!(!is_known_transfer_syntax(uid), "{uid}");
        }
    }
}
