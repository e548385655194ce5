//! Lossless scans (T.81 Annex H): differences to a prediction, all predictors, point transform, restart intervals.

use super::bits::Bits;
use super::header::{FrameHeader, ScanHeader, Tables};
use super::huffman::HuffmanTable;
use crate::pixel::PixelError;

/// One plane a component, empty until its scan has come.
pub(super) struct Planes {
    columns: usize,
    rows: usize,
    planes: Vec<Vec<u16>>,
}

impl Planes {
    pub fn of(frame: &FrameHeader) -> Result<Self, PixelError> {
        let (across, down) = frame.largest_factors();
        if frame.components.iter().any(|c| (c.across, c.down) != (across, down)) {
            return Err(PixelError::codec("subsampled lossless components"));
        }
        let planes = vec![Vec::new(); frame.components.len()];
        Ok(Self { columns: frame.columns.into(), rows: frame.rows.into(), planes })
    }

    /// Samples in pixel order; a component without a scan is an error.
    pub fn interleave(&self) -> Result<Vec<i32>, PixelError> {
        if self.planes.iter().any(|plane| plane.len() != self.columns * self.rows) {
            return Err(PixelError::codec("a component has no scan"));
        }
        let count = self.planes.len();
        let mut values = vec![0; self.columns * self.rows * count];
        for (index, plane) in self.planes.iter().enumerate() {
            let places = values.iter_mut().skip(index).step_by(count);
            places.zip(plane).for_each(|(place, &sample)| *place = sample.into());
        }
        Ok(values)
    }
}

/// Decodes one scan into `planes`.
pub(super) fn decode(
    data: &[u8],
    frame: &FrameHeader,
    scan: &ScanHeader,
    tables: &Tables,
    planes: &mut Planes,
) -> Result<(), PixelError> {
    let (columns, rows) = (planes.columns, planes.rows);
    let lines_per_interval = lines_per_interval(tables.restart_interval, columns, rows)?;
    let initial = 1i32 << frame.precision.saturating_sub(scan.low + 1);
    let mut tables_of = Vec::new();
    for &(_, dc, _) in &scan.components {
        tables_of.push(tables.dc(dc)?);
    }
    let mut intervals = Bits::intervals(data);
    let mut bits = Bits::of(&[]);
    let mut decoded = vec![Vec::with_capacity(columns * rows); scan.components.len()];
    let mut differences = vec![vec![0u16; columns]; scan.components.len()];
    for row in 0..rows {
        let first = row % lines_per_interval == 0;
        if first {
            bits = intervals.next().ok_or_else(|| PixelError::codec("a restart interval is missing"))?;
        }
        read_differences(&mut bits, &tables_of, &mut differences)?;
        for (plane, differences) in decoded.iter_mut().zip(&differences) {
            line(plane, differences, first, initial, scan.start)?;
        }
    }
    for (&(index, ..), mut plane) in scan.components.iter().zip(decoded) {
        if scan.low > 0 {
            plane.iter_mut().for_each(|sample| *sample = sample.unbounded_shl(scan.low.into()));
        }
        if let Some(place) = planes.planes.get_mut(index) {
            *place = plane;
        }
    }
    Ok(())
}

/// Restart intervals are whole lines (T.81 §H.1.1).
fn lines_per_interval(interval: usize, columns: usize, rows: usize) -> Result<usize, PixelError> {
    match interval {
        0 => Ok(rows),
        _ if interval.is_multiple_of(columns) => Ok(interval / columns),
        _ => Err(PixelError::codec("a restart interval that is no whole number of lines")),
    }
}

/// The differences of one line, components interleaved by sample (T.81 §H.1.2.2).
fn read_differences(bits: &mut Bits<'_>, tables: &[&HuffmanTable], lines: &mut [Vec<u16>]) -> Result<(), PixelError> {
    if let ([table], [line]) = (tables, &mut *lines) {
        for difference in line {
            *difference = read_difference(bits, table)?;
        }
        return bits.check();
    }
    for x in 0..lines.first().map_or(0, Vec::len) {
        for (table, line) in tables.iter().zip(&mut *lines) {
            let difference = read_difference(bits, table)?;
            if let Some(place) = line.get_mut(x) {
                *place = difference;
            }
        }
    }
    bits.check()
}

/// A difference modulo 2¹⁶; category 16 has no bits of its own.
#[inline]
fn read_difference(bits: &mut Bits<'_>, table: &HuffmanTable) -> Result<u16, PixelError> {
    match table.decode(bits)? {
        16 => Ok(0x8000),
        size @ 0..=15 => Ok(bits.signed(size.into()) as u16),
        _ => Err(PixelError::codec("a difference out of range")),
    }
}

/// Appends one line to `plane` (T.81 §H.1.2.1, Table H.1).
fn line(
    plane: &mut Vec<u16>,
    differences: &[u16],
    first: bool,
    initial: i32,
    predictor: usize,
) -> Result<(), PixelError> {
    let above = plane.len().saturating_sub(differences.len());
    if first || predictor == 1 {
        let begin = if first { initial as u16 } else { plane.get(above).copied().unwrap_or_default() };
        accumulate(plane, begin, differences);
        return Ok(());
    }
    let predict: fn(i32, i32, i32) -> i32 = match predictor {
        2 => |_, b, _| b,
        3 => |_, _, c| c,
        4 => |a, b, c| a + b - c,
        5 => |a, b, c| a + ((b - c) >> 1),
        6 => |a, b, c| b + ((a - c) >> 1),
        7 => |a, b, _| (a + b) / 2,
        _ => return Err(PixelError::codec("an unknown predictor")),
    };
    let (mut a, mut c) = (0, 0);
    for (x, &difference) in differences.iter().enumerate() {
        let b = i32::from(plane.get(above + x).copied().unwrap_or_default());
        let predicted = if x == 0 { b } else { predict(a, b, c) };
        let sample = (predicted as u16).wrapping_add(difference);
        plane.push(sample);
        (a, c) = (sample.into(), b);
    }
    Ok(())
}

/// Every sample is predicted by the one to its left, the first one by `begin`.
fn accumulate(plane: &mut Vec<u16>, begin: u16, differences: &[u16]) {
    plane.extend(differences.iter().scan(begin, |sample, &difference| {
        *sample = sample.wrapping_add(difference);
        Some(*sample)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(predictor: usize, expected: [u16; 3]) {
        let mut plane = vec![10, 20, 40];
        line(&mut plane, &[1, 2, 3], false, 128, predictor).unwrap();
        assert_eq!(plane[3..], expected, "predictor {predictor}");
    }

    #[test]
    fn every_predictor_of_the_table_is_applied() {
        check(1, [11, 13, 16]);
        check(2, [11, 22, 43]);
        check(3, [11, 12, 23]);
        check(4, [11, 23, 46]);
        check(5, [11, 18, 31]);
        check(6, [11, 22, 44]);
        check(7, [11, 17, 31]);
    }

    #[test]
    fn the_first_line_of_an_interval_starts_in_the_middle_of_the_range() {
        let mut plane = Vec::new();
        line(&mut plane, &[1, 0xFFFF], true, 128, 4).unwrap();
        assert_eq!(plane, [129, 128]);
        assert!(line(&mut plane, &[1, 1], false, 128, 8).is_err());
    }

    #[test]
    fn a_restart_interval_is_a_whole_number_of_lines() {
        assert_eq!(lines_per_interval(0, 4, 9).unwrap(), 9);
        assert_eq!(lines_per_interval(8, 4, 9).unwrap(), 2);
        assert!(lines_per_interval(6, 4, 9).is_err());
    }
}
