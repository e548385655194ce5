//! One scan: regular mode, run mode and the interleave modes (T.87 Annexes A and B).

use super::bits::Bits;
use super::context::{Context, Parameters, REGULAR, RunContext};
use crate::pixel::PixelError;

/// J: bits of a run length by run index (T.87 §A.2.1).
pub(super) const RUN_BITS: [u8; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interleave {
    /// One component, or several line by line.
    Line,
    /// Several components pixel by pixel.
    Sample,
}

impl Interleave {
    pub fn of(mode: u8, components: usize) -> Result<Self, PixelError> {
        match (mode, components) {
            (_, 1) | (1, 2..=4) => Ok(Self::Line),
            (2, 2..=4) => Ok(Self::Sample),
            _ => Err(PixelError::codec("an unknown interleave mode")),
        }
    }
}

/// Decodes a scan to one plane a component. `size`: rows and columns.
pub(super) fn decode(
    data: &[u8],
    parameters: Parameters,
    size: (usize, usize),
    components: usize,
    interleave: Interleave,
) -> Result<Vec<Vec<u16>>, PixelError> {
    let (rows, columns) = size;
    let mut decoder = Decoder::new(data, parameters);
    let mut lines = vec![Line::new(columns); components];
    let mut planes = vec![Vec::with_capacity(rows * columns); components];
    for _ in 0..rows {
        lines.iter_mut().for_each(Line::begin);
        match interleave {
            Interleave::Line => lines.iter_mut().try_for_each(|line| decoder.line(line))?,
            Interleave::Sample => decoder.samples(&mut lines)?,
        }
        decoder.bits.check()?;
        for (plane, line) in planes.iter_mut().zip(&lines) {
            plane.extend(line.current.iter().skip(1).take(columns).map(|&v| v as u16));
        }
    }
    Ok(planes)
}

/// The line being decoded and the one above, with one sample more at either end (T.87 §A.2.1).
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub above: Vec<i32>,
    pub current: Vec<i32>,
    pub run_index: usize,
}

impl Line {
    pub fn new(columns: usize) -> Self {
        Self { above: vec![0; columns + 2], current: vec![0; columns + 2], run_index: 0 }
    }

    pub fn begin(&mut self) {
        std::mem::swap(&mut self.above, &mut self.current);
        let columns = self.above.len() - 2;
        self.current[0] = self.above[1];
        self.above[columns + 1] = self.above[columns];
    }

    pub fn columns(&self) -> usize {
        self.current.len() - 2
    }
}

/// Ra, Rb, Rc, Rd: left, above, above left, above right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbours {
    a: i32,
    b: i32,
    c: i32,
    d: i32,
}

impl Neighbours {
    /// Of the sample at `x` (from 1).
    #[inline]
    pub fn of(line: &Line, x: usize) -> Self {
        Self { a: line.current[x - 1], b: line.above[x], c: line.above[x - 1], d: line.above[x + 1] }
    }

    /// The median edge detector (T.87 §A.4.1).
    #[inline]
    pub fn predict(self) -> i32 {
        let (low, high) = (self.a.min(self.b), self.a.max(self.b));
        if self.c >= high {
            low
        } else if self.c <= low {
            high
        } else {
            self.a + self.b - self.c
        }
    }

    /// Signed context number of the local gradients (T.87 §A.3.4); 0 begins a run. `quantised` holds −largest..=largest.
    #[inline]
    pub fn context(self, quantised: &[i8], largest: i32) -> i32 {
        let of = |gradient: i32| i32::from(quantised[(gradient + largest) as usize]);
        81 * of(self.d - self.b) + 9 * of(self.b - self.c) + of(self.c - self.a)
    }
}

fn out_of_range() -> PixelError {
    PixelError::codec("a code word is too long, or an error value out of range")
}

struct Decoder<'a> {
    bits: Bits<'a>,
    parameters: Parameters,
    /// Quantised gradients −largest..=largest.
    gradients: Vec<i8>,
    contexts: Vec<Context>,
    run_contexts: [RunContext; 2],
}

impl<'a> Decoder<'a> {
    fn new(data: &'a [u8], parameters: Parameters) -> Self {
        let range = parameters.range;
        Self {
            bits: Bits::of(data),
            parameters,
            gradients: parameters.gradients(),
            contexts: vec![Context::new(range); REGULAR],
            run_contexts: [RunContext::new(range, false), RunContext::new(range, true)],
        }
    }

    /// One line of one component.
    fn line(&mut self, line: &mut Line) -> Result<(), PixelError> {
        let columns = line.columns();
        let mut x = 1;
        while x <= columns {
            let near = Neighbours::of(line, x);
            match self.context(near) {
                0 => x = self.run(line, x)?,
                context => {
                    line.current[x] = self.regular(near, context).ok_or_else(out_of_range)?;
                    x += 1;
                }
            }
        }
        Ok(())
    }

    /// One line of all components, pixel by pixel.
    fn samples(&mut self, lines: &mut [Line]) -> Result<(), PixelError> {
        let columns = lines.first().map_or(0, Line::columns);
        let mut x = 1;
        while x <= columns {
            if lines.iter().all(|line| self.context(Neighbours::of(line, x)) == 0) {
                x = self.run_of_pixels(lines, x)?;
                continue;
            }
            for line in &mut *lines {
                let near = Neighbours::of(line, x);
                line.current[x] = self.regular(near, self.context(near)).ok_or_else(out_of_range)?;
            }
            x += 1;
        }
        Ok(())
    }

    #[inline]
    fn context(&self, near: Neighbours) -> i32 {
        near.context(&self.gradients, self.parameters.largest)
    }

    /// One sample in regular mode.
    #[inline]
    fn regular(&mut self, near: Neighbours, context: i32) -> Option<i32> {
        let parameters = self.parameters;
        let index = context.unsigned_abs() as usize;
        let k = self.contexts[index].k();
        let mapped = self.golomb(k, parameters.limit)?;
        let context_of = &mut self.contexts[index];
        let correction = if context < 0 { -context_of.correction } else { context_of.correction };
        let predicted = (near.predict() + correction).clamp(0, parameters.largest);
        let error = context_of.unmap(mapped, k, parameters.near);
        context_of.update(error, &parameters);
        Some(parameters.reconstruct(predicted, if context < 0 { -error } else { error }))
    }

    /// A limited-length Golomb code word (T.87 §A.5.3); `None` where there is none, or one that cannot come from an encoder.
    #[inline]
    fn golomb(&mut self, k: u32, limit: u32) -> Option<i32> {
        let escape = limit - self.parameters.qbpp - 1;
        let zeros = self.bits.zeros(escape)?;
        let value = match zeros < escape {
            true => zeros << k | self.bits.take(k),
            false => self.bits.take(self.parameters.qbpp) + 1,
        };
        // A larger value is refused so that no sum overflows.
        Some(value as i32).filter(|value| *value <= 2 * self.parameters.range)
    }

    /// A run of one component from `x`; returns where the line goes on.
    fn run(&mut self, line: &mut Line, x: usize) -> Result<usize, PixelError> {
        let a = line.current[x - 1];
        let length = self.run_length(line.columns() + 1 - x, &mut line.run_index)?;
        line.current[x..x + length].fill(a);
        let x = x + length;
        if x > line.columns() {
            return Ok(x);
        }
        let b = line.above[x];
        let alike = (a - b).abs() <= self.parameters.near;
        let error = self.interruption(alike, line.run_index).ok_or_else(out_of_range)?;
        line.current[x] = match alike {
            true => self.parameters.reconstruct(a, error),
            false => self.parameters.reconstruct(b, if a > b { -error } else { error }),
        };
        line.run_index = line.run_index.saturating_sub(1);
        Ok(x + 1)
    }

    /// A run of whole pixels; the run index of the first component counts (T.87 §B.3).
    fn run_of_pixels(&mut self, lines: &mut [Line], x: usize) -> Result<usize, PixelError> {
        let Some((columns, mut run_index)) = lines.first().map(|line| (line.columns(), line.run_index)) else {
            return Ok(x);
        };
        let length = self.run_length(columns + 1 - x, &mut run_index)?;
        let end = x + length;
        for line in &mut *lines {
            let a = line.current[x - 1];
            line.current[x..end].fill(a);
            if end <= columns {
                let b = line.above[end];
                let error = self.interruption(false, run_index).ok_or_else(out_of_range)?;
                line.current[end] = self.parameters.reconstruct(b, if a > b { -error } else { error });
            }
        }
        if end <= columns {
            run_index = run_index.saturating_sub(1);
        }
        lines.iter_mut().for_each(|line| line.run_index = run_index);
        Ok(end + 1)
    }

    /// Length of a run, at most `room` (T.87 §A.7.1).
    fn run_length(&mut self, room: usize, run_index: &mut usize) -> Result<usize, PixelError> {
        let mut length = 0;
        while self.bits.take(1) == 1 {
            let step = 1 << RUN_BITS[*run_index];
            if step <= room - length {
                length += step;
                *run_index = (*run_index + 1).min(RUN_BITS.len() - 1);
            } else {
                length = room;
            }
            if length == room {
                return Ok(room);
            }
        }
        length += self.bits.take(RUN_BITS[*run_index].into()) as usize;
        match length <= room {
            true => Ok(length),
            false => Err(PixelError::codec("a run leaves its line")),
        }
    }

    /// Error of the sample that ends a run (T.87 §A.7.2).
    fn interruption(&mut self, alike: bool, run_index: usize) -> Option<i32> {
        let k = self.run_contexts[usize::from(alike)].k();
        let mapped = self.golomb(k, self.parameters.limit - u32::from(RUN_BITS[run_index]) - 1)?;
        let context = &mut self.run_contexts[usize::from(alike)];
        let error = context.unmap(mapped, k);
        context.update(error, mapped, self.parameters.reset);
        Some(error)
    }
}
