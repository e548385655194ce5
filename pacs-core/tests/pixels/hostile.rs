//! Frames with damage: every codec gives a frame of the declared size or an error, in bounded time.

use crate::corpus::{Stored, corpus, open};
use pacs_core::pixel;
use pacs_core::transfer_syntax::Codec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::panic;
use std::time::{Duration, Instant};

/// A small file of every codec and process.
const FILES: [&str; 17] = [
    "transfer-syntax/native/MR_small_bigendian.dcm",
    "rt/rtdose.dcm",
    "transfer-syntax/rle/rtdose_rle.dcm",
    "transfer-syntax/rle/SC_rgb_rle.dcm",
    "transfer-syntax/jpeg/SC_rgb_dcmtk_+eb+cy+np.dcm",
    "transfer-syntax/jpeg/JPEGBaseline_1s_1f_u_08_08.dcm",
    "transfer-syntax/jpeg/JPGExtended.dcm",
    "transfer-syntax/same-ct-in-15-syntaxes/CTImage_1.2.840.10008.1.2.4.55.dcm",
    "transfer-syntax/jpeg/SC_rgb_jpeg_gdcm.dcm",
    "transfer-syntax/jpegls/MR_small_jpeg_ls_lossless.dcm",
    "transfer-syntax/jpegls/JPEGLSNearLossless_16.dcm",
    "transfer-syntax/jpegls/SC_rgb_jls_lossy_line.dcm",
    "wsi/sm_image_jpegls.dcm",
    "transfer-syntax/j2k/MR_small_jp2klossless.dcm",
    "transfer-syntax/j2k/SC_rgb_gdcm_KY.dcm",
    "transfer-syntax/htj2k/CT1_HTJ2KL.dcm",
    "transfer-syntax/jxl/VL1_JXL.dcm",
];

/// Ten times what the largest of these frames takes undamaged, on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Fill(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Cut),
        (index(), 1u8..).prop_map(|(place, mask)| Damage::Flip(place, mask)),
        (index(), any::<u8>()).prop_map(|(place, byte)| Damage::Fill(place, byte)),
        index().prop_map(Damage::Remove),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        // Half of it hits the headers, which lie in the first bytes.
        let place = |index: &prop::sample::Index| match index.index(2) {
            0 => index.index(bytes.len().clamp(1, 200)),
            _ => index.index(bytes.len().max(1)),
        };
        match self {
            Self::Cut(index) => bytes.truncate(index.index(bytes.len().max(1))),
            Self::Flip(index, mask) => {
                let place = place(index);
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= mask);
            }
            Self::Fill(index, value) => {
                let place = place(index);
                bytes.iter_mut().skip(place).take(4).for_each(|byte| *byte = *value);
            }
            Self::Remove(index) => {
                let place = place(index);
                drop(bytes.drain(place.min(bytes.len())..(place + 3).min(bytes.len())));
            }
        }
    }
}

/// Our own decoders must not even panic; foreign ones are caught.
fn is_own(codec: Codec) -> bool {
    !matches!(codec, Codec::Jpeg2000 | Codec::HtJpeg2000 | Codec::JpegXl)
}

fn check(stored: &Stored, encoded: &[u8], damages: &[Damage]) -> Result<(), TestCaseError> {
    let mut encoded = encoded.to_vec();
    damages.iter().for_each(|damage| damage.apply(&mut encoded));
    let start = Instant::now();
    let decoded = pixel::decode_caught(&stored.transfer_syntax, &stored.image, &encoded, 0);
    prop_assert!(start.elapsed() < LONGEST, "took {:?}", start.elapsed());
    match decoded {
        Ok(frame) => {
            let image = &stored.image;
            let pixels = usize::from(image.rows) * usize::from(image.columns);
            prop_assert_eq!(frame.samples.len(), pixels * usize::from(image.samples_per_pixel));
        }
        Err(error) => {
            let panicked = error.to_string().contains("panicked");
            prop_assert!(!(panicked && is_own(stored.transfer_syntax.codec())), "{}", error);
        }
    }
    Ok(())
}

#[test]
fn a_damaged_frame_gives_a_frame_of_the_declared_size_or_an_error() {
    let Some(data) = corpus() else { return };
    panic::set_hook(Box::new(|_| {}));
    let mut failures = Vec::new();
    for path in FILES {
        let stored = open(&data.join("conformance").join(path)).unwrap();
        let (encoded, _) = stored.encoded(0).unwrap();
        let cases = if encoded.len() > 50_000 { 48 } else { 256 };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let damages = prop::collection::vec(damage(), 1..4);
        let result = runner.run(&damages, |damages| check(&stored, &encoded, &damages));
        failures.extend(result.err().map(|error| format!("{path}: {error}")));
    }
    drop(panic::take_hook());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
