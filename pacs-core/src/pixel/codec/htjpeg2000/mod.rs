//! High-Throughput JPEG 2000 (ISO/IEC 15444-15).
//!
//! The encoder is our own: of grey frames of noise that openjph-core 0.1.0 encodes, one in thirty is such that OpenJPEG refuses it
//! (a quad of more bits than the block has) and OpenJPH, which it is made after, fails or finds other pixels in it.

#[cfg(feature = "encode")]
mod block;
mod halve;
#[cfg(feature = "encode")]
mod irreversible;
#[cfg(feature = "encode")]
mod packet;
#[cfg(feature = "encode")]
mod streams;
#[cfg(feature = "encode")]
mod vlc;
#[cfg(feature = "encode")]
mod wavelet;
#[cfg(feature = "encode")]
mod write;

pub(in crate::pixel) use halve::halved;
#[cfg(feature = "encode")]
pub(in crate::pixel) use write::encode;

use super::codestream::{Cod, Headers, SOT, Siz, too_short};
use crate::pixel::PixelError;
use openjph_core::codestream::Codestream;
use openjph_core::file::MemInfile;
use std::collections::BTreeMap;

const SOD: [u8; 2] = [0xFF, 0x93];
const EOC: [u8; 2] = [0xFF, 0xD9];
/// SOT marker segment with its marker.
const SOT_LEN: usize = 12;
/// Ssiz of the first component in a codestream that begins with SOC and SIZ (ISO/IEC 15444-1 §A.5.1).
const FIRST_DEPTH: usize = 42;
/// The largest samples whose transforms stay in the decoder's 32 bits.
const MAX_PRECISION: u8 = 26;

/// Decodes the codestream whose checked headers are `siz` and `cod`; samples interleaved.
pub(super) fn decode(codestream: &[u8], siz: &Siz, cod: &Cod) -> Result<Vec<i32>, PixelError> {
    check_packets(siz, cod)?;
    let mut joined = join_tile_parts(codestream)?;
    declare_signed(&mut joined, siz);
    let mut input = MemInfile::new(&joined);
    let mut decoder = Codestream::new();
    decoder.read_headers(&mut input).map_err(PixelError::codec)?;
    decoder.create(&mut input).map_err(PixelError::codec)?;
    let mut values = pull(&mut decoder, siz)?;
    if cod.colour_transform {
        let pixels = values.as_chunks_mut::<3>().0;
        pixels.iter_mut().for_each(|pixel| *pixel = if cod.reversible { from_rct(*pixel) } else { from_ict(*pixel) });
    }
    let half = 1i32 << (siz.precision - 1);
    let shift = if siz.signed { 0 } else { half };
    values.iter_mut().for_each(|value| *value = (*value).clamp(-half, half - 1) + shift);
    Ok(values)
}

/// The decoder reads packets by layer, resolution and component, whatever order the codestream declares, and knows one
/// precinct a resolution; others would come out as noise.
fn check_packets(siz: &Siz, cod: &Cod) -> Result<(), PixelError> {
    let by_resolution = match cod.progression {
        0 => true,
        1 | 2 => cod.layers == 1,
        _ => cod.layers == 1 && siz.components == 1,
    };
    let longest = u64::from(siz.columns.max(siz.rows));
    let levels = (0..=u32::from(cod.decompositions)).rev();
    let one_precinct = levels.zip(&cod.precincts).all(|(skipped, &exponents)| {
        let exponent = (exponents & 0xF).min(exponents >> 4);
        longest.div_ceil(1 << skipped) <= 1 << exponent
    });
    match siz.precision <= MAX_PRECISION
        && by_resolution
        && one_precinct
        && (!cod.colour_transform || siz.components == 3)
    {
        true => Ok(()),
        false => Err(PixelError::codec("several precincts, or an order of packets that is not supported")),
    }
}

/// Declares all components signed: the decoder would shift and clip unsigned ones before their colour transform is
/// undone, which it leaves to us.
fn declare_signed(codestream: &mut [u8], siz: &Siz) {
    let depths = codestream.iter_mut().skip(FIRST_DEPTH).step_by(3).take(siz.components.into());
    depths.for_each(|depth| *depth |= 0x80);
}

fn pull(decoder: &mut Codestream, siz: &Siz) -> Result<Vec<i32>, PixelError> {
    let (components, columns) = (u32::from(siz.components), siz.columns as usize);
    let mut values = Vec::with_capacity(siz.rows as usize * columns * components as usize);
    for _ in 0..siz.rows {
        let lines: Option<Vec<_>> = (0..components).map(|c| decoder.pull(c).filter(|l| l.len() == columns)).collect();
        match lines.ok_or_else(|| PixelError::codec("a line is missing"))?.as_slice() {
            [first, second, third] => {
                values.extend(first.iter().zip(second).zip(third).flat_map(|((&a, &b), &c)| [a, b, c]));
            }
            lines => values.extend(lines.iter().flatten()),
        }
    }
    Ok(values)
}

/// ISO/IEC 15444-1 §G.2.2.
fn from_rct([y, cb, cr]: [i32; 3]) -> [i32; 3] {
    let green = y.wrapping_sub(cb.wrapping_add(cr) >> 2);
    [cr.wrapping_add(green), green, cb.wrapping_add(green)]
}

/// ISO/IEC 15444-1 §G.3.2.
fn from_ict(pixel: [i32; 3]) -> [i32; 3] {
    let [y, cb, cr] = pixel.map(|value| value as f32);
    [y + 1.402 * cr, y - 0.344_13 * cb - 0.714_14 * cr, y + 1.772 * cb].map(|value| value.round() as i32)
}

/// The same codestream with one tile-part a tile and nothing but packets in it.
///
/// The decoder takes the n-th tile-part for the n-th tile, knows no marker segments in it, and allocates what its
/// length declares; so all three are settled here.
fn join_tile_parts(codestream: &[u8]) -> Result<Vec<u8>, PixelError> {
    let mut headers = Headers::of(codestream)?;
    headers.by_ref().for_each(drop);
    let main_header = codestream.get(..codestream.len() - headers.rest.len()).ok_or_else(too_short)?;
    let tiles = tiles(headers.rest)?;
    let mut joined = main_header.to_vec();
    tiles.iter().for_each(|(tile, packets)| write_tile(*tile, packets, &mut joined));
    joined.extend(EOC);
    Ok(joined)
}

/// Packets by tile, of all tile-parts from `rest` on.
fn tiles(mut rest: &[u8]) -> Result<BTreeMap<u16, Vec<u8>>, PixelError> {
    let mut tiles: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    while rest.starts_with(&SOT.to_be_bytes()) {
        let (tile, packets, after) = tile_part(rest)?;
        tiles.entry(tile).or_default().extend(packets);
        rest = after;
    }
    Ok(tiles)
}

/// A tile in one tile-part.
fn write_tile(tile: u16, packets: &[u8], out: &mut Vec<u8>) {
    let length = (SOT_LEN + SOD.len() + packets.len()) as u32;
    out.extend([SOT.to_be_bytes(), [0, 10], tile.to_be_bytes()].concat());
    out.extend(length.to_be_bytes());
    out.extend([0, 1]);
    out.extend(SOD);
    out.extend(packets);
}

/// Tile index and packets of the tile-part at the start of `rest`, and what follows it (ISO/IEC 15444-1 §A.4.2).
fn tile_part(rest: &[u8]) -> Result<(u16, &[u8], &[u8]), PixelError> {
    let &[.., i0, i1, p0, p1, p2, p3, _, _] = rest.first_chunk::<SOT_LEN>().ok_or_else(too_short)?;
    let length = match u32::from_be_bytes([p0, p1, p2, p3]) as usize {
        0 => rest.len(),
        length => length,
    };
    let leaves = || PixelError::codec("a tile-part leaves the codestream");
    let (part, after) = rest.split_at_checked(length).ok_or_else(leaves)?;
    let mut part = part.get(SOT_LEN..).ok_or_else(leaves)?;
    while !part.starts_with(&SOD) {
        // Packet lengths (PLT) and comments may be skipped; others would change how packets are read.
        let &[0xFF, 0x58 | 0x64, high, low] = part.first_chunk().ok_or_else(leaves)? else {
            return Err(PixelError::codec("marker segments in a tile-part"));
        };
        part = part.get(usize::from(u16::from_be_bytes([high, low])) + 2..).ok_or_else(leaves)?;
    }
    let packets = part.get(SOD.len()..).unwrap_or_default();
    let packets = if after.is_empty() { packets.strip_suffix(&EOC).unwrap_or(packets) } else { packets };
    Ok((u16::from_be_bytes([i0, i1]), packets, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(tile: u8, length: u8, body: &[u8]) -> Vec<u8> {
        [&[0xFF, 0x90, 0, 10, 0, tile, 0, 0, 0, length, 0, 0][..], body].concat()
    }

    #[test]
    fn tile_parts_of_a_tile_are_joined_and_packet_lengths_left_out() {
        let plt = [0xFF, 0x58, 0, 3, 9, 0xFF, 0x93, 1, 2];
        let stream = [
            &[0xFF, 0x4F][..],
            &part(0, 21, &plt),
            &part(1, 15, &[0xFF, 0x93, 5]),
            &part(0, 15, &[0xFF, 0x93, 3]),
            &EOC,
        ];
        let expected = [
            &[0xFF, 0x4F][..],
            &[0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 17, 0, 1, 0xFF, 0x93, 1, 2, 3],
            &[0xFF, 0x90, 0, 10, 0, 1, 0, 0, 0, 15, 0, 1, 0xFF, 0x93, 5],
            &EOC,
        ];
        assert_eq!(join_tile_parts(&stream.concat()).unwrap(), expected.concat());
    }

    #[test]
    fn a_tile_part_of_four_gigabytes_is_refused() {
        let mut huge = [&[0xFF, 0x4F][..], &part(0, 21, &SOD)].concat();
        huge[8..12].fill(0xFF);
        assert!(join_tile_parts(&huge).is_err());
    }

    proptest! {
        #[test]
        fn any_tile_parts_are_joined_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = join_tile_parts(&[&[0xFF, 0x4F, 0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0][..], &bytes].concat());
        }
    }
}
