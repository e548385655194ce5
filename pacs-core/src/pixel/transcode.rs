//! Encoded frame → frame in another transfer syntax, proven to hold the same pixels.

use super::{
    ImagePixel, Lossless, PhotometricInterpretation, PixelError, Samples, Target,
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
    target: Target,
    /// How frames come.
    stored: ImagePixel,
    /// The same, of whole containers: what is beyond Bits Stored shows. Only of what is stored losslessly.
    whole: Option<ImagePixel>,
    /// How they are given to the encoder.
    given: ImagePixel,
    /// What Image Pixel attributes say of the frames that are written.
    written: ImagePixel,
}

impl Transcoder {
    /// For the archive's own copy. Refuses what could lose something: other sources than native and losslessly compressed
    /// ones, and what [`Lossless::refusal`] tells of. Of JPEG in colour a decoder may convert it, so that only grey is
    /// taken from there.
    pub fn new(source: &TransferSyntax, image: &ImagePixel, target: Lossless) -> Result<Self, Unfit> {
        if let Some(reason) = loses(source, image) {
            return Err(Unfit::Layout(reason));
        }
        Self::of_components(source, image, target.into())
    }

    /// For a reader who asks for a transfer syntax: from whatever can be decoded. Where components can be carried as they
    /// are stored, they are; else colour is written as RGB, or as the target wants it of that.
    pub fn for_reader(source: &TransferSyntax, image: &ImagePixel, target: Target) -> Result<Self, Unfit> {
        let as_stored = target.keeps_components() && loses(source, image).is_none() && image.has_plain_components();
        match as_stored && target.refusal(image).is_none() {
            true => Self::of_components(source, image, target),
            false => Self::of_shown(source, image, target),
        }
    }

    fn of_components(source: &TransferSyntax, image: &ImagePixel, target: Target) -> Result<Self, Unfit> {
        refused(target, image)?;
        let stored = components(image);
        let whole = whole(&stored);
        let given = ImagePixel { planar: false, ..image.clone() };
        let written = ImagePixel { planar: false, photometric: target.photometric(image), ..image.clone() };
        Ok(Self { source: source.clone(), target, stored, whole: Some(whole), given, written })
    }

    fn of_shown(source: &TransferSyntax, image: &ImagePixel, target: Target) -> Result<Self, Unfit> {
        let photometric = match image.samples_per_pixel {
            1 => image.photometric,
            _ => PhotometricInterpretation::Rgb,
        };
        // Decoding puts values in the lowest bits.
        let given = ImagePixel { planar: false, photometric, high_bit: image.bits_stored - 1, ..image.clone() };
        refused(target, &given)?;
        let written = ImagePixel { photometric: target.photometric(&given), ..given.clone() };
        // Of what is colour, or not told by the lowest bits, nothing can be said.
        let is_plain = image.samples_per_pixel == 1 && image.high_bit + 1 == image.bits_stored;
        let whole = (is_plain && loses(source, image).is_none()).then(|| whole(image));
        Ok(Self { source: source.clone(), target, stored: image.clone(), whole, given, written })
    }

    pub fn target(&self) -> Target {
        self.target
    }

    /// How what is written is described: Photometric Interpretation, Planar Configuration and High Bit may differ from the
    /// source's.
    pub fn written(&self) -> &ImagePixel {
        &self.written
    }

    /// A frame as read of the source, encoded anew. It was decoded again and, where the target loses nothing, is the same.
    pub fn frame(&self, encoded: &[u8]) -> Result<Vec<u8>, Unfit> {
        let native = self.native(encoded)?;
        let written = caught(|| encode(self.target, &self.given, &native))?;
        // Lossless codestreams are looked at without regard to what their components mean.
        let read = if self.target.is_lossless() { components(&self.given) } else { self.written.clone() };
        let again = decode_caught(&self.target.transfer_syntax(), &read, &written, 0)?.samples.to_le_bytes();
        match again == native || !self.target.is_lossless() && again.len() == native.len() {
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
        match &self.whole {
            Some(whole) if decoded(whole)?.to_le_bytes() != native => Err(Unfit::HighBits),
            _ => Ok(native),
        }
    }
}

/// Why what is stored so may not be what was sent, or its components not come as they are.
fn loses(source: &TransferSyntax, image: &ImagePixel) -> Option<&'static str> {
    match source.codec() {
        Codec::Native | Codec::Rle | Codec::DeflatedFrame => None,
        _ if !source.is_lossless() => Some("the source may have lost something already"),
        _ if image.samples_per_pixel > 1 => Some("the source is compressed colour"),
        _ => None,
    }
}

fn refused(target: Target, image: &ImagePixel) -> Result<(), Unfit> {
    target.refusal(image).map_or(Ok(()), |reason| Err(Unfit::Layout(reason)))
}

/// An image of the same containers, of which all bits are stored.
fn whole(image: &ImagePixel) -> ImagePixel {
    ImagePixel { bits_stored: image.bits_allocated, high_bit: image.bits_allocated - 1, ..image.clone() }
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
    use crate::pixel::Lossy;

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
        let lossy = Target::Lossy(Lossy::HtJpeg2000 { quality: 90 });
        let transcoder = Transcoder::for_reader(&TransferSyntax::explicit_little(), &image(1, 6), lossy).expect("fits");
        assert!(transcoder.frame(&[1, 2, 3, 63]).is_ok());
        assert!(matches!(transcoder.frame(&[1, 2, 3, 64]), Err(Unfit::HighBits)));
    }

    #[test]
    fn a_reader_gets_colour_that_was_lost_already_as_rgb_in_any_compression() {
        let image = ImagePixel { planar: false, ..image(3, 8) };
        let baseline = Target::Lossy(Lossy::Jpeg { quality: 90 });
        let native = TransferSyntax::explicit_little();
        let lossy = Transcoder::for_reader(&native, &image, baseline).expect("fits");
        assert_eq!(lossy.written().photometric, PhotometricInterpretation::YbrFull422);
        let frame = lossy.frame(&[100, 90, 140].repeat(4)).expect("written");
        let shown = decode(&baseline.transfer_syntax(), lossy.written(), &frame, 0).expect("shown");
        for target in Lossless::ALL {
            let again = Transcoder::for_reader(&baseline.transfer_syntax(), lossy.written(), target.into());
            let again = again.expect("fits");
            assert!(!matches!(again.written().photometric, PhotometricInterpretation::YbrFull422));
            let frame = again.frame(&frame).expect("written");
            assert_eq!(decode(&target.transfer_syntax(), again.written(), &frame, 0).expect("decoded"), shown);
        }
    }

    #[test]
    fn a_reader_gets_components_as_they_are_stored_where_they_can_be() {
        for (target, photometric) in [
            (Target::Lossless(Lossless::JpegLs), PhotometricInterpretation::YbrFull),
            (Target::Lossy(Lossy::JpegLs { near: 2 }), PhotometricInterpretation::YbrFull),
            (Target::Lossy(Lossy::Jpeg { quality: 90 }), PhotometricInterpretation::YbrFull422),
        ] {
            let transcoder = Transcoder::for_reader(&TransferSyntax::explicit_little(), &image(3, 8), target);
            let transcoder = transcoder.expect("fits");
            assert_eq!((transcoder.written().photometric, transcoder.written().planar), (photometric, false));
        }
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
