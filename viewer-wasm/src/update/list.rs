//! The study list: filter, order, choose, keep fresh.

use serde_json::Value;

use crate::model::{ArchiveEvent, Effect, Fetch, ListMsg, Model, Msg, Problem};
use crate::study_list::{self, Filter, PAGE, StudyRow};

/// Milliseconds between the last key typed and the search.
const TYPING_MS: u32 = 250;
/// Milliseconds an arriving study gets to grow before the list is asked again.
const CALM_MS: u32 = 700;

pub fn update(model: &mut Model, message: ListMsg) -> Vec<Effect> {
    let list = &mut model.list;
    match message {
        ListMsg::Text(text) => {
            list.filter.text = text;
            return ask_after(model, TYPING_MS);
        }
        ListMsg::Dates(dates) => list.filter.dates = dates,
        ListMsg::Modality(modality) => {
            if !list.filter.modalities.remove(modality) {
                list.filter.modalities.insert(modality);
            }
        }
        ListMsg::ClearFilter => list.filter = Filter::default(),
        ListMsg::LoadMore => list.limit += PAGE,
        ListMsg::Sort(column) => {
            list.sort = list.sort.clicked(column);
            list.sort.apply(&mut list.rows);
            return Vec::new();
        }
        ListMsg::Move(steps) => return move_selection(model, steps),
        ListMsg::Select(study) => {
            list.selected = Some(study);
            return Vec::new();
        }
        ListMsg::OpenSelected => {
            let selected = list.selected.clone().filter(|s| list.rows.iter().any(|row| &row.study == s));
            return selected.map(|study| super::update(model, Msg::OpenStudy(study))).unwrap_or_default();
        }
        ListMsg::Ask { epoch } if epoch != list.epoch => return Vec::new(),
        ListMsg::Ask { .. } => {}
        ListMsg::Reload if !list.stale => return Vec::new(),
        ListMsg::Reload => list.stale = false,
    }
    ask(model)
}

/// Asks for the studies that pass the filter now; answers to earlier questions no longer count.
pub fn ask(model: &mut Model) -> Vec<Effect> {
    let epoch = model.next_epoch();
    let list = &mut model.list;
    list.epoch = epoch;
    list.loading = true;
    let urls = list.filter.urls(&model.today, list.limit + 1);
    vec![Effect::Fetch(Fetch::Studies { epoch, urls })]
}

fn ask_after(model: &mut Model, milliseconds: u32) -> Vec<Effect> {
    let epoch = model.next_epoch();
    model.list.epoch = epoch;
    vec![Effect::After { milliseconds, message: Box::new(Msg::List(ListMsg::Ask { epoch })) }]
}

pub fn fetched(model: &mut Model, epoch: u64, result: Result<Vec<Value>, Problem>) -> Vec<Effect> {
    let list = &mut model.list;
    if epoch != list.epoch {
        return Vec::new();
    }
    list.loading = false;
    match result {
        Ok(answers) => {
            list.problem = None;
            let rows = study_list::merge(&answers);
            list.more = answers.iter().any(|answer| answer.as_array().is_some_and(|rows| rows.len() > list.limit));
            replace_rows(list, rows);
        }
        Err(problem) => {
            list.problem = Some(problem);
            let again = Effect::After { milliseconds: 3000, message: Box::new(Msg::List(ListMsg::Ask { epoch })) };
            return vec![again];
        }
    }
    Vec::new()
}

/// Takes the new rows; those that were not there before are marked when nothing but time changed the list.
fn replace_rows(list: &mut crate::model::StudyList, mut rows: Vec<StudyRow>) {
    list.sort.apply(&mut rows);
    if list.loaded && list.asked_filter_is_unchanged() {
        let known = |row: &StudyRow| list.rows.iter().any(|old| old.study == row.study);
        let fresh: Vec<_> = rows.iter().filter(|row| !known(row)).map(|row| row.study.clone()).collect();
        list.fresh.extend(fresh);
    }
    list.shown_filter = Some((list.filter.clone(), list.limit));
    list.loaded = true;
    list.rows = rows;
}

impl crate::model::StudyList {
    fn asked_filter_is_unchanged(&self) -> bool {
        self.shown_filter.as_ref().is_some_and(|(filter, limit)| filter == &self.filter && *limit == self.limit)
    }
}

fn move_selection(model: &mut Model, steps: i64) -> Vec<Effect> {
    let list = &mut model.list;
    let last = list.rows.len().saturating_sub(1);
    let at = list.selected.as_ref().and_then(|study| list.rows.iter().position(|row| &row.study == study));
    let next = match at {
        Some(at) => at.saturating_add_signed(steps as isize).min(last),
        None => 0,
    };
    list.selected = list.rows.get(next).map(|row| row.study.clone());
    vec![Effect::RevealSelected]
}

/// Asks again a little later; however many events come in between, only once.
pub fn archive_changed(model: &mut Model, _event: &ArchiveEvent) -> Vec<Effect> {
    if model.list.stale || model.viewer.is_some() {
        return Vec::new();
    }
    model.list.stale = true;
    vec![Effect::After { milliseconds: CALM_MS, message: Box::new(Msg::List(ListMsg::Reload)) }]
}
