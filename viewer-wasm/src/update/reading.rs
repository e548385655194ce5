//! Reading: scroll, shade, zoom, play, go to findings.

use pacs_core::Uid;

use super::{frames, gesture, study};
use crate::camera::{Camera, Zoom};
use crate::model::{Cine, Effect, Model, Msg, ReadingMsg, Viewer};
use crate::series::FrameKey;
use crate::shading::Shading;

/// Wheel travel (CSS pixels) for one slice; one notch of a mouse wheel is about 100.
const WHEEL_PX: f64 = 60.0;
pub const CINE_SPEEDS: std::ops::RangeInclusive<u32> = 1..=60;
const CINE_SPEED: u32 = 15;

pub fn update(model: &mut Model, message: ReadingMsg) -> Vec<Effect> {
    let range = model.shown().map(|(_, held)| held.range);
    let next_run = model.epoch + 1;
    let Some(viewer) = &mut model.viewer else { return Vec::new() };
    let mut effects = Vec::new();
    match message {
        ReadingMsg::OpenSeries(series) => effects.extend(study::show(viewer, series)),
        ReadingMsg::Scroll(steps) => scroll_by(viewer, steps),
        ReadingMsg::GoTo(index) => go_to(viewer, index),
        ReadingMsg::Wheel { delta } => wheel(viewer, delta),
        ReadingMsg::ZoomBy { factor, at } => gesture::zoom(viewer, factor, at),
        ReadingMsg::Down { id, at, grip } => gesture::down(viewer, id, at, grip),
        ReadingMsg::Moved { id, at } => gesture::moved(viewer, id, at, range),
        ReadingMsg::Up { id } => gesture::up(viewer, id),
        ReadingMsg::Resized { size, pixel_ratio } => {
            viewer.size = size;
            viewer.pixel_ratio = pixel_ratio;
        }
        ReadingMsg::Shade(shading) => viewer.shading = shading,
        ReadingMsg::Invert => viewer.inverted = !viewer.inverted,
        ReadingMsg::Smooth => viewer.smooth = !viewer.smooth,
        ReadingMsg::Fit => viewer.camera = Camera::default(),
        ReadingMsg::OneToOne => {
            viewer.camera = Camera { zoom: Zoom::Scale(1.0 / viewer.pixel_ratio), pan: [0.0; 2] };
        }
        ReadingMsg::Reset => reset(viewer),
        ReadingMsg::ToggleCine => {
            model.epoch = next_run;
            effects.extend(toggle_cine(viewer, next_run));
        }
        ReadingMsg::CineSpeed(speed) => {
            if let Some(cine) = &mut viewer.cine {
                cine.frames_per_second = speed.clamp(*CINE_SPEEDS.start(), *CINE_SPEEDS.end());
            }
        }
        ReadingMsg::CineTick { run } => {
            let may_move = viewer.slices().get(next_of(viewer)).is_some_and(|s| model.frames.contains(&s.key));
            effects.extend(cine_tick(viewer, run, may_move));
        }
        ReadingMsg::ShowFindings => viewer.show_findings = !viewer.show_findings,
        ReadingMsg::GoToFinding { report, number } => effects.extend(go_to_finding(viewer, &report, number)),
        ReadingMsg::NextFinding(steps) => effects.extend(next_finding(viewer, steps)),
        ReadingMsg::Reload { epoch } if epoch != viewer.epoch => {}
        ReadingMsg::Reload { .. } => effects.extend(study::reload(model)),
    }
    effects.extend(frames::fetch_wanted(model));
    effects
}

pub fn scroll_by(viewer: &mut Viewer, steps: i64) {
    if steps != 0 {
        viewer.forward = steps > 0;
        go_to(viewer, viewer.at.saturating_add_signed(steps as isize));
    }
}

fn go_to(viewer: &mut Viewer, index: usize) {
    viewer.at = index.min(viewer.slices().len().saturating_sub(1));
}

/// A turned wheel moves one slice a notch; a trackpad moves as its small steps add up.
fn wheel(viewer: &mut Viewer, delta: f64) {
    let rest = &mut viewer.gesture.rest;
    if rest.signum() != delta.signum() {
        *rest = 0.0;
    }
    *rest += delta;
    if delta.abs() >= WHEEL_PX {
        *rest = 0.0;
        scroll_by(viewer, delta.signum() as i64);
        return;
    }
    let steps = (*rest / WHEEL_PX).trunc();
    *rest -= steps * WHEEL_PX;
    scroll_by(viewer, steps as i64);
}

fn reset(viewer: &mut Viewer) {
    viewer.shading = Shading::Default;
    viewer.inverted = false;
    viewer.camera = Camera::default();
}

fn toggle_cine(viewer: &mut Viewer, run: u64) -> Option<Effect> {
    if viewer.cine.take().is_some() || viewer.slices().len() < 2 {
        return None;
    }
    let cine = Cine { frames_per_second: CINE_SPEED, run };
    viewer.cine = Some(cine);
    Some(tick(cine))
}

fn tick(cine: Cine) -> Effect {
    let message = Msg::Reading(ReadingMsg::CineTick { run: cine.run });
    Effect::After { milliseconds: 1000 / cine.frames_per_second.max(1), message: Box::new(message) }
}

fn next_of(viewer: &Viewer) -> usize {
    (viewer.at + 1) % viewer.slices().len().max(1)
}

/// The film waits for a frame that is not there yet instead of showing an empty one.
fn cine_tick(viewer: &mut Viewer, run: u64, may_move: bool) -> Option<Effect> {
    let cine = viewer.cine.filter(|cine| cine.run == run)?;
    if may_move {
        viewer.forward = true;
        viewer.at = next_of(viewer);
    }
    Some(tick(cine))
}

fn go_to_finding(viewer: &mut Viewer, sop_instance: &Uid, number: u32) -> Vec<Effect> {
    let chosen =
        viewer.findings().find(|(stored, finding)| &stored.sop_instance == sop_instance && finding.number == number);
    let Some((report, finding)) = chosen.map(|(stored, finding)| (stored.report.clone(), finding.clone())) else {
        return Vec::new();
    };
    viewer.selected_finding = Some((sop_instance.clone(), number));
    viewer.cine = None;
    let elsewhere = viewer.active.as_ref() != Some(&report.series);
    if elsewhere && viewer.series.iter().any(|series| series.row.series == report.series) {
        viewer.target =
            Some(FrameKey { sop_instance: finding.sop_instance.clone(), frame: finding.frame.unwrap_or(1) });
        let effects = study::show(viewer, report.series.clone());
        if !effects.is_empty() {
            return effects;
        }
        viewer.target = None;
    }
    if let Some(index) = viewer.slice_of(&report, &finding) {
        go_to(viewer, index);
    }
    Vec::new()
}

fn next_finding(viewer: &mut Viewer, steps: i64) -> Vec<Effect> {
    let all: Vec<(Uid, u32)> = viewer.findings().map(|(s, finding)| (s.sop_instance.clone(), finding.number)).collect();
    let selected = viewer.selected_finding.as_ref();
    let at = selected.and_then(|selected| all.iter().position(|finding| finding == selected));
    let next = match at {
        Some(at) => (at as i64 + steps).rem_euclid(all.len() as i64) as usize,
        None => 0,
    };
    match all.get(next) {
        Some((report, number)) => go_to_finding(viewer, report, *number),
        None => Vec::new(),
    }
}
