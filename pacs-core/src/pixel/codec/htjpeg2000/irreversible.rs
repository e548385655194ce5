//! The irreversible 9/7 transform and its quantisation, forward (ISO/IEC 15444-1 §F.4.8.2, Annex E).
//!
//! Rows and columns come to lie as those of the reversible transform do.

use super::wavelet::with_neighbours;

/// Lifting factors: of odd, even, odd, even samples (Table F.4).
const LIFTING: [f32; 4] = [-1.586_134_3, -0.052_980_12, 0.882_911_1, 0.443_506_85];
/// High frequencies are multiplied by it, low ones divided.
const K: f32 = 1.230_174_1;

/// How much an error in a sample of a sub-band counts in the image, by decompositions: the low one, those that are high one way,
/// and the one that is high both ways; per unit of the sub-band's own gain.
const NORMS: [[f64; 10]; 3] = [
    [1.0, 1.965, 4.177, 8.403, 16.90, 33.84, 67.69, 135.3, 270.6, 540.9],
    [2.022, 3.989, 8.355, 17.04, 34.27, 68.63, 137.3, 274.6, 549.0, 1098.0],
    [2.080, 3.865, 8.307, 17.18, 34.71, 69.59, 139.3, 278.6, 557.2, 1114.4],
];

/// Transforms rows of one length once, both ways.
pub(super) fn forward(rows: &mut [&mut [f32]], scratch: &mut Vec<f32>) {
    if rows.len() > 1 {
        for (step, factor) in LIFTING.into_iter().enumerate() {
            (usize::from(step % 2 == 0)..rows.len()).step_by(2).for_each(|at| lift_row(rows, at, factor));
        }
        for (at, row) in rows.iter_mut().enumerate() {
            let scale = scale(at);
            row.iter_mut().for_each(|sample| *sample *= scale);
        }
    }
    rows.iter_mut().for_each(|row| across(row, scratch));
}

const fn scale(at: usize) -> f32 {
    if at % 2 == 1 { K } else { 1.0 / K }
}

/// Adds the neighbours of a row to it, mirrored at the ends.
fn lift_row(rows: &mut [&mut [f32]], at: usize, factor: f32) {
    let Some((row, [above, below])) = with_neighbours(rows, at) else { return };
    for ((sample, above), below) in row.iter_mut().zip(above).zip(below) {
        *sample += factor * (above + below);
    }
}

/// One row into its low and its high half.
fn across(row: &mut [f32], line: &mut Vec<f32>) {
    if row.len() < 2 {
        return;
    }
    line.clear();
    line.extend_from_slice(row);
    for (step, factor) in LIFTING.into_iter().enumerate() {
        for at in (usize::from(step % 2 == 0)..line.len()).step_by(2) {
            let before = line[if at > 0 { at - 1 } else { at + 1 }];
            let after = line[if at + 1 < line.len() { at + 1 } else { at - 1 }];
            line[at] += factor * (before + after);
        }
    }
    let (low, high) = row.split_at_mut(line.len().div_ceil(2));
    low.iter_mut().zip(line.iter().step_by(2)).for_each(|(low, sample)| *low = sample * scale(0));
    high.iter_mut().zip(line.iter().skip(1).step_by(2)).for_each(|(high, sample)| *high = sample * scale(1));
}

/// A quantisation step as it is written: 2^(`range` − exponent) · (1 + mantissa / 2^11), the range being that of the sub-band in
/// bits (§E.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub exponent: u32,
    pub mantissa: u32,
}

impl Step {
    /// The step of a sub-band that spoils the image as much as steps of `base` in the image itself would. `gain`: binary logarithm
    /// of its gain.
    pub fn of(base: f64, gain: u32, decompositions: u32, range: u32) -> Self {
        let place = if gain == 0 { decompositions } else { decompositions - 1 };
        let norms = NORMS[gain.min(2) as usize];
        let wanted = base * f64::from(1u32 << gain) / norms[(place as usize).min(norms.len() - 1)];
        let logarithm = wanted.log2().floor();
        let exponent = (f64::from(range) - logarithm).clamp(1.0, 31.0) as u32;
        let mantissa = ((wanted / 2f64.powf(logarithm) - 1.0) * 2048.0).clamp(0.0, 2047.0) as u32;
        Self { exponent, mantissa }
    }

    pub fn size(self, range: u32) -> f32 {
        2f32.powi(range as i32 - self.exponent as i32) * (1.0 + self.mantissa as f32 / 2048.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_of_one_value_stays_in_the_low_band_as_it_is() {
        let mut plane = [100.0; 7 * 9];
        let mut rows: Vec<&mut [f32]> = plane.chunks_mut(9).collect();
        forward(&mut rows, &mut Vec::new());
        for (y, row) in plane.chunks(9).enumerate() {
            for (x, &sample) in row.iter().enumerate() {
                let expected = if y % 2 == 0 && x < 5 { 100.0 } else { 0.0 };
                assert!((sample - expected).abs() < 0.01, "{x}, {y}: {sample}");
            }
        }
    }

    #[test]
    fn a_step_is_written_to_three_digits() {
        for (gain, decompositions) in [(0, 5), (1, 1), (1, 4), (2, 1)] {
            let step = Step::of(3.0, gain, decompositions, 12 + gain);
            let place = if gain == 0 { decompositions } else { decompositions - 1 };
            let wanted = 3.0 * f64::from(1u32 << gain) / NORMS[gain as usize][place as usize];
            assert!((f64::from(step.size(12 + gain)) / wanted - 1.0).abs() < 0.001, "{step:?}");
        }
    }
}
