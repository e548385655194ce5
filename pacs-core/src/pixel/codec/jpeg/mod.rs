//! JPEG with Huffman coding (ITU-T T.81): baseline, extended and progressive DCT with 8 or 12 bits, and lossless.
//!
//! Own code, because no maintained pure-Rust decoder takes 12-bit DCT frames, or lossless ones with restart intervals
//! and point transform; and because DICOM wants the components as they are, the Photometric Interpretation deciding
//! on colour.

#[cfg(feature = "encode")]
mod baseline;
mod bits;
mod dct;
mod header;
mod huffman;
mod idct;
mod lossless;
mod output;
#[cfg(feature = "encode")]
mod write;

#[cfg(feature = "encode")]
pub(in crate::pixel) use {baseline::encode as encode_baseline, write::encode as encode_lossless};

use super::segments::{DRI, EOI, Fields, SOS, Segments};
use super::{Decoded, Shape};
use crate::pixel::{ImagePixel, PhotometricInterpretation, PixelError};
use header::{FrameHeader, Process, ScanHeader, Tables};
use lossless::Planes;

const DHT: u8 = 0xC4;
const DAC: u8 = 0xCC;
const JPG: u8 = 0xC8;
const DQT: u8 = 0xDB;
const APP14: u8 = 0xEE;

/// The image while its scans come in.
enum Picture {
    Dct(dct::Coefficients),
    Lossless(Planes),
}

/// Decodes a frame of the shape that `image` declares.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Decoded, PixelError> {
    let mut segments = Segments::of(encoded)?;
    let mut tables = Tables::default();
    let mut picture: Option<(FrameHeader, Picture)> = None;
    let mut adobe_transform = None;
    loop {
        let (code, payload) = segments.next()?;
        match code {
            DHT => tables.read_huffman(payload)?,
            DQT => tables.read_quantisation(payload)?,
            DRI => tables.restart_interval = Fields(payload).u16()?.into(),
            APP14 if payload.starts_with(b"Adobe") => adobe_transform = payload.get(11).copied(),
            DAC | JPG => return Err(PixelError::codec("arithmetic coding")),
            0xC0..=0xCF if picture.is_none() => picture = Some(begin(code, payload, image)?),
            SOS => {
                let Some((frame, picture)) = &mut picture else {
                    return Err(PixelError::codec("a scan before its frame header"));
                };
                let scan = ScanHeader::read(payload, frame)?;
                // A byte after 0xFF that is 0 is stuffed; restart markers belong to the scan.
                let data = segments.entropy_coded(|code| !matches!(code, 0 | 0xD0..=0xD7 | 0xFF));
                match picture {
                    Picture::Dct(coefficients) => dct::decode(data, frame, &scan, &tables, coefficients)?,
                    Picture::Lossless(planes) => lossless::decode(data, frame, &scan, &tables, planes)?,
                }
            }
            EOI => break,
            _ => {}
        }
    }
    let (frame, picture) = picture.ok_or_else(|| PixelError::codec("no frame header"))?;
    let values = match picture {
        Picture::Dct(coefficients) => output::from_coefficients(&frame, &tables, &coefficients)?,
        Picture::Lossless(planes) => planes.interleave()?,
    };
    Ok(Decoded { precision: frame.precision, values, signed: false, ybr: is_ybr(image, &frame, adobe_transform) })
}

fn begin(code: u8, payload: &[u8], image: &ImagePixel) -> Result<(FrameHeader, Picture), PixelError> {
    let frame = FrameHeader::read(code, payload)?;
    let components = frame.components.len() as u32;
    let shape = Shape { rows: frame.rows.into(), columns: frame.columns.into(), samples_per_pixel: components };
    shape.check(image)?;
    let picture = match frame.process {
        Process::Dct { .. } => Picture::Dct(dct::Coefficients::of(&frame)),
        Process::Lossless => Picture::Lossless(Planes::of(&frame)?),
    };
    Ok((frame, picture))
}

/// Photometric Interpretation decides; only where it says RGB of a lossy frame does the codestream's own word count,
/// as several writers left RGB there after compression changed it.
fn is_ybr(image: &ImagePixel, frame: &FrameHeader, adobe_transform: Option<u8>) -> bool {
    let lossy = frame.process != Process::Lossless;
    match image.photometric {
        PhotometricInterpretation::Rgb => lossy && adobe_transform == Some(1),
        _ => Decoded::declared_ybr(image),
    }
}
