//! The elements on the page. Each part reads what it shows from the model and sends messages; it decides nothing.

mod devices;
mod findings;
mod help;
mod icon;
mod overlay;
mod patient;
mod rail;
mod sign_in;
mod slider;
mod stack;
mod study_list;
mod toolbar;

use leptos::prelude::*;

use crate::i18n::Text;
use crate::model::{Model, Msg, Problem, Session};

/// What every part needs: the state, and where messages go.
#[derive(Clone, Copy)]
pub struct Ui {
    pub model: RwSignal<Model>,
    pub send: fn(Msg),
}

impl Ui {
    /// A part of the model, computed anew when the model changes.
    fn memo<T: Clone + PartialEq + Send + Sync + 'static>(self, read: fn(&Model) -> T) -> Memo<T> {
        Memo::new(move |_| self.model.with(read))
    }

    /// A text in the language now chosen.
    fn text(self, text: Text) -> impl Fn() -> &'static str + Copy + Send + Sync + 'static {
        let language = self.memo(|model| model.language);
        move || language.get().text(text)
    }

    fn send(self, message: Msg) {
        (self.send)(message);
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Page {
    Waiting,
    SignIn,
    Studies,
    Devices,
    Reading,
}

fn page(model: &Model) -> Page {
    match (&model.session, &model.viewer) {
        (Session::Unknown, _) => Page::Waiting,
        (Session::SignedOut { .. } | Session::SigningIn, _) => Page::SignIn,
        (Session::SignedIn { .. }, Some(_)) => Page::Reading,
        (Session::SignedIn { .. }, None) if model.devices.is_some() => Page::Devices,
        (Session::SignedIn { .. }, None) => Page::Studies,
    }
}

#[component]
pub fn App(ui: Ui) -> impl IntoView {
    let page = ui.memo(page);
    let help = ui.memo(|model| model.help);
    view! {
        {move || match page.get() {
            Page::Waiting => view! { <main class="waiting" aria-busy="true"></main> }.into_any(),
            Page::SignIn => view! { <sign_in::SignIn ui/> }.into_any(),
            Page::Studies => view! { <study_list::StudyList ui/> }.into_any(),
            Page::Devices => view! { <devices::Devices ui/> }.into_any(),
            Page::Reading => view! { <stack::Reading ui/> }.into_any(),
        }}
        <Show when=move || help.get()><help::Help ui/></Show>
    }
}

/// What a failed request means to a reader.
fn problem_text(model: &Model, problem: &Problem) -> String {
    let text = |text| model.language.text(text).to_owned();
    match problem {
        Problem::Offline => text(Text::Offline),
        Problem::Answer => text(Text::ErrorAnswer),
        Problem::Status { status: 403, .. } => text(Text::ErrorForbidden),
        Problem::Status { status: 404 | 410, .. } => text(Text::ErrorNotFound),
        Problem::Status { status, detail } if detail.is_empty() => format!("{} ({status})", text(Text::ErrorServer)),
        Problem::Status { status, detail } => format!("{} ({status}: {detail})", text(Text::ErrorServer)),
    }
}

/// Buttons that every page has: language, keys, sign out.
#[component]
fn PageButtons(ui: Ui) -> impl IntoView {
    let trial = ui.memo(|model| model.server.as_ref().is_some_and(|server| server.insecure));
    let user = ui.memo(|model| match &model.session {
        Session::SignedIn { user, .. } => user.clone(),
        _ => String::new(),
    });
    let may_set_up = ui.memo(|model| model.is_admin() && model.devices.is_none() && model.viewer.is_none());
    let help = ui.text(Text::Help);
    let leave = ui.text(Text::SignOut);
    view! {
        <Show when=move || trial.get()><span class="trial">{ui.text(Text::Insecure)}</span></Show>
        <Show when=move || may_set_up.get()>
            <button class="tool quiet" data-test="devices" on:click=move |_| ui.send(Msg::OpenDevices)>
                {ui.text(Text::Devices)}</button>
        </Show>
        <LanguageButton ui/>
        <button class="tool" aria-label=help title=help on:click=move |_| ui.send(Msg::ToggleHelp)>"?"</button>
        <Show when=move || !trial.get()>
            <button class="tool quiet user" title=leave on:click=move |_| ui.send(Msg::SignOut)>
                <span class="name">{user}</span>{leave}
            </button>
        </Show>
    }
}

#[component]
fn LanguageButton(ui: Ui) -> impl IntoView {
    let label = ui.text(Text::SwitchLanguage);
    view! {
        <button class="tool quiet" data-test="language" aria-label=label title=label
            on:click=move |_| ui.send(Msg::SwitchLanguage)>{ui.text(Text::OtherLanguage)}</button>
    }
}
