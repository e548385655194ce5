//! Marker segments, which JPEG and JPEG-LS share (ITU-T T.81 §B.1.1, T.87 Annex C).

#[cfg(feature = "encode")]
use crate::pixel::ImagePixel;
use crate::pixel::PixelError;

pub(super) const SOI: u8 = 0xD8;
pub(super) const EOI: u8 = 0xD9;
pub(super) const SOS: u8 = 0xDA;
pub(super) const DRI: u8 = 0xDD;

/// A frame header and the begin of a scan header, of all components at full size by the same table.
#[cfg(feature = "encode")]
pub(super) fn headers(image: &ImagePixel, precision: u8) -> (Vec<u8>, Vec<u8>) {
    let (rows, columns) = (image.rows.to_be_bytes(), image.columns.to_be_bytes());
    let components = image.samples_per_pixel;
    let mut frame = vec![precision, rows[0], rows[1], columns[0], columns[1], components];
    let mut scan = vec![components];
    for id in 1..=components {
        frame.extend([id, 0x11, 0]);
        scan.extend([id, 0]);
    }
    (frame, scan)
}

/// The begin of a codestream, with these segments; none has more than 253 bytes.
#[cfg(feature = "encode")]
pub(super) fn begin(segments: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Vec<u8> {
    let mut codestream = vec![0xFF, SOI];
    for (code, payload) in segments {
        codestream.extend([0xFF, code, 0, payload.len() as u8 + 2]);
        codestream.extend(payload);
    }
    codestream
}

/// Walks the marker segments of a codestream.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Segments<'a> {
    /// `codestream` must begin with SOI.
    pub fn of(codestream: &'a [u8]) -> Result<Self, PixelError> {
        match codestream {
            [0xFF, SOI, rest @ ..] => Ok(Self { rest }),
            _ => Err(PixelError::codec("no SOI marker at the start")),
        }
    }

    /// Code and payload of the next marker segment; EOI where the bytes end, as some writers leave it out.
    ///
    /// Bytes before the marker are skipped: fill bytes, and what a scan left over.
    pub fn next(&mut self) -> Result<(u8, &'a [u8]), PixelError> {
        let is_marker = |pair: &[u8]| matches!(pair, [0xFF, 0x01..=0xFE]);
        let Some(start) = self.rest.windows(2).position(is_marker) else { return Ok((EOI, &[])) };
        let code = self.rest.get(start + 1).copied().unwrap_or(EOI);
        let after = self.rest.get(start + 2..).unwrap_or_default();
        if matches!(code, 0x01 | 0xD0..=EOI) {
            self.rest = after;
            return Ok((code, &[]));
        }
        let early = || PixelError::codec("a marker segment ends early");
        let (&length, _) = after.split_first_chunk().ok_or_else(early)?;
        let (segment, rest) = after.split_at_checked(u16::from_be_bytes(length).into()).ok_or_else(early)?;
        self.rest = rest;
        Ok((code, segment.get(2..).ok_or_else(early)?))
    }

    /// The entropy-coded data after an SOS segment, up to the first marker for which `ends` holds.
    pub fn entropy_coded(&mut self, ends: impl Fn(u8) -> bool) -> &'a [u8] {
        let is_end = |pair: &[u8]| matches!(*pair, [0xFF, code] if ends(code));
        let end = self.rest.windows(2).position(is_end).unwrap_or(self.rest.len());
        let (data, rest) = self.rest.split_at(end);
        self.rest = rest;
        data
    }
}

/// Reads the fields of a payload; past its end is an error.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    pub fn u8(&mut self) -> Result<u8, PixelError> {
        let (&value, rest) = self.0.split_first().ok_or_else(|| PixelError::codec("a marker segment is too short"))?;
        self.0 = rest;
        Ok(value)
    }

    pub fn u16(&mut self) -> Result<u16, PixelError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// Two values of four bits, the high one first.
    pub fn nibbles(&mut self) -> Result<(u8, u8), PixelError> {
        self.u8().map(|byte| (byte >> 4, byte & 0xF))
    }
}
