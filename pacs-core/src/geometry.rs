//! Index ↔ patient millimetres (PS3.3 C.7.6.2), in the patient system LPS: +x left, +y posterior, +z head.

use crate::attributes::Attributes;

/// Position of one image in the patient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// Image Position (Patient): centre of the first pixel, mm.
    pub position: [f64; 3],
    /// Unit direction of increasing column index (along a row).
    pub row: [f64; 3],
    /// Unit direction of increasing row index (down a column).
    pub column: [f64; 3],
    /// Distance between rows (down), mm: first value of Pixel Spacing.
    pub row_spacing_mm: f64,
    /// Distance between columns (across), mm.
    pub column_spacing_mm: f64,
}

impl Plane {
    /// Plane of frame `index` (from 0), from the instance or its functional groups. `None` where position, orientation or
    /// spacing is missing, not finite, or the directions are not orthonormal within 1e-3.
    pub fn of(attributes: Attributes<'_>, index: u32) -> Option<Self> {
        todo!()
    }

    /// Unit normal, row × column.
    pub fn normal(&self) -> [f64; 3] {
        todo!()
    }

    /// Signed distance of the plane from the origin along its normal: slices sort by this.
    pub fn distance(&self) -> f64 {
        todo!()
    }

    /// Patient point of (column, row) index, whole numbers being pixel centres.
    pub fn to_patient(&self, column: f64, row: f64) -> [f64; 3] {
        todo!()
    }

    /// (column, row, distance from the plane in mm) of a patient point.
    pub fn to_index(&self, point: [f64; 3]) -> (f64, f64, f64) {
        todo!()
    }
}
