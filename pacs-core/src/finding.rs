//! AI findings ↔ Comprehensive 3D SR, TID 1500 (PS3.16): one measurement group (TID 1411) a nodule.

use crate::{attributes::Attributes, uid::Uid};

/// One lung nodule.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// 1, 2, … in the order of the report.
    pub number: u32,
    pub tracking_uid: Uid,
    /// Centre in patient millimetres (LPS), in the series' frame of reference.
    pub center_mm: [f64; 3],
    pub long_axis_mm: f64,
    pub short_axis_mm: f64,
    pub volume_mm3: f64,
    /// 0..=1.
    pub confidence: f64,
    /// The image the centre lies on.
    pub sop_class: Uid,
    pub sop_instance: Uid,
    /// Referenced frame, from 1, of a multi-frame image.
    pub frame: Option<u32>,
}

/// What a report is about and who made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub study: Uid,
    pub series: Uid,
    pub frame_of_reference: Uid,
    /// SOP Class and Instance UIDs of all source images.
    pub evidence: Vec<(Uid, Uid)>,
    pub algorithm_name: String,
    pub algorithm_version: String,
    /// e.g. "demonstration, not for clinical use": written wherever the result is.
    pub status: String,
    pub findings: Vec<Finding>,
}

/// Identity of the SR object to be made: all that a pure function may not make up.
#[derive(Debug, Clone)]
pub struct Identity {
    pub series: Uid,
    pub sop_instance: Uid,
    pub device_observer: Uid,
    /// Local date and time, `YYYYMMDD` and `HHMMSS`.
    pub date: String,
    pub time: String,
    /// `±HHMM`, Timezone Offset From UTC.
    pub timezone: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FindingError {
    #[error("not a TID 1500 measurement report")]
    NotAReport,
    #[error("{0}")]
    Encode(String),
}

/// Writes the SR as a whole Part 10 file, explicit VR little endian. Patient and study attributes are copied from
/// `source`, the metadata of one source image; text is UTF-8 (ISO_IR 192).
pub fn to_sr(report: &Report, source: Attributes<'_>, identity: &Identity) -> Result<Vec<u8>, FindingError> {
    todo!()
}

/// Reads our own and others' TID 1500 reports from the SR's metadata; groups without a 3D or image position are left out.
pub fn from_sr(sr: Attributes<'_>) -> Result<Report, FindingError> {
    todo!()
}
