//! Presentation: display values → 8-bit grey or RGB.

use super::samples::{each, num};
use super::{Frame, ImagePixel, ModalityLut, Palette, PhotometricInterpretation, PixelError, Samples, VoiLut, Window};

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
///
/// Fails if `frame` is not a frame of `image`.
pub fn render(frame: &Frame, image: &ImagePixel, presentation: &Presentation) -> Result<Rendered, PixelError> {
    let expected = usize::from(frame.rows) * usize::from(frame.columns) * usize::from(frame.samples_per_pixel);
    if frame.samples.len() != expected {
        return Err(PixelError::Length { expected, actual: frame.samples.len() });
    }
    let Frame { rows, columns, .. } = *frame;
    let mut rendered = match (&image.palette, frame.samples_per_pixel) {
        (Some(palette), 1) => Rendered::Rgb { rows, columns, pixels: coloured(&frame.samples, palette) },
        (_, 1) => return Ok(Rendered::Grey { rows, columns, pixels: grey(frame, image, presentation) }),
        _ => Rendered::Rgb { rows, columns, pixels: to_8_bits(&frame.samples, image.bits_stored) },
    };
    if presentation.invert
        && let Rendered::Rgb { pixels, .. } = &mut rendered
    {
        pixels.iter_mut().for_each(|p| *p = !*p);
    }
    Ok(rendered)
}

/// Smallest and largest rescaled value of a frame, pixel padding left out; `None` if nothing is left.
pub fn rescaled_range(frame: &Frame, image: &ImagePixel, lut: &ModalityLut) -> Option<(f64, f64)> {
    let padding = image.padding.map(|(low, high)| (f64::from(low), f64::from(high)));
    let shown = |v: f64| v.is_finite() && padding.is_none_or(|(low, high)| v < low || v > high);
    let (min, max) = each!(&frame.samples, values => {
        let values = values.iter().map(|&v| num(v)).filter(|&v| shown(v));
        match lut {
            // Monotonic: the ends of the stored values are the ends of the rescaled ones.
            ModalityLut::Rescale { .. } => values.fold((f64::INFINITY, f64::NEG_INFINITY), widen),
            ModalityLut::Table { .. } => values.map(|v| lut.apply(v)).fold((f64::INFINITY, f64::NEG_INFINITY), widen),
        }
    });
    let (a, b) = match lut {
        ModalityLut::Rescale { .. } => (lut.apply(min), lut.apply(max)),
        ModalityLut::Table { .. } => (min, max),
    };
    (min <= max).then(|| (a.min(b), a.max(b)))
}

fn widen((min, max): (f64, f64), value: f64) -> (f64, f64) {
    (min.min(value), max.max(value))
}

fn grey(frame: &Frame, image: &ImagePixel, presentation: &Presentation) -> Vec<u8> {
    let lut = &presentation.modality_lut;
    let voi_lut = presentation.voi_lut.clone().unwrap_or_else(|| own_range(frame, image, lut));
    let voi = voi_lut.mapping();
    let invert = presentation.invert != (image.photometric == PhotometricInterpretation::Monochrome1);
    map(&frame.samples, |stored| {
        let shown = voi(lut.apply(stored));
        // Saturates: no value leaves 0..=255, not a number is black.
        (255.0 * if invert { 1.0 - shown } else { shown }).round() as u8
    })
}

fn own_range(frame: &Frame, image: &ImagePixel, lut: &ModalityLut) -> VoiLut {
    let range = match image.bits_stored {
        // A mask of ones only is white, not a grey image without contrast.
        1 => Some((0.0, 1.0)),
        _ => rescaled_range(frame, image, lut),
    };
    let (min, max) = range.unwrap_or((0.0, 1.0));
    VoiLut::Window(Window::spanning(min, max))
}

fn coloured(samples: &Samples, palette: &Palette) -> Vec<u8> {
    map(samples, |stored| palette.colour(stored)).into_flattened()
}

/// Colour samples scaled to 8 bits.
fn to_8_bits(samples: &Samples, bits_stored: u8) -> Vec<u8> {
    match samples {
        Samples::U8(values) if bits_stored == 8 => values.clone(),
        _ => {
            let scale = 255.0 / (2f64.powi(i32::from(bits_stored)) - 1.0);
            map(samples, |value| (value * scale).round() as u8)
        }
    }
}

/// Maps every sample; up to 16 bits through a table of the values met, so that the pipeline runs once a value and
/// not once a pixel.
fn map<T: Copy + Default>(samples: &Samples, f: impl Fn(f64) -> T) -> Vec<T> {
    match samples {
        Samples::U8(v) => map_by_table(v, |v| v.into(), f),
        Samples::I8(v) => map_by_table(v, |v| v.into(), f),
        Samples::U16(v) => map_by_table(v, |v| v.into(), f),
        Samples::I16(v) => map_by_table(v, |v| v.into(), f),
        wide => each!(wide, values => values.iter().map(|&v| f(num(v))).collect()),
    }
}

fn map_by_table<S: Copy + Ord, T: Copy + Default>(values: &[S], to_i32: fn(S) -> i32, f: impl Fn(f64) -> T) -> Vec<T> {
    let (Some(&min), Some(&max)) = (values.iter().min(), values.iter().max()) else { return Vec::new() };
    let (min, max) = (to_i32(min), to_i32(max));
    let table: Vec<T> = (min..=max).map(|value| f(value.into())).collect();
    values.iter().map(|&value| table.get((to_i32(value) - min) as usize).copied().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::VoiFunction;

    fn image(photometric: PhotometricInterpretation, bits: u8) -> ImagePixel {
        ImagePixel {
            rows: 1,
            columns: 4,
            samples_per_pixel: 1,
            photometric,
            bits_allocated: 16,
            bits_stored: bits,
            high_bit: bits - 1,
            signed: true,
            float: false,
            planar: false,
            frames: 1,
            palette: None,
            padding: None,
            words: true,
        }
    }

    fn frame(samples: Samples) -> Frame {
        Frame { rows: 1, columns: 4, samples_per_pixel: 1, samples }
    }

    fn presentation(voi_lut: Option<VoiLut>) -> Presentation {
        Presentation { modality_lut: ModalityLut::IDENTITY, voi_lut, invert: false }
    }

    fn pixels(rendered: Rendered) -> Vec<u8> {
        match rendered {
            Rendered::Grey { pixels, .. } | Rendered::Rgb { pixels, .. } => pixels,
        }
    }

    #[test]
    fn a_lung_window_maps_hounsfield_to_grey() {
        let window = Window { center: -600.0, width: 1500.0, function: VoiFunction::LinearExact, explanation: None };
        let presentation = Presentation {
            modality_lut: ModalityLut::Rescale { slope: 1.0, intercept: -1024.0 },
            ..presentation(Some(VoiLut::Window(window)))
        };
        let frame = frame(Samples::I16(vec![0, 424, 1174, 3000]));
        let rendered = render(&frame, &image(PhotometricInterpretation::Monochrome2, 12), &presentation).unwrap();
        assert_eq!(pixels(rendered), [55, 128, 255, 255]);
    }

    #[test]
    fn monochrome1_is_inverted_after_the_voi_lut_and_invert_undoes_it() {
        let image = image(PhotometricInterpretation::Monochrome1, 12);
        let frame = frame(Samples::I16(vec![0, 1, 2, 3]));
        let mut presentation = presentation(None);
        assert_eq!(pixels(render(&frame, &image, &presentation).unwrap()), [255, 170, 85, 0]);
        presentation.invert = true;
        assert_eq!(pixels(render(&frame, &image, &presentation).unwrap()), [0, 85, 170, 255]);
    }

    #[test]
    fn padding_does_not_widen_the_automatic_window() {
        let padded = ImagePixel { padding: Some((-2000, -2000)), ..image(PhotometricInterpretation::Monochrome2, 16) };
        let frame = frame(Samples::I16(vec![-2000, 0, 50, 100]));
        assert_eq!(rescaled_range(&frame, &padded, &ModalityLut::IDENTITY), Some((0.0, 100.0)));
        assert_eq!(pixels(render(&frame, &padded, &presentation(None)).unwrap()), [0, 0, 128, 255]);
    }

    #[test]
    fn a_frame_of_padding_only_renders() {
        let padded = ImagePixel { padding: Some((-9, 9)), ..image(PhotometricInterpretation::Monochrome2, 16) };
        let frame = frame(Samples::I16(vec![0; 4]));
        assert_eq!(rescaled_range(&frame, &padded, &ModalityLut::IDENTITY), None);
        assert!(render(&frame, &padded, &presentation(None)).is_ok());
    }

    #[test]
    fn a_negative_slope_swaps_the_ends_of_the_range() {
        let lut = ModalityLut::Rescale { slope: -2.0, intercept: 10.0 };
        let frame = frame(Samples::F32(vec![1.0, f32::NAN, 3.0, 2.0]));
        let image = image(PhotometricInterpretation::Monochrome2, 16);
        assert_eq!(rescaled_range(&frame, &image, &lut), Some((4.0, 8.0)));
    }

    #[test]
    fn palette_indices_become_colours() {
        let palette = Palette { first: 1, rgb: vec![[1, 2, 3], [4, 5, 6]] };
        let image =
            ImagePixel { palette: Some(Box::new(palette)), ..image(PhotometricInterpretation::PaletteColor, 8) };
        let rendered = render(&frame(Samples::U8(vec![0, 1, 2, 9])), &image, &presentation(None)).unwrap();
        assert_eq!(pixels(rendered), [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]);
    }

    #[test]
    fn sixteen_bit_colour_is_scaled_by_bits_stored() {
        let image = ImagePixel { samples_per_pixel: 3, ..image(PhotometricInterpretation::Rgb, 12) };
        let frame = Frame { rows: 1, columns: 1, samples_per_pixel: 3, samples: Samples::U16(vec![0, 2048, 4095]) };
        assert_eq!(pixels(render(&frame, &image, &presentation(None)).unwrap()), [0, 128, 255]);
    }

    #[test]
    fn a_frame_shorter_than_it_says_is_refused() {
        let frame = frame(Samples::U8(vec![0; 3]));
        let image = image(PhotometricInterpretation::Monochrome2, 8);
        assert!(matches!(render(&frame, &image, &presentation(None)), Err(PixelError::Length { .. })));
    }
}
