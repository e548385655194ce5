//! Frames as they are shown with what their instance says, beside the mean grey that they have elsewhere.

use crate::corpus::{corpus, open};
use pacs_core::Attributes;
use pacs_core::pixel::{ModalityLut, Presentation, Rendered, VoiLut, render};

/// The first frame's 8-bit pixels; `None` without the corpus.
fn shown(path: &str) -> Option<Vec<u8>> {
    let stored = open(&corpus()?.join(path)).expect("an image");
    let attributes = Attributes::of(&stored.metadata).expect("an object");
    let presentation = Presentation {
        modality_lut: ModalityLut::of(attributes, 0),
        voi_lut: VoiLut::of(attributes, 0).into_iter().next(),
        invert: false,
    };
    let frame = stored.decode(0).expect("a frame");
    match render(&frame, &stored.image, &presentation).expect("a picture") {
        Rendered::Grey { pixels, .. } | Rendered::Rgb { pixels, .. } => Some(pixels),
    }
}

fn mean(pixels: &[u8]) -> f64 {
    pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / pixels.len() as f64
}

#[test]
fn an_angiogram_with_a_lut_to_beam_intensity_is_as_grey_as_dcmtk_shows_it() {
    let Some(pixels) = shown("conformance/sop-class/xa/godicom_I_000000.dcm") else { return };
    // dcmtk 3.6.7, dcm2pnm +Wi 1: 120.56; it rounds down where we round to the nearest.
    assert!((mean(&pixels) - 120.56).abs() < 1.0, "mean {}", mean(&pixels));
}

#[test]
fn air_of_a_signed_codestream_in_an_unsigned_instance_is_black() {
    let Some(pixels) = shown("conformance/transfer-syntax/j2k/TOSHIBA_J2K_SIZ1_PixRep0.dcm") else { return };
    assert_eq!([pixels[0], pixels[511], pixels[pixels.len() - 1]], [0; 3]);
    let white = pixels.iter().filter(|&&pixel| pixel == 255).count();
    assert!(white * 50 < pixels.len() && mean(&pixels) > 10.0, "{white} white, mean {}", mean(&pixels));
}
