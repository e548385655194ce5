//! Frame → encoded frame, without loss.

use super::{ImagePixel, PhotometricInterpretation, PixelError, codec};
use crate::transfer_syntax::{JPEG_LS_LOSSLESS, RLE_LOSSLESS, TransferSyntax};

/// A frame of more samples (a 67 megapixel detector) is not encoded: an encoder takes up to 16 bytes of memory a sample.
const MAX_FRAME_SAMPLES: usize = 1 << 26;

/// A compression that loses nothing and that we can write.
// Not HTJ2K: of the frames that openjph-core 0.1.0 encodes, OpenJPEG 2.5 refuses one in forty, so a reader might be left
// with what only we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lossless {
    /// RLE Lossless (PS3.5 Annex G).
    Rle,
    /// JPEG-LS Lossless (ITU-T T.87).
    JpegLs,
}

impl Lossless {
    pub const ALL: [Self; 2] = [Self::Rle, Self::JpegLs];

    /// The one that a transfer syntax stands for.
    pub fn of(transfer_syntax: &TransferSyntax) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.uid() == transfer_syntax.uid().as_str())
    }

    pub fn transfer_syntax(self) -> TransferSyntax {
        TransferSyntax::new(self.uid().parse().expect("a valid UID"))
    }

    const fn uid(self) -> &'static str {
        match self {
            Self::Rle => RLE_LOSSLESS,
            Self::JpegLs => JPEG_LS_LOSSLESS,
        }
    }

    /// Why frames of `image` cannot be written in this way (PS3.5 Tables 8.2.2-1, 8.2.3-1); `None` if they can.
    ///
    /// Components are written as they are: colour is not transformed, so that Photometric Interpretation stays true.
    pub fn refusal(self, image: &ImagePixel) -> Option<&'static str> {
        use PhotometricInterpretation::*;
        let bits = match self {
            Self::Rle => matches!(image.bits_allocated, 8 | 16 | 32),
            // DCMTK 3.6.7 refuses codestreams of less than 8 bits, CharLS's as well as ours.
            Self::JpegLs => matches!(image.bits_allocated, 8 | 16) && (image.signed || image.bits_stored >= 8),
        };
        let colour = match image.photometric {
            Monochrome1 | Monochrome2 | PaletteColor => true,
            Rgb | YbrFull => !image.signed,
            YbrFull422 | YbrPartial420 | YbrIct | YbrRct | Xyb => false,
        };
        let rules = [
            (!image.float, "pixels are floating point numbers"),
            (bits, "Bits Allocated or Bits Stored cannot be carried"),
            (colour, "Photometric Interpretation cannot be carried as it is"),
            (image.high_bit + 1 == image.bits_stored, "High Bit is not the last of Bits Stored"),
            (image.samples() <= MAX_FRAME_SAMPLES, "a frame is too large"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, reason)| reason)
    }
}

/// Encodes a frame that is given as in Explicit VR Little Endian, colour by pixel, with bits beyond Bits Stored that are
/// zero or the sign. Fails where they are not, where there are too few bytes, and where [`Lossless::refusal`] has a reason.
pub fn encode(target: Lossless, image: &ImagePixel, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    if let Some(reason) = target.refusal(image) {
        return Err(PixelError::Unsupported(reason.to_owned()));
    }
    let expected = image.samples() * usize::from(image.bits_allocated / 8);
    let native = native.get(..expected).ok_or(PixelError::Length { expected, actual: native.len() })?;
    match target {
        Lossless::Rle => codec::rle::encode(image, native),
        // A codestream of JPEG-LS has no sign. In one of the container's width every reader finds the same bytes.
        Lossless::JpegLs if image.signed => codec::jpeg_ls::encode(image, image.bits_allocated, &values(image, native)),
        Lossless::JpegLs => codec::jpeg_ls::encode(image, image.bits_stored, &values(image, native)),
    }
}

/// The values of whole containers of 8 or 16 bits, as if they had no sign.
fn values(image: &ImagePixel, native: &[u8]) -> Vec<i32> {
    match image.bits_allocated {
        8 => native.iter().map(|&byte| byte.into()).collect(),
        _ => native.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word).into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{Samples, decode};
    use proptest::prelude::*;

    fn image(rows: u16, columns: u16, bits: (u8, u8), signed: bool, colour: bool) -> ImagePixel {
        let photometric = match colour {
            true => PhotometricInterpretation::Rgb,
            false => PhotometricInterpretation::Monochrome2,
        };
        ImagePixel {
            rows,
            columns,
            samples_per_pixel: if colour { 3 } else { 1 },
            photometric,
            bits_allocated: bits.0,
            bits_stored: bits.1,
            high_bit: bits.1 - 1,
            signed: signed && !colour,
            float: false,
            planar: false,
            frames: 1,
            palette: None,
            padding: None,
            words: false,
        }
    }

    /// Native bytes whose values follow `noise`: 0 is a plane, then steps, then all the range.
    fn native(image: &ImagePixel, noise: u8, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let mut value = 0u32;
        let samples = (0..image.samples()).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 33) as u32;
            value = match noise {
                0 => value,
                1 if random.is_multiple_of(9) => value.wrapping_add(random >> 8 & 3),
                1 => value,
                2 => value.wrapping_add(random >> 8 & 15).wrapping_sub(7),
                _ => random,
            };
            container(image, value)
        });
        samples.collect()
    }

    /// The lowest Bits Stored bits of a value, in its container.
    fn container(image: &ImagePixel, value: u32) -> Vec<u8> {
        let shift = 32 - u32::from(image.bits_stored);
        let value = match image.signed {
            true => (value.cast_signed() << shift >> shift).cast_unsigned(),
            false => value << shift >> shift,
        };
        value.to_le_bytes()[..usize::from(image.bits_allocated / 8)].to_vec()
    }

    #[track_caller]
    fn check(target: Lossless, image: &ImagePixel, native: &[u8]) {
        let encoded = encode(target, image, native).expect("encoded");
        let decoded = decode(&target.transfer_syntax(), image, &encoded, 0).expect("decoded");
        assert!(decoded.samples.to_le_bytes() == native, "{target:?} of {image:?} gives other pixels");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(
            rows in 1u16..40, columns in 1u16..70, allocated in prop::sample::select(vec![8u8, 16, 32]),
            stored in 2u8..=32, signed: bool, colour: bool, noise in 0u8..4, seed: u64,
        ) {
            let image = image(rows, columns, (allocated, stored.min(allocated)), signed, colour);
            let native = native(&image, noise, seed);
            for target in Lossless::ALL.into_iter().filter(|target| target.refusal(&image).is_none()) {
                check(target, &image, &native);
            }
        }
    }

    #[test]
    fn all_extremes_are_carried() {
        for (bits, signed) in [((16, 16), true), ((16, 16), false), ((16, 12), true), ((8, 8), false), ((8, 8), true)] {
            let image = image(64, 64, bits, signed, false);
            let values = [0, u32::MAX, 1 << (bits.1 - 1), (1 << (bits.1 - 1)) - 1];
            let places = (0..64 * 64).map(|at: usize| values[(at / 3 + at / 64) % 4]);
            let native: Vec<u8> = places.flat_map(|value| container(&image, value)).collect();
            for target in Lossless::ALL {
                check(target, &image, &native);
            }
        }
    }

    #[test]
    fn bits_beyond_bits_stored_are_refused_where_they_would_be_lost() {
        let image = image(1, 2, (16, 12), false, false);
        assert!(encode(Lossless::JpegLs, &image, &[0, 0x10, 0, 0]).is_err());
        check(Lossless::Rle, &ImagePixel { bits_stored: 16, high_bit: 15, ..image }, &[0, 0x10, 0, 0]);
    }

    #[test]
    fn what_cannot_be_carried_is_refused_with_the_reason() {
        let grey = image(1, 1, (16, 12), false, false);
        for (image, reason) in [
            (ImagePixel { float: true, bits_allocated: 32, ..grey.clone() }, "floating"),
            (ImagePixel { bits_allocated: 1, bits_stored: 1, high_bit: 0, ..grey.clone() }, "Bits Allocated"),
            (ImagePixel { high_bit: 15, ..grey.clone() }, "High Bit"),
            (ImagePixel { rows: 60_000, columns: 60_000, ..grey.clone() }, "large"),
            (ImagePixel { photometric: PhotometricInterpretation::YbrFull422, ..grey.clone() }, "Photometric"),
        ] {
            for target in Lossless::ALL {
                assert!(target.refusal(&image).is_some_and(|refusal| refusal.contains(reason)), "{reason}");
                assert!(encode(target, &image, &[0; 8]).is_err());
            }
        }
        assert!(matches!(encode(Lossless::Rle, &grey, &[0]), Err(PixelError::Length { expected: 2, actual: 1 })));
    }

    #[test]
    fn few_bits_without_a_sign_are_not_written_as_jpeg_ls() {
        for (image, fits) in [
            (image(1, 2, (8, 7), false, false), false),
            (image(1, 2, (16, 7), false, false), false),
            (image(1, 2, (8, 7), true, false), true),
            (image(1, 2, (8, 8), false, false), true),
        ] {
            assert_eq!(Lossless::JpegLs.refusal(&image).is_none(), fits, "{image:?}");
            assert_eq!(Lossless::Rle.refusal(&image), None);
        }
    }

    #[test]
    fn a_frame_of_one_value_is_small() {
        let image = image(512, 512, (16, 16), true, false);
        let native = Samples::I16(vec![-1000; 512 * 512]).to_le_bytes();
        for target in Lossless::ALL {
            assert!(encode(target, &image, &native).expect("encoded").len() < 10_000, "{target:?}");
        }
    }
}
