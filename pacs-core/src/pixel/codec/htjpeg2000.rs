//! High-Throughput JPEG 2000 (ISO/IEC 15444-15).

use super::codestream::{Headers, SOT, Siz, too_short};
use crate::pixel::PixelError;
use openjph_core::codestream::Codestream;
use openjph_core::file::MemInfile;
use std::collections::BTreeMap;

const SOD: [u8; 2] = [0xFF, 0x93];
const EOC: [u8; 2] = [0xFF, 0xD9];
/// SOT marker segment with its marker.
const SOT_LEN: usize = 12;
/// The largest samples whose transforms stay in the decoder's 32 bits.
const MAX_PRECISION: u8 = 26;

/// Decodes the codestream whose checked size is `siz`; samples interleaved.
pub(super) fn decode(codestream: &[u8], siz: &Siz) -> Result<Vec<i32>, PixelError> {
    if siz.precision > MAX_PRECISION {
        return Err(PixelError::Codec(format!("sample precision {}", siz.precision)));
    }
    let joined = join_tile_parts(codestream)?;
    let mut input = MemInfile::new(&joined);
    let mut decoder = Codestream::new();
    decoder.read_headers(&mut input).map_err(PixelError::codec)?;
    decoder.create(&mut input).map_err(PixelError::codec)?;
    let components = u32::from(siz.components);
    let columns = siz.columns as usize;
    let mut values = Vec::with_capacity(siz.rows as usize * columns * components as usize);
    for _ in 0..siz.rows {
        let lines: Option<Vec<_>> = (0..components).map(|c| decoder.pull(c).filter(|l| l.len() == columns)).collect();
        let lines = lines.ok_or_else(|| PixelError::codec("a line is missing"))?;
        match lines.as_slice() {
            [grey] => values.extend(grey),
            lines => values.extend((0..columns).flat_map(|x| lines.iter().filter_map(move |line| line.get(x)))),
        }
    }
    Ok(values)
}

/// The same codestream with one tile-part a tile and nothing but packets in it.
///
/// The decoder takes the n-th tile-part for the n-th tile, knows no marker segments in it, and allocates what its
/// length declares; so all three are settled here.
fn join_tile_parts(codestream: &[u8]) -> Result<Vec<u8>, PixelError> {
    let mut headers = Headers::of(codestream)?;
    headers.by_ref().for_each(drop);
    let main_header = codestream.get(..codestream.len() - headers.rest.len()).ok_or_else(too_short)?;
    let mut tiles: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    let mut rest = headers.rest;
    while rest.starts_with(&SOT.to_be_bytes()) {
        let (tile, packets, after) = tile_part(rest)?;
        tiles.entry(tile).or_default().extend(packets);
        rest = after;
    }
    let mut joined = main_header.to_vec();
    for (tile, packets) in tiles {
        let length = (SOT_LEN + SOD.len() + packets.len()) as u32;
        joined.extend([SOT.to_be_bytes(), [0, 10], tile.to_be_bytes()].concat());
        joined.extend(length.to_be_bytes());
        joined.extend([0, 1]);
        joined.extend(SOD);
        joined.extend(packets);
    }
    joined.extend(EOC);
    Ok(joined)
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
