//! Coded concepts of our reports (PS3.16 Annex D, SNOMED CT, LOINC, UCUM).

/// Code Value, Coding Scheme Designator, Code Meaning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code(pub &'static str, pub &'static str, pub &'static str);

const fn dcm(value: &'static str, meaning: &'static str) -> Code {
    Code(value, "DCM", meaning)
}

const fn sct(value: &'static str, meaning: &'static str) -> Code {
    Code(value, "SCT", meaning)
}

// TID 1500, 1204, 1001, 1002, 1004
pub(super) const IMAGING_MEASUREMENT_REPORT: Code = dcm("126000", "Imaging Measurement Report");
pub(super) const LANGUAGE: Code = dcm("121049", "Language of Content Item and Descendants");
pub(super) const ENGLISH: Code = Code("en-US", "RFC5646", "English (United States)");
pub(super) const OBSERVER_TYPE: Code = dcm("121005", "Observer Type");
pub(super) const DEVICE: Code = dcm("121007", "Device");
pub(super) const DEVICE_OBSERVER_UID: Code = dcm("121012", "Device Observer UID");
pub(super) const DEVICE_OBSERVER_NAME: Code = dcm("121013", "Device Observer Name");
pub(super) const DEVICE_OBSERVER_MANUFACTURER: Code = dcm("121014", "Device Observer Manufacturer");
pub(super) const DEVICE_OBSERVER_MODEL_NAME: Code = dcm("121015", "Device Observer Model Name");
pub(super) const PROCEDURE_REPORTED: Code = dcm("121058", "Procedure reported");
pub(super) const CHEST_CT: Code = Code("24627-2", "LN", "CT Chest");

// TID 1600, 1602
pub(super) const IMAGE_LIBRARY: Code = dcm("111028", "Image Library");
pub(super) const IMAGE_LIBRARY_GROUP: Code = dcm("126200", "Image Library Group");
pub(super) const MODALITY: Code = dcm("121139", "Modality");
pub(super) const CT: Code = dcm("CT", "Computed Tomography");
pub(super) const FRAME_OF_REFERENCE_UID: Code = dcm("112227", "Frame of Reference UID");

// TID 1411, 4019
pub(super) const IMAGING_MEASUREMENTS: Code = dcm("126010", "Imaging Measurements");
pub(super) const MEASUREMENT_GROUP: Code = dcm("125007", "Measurement Group");
pub(super) const TRACKING_IDENTIFIER: Code = dcm("112039", "Tracking Identifier");
pub(super) const TRACKING_UNIQUE_IDENTIFIER: Code = dcm("112040", "Tracking Unique Identifier");
pub(super) const FINDING: Code = dcm("121071", "Finding");
pub(super) const NODULE: Code = sct("27925004", "Nodule");
pub(super) const FINDING_SITE: Code = sct("363698007", "Finding Site");
pub(super) const LUNG: Code = sct("39607008", "Lung");
pub(super) const ALGORITHM_NAME: Code = dcm("111001", "Algorithm Name");
pub(super) const ALGORITHM_VERSION: Code = dcm("111003", "Algorithm Version");
pub(super) const VOLUME_SURFACE: Code = dcm("121231", "Volume Surface");
pub(super) const SOURCE_IMAGE: Code = dcm("121233", "Source image for segmentation");

// Measurements (TID 1419). The detector's score is the certainty that a device places upon a finding, 0 to 100 percent;
// "Probability of cancer" (111047, DCM) would say what the detector does not know.
pub(super) const LONG_AXIS: Code = sct("103339001", "Long axis");
pub(super) const SHORT_AXIS: Code = sct("103340004", "Short axis");
pub(super) const DIAMETER: Code = sct("81827009", "Diameter");
pub(super) const VOLUME: Code = sct("118565006", "Volume");
pub(super) const CERTAINTY_OF_FINDING: Code = dcm("111012", "Certainty of Finding");
pub(super) const DERIVATION: Code = dcm("121401", "Derivation");
pub(super) const ESTIMATED: Code = sct("414135002", "Estimated");
pub(super) const MILLIMETER: Code = Code("mm", "UCUM", "millimeter");
pub(super) const CUBIC_MILLIMETER: Code = Code("mm3", "UCUM", "cubic millimeter");
pub(super) const PERCENT: Code = Code("%", "UCUM", "percent");

// TID 1500, qualitative evaluations: what is said of the report as a whole
pub(super) const QUALITATIVE_EVALUATIONS: Code = Code("C0034375", "UMLS", "Qualitative Evaluations");
pub(super) const SUMMARY: Code = dcm("121111", "Summary");
pub(super) const COMMENT: Code = dcm("121106", "Comment");

/// Old SNOMED-RT values of the concepts that we read; reports from before 2017 have them.
pub(super) const RETIRED: [(Code, &str); 4] =
    [(LONG_AXIS, "G-A185"), (SHORT_AXIS, "G-A186"), (DIAMETER, "M-02550"), (VOLUME, "G-D705")];
