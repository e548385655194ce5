//! Smaller images at the start of a high-throughput codestream (PS3.5 §10.18): a reader over a narrow line shows the first of
//! them, and sharpens it as more bytes come.

use super::codec::codestream::{Cod, Siz, find, told_lengths};
use super::{Frame, ImagePixel, PixelError, codec};

/// One of the images that a codestream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    pub rows: u16,
    pub columns: u16,
    /// So many bytes from the start of the codestream are enough to decode it.
    pub bytes: usize,
}

/// The images that `codestream` holds, the smallest first, the whole one last; its first bytes are enough, up to the first
/// tile-part (less than 1 kB, as written here).
///
/// Fails where it does not tell: where it is not ordered by resolution, has several tiles, or its tile-parts, of which the main
/// header tells the lengths, are not one for each resolution.
pub fn resolutions(codestream: &[u8]) -> Result<Vec<Resolution>, PixelError> {
    let untold = || PixelError::codec("the codestream does not tell where its resolutions end");
    let codestream = find(codestream)?;
    let (siz, cod) = (Siz::read(codestream)?, Cod::read(codestream)?);
    let (header, lengths) = told_lengths(codestream)?.ok_or_else(untold)?;
    let by_resolution = matches!(cod.progression, 1 | 2) || cod.progression == 0 && cod.layers == 1;
    let levels = u32::from(cod.decompositions);
    if !siz.high_throughput || siz.tiles != 1 || !by_resolution || lengths.len() != levels as usize + 1 {
        return Err(untold());
    }
    let side = |side: u32, halved| u16::try_from(u64::from(side).div_ceil(1u64 << halved)).map_err(PixelError::codec);
    let mut bytes = header;
    let mut of = |(halved, length): (u32, usize)| {
        bytes = bytes.checked_add(length).ok_or_else(untold)?;
        Ok(Resolution { rows: side(siz.rows, halved)?, columns: side(siz.columns, halved)?, bytes })
    };
    (0..=levels).rev().zip(lengths).map(&mut of).collect()
}

/// The image `index` of [`resolutions`] as a codestream of its own, which any decoder takes for a whole one; `prefix` has at least
/// the bytes that it needs.
pub fn smaller(prefix: &[u8], index: usize) -> Result<Vec<u8>, PixelError> {
    let prefix = find(prefix)?;
    let resolutions = resolutions(prefix)?;
    let none = || PixelError::codec("there is no such image in what there is of the codestream");
    let bytes = resolutions.get(index).ok_or_else(none)?.bytes;
    let times = resolutions.len() - 1 - index;
    codec::htjpeg2000::halved(prefix.get(..bytes).ok_or_else(none)?, times as u8)
}

/// Decodes the largest image that is whole in `prefix`, the first bytes of a codestream of the frame that `image` tells of.
///
/// Sample values are as in [`super::decode`]; rows and columns are those of the [`Resolution`].
pub fn decode_prefix(image: &ImagePixel, prefix: &[u8]) -> Result<Frame, PixelError> {
    let prefix = find(prefix)?;
    Siz::read(prefix)?.check(image)?;
    let resolutions = resolutions(prefix)?;
    let there = resolutions.iter().take_while(|resolution| resolution.bytes <= prefix.len()).count();
    let index = there.checked_sub(1).ok_or_else(|| PixelError::codec("not even the smallest image is whole"))?;
    let Resolution { rows, columns, .. } = resolutions[index];
    let halved = ImagePixel { rows, columns, ..image.clone() };
    let samples = codec::jpeg2000::decode(&halved, &smaller(prefix, index)?)?.into_samples(&halved)?;
    Ok(Frame { rows, columns, samples_per_pixel: image.samples_per_pixel, samples })
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::TransferSyntax;
    use crate::pixel::codec::tests::image;
    use crate::pixel::{Lossless, Samples, decode, encode};
    use proptest::prelude::*;

    /// A disc with a shade, as encoded.
    fn disc(image: &ImagePixel) -> Vec<u8> {
        let (rows, columns) = (i32::from(image.rows), i32::from(image.columns));
        let pixels =
            (0..rows).flat_map(|y| (0..columns).map(move |x| (x - columns / 2).pow(2) + (y - rows / 2).pow(2)));
        let value = |square: i32| if square < rows * columns / 8 { 20_000 + (square % 7000) as u16 } else { 500 };
        let samples = pixels.flat_map(|square| vec![value(square); usize::from(image.samples_per_pixel)]);
        encode(Lossless::HtJpeg2000Rpcl, image, &Samples::U16(samples.collect()).to_le_bytes()).expect("encoded")
    }

    #[test]
    fn every_prefix_that_is_told_gives_an_image_of_its_size_and_the_last_is_the_frame() {
        for samples_per_pixel in [1, 3] {
            let image = image(300, 517, samples_per_pixel, 16);
            let codestream = disc(&image);
            let resolutions = resolutions(&codestream[..400]).expect("told");
            let sizes: Vec<_> = resolutions.iter().map(|one| (one.rows, one.columns)).collect();
            assert_eq!(sizes, [(19, 33), (38, 65), (75, 130), (150, 259), (300, 517)]);
            for one in &resolutions {
                let frame = decode_prefix(&image, &codestream[..one.bytes]).expect("decoded");
                assert_eq!((frame.rows, frame.columns), (one.rows, one.columns));
                let middle = frame.samples.len() / 2;
                let value = frame.samples.get(middle + usize::from(one.columns) / 2 * usize::from(samples_per_pixel));
                assert!(value.is_some_and(|value| (value - 20_000.0).abs() < 8000.0 || (value - 500.0).abs() < 8000.0));
            }
            // Two bytes end the codestream, and nothing is missed without them.
            assert_eq!(resolutions.last().map(|one| one.bytes), Some(codestream.len() - 2));
            let whole = decode(&syntax(), &image, &codestream, 0).expect("decoded");
            assert_eq!(decode_prefix(&image, &codestream).expect("decoded"), whole);
        }
    }

    fn syntax() -> TransferSyntax {
        Lossless::HtJpeg2000Rpcl.transfer_syntax()
    }

    #[test]
    fn less_than_the_smallest_image_and_what_does_not_tell_are_refused() {
        let image = image(200, 200, 1, 16);
        let codestream = disc(&image);
        let first = resolutions(&codestream).expect("told")[0].bytes;
        assert!(decode_prefix(&image, &codestream[..first]).is_ok());
        assert!(decode_prefix(&image, &codestream[..first - 1]).is_err());
        assert!(resolutions(&codestream[..50]).is_err());
    }

    proptest! {
        #[test]
        fn damaged_headers_are_told_or_refused(at in 2usize..110, byte: u8) {
            let image = image(70, 70, 1, 16);
            let mut codestream = disc(&image);
            codestream[at] = byte;
            let _ = resolutions(&codestream);
            let _ = crate::pixel::decode::caught(|| decode_prefix(&image, &codestream));
        }
    }
}
