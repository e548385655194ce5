//! The pixel pipeline, without disk or network. Frames are those of the synthetic chest.

use criterion::{Criterion, criterion_group, criterion_main};
use pacs_core::{
    TransferSyntax,
    pixel::{
        Frame, ImagePixel, ModalityLut, PhotometricInterpretation, Presentation, Samples, VoiFunction, VoiLut, Window,
        decode, render,
    },
};
use std::hint::black_box;

const SIDE: u16 = 512;

fn image() -> ImagePixel {
    ImagePixel {
        rows: SIDE,
        columns: SIDE,
        samples_per_pixel: 1,
        photometric: PhotometricInterpretation::Monochrome2,
        bits_allocated: 16,
        bits_stored: 12,
        high_bit: 11,
        signed: false,
        float: false,
        planar: false,
        frames: 1,
        palette: None,
        padding: None,
        words: true,
    }
}

/// A ramp with noise: every table entry is used.
fn stored() -> Vec<u16> {
    (0..u32::from(SIDE) * u32::from(SIDE)).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as u16).collect()
}

fn voi_linear(c: &mut Criterion) {
    let frame = Frame { rows: SIDE, columns: SIDE, samples_per_pixel: 1, samples: Samples::U16(stored()) };
    let window = Window { center: -600.0, width: 1500.0, function: VoiFunction::Linear, explanation: None };
    let presentation = Presentation {
        modality_lut: ModalityLut::Rescale { slope: 1.0, intercept: -1024.0 },
        voi_lut: Some(VoiLut::Window(window)),
        invert: false,
    };
    let image = image();
    c.bench_function("voi_linear/512x512", |b| b.iter(|| render(black_box(&frame), &image, &presentation)));
}

fn decode_native(c: &mut Criterion) {
    let bytes: Vec<u8> = stored().iter().flat_map(|v| v.to_le_bytes()).collect();
    let (syntax, image) = (TransferSyntax::explicit_little(), image());
    c.bench_function("decode_native/512x512", |b| b.iter(|| decode(&syntax, &image, black_box(&bytes), 0)));
}

criterion_group!(pixel, voi_linear, decode_native);
criterion_main!(pixel);
