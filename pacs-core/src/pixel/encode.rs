//! Frame → encoded frame.

use super::{ImagePixel, PhotometricInterpretation, PixelError, codec};
use crate::transfer_syntax::{
    DEFLATED_IMAGE_FRAME, JPEG_BASELINE, JPEG_LOSSLESS_SV1, JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS, RLE_LOSSLESS,
    TransferSyntax,
};

/// A frame of more samples (a 67 megapixel detector) is not encoded: an encoder takes up to 16 bytes of memory a sample.
const MAX_FRAME_SAMPLES: usize = 1 << 26;

/// A compression that we can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Lossless(Lossless),
    Lossy(Lossy),
}

/// One that loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lossless {
    /// RLE Lossless (PS3.5 Annex G).
    Rle,
    /// Deflated Image Frame Compression (PS3.5 §A.4.13).
    DeflatedFrame,
    /// JPEG Lossless, Selection Value 1 (ITU-T T.81 Annex H).
    Jpeg,
    /// JPEG-LS Lossless (ITU-T T.87).
    JpegLs,
}

/// One that loses something: what is written so is another image, with a SOP Instance UID of its own (PS3.3 C.7.6.1.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lossy {
    /// JPEG Baseline, `quality` 1..=100 as of the Independent JPEG Group (ITU-T T.81).
    Jpeg { quality: u8 },
    /// JPEG-LS Near-Lossless: no value is more than `near` from what it was; 1..=127 (ITU-T T.87).
    JpegLs { near: u8 },
}

impl From<Lossless> for Target {
    fn from(one: Lossless) -> Self {
        Self::Lossless(one)
    }
}

impl From<Lossy> for Target {
    fn from(one: Lossy) -> Self {
        Self::Lossy(one)
    }
}

impl Target {
    /// The one that a transfer syntax stands for; `quality`, 1..=100, is for those that lose something.
    pub fn of(transfer_syntax: &TransferSyntax, quality: u8) -> Option<Self> {
        let lossless = Lossless::of(transfer_syntax).map(Self::Lossless);
        lossless.or_else(|| Lossy::of(transfer_syntax, quality).map(Self::Lossy))
    }

    pub fn transfer_syntax(self) -> TransferSyntax {
        TransferSyntax::new(self.uid().parse().expect("a valid UID"))
    }

    const fn uid(self) -> &'static str {
        match self {
            Self::Lossless(one) => one.uid(),
            Self::Lossy(one) => one.uid(),
        }
    }

    pub const fn is_lossless(self) -> bool {
        matches!(self, Self::Lossless(_))
    }

    /// Whether components are written as they come, and not as R, G, B turned into something else.
    pub(super) const fn keeps_components(self) -> bool {
        !matches!(self, Self::Lossy(Lossy::Jpeg { .. }))
    }

    /// Why frames of `image` cannot be written in this way (PS3.5 Tables 8.2.1-1 to 8.2.4-1); `None` if they can.
    pub fn refusal(self, image: &ImagePixel) -> Option<&'static str> {
        match self {
            Self::Lossless(one) => one.refusal(image),
            Self::Lossy(one) => one.refusal(image),
        }
    }

    /// Photometric Interpretation of frames of `image` written so.
    pub fn photometric(self, image: &ImagePixel) -> PhotometricInterpretation {
        match (self, image.samples_per_pixel) {
            (Self::Lossy(Lossy::Jpeg { .. }), 3) => PhotometricInterpretation::YbrFull422,
            _ => image.photometric,
        }
    }
}

impl Lossless {
    pub const ALL: [Self; 4] = [Self::Rle, Self::DeflatedFrame, Self::Jpeg, Self::JpegLs];

    /// The one that a transfer syntax stands for.
    pub fn of(transfer_syntax: &TransferSyntax) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.uid() == transfer_syntax.uid().as_str())
    }

    pub fn transfer_syntax(self) -> TransferSyntax {
        Target::Lossless(self).transfer_syntax()
    }

    const fn uid(self) -> &'static str {
        match self {
            Self::Rle => RLE_LOSSLESS,
            Self::DeflatedFrame => DEFLATED_IMAGE_FRAME,
            Self::Jpeg => JPEG_LOSSLESS_SV1,
            Self::JpegLs => JPEG_LS_LOSSLESS,
        }
    }

    /// Why frames of `image` cannot be written in this way; `None` if they can.
    ///
    /// Components are written as they are: colour is not transformed, so that Photometric Interpretation stays true.
    pub fn refusal(self, image: &ImagePixel) -> Option<&'static str> {
        let bits = match self {
            Self::Rle | Self::DeflatedFrame => matches!(image.bits_allocated, 8 | 16 | 32),
            // DCMTK 3.6.7 refuses codestreams of less than 8 bits, CharLS's as well as ours.
            Self::Jpeg => matches!(image.bits_allocated, 8 | 16) && (image.signed || image.bits_stored >= 8),
            // And of JPEG-LS those of 8 bits where two bytes are allocated.
            Self::JpegLs => match image.bits_allocated {
                8 => image.signed || image.bits_stored == 8,
                16 => image.signed || image.bits_stored > 8,
                _ => false,
            },
        };
        first_broken([
            (!image.float, "pixels are floating point numbers"),
            (bits, "Bits Allocated or Bits Stored cannot be carried"),
            (image.has_plain_components(), "Photometric Interpretation cannot be carried as it is"),
            (image.high_bit + 1 == image.bits_stored, "High Bit is not the last of Bits Stored"),
            (image.samples() <= MAX_FRAME_SAMPLES, "a frame is too large"),
        ])
    }
}

impl Lossy {
    /// The one that a transfer syntax stands for, at a `quality` of 1..=100: of JPEG-LS, 100 allows an error of 1 and each
    /// five less one more.
    pub fn of(transfer_syntax: &TransferSyntax, quality: u8) -> Option<Self> {
        let quality = quality.clamp(1, 100);
        let near = (100 - quality) / 5 + 1;
        let all = [Self::Jpeg { quality }, Self::JpegLs { near }];
        all.into_iter().find(|one| one.uid() == transfer_syntax.uid().as_str())
    }

    const fn uid(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => JPEG_BASELINE,
            Self::JpegLs { .. } => JPEG_LS_NEAR_LOSSLESS,
        }
    }

    /// Lossy Image Compression Method (0028,2114), its defined term (PS3.3 C.7.6.1.1.5.1).
    pub const fn method(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "ISO_10918_1",
            Self::JpegLs { .. } => "ISO_14495_1",
        }
    }

    /// Why frames of `image` cannot be written in this way; `None` if they can.
    pub fn refusal(self, image: &ImagePixel) -> Option<&'static str> {
        const LOSES_ALL: &str = "so few values would all become one";
        let reason = match self {
            Self::Jpeg { .. } => first_broken([
                (image.bits_allocated == 8 && image.bits_stored == 8, "pixels are not of 8 bits"),
                (!image.signed, "pixels are signed"),
            ]),
            Self::JpegLs { near } => {
                let largest = (1i32 << image.bits_stored.min(16)) - 1;
                first_broken([(near > 0 && i32::from(near) <= largest / 2, LOSES_ALL)])
            }
        };
        let is_index = image.photometric == PhotometricInterpretation::PaletteColor;
        let index =
            first_broken([(!is_index, "pixels are indices of a palette, which near ones have nothing to do with")]);
        // The others are those of the lossless sister.
        index.or(reason).or_else(|| Lossless::JpegLs.refusal(image))
    }
}

fn first_broken<const N: usize>(rules: [(bool, &'static str); N]) -> Option<&'static str> {
    rules.into_iter().find(|(holds, _)| !holds).map(|(_, reason)| reason)
}

impl ImagePixel {
    /// Whether all components are as large as the frame, and what Photometric Interpretation says, as they come.
    pub(super) fn has_plain_components(&self) -> bool {
        use PhotometricInterpretation::*;
        match self.photometric {
            Monochrome1 | Monochrome2 | PaletteColor => true,
            Rgb | YbrFull => !self.signed,
            YbrFull422 | YbrPartial420 | YbrIct | YbrRct | Xyb => false,
        }
    }
}

/// Encodes a frame that is given as in Explicit VR Little Endian, colour by pixel, with bits beyond Bits Stored that are
/// zero or the sign. [`Lossy::Jpeg`] takes colour for RGB, every other target writes components as they come.
///
/// Fails where bits are not so, where there are too few bytes, and where [`Target::refusal`] has a reason.
pub fn encode(target: impl Into<Target>, image: &ImagePixel, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let target = target.into();
    if let Some(reason) = target.refusal(image) {
        return Err(PixelError::Unsupported(reason.to_owned()));
    }
    let expected = image.samples() * usize::from(image.bits_allocated / 8);
    let native = native.get(..expected).ok_or(PixelError::Length { expected, actual: native.len() })?;
    match target {
        Target::Lossless(Lossless::Rle) => codec::rle::encode(image, native),
        Target::Lossless(Lossless::DeflatedFrame) => codec::deflate::encode(native),
        Target::Lossless(Lossless::Jpeg) => {
            codec::jpeg::encode_lossless(image, precision(image), &values(image, native))
        }
        Target::Lossless(Lossless::JpegLs) => {
            codec::jpeg_ls::encode(image, precision(image), 0, &values(image, native))
        }
        Target::Lossy(Lossy::JpegLs { near }) => near_lossless(image, near, &values(image, native)),
        Target::Lossy(Lossy::Jpeg { quality }) => codec::jpeg::encode_baseline(image, quality, native),
    }
}

/// A signed value that might leave the range of Bits Stored by an error, and so change its sign, is refused: codestreams have
/// none, and their largest value is the neighbour of the smallest.
fn near_lossless(image: &ImagePixel, near: u8, values: &[i32]) -> Result<Vec<u8>, PixelError> {
    let unused = 32 - u32::from(image.bits_allocated);
    let room = (1i32 << (image.bits_stored - 1)) - i32::from(near);
    let signed = |value: i32| value << unused >> unused;
    if image.signed && values.iter().any(|&value| !(-room..room).contains(&signed(value))) {
        return Err(PixelError::codec("a value is too near the end of its range"));
    }
    codec::jpeg_ls::encode(image, precision(image), near, values)
}

/// Codestreams of JPEG and JPEG-LS have no sign. In one of the container's width every reader finds the same bytes.
fn precision(image: &ImagePixel) -> u8 {
    if image.signed { image.bits_allocated } else { image.bits_stored }
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

    fn decoded(target: Lossy, image: &ImagePixel, native: &[u8]) -> Vec<u8> {
        let encoded = encode(target, image, native).expect("encoded");
        let photometric = Target::from(target).photometric(image);
        let image = ImagePixel { photometric, ..image.clone() };
        decode(&Target::from(target).transfer_syntax(), &image, &encoded, 0).expect("decoded").samples.to_le_bytes()
    }

    proptest! {
        #[test]
        fn near_lossless_values_are_as_near_as_asked(
            rows in 1u16..40, columns in 1u16..70, wide: bool, stored in 9u8..=16, signed: bool, colour: bool,
            noise in 0u8..4, seed: u64, near in 1u8..40,
        ) {
            let allocated = if wide { 16 } else { 8 };
            let image = image(rows, columns, (allocated, stored.min(allocated)), signed, colour);
            let native = native(&image, noise, seed);
            prop_assume!(!signed || encode(Lossy::JpegLs { near }, &image, &native).is_ok());
            let again = decoded(Lossy::JpegLs { near }, &image, &native);
            let values = |bytes: &[u8]| -> Vec<i32> {
                let sign = |value: i32| if image.signed { value << (32 - allocated) >> (32 - allocated) } else { value };
                values(&image, bytes).into_iter().map(sign).collect()
            };
            let apart = values(&native).into_iter().zip(values(&again)).map(|(one, other)| (one - other).abs()).max();
            prop_assert!(apart <= Some(near.into()), "{apart:?}");
        }
    }

    #[test]
    fn jpeg_baseline_keeps_the_picture_and_says_how_its_colour_is_written() {
        let mut image = image(48, 33, (8, 8), false, true);
        let ramp = |x: usize| [(x * 7) as u8, 255 - (x * 5) as u8, 90];
        let native: Vec<u8> = (0..48 * 33).flat_map(|at| ramp(at % 33)).collect();
        let target = Lossy::Jpeg { quality: 95 };
        assert_eq!(Target::from(target).photometric(&image), PhotometricInterpretation::YbrFull422);
        let apart = |again: Vec<u8>, native: &[u8]| again.iter().zip(native).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart(decoded(target, &image, &native), &native) <= Some(12));
        (image.samples_per_pixel, image.photometric) = (1, PhotometricInterpretation::Monochrome1);
        let native: Vec<u8> = native.into_iter().step_by(3).collect();
        assert!(apart(decoded(target, &image, &native), &native) <= Some(4));
    }

    #[test]
    fn a_value_that_might_change_its_sign_by_an_error_is_refused() {
        let image = image(1, 2, (16, 12), true, false);
        let near = Lossy::JpegLs { near: 3 };
        for (value, fits) in [(-2048, false), (2045, false), (-1, true), (0, true), (2044, true)] {
            let native = Samples::I16(vec![value, 0]).to_le_bytes();
            assert_eq!(encode(near, &image, &native).is_ok(), fits, "{value}");
        }
    }

    #[test]
    fn what_loses_something_is_refused_for_indices_and_jpeg_baseline_for_more_than_8_bits() {
        let grey = image(1, 1, (16, 12), false, false);
        let near = Lossy::JpegLs { near: 2 };
        assert_eq!(near.refusal(&grey), None);
        assert!(Lossy::Jpeg { quality: 90 }.refusal(&grey).is_some_and(|reason| reason.contains("8 bits")));
        let indices = ImagePixel { photometric: PhotometricInterpretation::PaletteColor, ..grey };
        assert!(near.refusal(&indices).is_some_and(|reason| reason.contains("palette")));
        assert!(Lossy::JpegLs { near: 200 }.refusal(&image(1, 1, (8, 8), false, false)).is_some());
    }

    #[test]
    fn a_transfer_syntax_has_one_target() {
        let of = |uid: &str| Target::of(&TransferSyntax::new(uid.parse().expect("a UID")), 90);
        for one in Lossless::ALL {
            assert_eq!(of(one.uid()), Some(Target::Lossless(one)));
        }
        assert_eq!(of(JPEG_BASELINE), Some(Target::Lossy(Lossy::Jpeg { quality: 90 })));
        assert_eq!(of(JPEG_LS_NEAR_LOSSLESS), Some(Target::Lossy(Lossy::JpegLs { near: 3 })));
        assert_eq!(of("1.2.840.10008.1.2.1"), None);
    }

    #[test]
    fn few_bits_without_a_sign_are_not_written_as_jpeg_or_jpeg_ls() {
        for (image, fits) in [
            (image(1, 2, (8, 7), false, false), false),
            (image(1, 2, (16, 7), false, false), false),
            (image(1, 2, (8, 7), true, false), true),
            (image(1, 2, (8, 8), false, false), true),
            (image(1, 2, (16, 8), false, false), true),
        ] {
            let eight_of_sixteen = |image: &ImagePixel| (image.bits_allocated, image.bits_stored) == (16, 8);
            assert_eq!(Lossless::JpegLs.refusal(&image).is_none(), fits && !eight_of_sixteen(&image), "{image:?}");
            assert_eq!(Lossless::Jpeg.refusal(&image).is_none(), fits, "{image:?}");
            assert_eq!(Lossless::Rle.refusal(&image), None);
        }
    }

    #[test]
    fn a_frame_of_one_value_is_small() {
        let image = image(512, 512, (16, 16), true, false);
        let native = Samples::I16(vec![-1000; 512 * 512]).to_le_bytes();
        for target in Lossless::ALL {
            assert!(encode(target, &image, &native).expect("encoded").len() < 40_000, "{target:?}");
        }
    }
}
