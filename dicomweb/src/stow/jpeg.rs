//! What the header of a JPEG says (ITU-T T.81 Annex B), as far as DICOM asks for it.

use super::composed::{GREY, describe, put};
use pacs_core::{TransferSyntax, tags};
use serde_json::{Map, Value, json};

/// The frame header, and the predictor of the first scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jpeg {
    /// Of the SOF marker.
    process: u8,
    bits: u8,
    rows: u16,
    columns: u16,
    components: u8,
    predictor: u8,
}

impl Jpeg {
    /// From the first bytes; `None` where there is no header.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
        let mut frame = None;
        loop {
            let (marker, after) = rest.split_first_chunk::<2>()?;
            let [0xFF, marker] = *marker else { return None };
            rest = after;
            // Fill bytes.
            if marker == 0xFF {
                rest = bytes.get(bytes.len() - rest.len() - 1..)?;
                continue;
            }
            let len = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
            let segment = rest.get(2..len.max(2))?;
            match marker {
                0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => frame = Some(Self::frame(marker, segment)?),
                0xDA => {
                    let components = usize::from(*segment.first()?);
                    let predictor = *segment.get(1 + 2 * components)?;
                    return frame.map(|frame| Self { predictor, ..frame });
                }
                _ => {}
            }
            rest = rest.get(len.max(2)..)?;
        }
    }

    fn frame(process: u8, segment: &[u8]) -> Option<Self> {
        let [bits, r1, r2, c1, c2, components] = *segment.first_chunk::<6>()?;
        let (rows, columns) = (u16::from_be_bytes([r1, r2]), u16::from_be_bytes([c1, c2]));
        Some(Self { process, bits, rows, columns, components, predictor: 0 })
    }

    /// `None` for a process that DICOM does not have.
    pub fn transfer_syntax(&self) -> Option<TransferSyntax> {
        if self.components != 1 && self.components != 3 {
            return None;
        }
        let uid = match (self.process, self.predictor) {
            (0xC0, _) => "1.2.840.10008.1.2.4.50",
            (0xC1, _) => "1.2.840.10008.1.2.4.51",
            // Retired, and what there is for a progressive one.
            (0xC2, _) => "1.2.840.10008.1.2.4.55",
            (0xC3, 1) => "1.2.840.10008.1.2.4.70",
            (0xC3, _) => "1.2.840.10008.1.2.4.57",
            _ => return None,
        };
        uid.parse().ok().map(TransferSyntax::new)
    }

    /// Puts what it says into an item that does not say it; also that something was lost (PS3.3 C.7.6.1.1.5).
    pub fn describe(&self, item: &mut Map<String, Value>) {
        let is_lossless = self.process == 0xC3;
        let photometric = match (self.components, is_lossless) {
            (1, _) => GREY,
            (_, true) => "RGB",
            (_, false) => "YBR_FULL_422",
        };
        let (columns, rows) = (self.columns.into(), self.rows.into());
        describe(item, columns, rows, self.components.into(), self.bits.into(), photometric);
        if !is_lossless {
            put(item, tags::LOSSY_IMAGE_COMPRESSION, "CS", json!("01"));
            put(item, tags::LOSSY_IMAGE_COMPRESSION_METHOD, "CS", json!("ISO_10918_1"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
    use proptest::prelude::*;

    fn lossless(predictor: u8) -> Vec<u8> {
        let frame = [0xFF, 0xC3, 0, 11, 12, 0, 2, 0, 3, 1, 1, 0x11, 0];
        let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, predictor, 0, 0];
        [&[0xFF, 0xD8, 0xFF, 0xFF, 0xE0, 0, 4, 1, 2][..], &frame, &scan].concat()
    }

    #[test]
    fn the_header_tells_the_transfer_syntax() {
        let mut baseline = Vec::new();
        JpegEncoder::new(&mut baseline).encode(&[9; 5 * 4 * 3], 5, 4, ExtendedColorType::Rgb8).unwrap();
        let jpeg = Jpeg::read(&baseline).unwrap();
        assert_eq!((jpeg.rows, jpeg.columns, jpeg.components, jpeg.bits), (4, 5, 3, 8));
        for (bytes, expected) in [
            (baseline, "1.2.840.10008.1.2.4.50"),
            (lossless(1), "1.2.840.10008.1.2.4.70"),
            (lossless(4), "1.2.840.10008.1.2.4.57"),
        ] {
            assert_eq!(Jpeg::read(&bytes).unwrap().transfer_syntax().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_was_lost_is_said() {
        let mut item = Map::new();
        Jpeg { process: 0xC0, ..Jpeg::read(&lossless(1)).unwrap() }.describe(&mut item);
        assert_eq!(item["00282110"]["Value"], json!(["01"]));
        assert_eq!(item["00280101"]["Value"], json!([12]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            _ = Jpeg::read(&bytes);
            _ = Jpeg::read(&[&[0xFF, 0xD8][..], &bytes].concat());
        }
    }
}
