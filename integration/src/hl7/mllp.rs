//! MLLP frames: 0x0B, message, 0x1C, 0x0D.

const START: u8 = 0x0B;
const END: u8 = 0x1C;
const CARRIAGE_RETURN: u8 = 0x0D;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MllpError {
    #[error("byte {0:#04x} stands where an MLLP frame should start")]
    NotAFrame(u8),
    #[error("an MLLP frame starts inside another")]
    Nested,
    #[error("MLLP frame is longer than {0} bytes")]
    TooLong(usize),
}

/// Puts a message in its frame. The message has no frame marks: [`super::Field`] escapes control characters.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(message.len() + 3);
    framed.push(START);
    framed.extend_from_slice(message);
    framed.extend_from_slice(&[END, CARRIAGE_RETURN]);
    framed
}

/// Finds frames in bytes as they come.
#[derive(Debug)]
pub struct Decoder {
    /// What the open frame holds so far; `None` between frames.
    open: Option<Vec<u8>>,
    limit: usize,
}

impl Decoder {
    /// Refuses messages longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { open: None, limit }
    }

    /// Takes bytes up to the end of a frame and removes them from `bytes`; `None`: all were taken and more are needed.
    ///
    /// Line ends and NULs between frames are skipped: some peers leave out the last carriage return, some add a line
    /// feed.
    pub fn next_frame(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, MllpError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            match (&mut self.open, byte) {
                (None, START) => self.open = Some(Vec::new()),
                (None, CARRIAGE_RETURN | b'\n' | 0) => {}
                (None, other) => return Err(MllpError::NotAFrame(other)),
                (Some(_), START) => return Err(MllpError::Nested),
                (open @ Some(_), END) => return Ok(open.take()),
                (Some(message), _) if message.len() == self.limit => return Err(MllpError::TooLong(self.limit)),
                (Some(message), byte) => message.push(byte),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, MllpError> {
        let mut decoder = Decoder::new(16);
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame(&mut bytes)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn two_frames_in_a_packet_are_two_messages() {
        let bytes = [frame(b"MSH|1"), frame(b"MSH|2")].concat();
        assert_eq!(decode(&bytes), Ok(vec![b"MSH|1".to_vec(), b"MSH|2".to_vec()]));
    }

    #[test]
    fn a_sloppy_end_of_frame_is_taken() {
        assert_eq!(decode(b"\x0ba\x1c\n\x0bb\x1c"), Ok(vec![b"a".to_vec(), b"b".to_vec()]));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(decode(b"HTTP/1.1 400"), Err(MllpError::NotAFrame(b'H')));
        assert_eq!(decode(b"\x0ba\x0bb\x1c\r"), Err(MllpError::Nested));
        assert_eq!(decode(&frame(&[b'a'; 17])), Err(MllpError::TooLong(16)));
        assert_eq!(decode(&frame(&[b'a'; 16])), Ok(vec![vec![b'a'; 16]]));
    }

    proptest! {
        #[test]
        fn a_frame_survives_any_cutting(message in proptest::collection::vec(0x20u8.., 0..64), cut in 1usize..9) {
            let framed = frame(&message);
            let mut decoder = Decoder::new(64);
            let mut found = None;
            for mut piece in framed.chunks(cut) {
                if let Some(frame) = decoder.next_frame(&mut piece).unwrap() {
                    found = Some(frame);
                }
            }
            prop_assert_eq!(found, Some(message));
        }

        #[test]
        fn any_bytes_are_framed_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
