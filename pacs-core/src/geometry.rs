//! Index ↔ patient millimetres (PS3.3 C.7.6.2), in the patient system LPS: +x left, +y posterior, +z head.

use crate::attributes::Attributes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Directions may miss unit length and right angle by this much: scanners write six decimals, some only three.
const ORTHONORMAL: f64 = 1e-3;

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
        let find = |sequence, tag| macro_values(attributes, index, sequence, tag);
        let position = triple(&find(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT)?)?;
        let orientation = find(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT)?;
        let spacing = find(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING)?;
        let (row, column) = directions(&orientation)?;
        let &[row_spacing_mm, column_spacing_mm] = spacing.as_slice() else { return None };
        let usable = |mm: f64| mm.is_finite() && mm > 0.0;
        (usable(row_spacing_mm) && usable(column_spacing_mm)).then_some(Self {
            position,
            row,
            column,
            row_spacing_mm,
            column_spacing_mm,
        })
    }

    /// Unit normal, row × column.
    pub fn normal(&self) -> [f64; 3] {
        let ([a, b, c], [d, e, f]) = (self.row, self.column);
        [b * f - c * e, c * d - a * f, a * e - b * d]
    }

    /// Signed distance of the plane from the origin along its normal: slices sort by this.
    pub fn distance(&self) -> f64 {
        dot(self.position, self.normal())
    }

    /// Patient point of (column, row) index, whole numbers being pixel centres.
    pub fn to_patient(&self, column: f64, row: f64) -> [f64; 3] {
        let (across, down) = (column * self.column_spacing_mm, row * self.row_spacing_mm);
        std::array::from_fn(|i| self.position[i] + across * self.row[i] + down * self.column[i])
    }

    /// (column, row, distance from the plane in mm) of a patient point.
    pub fn to_index(&self, point: [f64; 3]) -> (f64, f64, f64) {
        let from_first: [f64; 3] = std::array::from_fn(|i| point[i] - self.position[i]);
        let column = dot(from_first, self.row) / self.column_spacing_mm;
        let row = dot(from_first, self.column) / self.row_spacing_mm;
        (column, row, dot(from_first, self.normal()))
    }
}

/// Values of `tag` for frame `index`: of the macro `sequence` in the frame's own functional group, then in the shared
/// one (PS3.3 C.7.6.16), then of the instance itself, which speaks for its first frame only.
fn macro_values(attributes: Attributes<'_>, index: u32, sequence: Tag, tag: Tag) -> Option<Vec<f64>> {
    let per_frame = attributes.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).nth(index as usize);
    let shared = attributes.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE);
    let mut groups = per_frame.into_iter().chain(shared).filter_map(|group| group.item(sequence));
    let in_group = groups.find(|item| item.contains(tag));
    let holder = in_group.or_else(|| (index == 0).then_some(attributes))?;
    Some(holder.numbers(tag))
}

fn directions(orientation: &[f64]) -> Option<([f64; 3], [f64; 3])> {
    let (row, column) = orientation.split_at_checked(3)?;
    let (row, column) = (triple(row)?, triple(column)?);
    let unit = |v| (dot(v, v).sqrt() - 1.0).abs() <= ORTHONORMAL;
    (unit(row) && unit(column) && dot(row, column).abs() <= ORTHONORMAL).then(|| (normalized(row), normalized(column)))
}

fn triple(values: &[f64]) -> Option<[f64; 3]> {
    let values: [f64; 3] = values.try_into().ok()?;
    values.iter().all(|v| v.is_finite()).then_some(values)
}

fn normalized(v: [f64; 3]) -> [f64; 3] {
    v.map(|c| c / dot(v, v).sqrt())
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn plane(value: &Value, index: u32) -> Option<Plane> {
        Plane::of(Attributes::of(value)?, index)
    }

    fn ds(values: &[f64]) -> Value {
        json!({"vr": "DS", "Value": values})
    }

    fn instance(position: &[f64], orientation: &[f64], spacing: &[f64]) -> Value {
        json!({"00200032": ds(position), "00200037": ds(orientation), "00280030": ds(spacing)})
    }

    fn sequence(items: &[Value]) -> Value {
        json!({"vr": "SQ", "Value": items})
    }

    const AXIAL: [f64; 6] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];

    #[test]
    fn an_axial_slice_counts_columns_to_the_left_and_rows_to_the_back() {
        let plane = plane(&instance(&[-100.0, -90.0, 30.0], &AXIAL, &[0.5, 0.8]), 0).unwrap();
        assert_eq!(plane.to_patient(10.0, 20.0), [-92.0, -80.0, 30.0]);
        assert_eq!(plane.to_index([-92.0, -80.0, 33.0]), (10.0, 20.0, 3.0));
        assert_eq!((plane.normal(), plane.distance()), ([0.0, 0.0, 1.0], 30.0));
    }

    #[test]
    fn a_coronal_slice_sorts_front_to_back_reversed() {
        let coronal = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0];
        let plane = plane(&instance(&[0.0, 40.0, 0.0], &coronal, &[1.0, 1.0]), 0).unwrap();
        assert_eq!((plane.normal(), plane.distance()), ([0.0, 1.0, 0.0], 40.0));
    }

    #[test]
    fn the_frame_s_own_group_wins_over_the_shared_one() {
        let position = |z: f64| json!({"00209113": sequence(&[json!({"00200032": ds(&[1.0, 2.0, z])})])});
        let shared = json!({
            "00209113": sequence(&[json!({"00200032": ds(&[1.0, 2.0, 99.0])})]),
            "00209116": sequence(&[json!({"00200037": ds(&AXIAL)})]),
            "00289110": sequence(&[json!({"00280030": ds(&[0.7, 0.7])})]),
        });
        let object = json!({
            "52009229": sequence(&[shared]),
            "52009230": sequence(&[position(5.0), json!({}), position(7.0)]),
        });
        let z = |index| plane(&object, index).map(|p| p.position[2]);
        assert_eq!((z(0), z(1), z(2)), (Some(5.0), Some(99.0), Some(7.0)));
    }

    #[test]
    fn later_frames_do_not_borrow_the_place_of_the_first() {
        assert_eq!(plane(&instance(&[0.0; 3], &AXIAL, &[1.0, 1.0]), 1), None);
    }

    #[test]
    fn a_plane_needs_three_coordinates_right_angles_and_a_spacing() {
        let skewed = [1.0, 0.0, 0.0, 0.1, 1.0, 0.0];
        for (position, orientation, spacing) in [
            (&[0.0, 0.0][..], &AXIAL[..], &[1.0, 1.0][..]),
            (&[0.0; 3], &AXIAL[..5], &[1.0, 1.0]),
            (&[0.0; 3], &AXIAL[..2], &[1.0, 1.0]),
            (&[0.0; 3], &[0.0; 6], &[1.0, 1.0]),
            (&[0.0; 3], &skewed, &[1.0, 1.0]),
            (&[0.0; 3], &AXIAL, &[0.0, 1.0]),
            (&[0.0; 3], &AXIAL, &[1.0]),
        ] {
            assert_eq!(plane(&instance(position, orientation, spacing), 0), None);
        }
        assert_eq!(plane(&json!({}), 0), None);
    }

    proptest! {
        #[test]
        fn an_oblique_plane_maps_there_and_back(
            position in prop::array::uniform3(-500.0..500.0_f64),
            (about_x, about_z) in (-3.1..3.1_f64, -3.1..3.1_f64),
            (down, across) in (0.2..3.0_f64, 0.2..3.0_f64),
            (column, row) in (-600.0..600.0_f64, -600.0..600.0_f64),
        ) {
            let ((sx, cx), (sz, cz)) = (about_x.sin_cos(), about_z.sin_cos());
            let orientation = [cz, sz, 0.0, -sz * cx, cz * cx, sx];
            let plane = plane(&instance(&position, &orientation, &[down, across]), 0).unwrap();
            let (c, r, off) = plane.to_index(plane.to_patient(column, row));
            prop_assert!((c - column).abs() < 1e-6 && (r - row).abs() < 1e-6 && off.abs() < 1e-6);
        }

        #[test]
        fn odd_numbers_never_panic(values in prop::collection::vec(any::<f64>(), 0..8)) {
            let _ = plane(&instance(&values, &values, &values), 0);
        }
    }
}
