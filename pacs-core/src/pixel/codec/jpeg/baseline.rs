//! JPEG Baseline, written: 8 bits, colour as Y, CB, CR of which two pixels in a row share their chroma.

use crate::pixel::{ImagePixel, PixelError};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Encodes bytes of grey or of R, G, B by pixel; `quality`: 1..=100, as of the Independent JPEG Group.
pub(in crate::pixel) fn encode(image: &ImagePixel, quality: u8, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    let colour = if image.samples_per_pixel == 1 { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(native, image.columns, image.rows, colour).map_err(PixelError::codec)?;
    Ok(encoded)
}
