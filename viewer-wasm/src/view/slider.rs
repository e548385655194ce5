//! The place in the stack, and how much of it is loaded.

use leptos::prelude::*;

use super::Ui;
use crate::i18n::Text;
use crate::model::{Model, Msg, ReadingMsg};

/// Index, number of slices.
fn place(model: &Model) -> (usize, usize) {
    model.viewer.as_ref().map_or((0, 0), |viewer| (viewer.at, viewer.slices().len()))
}

/// A stripe as a CSS gradient: lit where slices are loaded.
fn loaded(model: &Model) -> String {
    let Some(viewer) = &model.viewer else { return String::new() };
    let flags: Vec<bool> = viewer.slices().iter().map(|slice| model.frames.contains(&slice.key)).collect();
    gradient(&flags)
}

fn gradient(flags: &[bool]) -> String {
    let mut stops = Vec::new();
    let mut start = 0;
    for end in 1..=flags.len() {
        if end == flags.len() || flags[end] != flags[start] {
            let colour = if flags[start] { "var(--loaded)" } else { "var(--absent)" };
            let percent = |at: usize| at as f64 * 100.0 / flags.len() as f64;
            stops.push(format!("{colour} {:.2}% {:.2}%", percent(start), percent(end)));
            start = end;
        }
    }
    if stops.is_empty() { "none".to_owned() } else { format!("linear-gradient(90deg, {})", stops.join(", ")) }
}

#[component]
pub fn Slider(ui: Ui) -> impl IntoView {
    let place = ui.memo(place);
    let loaded = ui.memo(loaded);
    let last = move || place.get().1.saturating_sub(1).to_string();
    let words = move || {
        let (at, count) = place.get();
        format!("{} / {count}", at + 1)
    };
    let go = move |text: String| {
        if let Ok(index) = text.parse() {
            ui.send(Msg::Reading(ReadingMsg::GoTo(index)));
        }
    };
    view! {
        <div class="slider" class:hidden=move || { place.get().1 < 2 }>
            <input type="range" min="0" max=last prop:value=move || place.get().0.to_string() tabindex="-1"
                aria-label=ui.text(Text::Slices) aria-valuetext=words
                on:input:target=move |event| go(event.target().value())/>
            <div class="loaded" aria-hidden="true" style:background-image=move || loaded.get()></div>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stripe_shows_runs_of_loaded_slices() {
        let stripe = "linear-gradient(90deg, var(--loaded) 0.00% 50.00%, var(--absent) 50.00% 100.00%)";
        assert_eq!(gradient(&[true, true, false, false]), stripe);
        assert_eq!(gradient(&[]), "none");
    }
}
