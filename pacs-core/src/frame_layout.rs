//! Where the frames of an instance lie, so that one range read gives one frame.

use crate::data_set::{DataSet, Fragment};
use std::ops::Range;

/// Byte ranges of the frames, relative to the start of the stored file (deflated data sets: of the inflated data set).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FrameLayout {
    /// Frame n at `offset + n * frame_bits / 8` (1-bit frames may start inside a byte).
    Native { offset: u64, len: u64, frames: u32, frame_bits: u64 },
    /// Fragments per frame, concatenated on reading (PS3.5 §A.4).
    Encapsulated { frames: Vec<Vec<Fragment>> },
}

impl FrameLayout {
    /// `None` if the instance has no pixel data. Frames are told apart by the Extended Offset Table, the Basic Offset
    /// Table, one fragment a frame, or all fragments one frame; `None` too if none of these fits.
    pub fn of(data_set: &DataSet) -> Option<Self> {
        todo!()
    }

    pub fn frames(&self) -> u32 {
        match self {
            Self::Native { frames, .. } => *frames,
            Self::Encapsulated { frames } => frames.len() as u32,
        }
    }

    /// Byte ranges to read, in order, for frame `index` (from 0). `None` if there is no such frame.
    pub fn ranges(&self, index: u32) -> Option<Vec<Range<u64>>> {
        todo!()
    }
}
