//! Image Pixel module (PS3.3 C.7.6.3).

use super::{Palette, PixelError, palette};
use crate::attributes::Attributes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;

/// Frames with more samples are refused: 16,384 × 16,384 grey, four times the largest detector. Decoding takes up to 17
/// bytes of memory a sample (JPEG 2000), 4.6 GB here.
const MAX_FRAME_SAMPLES: u64 = 1 << 28;

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

impl PhotometricInterpretation {
    /// The defined term (PS3.3 C.7.6.3.1.2).
    pub const fn term(self) -> &'static str {
        match self {
            Self::Monochrome1 => "MONOCHROME1",
            Self::Monochrome2 => "MONOCHROME2",
            Self::PaletteColor => "PALETTE COLOR",
            Self::Rgb => "RGB",
            Self::YbrFull => "YBR_FULL",
            Self::YbrFull422 => "YBR_FULL_422",
            Self::YbrPartial420 => "YBR_PARTIAL_420",
            Self::YbrIct => "YBR_ICT",
            Self::YbrRct => "YBR_RCT",
            Self::Xyb => "XYB",
        }
    }
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
    /// Smallest and largest stored value that stand for "no pixel here" (PS3.3 C.7.5.1.1.2).
    pub padding: Option<(i32, i32)>,
    /// Pixel Data has VR OW: in big endian, bytes are swapped in pairs whatever Bits Allocated says (PS3.5 §8.1.1).
    pub words: bool,
}

impl ImagePixel {
    /// From the instance's metadata; palettes from InlineBinary.
    pub fn of(attributes: Attributes<'_>) -> Result<Self, PixelError> {
        let image = Self::unchecked(attributes)?;
        image.check()?;
        Ok(image)
    }

    fn unchecked(attributes: Attributes<'_>) -> Result<Self, PixelError> {
        let photometric = photometric(attributes)?;
        let float = attributes.contains(tags::FLOAT_PIXEL_DATA) || attributes.contains(tags::DOUBLE_FLOAT_PIXEL_DATA);
        let bits_allocated: u8 = ranged(attributes, tags::BITS_ALLOCATED, "Bits Allocated", 1..=64)?;
        let bits_stored: u8 = match float {
            true => bits_allocated,
            false => ranged_or(attributes, tags::BITS_STORED, "Bits Stored", 1..=64, bits_allocated)?,
        };
        let high_bit = match float {
            true => bits_allocated.saturating_sub(1),
            false => ranged_or(attributes, tags::HIGH_BIT, "High Bit", 0..=63, bits_stored.saturating_sub(1))?,
        };
        let signed = ranged_or(attributes, tags::PIXEL_REPRESENTATION, "Pixel Representation", 0..=1, 0u8)? == 1;
        Ok(Self {
            rows: ranged(attributes, tags::ROWS, "Rows", 1..=0xFFFF)?,
            columns: ranged(attributes, tags::COLUMNS, "Columns", 1..=0xFFFF)?,
            samples_per_pixel: ranged_or(attributes, tags::SAMPLES_PER_PIXEL, "Samples per Pixel", 1..=3, 1)?,
            photometric,
            bits_allocated,
            bits_stored,
            high_bit,
            signed,
            float,
            planar: ranged_or(attributes, tags::PLANAR_CONFIGURATION, "Planar Configuration", 0..=1, 0u8)? == 1,
            frames: ranged_or(attributes, tags::NUMBER_OF_FRAMES, "Number of Frames", 1..=0x7FFF_FFFF, 1)?,
            palette: match photometric {
                PhotometricInterpretation::PaletteColor => Some(Box::new(palette::of(attributes, signed)?)),
                _ => None,
            },
            padding: padding(attributes, signed),
            words: attributes.vr(tags::PIXEL_DATA) == Some("OW"),
        })
    }

    /// The rules between the values (PS3.5 §8.1.1, PS3.3 C.7.6.3.1).
    fn check(&self) -> Result<(), PixelError> {
        let integer = !self.float && matches!(self.bits_allocated, 1 | 8 | 16 | 32);
        let float = self.float && matches!(self.bits_allocated, 32 | 64) && self.samples_per_pixel == 1;
        let samples = u64::from(self.rows) * u64::from(self.columns) * u64::from(self.samples_per_pixel);
        let rules = [
            (integer || float, "Bits Allocated"),
            ((1..=self.bits_allocated).contains(&self.bits_stored), "Bits Stored"),
            ((self.bits_stored - 1..self.bits_allocated).contains(&self.high_bit), "High Bit"),
            (self.samples_per_pixel == samples_of(self.photometric), "Samples per Pixel"),
            (self.samples_per_pixel == 1 || self.bits_allocated != 1, "Bits Allocated"),
            (samples <= MAX_FRAME_SAMPLES, "Rows"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, name)) => Err(PixelError::Attribute(name)),
            None => Ok(()),
        }
    }

    pub(super) fn pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Samples of one decoded frame.
    pub fn samples(&self) -> usize {
        self.pixels() * usize::from(self.samples_per_pixel)
    }

    /// Bytes of one native frame as stored; 1-bit frames rounded up.
    pub fn native_frame_len(&self) -> usize {
        match (self.bits_allocated, self.photometric) {
            (1, _) => self.pixels().div_ceil(8),
            // Two pixels share their chroma: Y1 Y2 Cb Cr (PS3.3 C.7.6.3.1.2).
            (bits, PhotometricInterpretation::YbrFull422) => self.pixels().div_ceil(2) * 4 * usize::from(bits / 8),
            (bits, _) => self.samples() * usize::from(bits / 8),
        }
    }
}

fn samples_of(photometric: PhotometricInterpretation) -> u8 {
    use PhotometricInterpretation::*;
    match photometric {
        Monochrome1 | Monochrome2 | PaletteColor => 1,
        Rgb | YbrFull | YbrFull422 | YbrPartial420 | YbrIct | YbrRct | Xyb => 3,
    }
}

fn photometric(attributes: Attributes<'_>) -> Result<PhotometricInterpretation, PixelError> {
    use PhotometricInterpretation::*;
    // Float Pixel Data may do without it; it is then grey (PS3.3 C.7.6.24).
    let term = attributes.text(tags::PHOTOMETRIC_INTERPRETATION).map_or("MONOCHROME2", str::trim);
    let known = [Monochrome1, Monochrome2, PaletteColor, Rgb, YbrFull, YbrFull422, YbrPartial420, YbrIct, YbrRct, Xyb];
    let named = known.into_iter().find(|photometric| photometric.term() == term);
    named.ok_or(PixelError::Attribute("Photometric Interpretation"))
}

/// Pixel Padding Value and Range Limit; some scanners write a signed value as unsigned, so the sign comes from the
/// pixels.
fn padding(attributes: Attributes<'_>, signed: bool) -> Option<(i32, i32)> {
    let of = |tag| match attributes.integer(tag)? {
        n @ 0x8000..=0xFFFF if signed => Some(n as i32 - 0x1_0000),
        n @ -0x8000..0 if !signed => Some(n as i32 + 0x1_0000),
        n => i32::try_from(n).ok(),
    };
    let value = of(tags::PIXEL_PADDING_VALUE)?;
    let limit = of(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some((value.min(limit), value.max(limit)))
}

fn ranged<T: TryFrom<i64> + PartialOrd>(
    attributes: Attributes<'_>,
    tag: Tag,
    name: &'static str,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, PixelError> {
    let value = attributes.integer(tag).and_then(|n| T::try_from(n).ok());
    value.filter(|n| range.contains(n)).ok_or(PixelError::Attribute(name))
}

/// As [`ranged`]; an element without a value is `default`.
fn ranged_or<T: TryFrom<i64> + PartialOrd>(
    attributes: Attributes<'_>,
    tag: Tag,
    name: &'static str,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T, PixelError> {
    match attributes.number(tag) {
        None => Ok(default),
        Some(_) => ranged(attributes, tag, name, range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ct() -> Value {
        json!({
            "00280002": {"vr": "US", "Value": [1]},
            "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
            "00280010": {"vr": "US", "Value": [512]},
            "00280011": {"vr": "US", "Value": [256]},
            "00280100": {"vr": "US", "Value": [16]},
            "00280101": {"vr": "US", "Value": [12]},
            "00280102": {"vr": "US", "Value": [11]},
            "00280103": {"vr": "US", "Value": [1]},
            "00280120": {"vr": "US", "Value": [63536]},
            "7FE00010": {"vr": "OW", "BulkDataURI": "x"},
        })
    }

    fn of(value: &Value) -> Result<ImagePixel, PixelError> {
        ImagePixel::of(Attributes::of(value).unwrap())
    }

    fn refused(tag: &str, value: Value, name: &str) {
        let mut changed = ct();
        changed[tag] = json!({"vr": "US", "Value": [value]});
        match of(&changed) {
            Err(PixelError::Attribute(actual)) => assert_eq!(actual, name),
            other => panic!("{tag} = {value}: {other:?}"),
        }
    }

    #[test]
    fn a_ct_slice_is_read() {
        let image = of(&ct()).unwrap();
        assert_eq!((image.rows, image.columns, image.frames), (512, 256, 1));
        assert_eq!((image.bits_allocated, image.bits_stored, image.high_bit, image.signed), (16, 12, 11, true));
        assert_eq!(image.native_frame_len(), 512 * 256 * 2);
    }

    #[test]
    fn padding_written_as_unsigned_is_read_by_the_sign_of_the_pixels() {
        assert_eq!(of(&ct()).unwrap().padding, Some((-2000, -2000)));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        refused("00280010", json!(0), "Rows");
        refused("00280010", json!(65536), "Rows");
        refused("00280011", json!(-1), "Columns");
        refused("00280002", json!(4), "Samples per Pixel");
        refused("00280002", json!(3), "Samples per Pixel");
        refused("00280004", json!("CMYK"), "Photometric Interpretation");
        refused("00280004", json!("RGB"), "Samples per Pixel");
        refused("00280100", json!(12), "Bits Allocated");
        refused("00280100", json!(64), "Bits Allocated");
        refused("00280100", json!(8), "Bits Stored");
        refused("00280101", json!(0), "Bits Stored");
        refused("00280102", json!(10), "High Bit");
        refused("00280102", json!(16), "High Bit");
        refused("00280008", json!(0), "Number of Frames");
    }

    #[test]
    fn a_frame_of_four_gigapixels_is_refused() {
        let mut huge = ct();
        huge["00280010"] = json!({"vr": "US", "Value": [65535]});
        huge["00280011"] = json!({"vr": "US", "Value": [65535]});
        assert!(matches!(of(&huge), Err(PixelError::Attribute("Rows"))));
    }

    #[test]
    fn a_palette_image_without_its_palette_is_refused() {
        let mut palette = ct();
        palette["00280004"] = json!({"vr": "CS", "Value": ["PALETTE COLOR"]});
        assert!(matches!(of(&palette), Err(PixelError::Attribute(_))));
    }
}
