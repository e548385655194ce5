//! Two public chest CTs (LIDC-IDRI, CC BY 3.0): their consensus nodules, and agreement with the Python reference.
//!
//! Expected marks: the reference implementation (SimpleITK, scipy, ONNX Runtime 1.32.0) on the same files.

use crate::support::{Home, nearest, shared};
use ai_inference::AiConfig;
use std::time::Instant;
use storage::JobState;

/// Score and place (LPS mm) of a mark.
type Mark = (f64, [f64; 3]);

async fn check(folder: &str, nodule: [f64; 3], marks: &[Mark]) {
    let Some(folder) = shared(folder) else { return };
    let home = Home::new().await;
    for entry in std::fs::read_dir(folder).expect("a readable file") {
        let path = entry.expect("a readable file").path();
        if path.extension().is_some_and(|extension| extension == "dcm") {
            home.store(&std::fs::read(path).expect("a readable file")).await;
        }
    }
    let start = Instant::now();
    let jobs = home.worked(AiConfig::default()).await;
    let wall = start.elapsed().as_secs_f64();
    assert_eq!(jobs[0].state, JobState::Done, "{jobs:?}");
    let report = home.report().await;
    println!("{:?}: {wall:.1} s, peak memory {}", jobs[0].result, peak_memory());
    // Outlines differ between readers: within the nodule is found.
    assert!(nearest(&report, nodule) < 8.0, "{:?}", report.findings);
    for (finding, &(score, place)) in report.findings.iter().zip(marks) {
        let off = (0..3).map(|i| (finding.center_mm[i] - place[i]).powi(2)).sum::<f64>().sqrt();
        println!("{score:.4}: {:.4}, {off:.2} mm from the reference's mark, {finding:?}", finding.confidence);
        assert!((finding.confidence - score).abs() < 0.002);
        // Where an outline was traced, the centre is that of the outline and not the mark's.
        assert!(off < if finding.estimated { 0.1 } else { 5.0 }, "{finding:?}");
    }
    assert_eq!(report.findings.len(), marks.len(), "{:?}", report.findings);
    home.archive.close().await;
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("unknown").to_owned()
}

#[tokio::test]
async fn lidc_idri_0001() {
    let marks = [
        (1.0000, [56.70, 85.87, -115.05]),
        (0.9854, [-29.58, -12.57, -100.23]),
        (0.9794, [-93.52, 33.83, -174.79]),
        (0.9592, [43.45, 62.06, -74.56]),
        (0.9495, [125.72, 27.10, -210.61]),
        (0.9399, [-104.42, 18.76, -231.58]),
        (0.9182, [-72.64, 73.84, -243.24]),
    ];
    check("data/chest-ct/LIDC-IDRI-0001", [57.24, 84.94, -115.62], &marks).await;
}

#[tokio::test]
async fn lidc_idri_0314() {
    let marks = [
        (1.0000, [-56.16, 131.02, -520.02]),
        (0.9813, [15.66, 198.48, -450.00]),
        (0.9461, [-62.87, 151.64, -499.29]),
        (0.9223, [-67.22, 171.40, -498.44]),
    ];
    check("data/chest-ct/LIDC-IDRI-0314", [-56.96, 131.23, -520.42], &marks).await;
}
