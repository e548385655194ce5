//! Inverse DCT in floating point (Arai, Agui and Nakajima's factorisation), which no coefficient can overflow.

use std::f32::consts::SQRT_2;

/// Factors that quantisation steps take over from the transform.
const SCALES: [f32; 8] = [1.0, 1.387_039_8, 1.306_563, 1.175_875_6, 1.0, 0.785_694_96, 0.541_196_1, 0.275_899_38];

/// Eight rows of eight values.
pub(super) type Square = [[f32; 8]; 8];

/// Steps (row by row) with the factors of the transform in them.
pub(super) fn scaled(steps: &[u16; 64]) -> Square {
    let mut square = Square::default();
    for (place, (row, &down)) in square.iter_mut().zip(&SCALES).enumerate() {
        for (column, (value, &across)) in row.iter_mut().zip(&SCALES).enumerate() {
            *value = f32::from(steps[place * 8 + column]) * down * across / 8.0;
        }
    }
    square
}

/// Dequantises and transforms a block; `steps` come from [`scaled`].
pub(super) fn inverse(block: &[i16; 64], steps: &Square) -> Square {
    let mut square = Square::default();
    for ((row, steps), coefficients) in square.iter_mut().zip(steps).zip(block.as_chunks::<8>().0) {
        for ((value, step), &coefficient) in row.iter_mut().zip(steps).zip(coefficients) {
            *value = f32::from(coefficient) * step;
        }
    }
    transpose(columns(transpose(columns(square))))
}

fn transpose(square: Square) -> Square {
    std::array::from_fn(|row| std::array::from_fn(|column| square[column][row]))
}

/// Transforms all columns at once: each row is a vector.
fn columns(rows: Square) -> Square {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows.map(Lanes);
    let (sum, difference) = (r0 + r4, r0 - r4);
    let outer = r2 + r6;
    let inner = (r2 - r6) * SQRT_2 - outer;
    let (e0, e3, e1, e2) = (sum + outer, sum - outer, difference + inner, difference - inner);
    let (z13, z10, z11, z12) = (r5 + r3, r5 - r3, r1 + r7, r1 - r7);
    let o7 = z11 + z13;
    let z5 = (z10 + z12) * 1.847_759;
    let o6 = z5 - z10 * 2.613_126 - o7;
    let o5 = (z11 - z13) * SQRT_2 - o6;
    let o4 = z5 - z12 * 1.082_392_2 - o5;
    [e0 + o7, e1 + o6, e2 + o5, e3 + o4, e3 - o4, e2 - o5, e1 - o6, e0 - o7].map(|lanes| lanes.0)
}

/// Eight values that the compiler keeps in one or two vector registers.
#[derive(Clone, Copy)]
struct Lanes([f32; 8]);

impl std::ops::Add for Lanes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl std::ops::Sub for Lanes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
}

impl std::ops::Mul<f32> for Lanes {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        Self(self.0.map(|value| value * factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::f64::consts::{FRAC_1_SQRT_2, PI};

    /// T.81 §A.3.3, as written there.
    fn by_definition(block: &[i16; 64], y: usize, x: usize) -> f64 {
        let c = |k: usize| if k == 0 { FRAC_1_SQRT_2 } else { 1.0 };
        let wave = |at: usize, k: usize| ((2 * at + 1) as f64 * k as f64 * PI / 16.0).cos();
        let term = |(i, &s): (usize, &i16)| c(i / 8) * c(i % 8) * f64::from(s) * wave(y, i / 8) * wave(x, i % 8);
        block.iter().enumerate().map(term).sum::<f64>() / 4.0
    }

    proptest! {
        #[test]
        fn the_transform_is_the_standards(block in prop::array::uniform32(-2000i16..2000)) {
            let mut coefficients = [0; 64];
            coefficients[..32].copy_from_slice(&block);
            let square = inverse(&coefficients, &scaled(&[1; 64]));
            for (place, value) in square.into_iter().flatten().enumerate() {
                prop_assert!((f64::from(value) - by_definition(&coefficients, place / 8, place % 8)).abs() < 0.05);
            }
        }
    }
}
