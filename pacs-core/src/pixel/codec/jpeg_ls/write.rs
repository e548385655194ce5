//! A scan, written: the reverse of `scan` (T.87 Annexes A and B).

use super::context::{Context, Parameters, REGULAR, RunContext};
use super::scan::{Line, Neighbours, RUN_BITS};

/// Encodes interleaved samples of `components` components, each 0..=MAXVAL, line by line.
pub(super) fn encode(samples: &[i32], parameters: Parameters, columns: usize, components: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(parameters);
    let mut lines = vec![Line::new(columns); components];
    for row in samples.chunks_exact(columns * components) {
        for (component, line) in lines.iter_mut().enumerate() {
            line.begin();
            let samples = row.iter().skip(component).step_by(components);
            line.current.iter_mut().skip(1).zip(samples).for_each(|(place, &sample)| *place = sample);
            encoder.line(line);
        }
    }
    encoder.bits.finish()
}

struct Encoder {
    bits: Bits,
    parameters: Parameters,
    /// Quantised gradients −largest..=largest.
    gradients: Vec<i8>,
    contexts: Vec<Context>,
    run_contexts: [RunContext; 2],
}

impl Encoder {
    fn new(parameters: Parameters) -> Self {
        let range = parameters.range;
        Self {
            bits: Bits::default(),
            parameters,
            gradients: parameters.gradients(),
            contexts: vec![Context::new(range); REGULAR],
            run_contexts: [RunContext::new(range, false), RunContext::new(range, true)],
        }
    }

    fn line(&mut self, line: &mut Line) {
        let columns = line.columns();
        let mut x = 1;
        while x <= columns {
            let near = Neighbours::of(line, x);
            x = match near.context(&self.gradients, self.parameters.largest) {
                0 => self.run(line, x),
                context => {
                    line.current[x] = self.regular(line.current[x], near, context);
                    x + 1
                }
            };
        }
    }

    /// One sample in regular mode (T.87 §A.4, §A.5); returns what a reader makes of it.
    #[inline]
    fn regular(&mut self, sample: i32, near: Neighbours, context: i32) -> i32 {
        let parameters = self.parameters;
        let of = &mut self.contexts[context.unsigned_abs() as usize];
        let correction = if context < 0 { -of.correction } else { of.correction };
        let predicted = (near.predict() + correction).clamp(0, parameters.largest);
        let error = parameters.steps(if context < 0 { predicted - sample } else { sample - predicted });
        let error = parameters.reduce(error);
        let k = of.k();
        let mapped = of.map(error, k, parameters.near);
        of.update(error, &parameters);
        self.golomb(mapped, k, parameters.limit);
        parameters.reconstruct(predicted, if context < 0 { -error } else { error })
    }

    /// A limited-length Golomb code word (T.87 §A.5.3).
    #[inline]
    fn golomb(&mut self, mapped: u32, k: u32, limit: u32) {
        let escape = limit - self.parameters.qbpp - 1;
        let high = mapped >> k;
        let word = 1 << k | mapped & ((1 << k) - 1);
        if high < escape && high + k < 32 {
            self.bits.put(word, high + k + 1);
        } else if high < escape {
            self.bits.zeros(high);
            self.bits.put(word, k + 1);
        } else {
            self.bits.zeros(escape);
            self.bits.put(1 << self.parameters.qbpp | (mapped - 1), self.parameters.qbpp + 1);
        }
    }

    /// A run from `x`; returns where the line goes on (T.87 §A.7).
    fn run(&mut self, line: &mut Line, x: usize) -> usize {
        let a = line.current[x - 1];
        let (columns, near) = (line.columns(), self.parameters.near);
        let rest = &mut line.current[x..=columns];
        let length = rest.iter().position(|&sample| (sample - a).abs() > near).unwrap_or(rest.len());
        rest[..length].fill(a);
        let ends_line = length == rest.len();
        self.run_length(length, ends_line, &mut line.run_index);
        let x = x + length;
        if !ends_line {
            line.current[x] = self.interruption(line.current[x], a, line.above[x], line.run_index);
            line.run_index = line.run_index.saturating_sub(1);
        }
        x + 1
    }

    fn run_length(&mut self, length: usize, ends_line: bool, run_index: &mut usize) {
        let mut left = length;
        while left >= 1 << RUN_BITS[*run_index] {
            self.bits.put(1, 1);
            left -= 1 << RUN_BITS[*run_index];
            *run_index = (*run_index + 1).min(RUN_BITS.len() - 1);
        }
        match ends_line {
            true if left > 0 => self.bits.put(1, 1),
            true => {}
            // A zero, then what is left.
            false => self.bits.put(left as u32, u32::from(RUN_BITS[*run_index]) + 1),
        }
    }

    /// The sample that ends a run, between `a` to its left and `b` above it (T.87 §A.7.2); returns what a reader makes
    /// of it.
    fn interruption(&mut self, sample: i32, a: i32, b: i32, run_index: usize) -> i32 {
        let parameters = self.parameters;
        let alike = (a - b).abs() <= parameters.near;
        let predicted = if alike { a } else { b };
        let is_negated = !alike && a > b;
        let error = parameters.steps(if is_negated { predicted - sample } else { sample - predicted });
        let error = parameters.reduce(error);
        let context = &mut self.run_contexts[usize::from(alike)];
        let k = context.k();
        let mapped = context.map(error, k);
        context.update(error, mapped as i32, parameters.reset);
        self.golomb(mapped, k, parameters.limit - u32::from(RUN_BITS[run_index]) - 1);
        parameters.reconstruct(predicted, if is_negated { -error } else { error })
    }
}

/// Bits to bytes; the byte after 0xFF has a zero before its seven bits (T.87 §9.1).
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Bits not yet written, right-aligned; fewer than 32 between calls.
    cache: u64,
    held: u32,
    /// The last byte was 0xFF.
    is_stuffed: bool,
}

impl Bits {
    /// The lowest `count` (0..=32) bits of `value`.
    #[inline]
    fn put(&mut self, value: u32, count: u32) {
        self.cache = self.cache << count | u64::from(value);
        self.held += count;
        if self.held >= 32 {
            self.word();
        }
    }

    /// The first 32 bits, or those of them that fit four bytes.
    #[inline]
    fn word(&mut self) {
        let word = ((self.cache >> (self.held - 32)) as u32).to_be_bytes();
        if self.is_stuffed || word.contains(&0xFF) {
            return (0..4).for_each(|_| self.byte());
        }
        self.bytes.extend_from_slice(&word);
        self.held -= 32;
    }

    fn byte(&mut self) {
        let width = if self.is_stuffed { 7 } else { 8 };
        self.held -= width;
        let byte = (self.cache >> self.held & ((1 << width) - 1)) as u8;
        self.bytes.push(byte);
        self.is_stuffed = byte == 0xFF;
    }

    fn zeros(&mut self, count: u32) {
        for at in (0..count).step_by(32) {
            self.put(0, (count - at).min(32));
        }
    }

    /// Fills the last byte with zeros; it is never 0xFF, for a marker follows.
    fn finish(mut self) -> Vec<u8> {
        let width = |is_stuffed| if is_stuffed { 7 } else { 8 };
        while self.held >= width(self.is_stuffed) {
            self.byte();
        }
        if self.held > 0 || self.is_stuffed {
            let missing = width(self.is_stuffed) - self.held;
            self.cache <<= missing;
            self.held += missing;
            self.byte();
        }
        if self.is_stuffed {
            self.bytes.push(0);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_stuffed_after_ff_also_at_the_end() {
        let mut bits = Bits::default();
        bits.put(0xFFFF, 16);
        bits.put(1, 1);
        assert_eq!(bits.finish(), [0xFF, 0x7F, 0xC0]);
        let mut bits = Bits::default();
        bits.put(0xFF, 8);
        assert_eq!(bits.finish(), [0xFF, 0]);
        assert_eq!(Bits::default().finish(), [0; 0]);
    }
}
