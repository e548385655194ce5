//! A frame of some bytes cannot make a decoder take much memory, whatever sizes it declares.
//!
//! The peak of a process never goes down: so these are a program of their own, and one test.

use pacs_core::{
    Attributes, TransferSyntax,
    pixel::{self, ImagePixel, PixelError},
};
use serde_json::json;

/// Of the whole process, in KiB.
const MAX_PEAK: u64 = 96 << 10;

fn image(rows: u16, columns: u16) -> Result<ImagePixel, PixelError> {
    let metadata = json!({
        "00280002": {"vr": "US", "Value": [1]},
        "00280004": {"vr": "CS", "Value": ["MONOCHROME2"]},
        "00280010": {"vr": "US", "Value": [rows]},
        "00280011": {"vr": "US", "Value": [columns]},
        "00280100": {"vr": "US", "Value": [8]},
        "00280101": {"vr": "US", "Value": [8]},
        "00280102": {"vr": "US", "Value": [7]},
        "00280103": {"vr": "US", "Value": [0]},
    });
    ImagePixel::of(Attributes::of(&metadata).expect("an object"))
}

/// One marker segment.
fn segment(marker: u8, payload: &[u8]) -> Vec<u8> {
    [&[0xFF, marker][..], &(payload.len() as u16 + 2).to_be_bytes(), payload].concat()
}

/// Frame header of JPEG and JPEG-LS.
fn sof(marker: u8, size: u16, components: u8) -> Vec<u8> {
    let mut payload = [&[8][..], &size.to_be_bytes(), &size.to_be_bytes(), &[components]].concat();
    (0..components).for_each(|id| payload.extend([id, 0x11, 0]));
    [&[0xFF, 0xD8][..], &segment(marker, &payload), &[0xFF, 0xD9]].concat()
}

/// A codestream of one empty tile.
fn jpeg_2000(high_throughput: bool, size: u32, components: u16, precincts: &[u8]) -> Vec<u8> {
    let mut siz = vec![if high_throughput { 0x40 } else { 0 }, 0];
    [size, size, 0, 0, size, size, 0, 0].iter().for_each(|value| siz.extend(value.to_be_bytes()));
    siz.extend(components.to_be_bytes());
    siz.extend([7, 1, 1].repeat(components.into()));
    let cap = if high_throughput { segment(0x50, &[0, 2, 0, 0, 0, 0]) } else { Vec::new() };
    let block_style = if high_throughput { 0x40 } else { 0 };
    let style = u8::from(!precincts.is_empty());
    let cod = [&[style, 0, 0, 1, 0, 5, 4, 4, block_style, 1][..], precincts].concat();
    let qcd = [&[0x40][..], &[0x48; 16]].concat();
    let tile = [0xFF, 0x90, 0, 10, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0x93, 0xFF, 0xD9];
    [&[0xFF, 0x4F][..], &segment(0x51, &siz), &cap, &segment(0x52, &cod), &segment(0x5C, &qcd), &tile].concat()
}

/// Size header of 2³⁰ by 2³⁰ pixels (ISO/IEC 18181-1 §D.3), the rest default.
fn jpeg_xl() -> Vec<u8> {
    [&[0xFF, 0x0A][..], &[0xFE, 0xFF, 0xFF, 0xFF, 0xE1, 0xFF, 0xFF, 0xFF, 0x3F], &[0xFF; 40]].concat()
}

fn refused(what: &str, transfer_syntax: &str, image: &ImagePixel, frame: &[u8]) {
    let transfer_syntax = TransferSyntax::new(transfer_syntax.parse().expect("a UID"));
    let outcome = pixel::decode_caught(&transfer_syntax, image, frame, 0);
    assert!(outcome.is_err(), "{what} was decoded");
    let peak = peak();
    assert!(peak < MAX_PEAK, "{what}: the process took {peak} KiB");
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

const NATIVE: &str = "1.2.840.10008.1.2.1";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";
const HTJ2K: &str = "1.2.840.10008.1.2.4.201";
const JPEG_XL: &str = "1.2.840.10008.1.2.4.110";
const RLE: &str = "1.2.840.10008.1.2.5";
const DEFLATED: &str = "1.2.840.10008.1.2.8.1";

#[test]
fn a_tiny_frame_that_declares_a_giant_is_refused_in_little_memory() {
    assert!(image(65535, 65535).is_err(), "an instance of 65535 × 65535 pixels");
    let small = image(16, 16).unwrap();
    let largest = image(16384, 16384).unwrap();

    refused("JPEG of 65535²", JPEG, &small, &sof(0xC0, 65535, 1));
    refused("progressive JPEG of 65535²", JPEG, &small, &sof(0xC2, 65535, 1));
    refused("lossless JPEG of 65535²", JPEG_LOSSLESS, &small, &sof(0xC3, 65535, 1));
    refused("JPEG of 255 components", JPEG, &small, &sof(0xC0, 16, 255));
    refused("JPEG-LS of 65535²", JPEG_LS, &small, &sof(0xF7, 65535, 1));
    refused("JPEG-LS of 255 components", JPEG_LS, &small, &sof(0xF7, 16, 255));
    for (syntax, high_throughput) in [(JPEG_2000, false), (HTJ2K, true)] {
        refused("JPEG 2000 of 2³² - 1", syntax, &small, &jpeg_2000(high_throughput, u32::MAX, 1, &[]));
        refused("JPEG 2000 of 65535²", syntax, &small, &jpeg_2000(high_throughput, 65535, 1, &[]));
        refused("JPEG 2000 of 1000 components", syntax, &small, &jpeg_2000(high_throughput, 16, 1000, &[]));
        let points = jpeg_2000(high_throughput, 16384, 1, &[0x11; 6]);
        refused("JPEG 2000 of a precinct a sample", syntax, &largest, &points);
    }
    refused("JPEG XL of 2³⁰", JPEG_XL, &small, &jpeg_xl());

    for (name, syntax) in [("native", NATIVE), ("RLE", RLE), ("deflated", DEFLATED)] {
        refused(&format!("{name} frame without bytes"), syntax, &largest, &[]);
        refused(&format!("{name} frame of zeros"), syntax, &largest, &[0; 64]);
    }
    let runs = [&1u32.to_le_bytes()[..], &64u32.to_le_bytes(), &[0; 56], &[0x81, 7].repeat(8)].concat();
    refused("RLE frame that ends early", RLE, &largest, &runs);
}
