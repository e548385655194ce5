//! Coefficients → samples: dequantisation, transform, level shift and upsampling (T.81 §A.3, §A.1.1).

use super::dct::{BlockGrid, Coefficients};
use super::header::{FrameHeader, Tables, ZIGZAG};
use super::idct;
use crate::pixel::PixelError;

/// Samples of one component, whole blocks.
struct Plane {
    stride: usize,
    samples: Vec<u16>,
}

/// Interleaved samples of the image.
pub(super) fn from_coefficients(
    frame: &FrameHeader,
    tables: &Tables,
    coefficients: &Coefficients,
) -> Result<Vec<i32>, PixelError> {
    let count = frame.components.len();
    let mut values = vec![0; usize::from(frame.rows) * usize::from(frame.columns) * count];
    for (index, (component, grid)) in frame.components.iter().zip(&coefficients.components).enumerate() {
        let steps = tables.quantisation.get(component.quantisation).and_then(Option::as_ref);
        let steps = steps.ok_or_else(|| PixelError::codec("a quantisation table is missing"))?;
        let plane = plane(grid, steps, frame.precision);
        let size = frame.component_size(component);
        let places = values.iter_mut().skip(index).step_by(count);
        if size == (frame.columns.into(), frame.rows.into()) {
            let rows = plane.samples.chunks(plane.stride).take(size.1);
            let samples = rows.flat_map(|row| row.iter().take(size.0));
            places.zip(samples).for_each(|(place, &sample)| *place = sample.into());
        } else {
            upsample(&plane, size, frame, places);
        }
    }
    Ok(values)
}

fn plane(grid: &BlockGrid, steps: &[u16; 64], precision: u8) -> Plane {
    let mut in_rows = [0; 64];
    for (&place, &step) in ZIGZAG.iter().zip(steps) {
        in_rows[usize::from(place)] = step;
    }
    let steps = idct::scaled(&in_rows);
    let (middle, largest) = ((1u32 << (precision - 1)) as f32, ((1u32 << precision) - 1) as f32);
    let stride = grid.stride * 8;
    let mut samples = vec![0u16; grid.blocks.len() * 64];
    for (blocks, rows) in grid.blocks.chunks(grid.stride).zip(samples.chunks_mut(stride * 8)) {
        for (column, block) in blocks.iter().enumerate() {
            let square = idct::inverse(block, &steps);
            for (row, values) in rows.chunks_mut(stride).zip(&square) {
                for (sample, value) in row.iter_mut().skip(column * 8).zip(values) {
                    *sample = (value + middle + 0.5).clamp(0.0, largest) as u16;
                }
            }
        }
    }
    Plane { stride, samples }
}

/// Spreads a subsampled component over the image by linear interpolation between sample centres.
fn upsample<'a>(
    plane: &Plane,
    size: (usize, usize),
    frame: &FrameHeader,
    mut places: impl Iterator<Item = &'a mut i32>,
) {
    let across = Axis::of(size.0, frame.columns.into());
    let down = Axis::of(size.1, frame.rows.into());
    let sample =
        |row: usize, column: usize| u32::from(plane.samples.get(row * plane.stride + column).copied().unwrap_or(0));
    for &(top, bottom, below) in &down.0 {
        for (&(left, right, beside), place) in across.0.iter().zip(&mut places) {
            let mix = |row| sample(row, left) * (ONE - beside) + sample(row, right) * beside;
            let value = mix(top) * (ONE - below) + mix(bottom) * below;
            *place = (value + ONE * ONE / 2).div_euclid(ONE * ONE) as i32;
        }
    }
}

/// The weight 1 of an interpolation.
const ONE: u32 = 64;

/// For every place of the image along one axis: the two samples around it and the weight of the second.
struct Axis(Vec<(usize, usize, u32)>);

impl Axis {
    fn of(samples: usize, places: usize) -> Self {
        let ratio = samples as f64 / places as f64;
        let last = samples.saturating_sub(1);
        let place = |at: usize| {
            let centre = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, last as f64);
            let first = centre as usize;
            (first, (first + 1).min(last), ((centre - first as f64) * f64::from(ONE)).round() as u32)
        };
        Self((0..places).map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halved_chroma_is_interpolated_three_to_one() {
        assert_eq!(Axis::of(2, 4).0, [(0, 1, 0), (0, 1, 16), (0, 1, 48), (1, 1, 0)]);
    }
}
