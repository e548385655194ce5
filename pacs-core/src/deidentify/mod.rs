//! De-identification: the Basic Application Level Confidentiality Profile of PS3.15 Annex E, and options of it.
//!
//! | module | what |
//! |---|---|
//! | `table` | what becomes of which attribute (Table E.1-1) |
//! | `apply` | a scanned data set de-identified |
//! | `dates` | dates moved by some days |
//! | `words` | what may stay of descriptions |
//! | `private` | private attributes that are declared to identify nobody |
//! | `pseudonym` | who and what was there before always becomes the same other |
//! | `risk` | what cannot be de-identified without looking at the pixels or the text |
//!
//! Pixels are left as they are: what may bear text that is burned in is refused, see [`Risk`].

mod apply;
mod dates;
mod private;
mod pseudonym;
mod risk;
mod table;
mod words;

pub use apply::deidentify;
pub use pseudonym::Key;
pub use risk::Risk;

use crate::uid::Uid;
use serde::{Deserialize, Serialize};

/// The basic profile with these options (PS3.15 §E.3).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Retain Longitudinal Temporal Information.
    pub dates: Dates,
    /// Age, sex, size, weight and the like.
    pub retain_patient_characteristics: bool,
    pub retain_device: bool,
    pub retain_institution: bool,
    /// UIDs stay, and so the receiver can ask for the instances by them.
    pub retain_uids: bool,
    /// Private attributes that the object itself declares to identify nobody.
    pub retain_safe_private: bool,
    /// Of descriptions the words stay that tell nothing of anybody; else descriptions go.
    pub clean_descriptors: bool,
    /// Also what may bear names in its pixels.
    pub allow_burned_in: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dates {
    /// They go.
    #[default]
    Removed,
    /// All of a patient are moved by the same number of days.
    Modified,
    /// They stay.
    Full,
}

impl Profile {
    /// The UID under which an instance, series or study goes.
    pub fn uid(&self, key: &Key, uid: &Uid) -> Uid {
        if self.retain_uids { uid.clone() } else { key.uid(uid.as_str()).unwrap_or_else(|| uid.clone()) }
    }

    /// De-identification Method Code Sequence (PS3.16 CID 7050): code and meaning.
    fn methods(&self) -> Vec<(&'static str, &'static str)> {
        let options = [
            (true, "113100", "Basic Application Confidentiality Profile"),
            (self.clean_descriptors, "113105", "Clean Descriptors Option"),
            (self.dates == Dates::Full, "113106", "Retain Longitudinal Temporal Information Full Dates Option"),
            (self.dates == Dates::Modified, "113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
            (self.retain_patient_characteristics, "113108", "Retain Patient Characteristics Option"),
            (self.retain_device, "113109", "Retain Device Identity Option"),
            (self.retain_uids, "113110", "Retain UIDs Option"),
            (self.retain_safe_private, "113111", "Retain Safe Private Option"),
            (self.retain_institution, "113112", "Retain Institution Identity Option"),
        ];
        options.into_iter().filter(|(is_on, ..)| *is_on).map(|(_, code, meaning)| (code, meaning)).collect()
    }
}
