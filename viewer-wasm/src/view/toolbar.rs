//! The tools over the viewport.

use leptos::prelude::*;

use super::Ui;
use super::icon::{self, Icon};
use crate::i18n::Text;
use crate::model::{Model, Msg, ReadingMsg, Viewer};
use crate::shading::{Preset, presets};

/// The presets of the shown modality, each with whether it is in force.
fn offered(model: &Model) -> Vec<(Preset, bool)> {
    let Some(viewer) = &model.viewer else { return Vec::new() };
    let modality = viewer.active_series().map_or("", |series| series.row.modality.as_str());
    let in_force = |preset: &Preset| preset.shading == viewer.shading;
    presets(modality).into_iter().map(|preset| (preset.clone(), in_force(&preset))).collect()
}

#[component]
pub fn Toolbar(ui: Ui) -> impl IntoView {
    view! {
        <div class="tools" role="toolbar" aria-label=ui.text(Text::Help)>
            <Presets ui/>
            <Tool ui text=Text::Invert key="I" message=ReadingMsg::Invert pressed=|v| v.inverted>
                <Icon path=icon::INVERT/></Tool>
            <Tool ui text=Text::Fit key="F" message=ReadingMsg::Fit pressed=|v| v.camera == Default::default()>
                <Icon path=icon::FIT/></Tool>
            <Tool ui text=Text::OneToOne key="" message=ReadingMsg::OneToOne pressed=|_| false>"1:1"</Tool>
            <Tool ui text=Text::Smooth key="" message=ReadingMsg::Smooth pressed=|v| v.smooth>
                <Icon path="M1 13 C5 13 5 3 8 3 S11 13 15 13"/></Tool>
            <Tool ui text=Text::Reset key="R" message=ReadingMsg::Reset pressed=|_| false>
                <Icon path=icon::RESET/></Tool>
            <Film ui/>
        </div>
    }
}

#[component]
fn Presets(ui: Ui) -> impl IntoView {
    let offered = ui.memo(offered);
    let button = move |(preset, in_force): (Preset, bool)| {
        let shading = preset.shading.clone();
        view! {
            <button class="tool preset" aria-pressed=in_force.to_string() title=preset.key.to_string()
                on:click=move |_| ui.send(Msg::Reading(ReadingMsg::Shade(shading.clone())))>
                {ui.text(preset.name)}<kbd aria-hidden="true">{preset.key.to_string()}</kbd>
            </button>
        }
    };
    view! {
        <div class="presets" role="group" aria-label=ui.text(Text::Presets)>
            {move || offered.get().into_iter().map(button).collect_view()}
        </div>
    }
}

#[component]
fn Tool(
    ui: Ui,
    text: Text,
    /// The key that does the same.
    key: &'static str,
    message: ReadingMsg,
    pressed: fn(&Viewer) -> bool,
    children: Children,
) -> impl IntoView {
    let pressed = Memo::new(move |_| ui.model.with(|model| model.viewer.as_ref().is_some_and(pressed)));
    let label = ui.text(text);
    let title = move || if key.is_empty() { label().to_owned() } else { format!("{} ({key})", label()) };
    view! {
        <button class="tool" aria-label=label title=title aria-pressed=move || pressed.get().to_string()
            on:click=move |_| ui.send(Msg::Reading(message.clone()))>{children()}</button>
    }
}

#[component]
fn Film(ui: Ui) -> impl IntoView {
    let speed = ui.memo(|model| Some(model.viewer.as_ref()?.cine?.frames_per_second));
    let several = ui.memo(|model| model.viewer.as_ref().is_some_and(|viewer| viewer.slices().len() > 1));
    let (play, stop) = (ui.text(Text::Cine), ui.text(Text::Stop));
    let label = move || if speed.get().is_some() { stop() } else { play() };
    let set = move |text: String| {
        if let Ok(speed) = text.parse() {
            ui.send(Msg::Reading(ReadingMsg::CineSpeed(speed)));
        }
    };
    let shown = move || speed.get().unwrap_or_default().to_string();
    view! {
        <button class="tool" aria-label=label title=move || format!("{} (C)", label()) disabled=move || !several.get()
            aria-pressed=move || speed.get().is_some().to_string()
            on:click=move |_| ui.send(Msg::Reading(ReadingMsg::ToggleCine))>
            {move || if speed.get().is_some() { view! { <Icon path=icon::STOP/> } } else { view! { <Icon path=icon::PLAY/> } }}
        </button>
        <label class="speed" class:hidden=move || speed.get().is_none()>
            <input type="range" min="1" max="60" aria-label=ui.text(Text::FramesPerSecond) prop:value=shown
                on:input:target=move |event| set(event.target().value())/>
            <output>{shown}" /s"</output>
        </label>
    }
}
