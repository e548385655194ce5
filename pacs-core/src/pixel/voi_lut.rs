//! VOI LUT: rescaled values → display values 0..=1 (PS3.3 C.11.2).

use crate::attributes::Attributes;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiFunction {
    #[default]
    Linear,
    LinearExact,
    Sigmoid,
}

/// Window Center and Width in rescaled units.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    pub center: f64,
    pub width: f64,
    pub function: VoiFunction,
    pub explanation: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum VoiLut {
    Window(Window),
    /// VOI LUT Sequence (C.11.2.1.1), scaled by the largest value really there (Agfa CR declares more bits than it uses).
    Table { first: i32, values: Vec<u16>, explanation: Option<String> },
}

impl VoiLut {
    /// All the instance offers for frame `index`, in order: windows first, then tables; empty if it offers none.
    pub fn of(attributes: Attributes<'_>, index: u32) -> Vec<Self> {
        todo!()
    }

    /// Output 0..=1.
    pub fn apply(&self, value: f64) -> f64 {
        todo!()
    }
}

impl Window {
    /// The window that spans `min..=max`.
    pub fn spanning(min: f64, max: f64) -> Self {
        todo!()
    }
}
