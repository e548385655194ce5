//! A few workers that fetch and decode frames.
//!
//! Each is a module worker with its own instance of this very module, compiled once and posted over; pixels come back
//! as transferred buffers. No shared memory, so no cross-origin isolation is needed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use js_sys::{Object, Reflect};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};

use super::send;
use super::worker::{read_result, set};
use crate::model::{FrameRequest, LoadError, Msg};
use crate::series::FrameKey;

/// Frames a worker holds at once: one is fetched while another is decoded.
const DEPTH: usize = 2;

pub struct Pool {
    url: String,
    slots: Vec<Slot>,
    next_id: u32,
}

/// Frames that a worker was asked for, by number.
type Jobs = Rc<RefCell<HashMap<u32, (u64, FrameKey)>>>;

struct Slot {
    worker: Option<Worker>,
    jobs: Jobs,
    /// The worker broke down and has to be replaced.
    broken: Rc<RefCell<bool>>,
    _message: Option<Closure<dyn FnMut(MessageEvent)>>,
    _error: Option<Closure<dyn FnMut(ErrorEvent)>>,
}

impl Pool {
    pub fn new(url: String, workers: usize) -> Self {
        let slots = (0..workers).map(|_| Slot::start(&url)).collect();
        Self { url, slots, next_id: 0 }
    }

    pub fn capacity(&self) -> usize {
        self.slots.len() * DEPTH
    }

    /// Gives the request to the worker with the least to do.
    pub fn load(&mut self, request: FrameRequest) {
        self.next_id = self.next_id.wrapping_add(1);
        let Some(slot) = self.slots.iter_mut().min_by_key(|slot| slot.jobs.borrow().len()) else { return };
        if slot.worker.is_none() || *slot.broken.borrow() {
            *slot = Slot::start(&self.url);
        }
        slot.jobs.borrow_mut().insert(self.next_id, (request.epoch, request.key.clone()));
        if slot.post(self.next_id, &request).is_none() {
            slot.fail_all("no worker");
        }
    }

    /// What is still under way is not wanted any more.
    pub fn forget(&mut self) {
        for slot in &self.slots {
            slot.jobs.borrow_mut().clear();
        }
    }
}

impl Slot {
    fn start(url: &str) -> Self {
        let jobs = Jobs::default();
        let broken = Rc::new(RefCell::new(false));
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let Ok(worker) = Worker::new_with_options(url, &options) else {
            return Self { worker: None, jobs, broken, _message: None, _error: None };
        };
        let done = jobs.clone();
        let message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let Some((id, result)) = read_result(&event.data()) else { return };
            let job = done.borrow_mut().remove(&id);
            if let Some((epoch, key)) = job {
                send(Msg::Frame { epoch, key, result });
            }
        });
        worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        let (lost, state) = (jobs.clone(), broken.clone());
        let error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
            event.prevent_default();
            *state.borrow_mut() = true;
            fail_all(&lost, "the decoder broke down");
        });
        worker.set_onerror(Some(error.as_ref().unchecked_ref()));
        Self { worker: Some(worker), jobs, broken, _message: Some(message), _error: Some(error) }
    }

    fn post(&self, id: u32, request: &FrameRequest) -> Option<()> {
        let message = Object::new();
        set(&message, "module", &wasm_bindgen::module());
        set(&message, "id", &id.into());
        set(&message, "url", &request.url.as_str().into());
        set(&message, "image", &(&*request.image_json).into());
        set(&message, "by_server", &request.by_server.into());
        self.worker.as_ref()?.post_message(&message).ok()
    }

    fn fail_all(&self, reason: &str) {
        fail_all(&self.jobs, reason);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.terminate();
        }
    }
}

/// Answers later, never from inside the call that asked: the runtime is still held then.
fn fail_all(jobs: &Jobs, reason: &str) {
    for (epoch, key) in std::mem::take(&mut *jobs.borrow_mut()).into_values() {
        let result = Err(LoadError::Decode(reason.to_owned()));
        super::page::after(0, move || send(Msg::Frame { epoch, key, result }));
    }
}

/// A member of a message, if it is there.
pub fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &name.into()).ok().filter(|value| !value.is_undefined())
}
