use super::*;
use crate::pixel::{Samples, decode};
use proptest::prelude::*;

fn image(rows: u16, columns: u16, bits: (u8, u8), signed: bool, colour: bool) -> ImagePixel {
    let photometric = match colour {
        true => PhotometricInterpretation::Rgb,
        false => PhotometricInterpretation::Monochrome2,
    };
    ImagePixel {
        rows,
        columns,
        samples_per_pixel: if colour { 3 } else { 1 },
        photometric,
        bits_allocated: bits.0,
        bits_stored: bits.1,
        high_bit: bits.1 - 1,
        signed: signed && !colour,
        float: false,
        planar: false,
        frames: 1,
        palette: None,
        padding: None,
        words: false,
    }
}

/// Native bytes whose values follow `noise`: 0 is a plane, then steps, then all the range.
fn native(image: &ImagePixel, noise: u8, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut value = 0u32;
    let samples = (0..image.samples()).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = (state >> 33) as u32;
        value = match noise {
            0 => value,
            1 if random.is_multiple_of(9) => value.wrapping_add(random >> 8 & 3),
            1 => value,
            2 => value.wrapping_add(random >> 8 & 15).wrapping_sub(7),
            _ => random,
        };
        container(image, value)
    });
    samples.collect()
}

/// The lowest Bits Stored bits of a value, in its container.
fn container(image: &ImagePixel, value: u32) -> Vec<u8> {
    let shift = 32 - u32::from(image.bits_stored);
    let value = match image.signed {
        true => (value.cast_signed() << shift >> shift).cast_unsigned(),
        false => value << shift >> shift,
    };
    value.to_le_bytes()[..usize::from(image.bits_allocated / 8)].to_vec()
}

#[track_caller]
fn check(target: Lossless, image: &ImagePixel, native: &[u8]) {
    let encoded = encode(target, image, native).expect("encoded");
    let decoded = decode(&target.transfer_syntax(), image, &encoded, 0).expect("decoded");
    assert!(decoded.samples.to_le_bytes() == native, "{target:?} of {image:?} gives other pixels");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        rows in 1u16..40, columns in 1u16..70, allocated in prop::sample::select(vec![8u8, 16, 32]),
        stored in 2u8..=32, signed: bool, colour: bool, noise in 0u8..4, seed: u64,
    ) {
        let image = image(rows, columns, (allocated, stored.min(allocated)), signed, colour);
        let native = native(&image, noise, seed);
        // Of noise there may be no JPEG XL.
        let fits = |target: &Lossless| target.refusal(&image).is_none() && (*target != Lossless::JpegXl || noise < 3);
        for target in Lossless::ALL.into_iter().filter(fits) {
            check(target, &image, &native);
        }
    }
}

#[test]
fn all_extremes_are_carried() {
    for (bits, signed) in [((16, 16), true), ((16, 16), false), ((16, 12), true), ((8, 8), false), ((8, 8), true)] {
        let image = image(64, 64, bits, signed, false);
        let values = [0, u32::MAX, 1 << (bits.1 - 1), (1 << (bits.1 - 1)) - 1];
        let places = (0..64 * 64).map(|at: usize| values[(at / 3 + at / 64) % 4]);
        let native: Vec<u8> = places.flat_map(|value| container(&image, value)).collect();
        for target in Lossless::ALL.into_iter().filter(|target| target.refusal(&image).is_none()) {
            check(target, &image, &native);
        }
    }
}

#[test]
fn bits_beyond_bits_stored_are_refused_where_they_would_be_lost() {
    let image = image(1, 2, (16, 12), false, false);
    for target in [Lossless::Jpeg, Lossless::JpegLs, Lossless::HtJpeg2000] {
        assert!(encode(target, &image, &[0, 0x10, 0, 0]).is_err(), "{target:?}");
    }
    check(Lossless::Rle, &ImagePixel { bits_stored: 16, high_bit: 15, ..image }, &[0, 0x10, 0, 0]);
}

#[test]
fn what_cannot_be_carried_is_refused_with_the_reason() {
    let grey = image(1, 1, (16, 12), false, false);
    for (image, reason) in [
        (ImagePixel { float: true, bits_allocated: 32, ..grey.clone() }, "floating"),
        (ImagePixel { bits_allocated: 1, bits_stored: 1, high_bit: 0, ..grey.clone() }, "Bits Allocated"),
        (ImagePixel { high_bit: 15, ..grey.clone() }, "High Bit"),
        (ImagePixel { rows: 60_000, columns: 60_000, ..grey.clone() }, "large"),
        (ImagePixel { photometric: PhotometricInterpretation::YbrFull422, ..grey.clone() }, "Photometric"),
    ] {
        for target in Lossless::ALL {
            assert!(target.refusal(&image).is_some_and(|refusal| refusal.contains(reason)), "{reason}");
            assert!(encode(target, &image, &[0; 8]).is_err());
        }
    }
    assert!(matches!(encode(Lossless::Rle, &grey, &[0]), Err(PixelError::Length { expected: 2, actual: 1 })));
}

fn decoded(target: Lossy, image: &ImagePixel, native: &[u8]) -> Vec<u8> {
    let encoded = encode(target, image, native).expect("encoded");
    let photometric = Target::from(target).photometric(image);
    let image = ImagePixel { photometric, ..image.clone() };
    decode(&Target::from(target).transfer_syntax(), &image, &encoded, 0).expect("decoded").samples.to_le_bytes()
}

proptest! {
    #[test]
    fn near_lossless_values_are_as_near_as_asked(
        rows in 1u16..40, columns in 1u16..70, wide: bool, stored in 9u8..=16, signed: bool, colour: bool,
        noise in 0u8..4, seed: u64, near in 1u8..40,
    ) {
        let allocated = if wide { 16 } else { 8 };
        let image = image(rows, columns, (allocated, stored.min(allocated)), signed, colour);
        let native = native(&image, noise, seed);
        prop_assume!(!signed || encode(Lossy::JpegLs { near }, &image, &native).is_ok());
        let again = decoded(Lossy::JpegLs { near }, &image, &native);
        let values = |bytes: &[u8]| -> Vec<i32> {
            let sign = |value: i32| if image.signed { value << (32 - allocated) >> (32 - allocated) } else { value };
            values(&image, bytes).into_iter().map(sign).collect()
        };
        let apart = values(&native).into_iter().zip(values(&again)).map(|(one, other)| (one - other).abs()).max();
        prop_assert!(apart <= Some(near.into()), "{apart:?}");
    }
}

#[test]
fn jpeg_baseline_keeps_the_picture_and_says_how_its_colour_is_written() {
    let mut image = image(48, 33, (8, 8), false, true);
    let ramp = |x: usize| [(x * 7) as u8, 255 - (x * 5) as u8, 90];
    let native: Vec<u8> = (0..48 * 33).flat_map(|at| ramp(at % 33)).collect();
    let target = Lossy::Jpeg { quality: 95 };
    assert_eq!(Target::from(target).photometric(&image), PhotometricInterpretation::YbrFull422);
    let apart = |again: Vec<u8>, native: &[u8]| again.iter().zip(native).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(apart(decoded(target, &image, &native), &native) <= Some(12));
    (image.samples_per_pixel, image.photometric) = (1, PhotometricInterpretation::Monochrome1);
    let native: Vec<u8> = native.into_iter().step_by(3).collect();
    assert!(apart(decoded(target, &image, &native), &native) <= Some(4));
}

#[test]
fn a_value_that_might_change_its_sign_by_an_error_is_refused() {
    let image = image(1, 2, (16, 12), true, false);
    let near = Lossy::JpegLs { near: 3 };
    for (value, fits) in [(-2048, false), (2045, false), (-1, true), (0, true), (2044, true)] {
        let native = Samples::I16(vec![value, 0]).to_le_bytes();
        assert_eq!(encode(near, &image, &native).is_ok(), fits, "{value}");
    }
}

#[test]
fn lossy_high_throughput_frames_are_as_near_as_their_quality_says() {
    for (bits, signed, colour) in
        [((8, 8), false, false), ((16, 12), true, false), ((16, 16), false, false), ((8, 8), false, true)]
    {
        let image = image(150, 201, bits, signed, colour);
        let native = native(&image, 2, 5);
        let mut largest = 0.0;
        for (quality, limit) in [(100, 1.0), (75, 4.0), (50, 16.0)] {
            let again = decoded(Lossy::HtJpeg2000 { quality }, &image, &native);
            let (one, other) = (signed_values(&image, &native), signed_values(&image, &again));
            let apart = one.iter().zip(&other).map(|(one, other)| f64::from((one - other).pow(2))).sum::<f64>();
            let apart = (apart / one.len() as f64).sqrt() * 256.0 / f64::from(1u32 << bits.1);
            assert!(apart > largest && apart < limit, "{quality}: {apart} of {image:?}");
            largest = apart;
        }
    }
}

#[test]
fn what_loses_something_is_refused_for_indices_and_jpeg_baseline_for_more_than_8_bits() {
    let grey = image(1, 1, (16, 12), false, false);
    let near = Lossy::JpegLs { near: 2 };
    assert_eq!(near.refusal(&grey), None);
    assert!(Lossy::Jpeg { quality: 90 }.refusal(&grey).is_some_and(|reason| reason.contains("8 bits")));
    let indices = ImagePixel { photometric: PhotometricInterpretation::PaletteColor, ..grey };
    assert!(near.refusal(&indices).is_some_and(|reason| reason.contains("palette")));
    assert!(Lossy::JpegLs { near: 200 }.refusal(&image(1, 1, (8, 8), false, false)).is_some());
}

#[test]
fn a_transfer_syntax_has_one_target() {
    let of = |uid: &str| Target::of(&TransferSyntax::new(uid.parse().expect("a UID")), 90);
    for one in Lossless::ALL {
        assert_eq!(of(one.uid()), Some(Target::Lossless(one)));
    }
    assert_eq!(of(JPEG_BASELINE), Some(Target::Lossy(Lossy::Jpeg { quality: 90 })));
    assert_eq!(of(JPEG_LS_NEAR_LOSSLESS), Some(Target::Lossy(Lossy::JpegLs { near: 3 })));
    assert_eq!(of("1.2.840.10008.1.2.1"), None);
}

#[test]
fn few_bits_without_a_sign_are_not_written_as_jpeg_or_jpeg_ls() {
    for (image, fits) in [
        (image(1, 2, (8, 7), false, false), false),
        (image(1, 2, (16, 7), false, false), false),
        (image(1, 2, (8, 7), true, false), true),
        (image(1, 2, (8, 8), false, false), true),
        (image(1, 2, (16, 8), false, false), true),
    ] {
        let eight_of_sixteen = |image: &ImagePixel| (image.bits_allocated, image.bits_stored) == (16, 8);
        assert_eq!(Lossless::JpegLs.refusal(&image).is_none(), fits && !eight_of_sixteen(&image), "{image:?}");
        assert_eq!(Lossless::Jpeg.refusal(&image).is_none(), fits, "{image:?}");
        assert_eq!(Lossless::Rle.refusal(&image), None);
    }
}

#[test]
fn a_frame_of_one_value_is_small() {
    let image = image(512, 512, (16, 16), false, false);
    let native = Samples::U16(vec![1000; 512 * 512]).to_le_bytes();
    for target in Lossless::ALL {
        assert!(encode(target, &image, &native).expect("encoded").len() < 40_000, "{target:?}");
    }
}
