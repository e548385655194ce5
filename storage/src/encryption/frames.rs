//! The body of an encrypted pack: frames of equal length but for the last, each followed by its tag.

use super::{
    EncryptionError, HEADER_LEN, KeyRing, Lock, Opened,
    cipher::{NONCE_LEN, TAG_LEN},
};
use bytes::Bytes;
use std::{
    io::{self, Read},
    ops::Range,
};

/// Plain bytes of a frame: little to read for a small range, little to add for its tag.
pub(crate) const FRAME: u64 = 64 << 10;
/// A frame with its tag.
const SEALED: u64 = FRAME + TAG_LEN as u64;

/// Bytes of an object whose pack has so many.
pub(crate) const fn sealed_len(plain_len: u64) -> u64 {
    let tags = plain_len.div_ceil(FRAME).saturating_mul(TAG_LEN as u64);
    HEADER_LEN.saturating_add(plain_len).saturating_add(tags)
}

/// Bytes of the object that hold the frames of a range; may end behind the object, whose last frame is shorter.
pub(crate) const fn covering(range: &Range<u64>) -> Range<u64> {
    let start = (range.start / FRAME).saturating_mul(SEALED);
    let end = range.end.div_ceil(FRAME).saturating_mul(SEALED);
    HEADER_LEN.saturating_add(start)..HEADER_LEN.saturating_add(end)
}

/// The plain bytes of a range, cut at the end of the pack, from the bytes of its [`covering`].
pub(crate) fn open_frames(opened: &Opened, range: &Range<u64>, sealed: &[u8]) -> Result<Bytes, EncryptionError> {
    let end = range.end.min(opened.plain_len);
    if range.start >= end {
        return Ok(Bytes::new());
    }
    let first = range.start / FRAME;
    let mut plain = Vec::with_capacity(sealed.len());
    let mut rest = sealed;
    for frame in first..end.div_ceil(FRAME) {
        let damaged = || EncryptionError::Frame(frame);
        let len = usize::try_from(FRAME.min(opened.plain_len - frame * FRAME)).map_err(|_| damaged())?;
        let (bytes, behind) = rest.split_at_checked(len).ok_or_else(damaged)?;
        let (tag, behind) = behind.split_first_chunk().ok_or_else(damaged)?;
        let start = plain.len();
        plain.extend_from_slice(bytes);
        let place = plain.get_mut(start..).unwrap_or_default();
        opened.aead.open(&nonce(frame), &[], place, tag).map_err(|_| damaged())?;
        rest = behind;
    }
    let place = |at: u64| usize::try_from(at - first * FRAME).unwrap_or(usize::MAX);
    Ok(Bytes::from(plain).slice(place(range.start)..place(end)))
}

/// Each data key is used for one pack, so that a frame's number serves as its nonce.
fn nonce(frame: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&frame.to_be_bytes());
    nonce
}

/// The encrypted form of what a reader gives.
pub(crate) struct SealedRead<R> {
    plain: R,
    opened: Opened,
    frame: u64,
    /// Bytes to be given, from `given` on.
    ready: Vec<u8>,
    given: usize,
}

impl<R: Read> SealedRead<R> {
    /// `plain` must give `plain_len` bytes, or reading ends in an error. `object`: the pack's key in the store.
    pub(crate) fn new(
        ring: &KeyRing,
        lock: &Lock,
        object: &str,
        plain: R,
        plain_len: u64,
    ) -> Result<Self, EncryptionError> {
        let (opened, ready) = Opened::create(ring, lock, object, plain_len)?;
        Ok(Self { plain, opened, frame: 0, ready, given: 0 })
    }

    /// Empty at the end.
    fn next_frame(&mut self) -> io::Result<()> {
        self.given = 0;
        self.ready.clear();
        let left = self.opened.plain_len.saturating_sub(self.frame.saturating_mul(FRAME));
        let len = left.min(FRAME);
        if len == 0 {
            return Ok(());
        }
        self.plain.by_ref().take(len).read_to_end(&mut self.ready)?;
        if (self.ready.len() as u64) < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let tag = self.opened.aead.seal(&nonce(self.frame), &[], &mut self.ready);
        self.ready.extend(tag.map_err(|_| io::Error::other(EncryptionError::TooLong))?);
        self.frame += 1;
        Ok(())
    }
}

impl<R: Read> Read for SealedRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.ready.len() {
            self.next_frame()?;
        }
        let mut rest = self.ready.get(self.given..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}
