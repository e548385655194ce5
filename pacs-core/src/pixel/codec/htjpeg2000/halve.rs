//! The smaller images of a codestream as codestreams of their own: the packets of the lower resolutions, with headers that say
//! so (ISO/IEC 15444-1 §B.5: the low sub-band of a decomposition is the image, halved).

use super::{EOC, tiles, write_tile};
use crate::pixel::PixelError;
use crate::pixel::codec::codestream::{COD, Headers, SIZ, SOC, TLM, too_short};

const QCD: u16 = 0xFF5C;
const CAP: u16 = 0xFF50;
const PRF: u16 = 0xFF56;
const CPF: u16 = 0xFF59;
const COM: u16 = 0xFF64;

/// The image of one tile, halved `times` times, of a codestream whose tile-parts are those of the resolutions that it has then.
pub(in crate::pixel) fn halved(codestream: &[u8], times: u8) -> Result<Vec<u8>, PixelError> {
    let mut headers = Headers::of(codestream)?;
    let mut out = SOC.to_be_bytes().to_vec();
    for (code, payload) in headers.by_ref() {
        let payload = match code {
            SIZ => smaller(payload, times)?,
            COD => less_decomposed(payload, times)?,
            QCD => less_quantised(payload, times)?,
            CAP | PRF | CPF => payload.to_vec(),
            COM | TLM => continue,
            _ => return Err(PixelError::codec("a header that says more than about the whole")),
        };
        out.extend(code.to_be_bytes());
        out.extend((payload.len() as u16 + 2).to_be_bytes());
        out.extend(payload);
    }
    tiles(headers.rest)?.iter().for_each(|(tile, packets)| write_tile(*tile, packets, &mut out));
    out.extend(EOC);
    Ok(out)
}

/// Image and tile size (§A.5.1), both from the origin.
fn smaller(siz: &[u8], times: u8) -> Result<Vec<u8>, PixelError> {
    let (capabilities, rest) = siz.split_at_checked(2).ok_or_else(too_short)?;
    let (sizes, kinds) = rest.split_at_checked(32).ok_or_else(too_short)?;
    let fields: Vec<u32> = sizes.as_chunks().0.iter().map(|&field| u32::from_be_bytes(field)).collect();
    let [columns, rows, 0, 0, _, _, 0, 0] = fields[..] else {
        return Err(PixelError::codec("an image that does not begin at the origin"));
    };
    let [columns, rows] =
        [columns, rows].map(|side| (u64::from(side).div_ceil(1 << times.min(32)) as u32).to_be_bytes());
    let nothing = [0; 8];
    Ok([capabilities, &columns, &rows, &nothing, &columns, &rows, &nothing, kinds].concat())
}

/// Coding style (§A.6.1): precincts, if given, come from the lowest resolution on.
fn less_decomposed(cod: &[u8], times: u8) -> Result<Vec<u8>, PixelError> {
    const DECOMPOSITIONS: usize = 5;
    const PRECINCTS: usize = 10;
    let mut cod = cod.to_vec();
    let decompositions = cod.get_mut(DECOMPOSITIONS).ok_or_else(too_short)?;
    *decompositions = decompositions.checked_sub(times).ok_or_else(too_short)?;
    let left = PRECINCTS + usize::from(*decompositions) + 1;
    cod.truncate(left);
    Ok(cod)
}

/// Quantisation (§A.6.4): sub-bands come from the lowest resolution on, three of each but the lowest.
fn less_quantised(qcd: &[u8], times: u8) -> Result<Vec<u8>, PixelError> {
    let width = match qcd.first().ok_or_else(too_short)? & 0x1F {
        0 => 1,
        2 => 2,
        _ => return Err(PixelError::codec("quantisation that is derived from the lowest resolution")),
    };
    let dropped = 3 * usize::from(times) * width;
    qcd.len().checked_sub(dropped).and_then(|left| qcd.get(..left)).map(<[u8]>::to_vec).ok_or_else(too_short)
}
