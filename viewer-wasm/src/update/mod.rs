//! `update(model, message) -> effects`: every decision of the viewer, without a browser.

mod devices;
mod frames;
mod gesture;
mod list;
mod reading;
mod session;
mod study;
#[cfg(test)]
mod tests;

use crate::model::{Effect, Fetch, Model, Msg, Problem};

/// Changes the model as the message says and returns what the browser has to do.
pub fn update(model: &mut Model, message: Msg) -> Vec<Effect> {
    match message {
        Msg::Fetched(fetch, result) => fetched(model, fetch, result),
        Msg::SignIn { user, password } => session::sign_in(model, user, password),
        Msg::SignOut => session::sign_out(model),
        Msg::SwitchLanguage => {
            model.language = model.language.other();
            vec![Effect::KeepLanguage(model.language)]
        }
        Msg::ToggleHelp => {
            model.help = !model.help;
            Vec::new()
        }
        Msg::Navigated(destination) => session::navigate(model, destination),
        Msg::Day(today) => {
            model.today = today;
            Vec::new()
        }
        Msg::Live(live) => session::live(model, live),
        Msg::Archive(event) => {
            let mut effects = list::archive_changed(model, &event);
            effects.extend(study::archive_changed(model, &event));
            effects
        }
        Msg::List(message) => list::update(model, message),
        Msg::OpenStudy(uid) => {
            let address = Effect::Address(format!("/viewer?StudyInstanceUIDs={uid}"));
            std::iter::once(address).chain(study::open(model, uid)).collect()
        }
        Msg::CloseStudy => {
            let close = study::close(model);
            close.into_iter().chain([Effect::Address("/".into())]).chain(list::ask(model)).collect()
        }
        Msg::OpenDevices => {
            let address = Effect::Address("/devices".into());
            std::iter::once(address).chain(devices::open(model)).collect()
        }
        Msg::CloseDevices => {
            model.devices = None;
            std::iter::once(Effect::Address("/".into())).chain(list::ask(model)).collect()
        }
        Msg::Devices(message) => devices::update(model, message),
        Msg::Reading(message) => reading::update(model, message),
        Msg::Frame { epoch, key, result } => frames::arrived(model, epoch, key, result),
    }
}

fn fetched(model: &mut Model, fetch: Fetch, result: Result<Vec<serde_json::Value>, Problem>) -> Vec<Effect> {
    let refused = matches!(result, Err(Problem::Status { status: 401, .. }));
    match fetch {
        Fetch::Session | Fetch::SignIn { .. } | Fetch::SignOut | Fetch::Status => {
            session::fetched(model, fetch, result)
        }
        _ if refused => session::ended(model),
        Fetch::Studies { epoch, .. } => list::fetched(model, epoch, result),
        Fetch::Series { epoch, .. } => study::series_fetched(model, epoch, result),
        Fetch::Metadata { epoch, series, .. } => study::metadata_fetched(model, epoch, &series, result),
        Fetch::Devices | Fetch::PutDevice(_) | Fetch::RemoveDevice(_) | Fetch::Echo(_) => {
            devices::fetched(model, fetch, result)
        }
    }
}
