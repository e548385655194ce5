//! The window the reader chose, and the one that an image is shown with.

use pacs_core::pixel::{ModalityLut, VoiFunction, VoiLut, Window};

use crate::i18n::Text;
use crate::series::Slice;

/// How values become grey.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Shading {
    /// As the image says; a soft tissue window for CT that says nothing, else all its values.
    #[default]
    Default,
    Window(Window),
}

impl Shading {
    /// The VOI LUT for `slice`, whose stored values span `range`.
    pub fn voi_lut(&self, slice: &Slice, range: (f64, f64)) -> VoiLut {
        match (self, slice.voi_luts.first()) {
            (Self::Window(window), _) => VoiLut::Window(window.clone()),
            (Self::Default, Some(voi_lut)) => voi_lut.clone(),
            (Self::Default, None) if slice.facts.modality == "CT" => VoiLut::Window(linear(40.0, 400.0)),
            (Self::Default, None) => VoiLut::Window(spanning(&slice.modality_lut, range)),
        }
    }

    /// The same as a window; a table is replaced by the window that spans the values.
    pub fn window(&self, slice: &Slice, range: (f64, f64)) -> Window {
        match self.voi_lut(slice, range) {
            VoiLut::Window(window) => window,
            VoiLut::Table { .. } => spanning(&slice.modality_lut, range),
        }
    }
}

pub fn linear(center: f64, width: f64) -> Window {
    Window { center, width, function: VoiFunction::Linear, explanation: None }
}

fn spanning(modality_lut: &ModalityLut, (min, max): (f64, f64)) -> Window {
    let (a, b) = (modality_lut.apply(min), modality_lut.apply(max));
    Window::spanning(a.min(b), a.max(b))
}

/// Moves a window by a drag of `dx` to the right (wider) and `dy` down (darker), in CSS pixels.
///
/// A step is a 400th of the width, so that narrow windows move finely and wide ones quickly.
pub fn dragged(window: &Window, dx: f64, dy: f64) -> Window {
    let step = (window.width / 400.0).max(0.002 * window.center.abs()).max(f64::EPSILON);
    let least = if window.function == VoiFunction::Linear { 1.0_f64.min(window.width) } else { window.width / 1000.0 };
    Window {
        center: window.center + dy * step,
        width: (window.width + dx * step).max(least),
        function: window.function,
        explanation: None,
    }
}

/// A named window and the key that chooses it.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    pub key: char,
    pub name: Text,
    pub shading: Shading,
}

/// The presets that fit a modality; the default window is always the last.
pub fn presets(modality: &str) -> Vec<Preset> {
    let preset = |key, name, center, width| Preset { key, name, shading: Shading::Window(linear(center, width)) };
    let default = |key| Preset { key, name: Text::DefaultWindow, shading: Shading::Default };
    match modality {
        "CT" => vec![
            preset('1', Text::Lung, -600.0, 1500.0),
            preset('2', Text::Mediastinum, 40.0, 400.0),
            preset('3', Text::Bone, 400.0, 1800.0),
            preset('4', Text::Brain, 40.0, 80.0),
            preset('5', Text::Abdomen, 60.0, 360.0),
            default('6'),
        ],
        _ => vec![default('6')],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{slices, tests::*};
    use serde_json::json;

    fn slice(change: impl FnOnce(&mut serde_json::Value)) -> Slice {
        let mut instance = ct(1, 0.0);
        change(&mut instance);
        slices(&json!([instance]), &uid(STUDY), &uid(SERIES)).remove(0)
    }

    fn without_window(instance: &mut serde_json::Value) {
        let object = instance.as_object_mut().expect("an object");
        object.remove("00281050");
        object.remove("00281051");
    }

    #[test]
    fn the_image_chooses_its_window_until_the_reader_does() {
        let slice = slice(|_| ());
        let shown = Shading::Default.window(&slice, (0.0, 0.0));
        assert_eq!((shown.center, shown.width), (40.0, 400.0));
        let lung = presets("CT").remove(0).shading.window(&slice, (0.0, 0.0));
        assert_eq!((lung.center, lung.width), (-600.0, 1500.0));
    }

    #[test]
    fn an_image_without_a_window_shows_all_its_values() {
        let mr = slice(|instance| {
            without_window(instance);
            instance["00080060"]["Value"][0] = json!("MR");
        });
        let shown = Shading::Default.voi_lut(&mr, (0.0, 100.0));
        assert!(shown.apply(-1024.0) < 0.01 && shown.apply(-924.0) > 0.99, "{shown:?}");
        let ct = slice(without_window);
        assert_eq!(Shading::Default.window(&ct, (0.0, 9000.0)).width, 400.0);
    }

    #[test]
    fn a_drag_right_widens_and_a_drag_down_darkens() {
        let moved = dragged(&linear(40.0, 400.0), 10.0, 5.0);
        assert_eq!((moved.center, moved.width), (45.0, 410.0));
        assert_eq!(dragged(&linear(40.0, 400.0), -9999.0, 0.0).width, 1.0);
    }

    #[test]
    fn ct_has_six_presets_on_the_keys_one_to_six() {
        assert_eq!(presets("CT").iter().map(|preset| preset.key).collect::<String>(), "123456");
        assert_eq!(presets("MR").len(), 1);
    }
}
