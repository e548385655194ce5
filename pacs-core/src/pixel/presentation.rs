//! Presentation: display values → 8-bit grey or RGB.

use super::{Frame, ImagePixel, ModalityLut, PixelError, VoiLut};

#[derive(Debug, Clone)]
pub struct Presentation {
    pub modality_lut: ModalityLut,
    /// `None`: the range of the frame's own values.
    pub voi_lut: Option<VoiLut>,
    pub invert: bool,
}

/// 8-bit pixels ready for the screen or an encoder, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Rendered {
    Grey { rows: u16, columns: u16, pixels: Vec<u8> },
    Rgb { rows: u16, columns: u16, pixels: Vec<u8> },
}

/// Colour frames pass through; palettes are applied; MONOCHROME1 is inverted after the VOI LUT (PS3.3 C.7.6.3.1.2).
pub fn render(frame: &Frame, image: &ImagePixel, presentation: &Presentation) -> Result<Rendered, PixelError> {
    todo!()
}
