//! Frame → encoded frame.

use super::{ImagePixel, PhotometricInterpretation, PixelError, codec};
use crate::transfer_syntax::{
    DEFLATED_IMAGE_FRAME, HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_BASELINE, JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS, JPEG_XL_LOSSLESS, RLE_LOSSLESS, TransferSyntax,
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
    /// High-Throughput JPEG 2000 (ISO/IEC 15444-15), written as if it were the next.
    HtJpeg2000,
    /// The same by resolution: the codestream begins with smaller images (PS3.5 §10.18).
    HtJpeg2000Rpcl,
    /// JPEG XL (ISO/IEC 18181).
    JpegXl,
}

/// One that loses something: what is written so is another image, with a SOP Instance UID of its own (PS3.3 C.7.6.1.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lossy {
    /// JPEG Baseline, `quality` 1..=100 as of the Independent JPEG Group (ITU-T T.81).
    Jpeg { quality: u8 },
    /// JPEG-LS Near-Lossless: no value is more than `near` from what it was; 1..=127 (ITU-T T.87).
    JpegLs { near: u8 },
    /// High-Throughput JPEG 2000, `quality` 1..=100: at 100 errors are of the size of half a value of 256, at 50 of eight values
    /// (ISO/IEC 15444-15).
    HtJpeg2000 { quality: u8 },
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
        !matches!(self, Self::Lossy(Lossy::Jpeg { .. } | Lossy::HtJpeg2000 { .. }))
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
            (Self::Lossy(Lossy::HtJpeg2000 { .. }), 3) => PhotometricInterpretation::YbrIct,
            (Self::Lossless(Lossless::HtJpeg2000 | Lossless::HtJpeg2000Rpcl), 3)
                if image.photometric == PhotometricInterpretation::Rgb =>
            {
                PhotometricInterpretation::YbrRct
            }
            _ => image.photometric,
        }
    }
}

impl Lossless {
    pub const ALL: [Self; 7] = [
        Self::Rle,
        Self::DeflatedFrame,
        Self::Jpeg,
        Self::JpegLs,
        Self::HtJpeg2000,
        Self::HtJpeg2000Rpcl,
        Self::JpegXl,
    ];

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
            Self::HtJpeg2000 => HTJ2K_LOSSLESS,
            Self::HtJpeg2000Rpcl => HTJ2K_LOSSLESS_RPCL,
            Self::JpegXl => JPEG_XL_LOSSLESS,
        }
    }

    /// Why frames of `image` cannot be written in this way; `None` if they can.
    ///
    /// Components come out as they go in; HTJ2K transforms R, G, B in between, which [`Target::photometric`] says.
    pub fn refusal(self, image: &ImagePixel) -> Option<&'static str> {
        use PhotometricInterpretation::YbrFull;
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
            Self::HtJpeg2000 | Self::HtJpeg2000Rpcl => matches!(image.bits_allocated, 8 | 16),
            Self::JpegXl => matches!(image.bits_allocated, 8 | 16) && !image.signed,
        };
        first_broken([
            (!image.float, "pixels are floating point numbers"),
            (bits, "Bits Allocated or Bits Stored cannot be carried"),
            // Readers take three components of JPEG XL for R, G, B.
            (
                self != Self::JpegXl || image.photometric != YbrFull,
                "Photometric Interpretation cannot be carried as it is",
            ),
            (image.has_plain_components(), "Photometric Interpretation cannot be carried as it is"),
            (image.high_bit + 1 == image.bits_stored, "High Bit is not the last of Bits Stored"),
            (image.samples() <= MAX_FRAME_SAMPLES, "a frame is too large"),
            (self != Self::JpegXl || image.rows > 1 && image.columns > 1, "a frame of one line"),
        ])
    }
}

impl Lossy {
    /// The one that a transfer syntax stands for, at a `quality` of 1..=100: of JPEG-LS, 100 allows an error of 1 and each
    /// five less one more.
    pub fn of(transfer_syntax: &TransferSyntax, quality: u8) -> Option<Self> {
        let quality = quality.clamp(1, 100);
        let near = (100 - quality) / 5 + 1;
        let all = [Self::Jpeg { quality }, Self::JpegLs { near }, Self::HtJpeg2000 { quality }];
        all.into_iter().find(|one| one.uid() == transfer_syntax.uid().as_str())
    }

    const fn uid(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => JPEG_BASELINE,
            Self::JpegLs { .. } => JPEG_LS_NEAR_LOSSLESS,
            Self::HtJpeg2000 { .. } => HTJ2K,
        }
    }

    /// Lossy Image Compression Method (0028,2114), its defined term (PS3.3 C.7.6.1.1.5.1).
    pub const fn method(self) -> &'static str {
        match self {
            Self::Jpeg { .. } => "ISO_10918_1",
            Self::JpegLs { .. } => "ISO_14495_1",
            Self::HtJpeg2000 { .. } => "ISO_15444_15",
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
            Self::HtJpeg2000 { .. } => None,
        };
        let is_index = image.photometric == PhotometricInterpretation::PaletteColor;
        let index =
            first_broken([(!is_index, "pixels are indices of a palette, which near ones have nothing to do with")]);
        // The others are those of a lossless sister.
        let sister = if let Self::HtJpeg2000 { .. } = self { Lossless::HtJpeg2000 } else { Lossless::JpegLs };
        index.or(reason).or_else(|| sister.refusal(image))
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
/// zero or the sign. [`Lossy::Jpeg`] and [`Lossy::HtJpeg2000`] take
/// colour for RGB, every other target writes components as they come.
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
        Target::Lossless(Lossless::HtJpeg2000 | Lossless::HtJpeg2000Rpcl) => {
            codec::htjpeg2000::encode(image, None, signed_values(image, native))
        }
        Target::Lossless(Lossless::JpegXl) => codec::jpeg_xl::encode(image, native),
        Target::Lossy(Lossy::HtJpeg2000 { quality }) => {
            codec::htjpeg2000::encode(image, Some(quality), signed_values(image, native))
        }
        Target::Lossy(Lossy::JpegLs { near }) => near_lossless(image, near, native),
        Target::Lossy(Lossy::Jpeg { quality }) => codec::jpeg::encode_baseline(image, quality, native),
    }
}

/// A signed value that might leave the range of Bits Stored by an error, and so change its sign, is refused: codestreams have
/// none, and their largest value is the neighbour of the smallest.
fn near_lossless(image: &ImagePixel, near: u8, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let room = (1i32 << (image.bits_stored - 1)) - i32::from(near);
    if image.signed && signed_values(image, native).iter().any(|value| !(-room..room).contains(value)) {
        return Err(PixelError::codec("a value is too near the end of its range"));
    }
    codec::jpeg_ls::encode(image, precision(image), near, &values(image, native))
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

/// The values with their sign.
fn signed_values(image: &ImagePixel, native: &[u8]) -> Vec<i32> {
    match (image.signed, image.bits_allocated) {
        (false, _) => values(image, native),
        (true, 8) => native.iter().map(|&byte| byte.cast_signed().into()).collect(),
        (true, _) => native.as_chunks().0.iter().map(|&word| i16::from_le_bytes(word).into()).collect(),
    }
}

#[cfg(test)]
mod tests;
