//! Encoded frame → samples.

use super::samples::{each, num};
use super::{ImagePixel, ModalityLut, PixelError, Samples, codec, native};
use crate::transfer_syntax::{Codec, Encoding, TransferSyntax};

/// One decoded frame: stored values, row by row from the top, samples interleaved, colour as RGB.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    pub rows: u16,
    pub columns: u16,
    /// 1 or 3.
    pub samples_per_pixel: u8,
    pub samples: Samples,
}

impl Frame {
    /// Rescaled values in the units of Rescale Type (CT: Hounsfield), in the order of the samples.
    pub fn to_f32(&self, lut: &ModalityLut) -> Vec<f32> {
        each!(&self.samples, values => values.iter().map(|&v| lut.apply(num(v)) as f32).collect())
    }
}

/// Decodes one frame. `encoded` is the frame's fragments put together, or its native bytes; for native 1-bit frames
/// that start inside a byte, `bit_offset` (0..8) says where.
///
/// YBR is converted to RGB; palette indices stay indices. Values are masked and sign-extended by Bits Stored/High Bit.
pub fn decode(
    transfer_syntax: &TransferSyntax,
    image: &ImagePixel,
    encoded: &[u8],
    bit_offset: u8,
) -> Result<Frame, PixelError> {
    let samples = match transfer_syntax.codec() {
        Codec::Native => {
            let big_endian = transfer_syntax.encoding() == Encoding::ExplicitBig;
            native::unpack(image, encoded, native::Layout { planar: image.planar, big_endian, bit_offset })?
        }
        Codec::Rle => native::unpack(image, &codec::rle::decode(image, encoded)?, native::Layout::INTERLEAVED)?,
        Codec::DeflatedFrame => {
            let layout = native::Layout { planar: image.planar, ..native::Layout::INTERLEAVED };
            native::unpack(image, &codec::deflate::decode(image, encoded)?, layout)?
        }
        Codec::JpegLossy | Codec::JpegLossless => codec::jpeg::decode(image, encoded)?.into_samples(image)?,
        Codec::JpegLs => codec::jpeg_ls::decode(image, encoded)?.into_samples(image)?,
        Codec::Jpeg2000 | Codec::HtJpeg2000 => codec::jpeg2000::decode(image, encoded)?.into_samples(image)?,
        #[cfg(feature = "jpeg-xl")]
        Codec::JpegXl => codec::jpeg_xl::decode(image, encoded)?.into_samples(image)?,
        #[cfg(not(feature = "jpeg-xl"))]
        Codec::JpegXl => return Err(PixelError::Unsupported(transfer_syntax.to_string())),
        Codec::Video | Codec::Unknown => return Err(PixelError::Unsupported(transfer_syntax.to_string())),
    };
    Ok(Frame { rows: image.rows, columns: image.columns, samples_per_pixel: image.samples_per_pixel, samples })
}

/// As [`decode`]; a panic of a foreign decoder is an error. The browser has no unwinding: there a worker dies instead.
#[cfg(not(target_family = "wasm"))]
pub fn decode_caught(
    transfer_syntax: &TransferSyntax,
    image: &ImagePixel,
    encoded: &[u8],
    bit_offset: u8,
) -> Result<Frame, PixelError> {
    caught(|| decode(transfer_syntax, image, encoded, bit_offset))
}

/// Runs a codec; its panic is an error.
#[cfg(not(target_family = "wasm"))]
pub(super) fn caught<T>(codec: impl FnOnce() -> Result<T, PixelError>) -> Result<T, PixelError> {
    // Nothing outlives the call but its result, so no broken state can be seen afterwards.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(codec));
    result.unwrap_or_else(|_| Err(PixelError::codec("the codec panicked")))
}
