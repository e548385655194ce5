//! Frames written and read, as MB of pixels a second; beside OpenJPH and CharLS of imagecodecs where the Python peers are there.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pacs_core::pixel::{ImagePixel, Lossless, PhotometricInterpretation, decode, encode, progressive};
use std::{env, hint::black_box, path::PathBuf, process::Command};

const SIDE: u16 = 2048;

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

/// Rings with four bits of noise, as of a detector; codec_peers.py makes the same rings.
fn frame() -> Vec<u8> {
    let side = u32::from(SIDE);
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % 16
    };
    let value = |at: u32| ((at % side).pow(2) + (at / side).pow(2)) / 5000 % 3000;
    (0..side * side).flat_map(|at| ((value(at) + noise()) as u16).to_le_bytes()).collect()
}

fn codecs(c: &mut Criterion) {
    let (image, frame) = (image(), frame());
    let mut group = c.benchmark_group("codec");
    group.sample_size(10).throughput(Throughput::BytesDecimal(frame.len() as u64));
    for target in Lossless::ALL {
        let encoded = encode(target, &image, &frame).expect("encoded");
        let syntax = target.transfer_syntax();
        group.bench_function(format!("encode/{target:?}"), |b| b.iter(|| encode(target, &image, black_box(&frame))));
        group.bench_function(format!("decode/{target:?}"), |b| {
            b.iter(|| decode(&syntax, &image, black_box(&encoded), 0))
        });
    }
    group.finish();
}

/// The first image of a radiograph over a narrow line.
fn first_image(c: &mut Criterion) {
    let image = image();
    let encoded = encode(Lossless::HtJpeg2000Rpcl, &image, &frame()).expect("encoded");
    let resolutions = progressive::resolutions(&encoded).expect("told");
    let first = resolutions.iter().rfind(|resolution| resolution.bytes <= 128 << 10).expect("one of 128 kB");
    println!("the largest image of 128 kB: {first:?}");
    let prefix = encoded[..first.bytes].to_vec();
    c.bench_function("codec/first_image", |b| {
        b.iter_batched(|| prefix.clone(), |prefix| progressive::decode_prefix(&image, &prefix), BatchSize::SmallInput);
    });
}

/// In the same run, for the ratio.
fn peers(_: &mut Criterion) {
    let cache = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/yinghai/peers"));
    let folder = env::var_os("YINGHAI_PEERS").map(PathBuf::from).or_else(cache).unwrap_or_default();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("codec_peers.py");
    match Command::new(folder.join("bin/python")).arg(script).status() {
        Ok(status) if status.success() => {}
        other => eprintln!("skipped: OpenJPH and CharLS ({other:?}); scripts/prepare test installs them"),
    }
}

criterion_group!(codec, peers, codecs, first_image, peers);
criterion_main!(codec);
