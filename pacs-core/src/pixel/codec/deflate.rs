//! Deflated Image Frame Compression (PS3.5 §A.4.13): a native frame in one raw deflate stream.

use crate::pixel::{ImagePixel, PixelError};
use flate2::read::DeflateDecoder;
use std::io::Read;
#[cfg(feature = "encode")]
use {
    flate2::{Compression, write::DeflateEncoder},
    std::io::Write,
};

/// Inflates a frame to native bytes; more than a frame is never inflated.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Vec<u8>, PixelError> {
    let len = image.native_frame_len();
    let mut native = Vec::with_capacity(len);
    DeflateDecoder::new(encoded).take(len as u64).read_to_end(&mut native).map_err(PixelError::codec)?;
    Ok(native)
}

/// Deflates a native frame.
#[cfg(feature = "encode")]
pub(in crate::pixel) fn encode(native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(native).map_err(PixelError::codec)?;
    encoder.finish().map_err(PixelError::codec)
}
