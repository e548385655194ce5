//! The three streams of a code-block, written (ISO/IEC 15444-15 §7.1): magnitudes, code words, runs.

/// Exponents of the run-length code MEL (Table 2).
const RUN_BITS: [u32; 13] = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5];
/// MagSgn: bits from the lowest on; the byte after 0xFF has seven (§7.1.2).
#[derive(Default)]
pub(super) struct Magnitudes {
    pub bytes: Vec<u8>,
    cache: u64,
    held: u32,
    /// The last byte was 0xFF.
    is_stuffed: bool,
}

impl Magnitudes {
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.cache, self.held, self.is_stuffed) = (0, 0, false);
    }

    /// `length`: up to 32.
    #[inline]
    pub fn put(&mut self, value: u64, length: u32) {
        self.cache |= value << self.held;
        self.held += length;
        if self.held >= 32 {
            self.word();
        }
    }

    /// The lowest 32 bits, or those of them that fit four bytes.
    #[inline]
    fn word(&mut self) {
        let word = self.cache as u32;
        let has_ff = (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0;
        if has_ff || self.is_stuffed {
            return (0..4).for_each(|_| self.byte());
        }
        self.bytes.extend_from_slice(&word.to_le_bytes());
        self.cache >>= 32;
        self.held -= 32;
    }

    #[inline]
    fn byte(&mut self) {
        let width = 8 - u32::from(self.is_stuffed);
        let byte = (self.cache & ((1 << width) - 1)) as u8;
        self.cache >>= width;
        self.held -= width;
        self.bytes.push(byte);
        self.is_stuffed = byte == 0xFF;
    }

    /// Fills up with ones; a last 0xFF need not be written.
    pub fn finish(&mut self) -> &[u8] {
        while self.held >= 8 - u32::from(self.is_stuffed) {
            self.byte();
        }
        if self.held > 0 {
            self.cache |= u64::MAX << self.held;
            self.held = 8;
            self.byte();
        }
        if self.bytes.last() == Some(&0xFF) {
            self.bytes.pop();
        }
        &self.bytes
    }
}

/// VLC: written from the end backwards; where the byte before is more than 0x8F, seven ones fill a byte (§7.1.4).
#[derive(Default)]
pub(super) struct Codes {
    /// The last byte of the block first.
    pub bytes: Vec<u8>,
    cache: u64,
    held: u32,
}

impl Codes {
    pub fn clear(&mut self) {
        self.bytes.clear();
        // Room for the twelve bits of the locator.
        self.bytes.push(0xFF);
        (self.cache, self.held) = (0xF, 4);
    }

    /// `length`: up to 48.
    #[inline]
    pub fn put(&mut self, word: u64, length: u32) {
        self.cache |= word << self.held;
        self.held += length;
        while self.held >= 8 {
            self.byte();
        }
    }

    #[inline]
    fn byte(&mut self) {
        let width = if self.is_full_of_seven() { 7 } else { 8 };
        self.bytes.push((self.cache & ((1 << width) - 1)) as u8);
        self.cache >>= width;
        self.held -= width;
    }

    #[inline]
    fn is_full_of_seven(&self) -> bool {
        self.held >= 7 && self.cache & 0x7F == 0x7F && self.bytes.last().is_some_and(|&byte| byte > 0x8F)
    }
}

/// MEL: an adaptive code of runs, bits from the highest on; the byte after 0xFF has seven (§7.1.3).
#[derive(Default)]
pub(super) struct Runs {
    pub bytes: Vec<u8>,
    cache: u32,
    /// Bits that the present byte has room for.
    room: u32,
    run: u32,
    state: usize,
}

impl Runs {
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.cache, self.room, self.run, self.state) = (0, 8, 0, 0);
    }

    #[inline]
    pub fn put(&mut self, event: bool) {
        let bits = RUN_BITS[self.state];
        if event {
            self.bit(0);
            (0..bits).rev().for_each(|at| self.bit(self.run >> at & 1));
            (self.run, self.state) = (0, self.state.saturating_sub(1));
            return;
        }
        self.run += 1;
        if self.run >= 1 << bits {
            self.bit(1);
            (self.run, self.state) = (0, (self.state + 1).min(RUN_BITS.len() - 1));
        }
    }

    #[inline]
    fn bit(&mut self, bit: u32) {
        self.cache = self.cache << 1 | bit;
        self.room -= 1;
        if self.room == 0 {
            self.bytes.push(self.cache as u8);
            self.room = if self.cache == 0xFF { 7 } else { 8 };
            self.cache = 0;
        }
    }

    /// Ends both streams; where their last bytes can be one they are (§7.1.5).
    pub fn finish_with(&mut self, words: &mut Codes) {
        if self.run > 0 {
            self.bit(1);
        }
        while words.is_full_of_seven() {
            words.byte();
        }
        let last = (self.cache << self.room) as u8;
        // The bits of that byte that each of the two has set.
        let mine = 0xFFu32.unbounded_shl(self.room) as u8;
        let theirs = ((1u32 << words.held) - 1) as u8;
        if mine | theirs == 0 {
            return;
        }
        let word = words.cache as u8;
        let fused = last | word;
        let agrees = (fused ^ last) & mine == 0 && (fused ^ word) & theirs == 0;
        if agrees && fused != 0xFF && words.bytes.len() > 1 {
            self.bytes.push(fused);
        } else {
            self.bytes.push(last);
            words.bytes.push(word);
        }
    }
}
