//! Coding parameters and the adaptive contexts of T.87 §A.2 and §A.6.

use crate::pixel::PixelError;

/// Regular contexts; two more follow for run interruption.
pub(super) const REGULAR: usize = 365;

/// LSE preset coding parameters; 0 means the default (T.87 §C.2.4.1.1.1).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Preset {
    pub largest: u16,
    pub thresholds: [u16; 3],
    pub reset: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    /// MAXVAL.
    pub largest: i32,
    pub near: i32,
    /// Size of a quantisation step: 2·NEAR + 1.
    pub step: i32,
    pub range: i32,
    /// Bits of a mapped error value.
    pub qbpp: u32,
    /// Longest code word.
    pub limit: u32,
    pub thresholds: [i32; 3],
    pub reset: i32,
}

impl Preset {
    pub fn complete(self, precision: u8, near: u8) -> Result<Parameters, PixelError> {
        let of_precision = (1i32 << precision) - 1;
        let largest = if self.largest == 0 { of_precision } else { self.largest.into() };
        let near = i32::from(near);
        if largest > of_precision || near > largest / 2 {
            return Err(PixelError::codec("preset coding parameters out of range"));
        }
        let step = 2 * near + 1;
        let range = (largest + 2 * near) / step + 1;
        let bpp = bits_for(largest + 1).max(2);
        let defaults = default_thresholds(largest, near);
        let mut thresholds = self.thresholds.map(i32::from);
        for (threshold, default) in thresholds.iter_mut().zip(defaults) {
            *threshold = if *threshold == 0 { default } else { *threshold };
        }
        let ascending = near < thresholds[0] && thresholds.is_sorted() && thresholds[2] <= largest;
        if !ascending {
            return Err(PixelError::codec("thresholds out of range"));
        }
        let reset = if self.reset == 0 { 64 } else { self.reset.into() };
        Ok(Parameters {
            largest,
            near,
            step,
            range,
            qbpp: bits_for(range),
            limit: 2 * (bpp + bpp.max(8)),
            thresholds,
            reset,
        })
    }
}

/// ⌈log2 n⌉ for n ≥ 1.
fn bits_for(n: i32) -> u32 {
    32 - (n - 1).leading_zeros()
}

fn default_thresholds(largest: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, least: i32| if value > largest || value < least { least } else { value };
    let basic = if largest >= 128 {
        let factor = (largest.min(4095) + 128) / 256;
        [factor + 2, 4 * factor + 3, 17 * factor + 4]
    } else {
        let factor = 256 / (largest + 1);
        [(3 / factor).max(2), (7 / factor).max(3), (21 / factor).max(4)]
    };
    let first = clamp(basic[0] + 3 * near, near + 1);
    let second = clamp(basic[1] + 5 * near, first);
    [first, second, clamp(basic[2] + 7 * near, second)]
}

impl Parameters {
    /// The quantised gradients of −largest..=largest.
    pub fn gradients(&self) -> Vec<i8> {
        (-self.largest..=self.largest).map(|gradient| self.quantise(gradient)).collect()
    }

    /// Gradient → −4..=4 (T.87 §A.3.3).
    fn quantise(&self, gradient: i32) -> i8 {
        let [first, second, third] = self.thresholds;
        let size = gradient.abs();
        let level = if size <= self.near {
            0
        } else if size < first {
            1
        } else if size < second {
            2
        } else if size < third {
            3
        } else {
            4
        };
        if gradient < 0 { -level } else { level }
    }

    /// Prediction and decoded error → sample (T.87 §A.4.5, §A.5.1).
    #[inline]
    pub fn reconstruct(&self, predicted: i32, error: i32) -> i32 {
        let period = self.range * self.step;
        let mut value = predicted + error * self.step;
        if value < -self.near {
            value += period;
        } else if value > self.largest + self.near {
            value -= period;
        }
        value.clamp(0, self.largest)
    }

    /// The steps of an error, to the nearest (T.87 §A.4.4).
    #[cfg(feature = "encode")]
    #[inline]
    pub fn steps(&self, error: i32) -> i32 {
        match self.near {
            0 => error,
            near if error > 0 => (error + near) / self.step,
            near => -((near - error) / self.step),
        }
    }

    /// The smallest number of steps that leads to the same sample (T.87 §A.4.5).
    #[cfg(feature = "encode")]
    #[inline]
    pub fn reduce(&self, error: i32) -> i32 {
        let positive = if error < 0 { error + self.range } else { error };
        if positive >= (self.range + 1) / 2 { positive - self.range } else { positive }
    }
}

/// A, B, C, N of a regular context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    sum: i32,
    bias: i32,
    pub correction: i32,
    count: i32,
}

impl Context {
    pub fn new(range: i32) -> Self {
        Self { sum: initial_sum(range), bias: 0, correction: 0, count: 1 }
    }

    /// The Golomb parameter (T.87 §A.5.1).
    #[inline]
    pub fn k(&self) -> u32 {
        golomb_parameter(self.count, self.sum)
    }

    /// Mapped error value → error (T.87 §A.5.2).
    #[inline]
    pub fn unmap(&self, mapped: i32, k: u32, near: i32) -> i32 {
        let error = (mapped >> 1) ^ -(mapped & 1);
        // With small errors that lean to one side the mapping is mirrored.
        if near == 0 && self.is_mirrored(k) { !error } else { error }
    }

    /// Error → mapped error value; the reverse of [`Self::unmap`].
    #[cfg(feature = "encode")]
    #[inline]
    pub fn map(&self, error: i32, k: u32, near: i32) -> u32 {
        let error = if near == 0 && self.is_mirrored(k) { !error } else { error };
        (error << 1 ^ error >> 31) as u32
    }

    #[inline]
    fn is_mirrored(&self, k: u32) -> bool {
        k == 0 && 2 * self.bias <= -self.count
    }

    /// Learns from an error (T.87 §A.6).
    #[inline]
    pub fn update(&mut self, error: i32, parameters: &Parameters) {
        self.sum = self.sum.saturating_add(error.abs());
        self.bias += error * parameters.step;
        if self.count == parameters.reset {
            self.sum >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.correction = (self.correction - 1).max(-128);
            self.bias = (self.bias + self.count).max(1 - self.count);
        } else if self.bias > 0 {
            self.correction = (self.correction + 1).min(127);
            self.bias = (self.bias - self.count).min(0);
        }
    }
}

/// A, N, Nn of a run interruption context.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunContext {
    sum: i32,
    count: i32,
    negative: i32,
    /// RItype: 1 where the interrupting sample's neighbours are alike.
    alike: i32,
}

impl RunContext {
    pub fn new(range: i32, alike: bool) -> Self {
        Self { sum: initial_sum(range), count: 1, negative: 0, alike: alike.into() }
    }

    pub fn k(&self) -> u32 {
        golomb_parameter(self.count, self.sum + self.alike * (self.count >> 1))
    }

    /// Mapped error value → error (T.87 §A.7.2).
    pub fn unmap(&self, mapped: i32, k: u32) -> i32 {
        let doubled = mapped + self.alike;
        let odd = doubled & 1 == 1;
        let size = (doubled + i32::from(odd)) / 2;
        if self.is_negative_odd(k) == odd { -size } else { size }
    }

    /// Error → mapped error value; the reverse of [`Self::unmap`].
    #[cfg(feature = "encode")]
    pub fn map(&self, error: i32, k: u32) -> u32 {
        let odd = error != 0 && (error < 0) == self.is_negative_odd(k);
        (2 * error.abs() - self.alike - i32::from(odd)) as u32
    }

    fn is_negative_odd(&self, k: u32) -> bool {
        k != 0 || 2 * self.negative >= self.count
    }

    pub fn update(&mut self, error: i32, mapped: i32, reset: i32) {
        self.negative += i32::from(error < 0);
        self.sum = self.sum.saturating_add((mapped + 1 - self.alike) >> 1);
        if self.count == reset {
            self.sum >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
    }
}

fn initial_sum(range: i32) -> i32 {
    ((range + 32) / 64).max(2)
}

/// The smallest k with `count << k >= sum`; errors have at most 16 bits, so it stays below 17.
#[inline]
fn golomb_parameter(count: i32, sum: i32) -> u32 {
    let (count, sum) = (count as u32, sum as u32);
    // Shifted so far, both have as many bits.
    let k = count.leading_zeros().saturating_sub(sum.leading_zeros());
    (k + u32::from(count << k < sum)).min(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_thresholds_are_those_of_the_standard() {
        let of = |precision, near| Preset::default().complete(precision, near).unwrap().thresholds;
        assert_eq!(of(8, 0), [3, 7, 21]);
        assert_eq!(of(12, 0), [18, 67, 276]);
        assert_eq!(of(16, 0), [18, 67, 276]);
        assert_eq!(of(8, 3), [12, 22, 42]);
    }

    #[test]
    fn the_golomb_parameter_is_the_smallest_that_shifts_the_count_to_the_sum() {
        for count in 1..70 {
            for sum in [0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 1000, 4095, 4096, 65_535 * 64] {
                let smallest = (0..16).find(|k| count << k >= sum).unwrap_or(16);
                assert_eq!(golomb_parameter(count, sum), smallest, "{count}, {sum}");
            }
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        assert!(Preset::default().complete(8, 128).is_err());
        assert!(Preset { largest: 256, ..Preset::default() }.complete(8, 0).is_err());
        assert!(Preset { thresholds: [9, 3, 21], ..Preset::default() }.complete(8, 0).is_err());
    }

    #[test]
    fn a_code_word_is_at_most_four_times_the_bits_of_a_sample() {
        let parameters = Preset::default().complete(16, 0).unwrap();
        assert_eq!((parameters.limit, parameters.qbpp, parameters.range), (64, 16, 65536));
    }
}
