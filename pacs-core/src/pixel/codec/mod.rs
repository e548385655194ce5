//! One file or folder for every compression of PS3.5 §A.4.
//!
//! A decoder first compares the dimensions its codestream declares with the checked [`ImagePixel`], so that no
//! codestream decides how much is allocated.

pub(super) mod codestream;
pub(super) mod deflate;
pub(super) mod htjpeg2000;
pub(super) mod jpeg;
pub(super) mod jpeg2000;
pub(super) mod jpeg_ls;
#[cfg(feature = "jpeg-xl")]
pub(super) mod jpeg_xl;
mod partition;
pub(super) mod rle;
mod segments;

use super::{ImagePixel, PhotometricInterpretation, PixelError, Samples, colour};

/// What a codestream says about its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    rows: u32,
    columns: u32,
    samples_per_pixel: u32,
}

impl Shape {
    fn check(self, image: &ImagePixel) -> Result<(), PixelError> {
        let declared = Self {
            rows: image.rows.into(),
            columns: image.columns.into(),
            samples_per_pixel: image.samples_per_pixel.into(),
        };
        match self == declared {
            true => Ok(()),
            false => Err(PixelError::Codec(format!("codestream is {self}, instance says {declared}"))),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {} × {}", self.rows, self.columns, self.samples_per_pixel)
    }
}

/// A decoded codestream: interleaved samples of a frame.
#[derive(Debug, Clone)]
pub(super) struct Decoded {
    /// Bits a sample has in the codestream.
    precision: u8,
    values: Vec<i32>,
    /// The codestream declares its samples signed.
    signed: bool,
    /// The samples are Y, CB, CR still.
    ybr: bool,
}

impl Decoded {
    /// Whether Photometric Interpretation says that the components of a codestream without a colour space are YBR.
    fn declared_ybr(image: &ImagePixel) -> bool {
        use PhotometricInterpretation::*;
        matches!(image.photometric, YbrFull | YbrFull422 | YbrPartial420)
    }

    /// In the container that the instance declares, and with its sign, but that grey samples which the codestream calls
    /// signed stay so: there are scanners that write Hounsfield units as Pixel Representation 0, and -1000 shown as
    /// 64536 is white air. The bytes are the same either way.
    pub(super) fn into_samples(self, image: &ImagePixel) -> Result<Samples, PixelError> {
        let expected = image.samples();
        if self.values.len() != expected {
            return Err(PixelError::Length { expected, actual: self.values.len() });
        }
        let bits = self.precision.min(image.bits_stored).clamp(1, 32);
        let unsigned = |v: i32| (v as u32) << (32 - bits) >> (32 - bits);
        // Codestreams without a sign hold two's complement of as many bits as they have.
        let signed = |v: i32| v << (32 - bits) >> (32 - bits);
        let grey = image.samples_per_pixel == 1 && image.palette.is_none();
        let samples = match (image.bits_allocated, image.signed || self.signed && grey) {
            (1 | 8, false) => Samples::U8(self.values.into_iter().map(|v| unsigned(v) as u8).collect()),
            (1 | 8, true) => Samples::I8(self.values.into_iter().map(|v| signed(v) as i8).collect()),
            (16, false) => Samples::U16(self.values.into_iter().map(|v| unsigned(v) as u16).collect()),
            (16, true) => Samples::I16(self.values.into_iter().map(|v| signed(v) as i16).collect()),
            (_, false) => Samples::U32(self.values.into_iter().map(unsigned).collect()),
            (_, true) => Samples::I32(self.values.into_iter().map(signed).collect()),
        };
        Ok(if self.ybr { colour::ybr_full_to_rgb(samples, image.bits_stored) } else { samples })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An unsigned image of whole containers.
    pub(in crate::pixel) fn image(rows: u16, columns: u16, samples_per_pixel: u8, bits: u8) -> ImagePixel {
        let photometric = match samples_per_pixel {
            1 => PhotometricInterpretation::Monochrome2,
            _ => PhotometricInterpretation::Rgb,
        };
        ImagePixel {
            rows,
            columns,
            samples_per_pixel,
            photometric,
            bits_allocated: bits,
            bits_stored: bits,
            high_bit: bits - 1,
            signed: false,
            float: false,
            planar: false,
            frames: 1,
            palette: None,
            padding: None,
            words: false,
        }
    }

    #[test]
    fn a_codestream_without_sign_holds_twos_complement_of_its_own_width() {
        let signed = ImagePixel { signed: true, bits_stored: 13, high_bit: 12, ..image(1, 2, 1, 16) };
        let decoded = Decoded { precision: 12, values: vec![0xFFF, 5], signed: false, ybr: false };
        assert_eq!(decoded.into_samples(&signed).unwrap(), Samples::I16(vec![-1, 5]));
    }

    #[test]
    fn grey_samples_that_the_codestream_calls_signed_stay_so_and_keep_their_bytes() {
        let decoded = |values| Decoded { precision: 16, values, signed: true, ybr: false };
        let grey = decoded(vec![-1024, 40]).into_samples(&image(1, 2, 1, 16)).unwrap();
        assert_eq!(grey, Samples::I16(vec![-1024, 40]));
        assert_eq!(grey.to_le_bytes(), Samples::U16(vec![64512, 40]).to_le_bytes());
        let colour = decoded(vec![-1, 0, 1]).into_samples(&image(1, 1, 3, 16)).unwrap();
        assert_eq!(colour, Samples::U16(vec![65535, 0, 1]));
    }

    #[test]
    fn a_codestream_of_another_shape_is_refused() {
        let shape = Shape { rows: 65535, columns: 65535, samples_per_pixel: 1 };
        let error = shape.check(&image(1, 2, 1, 8)).unwrap_err().to_string();
        assert!(error.contains("65535 × 65535 × 1"), "{error}");
    }
}
