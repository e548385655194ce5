//! Frames: which to ask for, and what to do with what comes.

use pacs_core::pixel::Frame;

use super::study;
use crate::model::{Effect, FrameRequest, Load, LoadError, Model, Problem, Viewer};
use crate::requests::Reading;
use crate::series::{FrameKey, Slice};

/// After so many failures in a row only the slice looked at is asked for.
const PATIENCE: u32 = 4;
/// A frame is asked for so often before the reader has to do something.
const ATTEMPTS: u32 = 3;

/// Asks for the frames most wanted, as many as may be on their way.
pub fn fetch_wanted(model: &mut Model) -> Vec<Effect> {
    let Some(viewer) = &mut model.viewer else { return Vec::new() };
    let underway = viewer.loads.values().filter(|load| matches!(load, Load::Underway { .. })).count();
    let Some(slice) = viewer.slice() else { return Vec::new() };
    let marked = study::marked(viewer);
    let reading = Reading {
        count: viewer.slices().len(),
        at: viewer.at,
        forward: viewer.forward,
        marked: &marked,
        room: if viewer.failures >= PATIENCE { 1 } else { model.frames.room_for(bytes_of(slice)) },
    };
    let absent = |index: usize| {
        let Some(slice) = viewer.slices().get(index) else { return false };
        let asked = viewer.loads.get(&slice.key).is_some_and(|load| !may_try_again(load, index == viewer.at));
        slice.image.is_ok() && !asked && !model.frames.contains(&slice.key)
    };
    let next = reading.next(model.capacity.saturating_sub(underway), absent);
    let requests: Vec<_> = next.into_iter().filter_map(|index| request(viewer, index)).collect();
    for request in &requests {
        start(viewer, request);
    }
    requests.into_iter().map(Effect::LoadFrame).collect()
}

fn may_try_again(load: &Load, looked_at: bool) -> bool {
    matches!(load, Load::Failed { attempts, .. } if looked_at && *attempts < ATTEMPTS)
}

fn start(viewer: &mut Viewer, request: &FrameRequest) {
    let attempts = match viewer.loads.get(&request.key) {
        Some(Load::Failed { attempts, .. } | Load::Underway { attempts, .. }) => *attempts,
        None => 0,
    };
    viewer.loads.insert(request.key.clone(), Load::Underway { by_server: request.by_server, attempts });
}

/// The server is back: what failed may be asked for again.
pub fn forgive(viewer: &mut Viewer) {
    viewer.failures = 0;
    viewer.loads.retain(|_, load| matches!(load, Load::Underway { .. }));
}

/// Decoded size of a slice in bytes.
fn bytes_of(slice: &Slice) -> usize {
    slice.image.as_ref().map_or(1, |image| {
        let sample = usize::from(image.bits_allocated).div_ceil(8).max(1);
        usize::from(image.rows) * usize::from(image.columns) * usize::from(image.samples_per_pixel) * sample
    })
}

fn request(viewer: &Viewer, index: usize) -> Option<FrameRequest> {
    let slice = viewer.slices().get(index)?;
    let (study, series, key) = (&viewer.study, viewer.active.as_ref()?, &slice.key);
    Some(FrameRequest {
        epoch: viewer.epoch,
        key: key.clone(),
        url: format!("/dicom-web/studies/{study}/series/{series}/instances/{}/frames/{}", key.sop_instance, key.frame),
        image_json: slice.image_json.clone(),
        by_server: false,
    })
}

/// Keeps a frame that belongs to the open study, whichever series of it is looked at by now.
pub fn arrived(model: &mut Model, epoch: u64, key: FrameKey, result: Result<Frame, LoadError>) -> Vec<Effect> {
    let Some(viewer) = study::current(model, epoch) else { return Vec::new() };
    let by_server = matches!(viewer.loads.get(&key), Some(Load::Underway { by_server: true, .. }));
    match result {
        Ok(frame) => {
            viewer.failures = 0;
            viewer.loads.remove(&key);
            keep(model, key, frame);
        }
        Err(LoadError::Decode(_)) if !by_server => {
            let index = viewer.slices().iter().position(|slice| slice.key == key);
            if let Some(request) = index.and_then(|index| request(viewer, index)) {
                let request = FrameRequest { by_server: true, ..request };
                start(viewer, &request);
                return vec![Effect::LoadFrame(request)];
            }
            viewer.loads.remove(&key);
        }
        Err(error) => failed(viewer, key, error),
    }
    fetch_wanted(model)
}

fn keep(model: &mut Model, key: FrameKey, frame: Frame) {
    let Some(viewer) = &model.viewer else { return };
    let places: std::collections::HashMap<&FrameKey, usize> =
        viewer.slices().iter().enumerate().map(|(index, slice)| (&slice.key, index.abs_diff(viewer.at))).collect();
    model.frames.insert(key, frame, |key| places.get(key).copied().unwrap_or(usize::MAX));
}

fn failed(viewer: &mut Viewer, key: FrameKey, error: LoadError) {
    let before = match viewer.loads.get(&key) {
        Some(Load::Underway { attempts, .. } | Load::Failed { attempts, .. }) => *attempts,
        None => 0,
    };
    // Only a connection may mend itself.
    let attempts = if error == LoadError::Fetch(Problem::Offline) { before + 1 } else { ATTEMPTS };
    if matches!(error, LoadError::Fetch(_)) {
        viewer.failures += 1;
    }
    viewer.loads.insert(key, Load::Failed { error, attempts });
}
