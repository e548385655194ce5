//! The series of the open study, with thumbnails.

use leptos::prelude::*;
use pacs_core::Uid;

use super::Ui;
use crate::i18n::Text;
use crate::model::{Model, Msg, ReadingMsg};
use crate::series::SeriesRow;

/// The study and its series; thumbnails are addressed by both.
fn rows(model: &Model) -> Vec<(Uid, SeriesRow)> {
    let viewer = model.viewer.as_ref();
    viewer.map(|v| v.series.iter().map(|series| (v.study.clone(), series.row.clone())).collect()).unwrap_or_default()
}

#[component]
pub fn Rail(ui: Ui) -> impl IntoView {
    let rows = ui.memo(rows);
    view! {
        <nav class="rail" aria-label=ui.text(Text::SeriesList)>
            <For each=move || rows.get() key=|row| format!("{row:?}")
                children=move |(study, row)| view! { <Tile ui study row/> }/>
        </nav>
    }
}

#[component]
fn Tile(ui: Ui, study: Uid, row: SeriesRow) -> impl IntoView {
    let series = row.series.clone();
    let active = {
        let series = series.clone();
        Memo::new(move |_| {
            ui.model.with(|model| model.viewer.as_ref().is_some_and(|viewer| viewer.active.as_ref() == Some(&series)))
        })
    };
    let has_images = row.may_have_images();
    let broken = RwSignal::new(!has_images);
    let address = format!("/dicom-web/studies/{study}/series/{series}/thumbnail");
    let number = row.number.map(|number| format!("{number} ")).unwrap_or_default();
    let label = format!("{number}{} {}", row.modality, row.description);
    let title = label.clone();
    let open = move |_| ui.send(Msg::Reading(ReadingMsg::OpenSeries(series.clone())));
    let without = ui.text(Text::NoImages);
    let count = move || if has_images { row.instances.to_string() } else { without().to_owned() };
    view! {
        <button class="tile" aria-pressed=move || active.get().to_string() disabled=!has_images title=title
            on:click=open>
            <span class="thumbnail">
                <Show when=move || !broken.get() fallback={
                    let modality = row.modality.clone();
                    move || view! { <span class="letters">{modality.clone()}</span> }
                }>
                    <img src=address.clone() alt="" loading="lazy" on:error=move |_| broken.set(true)/>
                </Show>
            </span>
            <span class="words">
                <span class="what">{label}</span>
                <span class="count">{count}</span>
            </span>
        </button>
    }
}
