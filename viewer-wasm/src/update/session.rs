//! Signing in and out, and where the address leads.

use pacs_core::Uid;
use serde_json::Value;

use super::{list, study};
use crate::model::{Effect, Fetch, Model, Notice, Problem, Session};

/// Milliseconds until a server that did not answer is asked again.
const RETRY_MS: u32 = 3000;

pub fn navigate(model: &mut Model, study: Option<Uid>) -> Vec<Effect> {
    model.help = false;
    if !model.signed_in() {
        model.destination = study;
        return vec![Effect::Fetch(Fetch::Session)];
    }
    match study {
        Some(study) => study::open(model, study),
        None => study::close(model).into_iter().chain(list::ask(model)).collect(),
    }
}

pub fn sign_in(model: &mut Model, user: String, password: String) -> Vec<Effect> {
    model.session = Session::SigningIn;
    vec![Effect::Fetch(Fetch::SignIn { user, password })]
}

/// Nothing of the session stays on the screen or in memory.
pub fn sign_out(model: &mut Model) -> Vec<Effect> {
    let mut effects = forget(model);
    model.session = Session::SignedOut { notice: None };
    effects.extend([Effect::Fetch(Fetch::SignOut), Effect::Address("/".into())]);
    effects
}

/// The session ended by itself; the study on the screen is where signing in leads back to.
pub fn ended(model: &mut Model) -> Vec<Effect> {
    model.destination = model.viewer.as_ref().map(|viewer| viewer.study.clone());
    let effects = forget(model);
    model.session = Session::SignedOut { notice: Some(Notice::SessionEnded) };
    effects
}

fn forget(model: &mut Model) -> Vec<Effect> {
    let mut effects = study::close(model);
    model.list.rows.clear();
    model.list.fresh.clear();
    model.list.loaded = false;
    model.list.epoch = model.next_epoch();
    model.live = None;
    effects.push(Effect::Subscribe(false));
    effects
}

/// After a pause of the events something may have been missed.
pub fn live(model: &mut Model, live: bool) -> Vec<Effect> {
    let again = live && model.live == Some(false) && model.list.loaded;
    model.live = Some(live);
    if !again {
        return Vec::new();
    }
    let mut effects = study::reload(model);
    effects.extend(list::ask(model));
    effects
}

pub fn fetched(model: &mut Model, fetch: Fetch, result: Result<Vec<Value>, Problem>) -> Vec<Effect> {
    match (fetch, result) {
        (Fetch::Status, Ok(answers)) => {
            model.server = answers.into_iter().next().and_then(|status| serde_json::from_value(status).ok());
            Vec::new()
        }
        (Fetch::Session | Fetch::SignIn { .. }, Ok(answers)) => {
            let user = answers.first().and_then(|session| session.get("user")).and_then(Value::as_str);
            signed_in(model, user.unwrap_or_default().to_owned())
        }
        (Fetch::Session, Err(Problem::Status { .. })) => {
            model.session = Session::SignedOut { notice: None };
            Vec::new()
        }
        (Fetch::Session, Err(problem)) => {
            model.session = Session::SignedOut { notice: Some(Notice::Problem(problem)) };
            let again = Box::new(crate::model::Msg::Navigated { study: model.destination.clone() });
            vec![Effect::After { milliseconds: RETRY_MS, message: again }]
        }
        (Fetch::SignIn { .. }, Err(problem)) => {
            model.session = Session::SignedOut { notice: Some(refusal(problem)) };
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn refusal(problem: Problem) -> Notice {
    match problem {
        Problem::Status { status: 400 | 401 | 403, .. } => Notice::WrongPassword,
        other => Notice::Problem(other),
    }
}

fn signed_in(model: &mut Model, user: String) -> Vec<Effect> {
    model.session = Session::SignedIn { user };
    let mut effects = vec![Effect::Fetch(Fetch::Status), Effect::Subscribe(true)];
    match model.destination.take() {
        Some(study) => effects.extend(study::open(model, study)),
        None => effects.extend(list::ask(model)),
    }
    effects
}
