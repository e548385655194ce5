//! Encoded frame → samples.

use super::{ImagePixel, PixelError};
use crate::transfer_syntax::TransferSyntax;

/// One decoded frame: stored values, row by row from the top, samples interleaved, colour as RGB.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub rows: u16,
    pub columns: u16,
    /// 1 or 3.
    pub samples_per_pixel: u8,
    pub samples: Samples,
}

/// Stored values in the narrowest container; 1-bit data is one byte a pixel.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Samples {
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Little endian bytes, the container size being Bits Allocated: a frame of Explicit VR Little Endian pixel data.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        todo!()
    }
}

/// Decodes one frame. `encoded` is the frame's fragments put together, or its native bytes; for native 1-bit frames
/// that start inside a byte, `bit_offset` (0..8) says where.
///
/// YBR is converted to RGB; palette indices stay indices. Values are masked and sign-extended by Bits Stored/High Bit.
pub fn decode(transfer_syntax: &TransferSyntax, image: &ImagePixel, encoded: &[u8], bit_offset: u8) -> Result<Frame, PixelError> {
    todo!()
}
