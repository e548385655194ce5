//! Mouse buttons and fingers on the viewport.

use super::reading::scroll_by;
use crate::model::{Drag, Grip, Viewer};
use crate::shading::{self, Shading};

/// CSS pixels of finger travel for a slice, at most; long stacks take less.
const FINGER_PX: f64 = 24.0;
/// CSS pixels of a drag that double the zoom.
const ZOOM_PX: f64 = 150.0;

pub fn down(viewer: &mut Viewer, id: i32, at: [f64; 2], grip: Grip) {
    let gesture = &mut viewer.gesture;
    gesture.pointers.retain(|(known, _)| *known != id);
    gesture.pointers.push((id, at));
    gesture.rest = 0.0;
    gesture.drag = match (grip, gesture.pointers.len()) {
        (Grip::Finger, 2) => Some(Drag::Pinch),
        (Grip::Finger, 1) | (Grip::LeftShift, _) => Some(Drag::Scroll),
        (Grip::Finger, _) => None,
        (Grip::Left, _) => Some(Drag::Window),
        (Grip::Middle | Grip::LeftSpace, _) => Some(Drag::Pan),
        (Grip::Right, _) => Some(Drag::Zoom(at)),
    };
}

/// A finger that leaves ends the whole gesture, so that lifting two fingers never scrolls.
pub fn up(viewer: &mut Viewer, id: i32) {
    viewer.gesture.pointers.retain(|(known, _)| *known != id);
    viewer.gesture.drag = None;
}

/// Moves a pointer that is down; `range` is that of the stored values shown.
pub fn moved(viewer: &mut Viewer, id: i32, at: [f64; 2], range: Option<(f64, f64)>) {
    let pointers = viewer.gesture.pointers.clone();
    let Some(before) = pointers.iter().find(|(known, _)| *known == id).map(|(_, before)| *before) else { return };
    if let Some(pointer) = viewer.gesture.pointers.iter_mut().find(|(known, _)| *known == id) {
        pointer.1 = at;
    }
    let (dx, dy) = (at[0] - before[0], at[1] - before[1]);
    match viewer.gesture.drag {
        Some(Drag::Window) => window(viewer, dx, dy, range),
        Some(Drag::Pan) => viewer.camera = viewer.camera.panned([dx, dy]),
        Some(Drag::Zoom(about)) => zoom(viewer, (-dy / ZOOM_PX).exp2(), about),
        Some(Drag::Scroll) => scroll(viewer, dy),
        Some(Drag::Pinch) => {
            let other = pointers.iter().find(|(known, _)| *known != id).map(|(_, other)| *other);
            pinch(viewer, before, at, other.unwrap_or(before));
        }
        None => {}
    }
}

fn window(viewer: &mut Viewer, dx: f64, dy: f64, range: Option<(f64, f64)>) {
    let (Some(range), Some(slice)) = (range, viewer.slice()) else { return };
    let colour = slice.image.as_ref().is_ok_and(|image| image.samples_per_pixel > 1 || image.palette.is_some());
    if !colour {
        let window = viewer.shading.window(slice, range);
        viewer.shading = Shading::Window(shading::dragged(&window, dx, dy));
    }
}

pub fn zoom(viewer: &mut Viewer, factor: f64, about: [f64; 2]) {
    if let Some(extent) = viewer.slice().and_then(|slice| slice.extent()) {
        viewer.camera = viewer.camera.zoomed(factor, about, extent, viewer.size);
    }
}

fn scroll(viewer: &mut Viewer, dy: f64) {
    // Up pulls the next slices in, as it does with a page; the whole stack fits into one and a half heights.
    let px = (viewer.size[1] * 1.5 / viewer.slices().len().max(1) as f64).clamp(4.0, FINGER_PX);
    viewer.gesture.rest -= dy;
    let steps = (viewer.gesture.rest / px).trunc();
    viewer.gesture.rest -= steps * px;
    scroll_by(viewer, steps as i64);
}

fn pinch(viewer: &mut Viewer, before: [f64; 2], at: [f64; 2], other: [f64; 2]) {
    let distance = |a: [f64; 2]| (a[0] - other[0]).hypot(a[1] - other[1]).max(1.0);
    let middle = |a: [f64; 2]| [(a[0] + other[0]) / 2.0, (a[1] + other[1]) / 2.0];
    zoom(viewer, distance(at) / distance(before), middle(before));
    viewer.camera = viewer.camera.panned([(at[0] - before[0]) / 2.0, (at[1] - before[1]) / 2.0]);
}
