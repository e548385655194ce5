//! RLE Lossless (PS3.5 Annex G): PackBits, one segment for each byte of a sample, most significant first.

use crate::pixel::{ImagePixel, PixelError};

const HEADER_LEN: usize = 64;
/// Segments a header has room for.
const MAX_SEGMENTS: usize = 15;

/// Decodes a frame to native bytes: little endian, colour by pixel.
pub(in crate::pixel) fn decode(image: &ImagePixel, encoded: &[u8]) -> Result<Vec<u8>, PixelError> {
    // A sample of 1 bit has no bytes to split: its segment is the packed frame.
    let bytes_per_sample = usize::from(image.bits_allocated).div_ceil(8);
    let segments = segments(encoded, usize::from(image.samples_per_pixel) * bytes_per_sample)?;
    let stride = segments.len();
    let plane_len = match image.bits_allocated {
        1 => image.native_frame_len(),
        _ => image.pixels(),
    };
    let mut native = vec![0; plane_len * stride];
    for (index, segment) in segments.into_iter().enumerate() {
        let (sample, byte) = (index / bytes_per_sample, bytes_per_sample - 1 - index % bytes_per_sample);
        let places = native.iter_mut().skip(sample * bytes_per_sample + byte).step_by(stride);
        places.zip(unpack(segment, plane_len)?).for_each(|(place, byte)| *place = byte);
    }
    Ok(native)
}

/// The `count` segments that the header lists.
fn segments(encoded: &[u8], count: usize) -> Result<Vec<&[u8]>, PixelError> {
    let header = encoded.get(..HEADER_LEN).ok_or(PixelError::Length { expected: HEADER_LEN, actual: encoded.len() })?;
    let mut words = header.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word) as usize);
    let declared = words.next().unwrap_or_default();
    if declared != count || count > MAX_SEGMENTS {
        return Err(PixelError::Codec(format!("{declared} RLE segments, {count} are needed")));
    }
    let starts: Vec<usize> = words.take(count).collect();
    let ends = starts.iter().skip(1).copied().chain([encoded.len()]);
    let segment = |(&start, end)| encoded.get(start..end).filter(|_| start >= HEADER_LEN);
    let segments: Option<_> = starts.iter().zip(ends).map(segment).collect();
    segments.ok_or_else(|| PixelError::codec("an RLE segment lies outside the frame"))
}

/// The first `len` bytes of a segment; what follows them is padding.
fn unpack(segment: &[u8], len: usize) -> Result<Vec<u8>, PixelError> {
    let early = || PixelError::codec("an RLE segment ends early");
    let mut bytes = Vec::with_capacity(len);
    let mut rest = segment;
    while bytes.len() < len {
        let room = len - bytes.len();
        let (&control, after) = rest.split_first().ok_or_else(early)?;
        rest = match control {
            0..=127 => {
                let (literal, after) = after.split_at_checked(usize::from(control) + 1).ok_or_else(early)?;
                bytes.extend(literal.iter().take(room));
                after
            }
            128 => after,
            129.. => {
                let (&byte, after) = after.split_first().ok_or_else(early)?;
                bytes.resize(bytes.len() + room.min(257 - usize::from(control)), byte);
                after
            }
        };
    }
    Ok(bytes)
}

/// Encodes native bytes: little endian, colour by pixel. Each row is packed by itself (PS3.5 §G.3.1).
#[cfg(feature = "encode")]
pub(in crate::pixel) fn encode(image: &ImagePixel, native: &[u8]) -> Result<Vec<u8>, PixelError> {
    let bytes_per_sample = usize::from(image.bits_allocated / 8);
    let stride = usize::from(image.samples_per_pixel) * bytes_per_sample;
    let mut header = vec![stride as u32];
    let mut segments = Vec::new();
    for index in 0..stride {
        let (sample, byte) = (index / bytes_per_sample, bytes_per_sample - 1 - index % bytes_per_sample);
        let start = HEADER_LEN + segments.len();
        header.push(u32::try_from(start).map_err(|_| PixelError::codec("an RLE frame is longer than 4 GiB"))?);
        let plane: Vec<u8> = native.iter().skip(sample * bytes_per_sample + byte).step_by(stride).copied().collect();
        plane.chunks(usize::from(image.columns)).for_each(|row| pack(row, &mut segments));
        segments.resize(segments.len().next_multiple_of(2), 0);
    }
    header.resize(HEADER_LEN / 4, 0);
    Ok(header.iter().flat_map(|word| word.to_le_bytes()).chain(segments).collect())
}

/// Most bytes of one run or literal.
#[cfg(feature = "encode")]
const MOST: usize = 128;

/// Runs of three and more, literals between them.
#[cfg(feature = "encode")]
fn pack(row: &[u8], packed: &mut Vec<u8>) {
    let mut literal = row;
    let mut rest = row;
    while let Some((&first, _)) = rest.split_first() {
        let run = rest.iter().take(MOST).take_while(|&&byte| byte == first).count();
        let (here, after) = rest.split_at(run);
        rest = after;
        if here.len() > 2 {
            pack_literal(&literal[..literal.len() - here.len() - after.len()], packed);
            packed.extend([(257 - run) as u8, first]);
            literal = after;
        }
    }
    pack_literal(literal, packed);
}

#[cfg(feature = "encode")]
fn pack_literal(bytes: &[u8], packed: &mut Vec<u8>) {
    for piece in bytes.chunks(MOST) {
        packed.push(piece.len() as u8 - 1);
        packed.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::codec::tests::image;
    use proptest::prelude::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = vec![segments.len() as u32];
        let mut start = HEADER_LEN as u32;
        for segment in segments {
            header.push(start);
            start += segment.len() as u32;
        }
        header.resize(HEADER_LEN / 4, 0);
        header.iter().flat_map(|word| word.to_le_bytes()).chain(segments.concat()).collect()
    }

    #[test]
    fn runs_and_literals_unpack_and_128_does_nothing() {
        assert_eq!(unpack(&[0xFE, 0xAA, 0x80, 1, 1, 2, 0, 3, 9], 6).unwrap(), [0xAA, 0xAA, 0xAA, 1, 2, 3]);
    }

    #[test]
    fn segments_hold_the_bytes_of_a_sample_most_significant_first() {
        let encoded = frame(&[&[1, 1, 2], &[1, 3, 4]]);
        assert_eq!(decode(&image(1, 2, 1, 16), &encoded).unwrap(), [3, 1, 4, 2]);
    }

    #[test]
    fn a_header_with_too_many_segments_or_bad_offsets_is_refused() {
        let image = image(1, 2, 1, 8);
        let mut many = frame(&[&[1, 1, 2]]);
        many[..4].fill(0xFF);
        let mut outside = frame(&[&[1, 1, 2]]);
        outside[4..8].fill(0xFF);
        let mut in_header = frame(&[&[1, 1, 2]]);
        in_header[4] = 4;
        for encoded in [&many, &outside, &in_header, &frame(&[&[1, 1]]), &vec![0; 63]] {
            assert!(decode(&image, encoded).is_err());
        }
    }

    #[cfg(feature = "encode")]
    #[test]
    fn long_runs_and_literals_are_split_and_rows_packed_by_themselves() {
        let packed = |row: &[u8]| {
            let mut packed = Vec::new();
            pack(row, &mut packed);
            packed
        };
        assert_eq!(packed(&[7; 130]), [129, 7, 1, 7, 7]);
        assert_eq!(packed(&[1, 1, 2, 2, 2, 3]), [1, 1, 1, 254, 2, 0, 3]);
        let counting: Vec<u8> = (0..200).collect();
        assert_eq!(packed(&counting).len(), 202);
        let rows = encode(&image(2, 3, 1, 8), &[5; 6]).unwrap();
        assert_eq!(rows[HEADER_LEN..], [254, 5, 254, 5]);
    }

    proptest! {
        #[test]
        fn any_segment_gives_its_length_or_an_error(segment in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(bytes) = unpack(&segment, 40) {
                prop_assert_eq!(bytes.len(), 40);
            }
        }
    }
}
