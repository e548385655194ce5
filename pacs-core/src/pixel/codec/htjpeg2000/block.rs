//! A code-block of high-throughput JPEG 2000, written: one cleanup pass down to the last bit (ISO/IEC 15444-15 §7.3, Annex F).

use super::streams::{Codes, Magnitudes, Runs};
use super::vlc::{Word, Words, index};

/// Most samples along a side of a code-block that is written here.
pub(super) const SIDE: usize = 64;
/// Quads of a row, and one more.
const QUADS: usize = SIDE / 2 + 1;

/// Encodes one block after the other; holds its buffers.
#[derive(Default)]
pub(super) struct BlockEncoder {
    magnitudes: Magnitudes,
    words: Codes,
    runs: Runs,
}

/// What the bottom samples of a row of quads leave for the row below, by place between quads.
#[derive(Clone, Copy, Default)]
struct Bottom {
    /// Largest exponent on either side.
    exponent: u32,
    /// Whether a sample on either side is significant.
    significant: u32,
}

/// Four samples: top left, bottom left, top right, bottom right.
#[derive(Clone, Copy, Default)]
struct Quad {
    /// One bit a sample.
    significant: u32,
    exponents: [u32; 4],
    largest: u32,
    /// Magnitude less one, and the sign in the lowest bit.
    values: [u32; 4],
}

impl Quad {
    #[inline(always)]
    fn of(samples: [i32; 4]) -> Self {
        let magnitudes = samples.map(i32::unsigned_abs);
        let exponents = magnitudes.map(|magnitude| u32::BITS - (magnitude << 1).saturating_sub(1).leading_zeros());
        let [a, b, c, d] = magnitudes.map(|magnitude| u32::from(magnitude != 0));
        let [e, f, g, h] = exponents;
        let value = |at: usize| magnitudes[at].wrapping_sub(1) << 1 | samples[at].cast_unsigned() >> 31;
        Self {
            significant: a | b << 1 | c << 2 | d << 3,
            exponents,
            largest: e.max(f).max(g.max(h)),
            values: [value(0), value(1), value(2), value(3)],
        }
    }

    /// Samples that have the largest exponent, if that is larger than predicted.
    #[inline]
    fn largest_of(&self, offset: u32) -> u32 {
        let is = |at: usize| u32::from(self.exponents[at] == self.largest) << at;
        if offset > 0 { is(0) | is(1) | is(2) | is(3) } else { 0 }
    }
}

impl BlockEncoder {
    /// Appends the coded block to `out`; tells how many bytes it has, 0 where all samples are zero.
    ///
    /// `row` gives each of `height` rows of `width` samples, both 1..=64.
    pub fn encode<'a>(
        &mut self,
        row: impl Fn(usize) -> &'a [i32],
        width: usize,
        height: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        if (0..height).all(|y| row(y).iter().all(|&sample| sample == 0)) {
            return 0;
        }
        self.magnitudes.clear();
        self.words.clear();
        self.runs.clear();
        let words = Words::get();
        let mut above = [Bottom::default(); QUADS + 1];
        // What is beyond the block counts as zero.
        let (mut top, mut bottom) = ([0; SIDE], [0; SIDE]);
        for y in (0..height).step_by(2) {
            top[..width].copy_from_slice(row(y));
            match y + 1 < height {
                true => bottom[..width].copy_from_slice(row(y + 1)),
                false => bottom.fill(0),
            }
            let pairs = top.as_chunks().0.iter().zip(bottom.as_chunks().0);
            let pairs = pairs.map(|(&[a, c, e, g], &[b, d, f, h])| [Quad::of([a, b, c, d]), Quad::of([e, f, g, h])]);
            match y {
                0 => self.first_row(&words.first, pairs, width.div_ceil(2), &mut above),
                _ => self.other_row(&words.other, pairs, width.div_ceil(2), &mut above),
            }
        }
        self.finish(out)
    }

    fn first_row(
        &mut self,
        words: &[Word; 2048],
        pairs: impl Iterator<Item = [Quad; 2]>,
        quads: usize,
        below: &mut [Bottom; QUADS + 1],
    ) {
        let mut context = 0;
        for (at, pair) in (0..quads).step_by(2).zip(pairs) {
            let mut offsets = [0; 2];
            let mut code = (0u64, 0u32);
            for (which, quad) in pair.into_iter().enumerate().take(quads - at) {
                leave(below, at + which, &quad);
                offsets[which] = self.quad(words, &quad, context, 1, &mut code);
                context = quad.significant >> 1 | quad.significant & 1;
            }
            let (word, length) = joined([code, self.first_offsets(offsets)]);
            self.words.put(word, length);
        }
    }

    /// Of the first row: there, two offsets are predicted to be more than two together (§7.3.6).
    fn first_offsets(&mut self, [first, second]: [u32; 2]) -> (u64, u32) {
        if first > 0 && second > 0 {
            self.runs.put(first.min(second) > 2);
        }
        if first > 2 && second > 2 {
            prefixes_and_suffixes(first - 2, second - 2)
        } else if first > 2 && second > 0 {
            // As the second is not more than two, one bit tells it.
            let (prefix, suffix) = offset_code(first);
            joined([prefix, (u64::from(second - 1), 1), suffix])
        } else {
            prefixes_and_suffixes(first, second)
        }
    }

    fn other_row(
        &mut self,
        words: &[Word; 2048],
        pairs: impl Iterator<Item = [Quad; 2]>,
        quads: usize,
        above: &mut [Bottom; QUADS + 1],
    ) {
        let mut below = [Bottom::default(); QUADS + 1];
        let mut left = 0;
        for (at, pair) in (0..quads).step_by(2).zip(pairs) {
            let mut offsets = [0; 2];
            let mut code = (0u64, 0u32);
            for (which, quad) in pair.into_iter().enumerate().take(quads - at) {
                leave(&mut below, at + which, &quad);
                let [left_above, right_above] = [above[at + which], above[at + which + 1]];
                let context = left_above.significant | right_above.significant << 2 | left;
                let is_several = quad.significant & quad.significant.wrapping_sub(1) != 0;
                let exponent = left_above.exponent.max(right_above.exponent);
                let predicted = if is_several { exponent.saturating_sub(1).max(1) } else { 1 };
                offsets[which] = self.quad(words, &quad, context, predicted, &mut code);
                left = (quad.significant & 4) >> 1 | (quad.significant & 8) >> 2;
            }
            let (word, length) = joined([code, prefixes_and_suffixes(offsets[0], offsets[1])]);
            self.words.put(word, length);
        }
        *above = below;
    }

    /// Writes what is told of one quad but its offset, which is returned: by how much its largest exponent is more than
    /// predicted.
    #[inline(always)]
    fn quad(&mut self, words: &[Word; 2048], quad: &Quad, context: u32, predicted: u32, code: &mut (u64, u32)) -> u32 {
        let bits = quad.largest.max(predicted);
        let offset = bits - predicted;
        let word = words[index(context, quad.significant, quad.largest_of(offset))];
        *code = joined([*code, (word.word.into(), word.length.into())]);
        if context == 0 {
            self.runs.put(quad.significant != 0);
        }
        let known = u32::from(word.known);
        let sample = |at: usize| {
            let length = (bits - (known >> at & 1)) * (quad.significant >> at & 1);
            (u64::from(quad.values[at]) & ((1 << length) - 1), length)
        };
        let samples = [sample(0), sample(1), sample(2), sample(3)];
        if bits <= 8 {
            let (value, length) = joined(samples);
            self.magnitudes.put(value, length);
        } else {
            samples.into_iter().for_each(|(value, length)| self.magnitudes.put(value, length));
        }
        offset
    }

    /// Puts the three streams together (§7.1).
    fn finish(&mut self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(self.magnitudes.finish());
        let fused_from = out.len();
        self.runs.finish_with(&mut self.words);
        out.extend_from_slice(&self.runs.bytes);
        out.extend(self.words.bytes.iter().rev());
        // The last twelve bits tell where the runs begin.
        let suffix = out.len() - fused_from;
        if let [.., before, last] = &mut out[start..] {
            *last = (suffix >> 4) as u8;
            *before = *before & 0xF0 | (suffix & 0xF) as u8;
        }
        out.len() - start
    }
}

/// Remembers the bottom samples of a quad for the row below.
#[inline]
fn leave(below: &mut [Bottom; QUADS + 1], at: usize, quad: &Quad) {
    let [_, left, _, right] = quad.exponents;
    below[at].exponent = below[at].exponent.max(left);
    below[at].significant |= quad.significant >> 1 & 1;
    below[at + 1] = Bottom { exponent: right, significant: quad.significant >> 3 };
}

/// Codes one after the other, the first in the lowest bits.
#[inline]
fn joined<const N: usize>(codes: [(u64, u32); N]) -> (u64, u32) {
    codes.into_iter().fold((0, 0), |(word, length), (next, more)| (word | next << length, length + more))
}

/// Prefix and suffix of an offset (Table 3); below 33, as samples have fewer bits.
#[inline]
fn offset_code(offset: u32) -> ((u64, u32), (u64, u32)) {
    match offset {
        0 => ((0, 0), (0, 0)),
        1 => ((1, 1), (0, 0)),
        2 => ((2, 2), (0, 0)),
        3 | 4 => ((4, 3), (u64::from(offset - 3), 1)),
        _ => ((0, 3), (u64::from(offset - 5), 5)),
    }
}

#[inline]
fn prefixes_and_suffixes(first: u32, second: u32) -> (u64, u32) {
    let ((a, b), (c, d)) = (offset_code(first), offset_code(second));
    joined([a, c, b, d])
}
