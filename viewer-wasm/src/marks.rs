//! What is drawn over the image: AI findings and the scale bar.

use pacs_core::Uid;
use pacs_core::finding::Finding;

use crate::camera::{Placement, scale_bar};
use crate::model::Viewer;
use crate::series::Slice;

/// A finding's circle in CSS pixels of the viewport.
#[derive(Debug, Clone, PartialEq)]
pub struct Circle {
    pub report: Uid,
    pub number: u32,
    pub x: f64,
    pub y: f64,
    pub radius: f64,
    pub selected: bool,
    pub long_axis_mm: f64,
    /// The length is an estimate, not traced.
    pub estimated: bool,
}

/// Free space between a nodule and its circle: the reader has to see the border.
const MARGIN_MM: f64 = 3.0;
const LEAST_RADIUS_PX: f64 = 8.0;

/// Circles of the findings that the shown slice cuts.
pub fn circles(viewer: &Viewer) -> Vec<Circle> {
    let (Some(slice), Some(placement), true) = (viewer.slice(), viewer.placement(), viewer.show_findings) else {
        return Vec::new();
    };
    let on_slice = viewer.findings().filter(|(stored, _)| viewer.applies(&stored.report, slice));
    on_slice
        .filter_map(|(stored, finding)| {
            let (x, y, radius) = circle(slice, &placement, finding)?;
            let selected = viewer.selected_finding.as_ref() == Some(&(stored.sop_instance.clone(), finding.number));
            Some(Circle {
                report: stored.sop_instance.clone(),
                number: finding.number,
                x,
                y,
                radius,
                selected,
                long_axis_mm: finding.long_axis_mm,
                estimated: finding.estimated,
            })
        })
        .collect()
}

/// Centre and radius in the viewport; `None` where the slice passes by the finding.
fn circle(slice: &Slice, placement: &Placement, finding: &Finding) -> Option<(f64, f64, f64)> {
    let plane = slice.plane?;
    let (column, row, distance_mm) = plane.to_index(finding.center_mm);
    let radius_mm = finding.long_axis_mm / 2.0;
    let half_slice_mm = slice.facts.thickness_mm.unwrap_or(1.0) / 2.0;
    if !distance_mm.is_finite() || distance_mm.abs() > radius_mm.max(half_slice_mm) {
        return None;
    }
    let [x, y] = placement.to_viewport(column, row);
    let radius = (radius_mm + MARGIN_MM) / plane.column_spacing_mm * placement.column_px;
    (x.is_finite() && y.is_finite() && radius.is_finite()).then_some((x, y, radius.max(LEAST_RADIUS_PX)))
}

/// Length in mm and in CSS pixels of the scale bar, and whether it holds at the detector only.
pub fn scale(viewer: &Viewer) -> Option<(f64, f64, bool)> {
    let spacing = viewer.slice()?.spacing?;
    let (mm, px) = scale_bar(spacing.column_mm / viewer.placement()?.column_px, viewer.size[0].min(600.0) / 3.0)?;
    Some((mm, px, spacing.at_detector))
}
