//! High-throughput JPEG 2000, written: one tile, one layer, packets by resolution, each resolution a tile-part of its own whose
//! length the main header tells (TLM), so that a smaller image is a prefix of the codestream (ISO/IEC 15444-1 Annex A).

use super::block::{BlockEncoder, SIDE};
use super::packet::{self, Band};
use super::{
    irreversible::{self, Step},
    wavelet,
};
use crate::pixel::{ImagePixel, PhotometricInterpretation, PixelError};
use std::ops::Range;

/// How samples are written.
struct Shape {
    columns: usize,
    rows: usize,
    components: usize,
    /// Bits of a sample, up to 16.
    precision: u32,
    signed: bool,
    /// Three components become luminance and differences (RCT, or ICT where something is lost).
    colour_transform: bool,
    /// Size of a quantisation step in the image, where something is lost.
    loss: Option<f64>,
}

/// The lowest resolution is at most so many samples on its longer side (PS3.5 §10.18 wants it of one of the two).
const THUMBNAIL: usize = 64;
/// Binary logarithm of [`SIDE`] less two.
const BLOCK: u8 = 4;
/// Packets by resolution, position, component, layer.
const RPCL: u8 = 2;

/// Encodes interleaved samples of Bits Stored bits, without loss but where a quality, 1..=100, says how much of it there may be.
/// R, G, B are transformed, other components are not.
pub(in crate::pixel) fn encode(
    image: &ImagePixel,
    quality: Option<u8>,
    samples: Vec<i32>,
) -> Result<Vec<u8>, PixelError> {
    let shape = Shape {
        columns: image.columns.into(),
        rows: image.rows.into(),
        components: image.samples_per_pixel.into(),
        precision: image.bits_stored.into(),
        signed: image.signed,
        colour_transform: image.photometric == PhotometricInterpretation::Rgb,
        loss: quality.map(|quality| step(quality, image.bits_stored)),
    };
    let half = 1i32 << (shape.precision - 1);
    let range = if shape.signed { -half..half } else { 0..2 * half };
    if samples.iter().any(|sample| !range.contains(sample)) {
        return Err(PixelError::codec("a sample has more bits than Bits Stored"));
    }
    let levels = levels(&shape);
    let planes = match shape.loss {
        None => reversible(samples, &shape, levels),
        Some(_) => quantised(samples, &shape, levels),
    };
    let guard = guard_bits(&planes, &shape, levels);
    let mut encoder = BlockEncoder::default();
    let parts = (0..=levels).map(|resolution| {
        let mut part = Vec::new();
        for plane in &planes {
            let areas = bands_of(&shape, levels, resolution);
            let bands = areas.iter().map(|area| band(&mut encoder, plane, &shape, area, guard));
            packet::write(&bands.collect::<Vec<Band>>(), &mut part);
        }
        part
    });
    Ok(codestream(&shape, levels, guard, &parts.collect::<Vec<_>>()))
}

/// 100 is half a step of 8-bit images, and as much of the range of others; twelve and a half less are twice as much.
fn step(quality: u8, bits_stored: u8) -> f64 {
    2f64.powf(f64::from(bits_stored) - 1.0 - f64::from(quality.clamp(1, 100)) / 12.5)
}

/// Sub-bands of all components, of whole numbers.
fn reversible(samples: Vec<i32>, shape: &Shape, levels: u32) -> Vec<Vec<i32>> {
    let mut planes = planes(samples, shape);
    let mut scratch = Vec::new();
    for plane in &mut planes {
        halve(plane, shape, levels, |rows| wavelet::forward(rows, &mut scratch));
    }
    planes
}

/// Sub-bands of all components, in steps.
fn quantised(samples: Vec<i32>, shape: &Shape, levels: u32) -> Vec<Vec<i32>> {
    let mut scratch = Vec::new();
    let quantise = |mut plane: Vec<f32>| {
        halve(&mut plane, shape, levels, |rows| irreversible::forward(rows, &mut scratch));
        let mut quantised = vec![0; plane.len()];
        for area in (0..=levels).flat_map(|resolution| bands_of(shape, levels, resolution)) {
            let steps = 1.0 / area.step_of(shape).size(shape.precision + area.gain);
            for at in 0..area.rows {
                let places = area.place(shape.columns, at);
                let samples = plane[places.clone()].iter();
                quantised[places].iter_mut().zip(samples).for_each(|(place, sample)| *place = (sample * steps) as i32);
            }
        }
        quantised
    };
    planes_of_reals(samples, shape).into_iter().map(quantise).collect()
}

fn halve<T>(plane: &mut [T], shape: &Shape, levels: u32, mut transform: impl FnMut(&mut [&mut [T]])) {
    for level in 0..levels {
        let (columns, _) = size(shape, level);
        let rows = plane.chunks_mut(shape.columns).step_by(1 << level);
        transform(&mut rows.map(|row| &mut row[..columns]).collect::<Vec<_>>());
    }
}

/// How often the image is halved.
fn levels(shape: &Shape) -> u32 {
    let longest = shape.columns.max(shape.rows);
    (0..32).find(|level| longest.div_ceil(1 << level) <= THUMBNAIL).unwrap_or_default()
}

/// Columns and rows after so many halvings.
fn size(shape: &Shape, level: u32) -> (usize, usize) {
    (shape.columns.div_ceil(1 << level), shape.rows.div_ceil(1 << level))
}

/// Each component by itself, around zero, and transformed (§G.1, §G.2).
fn planes(mut samples: Vec<i32>, shape: &Shape) -> Vec<Vec<i32>> {
    let half = if shape.signed { 0 } else { 1 << (shape.precision - 1) };
    if shape.components != 3 {
        samples.iter_mut().for_each(|sample| *sample -= half);
        return vec![samples];
    }
    let pixels = samples.as_chunks::<3>().0;
    let plane = |value: &dyn Fn([i32; 3]) -> i32| pixels.iter().map(|&pixel| value(pixel)).collect();
    match shape.colour_transform {
        true => vec![
            plane(&|[r, g, b]| ((r + 2 * g + b) >> 2) - half),
            plane(&|[_, g, b]| b - g),
            plane(&|[r, g, _]| r - g),
        ],
        false => (0..3).map(|at| plane(&|pixel: [i32; 3]| pixel[at] - half)).collect(),
    }
}

/// As [`planes`], for the irreversible transform (§G.3).
fn planes_of_reals(samples: Vec<i32>, shape: &Shape) -> Vec<Vec<f32>> {
    if !shape.colour_transform {
        let planes = planes(samples, shape).into_iter();
        return planes.map(|plane| plane.into_iter().map(|sample| sample as f32).collect()).collect();
    }
    let half = if shape.signed { 0.0 } else { (1 << (shape.precision - 1)) as f32 };
    let pixels = samples.as_chunks::<3>().0;
    let plane = |[a, b, c]: [f32; 3], shift: f32| {
        let value = |pixel: [i32; 3]| pixel.map(|sample| sample as f32);
        pixels.iter().map(|&pixel| value(pixel)).map(|[r, g, bl]| a * r + b * g + c * bl - shift).collect()
    };
    vec![
        plane([0.299, 0.587, 0.114], half),
        plane([-0.168_736, -0.331_264, 0.5], 0.0),
        plane([0.5, -0.418_688, -0.081_312], 0.0),
    ]
}

/// A sub-band in the plane.
struct Area {
    left: usize,
    columns: usize,
    /// Where its first row is, and how many rows further the next.
    top: usize,
    step: usize,
    rows: usize,
    /// Binary logarithm of its gain (§E.1, Table E.1).
    gain: u32,
    /// How often the image was halved for it.
    decompositions: u32,
}

impl Area {
    /// Where a row is in the plane.
    fn place(&self, stride: usize, at: usize) -> Range<usize> {
        let first = (self.top + at * self.step) * stride + self.left;
        first..first + self.columns
    }

    /// Its quantisation step, where something is lost.
    fn step_of(&self, shape: &Shape) -> Step {
        Step::of(shape.loss.unwrap_or(1.0), self.gain, self.decompositions, shape.precision + self.gain)
    }
}

/// The sub-bands that lead to a resolution: the lowest has one, others have three.
fn bands_of(shape: &Shape, levels: u32, resolution: u32) -> Vec<Area> {
    let halved = levels - resolution;
    let (columns, rows) = size(shape, halved);
    if resolution == 0 {
        return vec![Area { left: 0, columns, top: 0, step: 1 << halved, rows, gain: 0, decompositions: halved }];
    }
    let (low_columns, low_rows) = size(shape, halved + 1);
    let (high_columns, high_rows) = (columns - low_columns, rows - low_rows);
    let (top, step) = (1 << halved, 2 << halved);
    vec![
        Area {
            left: low_columns,
            columns: high_columns,
            top: 0,
            step,
            rows: low_rows,
            gain: 1,
            decompositions: halved + 1,
        },
        Area { left: 0, columns: low_columns, top, step, rows: high_rows, gain: 1, decompositions: halved + 1 },
        Area {
            left: low_columns,
            columns: high_columns,
            top,
            step,
            rows: high_rows,
            gain: 2,
            decompositions: halved + 1,
        },
    ]
}

/// ε of a sub-band: bits of its samples but for overflow (§E.1).
fn exponent(shape: &Shape, area: &Area) -> u32 {
    if shape.loss.is_some() {
        return area.step_of(shape).exponent;
    }
    shape.precision + area.gain + u32::from(shape.colour_transform)
}

/// As many as the largest sample needs, so that all have room in the bit-planes that are declared (§E.1, M = G + ε − 1).
fn guard_bits(planes: &[Vec<i32>], shape: &Shape, levels: u32) -> u32 {
    let areas = (0..=levels).flat_map(|resolution| bands_of(shape, levels, resolution));
    let needed = areas.flat_map(|area| {
        let exponent = exponent(shape, &area);
        planes.iter().map(move |plane| {
            let rows = (0..area.rows).map(|y| &plane[area.place(shape.columns, y)]);
            let all =
                rows.map(|row| row.iter().fold(0, |all, sample| all | sample.unsigned_abs())).fold(0, |a, b| a | b);
            (u32::BITS - all.leading_zeros() + 1).saturating_sub(exponent)
        })
    });
    needed.max().unwrap_or_default().clamp(1, 7)
}

fn band(encoder: &mut BlockEncoder, plane: &[i32], shape: &Shape, area: &Area, guard: u32) -> Band {
    let (across, down) = (area.columns.div_ceil(SIDE), area.rows.div_ceil(SIDE));
    let mut data = Vec::with_capacity(area.columns * area.rows);
    let mut lengths = Vec::with_capacity(across * down);
    for (block_y, block_x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
        let (x, y) = (block_x * SIDE, block_y * SIDE);
        let (width, height) = (SIDE.min(area.columns - x), SIDE.min(area.rows - y));
        let row = |at: usize| &plane[area.place(shape.columns, y + at)][x..x + width];
        lengths.push(encoder.encode(row, width, height, &mut data));
    }
    Band { across, lengths, data, missing: guard + exponent(shape, area) - 2 }
}

fn codestream(shape: &Shape, levels: u32, guard: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    const SOT_AND_SOD: usize = 14;
    let mut out = Vec::with_capacity(parts.iter().map(|part| part.len() + SOT_AND_SOD + 8).sum::<usize>() + 200);
    out.extend([0xFF, 0x4F]);
    let largest = (0..=levels).flat_map(|r| bands_of(shape, levels, r)).map(|area| exponent(shape, &area)).max();
    segment(&mut out, 0x51, &siz(shape));
    segment(&mut out, 0x50, &cap(guard + largest.unwrap_or_default() - 1, shape.loss.is_some()));
    segment(&mut out, 0x52, &cod(shape, levels));
    segment(&mut out, 0x5C, &qcd(shape, levels, guard));
    let lengths = parts.iter().flat_map(|part| {
        let length = (part.len() + SOT_AND_SOD) as u32;
        [&[0, 0][..], &length.to_be_bytes()].concat()
    });
    // Index of the tile in 16 bits, length of the tile-part in 32 (§A.7.1).
    segment(&mut out, 0x55, &[0, 0x60].into_iter().chain(lengths).collect::<Vec<u8>>());
    for (index, part) in parts.iter().enumerate() {
        let length = ((part.len() + SOT_AND_SOD) as u32).to_be_bytes();
        segment(&mut out, 0x90, &[&[0, 0][..], &length, &[index as u8, parts.len() as u8]].concat());
        out.extend([0xFF, 0x93]);
        out.extend_from_slice(part);
    }
    out.extend([0xFF, 0xD9]);
    out
}

fn segment(out: &mut Vec<u8>, code: u8, payload: &[u8]) {
    out.extend([0xFF, code]);
    out.extend((payload.len() as u16 + 2).to_be_bytes());
    out.extend_from_slice(payload);
}

/// Image and tile size (§A.5.1); the one tile is the image.
fn siz(shape: &Shape) -> Vec<u8> {
    const HIGH_THROUGHPUT: u16 = 0x4000;
    let (columns, rows) = ((shape.columns as u32).to_be_bytes(), (shape.rows as u32).to_be_bytes());
    let nothing = [0; 8];
    let mut siz = [&HIGH_THROUGHPUT.to_be_bytes()[..], &columns, &rows, &nothing, &columns, &rows, &nothing].concat();
    siz.extend((shape.components as u16).to_be_bytes());
    let depth = (shape.precision as u8 - 1) | if shape.signed { 0x80 } else { 0 };
    (0..shape.components).for_each(|_| siz.extend([depth, 1, 1]));
    siz
}

/// Extended capabilities (ISO/IEC 15444-15 §A.3): Part 15, all blocks of it, so many bit-planes at most.
fn cap(planes: u32, loses: bool) -> Vec<u8> {
    const IRREVERSIBLE: u16 = 1 << 5;
    let bound = match planes {
        ..=8 => 0,
        9..28 => planes - 8,
        _ => 13 + (planes >> 2),
    };
    let kinds = bound as u16 | if loses { IRREVERSIBLE } else { 0 };
    [&(1u32 << 17).to_be_bytes()[..], &kinds.to_be_bytes()].concat()
}

/// Coding style (§A.6.1).
fn cod(shape: &Shape, levels: u32) -> Vec<u8> {
    const HIGH_THROUGHPUT_BLOCKS: u8 = 0x40;
    let transform = u8::from(shape.colour_transform);
    vec![0, RPCL, 0, 1, transform, levels as u8, BLOCK, BLOCK, HIGH_THROUGHPUT_BLOCKS, u8::from(shape.loss.is_none())]
}

/// Exponents of the sub-bands, or their steps (§A.6.4).
fn qcd(shape: &Shape, levels: u32, guard: u32) -> Vec<u8> {
    let areas = (0..=levels).flat_map(|resolution| bands_of(shape, levels, resolution));
    let style = if shape.loss.is_some() { 2 } else { 0 };
    let mut qcd = vec![(guard as u8) << 5 | style];
    for area in areas {
        match (shape.loss, area.step_of(shape)) {
            (None, _) => qcd.push((exponent(shape, &area) as u8) << 3),
            (Some(_), Step { exponent, mantissa }) => qcd.extend(((exponent << 11 | mantissa) as u16).to_be_bytes()),
        }
    }
    qcd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(columns: usize, rows: usize) -> Shape {
        Shape { columns, rows, components: 1, precision: 12, signed: false, colour_transform: false, loss: None }
    }

    #[test]
    fn images_are_halved_until_they_are_thumbnails() {
        for (columns, rows, expected) in [(1, 1, 0), (64, 64, 0), (65, 3, 1), (512, 512, 3), (3000, 2500, 6)] {
            assert_eq!(levels(&shape(columns, rows)), expected, "{columns} × {rows}");
        }
    }

    #[test]
    fn sub_bands_cover_the_plane_once() {
        let shape = shape(75, 133);
        let levels = levels(&shape);
        let mut plane = vec![0; 75 * 133];
        for area in (0..=levels).flat_map(|resolution| bands_of(&shape, levels, resolution)) {
            for y in 0..area.rows {
                let first = (area.top + y * area.step) * 75 + area.left;
                plane[first..first + area.columns].iter_mut().for_each(|sample| *sample += 1);
            }
        }
        assert!(plane.iter().all(|&times| times == 1));
    }

    #[test]
    fn guard_bits_give_room_to_the_largest_sample() {
        let shape = shape(2, 1);
        for (largest, expected) in [(0, 1), (4095, 1), (4096, 2), (-65535, 5)] {
            assert_eq!(guard_bits(&[vec![1, largest]], &shape, 0), expected, "{largest}");
        }
    }
}
