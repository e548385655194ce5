//! The page of application entities: list, change, call.

use serde_json::Value;

use crate::devices::{Device, Devices, Draft, Echo};
use crate::model::{DevicesMsg, Effect, Fetch, Model, Problem};

pub fn open(model: &mut Model) -> Vec<Effect> {
    model.devices = Some(Devices::default());
    vec![Effect::Fetch(Fetch::Devices)]
}

pub fn update(model: &mut Model, message: DevicesMsg) -> Vec<Effect> {
    let Some(devices) = &mut model.devices else { return Vec::new() };
    match message {
        DevicesMsg::Add => devices.draft = Some(draft(Device::default(), true)),
        DevicesMsg::Change(ae_title) => {
            let known = devices.rows.iter().find(|device| device.ae_title == ae_title);
            devices.draft = known.map(|device| draft(device.clone(), false));
        }
        DevicesMsg::Cancel => devices.draft = None,
        DevicesMsg::Save(device) => {
            let Some(draft) = devices.draft.as_mut().filter(|draft| !draft.saving) else { return Vec::new() };
            (draft.device, draft.saving, draft.problem) = (device.clone(), true, None);
            return vec![Effect::Fetch(Fetch::PutDevice(Box::new(device)))];
        }
        DevicesMsg::Remove(ae_title) => return vec![Effect::Fetch(Fetch::RemoveDevice(ae_title))],
        DevicesMsg::Call(ae_title) => {
            devices.echoes.insert(ae_title.clone(), Echo::Underway);
            return vec![Effect::Fetch(Fetch::Echo(ae_title))];
        }
    }
    Vec::new()
}

fn draft(device: Device, is_new: bool) -> Draft {
    Draft { device, is_new, saving: false, problem: None }
}

pub fn fetched(model: &mut Model, fetch: Fetch, result: Result<Vec<Value>, Problem>) -> Vec<Effect> {
    let Some(devices) = &mut model.devices else { return Vec::new() };
    match (fetch, result) {
        (Fetch::Devices, Ok(answers)) => {
            let rows = answers.into_iter().next().unwrap_or_default();
            (devices.rows, devices.problem) = match serde_json::from_value(rows) {
                Ok(rows) => (rows, None),
                Err(_) => (Vec::new(), Some(Problem::Answer)),
            };
            devices.loaded = true;
        }
        (Fetch::PutDevice(device), Ok(_)) => {
            devices.draft = None;
            devices.echoes.remove(&device.ae_title);
            return vec![Effect::Fetch(Fetch::Devices)];
        }
        (Fetch::PutDevice(_), Err(problem)) => {
            if let Some(draft) = &mut devices.draft {
                (draft.saving, draft.problem) = (false, Some(problem));
            }
        }
        (Fetch::RemoveDevice(ae_title), Ok(_)) => {
            devices.echoes.remove(&ae_title);
            return vec![Effect::Fetch(Fetch::Devices)];
        }
        (Fetch::Echo(ae_title), result) => {
            devices.echoes.insert(ae_title, echo(result));
        }
        (_, Err(problem)) => devices.problem = Some(problem),
        _ => {}
    }
    Vec::new()
}

fn echo(result: Result<Vec<Value>, Problem>) -> Echo {
    let answer = match result {
        Ok(answers) => answers.into_iter().next().unwrap_or_default(),
        Err(Problem::Status { detail, .. }) => return Echo::Failed(detail),
        Err(_) => return Echo::Failed(String::new()),
    };
    match answer.get("answered").and_then(Value::as_bool) {
        Some(true) => Echo::Answered { milliseconds: answer["milliseconds"].as_u64().unwrap_or_default() },
        _ => Echo::Failed(answer["reason"].as_str().unwrap_or_default().to_owned()),
    }
}
