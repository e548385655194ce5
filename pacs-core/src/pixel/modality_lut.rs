//! Modality LUT: stored values → rescaled values (PS3.3 C.11.1).

use super::{functional_group, lookup_table};
use crate::attributes::Attributes;
use dicom_dictionary_std::tags;

/// SOP Classes whose Modality LUT is not one for display: XA, XRF, and XA Bi-Plane, which is retired.
const TO_BEAM_INTENSITY: [&str; 3] =
    ["1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2", "1.2.840.10008.5.1.4.1.1.12.3"];

#[derive(Debug, Clone, PartialEq)]
pub enum ModalityLut {
    /// `value * slope + intercept`; the identity where the instance has neither rescale nor LUT.
    Rescale { slope: f64, intercept: f64 },
    /// Modality LUT Sequence (C.11.1.1.1): values below/above the table take its first/last entry.
    Table { first: i32, values: Vec<u16> },
}

impl ModalityLut {
    pub const IDENTITY: Self = Self::Rescale { slope: 1.0, intercept: 0.0 };

    /// For frame `index` (from 0): Pixel Value Transformation of the per-frame, then the shared functional groups, then
    /// the instance itself. A per-frame item without the attribute never takes another frame's.
    ///
    /// The identity for X-ray angiography and fluoroscopy: their LUT leads back to the intensity of the beam, and is to
    /// be ignored in display (PS3.4 N.2.5).
    pub fn of(attributes: Attributes<'_>, index: u32) -> Self {
        if attributes.text(tags::SOP_CLASS_UID).is_some_and(|class| TO_BEAM_INTENSITY.contains(&class)) {
            return Self::IDENTITY;
        }
        match functional_group::of_frame(attributes, index, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE) {
            Some(transformation) => rescale(transformation),
            None => table(attributes).unwrap_or_else(|| rescale(attributes)),
        }
    }

    /// Rescaled value of a stored one, in the units of Rescale Type (CT: Hounsfield).
    pub fn apply(&self, stored: f64) -> f64 {
        match self {
            Self::Rescale { slope, intercept } => stored * slope + intercept,
            Self::Table { first, values } => lookup_table::look_up(*first, values, stored).into(),
        }
    }
}

fn table(attributes: Attributes<'_>) -> Option<ModalityLut> {
    let signed = attributes.integer(tags::PIXEL_REPRESENTATION) == Some(1);
    let item = attributes.item(tags::MODALITY_LUT_SEQUENCE)?;
    let (first, values) = lookup_table::of_item(item, signed)?;
    Some(ModalityLut::Table { first, values })
}

fn rescale(attributes: Attributes<'_>) -> ModalityLut {
    // A slope of 0 would blank the image; writers that put it mean "none".
    let slope = attributes.number(tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
    ModalityLut::Rescale { slope, intercept: attributes.number(tags::RESCALE_INTERCEPT).unwrap_or(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn transformation(intercept: f64) -> Value {
        json!({"00289145": {"vr": "SQ", "Value": [{
            "00281052": {"vr": "DS", "Value": [intercept]}, "00281053": {"vr": "DS", "Value": [2.0]},
        }]}})
    }

    fn lut(value: &Value, index: u32) -> ModalityLut {
        ModalityLut::of(Attributes::of(value).unwrap(), index)
    }

    fn check(value: &Value, index: u32, intercept: f64) {
        match lut(value, index) {
            ModalityLut::Rescale { intercept: actual, .. } => assert_eq!(actual, intercept, "frame {index}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_anything_stored_values_stay() {
        assert_eq!(lut(&json!({}), 0), ModalityLut::IDENTITY);
    }

    #[test]
    fn hounsfield_units_come_from_slope_and_intercept() {
        let value = json!({"00281052": {"vr": "DS", "Value": [-1024]}, "00281053": {"vr": "DS", "Value": [1]}});
        assert_eq!(lut(&value, 0).apply(1064.0), 40.0);
    }

    #[test]
    fn a_frame_without_the_group_takes_the_shared_one_and_never_its_neighbours() {
        let value = json!({
            "00281052": {"vr": "DS", "Value": [-7]},
            "52009229": {"vr": "SQ", "Value": [transformation(-1.0)]},
            "52009230": {"vr": "SQ", "Value": [transformation(10.0), {}, null, transformation(30.0)]},
        });
        for (index, intercept) in [(0, 10.0), (1, -1.0), (2, -1.0), (3, 30.0), (4, -1.0)] {
            check(&value, index, intercept);
        }
    }

    #[test]
    fn without_a_shared_group_the_instance_itself_counts() {
        let value = json!({
            "00281052": {"vr": "DS", "Value": [-7]},
            "52009230": {"vr": "SQ", "Value": [transformation(10.0), {}]},
        });
        check(&value, 1, -7.0);
    }

    #[test]
    fn a_modality_lut_maps_and_clamps() {
        let value = json!({"00283000": {"vr": "SQ", "Value": [{
            "00283002": {"vr": "US", "Value": [3, 100, 16]},
            "00283006": {"vr": "US", "Value": [7, 8, 60000]},
        }]}});
        let lut = lut(&value, 0);
        assert_eq!([0.0, 101.0, 102.0, 500.0].map(|v| lut.apply(v)), [7.0, 8.0, 60000.0, 60000.0]);
    }
    #[test]
    fn the_lut_of_an_angiogram_is_not_for_display() {
        let mut value = json!({
            "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.12.1"]},
            "00281040": {"vr": "CS", "Value": ["LOG"]},
            "00283000": {"vr": "SQ", "Value": [{
                "00283002": {"vr": "US", "Value": [2, 0, 16]}, "00283006": {"vr": "US", "Value": [80, 9000]},
            }]},
        });
        assert_eq!(lut(&value, 0), ModalityLut::IDENTITY);
        value["00080016"]["Value"][0] = "1.2.840.10008.5.1.4.1.1.1".into();
        assert_eq!(lut(&value, 0).apply(1.0), 9000.0);
    }
}
