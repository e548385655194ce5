//! Into how many blocks a JPEG 2000 codestream divides its samples (ISO/IEC 15444-1 Annex B).
//!
//! Decoders keep a record for every code-block and precinct before they read the first one, and a codestream of a
//! hundred bytes may ask for one of each for every sample: that would be a kilobyte a sample.

use super::codestream::{COC, COD, Headers, SOT, Siz, too_short};
use super::segments::Fields;
use crate::pixel::PixelError;

/// What the records of one frame may take, in bytes.
const MAX_RECORDS: u64 = 512 << 20;
/// A record of a code-block and its share of precincts and tag trees in the larger of the decoders, in bytes.
const RECORD: u64 = 256;
/// What each quality layer adds to it, in bytes.
const LAYER: u64 = 32;
/// SOT marker segment with its marker.
const SOT_LEN: usize = 12;
const SOD: [u8; 2] = [0xFF, 0x93];

/// The finest division that any header asks for: exponents of 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Finest {
    block: (u8, u8),
    precinct: (u8, u8),
    resolutions: u8,
    layers: u16,
}

/// Refuses a codestream whose blocks need more memory than [`MAX_RECORDS`].
pub(super) fn check(codestream: &[u8], siz: &Siz) -> Result<(), PixelError> {
    let mut finest = Finest { block: (10, 10), precinct: (15, 15), resolutions: 1, layers: 1 };
    let mut headers = Headers::of(codestream)?;
    for (code, payload) in headers.by_ref() {
        finest.read(code, payload, siz)?;
    }
    let mut rest = headers.rest;
    while rest.starts_with(&SOT.to_be_bytes()) {
        let (header, after) = tile_part(rest)?;
        let mut headers = Headers { rest: header };
        for (code, payload) in headers.by_ref() {
            finest.read(code, payload, siz)?;
        }
        rest = after;
    }
    let bytes = finest.blocks(siz).saturating_mul(RECORD + LAYER * u64::from(finest.layers));
    if bytes > MAX_RECORDS { Err(PixelError::codec("too many code-blocks or precincts")) } else { Ok(()) }
}

impl Finest {
    /// Takes COD (§A.6.1) and COC (§A.6.2) into account.
    fn read(&mut self, code: u16, payload: &[u8], siz: &Siz) -> Result<(), PixelError> {
        let mut fields = Fields(payload);
        let style = match code {
            COD => {
                let style = fields.u8()?;
                let (_progression, layers, _transform) = (fields.u8()?, fields.u16()?, fields.u8()?);
                self.layers = self.layers.max(layers);
                style
            }
            COC => {
                if siz.components < 257 {
                    fields.u8()?.into()
                } else {
                    fields.u16()?
                };
                fields.u8()?
            }
            _ => return Ok(()),
        };
        let (decompositions, across, down) = (fields.u8()?, fields.u8()?, fields.u8()?);
        let (_block_style, _transform) = (fields.u8()?, fields.u8()?);
        self.resolutions = self.resolutions.max(decompositions.saturating_add(1));
        self.block = (self.block.0.min((across & 0xF) + 2), self.block.1.min((down & 0xF) + 2));
        if style & 1 == 1 {
            for exponents in fields.0 {
                self.precinct = (self.precinct.0.min(exponents & 0xF), self.precinct.1.min(exponents >> 4));
            }
        }
        Ok(())
    }

    /// Code-blocks of all tiles, components, resolutions and sub-bands, at the most; an empty precinct counts as one.
    fn blocks(self, siz: &Siz) -> u64 {
        let of_resolution = |skipped: u8| {
            let is_lowest = skipped + 1 >= self.resolutions;
            // The sub-bands of all but the lowest resolution are half its size, and there are three.
            let (halved, sub_bands) = if is_lowest { (0, 1) } else { (1, 3) };
            let along = |size: u32, block: u8, precinct: u8| {
                let size = u64::from(size) >> skipped.min(32);
                (size >> precinct.min(block + halved)) + 2
            };
            let across = along(siz.tile.0, self.block.0, self.precinct.0);
            let down = along(siz.tile.1, self.block.1, self.precinct.1);
            across.saturating_mul(down).saturating_mul(sub_bands)
        };
        let of_component = (0..self.resolutions.min(33)).map(of_resolution).fold(0, u64::saturating_add);
        of_component.saturating_mul(siz.tiles).saturating_mul(siz.components.into())
    }
}

/// Marker segments of the tile-part at the start of `rest`, and what follows it (§A.4.2).
fn tile_part(rest: &[u8]) -> Result<(&[u8], &[u8]), PixelError> {
    let &[.., p0, p1, p2, p3, _, _] = rest.first_chunk::<SOT_LEN>().ok_or_else(too_short)?;
    let length = match u32::from_be_bytes([p0, p1, p2, p3]) as usize {
        0 => rest.len(),
        length => length.clamp(SOT_LEN, rest.len()),
    };
    let (part, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    let mut header = part.get(SOT_LEN..).unwrap_or_default();
    let mut end = 0;
    while let Some(&[high, low]) = header.get(end + 2..).and_then(|rest| rest.first_chunk()) {
        if header.get(end..).is_some_and(|rest| rest.starts_with(&SOD)) {
            break;
        }
        end += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    header = header.get(..end).unwrap_or(header);
    Ok((header, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn siz(size: u32, tile: u32, components: u16) -> Siz {
        let tiles = u64::from(size.div_ceil(tile)).pow(2);
        Siz {
            columns: size,
            rows: size,
            components,
            precision: 8,
            signed: false,
            high_throughput: false,
            tiles,
            tile: (tile, tile),
        }
    }

    /// A codestream with COD in the main header and, if given, another in the first tile-part.
    fn stream(main: &[u8], tile_part: Option<&[u8]>) -> Vec<u8> {
        let segment = |payload: &[u8]| [&[0xFF, 0x52, 0, payload.len() as u8 + 2][..], payload].concat();
        let mut part = tile_part.map(segment).unwrap_or_default();
        part.extend(SOD);
        let length = (SOT_LEN + part.len()) as u8;
        let sot = [0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, length, 0, 1];
        [&[0xFF, 0x4F][..], &segment(main), &sot, &part].concat()
    }

    /// COD with five decompositions.
    fn cod(layers: u8, block: u8, precincts: &[u8]) -> Vec<u8> {
        let style = u8::from(!precincts.is_empty());
        [&[style, 0, 0, layers, 0, 5, block, block, 0, 1][..], precincts].concat()
    }

    #[test]
    fn usual_divisions_of_the_largest_frames_pass_and_absurd_ones_do_not() {
        let usual = stream(&cod(1, 4, &[]), None);
        assert!(check(&usual, &siz(16384, 16384, 1)).is_ok());
        assert!(check(&usual, &siz(9000, 256, 3)).is_ok());
        assert!(check(&stream(&cod(32, 3, &[]), None), &siz(16384, 16384, 1)).is_ok());
        let points = cod(1, 4, &[0; 6]);
        assert!(check(&stream(&points, None), &siz(512, 512, 1)).is_ok());
        assert!(check(&stream(&points, None), &siz(16384, 16384, 1)).is_err());
        assert!(check(&stream(&cod(32, 0, &[]), None), &siz(16384, 16384, 1)).is_err());
        assert!(check(&stream(&cod(1, 4, &[]), Some(&points)), &siz(16384, 16384, 1)).is_err());
        assert!(check(&usual, &siz(16384, 64, 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_header_is_counted_or_refused(main in prop::collection::vec(any::<u8>(), 0..30), tail in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = check(&[stream(&main, Some(&tail)), tail].concat(), &siz(65535, 1, 300));
        }
    }
}
