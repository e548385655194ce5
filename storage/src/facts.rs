//! What an arrival is: an instance of a patient's study, or an object of no patient.

use pacs_core::{
    Tag, TransferSyntax, Uid,
    data_set::DataSet,
    frame_layout::FrameLayout,
    instance::{Instance, InstanceError, NonPatientInstance},
    sop_class::NonPatient,
};
use sha2::{Digest, Sha256};

#[derive(Debug)]
pub(crate) enum Facts {
    Instance(Instance),
    NonPatient(NonPatientInstance),
}

impl Facts {
    pub(crate) fn of(data_set: &DataSet, transfer_syntax: &TransferSyntax) -> Result<Self, InstanceError> {
        match NonPatientInstance::of(data_set, transfer_syntax) {
            Some(facts) => facts.map(Self::NonPatient),
            None => Instance::of(data_set, transfer_syntax.clone()).map(Self::Instance),
        }
    }

    /// A value of the index; an object of no patient has none.
    pub(crate) fn value(&self, tag: Tag) -> Option<&str> {
        match self {
            Self::Instance(facts) => facts.values.get(&tag).map(String::as_str),
            Self::NonPatient(_) => None,
        }
    }

    pub(crate) fn study(&self) -> Option<&Uid> {
        match self {
            Self::Instance(facts) => Some(&facts.study),
            Self::NonPatient(_) => None,
        }
    }

    pub(crate) fn series(&self) -> Option<&Uid> {
        match self {
            Self::Instance(facts) => Some(&facts.series),
            Self::NonPatient(_) => None,
        }
    }

    pub(crate) fn sop_instance(&self) -> &Uid {
        match self {
            Self::Instance(facts) => &facts.sop_instance,
            Self::NonPatient(facts) => &facts.sop_instance,
        }
    }

    pub(crate) fn sop_class(&self) -> &Uid {
        match self {
            Self::Instance(facts) => &facts.sop_class,
            Self::NonPatient(facts) => &facts.sop_class,
        }
    }

    pub(crate) fn non_patient(&self) -> Option<NonPatient> {
        match self {
            Self::Instance(_) => None,
            Self::NonPatient(facts) => Some(facts.kind),
        }
    }

    pub(crate) fn frames(&self) -> Option<&FrameLayout> {
        match self {
            Self::Instance(facts) => facts.frames.as_ref(),
            Self::NonPatient(_) => None,
        }
    }

    /// Its web resource, relative to the service's base (PS3.18 §10.1.1, §12.1.1).
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Instance(facts) => {
                format!("studies/{}/series/{}/instances/{}", facts.study, facts.series, facts.sop_instance)
            }
            Self::NonPatient(facts) => format!("{}/{}", facts.kind.resource(), facts.sop_instance),
        }
    }

    /// The folder of the store for what belongs together: a series, or objects of no patient of one kind.
    ///
    /// Only lower-case letters and digits, hyphens and the dots and digits of UIDs: safe on every file system. The first
    /// folder spreads studies, for file systems and buckets that dislike millions of names in one place.
    pub(crate) fn folder(&self) -> String {
        match self {
            Self::Instance(facts) => {
                let spread = Sha256::digest(facts.study.as_str()).first().copied().unwrap_or_default();
                format!("{spread:02x}/{}/{}", facts.study, facts.series)
            }
            Self::NonPatient(facts) => facts.kind.resource().to_owned(),
        }
    }
}
