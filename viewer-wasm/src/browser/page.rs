//! The page around the viewer: address, keys, language, clock, timers.

use std::cell::Cell;

use pacs_core::Uid;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{Element, HtmlElement, KeyboardEvent, UrlSearchParams, Window};

use super::{send, with_runtime};
use crate::i18n::{Language, Text};
use crate::keys;
use crate::model::{Destination, Msg};
use leptos::prelude::WithUntracked;

const LANGUAGE_KEY: &str = "yinghai.language";
const STUDY_PARAMETER: &str = "StudyInstanceUIDs";

thread_local! {
    static SPACE_IS_DOWN: Cell<bool> = const { Cell::new(false) };
}

fn window() -> Option<Window> {
    web_sys::window()
}

/// The language chosen before, else the browser's.
pub fn language() -> Language {
    let kept =
        window().and_then(|w| w.local_storage().ok()?).and_then(|storage| storage.get_item(LANGUAGE_KEY).ok()?);
    let tag = kept.or_else(|| window()?.navigator().language());
    Language::of_tag(&tag.unwrap_or_default())
}

pub fn keep_language(language: Language) {
    if let Some(storage) = window().and_then(|w| w.local_storage().ok()?) {
        // A full or forbidden storage only means to be asked again next time.
        let _ = storage.set_item(LANGUAGE_KEY, language.tag());
    }
    announce(language);
}

/// Tells the page its language and name: fonts and screen readers go by it.
pub fn announce(language: Language) {
    if let Some(document) = window().and_then(|w| w.document()) {
        document.set_title(language.text(Text::Product));
        if let Some(root) = document.document_element() {
            let _ = root.set_attribute("lang", language.tag());
        }
    }
}

pub fn host() -> String {
    window().and_then(|w| w.location().hostname().ok()).unwrap_or_default()
}

/// Local date, `YYYYMMDD`.
pub fn today() -> String {
    let now = js_sys::Date::new_0();
    format!("{:04}{:02}{:02}", now.get_full_year(), now.get_month() + 1, now.get_date())
}

/// Workers for decoding: one core is left to the page.
pub fn workers() -> usize {
    let cores = window().map_or(2.0, |w| w.navigator().hardware_concurrency());
    (cores - 1.0).clamp(1.0, 4.0) as usize
}

/// Bytes of decoded frames to keep: an eighth of the device's memory, between 256 MiB and 1 GiB.
pub fn memory_budget() -> usize {
    const MIB: f64 = 1024.0 * 1024.0;
    let navigator = window().map(|w| JsValue::from(w.navigator())).unwrap_or_default();
    let gib = js_sys::Reflect::get(&navigator, &"deviceMemory".into()).ok().and_then(|m| m.as_f64()).unwrap_or(4.0);
    (gib * 128.0 * MIB).clamp(256.0 * MIB, 1024.0 * MIB) as usize
}

/// What the address names: the page of application entities, or the first study.
pub fn destination() -> Option<Destination> {
    if window()?.location().pathname().is_ok_and(|path| path == "/devices") {
        return Some(Destination::Devices);
    }
    study_of_address().map(Destination::Study)
}

fn study_of_address() -> Option<Uid> {
    let search = window()?.location().search().ok()?;
    let uids = UrlSearchParams::new_with_str(&search).ok()?.get(STUDY_PARAMETER)?;
    uids.split(',').next()?.parse().ok()
}

pub fn show_address(address: &str) {
    let Some(window) = window() else { return };
    let shown = window.location().pathname().unwrap_or_default() + &window.location().search().unwrap_or_default();
    if let (Ok(history), true) = (window.history(), shown != address) {
        // Without a history entry only the back button is lost.
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(address));
    }
}

pub fn after(milliseconds: u32, act: impl FnOnce() + 'static) {
    if let Some(window) = window() {
        let callback = Closure::once_into_js(act);
        let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
        let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(callback.unchecked_ref(), milliseconds);
    }
}

pub fn next_frame(act: impl FnOnce() + 'static) {
    if let Some(window) = window() {
        let _ = window.request_animation_frame(Closure::once_into_js(act).unchecked_ref());
    }
}

pub fn reveal_selected() {
    next_frame(|| {
        let row = window().and_then(|w| w.document()).and_then(|d| d.query_selector("[aria-selected=true]").ok()?);
        if let Some(row) = row {
            let _ = row.unchecked_into::<HtmlElement>().focus();
        }
    });
}

pub fn space_is_down() -> bool {
    SPACE_IS_DOWN.with(Cell::get)
}

/// Listens to the keyboard and the back button for as long as the page lives.
pub fn listen() {
    let Some(window) = window() else { return };
    let down = Closure::<dyn FnMut(KeyboardEvent)>::new(|event: KeyboardEvent| key_down(&event));
    let up = Closure::<dyn FnMut(KeyboardEvent)>::new(|event: KeyboardEvent| {
        if event.key() == " " {
            SPACE_IS_DOWN.with(|space| space.set(false));
        }
    });
    let back = Closure::<dyn FnMut()>::new(|| send(Msg::Navigated(destination())));
    window.set_onkeydown(Some(down.as_ref().unchecked_ref()));
    window.set_onkeyup(Some(up.as_ref().unchecked_ref()));
    window.set_onpopstate(Some(back.as_ref().unchecked_ref()));
    down.forget();
    up.forget();
    back.forget();
}

fn key_down(event: &KeyboardEvent) {
    let target: Option<Element> = event.target().and_then(|target| target.dyn_into().ok());
    let key = event.key();
    if event.ctrl_key() || event.meta_key() || event.alt_key() || is_typed_into(target.as_ref(), &key) {
        return;
    }
    if key == "/" && focus_search() {
        event.prevent_default();
        return;
    }
    let (reading, message) = with_runtime(|runtime| runtime.model)
        .map(|model| model.with_untracked(|model| (model.viewer.is_some(), keys::message(model, &key))))
        .unwrap_or_default();
    if key == " " && reading && target.is_none_or(|target| target.tag_name() == "BODY") {
        SPACE_IS_DOWN.with(|space| space.set(true));
        event.prevent_default();
    }
    if let Some(message) = message {
        event.prevent_default();
        send(message);
    }
}

/// Whether the key belongs to the element that has the focus.
fn is_typed_into(target: Option<&Element>, key: &str) -> bool {
    let Some(target) = target else { return false };
    match target.tag_name().as_str() {
        "INPUT" | "TEXTAREA" | "SELECT" => match key {
            "Escape" => {
                let _ = target.unchecked_ref::<HtmlElement>().blur();
                true
            }
            // From the search box straight into the list.
            "ArrowDown" | "ArrowUp" => target.get_attribute("type").as_deref() != Some("search"),
            _ => true,
        },
        "BUTTON" | "A" => key == "Enter" || key == " ",
        _ => false,
    }
}

fn focus_search() -> bool {
    let search = window().and_then(|w| w.document()).and_then(|document| document.get_element_by_id("search"));
    search.is_some_and(|search| search.unchecked_into::<HtmlElement>().focus().is_ok())
}
