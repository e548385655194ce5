//! The server's events (`/api/events`), as long as someone is signed in.

use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

use super::{act, page, send, with_runtime};
use crate::model::{Effect, Msg};

const KINDS: [&str; 4] = ["instance_stored", "series_complete", "deleted", "corrected"];
/// Milliseconds until a stream that the browser gave up on is opened again.
const AGAIN_MS: u32 = 5000;

/// An open stream; dropping it closes it.
pub struct Events {
    source: EventSource,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _open: Closure<dyn FnMut()>,
    _error: Closure<dyn FnMut()>,
}

impl Events {
    pub fn open() -> Option<Self> {
        let source = EventSource::new("/api/events").ok()?;
        let message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
            let text = event.data().as_string().unwrap_or_default();
            if let Ok(event) = serde_json::from_str(&text) {
                send(Msg::Archive(event));
            }
        });
        for kind in KINDS {
            source.add_event_listener_with_callback(kind, message.as_ref().unchecked_ref()).ok()?;
        }
        let open = Closure::<dyn FnMut()>::new(|| send(Msg::Live(true)));
        source.set_onopen(Some(open.as_ref().unchecked_ref()));
        let watched = source.clone();
        let error = Closure::<dyn FnMut()>::new(move || {
            send(Msg::Live(false));
            // The browser reconnects by itself after a lost connection, but not after a refusal.
            if watched.ready_state() == EventSource::CLOSED {
                page::after(AGAIN_MS, open_again);
            }
        });
        source.set_onerror(Some(error.as_ref().unchecked_ref()));
        Some(Self { source, _message: message, _open: open, _error: error })
    }
}

/// Unless someone signed out meanwhile.
fn open_again() {
    if with_runtime(|runtime| runtime.events.is_some()) == Some(true) {
        act(Effect::Subscribe(true));
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.source.set_onerror(None);
        self.source.set_onopen(None);
        self.source.close();
    }
}
