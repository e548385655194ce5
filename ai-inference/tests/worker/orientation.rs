//! A planted nodule comes back at its place in the patient, however the scanner sliced it.

use crate::{
    phantom::{NODULES, Scan},
    support::{Home, nearest},
};
use ai_inference::AiConfig;
use storage::JobState;

async fn check(name: &str, scan: Scan) {
    let home = Home::new().await;
    for file in scan.files() {
        home.store(&file).await;
    }
    let jobs = home.worked(AiConfig::default()).await;
    assert!(jobs.len() == 1 && jobs[0].state == JobState::Done, "{name}: {jobs:?}");
    let report = home.report().await;
    for (center, diameter) in NODULES {
        let off = nearest(&report, center);
        println!("{name}: the {diameter} mm nodule came back {off:.2} mm off");
        assert!(off <= 1.5, "{name}: {:?}", report.findings);
    }
    let closest = |f: &&pacs_core::finding::Finding| (f.center_mm[0] - NODULES[0].0[0]).abs();
    let finding = report.findings.iter().min_by(|a, b| closest(a).total_cmp(&closest(b))).expect("findings");
    assert!(!finding.estimated && (finding.long_axis_mm - NODULES[0].1).abs() < 1.5, "{name}: {finding:?}");
    home.archive.close().await;
}

fn turned(degrees: f64) -> (f64, f64) {
    degrees.to_radians().sin_cos()
}

#[tokio::test]
async fn axial_in_both_slice_orders() {
    check("feet first", Scan::AXIAL).await;
    check("head first", Scan { reversed: true, slice: [0.0, 0.0, -1.0], ..Scan::AXIAL }).await;
}

#[tokio::test]
async fn prone_and_turned_in_the_plane() {
    check("prone", Scan { row: [-1.0, 0.0, 0.0], column: [0.0, -1.0, 0.0], ..Scan::AXIAL }).await;
    let (s, c) = turned(12.0);
    check("turned", Scan { row: [c, s, 0.0], column: [-s, c, 0.0], ..Scan::AXIAL }).await;
}

#[tokio::test]
async fn oblique_and_with_a_tilted_gantry() {
    let (s, c) = turned(10.0);
    check("oblique", Scan { column: [0.0, c, s], slice: [0.0, -s, c], ..Scan::AXIAL }).await;
    check("tilted", Scan { column: [0.0, c, -s], ..Scan::AXIAL }).await;
}
