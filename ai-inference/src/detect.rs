//! Windows over the lungs → candidates: tiling, decoding (centre3d), non-maximum suppression, lung gate.

use crate::{card::Card, engine::Engine, error::ModelError, mask::cut};
use ndarray::{Array3, ArrayView4, Axis};
use rayon::prelude::*;

/// Cells of a lower score are no candidates at all.
const LEAST_SCORE: f32 = 0.05;

/// A mark counts if a voxel of the lungs lies within this many voxels of it.
const GATE: isize = 6;

/// Two marks nearer than this, mm, or than half the larger diameter, are one.
const APART_MM: f64 = 4.0;

/// Every fourth voxel tells whether a window touches the lungs.
const PROBE: usize = 4;

/// One mark of the network. Coordinates in voxels (1 mm) of the region it was found in, z, y, x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub score: f32,
    pub center: [f64; 3],
    pub diameter_mm: f64,
}

/// The part of a 1 mm volume that is looked at.
pub struct Region {
    pub hu: Array3<f32>,
    pub lungs: Array3<bool>,
    /// z, y, x index of its first voxel in the whole volume.
    pub corner: [usize; 3],
}

impl Region {
    /// The box of the lungs with a margin of 8 voxels; `None` if there are no lungs.
    pub fn around(hu: &Array3<f32>, lungs: &Array3<bool>) -> Option<Self> {
        const MARGIN: usize = 8;
        let (mut low, mut high) = ([usize::MAX; 3], [0; 3]);
        for ((z, y, x), _) in lungs.indexed_iter().filter(|(_, inside)| **inside) {
            for (axis, at) in [z, y, x].into_iter().enumerate() {
                low[axis] = low[axis].min(at);
                high[axis] = high[axis].max(at);
            }
        }
        if low[0] == usize::MAX {
            return None;
        }
        let corner = low.map(|at| at.saturating_sub(MARGIN));
        let size = [hu.dim().0, hu.dim().1, hu.dim().2];
        let ranges = std::array::from_fn(|i| corner[i]..(high[i] + MARGIN + 1).min(size[i]));
        Some(Self { hu: cut(hu, &ranges).to_owned(), lungs: cut(lungs, &ranges).to_owned(), corner })
    }

    /// Value `offset` voxels from a corner that may lie outside; beyond the border the border is repeated.
    fn clamped(&self, at: [isize; 3]) -> f32 {
        let (nz, ny, nx) = self.hu.dim();
        let inside = |at: isize, len: usize| at.clamp(0, len as isize - 1) as usize;
        self.hu[(inside(at[0], nz), inside(at[1], ny), inside(at[2], nx))]
    }

    fn touches_lungs(&self, corner: [isize; 3], window: usize) -> bool {
        let inside = |axis: usize| {
            let start = corner[axis];
            (0..window).step_by(PROBE).filter_map(move |offset| usize::try_from(start + offset as isize).ok())
        };
        inside(0).any(|z| inside(1).any(|y| inside(2).any(|x| self.lungs.get((z, y, x)).is_some_and(|&lung| lung))))
    }

    fn near_lungs(&self, center: [f64; 3]) -> bool {
        let (nz, ny, nx) = self.lungs.dim();
        let range = |at: f64, len: usize| {
            let at = at.round_ties_even() as isize;
            let low = at.saturating_sub(GATE).clamp(0, len as isize);
            low as usize..at.saturating_add(GATE + 1).clamp(low, len as isize) as usize
        };
        let near = [range(center[0], nz), range(center[1], ny), range(center[2], nx)];
        cut(&self.lungs, &near).iter().any(|&lung| lung)
    }
}

/// Runs the network over the region; windows run side by side on the threads of the current pool.
///
/// Returns candidates near the lungs, best first, none within reach of a better one.
pub fn detect(region: &Region, card: &Card, engine: &Engine) -> Result<Vec<Candidate>, ModelError> {
    let corners: Vec<_> = window_corners(region.hu.dim().into(), card);
    let touching = corners.into_par_iter().filter(|&corner| region.touches_lungs(corner, card.window()));
    let found: Result<Vec<_>, ModelError> = touching
        .map(|corner| {
            let output = engine.run(window(region, corner, card))?;
            decode(&output, corner, card)
        })
        .collect();
    let mut found: Vec<_> = found?.into_iter().flatten().collect();
    found.sort_by(|a, b| order(b).partial_cmp(&order(a)).unwrap_or(std::cmp::Ordering::Equal));
    found.truncate(card.output.top);
    Ok(suppress(&found).into_iter().filter(|candidate| region.near_lungs(candidate.center)).collect())
}

/// Corners of the windows, z, y, x. The first begins half an overlap before the region, so that the border that each
/// window leaves to its neighbour lies outside.
fn window_corners(size: [usize; 3], card: &Card) -> Vec<[isize; 3]> {
    let step = card.window() - card.input.overlap;
    let along = |len: usize| {
        let half = (card.input.overlap / 2) as isize;
        (0..len.div_ceil(step)).map(move |i| (i * step) as isize - half)
    };
    let plane = |z| along(size[1]).flat_map(move |y| along(size[2]).map(move |x| [z, y, x]));
    along(size[0]).flat_map(plane).collect()
}

fn window(region: &Region, corner: [isize; 3], card: &Card) -> Vec<f32> {
    let edge = card.window() as isize;
    let [low, high] = card.input.hu_to_unit;
    let mut values = Vec::with_capacity(card.window().pow(3));
    for z in corner[0]..corner[0] + edge {
        for y in corner[1]..corner[1] + edge {
            let line = (corner[2]..corner[2] + edge).map(|x| region.clamped([z, y, x]));
            values.extend(line.map(|hu| ((hu - low) / (high - low)).clamp(0.0, 1.0)));
        }
    }
    values
}

/// Cells of a window's inner part that score, as candidates of the region.
fn decode(output: &[f32], corner: [isize; 3], card: &Card) -> Result<Vec<Candidate>, ModelError> {
    let [_, channels, cells, _, _] = card.output.shape;
    let output = ArrayView4::from_shape((channels, cells, cells, cells), output);
    let output = output.map_err(|error| ModelError::Inference(error.to_string()))?;
    let stride = card.output.stride as f64;
    let border = card.input.drop_border / card.output.stride;
    let inner = border..cells - border;
    let mut candidates = Vec::new();
    for ((z, y, x), &logit) in output.index_axis(Axis(0), 0).indexed_iter() {
        let score = 1.0 / (1.0 + (-logit).exp());
        let cell = [z, y, x];
        if score > LEAST_SCORE && cell.iter().all(|at| inner.contains(at)) {
            let value = |channel: usize| f64::from(output[(channel, cell[0], cell[1], cell[2])]);
            let center =
                |i: usize| stride * (cell[i] as f64 + value(1 + i)) + card.output.cell_centre + corner[i] as f64;
            let diameter_mm = 8.0 * value(4).clamp(-2.0, 2.0).exp();
            candidates.push(Candidate { score, center: std::array::from_fn(center), diameter_mm });
        }
    }
    Ok(candidates)
}

/// Best first; ties by place, so that the same input gives the same order whatever the threads did.
fn order(candidate: &Candidate) -> (f32, [f64; 3], f64) {
    (candidate.score, candidate.center, candidate.diameter_mm)
}

/// Greedy non-maximum suppression by centre distance; `candidates` are best first.
fn suppress(candidates: &[Candidate]) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.iter().all(|better| apart(better, candidate)) {
            kept.push(*candidate);
        }
    }
    kept
}

fn apart(a: &Candidate, b: &Candidate) -> bool {
    let distance = (0..3).map(|i| (a.center[i] - b.center[i]).powi(2)).sum::<f64>().sqrt();
    distance > APART_MM.max(0.5 * a.diameter_mm.max(b.diameter_mm))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card() -> Card {
        Card::parse(include_str!("../models/nodule-demo/1/card.toml")).unwrap()
    }

    fn candidate(score: f32, x: f64, diameter_mm: f64) -> Candidate {
        Candidate { score, center: [50.0, 50.0, x], diameter_mm }
    }

    #[test]
    fn of_marks_within_reach_only_the_best_stays() {
        let marks = [
            candidate(0.9, 10.0, 6.0),
            candidate(0.8, 13.9, 6.0),
            candidate(0.7, 14.1, 6.0),
            candidate(0.6, 40.0, 60.0),
        ];
        assert_eq!(suppress(&marks), [marks[0], marks[2]]);
    }

    #[test]
    fn a_cell_is_decoded_to_its_place_in_the_region() {
        let card = card();
        let mut output = vec![-20.0; 5 * 24 * 24 * 24];
        let mut set = |channel: usize, value: f32| output[((channel * 24 + 3) * 24 + 4) * 24 + 5] = value;
        [20.0, 0.5, -0.25, 0.0, 0.0].into_iter().enumerate().for_each(|(channel, value)| set(channel, value));
        let found = decode(&output, [-12, 60, 132], &card).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].center, found[0].diameter_mm), ([3.5, 76.5, 153.5], 8.0));
    }

    #[test]
    fn the_border_of_a_window_is_left_to_its_neighbour() {
        let mut output = vec![-20.0; 5 * 24 * 24 * 24];
        output[(2 * 24 + 10) * 24 + 10] = 20.0;
        assert_eq!(decode(&output, [0; 3], &card()).unwrap(), []);
    }

    #[test]
    fn outputs_of_another_size_are_an_error() {
        assert!(decode(&[0.0; 7], [0; 3], &card()).is_err());
    }

    proptest! {
        #[test]
        fn the_inner_parts_of_the_windows_cover_the_region_once(size in prop::array::uniform3(1..200_usize)) {
            let card = card();
            let corners = window_corners(size, &card);
            for axis in 0..3 {
                let mut starts: Vec<_> = corners.iter().map(|corner| corner[axis] + 12).collect();
                starts.sort_unstable();
                starts.dedup();
                let expected: Vec<_> = (0..size[axis] as isize).step_by(72).collect();
                prop_assert_eq!(starts, expected);
            }
        }

        #[test]
        fn any_output_decodes_without_panic(values in prop::collection::vec(any::<f32>(), 5), at in prop::array::uniform3(any::<f64>())) {
            let output: Vec<f32> = values.iter().copied().cycle().take(5 * 24 * 24 * 24).collect();
            let found = decode(&output, [0; 3], &card()).unwrap();
            let region = Region { hu: Array3::zeros((4, 4, 4)), lungs: Array3::from_elem((4, 4, 4), true), corner: [0; 3] };
            let _ = (suppress(&found[..found.len().min(20)]), region.near_lungs(at));
        }
    }
}
