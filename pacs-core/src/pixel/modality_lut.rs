//! Modality LUT: stored values → rescaled values (PS3.3 C.11.1).

use crate::attributes::Attributes;

#[derive(Debug, Clone, PartialEq)]
pub enum ModalityLut {
    /// `value * slope + intercept`; the identity where the instance has neither rescale nor LUT.
    Rescale { slope: f64, intercept: f64 },
    /// Modality LUT Sequence (C.11.1.1.1): values below/above the table take its first/last entry.
    Table { first: i32, values: Vec<u16> },
}

impl ModalityLut {
    /// For frame `index` (from 0): Pixel Value Transformation of the per-frame, then the shared functional groups, then
    /// the instance itself. A per-frame item without the attribute never takes another frame's.
    pub fn of(attributes: Attributes<'_>, index: u32) -> Self {
        todo!()
    }

    pub fn apply(&self, stored: f64) -> f64 {
        todo!()
    }
}
