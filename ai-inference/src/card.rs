//! The model card: what a model is, takes and gives, checked before it may serve.

use crate::error::ModelError;
use serde::Deserialize;

/// `card.toml` of a model package.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Card {
    pub id: String,
    pub version: String,
    pub status: Status,
    /// For people.
    pub display: String,
    /// Of `model.onnx`, lower-case hexadecimal.
    pub sha256: String,
    /// SPDX expression.
    pub licence: String,
    pub source: String,
    pub training_data: String,
    pub intended_use: String,
    pub not_for: String,
    pub selects: Selects,
    pub input: Input,
    pub output: Output,
    pub operating_points: Vec<OperatingPoint>,
    pub codes: Codes,
    pub selftest: SelfTest,
}

/// What the model may be used for; its words go into everything the model produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Demonstration,
    Research,
}

impl Status {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Demonstration => "demonstration, not for clinical use",
            Self::Research => "research, not for clinical use",
        }
    }
}

/// Which series the model reads; others are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Selects {
    pub modality: String,
    pub axial: bool,
    pub max_slice_gap_mm: f64,
    pub min_slices: usize,
    pub both_lungs: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Input {
    pub name: String,
    /// N, C, z, y, x; one cubic window of one channel.
    pub shape: [usize; 5],
    pub spacing_mm: [f64; 3],
    /// Hounsfield units that become 0 and 1; values beyond are clipped.
    pub hu_to_unit: [f32; 2],
    /// Neighbouring windows share this many voxels.
    pub overlap: usize,
    /// Outputs this near to the border of a window are left to its neighbour, voxels.
    pub drop_border: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Output {
    pub name: String,
    pub shape: [usize; 5],
    pub decoder: Decoder,
    /// Voxels a cell.
    pub stride: usize,
    /// Voxel that cell 0 stands for.
    pub cell_centre: f64,
    /// At most this many candidates go into the non-maximum suppression.
    pub top: usize,
}

/// How the output becomes candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decoder {
    /// Channels: score logit, offset z, y, x in cells, ln(diameter / 8 mm).
    Centre3d,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OperatingPoint {
    pub name: String,
    pub threshold: f32,
    /// Sensitivity and false marks, and on what they were measured.
    pub measured: String,
}

/// Code Value, Coding Scheme Designator, Code Meaning.
pub type Concept = [String; 3];

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Codes {
    pub finding: Concept,
    pub site: Concept,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SelfTest {
    /// SHA-256 of `selftest_output.f32`.
    pub output_sha256: String,
    pub max_abs_diff: f32,
}

impl Card {
    /// Parses a card and checks that all it promises is something this worker can keep.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let card: Self = toml::from_str(text)?;
        let broken = card.promises().into_iter().find(|(kept, _)| !kept);
        broken.map_or(Ok(card), |(_, promise)| Err(ModelError::Contract(promise.to_owned())))
    }

    pub fn operating_point(&self, name: &str) -> Option<&OperatingPoint> {
        self.operating_points.iter().find(|point| point.name == name)
    }

    /// Edge of the cubic window, voxels.
    pub fn window(&self) -> usize {
        self.input.shape[2]
    }

    fn promises(&self) -> Vec<(bool, &'static str)> {
        let (input, output) = (&self.input, &self.output);
        let (window, stride) = (self.window(), output.stride);
        let code = |concept: &Concept, value: &str| concept[0] == value && concept[1] == "SCT";
        let [low, high] = input.hu_to_unit;
        vec![
            (is_name(&self.id) && is_name(&self.version), "id and version are letters, digits, '-', '_' and '.'"),
            (is_spdx(&self.licence), "the licence is an SPDX expression"),
            (self.selects.modality == "CT" && self.selects.axial, "the model reads axial CT"),
            (self.selects.max_slice_gap_mm > 0.0, "the largest slice gap is positive"),
            (input.spacing_mm == [1.0; 3], "the spacing is 1 mm"),
            (low.is_finite() && high.is_finite() && low < high, "the HU window rises"),
            ((8..=256).contains(&window) && stride > 0 && window % stride == 0, "the window is whole cells, 8 to 256"),
            (input.shape == [1, 1, window, window, window], "the input is one cubic window of one channel"),
            (
                output.shape == [1, 5, window / stride.max(1), window / stride.max(1), window / stride.max(1)],
                "the output is five channels of one value a cell",
            ),
            (input.overlap < window && input.overlap == 2 * input.drop_border, "the overlap is twice the border"),
            (input.drop_border.is_multiple_of(stride.max(1)), "the border is whole cells"),
            (
                code(&self.codes.finding, "27925004") && code(&self.codes.site, "39607008"),
                "findings are nodules of the lung",
            ),
            (
                self.operating_points.iter().all(|p| p.threshold > 0.0 && p.threshold < 1.0),
                "thresholds are between 0 and 1",
            ),
            (
                self.selftest.max_abs_diff > 0.0 && self.selftest.max_abs_diff <= 1e-3,
                "the self-test allows at most 1e-3",
            ),
        ]
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_spdx(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.+() ".contains(&b))
        && text != "proprietary"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = include_str!("../models/nodule-demo/1/card.toml");

    fn check(from: &str, to: &str, reason: &str) {
        assert!(CARD.contains(from), "{from}");
        let error = Card::parse(&CARD.replace(from, to)).unwrap_err();
        let text = match &error {
            ModelError::Card(parse) => parse.to_string(),
            other => other.to_string(),
        };
        assert!(text.contains(reason), "{text}");
    }

    #[test]
    fn the_shipped_card_is_sound() {
        let card = Card::parse(CARD).unwrap();
        assert_eq!((card.window(), card.status.words()), (96, "demonstration, not for clinical use"));
        assert_eq!(card.operating_point("default").unwrap().threshold, 0.85);
        assert!(card.operating_point("other").is_none());
    }

    #[test]
    fn a_card_that_breaks_a_promise_is_refused_with_the_promise() {
        check("licence = \"Apache-2.0\"", "", "missing field `licence`");
        check("licence = \"Apache-2.0\"", "licence = \"\"", "SPDX");
        check("id = \"nodule-demo\"", "id = \"../x\"", "id and version");
        check("status = \"demonstration\"", "status = \"cleared\"", "unknown variant");
        check("shape = [1, 5, 24, 24, 24]", "shape = [1, 5, 24, 24, 12]", "five channels");
        check("stride = 4", "stride = 0", "whole cells");
        check("overlap = 24", "overlap = 8", "overlap");
        check("hu_to_unit = [-1000.0, 400.0]", "hu_to_unit = [400.0, -1000.0]", "HU window");
        check("decoder = \"centre3d\"", "decoder = \"retinanet3d\"", "unknown variant");
        check("threshold = 0.85", "threshold = 1.5", "between 0 and 1");
        check("[\"27925004\", \"SCT\", \"Nodule\"]", "[\"125149003\", \"SCT\", \"Fracture\"]", "nodules");
        check("max_abs_diff = 1e-4", "max_abs_diff = 1.0", "self-test");
    }
}
