//! JPEG Lossless, Selection Value 1, written (T.81 Annex H): every sample is predicted by the one to its left.

use super::DHT;
use crate::pixel::codec::segments::{self, EOI, SOS};
use crate::pixel::{ImagePixel, PixelError};

const SOF3: u8 = 0xC3;
/// Differences have 0 to 16 bits.
const CATEGORIES: usize = 17;
const MAX_LENGTH: u8 = 16;

/// Encodes interleaved samples, 0..2^`precision`, as one scan without restart intervals, with a Huffman table made for it.
/// `precision`: 2..=16.
pub(in crate::pixel) fn encode(image: &ImagePixel, precision: u8, samples: &[i32]) -> Result<Vec<u8>, PixelError> {
    if samples.iter().any(|sample| !(0..1 << precision).contains(sample)) {
        return Err(PixelError::codec("a sample has more bits than Bits Stored"));
    }
    let differences = differences(image, precision, samples);
    let mut counts = [0u32; CATEGORIES];
    differences.iter().for_each(|&difference| counts[category(difference)] += 1);
    let table = Table::of(&lengths(counts));
    let mut encoded = header(image, precision, &table);
    let mut bits = Bits { bytes: &mut encoded, cache: 0, held: 0 };
    differences.into_iter().for_each(|difference| bits.difference(&table, difference));
    bits.finish();
    encoded.extend([0xFF, EOI]);
    Ok(encoded)
}

/// To the sample on the left, at the start of a line to the one above, at first to the middle of the range; modulo 2¹⁶
/// (T.81 §H.1.2.1).
fn differences(image: &ImagePixel, precision: u8, samples: &[i32]) -> Vec<i16> {
    let components = usize::from(image.samples_per_pixel);
    let mut above = vec![1 << (precision - 1); components];
    let mut differences = Vec::with_capacity(samples.len());
    for row in samples.chunks_exact(usize::from(image.columns) * components) {
        let before = above.iter().chain(row);
        differences.extend(row.iter().zip(before).map(|(sample, before)| (sample - before) as i16));
        above.copy_from_slice(&row[..components]);
    }
    differences
}

/// Number of bits that tell a difference from others of its kind (T.81 Table H.2).
fn category(difference: i16) -> usize {
    (u16::BITS - difference.unsigned_abs().leading_zeros()) as usize
}

/// Lengths of the codes of all symbols that occur; the code of ones stays free (T.81 §K.2).
fn lengths(mut counts: [u32; CATEGORIES]) -> [u8; CATEGORIES] {
    loop {
        let lengths = unlimited_lengths(&counts);
        if lengths.iter().all(|&length| length <= MAX_LENGTH) {
            return lengths;
        }
        counts.iter_mut().for_each(|count| *count = count.div_ceil(2));
    }
}

fn unlimited_lengths(counts: &[u32; CATEGORIES]) -> [u8; CATEGORIES] {
    // One more than the symbols: it keeps a place free.
    let mut lengths = [0u8; CATEGORIES + 1];
    let occurring = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let mut groups: Vec<(u64, Vec<usize>)> = occurring.map(|(at, &count)| (count.into(), vec![at])).collect();
    groups.push((0, vec![CATEGORIES]));
    while groups.len() > 1 {
        groups.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let (Some((a, mut left)), Some((b, right))) = (groups.pop(), groups.pop()) else { break };
        left.extend(right);
        left.iter().for_each(|&symbol| lengths[symbol] += 1);
        groups.push((a + b, left));
    }
    // The free place is the last of the longest codes: whoever has one of those takes its length.
    let free = lengths[CATEGORIES];
    let mut lengths: [u8; CATEGORIES] = std::array::from_fn(|symbol| lengths[symbol]);
    let longest = lengths.iter().copied().max().unwrap_or_default();
    if let Some(length) = lengths.iter_mut().find(|length| **length == longest && longest > free) {
        *length = free;
    }
    lengths
}

/// Codes by symbol: length and bits (T.81 §C.2).
struct Table {
    codes: [(u8, u32); CATEGORIES],
    /// BITS and HUFFVAL.
    segment: Vec<u8>,
}

impl Table {
    fn of(lengths: &[u8; CATEGORIES]) -> Self {
        let mut codes = [(0, 0); CATEGORIES];
        let (mut counts, mut values) = (Vec::new(), Vec::new());
        let mut code = 0;
        for length in 1..=MAX_LENGTH {
            let before = values.len();
            for symbol in (0..CATEGORIES).filter(|&symbol| lengths[symbol] == length) {
                codes[symbol] = (length, code);
                values.push(symbol as u8);
                code += 1;
            }
            counts.push((values.len() - before) as u8);
            code <<= 1;
        }
        Self { codes, segment: [counts, values].concat() }
    }
}

fn header(image: &ImagePixel, precision: u8, table: &Table) -> Vec<u8> {
    let (frame, mut scan) = segments::headers(image, precision);
    // Selection Value 1, no point transform.
    scan.extend([1, 0, 0]);
    let huffman = [&[0][..], &table.segment].concat();
    segments::begin([(SOF3, frame), (DHT, huffman), (SOS, scan)])
}

/// Bits to bytes; a zero is stuffed after 0xFF (T.81 §F.1.2.3).
struct Bits<'a> {
    bytes: &'a mut Vec<u8>,
    /// Bits not yet written, right-aligned; fewer than 8 between calls.
    cache: u64,
    held: u32,
}

impl Bits<'_> {
    #[inline]
    fn difference(&mut self, table: &Table, difference: i16) {
        let category = category(difference);
        let (length, code) = table.codes[category];
        // Category 16 is one value, which needs no bits.
        let count = if category < CATEGORIES - 1 { category as u32 } else { 0 };
        let value = if difference < 0 { difference.wrapping_sub(1) } else { difference };
        let value = u64::from(value as u16) & ((1 << count) - 1);
        self.put(u64::from(code) << count | value, u32::from(length) + count);
    }

    /// The lowest `count` (0..=32) bits of `value`.
    #[inline]
    fn put(&mut self, value: u64, count: u32) {
        self.cache = self.cache << count | value;
        self.held += count;
        while self.held >= 8 {
            self.held -= 8;
            let byte = (self.cache >> self.held) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    /// Fills the last byte with ones.
    fn finish(mut self) {
        if self.held > 0 {
            let missing = 8 - self.held;
            self.put((1 << missing) - 1, missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_short_for_what_is_frequent_and_the_code_of_ones_is_free() {
        let mut counts = [0; CATEGORIES];
        (counts[0], counts[3], counts[5]) = (100, 10, 10);
        let lengths = lengths(counts);
        assert_eq!((lengths[0], lengths[1]), (1, 0));
        let table = Table::of(&lengths);
        for (length, code) in table.codes.into_iter().filter(|(length, _)| *length > 0) {
            assert_ne!(code, (1 << length) - 1);
        }
    }

    #[test]
    fn codes_of_any_counts_have_at_most_sixteen_bits_and_leave_the_ones_free() {
        let (mut a, mut b) = (1u32, 1u32);
        let fibonacci = std::array::from_fn(|_| {
            (a, b) = (b, a + b);
            a * 1000
        });
        for counts in [fibonacci, [1; CATEGORIES], std::array::from_fn(|at| u32::from(at == 7))] {
            let lengths = lengths(counts);
            let used: u32 = lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (16 - length)).sum();
            assert!(used < 1 << 16 && lengths.iter().all(|&length| length <= 16), "{lengths:?}");
        }
    }

    #[test]
    fn categories_are_those_of_the_table() {
        assert_eq!([0, 1, -1, 2, -3, 255, -256, 32767, -32768].map(category), [0, 1, 1, 2, 2, 8, 9, 15, 16]);
    }
}
