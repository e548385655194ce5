//! What only a browser can do: the loop from message to effect to screen.

pub mod events;
pub mod fetch;
pub mod gl;
pub mod page;
pub mod pool;
pub mod viewport;
pub mod worker;

use std::cell::RefCell;

use leptos::prelude::*;
use wasm_bindgen::prelude::*;

use crate::model::{Effect, Model, Msg};
use crate::update::update;
use crate::view::{App, Ui};

/// The parts that are no state: connections, workers, the canvas.
struct Runtime {
    model: RwSignal<Model>,
    pool: pool::Pool,
    events: Option<events::Events>,
    viewport: Option<viewport::Viewport>,
    draw_is_due: bool,
}

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Starts the viewer in this page; `worker_url` is the script that decodes frames.
#[wasm_bindgen]
pub fn start_viewer(worker_url: String) {
    console_error_panic_hook::set_once();
    let pool = pool::Pool::new(worker_url, page::workers());
    let capacity = pool.capacity();
    let model = Model::new(page::language(), page::host(), page::memory_budget(), capacity);
    page::announce(model.language);
    let model = RwSignal::new(model);
    let runtime = Runtime { model, pool, events: None, viewport: None, draw_is_due: false };
    RUNTIME.with(|cell| *cell.borrow_mut() = Some(runtime));
    send(Msg::Day(page::today()));
    page::listen();
    leptos::mount::mount_to_body(move || view! { <App ui=Ui { model, send }/> });
    send(Msg::Navigated(page::destination()));
}

/// The one way in: changes the model, does what it asks, and draws before the next frame.
pub fn send(message: Msg) {
    let Some(model) = with_runtime(|runtime| runtime.model) else { return };
    let effects = model.try_update(|model| update(model, message)).unwrap_or_default();
    effects.into_iter().for_each(act);
    draw_soon();
}

fn with_runtime<T>(act: impl FnOnce(&mut Runtime) -> T) -> Option<T> {
    RUNTIME.with(|cell| cell.borrow_mut().as_mut().map(act))
}

fn act(effect: Effect) {
    match effect {
        Effect::Fetch(request) => fetch::start(request),
        Effect::LoadFrame(request) => {
            with_runtime(|runtime| runtime.pool.load(request));
        }
        Effect::DropFrames => {
            with_runtime(|runtime| {
                runtime.pool.forget();
                if let Some(viewport) = &mut runtime.viewport {
                    viewport.forget();
                }
            });
        }
        Effect::After { milliseconds, message } => page::after(milliseconds, move || send(*message)),
        Effect::Address(address) => page::show_address(&address),
        Effect::KeepLanguage(language) => page::keep_language(language),
        Effect::Subscribe(wanted) => {
            with_runtime(|runtime| runtime.events = wanted.then(events::Events::open).flatten());
        }
        Effect::RevealSelected => page::reveal_selected(),
    }
}

fn draw_soon() {
    let due = with_runtime(|runtime| std::mem::replace(&mut runtime.draw_is_due, true));
    if due == Some(false) {
        page::next_frame(draw);
    }
}

fn draw() {
    with_runtime(|runtime| {
        runtime.draw_is_due = false;
        let model = runtime.model;
        if let Some(viewport) = &mut runtime.viewport {
            model.with_untracked(|model| viewport.draw(model));
        }
    });
}

/// The canvas is on the page (or, with `None`, gone).
pub fn attach(canvas: Option<web_sys::HtmlCanvasElement>) {
    let viewport = canvas.map(viewport::Viewport::new);
    with_runtime(|runtime| runtime.viewport = viewport);
    draw_soon();
}
