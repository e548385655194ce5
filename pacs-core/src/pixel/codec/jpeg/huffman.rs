//! Huffman tables (T.81 Annex C, §F.2.2.3).

use super::bits::Bits;
use crate::pixel::PixelError;
use crate::pixel::codec::segments::Fields;

/// Codes of up to this many bits are looked up at once.
const LOOKUP_BITS: u32 = 9;

#[derive(Debug, Clone)]
pub(super) struct HuffmanTable {
    /// By the next `LOOKUP_BITS` bits: length of the code (0: longer than that) and its value.
    lookup: Vec<(u8, u8)>,
    /// By length: one more than the largest code, left-aligned to 16 bits; 0 where there is none.
    ends: [u32; 17],
    /// By length: what to add to a code to get the index of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// BITS and HUFFVAL.
    pub fn read(fields: &mut Fields<'_>) -> Result<Self, PixelError> {
        let mut counts = [0u8; 16];
        for count in &mut counts {
            *count = fields.u8()?;
        }
        let values =
            (0..counts.iter().map(|&n| usize::from(n)).sum()).map(|_| fields.u8()).collect::<Result<Vec<_>, _>>()?;
        Self::of(counts, values)
    }

    fn of(counts: [u8; 16], values: Vec<u8>) -> Result<Self, PixelError> {
        let mut table = Self { lookup: vec![(0, 0); 1 << LOOKUP_BITS], ends: [0; 17], offsets: [0; 17], values };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, &count) in (1u32..).zip(&counts) {
            let (first, end) = (code, code + u32::from(count));
            if end > 1 << length {
                return Err(PixelError::codec("a Huffman table with too many codes"));
            }
            table.offsets[length as usize] = index as i32 - first as i32;
            table.ends[length as usize] = if count > 0 { end << (16 - length) } else { 0 };
            for (code, &value) in (first..end).zip(table.values.iter().skip(index)) {
                if length <= LOOKUP_BITS {
                    let start = (code << (LOOKUP_BITS - length)) as usize;
                    let width = 1usize << (LOOKUP_BITS - length);
                    table.lookup.iter_mut().skip(start).take(width).for_each(|entry| *entry = (length as u8, value));
                }
            }
            index += usize::from(count);
            code = end << 1;
        }
        Ok(table)
    }

    /// The next value.
    #[inline]
    pub fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, PixelError> {
        let next = bits.peek_16();
        match self.lookup.get((next >> (16 - LOOKUP_BITS)) as usize) {
            Some(&(length @ 1.., value)) => {
                bits.skip(length.into());
                Ok(value)
            }
            _ => self.decode_long(next, bits),
        }
    }

    fn decode_long(&self, next: u32, bits: &mut Bits<'_>) -> Result<u8, PixelError> {
        let unknown = || PixelError::codec("an unknown Huffman code");
        let length = (LOOKUP_BITS as usize + 1..=16).find(|&length| next < self.ends[length]).ok_or_else(unknown)?;
        let index = (next >> (16 - length)) as i32 + self.offsets[length];
        bits.skip(length as u32);
        usize::try_from(index).ok().and_then(|index| self.values.get(index)).copied().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_codes_are_found() {
        let mut counts = [0; 16];
        (counts[0], counts[1], counts[10]) = (1, 1, 2);
        let table = HuffmanTable::of(counts, vec![7, 8, 9, 10]).unwrap();
        // 0, 10, 11000000000, 11000000001
        let mut bits = Bits::of(&[0b0101_1000, 0b0000_0011, 0b0000_0000, 0b1000_0000]);
        let values: Vec<u8> = (0..4).map(|_| table.decode(&mut bits).unwrap()).collect();
        assert_eq!(values, [7, 8, 9, 10]);
        assert!(table.decode(&mut Bits::of(&[0xFE, 0xFE])).is_err());
    }

    #[test]
    fn more_codes_than_fit_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(HuffmanTable::of(counts, vec![1, 2, 3]).is_err());
    }
}
