//! The pixels that the manifest expects.

use crate::corpus::{Stored, corpus, open};
use pacs_core::pixel::Frame;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tiles of the last column and row are smaller in their codestreams than Rows × Columns says. The oracle left them
/// black; we refuse them and show the others.
const WITH_REFUSED_FRAMES: &str = "conformance/wsi/fo-dicom_multiframe.dcm";

struct Expected {
    path: String,
    sha256: String,
    lossy: bool,
}

/// The manifest's files with expected pixels.
fn manifest(data: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(data.join("MANIFEST.tsv")).expect("the manifest");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("a heading");
    let column = |name| header.iter().position(|&title| title == name).expect("a column of that name");
    let (path, sha256, rule) = (column("path"), column("pixel_sha256"), column("match"));
    let of = |line: Vec<&str>| Expected {
        path: line[path].into(),
        sha256: line[sha256].into(),
        lossy: line[rule].starts_with("tolerance"),
    };
    lines.map(of).filter(|expected| !expected.sha256.is_empty()).collect()
}

fn check(data: &Path, expected: &Expected, lossy: &Value, times: &mut Times) -> Result<(), String> {
    let stored = open(&data.join(&expected.path))?;
    let start = Instant::now();
    let frames = (0..stored.layout.frames()).map(|index| match stored.decode(index) {
        Err(_) if expected.path == WITH_REFUSED_FRAMES => Ok(None),
        decoded => decoded.map(Some),
    });
    let frames: Vec<Option<Frame>> = frames.collect::<Result<_, _>>()?;
    times.add(&stored, start.elapsed());
    match expected.lossy {
        true => near(&frames, &lossy[&expected.path]),
        false => equal(&frames, &expected.sha256),
    }
}

fn equal(frames: &[Option<Frame>], sha256: &str) -> Result<(), String> {
    let mut hash = Sha256::new();
    frames.iter().flatten().for_each(|frame| hash.update(frame.samples.to_le_bytes()));
    let actual: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if actual == sha256 { Ok(()) } else { Err("the pixels differ".into()) }
}

/// Compares sample points `[frame, row, column, value...]` within the tolerance.
fn near(frames: &[Option<Frame>], expected: &Value) -> Result<(), String> {
    let tolerance = expected["tolerance"].as_f64().ok_or("no tolerance")?;
    for point in expected["points"].as_array().ok_or("no points")? {
        let numbers: Vec<f64> = point.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let [index, row, column] = [0, 1, 2].map(|i| numbers[i] as usize);
        let Some(frame) = frames.get(index).ok_or("a frame is missing")? else { continue };
        let first = (row * usize::from(frame.columns) + column) * usize::from(frame.samples_per_pixel);
        for (i, value) in numbers[3..].iter().enumerate() {
            let actual = frame.samples.get(first + i).ok_or("a sample is missing")?;
            if (actual - value).abs() > tolerance {
                return Err(format!("{actual} is not {value} ± {tolerance} at {point}"));
            }
        }
    }
    Ok(())
}

/// Decoding time by transfer syntax.
#[derive(Default)]
struct Times(BTreeMap<String, (Duration, u64)>);

impl Times {
    fn add(&mut self, stored: &Stored, elapsed: Duration) {
        let image = &stored.image;
        let pixels = u64::from(image.rows) * u64::from(image.columns) * u64::from(stored.layout.frames());
        let (total, count) = self.0.entry(stored.transfer_syntax.to_string()).or_default();
        *total += elapsed;
        *count += pixels;
    }

    fn print(&self) {
        for (transfer_syntax, (total, pixels)) in &self.0 {
            let frames = *pixels as f64 / (512.0 * 512.0);
            println!("{transfer_syntax}: {:.2} ms for 512 × 512 pixels", total.as_secs_f64() * 1e3 / frames);
        }
    }
}

#[test]
fn every_frame_of_the_corpus_has_the_expected_pixels() {
    let Some(data) = corpus() else { return };
    let lossy = std::fs::read(data.join("expected_lossy.json")).unwrap();
    let lossy = serde_json::from_slice(&lossy).unwrap();
    let mut times = Times::default();
    let manifest = manifest(&data);
    let check = |expected: &Expected| {
        check(&data, expected, &lossy, &mut times).err().map(|e| format!("{}: {e}", expected.path))
    };
    let failures: Vec<String> = manifest.iter().filter_map(check).collect();
    times.print();
    assert!(failures.is_empty(), "{} of {} files:\n{}", failures.len(), manifest.len(), failures.join("\n"));
}
