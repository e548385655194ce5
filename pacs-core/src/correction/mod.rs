//! Corrections of what was received, laid over it when it is read: what was received stays as it is.
//!
//! | module | what |
//! |---|---|
//! | `value` | which attributes may be corrected, and to what |
//! | `data_set` | a scanned data set as corrected |
//! | `metadata` | an item of DICOM JSON as corrected |
//!
//! Either way the values before are kept in the Original Attributes Sequence (PS3.3 C.12.1).

mod data_set;
mod metadata;
mod value;

pub use data_set::correct;
pub use metadata::correct_metadata;
pub use value::{NotCorrectable, check, keyword_of};

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use std::collections::BTreeMap;

/// Values that one correction gives the attributes of an instance; multiple ones backslash-separated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it was made, as a DT value.
    pub at: String,
    /// `None` removes the attribute.
    pub values: BTreeMap<Tag, Option<String>>,
}

/// (0400,0563) of what we correct.
const MODIFYING_SYSTEM: &str = "YINGHAI";
/// (0400,0565): values that were wrong were replaced.
const REASON: &str = "CORRECT";

/// What tells of a person beside the indexed attributes of the patient (PS3.3 C.7.1.1 and C.2.3): none of it may stay
/// with a study that turned out to be another's, nor what a worklist copies from the record of a patient (C.2.4, C.3.4: visit,
/// alerts, allergies). What was measured for the study (C.7.2.2: age, weight …) is not of these.
pub const OF_ANOTHER_PATIENT: [Tag; 43] = [
    tags::PERSON_NAMES_TO_USE_SEQUENCE,
    tags::THIRD_PERSON_PRONOUNS_SEQUENCE,
    tags::GENDER_IDENTITY_SEQUENCE,
    tags::SEX_PARAMETERS_FOR_CLINICAL_USE_CATEGORY_SEQUENCE,
    tags::REFERENCED_PATIENT_PHOTO_SEQUENCE,
    tags::MEDICAL_ALERTS,
    tags::ALLERGIES,
    tags::CLINICAL_TRIAL_SUBJECT_ID,
    tags::ISSUER_OF_CLINICAL_TRIAL_SUBJECT_ID,
    tags::CLINICAL_TRIAL_SUBJECT_READING_ID,
    tags::ADMISSION_ID,
    tags::SERVICE_EPISODE_ID,
    tags::SPECIAL_NEEDS,
    tags::PATIENT_INSTITUTION_RESIDENCE,
    tags::PATIENT_STATE,
    tags::TYPE_OF_PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE,
    tags::SOURCE_PATIENT_GROUP_IDENTIFICATION_SEQUENCE,
    tags::GROUP_OF_PATIENTS_IDENTIFICATION_SEQUENCE,
    tags::PATIENT_BIRTH_DATE_IN_ALTERNATIVE_CALENDAR,
    tags::PATIENT_DEATH_DATE_IN_ALTERNATIVE_CALENDAR,
    tags::PATIENT_ALTERNATIVE_CALENDAR,
    tags::PATIENT_INSURANCE_PLAN_CODE_SEQUENCE,
    tags::REFERENCED_PATIENT_SEQUENCE,
    // Other Patient IDs, retired.
    Tag(0x0010, 0x1000),
    tags::OTHER_PATIENT_NAMES,
    tags::OTHER_PATIENT_I_DS_SEQUENCE,
    tags::PATIENT_BIRTH_NAME,
    tags::PATIENT_ADDRESS,
    tags::PATIENT_MOTHER_BIRTH_NAME,
    tags::MILITARY_RANK,
    tags::BRANCH_OF_SERVICE,
    tags::COUNTRY_OF_RESIDENCE,
    tags::REGION_OF_RESIDENCE,
    tags::PATIENT_TELEPHONE_NUMBERS,
    tags::PATIENT_TELECOM_INFORMATION,
    // Ethnic Group, retired.
    Tag(0x0010, 0x2160),
    tags::ETHNIC_GROUP_CODE_SEQUENCE,
    tags::PATIENT_RELIGIOUS_PREFERENCE,
    tags::RESPONSIBLE_PERSON,
    tags::RESPONSIBLE_PERSON_ROLE,
    tags::RESPONSIBLE_ORGANIZATION,
    tags::PATIENT_COMMENTS,
];
