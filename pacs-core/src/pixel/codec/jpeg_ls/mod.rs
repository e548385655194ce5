//! JPEG-LS, lossless and near-lossless, all interleave modes (ITU-T T.87).

mod bits;
mod context;
mod scan;
#[cfg(feature = "encode")]
mod write;

#[cfg(feature = "encode")]
use super::segments;
use super::segments::{DRI, EOI, Fields, SOS, Segments};
use super::{Decoded, Shape};
use crate::pixel::{ImagePixel, PixelError};
use context::Preset;
use scan::Interleave;

const SOF55: u8 = 0xF7;
const LSE: u8 = 0xF8;
const APP8: u8 = 0xE8;

#[derive(Debug, Clone)]
struct FrameHeader {
    precision: u8,
    rows: u16,
    columns: u16,
    /// Component identifiers in the order of the frame.
    components: Vec<u8>,
}

/// Decodes a frame of the shape that `image` declares.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Decoded, PixelError> {
    let mut segments = Segments::of(encoded)?;
    let mut header = None;
    let mut preset = Preset::default();
    let mut planes: Vec<Vec<u16>> = Vec::new();
    loop {
        let (code, payload) = segments.next()?;
        match code {
            SOF55 => {
                let frame = frame_header(payload)?;
                frame.shape().check(image)?;
                planes = vec![Vec::new(); frame.components.len()];
                header = Some(frame);
            }
            LSE => read_preset(payload, &mut preset)?,
            DRI if payload.iter().any(|&byte| byte != 0) => return Err(PixelError::codec("restart intervals")),
            // HP's colour transforms are no part of JPEG-LS; ignoring one would give wrong colours.
            APP8 if payload.starts_with(b"mrfx") && payload.get(4) != Some(&0) => {
                return Err(PixelError::codec("a private colour transform"));
            }
            SOS => {
                let frame = header.as_ref().ok_or_else(|| PixelError::codec("a scan before its frame header"))?;
                // A byte after 0xFF that is 0x80 or more ends the scan; smaller ones are stuffed.
                let data = segments.entropy_coded(|code| code >= 0x80);
                read_scan(payload, data, frame, preset, &mut planes)?;
            }
            EOI => break,
            _ => {}
        }
    }
    let frame = header.ok_or_else(|| PixelError::codec("no frame header"))?;
    let values = interleave(&planes, image.pixels())?;
    Ok(Decoded { precision: frame.precision, values, signed: false, ybr: Decoded::declared_ybr(image) })
}

/// Encodes interleaved samples, 0..2^`precision`, as one scan of lines. `precision`: 2..=16; a sample read again is at most
/// `near` away, 0 being lossless.
#[cfg(feature = "encode")]
pub(in crate::pixel) fn encode(
    image: &ImagePixel,
    precision: u8,
    near: u8,
    samples: &[i32],
) -> Result<Vec<u8>, PixelError> {
    let parameters = Preset::default().complete(precision, near)?;
    if samples.iter().any(|sample| !(0..=parameters.largest).contains(sample)) {
        return Err(PixelError::codec("a sample has more bits than Bits Stored"));
    }
    let components = image.samples_per_pixel;
    let (frame, mut scan) = segments::headers(image, precision);
    scan.extend([near, u8::from(components > 1), 0]);
    let mut encoded = segments::begin([(SOF55, frame), (SOS, scan)]);
    encoded.extend(write::encode(samples, parameters, usize::from(image.columns), usize::from(components)));
    encoded.extend([0xFF, EOI]);
    Ok(encoded)
}

impl FrameHeader {
    fn shape(&self) -> Shape {
        Shape { rows: self.rows.into(), columns: self.columns.into(), samples_per_pixel: self.components.len() as u32 }
    }
}

fn frame_header(payload: &[u8]) -> Result<FrameHeader, PixelError> {
    let mut fields = Fields(payload);
    let (precision, rows, columns, count) = (fields.u8()?, fields.u16()?, fields.u16()?, fields.u8()?);
    if !(2..=16).contains(&precision) {
        return Err(PixelError::Codec(format!("sample precision {precision}")));
    }
    let mut components = Vec::new();
    for _ in 0..count {
        components.push(fields.u8()?);
        if fields.nibbles()? != (1, 1) {
            return Err(PixelError::codec("subsampled components"));
        }
        fields.u8()?;
    }
    Ok(FrameHeader { precision, rows, columns, components })
}

/// LSE type 1 (T.87 §C.2.4.1.1). Mapping tables are left: palette indices stay indices.
fn read_preset(payload: &[u8], preset: &mut Preset) -> Result<(), PixelError> {
    let mut fields = Fields(payload);
    match fields.u8()? {
        1 => {
            *preset = Preset {
                largest: fields.u16()?,
                thresholds: [fields.u16()?, fields.u16()?, fields.u16()?],
                reset: fields.u16()?,
            }
        }
        4 => return Err(PixelError::codec("oversize image dimensions")),
        _ => {}
    }
    Ok(())
}

fn read_scan(
    payload: &[u8],
    data: &[u8],
    frame: &FrameHeader,
    preset: Preset,
    planes: &mut [Vec<u16>],
) -> Result<(), PixelError> {
    let mut fields = Fields(payload);
    let mut indices = Vec::new();
    for _ in 0..fields.u8()? {
        let id = fields.u8()?;
        let index = frame.components.iter().position(|&component| component == id);
        indices.push(index.ok_or_else(|| PixelError::codec("a scan of an unknown component"))?);
        fields.u8()?; // mapping table
    }
    let (near, mode) = (fields.u8()?, fields.u8()?);
    let shift = fields.u8()? & 0xF;
    let interleave = Interleave::of(mode, indices.len())?;
    let parameters = preset.complete(frame.precision, near)?;
    let size = (usize::from(frame.rows), usize::from(frame.columns));
    let mut decoded = scan::decode(data, parameters, size, indices.len(), interleave)?;
    for (plane, index) in decoded.iter_mut().zip(indices) {
        if shift > 0 {
            plane.iter_mut().for_each(|v| *v = v.unbounded_shl(shift.into()));
        }
        if let Some(place) = planes.get_mut(index) {
            *place = std::mem::take(plane);
        }
    }
    Ok(())
}

/// Planes → samples in pixel order; a component without a scan is an error.
fn interleave(planes: &[Vec<u16>], pixels: usize) -> Result<Vec<i32>, PixelError> {
    if planes.iter().any(|plane| plane.len() != pixels) {
        return Err(PixelError::codec("a component has no scan"));
    }
    Ok(match planes {
        [red, green, blue] => {
            let pixels = red.iter().zip(green).zip(blue);
            pixels.flat_map(|((&r, &g), &b)| [r.into(), g.into(), b.into()]).collect()
        }
        planes => planes.iter().flatten().map(|&v| v.into()).collect(),
    })
}
