//! The reading page: rail, viewport, findings.

use leptos::html::Canvas;
use leptos::prelude::*;

use super::findings::Findings;
use super::icon::{self, Icon};
use super::overlay::Overlay;
use super::rail::Rail;
use super::slider::Slider;
use super::toolbar::Toolbar;
use super::{PageButtons, Ui, patient, problem_text};
use crate::browser;
use crate::i18n::Text;
use crate::model::{Load, LoadError, Model, Msg, Problem, Slices, Viewer};

#[component]
pub fn Reading(ui: Ui) -> impl IntoView {
    let back = ui.text(Text::Back);
    view! {
        <div class="reading">
            <header class="bar">
                <button class="tool" data-test="back" aria-label=back title=move || format!("{} (Esc)", back())
                    on:click=move |_| ui.send(Msg::CloseStudy)><Icon path=icon::BACK/></button>
                <PatientLine ui/>
                <Toolbar ui/>
                <span class="space"></span>
                <PageButtons ui/>
            </header>
            <Rail ui/>
            <main class="stack">
                <div class="viewport">
                    <Image ui/>
                    <Overlay ui/>
                    <Message ui/>
                </div>
                <Slider ui/>
            </main>
            <Findings ui/>
        </div>
    }
}

/// Whose images these are, from the instance on the screen itself.
#[component]
fn PatientLine(ui: Ui) -> impl IntoView {
    let line = ui.memo(|model| {
        let facts = model.viewer.as_ref()?.slice()?.facts.clone();
        Some((patient::name(model.language, &facts.patient_name), facts.patient_id.clone()))
    });
    view! {
        <div class="who">
            <strong>{move || line.get().map(|(name, _)| name)}</strong>
            <span>{move || line.get().map(|(_, id)| id)}</span>
        </div>
    }
}

#[component]
fn Image(ui: Ui) -> impl IntoView {
    let canvas = NodeRef::<Canvas>::new();
    Effect::new(move || {
        if let Some(canvas) = canvas.get() {
            browser::attach(Some(canvas));
        }
    });
    on_cleanup(|| browser::attach(None));
    let ready = ui.memo(|model| model.shown().is_some());
    let label = ui.memo(|model| {
        let (at, count) = model.viewer.as_ref().map_or((0, 0), |viewer| (viewer.at + 1, viewer.slices().len()));
        format!("{} {at} / {count}", model.language.text(Text::Slice))
    });
    view! { <canvas node_ref=canvas role="img" aria-label=label data-ready=move || ready.get().to_string()></canvas> }
}

/// Why there is no image yet, or none at all.
#[component]
fn Message(ui: Ui) -> impl IntoView {
    let message = ui.memo(message);
    view! {
        <p class="message" role="status" class:error=move || message.get().is_some_and(|(_, error)| error)
            class:hidden=move || message.get().is_none()>
            {move || message.get().map(|(text, _)| text).unwrap_or_default()}
        </p>
    }
}

/// The words, and whether they tell of a failure.
fn message(model: &Model) -> Option<(String, bool)> {
    let viewer = model.viewer.as_ref()?;
    let text = |text| model.language.text(text).to_owned();
    if let Some(problem) = &viewer.problem {
        return Some((problem_text(model, problem), true));
    }
    match viewer.active_series().map(|series| &series.slices) {
        Some(Slices::Failed(problem)) => Some((problem_text(model, problem), true)),
        Some(Slices::Ready(slices)) if slices.is_empty() => Some((text(Text::NoImages), false)),
        Some(Slices::Ready(_)) => slice_message(model, viewer),
        None if viewer.loaded => Some((text(Text::NoImagesInStudy), false)),
        _ => Some((text(Text::Loading), false)),
    }
}

fn slice_message(model: &Model, viewer: &Viewer) -> Option<(String, bool)> {
    let slice = viewer.slice()?;
    let cannot = |reason: &str| Some((format!("{}: {reason}", model.language.text(Text::CannotShow)), true));
    match (&slice.image, viewer.loads.get(&slice.key)) {
        (Err(reason), _) => cannot(reason),
        (Ok(_), Some(Load::Failed { error: LoadError::Decode(reason), .. })) => cannot(reason),
        (Ok(_), Some(Load::Failed { error: LoadError::Fetch(Problem::Status { status: 404 | 410, .. }), .. })) => {
            cannot(model.language.text(Text::ErrorNoPicture))
        }
        (Ok(_), Some(Load::Failed { error: LoadError::Fetch(problem), .. })) => cannot(&problem_text(model, problem)),
        _ if model.frames.contains(&slice.key) => None,
        _ => Some((model.language.text(Text::LoadingSlice).to_owned(), false)),
    }
}
