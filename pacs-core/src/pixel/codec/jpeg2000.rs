//! JPEG 2000 (ISO/IEC 15444-1), bare or in a JP2 file; high-throughput codestreams go on to their decoder.

use super::codestream::{self, Cod, Siz};
use super::{Decoded, htjpeg2000, partition};
use crate::pixel::{ImagePixel, PixelError};
use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

/// The decoder computes in `f32`, which is exact up to here.
const MAX_PRECISION: u8 = 24;

/// Decodes a frame of the shape that `image` declares. The codestream says which of the two kinds it is, whatever
/// the transfer syntax promised.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Decoded, PixelError> {
    let codestream = codestream::find(encoded)?;
    let siz = Siz::read(codestream)?;
    siz.check(image)?;
    partition::check(codestream, &siz)?;
    let cod = Cod::read(codestream)?;
    let ybr = Decoded::declared_ybr(image) && !cod.colour_transform;
    let values = match siz.high_throughput {
        true => htjpeg2000::decode(codestream, &siz, &cod)?,
        false => decode_part_1(codestream, &siz)?,
    };
    Ok(Decoded { precision: siz.precision, values, signed: siz.signed, ybr })
}

fn decode_part_1(codestream: &[u8], siz: &Siz) -> Result<Vec<i32>, PixelError> {
    if siz.precision > MAX_PRECISION {
        return Err(PixelError::Codec(format!("sample precision {}", siz.precision)));
    }
    let settings = DecodeSettings { resolve_palette_indices: false, strict: false, target_resolution: None };
    let image = Image::new(codestream, &settings).map_err(PixelError::codec)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(PixelError::codec)?;
    let planes: Vec<&[f32]> = decoded.components().iter().map(|component| component.samples()).collect();
    // The decoder shifts signed components like unsigned ones, so that they come half the range too high.
    let shift = if siz.signed { 1i32 << (siz.precision - 1) } else { 0 };
    let largest = ((1u64 << siz.precision) - 1) as f32;
    let value = |sample: f32| sample.round().clamp(0.0, largest) as i32 - shift;
    Ok(match planes.as_slice() {
        [red, green, blue] => {
            let pixels = red.iter().zip(*green).zip(*blue);
            pixels.flat_map(|((&r, &g), &b)| [value(r), value(g), value(b)]).collect()
        }
        planes => planes.iter().copied().flatten().map(|&sample| value(sample)).collect(),
    })
}
