//! Opening a study, its series and its AI reports.

use std::sync::Arc;

use pacs_core::finding::{Observer, from_sr, observer};
use pacs_core::{Attributes, Uid, tags};
use serde_json::Value;

use super::frames;
use crate::model::{
    ArchiveEvent, Effect, Fetch, Model, Msg, Problem, ReadingMsg, Series, Slices, StoredReport, Viewer,
};
use crate::series::{self, SeriesRow};
use crate::shading::Shading;

/// Milliseconds an arriving series gets to grow before the study is asked again.
const CALM_MS: u32 = 700;

/// Opens a study on an empty viewport; whatever is still on its way for the former one will be dropped.
pub fn open(model: &mut Model, study: Uid) -> Vec<Effect> {
    let mut effects = close(model);
    let epoch = model.next_epoch();
    model.list.selected = Some(study.clone());
    model.list.fresh.remove(&study);
    model.viewer = Some(Viewer::new(study.clone(), epoch));
    effects.push(Effect::Fetch(Fetch::Series { epoch, study }));
    effects
}

/// Closes the open study and frees its pixels.
pub fn close(model: &mut Model) -> Vec<Effect> {
    model.frames.clear();
    match model.viewer.take() {
        Some(_) => vec![Effect::DropFrames],
        None => Vec::new(),
    }
}

pub fn series_fetched(model: &mut Model, epoch: u64, result: Result<Vec<Value>, Problem>) -> Vec<Effect> {
    let Some(viewer) = current(model, epoch) else { return Vec::new() };
    viewer.loaded = true;
    let rows = match result {
        Ok(answers) => series::rows(answers.first().unwrap_or(&Value::Null)),
        Err(problem) => {
            viewer.problem = Some(problem);
            return Vec::new();
        }
    };
    viewer.problem = None;
    let grown = take_rows(viewer, rows);
    let first = viewer.series.iter().find(|series| series.row.may_have_images()).map(|s| s.row.series.clone());
    let mut effects = Vec::new();
    if viewer.active.is_none()
        && let Some(first) = first
    {
        effects.extend(show(viewer, first));
    }
    effects.extend(grown.into_iter().map(|series| ask_metadata(viewer, series)));
    effects
}

/// Takes the series as they are now and returns those whose metadata has to be fetched (again): reports, which the
/// findings come from, and shown series that have grown.
fn take_rows(viewer: &mut Viewer, rows: Vec<SeriesRow>) -> Vec<Uid> {
    let mut old = std::mem::take(&mut viewer.series);
    let mut again = Vec::new();
    for row in rows {
        let known = old.iter().position(|series| series.row.series == row.series).map(|index| old.swap_remove(index));
        let grown = known.as_ref().is_none_or(|series| series.row.instances != row.instances);
        let slices = known.map_or(Slices::Unasked, |series| series.slices);
        let loaded = matches!(slices, Slices::Ready(_) | Slices::Failed(_));
        if grown && (row.is_report() || loaded) {
            again.push(row.series.clone());
        }
        viewer.series.push(Series { row, slices });
    }
    again
}

fn ask_metadata(viewer: &Viewer, series: Uid) -> Effect {
    Effect::Fetch(Fetch::Metadata { epoch: viewer.epoch, study: viewer.study.clone(), series })
}

/// Makes a series the one looked at, from its first slice and with its own window.
pub fn show(viewer: &mut Viewer, series: Uid) -> Vec<Effect> {
    viewer.active = Some(series.clone());
    viewer.at = 0;
    viewer.forward = true;
    viewer.shading = Shading::Default;
    viewer.inverted = false;
    viewer.camera = Default::default();
    viewer.cine = None;
    let shown = viewer.series.iter_mut().find(|candidate| candidate.row.series == series);
    match shown.map(|series| &mut series.slices) {
        Some(slices @ (Slices::Unasked | Slices::Failed(_))) => {
            *slices = Slices::Loading;
            vec![ask_metadata(viewer, series)]
        }
        _ => Vec::new(),
    }
}

pub fn metadata_fetched(
    model: &mut Model,
    epoch: u64,
    series: &Uid,
    result: Result<Vec<Value>, Problem>,
) -> Vec<Effect> {
    let Some(viewer) = current(model, epoch) else { return Vec::new() };
    let Some(index) = viewer.series.iter().position(|candidate| &candidate.row.series == series) else {
        return Vec::new();
    };
    let metadata = result.map(|answers| answers.into_iter().next().unwrap_or(Value::Null));
    if viewer.series[index].row.is_report() {
        take_reports(viewer, &metadata.unwrap_or(Value::Null));
        return frames::fetch_wanted(model);
    }
    let looked_at = viewer.slice().map(|slice| slice.key.clone());
    let slices = match metadata {
        Ok(metadata) => Slices::Ready(series::slices(&metadata, &viewer.study, series).into()),
        Err(problem) => Slices::Failed(problem),
    };
    viewer.series[index].slices = slices;
    if viewer.active.as_ref() == Some(series) {
        let wanted = viewer.target.take().or(looked_at);
        let place = wanted.and_then(|key| viewer.slices().iter().position(|slice| slice.key == key));
        viewer.at = place.unwrap_or(viewer.at).min(viewer.slices().len().saturating_sub(1));
    }
    frames::fetch_wanted(model)
}

fn take_reports(viewer: &mut Viewer, metadata: &Value) {
    let instances = metadata.as_array().map_or(&[][..], Vec::as_slice);
    for attributes in instances.iter().filter_map(Attributes::of) {
        let belongs = attributes.text(tags::STUDY_INSTANCE_UID) == Some(viewer.study.as_str());
        let uid = attributes.text(tags::SOP_INSTANCE_UID).and_then(|uid| uid.parse::<Uid>().ok());
        let (Some(sop_instance), true) = (uid, belongs) else { continue };
        let known = viewer.reports.iter().any(|stored| stored.sop_instance == sop_instance);
        // What a colleague has measured is not the AI's.
        let by_device = observer(attributes) != Observer::Person;
        if let (false, true, Ok(report)) = (known, by_device, from_sr(attributes)) {
            viewer.reports.push(StoredReport { sop_instance, report });
        }
    }
}

/// Asks for the series again a little after the open study has changed.
pub fn archive_changed(model: &mut Model, event: &ArchiveEvent) -> Vec<Effect> {
    let Some(viewer) = &mut model.viewer else { return Vec::new() };
    if event.study.as_ref() != Some(&viewer.study) || viewer.stale {
        return Vec::new();
    }
    viewer.stale = true;
    let message = Box::new(Msg::Reading(ReadingMsg::Reload { epoch: viewer.epoch }));
    vec![Effect::After { milliseconds: CALM_MS, message }]
}

pub fn reload(model: &mut Model) -> Vec<Effect> {
    let Some(viewer) = &mut model.viewer else { return Vec::new() };
    viewer.stale = false;
    frames::forgive(viewer);
    vec![Effect::Fetch(Fetch::Series { epoch: viewer.epoch, study: viewer.study.clone() })]
}

/// The open study, if it is still the one that was opened at `epoch`.
pub fn current(model: &mut Model, epoch: u64) -> Option<&mut Viewer> {
    model.viewer.as_mut().filter(|viewer| viewer.epoch == epoch)
}

/// Slices of the shown series on which findings lie.
pub fn marked(viewer: &Viewer) -> Arc<[usize]> {
    viewer.findings().filter_map(|(stored, finding)| viewer.slice_of(&stored.report, finding)).collect()
}
