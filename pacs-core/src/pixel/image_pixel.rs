//! Image Pixel module (PS3.3 C.7.6.3).

use super::PixelError;
use crate::attributes::Attributes;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotometricInterpretation {
    Monochrome1,
    Monochrome2,
    PaletteColor,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrPartial420,
    YbrIct,
    YbrRct,
    /// JPEG XL (Supplement 232).
    Xyb,
}

/// How the samples of a frame are laid out. Made only when every value is in range.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePixel {
    pub rows: u16,
    pub columns: u16,
    pub samples_per_pixel: u8,
    pub photometric: PhotometricInterpretation,
    /// 1, 8, 16 or 32 (integers and floats), 64 (double float).
    pub bits_allocated: u8,
    pub bits_stored: u8,
    pub high_bit: u8,
    pub signed: bool,
    /// Float or Double Float Pixel Data.
    pub float: bool,
    /// Colour-by-plane (native only).
    pub planar: bool,
    pub frames: u32,
    /// Red, green, blue palettes: descriptor (entries, first mapped, bits) and values scaled to 8 bits.
    pub palette: Option<Box<Palette>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    pub first: i32,
    pub rgb: Vec<[u8; 3]>,
}

impl ImagePixel {
    /// From the instance's metadata; palettes from InlineBinary.
    pub fn of(attributes: Attributes<'_>) -> Result<Self, PixelError> {
        todo!()
    }

    /// Bytes of one native frame as stored; 1-bit frames rounded up.
    pub fn native_frame_len(&self) -> usize {
        todo!()
    }
}
