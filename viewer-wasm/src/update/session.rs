//! Signing in and out, and where the address leads.

use serde_json::Value;

use super::{devices, list, study};
use crate::model::{Destination, Effect, Fetch, Model, Notice, Problem, Session};

/// Milliseconds until a server that did not answer is asked again.
const RETRY_MS: u32 = 3000;

pub fn navigate(model: &mut Model, destination: Option<Destination>) -> Vec<Effect> {
    model.help = false;
    if !model.signed_in() {
        model.destination = destination;
        return vec![Effect::Fetch(Fetch::Session)];
    }
    model.devices = None;
    match destination {
        Some(Destination::Study(study)) => study::open(model, study),
        Some(Destination::Devices) => study::close(model).into_iter().chain(devices::open(model)).collect(),
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
    let study = model.viewer.as_ref().map(|viewer| Destination::Study(viewer.study.clone()));
    model.destination = study.or(model.devices.as_ref().map(|_| Destination::Devices));
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
    model.devices = None;
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
            signed_in(model, answers.first().unwrap_or(&Value::Null))
        }
        (Fetch::Session, Err(Problem::Status { .. })) => {
            model.session = Session::SignedOut { notice: None };
            Vec::new()
        }
        (Fetch::Session, Err(problem)) => {
            model.session = Session::SignedOut { notice: Some(Notice::Problem(problem)) };
            let again = Box::new(crate::model::Msg::Navigated(model.destination.clone()));
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

fn signed_in(model: &mut Model, session: &Value) -> Vec<Effect> {
    let user = session["user"].as_str().unwrap_or_default().to_owned();
    let is_admin = session["roles"].as_array().is_some_and(|roles| roles.iter().any(|role| role == "admin"));
    model.session = Session::SignedIn { user, is_admin };
    let mut effects = vec![Effect::Fetch(Fetch::Status), Effect::Subscribe(true)];
    match model.destination.take() {
        Some(Destination::Study(study)) => effects.extend(study::open(model, study)),
        Some(Destination::Devices) => effects.extend(devices::open(model)),
        None => effects.extend(list::ask(model)),
    }
    effects
}
