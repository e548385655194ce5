//! Encoded frame → frame in another transfer syntax, proven to hold the same pixels.

use super::{
    ImagePixel, Lossless, PhotometricInterpretation, PixelError, Samples,
    decode::{caught, decode, decode_caught},
    encode::encode,
};
use crate::{
    data_set::{ScanError, TooLong},
    transfer_syntax::{Codec, TransferSyntax},
};

/// Why an image stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{0}")]
    Layout(&'static str),
    #[error(transparent)]
    Pixels(#[from] PixelError),
    #[error("bits beyond Bits Stored are in use")]
    HighBits,
    #[error("what was encoded decodes to other pixels")]
    Differs,
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    #[error("reading or writing failed")]
    Io(#[from] std::io::Error),
}

/// Encodes the frames of one image anew.
#[derive(Debug)]
pub struct Transcoder {
    source: TransferSyntax,
    target: Lossless,
    /// How frames come: components as they are, without a conversion of colour.
    stored: ImagePixel,
    /// The same, of whole containers: what is beyond Bits Stored shows.
    whole: ImagePixel,
    /// How frames are written.
    written: ImagePixel,
}

impl Transcoder {
    /// Refuses what could lose something: other sources than native and losslessly compressed ones, and what
    /// [`Lossless::refusal`] tells of. Of JPEG in colour a decoder may convert it, so that only grey is taken from there.
    pub fn new(source: &TransferSyntax, image: &ImagePixel, target: Lossless) -> Result<Self, Unfit> {
        let is_grey = image.samples_per_pixel == 1;
        match source.codec() {
            Codec::Native | Codec::Rle | Codec::DeflatedFrame => {}
            _ if !source.is_lossless() => return Err(Unfit::Layout("the source may have lost something already")),
            _ if !is_grey => return Err(Unfit::Layout("the source is compressed colour")),
            _ => {}
        }
        if let Some(reason) = target.refusal(image) {
            return Err(Unfit::Layout(reason));
        }
        let stored = components(image);
        let whole =
            ImagePixel { bits_stored: image.bits_allocated, high_bit: image.bits_allocated - 1, ..stored.clone() };
        let written = ImagePixel { planar: false, ..stored.clone() };
        Ok(Self { source: source.clone(), target, stored, whole, written })
    }

    /// A frame as read of the source, encoded anew; it was decoded again and is the same.
    pub fn frame(&self, encoded: &[u8]) -> Result<Vec<u8>, Unfit> {
        let native = self.native(encoded)?;
        let written = caught(|| encode(self.target, &self.written, &native))?;
        let again = decode_caught(&self.target.transfer_syntax(), &self.written, &written, 0)?;
        match again.samples.to_le_bytes() == native {
            true => Ok(written),
            false => Err(Unfit::Differs),
        }
    }

    /// The frame as in Explicit VR Little Endian, colour by pixel.
    fn native(&self, encoded: &[u8]) -> Result<Vec<u8>, Unfit> {
        let decoded =
            |image: &ImagePixel| caught(|| decode(&self.source, image, encoded, 0)).map(|frame| frame.samples);
        let samples = decoded(&self.stored)?;
        let signed = matches!(samples, Samples::I8(_) | Samples::I16(_) | Samples::I32(_));
        if signed != self.stored.signed {
            return Err(Unfit::Layout("codestream and Pixel Representation disagree about the sign"));
        }
        let native = samples.to_le_bytes();
        match decoded(&self.whole)?.to_le_bytes() == native {
            true => Ok(native),
            false => Err(Unfit::HighBits),
        }
    }
}

/// An image of the same samples that mean nothing.
fn components(image: &ImagePixel) -> ImagePixel {
    let photometric = match image.samples_per_pixel {
        1 => PhotometricInterpretation::Monochrome2,
        _ => PhotometricInterpretation::Rgb,
    };
    ImagePixel { photometric, palette: None, ..image.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(samples_per_pixel: u8, bits_stored: u8) -> ImagePixel {
        ImagePixel {
            rows: 2,
            columns: 2,
            samples_per_pixel,
            photometric: match samples_per_pixel {
                1 => PhotometricInterpretation::Monochrome2,
                _ => PhotometricInterpretation::YbrFull,
            },
            bits_allocated: 8,
            bits_stored,
            high_bit: bits_stored - 1,
            signed: false,
            float: false,
            planar: samples_per_pixel > 1,
            frames: 1,
            palette: None,
            padding: None,
            words: false,
        }
    }

    #[test]
    fn planes_of_ybr_are_written_by_pixel_and_stay_ybr() {
        let image = image(3, 8);
        let planes: Vec<u8> = (0..12).map(|value| value * 20).collect();
        let native = TransferSyntax::explicit_little();
        let shown = decode(&native, &image, &planes, 0).expect("shown");
        for target in [Lossless::Rle, Lossless::JpegLs] {
            let written = Transcoder::new(&native, &image, target).expect("fits").frame(&planes).expect("written");
            let by_pixel = ImagePixel { planar: false, ..image.clone() };
            let again = decode(&target.transfer_syntax(), &by_pixel, &written, 0).expect("decoded");
            assert_eq!(again, shown);
        }
    }

    #[test]
    fn an_overlay_in_the_high_bits_keeps_the_image_as_it_is() {
        let transcoder = Transcoder::new(&TransferSyntax::explicit_little(), &image(1, 6), Lossless::Rle);
        let transcoder = transcoder.expect("fits");
        assert!(transcoder.frame(&[1, 2, 3, 63]).is_ok());
        assert!(matches!(transcoder.frame(&[1, 2, 3, 64]), Err(Unfit::HighBits)));
    }

    #[test]
    fn lossy_sources_and_compressed_colour_are_refused() {
        let syntax = |uid: &str| TransferSyntax::new(uid.parse().expect("a UID"));
        for (uid, image) in [
            ("1.2.840.10008.1.2.4.50", image(1, 8)),
            ("1.2.840.10008.1.2.4.81", image(1, 8)),
            ("1.2.840.10008.1.2.4.91", image(1, 8)),
            ("1.2.840.10008.1.2.4.203", image(1, 8)),
            ("1.2.840.10008.1.2.4.70", image(3, 8)),
            ("1.2.840.10008.1.2.4.999", image(1, 8)),
        ] {
            assert!(Transcoder::new(&syntax(uid), &image, Lossless::Rle).is_err(), "{uid}");
        }
    }
}
