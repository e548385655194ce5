//! Native pixel data: bytes as stored → samples (PS3.5 §8.1, §8.2).

use super::{ImagePixel, PhotometricInterpretation, PixelError, Samples, colour};
use std::borrow::Cow;

#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// All red, then all green, then all blue.
    pub planar: bool,
    pub big_endian: bool,
    /// First bit of a 1-bit frame: 0..8.
    pub bit_offset: u8,
}

impl Layout {
    /// What our own decoders of native bytes write.
    pub const INTERLEAVED: Self = Self { planar: false, big_endian: false, bit_offset: 0 };
}

/// Unpacks one frame; bytes past its end (padding) are ignored.
pub(super) fn unpack(image: &ImagePixel, stored: &[u8], layout: Layout) -> Result<Samples, PixelError> {
    let bytes = unswapped(image, stored, layout)?;
    if image.bits_allocated == 1 {
        return bits(image, &bytes, layout.bit_offset).map(Samples::U8);
    }
    let expected = image.native_frame_len();
    let bytes = bytes.get(..expected).ok_or(PixelError::Length { expected, actual: bytes.len() })?;
    let big_endian = layout.big_endian;
    let samples = match (image.float, image.bits_allocated, image.signed) {
        (true, 32, _) => Samples::F32(values(bytes, big_endian, f32::from_le_bytes)),
        (true, _, _) => Samples::F64(values(bytes, big_endian, f64::from_le_bytes)),
        (_, 8, false) => Samples::U8(values(bytes, big_endian, |[byte]| image.unsigned(byte.into()) as u8)),
        (_, 8, true) => Samples::I8(values(bytes, big_endian, |[byte]| image.signed(byte.into()) as i8)),
        (_, 16, false) => {
            Samples::U16(values(bytes, big_endian, |b| image.unsigned(u16::from_le_bytes(b).into()) as u16))
        }
        (_, 16, true) => Samples::I16(values(bytes, big_endian, |b| image.signed(u16::from_le_bytes(b).into()) as i16)),
        (_, _, false) => Samples::U32(values(bytes, big_endian, |b| image.unsigned(u32::from_le_bytes(b)))),
        (_, _, true) => Samples::I32(values(bytes, big_endian, |b| image.signed(u32::from_le_bytes(b)))),
    };
    Ok(in_colour(image, samples, layout.planar))
}

impl ImagePixel {
    /// Bits Stored bits ending at High Bit.
    fn unsigned(&self, raw: u32) -> u32 {
        raw << (31 - self.high_bit) >> (32 - self.bits_stored)
    }

    fn signed(&self, raw: u32) -> i32 {
        (raw << (31 - self.high_bit)) as i32 >> (32 - self.bits_stored)
    }
}

/// Big endian OW is a row of 16-bit words, also where a sample is a byte or a bit (PS3.5 §8.1.1 and Annex D).
fn unswapped<'a>(image: &ImagePixel, stored: &'a [u8], layout: Layout) -> Result<Cow<'a, [u8]>, PixelError> {
    if !(layout.big_endian && image.words && image.bits_allocated <= 8) {
        return Ok(stored.into());
    }
    let frame_bits = image.samples() as u64 * u64::from(image.bits_allocated);
    if image.frames > 1 && !frame_bits.is_multiple_of(16) {
        return Err(PixelError::Unsupported("big endian frames that share a word".into()));
    }
    Ok(stored.chunks(2).flat_map(|word| word.iter().rev()).copied().collect())
}

fn bits(image: &ImagePixel, bytes: &[u8], offset: u8) -> Result<Vec<u8>, PixelError> {
    let (first, count) = (usize::from(offset), image.samples());
    let expected = (first + count).div_ceil(8);
    let bytes = bytes.get(..expected).ok_or(PixelError::Length { expected, actual: bytes.len() })?;
    // The first pixel is the least significant bit (PS3.5 §8.1.1).
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
    Ok(bits.skip(first).take(count).collect())
}

fn values<const N: usize, T>(bytes: &[u8], big_endian: bool, from_le_bytes: impl Fn([u8; N]) -> T) -> Vec<T> {
    let chunks = bytes.as_chunks().0.iter();
    if big_endian {
        chunks
            .map(|&chunk: &[u8; N]| {
                let mut chunk = chunk;
                chunk.reverse();
                from_le_bytes(chunk)
            })
            .collect()
    } else {
        chunks.map(|&chunk| from_le_bytes(chunk)).collect()
    }
}

/// Puts planes and shared chroma into pixel order and converts to RGB.
fn in_colour(image: &ImagePixel, samples: Samples, planar: bool) -> Samples {
    use PhotometricInterpretation::*;
    let samples = match image.photometric {
        // Shared chroma has no planes: PS3.3 C.7.6.3.1.2 wants Planar Configuration 0.
        YbrFull422 => each_unsigned(samples, |v| unshared(&v, image.pixels()), |v| unshared(&v, image.pixels())),
        _ if planar && image.samples_per_pixel == 3 => each_unsigned(samples, |v| interleaved(&v), |v| interleaved(&v)),
        _ => samples,
    };
    match image.photometric {
        YbrFull | YbrFull422 => colour::ybr_full_to_rgb(samples, image.bits_stored),
        _ => samples,
    }
}

/// Colour is 8 or 16 bits and unsigned; other containers pass through.
fn each_unsigned(
    samples: Samples,
    narrow: impl Fn(Vec<u8>) -> Vec<u8>,
    wide: impl Fn(Vec<u16>) -> Vec<u16>,
) -> Samples {
    match samples {
        Samples::U8(values) => Samples::U8(narrow(values)),
        Samples::U16(values) => Samples::U16(wide(values)),
        other => other,
    }
}

fn interleaved<T: Copy>(planes: &[T]) -> Vec<T> {
    let (red, rest) = planes.split_at(planes.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]).collect()
}

/// Y1 Y2 Cb Cr → Y1 Cb Cr Y2 Cb Cr.
fn unshared<T: Copy>(shared: &[T], pixels: usize) -> Vec<T> {
    let quads = shared.as_chunks().0.iter();
    quads.flat_map(|&[y1, y2, cb, cr]| [y1, cb, cr, y2, cb, cr]).take(pixels * 3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(rows: u16, columns: u16, bits: (u8, u8, u8), signed: bool) -> ImagePixel {
        ImagePixel {
            rows,
            columns,
            samples_per_pixel: 1,
            photometric: PhotometricInterpretation::Monochrome2,
            bits_allocated: bits.0,
            bits_stored: bits.1,
            high_bit: bits.2,
            signed,
            float: false,
            planar: false,
            frames: 1,
            palette: None,
            padding: None,
            words: false,
        }
    }

    fn rgb(rows: u16, columns: u16) -> ImagePixel {
        ImagePixel {
            samples_per_pixel: 3,
            photometric: PhotometricInterpretation::Rgb,
            ..image(rows, columns, (8, 8, 7), false)
        }
    }

    const BIG: Layout = Layout { big_endian: true, ..Layout::INTERLEAVED };
    const PLANAR: Layout = Layout { planar: true, ..Layout::INTERLEAVED };

    #[test]
    fn values_are_masked_and_sign_extended() {
        let bytes = [0xFF, 0xF8, 0x01, 0x07];
        let of = |bits, signed| unpack(&image(1, 2, bits, signed), &bytes, Layout::INTERLEAVED).unwrap();
        assert_eq!(of((16, 12, 11), false), Samples::U16(vec![0x8FF, 0x701]));
        assert_eq!(of((16, 12, 11), true), Samples::I16(vec![-0x701, 0x701]));
        assert_eq!(of((16, 12, 15), false), Samples::U16(vec![0xF8F, 0x070]));
        assert_eq!(of((16, 12, 15), true), Samples::I16(vec![-0x071, 0x070]));
        assert_eq!(of((8, 8, 7), true), Samples::I8(vec![-1, -8]));
    }

    #[test]
    fn thirty_two_bit_and_float_values_are_read() {
        let one = 1f64.to_le_bytes();
        let float = |bits| ImagePixel { float: true, ..image(1, 1, (bits, bits, bits - 1), false) };
        assert_eq!(unpack(&float(64), &one, Layout::INTERLEAVED).unwrap(), Samples::F64(vec![1.0]));
        assert_eq!(unpack(&float(32), &one[4..], Layout::INTERLEAVED).unwrap(), Samples::F32(vec![1.875]));
        let image = image(1, 1, (32, 32, 31), true);
        assert_eq!(unpack(&image, &[0xFE, 0xFF, 0xFF, 0xFF], Layout::INTERLEAVED).unwrap(), Samples::I32(vec![-2]));
    }

    #[test]
    fn big_endian_bytes_are_swapped_in_words_for_ow_and_not_for_ob() {
        let ob = image(1, 3, (8, 8, 7), false);
        let ow = ImagePixel { words: true, ..ob.clone() };
        let stored = [2, 1, 0, 3];
        assert_eq!(unpack(&ob, &stored, BIG).unwrap(), Samples::U8(vec![2, 1, 0]));
        assert_eq!(unpack(&ow, &stored, BIG).unwrap(), Samples::U8(vec![1, 2, 3]));
        let sixteen = ImagePixel { words: true, ..image(1, 2, (16, 16, 15), false) };
        assert_eq!(unpack(&sixteen, &stored, BIG).unwrap(), Samples::U16(vec![0x201, 3]));
    }

    #[test]
    fn one_bit_frames_start_at_the_least_significant_bit_or_inside_a_byte() {
        let image = image(1, 5, (1, 1, 0), false);
        let of = |offset| unpack(&image, &[0b0110_0101, 0b1], Layout { bit_offset: offset, ..Layout::INTERLEAVED });
        assert_eq!(of(0).unwrap(), Samples::U8(vec![1, 0, 1, 0, 0]));
        assert_eq!(of(4).unwrap(), Samples::U8(vec![0, 1, 1, 0, 1]));
    }

    #[test]
    fn planes_are_interleaved() {
        let samples = unpack(&rgb(1, 2), &[1, 2, 3, 4, 5, 6], PLANAR).unwrap();
        assert_eq!(samples, Samples::U8(vec![1, 3, 5, 2, 4, 6]));
    }

    #[test]
    fn shared_chroma_is_given_to_both_pixels_of_an_odd_row_too() {
        let image = ImagePixel { photometric: PhotometricInterpretation::YbrFull422, ..rgb(1, 3) };
        let samples = unpack(&image, &[10, 20, 128, 128, 30, 0, 128, 128], Layout::INTERLEAVED).unwrap();
        assert_eq!(samples, Samples::U8(vec![10, 10, 10, 20, 20, 20, 30, 30, 30]));
    }

    #[test]
    fn a_short_frame_is_an_error_and_a_padded_one_is_not() {
        assert!(matches!(unpack(&rgb(1, 2), &[0; 5], PLANAR), Err(PixelError::Length { expected: 6, actual: 5 })));
        assert!(unpack(&rgb(1, 1), &[0; 4], PLANAR).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_of_the_right_length_unpack(
            bytes in prop::collection::vec(any::<u8>(), 24..64),
            bits in prop::sample::select(vec![(8u8, 7u8, 6u8), (16, 1, 15), (32, 32, 31), (1, 1, 0)]),
            signed: bool, big_endian: bool, bit_offset in 0u8..8,
        ) {
            let samples = unpack(&image(2, 3, bits, signed), &bytes, Layout { planar: false, big_endian, bit_offset });
            prop_assert_eq!(samples.unwrap().len(), 6);
        }
    }
}
