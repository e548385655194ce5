//! AI findings ↔ Comprehensive 3D SR, TID 1500 (PS3.16): one measurement group (TID 1411) a nodule.
//!
//! | module | what |
//! |---|---|
//! | [`to_sr`] | report → Part 10 file |
//! | [`from_sr`] | metadata of an SR, ours or another's → report |
//! | [`observer()`] | whose word a report is |
//! | `content`, `content_item` | content items, written and read |
//! | `request` | the orders that the images were made for |
//! | `concept` | the coded concepts that both use |

mod concept;
mod content;
mod content_item;
mod observer;
mod read;
mod request;
mod write;

use crate::uid::Uid;
pub use {
    observer::{Observer, observer},
    read::from_sr,
    write::to_sr,
};

/// The maker of our reports, as equipment and as observing device.
const MANUFACTURER: &str = "Yinghai";

/// One lung nodule.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// 1, 2, … in the order of the report.
    pub number: u32,
    pub tracking_uid: Uid,
    /// Centre in patient millimetres (LPS), in the series' frame of reference.
    pub center_mm: [f64; 3],
    /// 0 where a report of another maker does not say; so too the short axis, volume and confidence.
    pub long_axis_mm: f64,
    pub short_axis_mm: f64,
    pub volume_mm3: f64,
    /// Axes and volume are those of a sphere of the detector's estimated diameter: the outline could not be traced.
    pub estimated: bool,
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
    #[error("none of the report's measurement groups has a position in the patient")]
    NoPosition,
    #[error("{0}")]
    Encode(String),
}

#[cfg(test)]
mod tests;
