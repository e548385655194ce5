//! The keyboard: which message a key sends, on the page it is pressed.

use crate::model::{ListMsg, Model, Msg, ReadingMsg};
use crate::shading::presets;

/// Slices of a page.
const PAGE: i64 = 10;

/// The message for `key` (as `KeyboardEvent.key` names it), if it means something here.
pub fn message(model: &Model, key: &str) -> Option<Msg> {
    if !model.signed_in() {
        return None;
    }
    match key {
        "?" => return Some(Msg::ToggleHelp),
        "Escape" if model.help => return Some(Msg::ToggleHelp),
        _ if model.help => return None,
        _ => {}
    }
    if model.devices.is_some() {
        return (key == "Escape").then_some(Msg::CloseDevices);
    }
    if model.viewer.is_some() { reading(model, key) } else { list(key).map(Msg::List) }
}

fn list(key: &str) -> Option<ListMsg> {
    Some(match key {
        "ArrowDown" => ListMsg::Move(1),
        "ArrowUp" => ListMsg::Move(-1),
        "PageDown" => ListMsg::Move(PAGE),
        "PageUp" => ListMsg::Move(-PAGE),
        "Home" => ListMsg::Move(i64::MIN),
        "End" => ListMsg::Move(i64::MAX),
        "Enter" => ListMsg::OpenSelected,
        _ => return None,
    })
}

fn reading(model: &Model, key: &str) -> Option<Msg> {
    let viewer = model.viewer.as_ref()?;
    let message = match key {
        "Escape" => return Some(Msg::CloseStudy),
        "ArrowDown" | "ArrowRight" => ReadingMsg::Scroll(1),
        "ArrowUp" | "ArrowLeft" => ReadingMsg::Scroll(-1),
        "PageDown" => ReadingMsg::Scroll(PAGE),
        "PageUp" => ReadingMsg::Scroll(-PAGE),
        "Home" => ReadingMsg::GoTo(0),
        "End" => ReadingMsg::GoTo(usize::MAX),
        "i" | "I" => ReadingMsg::Invert,
        "r" | "R" => ReadingMsg::Reset,
        "c" | "C" => ReadingMsg::ToggleCine,
        "f" | "F" => ReadingMsg::Fit,
        "n" | "N" => ReadingMsg::NextFinding(1),
        "p" | "P" => ReadingMsg::NextFinding(-1),
        "+" | "=" => ReadingMsg::ZoomBy { factor: 1.25, at: viewer.size.map(|side| side / 2.0) },
        "-" => ReadingMsg::ZoomBy { factor: 0.8, at: viewer.size.map(|side| side / 2.0) },
        digit => ReadingMsg::Shade(preset(viewer.slice()?.facts.modality.as_str(), digit)?),
    };
    Some(Msg::Reading(message))
}

fn preset(modality: &str, digit: &str) -> Option<crate::shading::Shading> {
    let mut presets = presets(modality).into_iter();
    presets.find(|preset| digit.chars().eq([preset.key])).map(|preset| preset.shading)
}
