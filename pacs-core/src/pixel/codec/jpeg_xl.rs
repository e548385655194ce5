//! JPEG XL (ISO/IEC 18181), bare or in its container.

use super::{Decoded, Shape};
use crate::pixel::{ImagePixel, PixelError};
use jxl::api::{
    Endianness, Event, JxlBitDepth, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions, JxlOutputBuffer,
    JxlPixelFormat, ProfileLevel,
};

#[cfg(feature = "encode")]
use {
    zune_core::{bit_depth::BitDepth, colorspace::ColorSpace, options::EncoderOptions},
    zune_jpegxl::JxlSimpleEncoder,
};

/// Decodes a frame of the shape that `image` declares. Colour comes as RGB whatever was coded: XYB, or the YCBCR of a
/// recompressed JPEG.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Decoded, PixelError> {
    let mut options = JxlDecoderOptions::default();
    options.adjust_orientation = false;
    options.max_profile_level = ProfileLevel::Main10;
    // Reference frames and extra channels (alpha) count too.
    options.sample_limit = Some(image.samples().saturating_mul(4).max(1 << 16));
    let mut decoder = JxlDecoder::new(options);
    let mut rest = encoded;
    expect(&mut decoder, &mut rest, None, |event| *event == Event::BasicInfo)?;
    let (precision, extra_channels) = check(&decoder, image)?;
    decoder.set_pixel_format(pixel_format(image, precision, extra_channels)).map_err(PixelError::codec)?;
    let bytes_per_row = usize::from(image.columns) * usize::from(image.samples_per_pixel) * 2;
    let len = bytes_per_row * usize::from(image.rows);
    let mut buffer = vec![0u8; len + 1];
    // The decoder writes 16-bit words and wants its rows aligned to them.
    let start = buffer.as_ptr().align_offset(2).min(1);
    let words = buffer.get_mut(start..start + len).unwrap_or_default();
    let mut outputs = [JxlOutputBuffer::new(words, image.rows.into(), bytes_per_row)];
    expect(&mut decoder, &mut rest, Some(&mut outputs), |event| matches!(event, Event::FrameComplete { .. }))?;
    let words = buffer.get(start..start + len).unwrap_or_default();
    let values = words.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word).into()).collect();
    Ok(Decoded { precision, values, signed: false, ybr: false })
}

/// Goes on until `wanted`; an input that is used up before is an error.
fn expect(
    decoder: &mut JxlDecoder,
    rest: &mut &[u8],
    mut outputs: Option<&mut [JxlOutputBuffer<'_>]>,
    wanted: impl Fn(&Event) -> bool,
) -> Result<(), PixelError> {
    loop {
        let event = decoder.process(rest, outputs.as_deref_mut(), None).map_err(PixelError::codec)?;
        match event {
            event if wanted(&event) => return Ok(()),
            Event::NeedMoreInput { .. } | Event::Complete => {
                return Err(PixelError::codec("the codestream ends early"));
            }
            _ => {}
        }
    }
}

/// Bits of a sample and number of extra channels.
fn check(decoder: &JxlDecoder, image: &ImagePixel) -> Result<(u8, usize), PixelError> {
    let info = decoder.basic_info().ok_or_else(|| PixelError::codec("no basic information"))?;
    let profile = decoder.embedded_color_profile().ok_or_else(|| PixelError::codec("no colour profile"))?;
    let (columns, rows) = info.size;
    let shape = Shape { rows: rows as u32, columns: columns as u32, samples_per_pixel: profile.channels() as u32 };
    shape.check(image)?;
    match info.bit_depth {
        JxlBitDepth::Int { bits_per_sample: bits @ 1..=16 } => Ok((bits as u8, info.extra_channels.len())),
        _ => Err(PixelError::codec("samples are not integers of up to 16 bits")),
    }
}

fn pixel_format(image: &ImagePixel, precision: u8, extra_channels: usize) -> JxlPixelFormat {
    JxlPixelFormat {
        color_type: if image.samples_per_pixel == 1 { JxlColorType::Grayscale } else { JxlColorType::Rgb },
        color_data_format: Some(JxlDataFormat::U16 { endianness: Endianness::LittleEndian, bit_depth: precision }),
        extra_channel_format: vec![None; extra_channels],
    }
}

/// Encodes samples of containers of 8 or 16 bits without loss, colour being R, G, B.
#[cfg(feature = "encode")]
pub(in crate::pixel) fn encode(image: &ImagePixel, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let colour = if image.samples_per_pixel == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let depth = if image.bits_allocated == 8 { BitDepth::Eight } else { BitDepth::Sixteen };
    let options = EncoderOptions::new(image.columns.into(), image.rows.into(), colour, depth);
    let words = native.as_chunks().0.iter().flat_map(|&word| u16::from_le_bytes(word).to_ne_bytes());
    let samples = if image.bits_allocated == 8 { native.to_vec() } else { words.collect() };
    let encode = || {
        let mut encoded = Vec::new();
        JxlSimpleEncoder::new(&samples, options).encode(&mut encoded).map(|_| encoded)
    };
    // Of 16-bit noise zune-jpegxl 0.5.2 makes no code, and panics.
    let encoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(encode));
    let encoded = encoded.map_err(|_| PixelError::codec("the samples are too unlike each other"))?;
    encoded.map_err(|error| PixelError::Codec(format!("{error:?}")))
}
