//! The page of keys and mouse.

use leptos::html::Dialog;
use leptos::prelude::*;

use super::Ui;
use crate::i18n::{Language, Text};
use crate::model::Msg;

fn rows(language: Language) -> Vec<(String, &'static str)> {
    let text = |text| language.text(text);
    let key = |keys: &str, meaning| (keys.to_owned(), text(meaning));
    vec![
        (text(Text::WheelDrag).to_owned(), text(Text::KeyScroll)),
        key("PageUp PageDown", Text::KeyPage),
        key("Home End", Text::KeyFirstLast),
        (text(Text::LeftDrag).to_owned(), text(Text::KeyWindow)),
        (format!("{}, + −", text(Text::RightDrag)), text(Text::KeyZoom)),
        (text(Text::MiddleDrag).to_owned(), text(Text::KeyPan)),
        key("1 … 6", Text::KeyPresets),
        key("I", Text::Invert),
        key("F", Text::Fit),
        key("R", Text::Reset),
        key("C", Text::Cine),
        key("N P", Text::KeyFinding),
        key("Esc", Text::KeyBack),
        key("/", Text::KeySearch),
        key("↑ ↓ Enter", Text::KeyOpen),
        key("?", Text::KeyHelp),
    ]
}

#[component]
pub fn Help(ui: Ui) -> impl IntoView {
    let language = ui.memo(|model| model.language);
    let dialog = NodeRef::<Dialog>::new();
    Effect::new(move || {
        if let Some(dialog) = dialog.get() {
            // Modal: the page behind takes neither keys nor focus.
            let _ = dialog.show_modal();
        }
    });
    let table = move || {
        let row = |(keys, meaning)| view! { <tr><th scope="row">{keys}</th><td>{meaning}</td></tr> };
        rows(language.get()).into_iter().map(row).collect_view()
    };
    view! {
        <dialog class="help" aria-label=ui.text(Text::Help) node_ref=dialog on:cancel=move |event: leptos::ev::Event| {
            event.prevent_default();
            ui.send(Msg::ToggleHelp);
        }>
            <h2>{ui.text(Text::Help)}</h2>
            <table>{table}</table>
            <button class="main" on:click=move |_| ui.send(Msg::ToggleHelp)>{ui.text(Text::Close)}</button>
        </dialog>
    }
}
