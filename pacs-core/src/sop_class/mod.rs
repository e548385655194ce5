//! SOP Classes by kind.

mod storage_classes;

pub use storage_classes::{STORAGE_CLASSES, StorageClass, storage_class};

pub const VERIFICATION: &str = "1.2.840.10008.1.1";
pub const PATIENT_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.1.1";
pub const PATIENT_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.1.2";
pub const PATIENT_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.1.3";
pub const STUDY_ROOT_FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
pub const STUDY_ROOT_MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
pub const STUDY_ROOT_GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
pub const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const ENHANCED_CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2.1";
pub const COMPREHENSIVE_3D_SR_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.88.34";

/// Kinds of objects that have no patient, study or series (PS3.4 Annex GG), as PS3.18 §12.1.1 groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NonPatient {
    ColorPalette,
    DefinedProcedureProtocol,
    HangingProtocol,
    ImplantTemplate,
    Inventory,
    ProtocolApproval,
}

impl NonPatient {
    pub const ALL: [Self; 6] = [
        Self::ColorPalette,
        Self::DefinedProcedureProtocol,
        Self::HangingProtocol,
        Self::ImplantTemplate,
        Self::Inventory,
        Self::ProtocolApproval,
    ];

    /// The kind of a SOP Class; `None` for one of patients' objects and for one that is not known.
    pub fn of(sop_class: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.sop_classes().contains(&sop_class))
    }

    /// PS3.4 Table GG.3-1.
    pub const fn sop_classes(self) -> &'static [&'static str] {
        match self {
            Self::ColorPalette => &["1.2.840.10008.5.1.4.39.1"],
            // CT, XA.
            Self::DefinedProcedureProtocol => &["1.2.840.10008.5.1.4.1.1.200.1", "1.2.840.10008.5.1.4.1.1.200.7"],
            Self::HangingProtocol => &["1.2.840.10008.5.1.4.38.1"],
            // Generic, assembly, group.
            Self::ImplantTemplate => {
                &["1.2.840.10008.5.1.4.43.1", "1.2.840.10008.5.1.4.44.1", "1.2.840.10008.5.1.4.45.1"]
            }
            Self::Inventory => &["1.2.840.10008.5.1.4.1.1.201.1"],
            Self::ProtocolApproval => &["1.2.840.10008.5.1.4.1.1.200.3"],
        }
    }

    /// Name of the web resource (PS3.18 Table 12.1.1-1); protocol approvals, which have none there, in the same manner.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::ColorPalette => "color-palettes",
            Self::DefinedProcedureProtocol => "defined-procedure-protocols",
            Self::HangingProtocol => "hanging-protocols",
            Self::ImplantTemplate => "implant-templates",
            Self::Inventory => "inventories",
            Self::ProtocolApproval => "protocol-approvals",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_each_of_its_classes_and_patients_objects_have_none() {
        for kind in NonPatient::ALL {
            assert!(kind.sop_classes().iter().all(|class| NonPatient::of(class) == Some(kind)));
        }
        for class in [CT_IMAGE_STORAGE, "1.2.840.10008.5.1.4.1.1.200.2", "1.2.840.10008.5.1.4.1.1.201.2", ""] {
            assert_eq!(NonPatient::of(class), None, "{class}");
        }
    }
}
