//! The bit stream of a scan (T.87 §9.1): after a byte of 0xFF the next has a stuffed zero as its first bit.

use crate::pixel::PixelError;

pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// Bits not yet taken, left-aligned.
    cache: u64,
    /// Valid bits in `cache`; negative once more was taken than there is.
    valid: i32,
    after_ff: bool,
}

impl<'a> Bits<'a> {
    pub fn of(data: &'a [u8]) -> Self {
        Self { rest: data, cache: 0, valid: 0, after_ff: false }
    }

    /// Makes at least 57 bits valid while there is data; past its end the bits are 0.
    fn fill(&mut self) {
        while self.valid <= 32
            && !self.after_ff
            && let Some((&word, rest)) = self.rest.split_first_chunk()
            && !word.contains(&0xFF)
        {
            // Four bytes at once, where nothing is stuffed.
            self.rest = rest;
            self.cache |= u64::from(u32::from_be_bytes(word)) << (32 - self.valid);
            self.valid += 32;
        }
        while self.valid <= 56 {
            let Some((&byte, rest)) = self.rest.split_first() else { return };
            self.rest = rest;
            let width = if self.after_ff { 7 } else { 8 };
            self.cache |= u64::from(byte) << (64 - width - self.valid);
            self.valid += width;
            self.after_ff = byte == 0xFF;
        }
    }

    /// The next `count` (0..=25) bits.
    #[inline]
    pub fn take(&mut self, count: u32) -> u32 {
        if self.valid < 32 {
            self.fill();
        }
        let value = (self.cache >> 32 >> (32 - count)) as u32;
        self.skip(count);
        value
    }

    /// Counts zeros up to the next one, which is taken too; `None` if more than `most` (at most 56) come first.
    #[inline]
    pub fn zeros(&mut self, most: u32) -> Option<u32> {
        if self.cache.leading_zeros() as i32 >= self.valid {
            self.fill();
        }
        let zeros = self.cache.leading_zeros();
        if zeros > most || zeros as i32 >= self.valid {
            return None;
        }
        self.skip(zeros + 1);
        Some(zeros)
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.cache = self.cache.unbounded_shl(count);
        self.valid -= count as i32;
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
    fn a_bit_is_stuffed_after_ff() {
        let mut bits = Bits::of(&[0xFF, 0x7F, 0x80]);
        assert_eq!((bits.take(8), bits.take(7), bits.take(8)), (0xFF, 0x7F, 0x80));
        assert!(bits.check().is_ok());
        assert_eq!(bits.take(1), 0);
        assert!(bits.check().is_err());
    }

    #[test]
    fn zeros_are_counted_across_bytes_and_end_with_the_data() {
        let mut bits = Bits::of(&[0, 0, 0, 0, 0x40, 0]);
        assert_eq!(bits.zeros(40), Some(33));
        assert_eq!(bits.zeros(56), None);
        assert_eq!(Bits::of(&[0x10]).zeros(2), None);
    }
}
