//! Entropy-coded bits: a byte of 0 after 0xFF is stuffed (T.81 §F.1.2.3).

use crate::pixel::PixelError;

pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits not yet taken, left-aligned.
    cache: u64,
    /// Valid bits in `cache`; negative once more was taken than there is.
    valid: i32,
}

impl<'a> Bits<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        Self { rest: data, cache: 0, valid: 0 }
    }

    /// The restart intervals of a scan, their markers left out.
    pub fn intervals(data: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = Some(data);
        std::iter::from_fn(move || {
            let data = rest?;
            let is_restart = |pair: &[u8]| matches!(pair, [0xFF, 0xD0..=0xD7]);
            let end = data.windows(2).position(is_restart);
            rest = end.and_then(|end| data.get(end + 2..));
            Some(Self::of(data.get(..end.unwrap_or(data.len())).unwrap_or_default()))
        })
    }

    fn fill(&mut self) {
        while self.valid <= 56 {
            let Some((&byte, rest)) = self.rest.split_first() else { return };
            self.rest = match (byte, rest) {
                (0xFF, [0, rest @ ..]) => rest,
                _ => rest,
            };
            self.cache |= u64::from(byte) << (56 - self.valid);
            self.valid += 8;
        }
    }

    /// The next 16 bits, not taken; 0 where the data ends.
    #[inline]
    pub fn peek_16(&mut self) -> u32 {
        if self.valid < 32 {
            self.fill();
        }
        (self.cache >> 48) as u32
    }

    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.cache = self.cache.unbounded_shl(count);
        self.valid -= count as i32;
    }

    /// The next `count` (0..=16) bits.
    #[inline]
    pub fn take(&mut self, count: u32) -> u32 {
        let value = self.peek_16() >> (16 - count);
        self.skip(count);
        value
    }

    /// A signed value of `count` bits (T.81 §F.2.2.1: RECEIVE and EXTEND).
    #[inline]
    pub fn signed(&mut self, count: u32) -> i32 {
        let value = self.take(count) as i32;
        // The lower half of the range stands for negative values.
        if count > 0 && value < 1 << (count - 1) { value - (1 << count) + 1 } else { value }
    }

    /// Whether everything taken so far was really there.
    pub fn check(&self) -> Result<(), PixelError> {
        match self.valid {
            0.. => Ok(()),
            _ => Err(PixelError::codec("the scan ends early")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_stuffed_after_ff_and_the_end_is_noticed() {
        let mut bits = Bits::of(&[0xFF, 0, 0x80]);
        assert_eq!((bits.take(8), bits.take(8)), (0xFF, 0x80));
        assert!(bits.check().is_ok());
        bits.take(1);
        assert!(bits.check().is_err());
    }

    #[test]
    fn values_below_half_the_range_are_negative() {
        let mut bits = Bits::of(&[0b0000_1111]);
        assert_eq!([bits.signed(3), bits.signed(0), bits.signed(1), bits.signed(4)], [-7, 0, -1, 15]);
    }

    #[test]
    fn restart_markers_divide_a_scan() {
        let lengths: Vec<_> = Bits::intervals(&[1, 0xFF, 0xD0, 2, 3, 0xFF, 0xD1]).map(|bits| bits.rest.len()).collect();
        assert_eq!(lengths, [1, 2, 0]);
    }
}
