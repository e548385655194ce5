//! A slice ready to be drawn: texels as the graphics card takes them, and the window they are seen through.

use std::borrow::Cow;

use pacs_core::pixel::presentation::Rendered;
use pacs_core::pixel::{
    Frame, ImagePixel, ModalityLut, PhotometricInterpretation, Presentation, Samples, VoiLut, Window, render,
};

use crate::frames::Held;
use crate::series::Slice;
use crate::shading::Shading;

/// Values of an image, row by row from the top.
#[derive(Debug, Clone, PartialEq)]
pub enum Texels<'a> {
    I16(Cow<'a, [i16]>),
    U16(Cow<'a, [u16]>),
    F32(Cow<'a, [f32]>),
    /// Display values, three a pixel.
    Rgb8(Vec<u8>),
}

/// How texels become grey (PS3.3 C.11): `slope * texel + intercept`, then the window.
#[derive(Debug, Clone, PartialEq)]
pub struct Tone {
    pub slope: f64,
    pub intercept: f64,
    pub window: Window,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Picture<'a> {
    pub rows: u16,
    pub columns: u16,
    pub texels: Texels<'a>,
    /// `None`: the texels are display values already.
    pub tone: Option<Tone>,
    /// Last step: MONOCHROME1 (PS3.3 C.7.6.3.1.2) or the reader's wish, but not both.
    pub inverted: bool,
}

impl<'a> Picture<'a> {
    /// Grey values with a window stay values, so that the window can move without new texels; colour, palettes and VOI
    /// tables are rendered by `pacs_core`. Fails with the reason for the reader.
    pub fn of(slice: &Slice, held: &'a Held, shading: &Shading, inverted: bool) -> Result<Self, String> {
        let image = slice.image.as_ref().map_err(Clone::clone)?;
        let frame = &held.frame;
        match shading.voi_lut(slice, held.range) {
            VoiLut::Window(window) if is_grey(image, frame) => {
                let (texels, slope, intercept) = values(&frame.samples, &slice.modality_lut);
                let monochrome1 = image.photometric == PhotometricInterpretation::Monochrome1;
                Ok(Self {
                    rows: frame.rows,
                    columns: frame.columns,
                    texels,
                    tone: Some(Tone { slope, intercept, window }),
                    inverted: inverted != monochrome1,
                })
            }
            voi_lut => rendered(slice, image, frame, voi_lut, inverted),
        }
    }
}

fn is_grey(image: &ImagePixel, frame: &Frame) -> bool {
    frame.samples_per_pixel == 1 && image.photometric != PhotometricInterpretation::PaletteColor
}

/// Stored values in a form the card takes, and the rescale that is left to do.
fn values<'a>(samples: &'a Samples, modality_lut: &ModalityLut) -> (Texels<'a>, f64, f64) {
    match modality_lut {
        ModalityLut::Rescale { slope, intercept } => (stored(samples), *slope, *intercept),
        ModalityLut::Table { .. } => {
            let rescaled = numbers(samples).into_iter().map(|value| modality_lut.apply(f64::from(value)) as f32);
            (Texels::F32(rescaled.collect()), 1.0, 0.0)
        }
    }
}

fn stored(samples: &Samples) -> Texels<'_> {
    match samples {
        Samples::U8(v) => Texels::U16(v.iter().map(|value| u16::from(*value)).collect()),
        Samples::I8(v) => Texels::I16(v.iter().map(|value| i16::from(*value)).collect()),
        Samples::U16(v) => Texels::U16(Cow::Borrowed(v)),
        Samples::I16(v) => Texels::I16(Cow::Borrowed(v)),
        Samples::F32(v) => Texels::F32(Cow::Borrowed(v)),
        wide => Texels::F32(numbers(wide).into()),
    }
}

/// As `f32`: 32-bit integers and doubles lose what no screen shows.
fn numbers(samples: &Samples) -> Vec<f32> {
    match samples {
        Samples::U8(v) => v.iter().map(|value| f32::from(*value)).collect(),
        Samples::I8(v) => v.iter().map(|value| f32::from(*value)).collect(),
        Samples::U16(v) => v.iter().map(|value| f32::from(*value)).collect(),
        Samples::I16(v) => v.iter().map(|value| f32::from(*value)).collect(),
        Samples::U32(v) => v.iter().map(|value| *value as f32).collect(),
        Samples::I32(v) => v.iter().map(|value| *value as f32).collect(),
        Samples::F32(v) => v.clone(),
        Samples::F64(v) => v.iter().map(|value| *value as f32).collect(),
    }
}

fn rendered(
    slice: &Slice,
    image: &ImagePixel,
    frame: &Frame,
    voi_lut: VoiLut,
    inverted: bool,
) -> Result<Picture<'static>, String> {
    let presentation = Presentation { modality_lut: slice.modality_lut.clone(), voi_lut: Some(voi_lut), invert: false };
    let (rows, columns, rgb) = match render(frame, image, &presentation).map_err(|error| error.to_string())? {
        Rendered::Grey { rows, columns, pixels } => (rows, columns, pixels.iter().flat_map(|v| [*v; 3]).collect()),
        Rendered::Rgb { rows, columns, pixels } => (rows, columns, pixels),
    };
    Ok(Picture { rows, columns, texels: Texels::Rgb8(rgb), tone: None, inverted })
}
