//! Which abstract and transfer syntaxes we know.

use pacs_core::{
    TransferSyntax, Uid,
    mpps::{MPPS, MPPS_RETRIEVE},
    query::Level,
    sop_class::{
        PATIENT_ROOT_FIND, PATIENT_ROOT_GET, PATIENT_ROOT_MOVE, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE,
        VERIFICATION, storage_class,
    },
    transfer_syntax::{Encoding, registered},
    ups::{UPS_EVENT, UPS_PULL, UPS_PUSH, UPS_QUERY, UPS_WATCH},
};

/// Root of the Storage SOP Classes of PS3.4 §B.5, those of later editions included.
const STORAGE_ROOT: &str = "1.2.840.10008.5.1.4.1.1.";

/// Under the same root, but no storage: the query and retrieve services of protocol approvals and inventories.
const SERVICES: [&str; 3] = ["200.4", "200.5", "200.6"];
const INVENTORY: &str = "201.";

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

impl Service {
    /// Whether the requestor may be SCP too: of storage, if it is to be sent what it asks for by C-GET, and of storage
    /// commitment, if it answers what we asked (PS3.7 §D.3.3.4, PS3.4 §C.5.3.1.1, §J.3.3).
    pub const fn may_be_reversed(self) -> bool {
        matches!(self, Self::Storage | Self::Commitment)
    }
}

/// Query/Retrieve information model (PS3.4 §C.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Root {
    Patient,
    Study,
    /// Retired; patients and studies only.
    PatientStudyOnly,
}

impl Root {
    /// The levels that may be asked for (PS3.4 §C.6).
    pub const fn levels(self) -> &'static [Level] {
        match self {
            Self::Patient => &[Level::Patient, Level::Study, Level::Series, Level::Instance],
            Self::Study => &[Level::Study, Level::Series, Level::Instance],
            Self::PatientStudyOnly => &[Level::Patient, Level::Study],
        }
    }
}

/// A SOP Class of which we are SCP, other than those of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provided {
    pub uid: &'static str,
    /// As PS3.6 Table A-1 has it.
    pub name: &'static str,
    pub service: Service,
}

const fn provided(service: Service, uid: &'static str, name: &'static str) -> Provided {
    Provided { uid, name, service }
}

/// All of them; what is not here and no storage is not accepted.
pub static PROVIDED: [Provided; 19] = [
    provided(Service::Verification, VERIFICATION, "Verification"),
    provided(Service::Find(Root::Patient), PATIENT_ROOT_FIND, "Patient Root Query/Retrieve Information Model - FIND"),
    provided(Service::Move(Root::Patient), PATIENT_ROOT_MOVE, "Patient Root Query/Retrieve Information Model - MOVE"),
    provided(Service::Get(Root::Patient), PATIENT_ROOT_GET, "Patient Root Query/Retrieve Information Model - GET"),
    provided(Service::Find(Root::Study), STUDY_ROOT_FIND, "Study Root Query/Retrieve Information Model - FIND"),
    provided(Service::Move(Root::Study), STUDY_ROOT_MOVE, "Study Root Query/Retrieve Information Model - MOVE"),
    provided(Service::Get(Root::Study), STUDY_ROOT_GET, "Study Root Query/Retrieve Information Model - GET"),
    provided(
        Service::Find(Root::PatientStudyOnly),
        "1.2.840.10008.5.1.4.1.2.3.1",
        "Patient/Study Only Query/Retrieve Information Model - FIND (Retired)",
    ),
    provided(
        Service::Move(Root::PatientStudyOnly),
        "1.2.840.10008.5.1.4.1.2.3.2",
        "Patient/Study Only Query/Retrieve Information Model - MOVE (Retired)",
    ),
    provided(
        Service::Get(Root::PatientStudyOnly),
        "1.2.840.10008.5.1.4.1.2.3.3",
        "Patient/Study Only Query/Retrieve Information Model - GET (Retired)",
    ),
    provided(Service::Commitment, STORAGE_COMMITMENT, "Storage Commitment Push Model"),
    provided(Service::Worklist, MODALITY_WORKLIST_FIND, "Modality Worklist Information Model - FIND"),
    provided(Service::Performed, MPPS, "Modality Performed Procedure Step"),
    provided(Service::Performed, MPPS_RETRIEVE, "Modality Performed Procedure Step Retrieve"),
    provided(Service::Workitems, UPS_PUSH, "Unified Procedure Step - Push"),
    provided(Service::Workitems, UPS_WATCH, "Unified Procedure Step - Watch"),
    provided(Service::Workitems, UPS_PULL, "Unified Procedure Step - Pull"),
    provided(Service::Workitems, UPS_EVENT, "Unified Procedure Step - Event"),
    provided(Service::Workitems, UPS_QUERY, "Unified Procedure Step - Query"),
];

/// Which Storage SOP Classes are taken beside those in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Those that the standard has retired.
    pub retired: bool,
    /// Every UID that the standard does not use for something else.
    pub private: bool,
}

/// The service of an abstract syntax; `None` for what we do not do.
pub fn service(abstract_syntax: &str, taken: Taken) -> Option<Service> {
    match PROVIDED.iter().find(|class| class.uid == abstract_syntax) {
        Some(class) => Some(class.service),
        None => is_storage(abstract_syntax, taken).then_some(Service::Storage),
    }
}

/// Whether the UID is that of a Storage SOP Class, of patients' objects (PS3.4 Annex B) or not (Annex GG).
fn is_storage(uid: &str, taken: Taken) -> bool {
    match storage_class(uid) {
        Some(class) => !class.is_retired || taken.retired,
        None => is_later(uid) || taken.private && !uid.starts_with(DICOM_ROOT) && uid.parse::<Uid>().is_ok(),
    }
}

/// Whether the UID is one that editions of the standard after ours give to a Storage SOP Class. Such an instance is kept
/// like any other: to refuse it would lose an image.
fn is_later(uid: &str) -> bool {
    let Some(rest) = uid.strip_prefix(STORAGE_ROOT) else { return false };
    !SERVICES.contains(&rest) && !rest.starts_with(INVENTORY) && uid.parse::<Uid>().is_ok()
}

/// Whether the transfer syntax is one of the standard's that can carry a stored instance. What we cannot decode is taken all
/// the same, and kept as received.
pub fn is_known_transfer_syntax(uid: &str) -> bool {
    registered(uid).is_some()
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
    use pacs_core::sop_class::STORAGE_CLASSES;

    const STANDARD: Taken = Taken { retired: true, private: false };

    #[test]
    fn storage_classes_of_later_editions_are_known_by_their_root_and_services_under_it_are_not() {
        for good in [
            "1.2.840.10008.5.1.4.1.1.2",
            "1.2.840.10008.5.1.4.1.1.88.34",
            "1.2.840.10008.5.1.4.1.1.200.1",
            "1.2.840.10008.5.1.4.1.1.200.2",
            "1.2.840.10008.5.1.4.1.1.201.1",
            "1.2.840.10008.5.1.4.39.1",
            "1.2.840.10008.5.1.4.1.1.99999",
        ] {
            assert_eq!(service(good, STANDARD), Some(Service::Storage), "{good}");
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
            assert_eq!(service(bad, STANDARD), None, "{bad}");
        }
    }

    #[test]
    fn a_service_is_that_of_its_class_and_no_class_stands_twice() {
        for (at, class) in PROVIDED.iter().enumerate() {
            assert_eq!(service(class.uid, STANDARD), Some(class.service), "{}", class.name);
            assert!(!PROVIDED.iter().take(at).any(|other| other.uid == class.uid), "{}", class.name);
        }
    }

    #[test]
    fn every_storage_class_is_taken_and_retired_ones_by_switch() {
        for class in STORAGE_CLASSES {
            let without = Taken { retired: false, ..STANDARD };
            assert_eq!(service(class.uid, STANDARD), Some(Service::Storage), "{}", class.name);
            assert_eq!(service(class.uid, without).is_none(), class.is_retired, "{}", class.name);
        }
    }

    #[test]
    fn private_classes_are_taken_by_switch_only_and_other_services_never() {
        let private = Taken { private: true, ..STANDARD };
        assert_eq!(service("1.2.276.0.7230010.3.1.0.1", private), Some(Service::Storage));
        assert_eq!(service("../escaped", private), None);
        assert_eq!(service("1.2.840.10008.5.1.4.33", private), None);
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
