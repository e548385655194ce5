//! What the index holds: one table for the SQL schema, C-FIND and QIDO-RS.

use super::Level;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

/// An attribute that the index holds. The SQL column has the keyword in snake_case.
#[derive(Debug)]
pub struct Attribute {
    pub tag: Tag,
    pub keyword: &'static str,
    /// Column of the level's table, also the SQL column.
    pub column: &'static str,
    pub vr: VR,
    pub level: Level,
    /// Computed by the archive (counts, Modalities in Study), never read from a data set.
    pub derived: bool,
    /// The sequence whose first item holds it; `None` for an attribute of the data set itself.
    pub within: Option<Tag>,
}

/// Every attribute that can be matched and returned from the index: the required keys of PS3.4 C.6.2 and
/// PS3.18 Tables 10.6.1-5 and 10.6.3-3 to -5, and what common viewers ask for.
pub static ATTRIBUTES: &[Attribute] = &[
    stored(Level::Patient, tags::PATIENT_NAME, "PatientName", "patient_name", VR::PN),
    stored(Level::Patient, tags::PATIENT_ID, "PatientID", "patient_id", VR::LO),
    stored(Level::Patient, tags::ISSUER_OF_PATIENT_ID, "IssuerOfPatientID", "issuer_of_patient_id", VR::LO),
    stored(Level::Patient, tags::PATIENT_BIRTH_DATE, "PatientBirthDate", "patient_birth_date", VR::DA),
    stored(Level::Patient, tags::PATIENT_BIRTH_TIME, "PatientBirthTime", "patient_birth_time", VR::TM),
    stored(Level::Patient, tags::PATIENT_SEX, "PatientSex", "patient_sex", VR::CS),
    derived(
        Level::Patient,
        tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
        "NumberOfPatientRelatedStudies",
        "number_of_patient_related_studies",
        VR::IS,
    ),
    stored(Level::Study, tags::STUDY_INSTANCE_UID, "StudyInstanceUID", "study_instance_uid", VR::UI),
    stored(Level::Study, tags::STUDY_DATE, "StudyDate", "study_date", VR::DA),
    stored(Level::Study, tags::STUDY_TIME, "StudyTime", "study_time", VR::TM),
    stored(Level::Study, tags::ACCESSION_NUMBER, "AccessionNumber", "accession_number", VR::SH),
    stored(Level::Study, tags::STUDY_ID, "StudyID", "study_id", VR::SH),
    stored(Level::Study, tags::STUDY_DESCRIPTION, "StudyDescription", "study_description", VR::LO),
    stored(Level::Study, tags::REFERRING_PHYSICIAN_NAME, "ReferringPhysicianName", "referring_physician_name", VR::PN),
    stored(
        Level::Study,
        tags::NAME_OF_PHYSICIANS_READING_STUDY,
        "NameOfPhysiciansReadingStudy",
        "name_of_physicians_reading_study",
        VR::PN,
    ),
    stored(Level::Study, tags::PATIENT_AGE, "PatientAge", "patient_age", VR::AS),
    stored(Level::Study, tags::INSTITUTION_NAME, "InstitutionName", "institution_name", VR::LO),
    stored(Level::Study, tags::TIMEZONE_OFFSET_FROM_UTC, "TimezoneOffsetFromUTC", "timezone_offset_from_utc", VR::SH),
    derived(Level::Study, tags::MODALITIES_IN_STUDY, "ModalitiesInStudy", "modalities_in_study", VR::CS),
    derived(
        Level::Study,
        tags::NUMBER_OF_STUDY_RELATED_SERIES,
        "NumberOfStudyRelatedSeries",
        "number_of_study_related_series",
        VR::IS,
    ),
    derived(
        Level::Study,
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
        "NumberOfStudyRelatedInstances",
        "number_of_study_related_instances",
        VR::IS,
    ),
    stored(Level::Series, tags::SERIES_INSTANCE_UID, "SeriesInstanceUID", "series_instance_uid", VR::UI),
    stored(Level::Series, tags::MODALITY, "Modality", "modality", VR::CS),
    stored(Level::Series, tags::SERIES_NUMBER, "SeriesNumber", "series_number", VR::IS),
    stored(Level::Series, tags::SERIES_DESCRIPTION, "SeriesDescription", "series_description", VR::LO),
    stored(Level::Series, tags::SERIES_DATE, "SeriesDate", "series_date", VR::DA),
    stored(Level::Series, tags::SERIES_TIME, "SeriesTime", "series_time", VR::TM),
    stored(Level::Series, tags::BODY_PART_EXAMINED, "BodyPartExamined", "body_part_examined", VR::CS),
    stored(Level::Series, tags::LATERALITY, "Laterality", "laterality", VR::CS),
    stored(Level::Series, tags::PROTOCOL_NAME, "ProtocolName", "protocol_name", VR::LO),
    stored(Level::Series, tags::FRAME_OF_REFERENCE_UID, "FrameOfReferenceUID", "frame_of_reference_uid", VR::UI),
    stored(Level::Series, tags::MANUFACTURER, "Manufacturer", "manufacturer", VR::LO),
    stored(Level::Series, tags::MANUFACTURER_MODEL_NAME, "ManufacturerModelName", "manufacturer_model_name", VR::LO),
    stored(Level::Series, tags::STATION_NAME, "StationName", "station_name", VR::SH),
    stored(
        Level::Series,
        tags::PERFORMED_PROCEDURE_STEP_START_DATE,
        "PerformedProcedureStepStartDate",
        "performed_procedure_step_start_date",
        VR::DA,
    ),
    stored(
        Level::Series,
        tags::PERFORMED_PROCEDURE_STEP_START_TIME,
        "PerformedProcedureStepStartTime",
        "performed_procedure_step_start_time",
        VR::TM,
    ),
    stored(
        Level::Series,
        tags::PERFORMED_PROCEDURE_STEP_ID,
        "PerformedProcedureStepID",
        "performed_procedure_step_id",
        VR::SH,
    ),
    requested(
        Level::Series,
        tags::SCHEDULED_PROCEDURE_STEP_ID,
        "ScheduledProcedureStepID",
        "scheduled_procedure_step_id",
        VR::SH,
    ),
    requested(Level::Series, tags::REQUESTED_PROCEDURE_ID, "RequestedProcedureID", "requested_procedure_id", VR::SH),
    derived(
        Level::Series,
        tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
        "NumberOfSeriesRelatedInstances",
        "number_of_series_related_instances",
        VR::IS,
    ),
    stored(Level::Instance, tags::SOP_INSTANCE_UID, "SOPInstanceUID", "sop_instance_uid", VR::UI),
    stored(Level::Instance, tags::SOP_CLASS_UID, "SOPClassUID", "sop_class_uid", VR::UI),
    stored(Level::Instance, tags::INSTANCE_NUMBER, "InstanceNumber", "instance_number", VR::IS),
    stored(Level::Instance, tags::CONTENT_DATE, "ContentDate", "content_date", VR::DA),
    stored(Level::Instance, tags::CONTENT_TIME, "ContentTime", "content_time", VR::TM),
    stored(Level::Instance, tags::ACQUISITION_NUMBER, "AcquisitionNumber", "acquisition_number", VR::IS),
    stored(Level::Instance, tags::ROWS, "Rows", "rows", VR::US),
    stored(Level::Instance, tags::COLUMNS, "Columns", "columns", VR::US),
    stored(Level::Instance, tags::BITS_ALLOCATED, "BitsAllocated", "bits_allocated", VR::US),
    stored(Level::Instance, tags::NUMBER_OF_FRAMES, "NumberOfFrames", "number_of_frames", VR::IS),
    derived(
        Level::Instance,
        tags::AVAILABLE_TRANSFER_SYNTAX_UID,
        "AvailableTransferSyntaxUID",
        "available_transfer_syntax_uid",
        VR::UI,
    ),
];

/// The unique key of each level (PS3.4 §C.6.1.1, §C.6.2.1), with its name.
pub const UNIQUE_KEYS: [(Level, Tag, &str); 4] = [
    (Level::Patient, tags::PATIENT_ID, "Patient ID"),
    (Level::Study, tags::STUDY_INSTANCE_UID, "Study Instance UID"),
    (Level::Series, tags::SERIES_INSTANCE_UID, "Series Instance UID"),
    (Level::Instance, tags::SOP_INSTANCE_UID, "SOP Instance UID"),
];

const fn stored(level: Level, tag: Tag, keyword: &'static str, column: &'static str, vr: VR) -> Attribute {
    Attribute { tag, keyword, column, vr, level, derived: false, within: None }
}

const fn derived(level: Level, tag: Tag, keyword: &'static str, column: &'static str, vr: VR) -> Attribute {
    Attribute { derived: true, ..stored(level, tag, keyword, column, vr) }
}

/// An attribute of the Request Attributes Sequence (PS3.3 C.7.3.1).
const fn requested(level: Level, tag: Tag, keyword: &'static str, column: &'static str, vr: VR) -> Attribute {
    Attribute { within: Some(tags::REQUEST_ATTRIBUTES_SEQUENCE), ..stored(level, tag, keyword, column, vr) }
}

/// The indexed attribute of a tag.
pub fn attribute(tag: Tag) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|a| a.tag == tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
    use dicom_dictionary_std::StandardDataDictionary;

    #[test]
    fn the_table_agrees_with_the_dictionary_and_names_nothing_twice() {
        for (at, attribute) in ATTRIBUTES.iter().enumerate() {
            let entry = StandardDataDictionary.by_tag(attribute.tag).expect("a standard attribute");
            assert_eq!(entry.alias(), attribute.keyword);
            assert_eq!(entry.vr().relaxed(), attribute.vr, "{}", attribute.keyword);
            let same = |other: &&Attribute| other.tag == attribute.tag || other.column == attribute.column;
            assert!(!ATTRIBUTES.iter().take(at).any(|other| same(&other)), "{}", attribute.keyword);
        }
    }

    #[test]
    fn a_column_is_the_keyword_in_snake_case() {
        for attribute in ATTRIBUTES {
            assert_eq!(attribute.column.replace('_', ""), attribute.keyword.to_lowercase());
        }
    }
}
