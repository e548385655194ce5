//! The sign-in page.

use leptos::html::Input;
use leptos::prelude::*;

use super::{LanguageButton, Ui, problem_text};
use crate::i18n::Text;
use crate::model::{Model, Msg, Notice, Session};

fn notice(model: &Model) -> Option<String> {
    let Session::SignedOut { notice: Some(notice) } = &model.session else { return None };
    Some(match notice {
        Notice::WrongPassword => model.language.text(Text::WrongPassword).to_owned(),
        Notice::SessionEnded => model.language.text(Text::SessionEnded).to_owned(),
        Notice::Problem(problem) => problem_text(model, problem),
    })
}

#[component]
pub fn SignIn(ui: Ui) -> impl IntoView {
    let notice = ui.memo(notice);
    let busy = ui.memo(|model| model.session == Session::SigningIn);
    let (user, password) = (NodeRef::<Input>::new(), NodeRef::<Input>::new());
    Effect::new(move || {
        if let Some(user) = user.get() {
            let _ = user.focus();
        }
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let (Some(user), Some(password)) = (user.get_untracked(), password.get_untracked()) {
            ui.send(Msg::SignIn { user: user.value().trim().to_owned(), password: password.value() });
        }
    };
    let (working, sign_in) = (ui.text(Text::SigningIn), ui.text(Text::SignIn));
    view! {
        <main class="sign-in">
            <form on:submit=submit>
                <h1><span class="logo" aria-hidden="true"></span>{ui.text(Text::Product)}
                    <small>{ui.text(Text::Tagline)}</small></h1>
                <label>{ui.text(Text::User)}
                    <input name="user" autocomplete="username" autocapitalize="none" required node_ref=user/></label>
                <label>{ui.text(Text::Password)}
                    <input name="password" type="password" autocomplete="current-password" required node_ref=password/>
                </label>
                <p class="notice" role="alert">{move || notice.get().unwrap_or_default()}</p>
                <button class="main" type="submit" disabled=move || busy.get()>
                    {move || if busy.get() { working() } else { sign_in() }}
                </button>
                <p class="hint">{ui.text(Text::FirstPassword)}</p>
                <div class="foot"><LanguageButton ui/></div>
            </form>
        </main>
    }
}
