//! YBR → RGB (PS3.3 C.7.6.3.1.2: YBR_FULL is the full-range Y, CB, CR of ITU-R BT.601).

use super::Samples;

/// Interleaved Y, CB, CR → interleaved R, G, B. Other containers than 8 and 16 bits unsigned hold no YBR and pass.
pub(super) fn ybr_full_to_rgb(samples: Samples, bits_stored: u8) -> Samples {
    let largest = (1u32 << bits_stored.min(16)) - 1;
    match samples {
        Samples::U8(mut values) => {
            convert(&mut values, largest, |v| v as u8);
            Samples::U8(values)
        }
        Samples::U16(mut values) => {
            convert(&mut values, largest, |v| v as u16);
            Samples::U16(values)
        }
        other => other,
    }
}

fn convert<T: Copy + Into<f32>>(values: &mut [T], largest: u32, from_f32: impl Fn(f32) -> T) {
    let (zero, largest) = (largest.div_ceil(2) as f32, largest as f32);
    let sample = |v: f32| from_f32((v + 0.5).floor().clamp(0.0, largest));
    for [first, second, third] in values.as_chunks_mut().0 {
        let (y, cb, cr): (f32, f32, f32) = ((*first).into(), (*second).into() - zero, (*third).into() - zero);
        *first = sample(y + 1.402 * cr);
        *second = sample(y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587);
        *third = sample(y + 1.772 * cb);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ybr: [u8; 3], rgb: [u8; 3]) {
        assert_eq!(ybr_full_to_rgb(Samples::U8(ybr.into()), 8), Samples::U8(rgb.into()), "{ybr:?}");
    }

    #[test]
    fn the_corners_of_the_colour_cube_convert() {
        check([0, 128, 128], [0, 0, 0]);
        check([255, 128, 128], [255, 255, 255]);
        check([76, 85, 255], [254, 0, 0]);
        check([150, 44, 21], [0, 255, 1]);
        check([29, 255, 107], [0, 0, 254]);
    }

    #[test]
    fn twelve_bit_chroma_is_centred_at_2048() {
        assert_eq!(ybr_full_to_rgb(Samples::U16(vec![100, 2048, 2048]), 12), Samples::U16(vec![100, 100, 100]));
    }
}
