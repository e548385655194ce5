//! VOI LUT: rescaled values → display values 0..=1 (PS3.3 C.11.2).

use super::{functional_group, lookup_table};
use crate::attributes::Attributes;
use dicom_dictionary_std::tags;

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
    Table {
        first: i32,
        values: Vec<u16>,
        explanation: Option<String>,
    },
}

impl VoiLut {
    /// All the instance offers for frame `index`, in order: windows first, then tables; empty if it offers none.
    ///
    /// Frame VOI LUT of the per-frame, then the shared functional groups, then the instance itself.
    pub fn of(attributes: Attributes<'_>, index: u32) -> Vec<Self> {
        let group = functional_group::of_frame(attributes, index, tags::FRAME_VOILUT_SEQUENCE);
        let windows = windows(group.unwrap_or(attributes)).map(Self::Window);
        // Tables are in the VOI LUT module only; the functional group macro has none (C.7.6.16.2.10).
        windows.chain(tables(attributes)).collect()
    }

    /// Output 0..=1.
    pub fn apply(&self, value: f64) -> f64 {
        self.mapping()(value)
    }

    /// The mapping for many values: what it needs of the whole table is found once.
    pub(super) fn mapping(&self) -> Box<dyn Fn(f64) -> f64 + '_> {
        match self {
            Self::Window(window) => Box::new(|value| window.apply(value)),
            Self::Table { first, values, .. } => {
                let largest = f64::from(values.iter().max().copied().unwrap_or_default().max(1));
                Box::new(move |value| f64::from(lookup_table::look_up(*first, values, value)) / largest)
            }
        }
    }
}

/// Windows of the instance or functional group; those without a usable width are left out.
fn windows(attributes: Attributes<'_>) -> impl Iterator<Item = Window> + use<'_> {
    let function = match attributes.text(tags::VOILUT_FUNCTION).map(str::trim) {
        Some("SIGMOID") => VoiFunction::Sigmoid,
        Some("LINEAR_EXACT") => VoiFunction::LinearExact,
        _ => VoiFunction::Linear,
    };
    let explanations = attributes.texts(tags::WINDOW_CENTER_WIDTH_EXPLANATION);
    let centers = attributes.numbers_and_gaps(tags::WINDOW_CENTER);
    let widths = attributes.numbers_and_gaps(tags::WINDOW_WIDTH);
    centers.into_iter().zip(widths).enumerate().filter_map(move |(i, pair)| {
        let (Some(center), Some(width)) = pair else { return None };
        let explanation = explanations.get(i).map(|text| text.trim()).filter(|text| !text.is_empty());
        let window = Window { center, width, function, explanation: explanation.map(str::to_owned) };
        (width > 0.0).then_some(window)
    })
}

fn tables(attributes: Attributes<'_>) -> impl Iterator<Item = VoiLut> + use<'_> {
    let rescaled_below_0 = attributes.number(tags::RESCALE_INTERCEPT).is_some_and(|intercept| intercept < 0.0);
    let signed = rescaled_below_0 || attributes.integer(tags::PIXEL_REPRESENTATION) == Some(1);
    attributes.items(tags::VOILUT_SEQUENCE).filter_map(move |item| {
        let (first, values) = lookup_table::of_item(item, signed)?;
        let explanation = item.text(tags::LUT_EXPLANATION).map(str::to_owned);
        Some(VoiLut::Table { first, values, explanation })
    })
}

impl Window {
    /// The window that spans `min..=max`.
    pub fn spanning(min: f64, max: f64) -> Self {
        let (center, width) = ((min + max + 1.0) / 2.0, max - min + 1.0);
        Self { center, width, function: VoiFunction::Linear, explanation: None }
    }

    /// Output 0..=1 (C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2). A width at which LINEAR has no slope is a step.
    pub fn apply(&self, value: f64) -> f64 {
        match self.function {
            VoiFunction::Linear => ramp(value - (self.center - 0.5), self.width - 1.0),
            VoiFunction::LinearExact => ramp(value - self.center, self.width),
            VoiFunction::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - self.center) / self.width).exp()),
        }
    }
}

/// 0 up to `-width / 2`, 1 above `width / 2`, linear between.
fn ramp(distance: f64, width: f64) -> f64 {
    if distance <= -width / 2.0 {
        0.0
    } else if distance > width / 2.0 {
        1.0
    } else {
        distance / width + 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn window(center: f64, width: f64, function: VoiFunction) -> Window {
        Window { center, width, function, explanation: None }
    }

    fn of(value: &Value, index: u32) -> Vec<VoiLut> {
        VoiLut::of(Attributes::of(value).unwrap(), index)
    }

    fn near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-9, "{actual} is not {expected}");
    }

    /// The examples of C.11.2.1.2.1, with an output range of 0..=255.
    #[test]
    fn linear_follows_the_standards_worked_numbers() {
        let grey = |center, width, value: f64| window(center, width, VoiFunction::Linear).apply(value) * 255.0;
        // c=2048, w=4096: 0 and below are 0, 4095 and above 255, between ((x - 2047.5) / 4095 + 0.5) * 255.
        near(grey(2048.0, 4096.0, 0.0), 0.0);
        near(grey(2048.0, 4096.0, 4095.0), 255.0);
        near(grey(2048.0, 4096.0, 1000.0), ((1000.0 - 2047.5) / 4095.0 + 0.5) * 255.0);
        // c=2048, w=1: 2047 and below are 0, 2048 and above 255.
        near(grey(2048.0, 1.0, 2047.0), 0.0);
        near(grey(2048.0, 1.0, 2048.0), 255.0);
        // c=0, w=100: -50 is 0, 49 is 255. c=0, w=1: -1 is 0, 0 is 255.
        near(grey(0.0, 100.0, -50.0), 0.0);
        near(grey(0.0, 100.0, 49.0), 255.0);
        near(grey(0.0, 1.0, -1.0), 0.0);
        near(grey(0.0, 1.0, 0.0), 255.0);
    }

    /// The examples of C.11.2.1.3.2.
    #[test]
    fn linear_exact_follows_the_standards_worked_numbers() {
        let grey = |center, width, value: f64| window(center, width, VoiFunction::LinearExact).apply(value) * 255.0;
        near(grey(2048.0, 4096.0, 0.0), 0.0);
        near(grey(2048.0, 4096.0, 4096.0), 255.0);
        near(grey(2048.0, 4096.0, 1024.0), ((1024.0 - 2048.0) / 4096.0 + 0.5) * 255.0);
        near(grey(2048.0, 1.0, 2047.5), 0.0);
        near(grey(2048.0, 1.0, 2048.6), 255.0);
        near(grey(0.0, 100.0, -50.0), 0.0);
        near(grey(0.0, 100.0, 50.1), 255.0);
    }

    #[test]
    fn sigmoid_is_half_at_the_centre_and_has_the_slope_of_the_window_there() {
        let sigmoid = window(40.0, 400.0, VoiFunction::Sigmoid);
        near(sigmoid.apply(40.0), 0.5);
        near(sigmoid.apply(240.0), 1.0 / (1.0 + (-2.0f64).exp()));
        near((sigmoid.apply(40.001) - sigmoid.apply(39.999)) / 0.002 * 400.0, 1.0);
    }

    #[test]
    fn a_spanning_window_puts_its_ends_at_black_and_white() {
        let spanning = Window::spanning(-1024.0, 3071.0);
        near(spanning.apply(-1024.0), 0.0);
        near(spanning.apply(3071.0), 1.0);
    }

    #[test]
    fn windows_keep_their_explanation_when_one_before_is_missing() {
        let value = json!({
            "00281050": {"vr": "DS", "Value": [null, -600]}, "00281051": {"vr": "DS", "Value": [400, 1500]},
            "00281055": {"vr": "LO", "Value": ["SOFT", "LUNG"]},
        });
        let expected = Window { explanation: Some("LUNG".into()), ..window(-600.0, 1500.0, VoiFunction::Linear) };
        assert_eq!(of(&value, 0), [VoiLut::Window(expected)]);
    }

    #[test]
    fn a_frame_has_its_own_window_or_the_shared_one() {
        let frame = |center: i32| {
            json!({"00289132": {"vr": "SQ", "Value": [{
                "00281050": {"vr": "DS", "Value": [center]}, "00281051": {"vr": "DS", "Value": [100]},
            }]}})
        };
        let value = json!({
            "52009229": {"vr": "SQ", "Value": [frame(1)]},
            "52009230": {"vr": "SQ", "Value": [{}, frame(2)]},
        });
        for (index, center) in [(0, 1.0), (1, 2.0), (2, 1.0)] {
            assert_eq!(of(&value, index), [VoiLut::Window(window(center, 100.0, VoiFunction::Linear))]);
        }
    }

    #[test]
    fn a_table_is_scaled_by_its_largest_value_and_not_by_the_bits_it_declares() {
        let value = json!({"00283010": {"vr": "SQ", "Value": [{
            "00283002": {"vr": "US", "Value": [3, 10, 16]},
            "00283003": {"vr": "LO", "Value": ["HARD"]},
            "00283006": {"vr": "US", "Value": [0, 512, 1024]},
        }]}});
        let luts = of(&value, 0);
        assert_eq!([9.0, 11.0, 13.0].map(|v| luts[0].apply(v)), [0.0, 0.5, 1.0]);
        assert_eq!([9.0, 11.0, 13.0].map(|v| luts[0].mapping()(v)), [0.0, 0.5, 1.0]);
    }

    proptest! {
        #[test]
        fn the_output_is_between_0_and_1_and_never_falls(
            center in -1e6..1e6, width in 1e-3..1e6, a in -1e6..1e6, b in -1e6..1e6,
            function in prop::sample::select(vec![VoiFunction::Linear, VoiFunction::LinearExact, VoiFunction::Sigmoid]),
        ) {
            let window = window(center, width, function);
            let (low, high) = (window.apply(f64::min(a, b)), window.apply(f64::max(a, b)));
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low <= high);
        }
    }
}
