//! What both JPEG 2000 decoders need to know of a codestream before they are let near it (ISO/IEC 15444-1 Annex A).

use super::Shape;
use super::segments::Fields;
use crate::pixel::{ImagePixel, PixelError};

pub(super) const SOC: u16 = 0xFF4F;
pub(super) const SIZ: u16 = 0xFF51;
pub(super) const COD: u16 = 0xFF52;
pub(super) const COC: u16 = 0xFF53;
pub(super) const TLM: u16 = 0xFF55;
pub(super) const SOT: u16 = 0xFF90;

/// Isot has 16 bits (§A.4.2).
const MAX_TILES: u64 = 65_535;

/// Image and tile size (§A.5.1); all components are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pixel) struct Siz {
    pub columns: u32,
    pub rows: u32,
    pub components: u16,
    pub precision: u8,
    pub signed: bool,
    /// Rsiz bit 14: ISO/IEC 15444-15.
    pub high_throughput: bool,
    pub tiles: u64,
    /// Columns and rows of the largest tile.
    pub tile: (u32, u32),
}

impl Siz {
    pub fn read(codestream: &[u8]) -> Result<Self, PixelError> {
        let (_, payload) = Headers::of(codestream)?.next().filter(|(code, _)| *code == SIZ).ok_or_else(too_short)?;
        let mut fields = Fields(payload);
        let capabilities = fields.u16()?;
        let mut pair = || -> Result<_, PixelError> { Ok((u32_of(&mut fields)?, u32_of(&mut fields)?)) };
        let (end, start, tile, tile_start) = (pair()?, pair()?, pair()?, pair()?);
        let size = |end: u32, start: u32| end.checked_sub(start).filter(|&size| size > 0);
        let columns = size(end.0, start.0).ok_or_else(too_short)?;
        let rows = size(end.1, start.1).ok_or_else(too_short)?;
        let across =
            |end: u32, tile: u32, start: u32| u64::from(end.saturating_sub(start)).div_ceil(tile.max(1).into());
        let tiles = across(end.0, tile.0, tile_start.0).saturating_mul(across(end.1, tile.1, tile_start.1));
        if tiles > MAX_TILES {
            return Err(PixelError::codec("too many tiles"));
        }
        let components = fields.u16()?;
        let kinds: Vec<[u8; 3]> = fields.0.as_chunks().0.iter().take(components.into()).copied().collect();
        let [depth, 1, 1] = *kinds.first().ok_or_else(too_short)? else {
            return Err(PixelError::codec("subsampled components"));
        };
        if kinds.iter().any(|&kind| kind != [depth, 1, 1]) {
            return Err(PixelError::codec("components differ"));
        }
        let high_throughput = capabilities & 0x4000 != 0;
        let (precision, signed) = ((depth & 0x7F) + 1, depth & 0x80 != 0);
        let tile = (tile.0.min(columns), tile.1.min(rows));
        Ok(Self { columns, rows, components, precision, signed, high_throughput, tiles, tile })
    }

    pub fn check(&self, image: &ImagePixel) -> Result<(), PixelError> {
        let shape = Shape { rows: self.rows, columns: self.columns, samples_per_pixel: self.components.into() };
        shape.check(image)
    }
}

/// Coding style default (§A.6.1), as far as it says how packets and components are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pixel) struct Cod {
    pub progression: u8,
    pub layers: u16,
    /// The components were transformed for compression; decoding then gives RGB.
    pub colour_transform: bool,
    pub decompositions: u8,
    /// The 5/3 transform, which loses nothing.
    pub reversible: bool,
    /// Exponents of the precinct size by resolution (low nibble across); none: one precinct a resolution.
    pub precincts: Vec<u8>,
}

impl Cod {
    pub fn read(codestream: &[u8]) -> Result<Self, PixelError> {
        let (_, payload) = Headers::of(codestream)?.find(|(code, _)| *code == COD).ok_or_else(too_short)?;
        let mut fields = Fields(payload);
        let (style, progression, layers) = (fields.u8()?, fields.u8()?, fields.u16()?);
        let (colour_transform, decompositions) = (fields.u8()? == 1, fields.u8()?);
        let (_block_size, _block_style, transform) = (fields.u16()?, fields.u8()?, fields.u8()?);
        if decompositions > 32 {
            return Err(PixelError::codec("too many decompositions"));
        }
        let precincts = if style & 1 == 1 { fields.0.to_vec() } else { Vec::new() };
        Ok(Self { progression, layers, colour_transform, decompositions, reversible: transform == 1, precincts })
    }
}

/// Lengths of main header and tile-parts as the main header tells them, in bytes (§A.7.1); `codestream` may end behind it. Of
/// one tile: `None` where there are more, or nothing is told.
pub(in crate::pixel) fn told_lengths(codestream: &[u8]) -> Result<Option<(usize, Vec<usize>)>, PixelError> {
    let mut headers = Headers::of(codestream)?;
    let mut lengths = Vec::new();
    for (_, payload) in headers.by_ref().filter(|(code, _)| *code == TLM) {
        let [_, sizes, entries @ ..] = payload else { return Err(too_short()) };
        let (tile, length) = (usize::from(sizes >> 4 & 3), if sizes >> 6 & 1 == 1 { 4 } else { 2 });
        for entry in entries.chunks_exact(tile + length) {
            let (tile, length) = entry.split_at(tile);
            if tile.iter().any(|&byte| byte != 0) {
                return Ok(None);
            }
            lengths.push(length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)));
        }
    }
    let is_whole = headers.rest.starts_with(&SOT.to_be_bytes());
    let header = codestream.len() - headers.rest.len();
    Ok((is_whole && !lengths.is_empty()).then_some((header, lengths)))
}

/// The codestream itself, taken out of a JP2 file if it is in one (§I.5.4).
pub(in crate::pixel) fn find(encoded: &[u8]) -> Result<&[u8], PixelError> {
    let mut rest = encoded;
    while !rest.starts_with(&SOC.to_be_bytes()) {
        let mut fields = Fields(rest);
        let short = u32_of(&mut fields)?;
        let kind = u32_of(&mut fields)?.to_be_bytes();
        let length = match short {
            0 => rest.len() as u64,
            1 => u64::from(u32_of(&mut fields)?) << 32 | u64::from(u32_of(&mut fields)?),
            length => length.into(),
        };
        let header = rest.len() - fields.0.len();
        let length = usize::try_from(length).ok().filter(|&length| length >= header && length <= rest.len());
        let length = length.ok_or_else(|| PixelError::codec("a JP2 box leaves the frame"))?;
        rest = match &kind {
            b"jp2c" => rest.get(header..length).unwrap_or_default(),
            _ => rest.get(length..).unwrap_or_default(),
        };
    }
    Ok(rest)
}

/// Walks the marker segments of the main header.
pub(super) struct Headers<'a> {
    pub rest: &'a [u8],
}

impl<'a> Headers<'a> {
    pub fn of(codestream: &'a [u8]) -> Result<Self, PixelError> {
        let rest = codestream.strip_prefix(&SOC.to_be_bytes()).ok_or_else(too_short)?;
        Ok(Self { rest })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (u16, &'a [u8]);

    /// Stops in front of the first tile-part, or where the header is broken.
    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d], _) = self.rest.split_first_chunk()?;
        let (code, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        if code == SOT {
            return None;
        }
        let payload = self.rest.get(4..length + 2)?;
        self.rest = self.rest.get(length + 2..)?;
        Some((code, payload))
    }
}

pub(super) fn u32_of(fields: &mut Fields<'_>) -> Result<u32, PixelError> {
    Ok(u32::from(fields.u16()?) << 16 | u32::from(fields.u16()?))
}

pub(super) fn too_short() -> PixelError {
    PixelError::codec("the codestream has no usable header")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn siz(depths: &[[u8; 3]], tile: u32) -> Vec<u8> {
        let mut payload = vec![0x40, 0];
        for value in [8, 4, 0, 0, tile, tile, 0, 0u32] {
            payload.extend(value.to_be_bytes());
        }
        payload.extend((depths.len() as u16).to_be_bytes());
        payload.extend(depths.concat());
        let length = (payload.len() + 2) as u16;
        [&[0xFF, 0x4F, 0xFF, 0x51][..], &length.to_be_bytes(), &payload].concat()
    }

    #[test]
    fn the_sign_and_precision_of_the_samples_are_read() {
        let read = Siz::read(&siz(&[[0x8F, 1, 1]], 8)).unwrap();
        let expected = Siz {
            columns: 8,
            rows: 4,
            components: 1,
            precision: 16,
            signed: true,
            high_throughput: true,
            tiles: 1,
            tile: (8, 4),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn unlike_or_subsampled_components_and_myriads_of_tiles_are_refused() {
        assert!(Siz::read(&siz(&[[7, 1, 1], [7, 2, 2], [7, 2, 2]], 8)).is_err());
        assert!(Siz::read(&siz(&[[7, 1, 1], [15, 1, 1]], 8)).is_err());
        assert!(Siz::read(&siz(&[[7, 1, 1]], 0)).is_ok());
        let mut tiny_tiles = siz(&[[7, 1, 1]], 1);
        tiny_tiles[8..16].fill(0x7F);
        assert!(Siz::read(&tiny_tiles).is_err());
    }

    #[test]
    fn a_codestream_is_found_in_its_jp2_box() {
        let boxes =
            [&[0, 0, 0, 12][..], b"jP  ", &[1, 2, 3, 4], &[0, 0, 0, 10], b"jp2c", &[0xFF, 0x4F], b"xx"].concat();
        assert_eq!(find(&boxes).unwrap(), [0xFF, 0x4F]);
        assert!(find(&[0, 0, 0, 7, 1, 1, 1, 1, 0, 0]).is_err());
        assert!(find(&[]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = find(&bytes);
            let stream = [&[0xFF, 0x4F, 0xFF, 0x51, 0, 60][..], &bytes].concat();
            let _ = Siz::read(&stream);
        }
    }
}
