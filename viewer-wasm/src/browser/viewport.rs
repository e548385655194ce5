//! The canvas: its size, the pointers on it, and drawing the shown slice with or without a graphics card.

use wasm_bindgen::prelude::*;
use wasm_bindgen::{Clamped, JsCast};
use web_sys::{
    CanvasRenderingContext2d, Event, HtmlCanvasElement, ImageData, PointerEvent, ResizeObserver, WheelEvent,
};

use super::gl::{Renderer, TextureKey};
use super::{page, send};
use crate::model::{Grip, Model, Msg, ReadingMsg};
use crate::picture::{Picture, Texels};
use crate::raster;

/// Zoom of one wheel notch (100 CSS pixels) with Ctrl held.
const NOTCH_ZOOM: f64 = 1.2;

pub struct Viewport {
    canvas: HtmlCanvasElement,
    surface: Surface,
    observer: Option<ResizeObserver>,
    _resized: Closure<dyn FnMut()>,
    _listeners: Vec<Closure<dyn FnMut(Event)>>,
}

enum Surface {
    Card(Box<Renderer>),
    Plain(CanvasRenderingContext2d),
    None,
}

impl Viewport {
    pub fn new(canvas: HtmlCanvasElement) -> Self {
        let surface = surface(&canvas);
        let measured = canvas.clone();
        let resized = Closure::<dyn FnMut()>::new(move || measure(&measured));
        let observer = ResizeObserver::new(resized.as_ref().unchecked_ref()).ok();
        if let Some(observer) = &observer {
            observer.observe(&canvas);
        }
        let _listeners = listen(&canvas);
        Self { canvas, surface, observer, _resized: resized, _listeners }
    }

    /// Blank, and nothing kept of the study.
    pub fn forget(&mut self) {
        if let Surface::Card(renderer) = &mut self.surface {
            renderer.forget();
        }
        self.clear();
    }

    /// Draws the shown slice, or nothing at all when its pixels are not there: never those of another.
    pub fn draw(&mut self, model: &Model) {
        let Some(viewer) = &model.viewer else { return self.clear() };
        let size = viewer.size.map(|side| (side * viewer.pixel_ratio).round().max(1.0) as u32);
        if [self.canvas.width(), self.canvas.height()] != size {
            self.canvas.set_width(size[0]);
            self.canvas.set_height(size[1]);
        }
        self.restore_lost_card();
        let (Some((slice, held)), Some(placement)) = (model.shown(), viewer.placement()) else { return self.clear() };
        let Ok(picture) = Picture::of(slice, held, &viewer.shading, viewer.inverted) else { return self.clear() };
        let placement = placement.scaled(viewer.pixel_ratio);
        match &mut self.surface {
            Surface::Card(renderer) => {
                let rendered = matches!(picture.texels, Texels::Rgb8(_));
                let key = TextureKey { frame: slice.key.clone(), rendered };
                renderer.draw(key, &picture, placement, viewer.smooth, size);
            }
            Surface::Plain(context) => {
                let [width, height] = size;
                let rgba = raster::draw(&picture, placement, viewer.smooth, width as usize, height as usize);
                if let Ok(image) = ImageData::new_with_u8_clamped_array_and_sh(Clamped(&rgba), width, height) {
                    // Only a canvas that left the page refuses.
                    let _ = context.put_image_data(&image, 0.0, 0.0);
                }
            }
            Surface::None => {}
        }
    }

    fn clear(&self) {
        match &self.surface {
            Surface::Card(renderer) => renderer.clear(),
            Surface::Plain(context) => {
                context.clear_rect(0.0, 0.0, f64::from(self.canvas.width()), f64::from(self.canvas.height()));
            }
            Surface::None => {}
        }
    }

    /// A driver reset takes everything on the card; once the browser has it back, it is built anew.
    fn restore_lost_card(&mut self) {
        if let Surface::Card(renderer) = &self.surface
            && renderer.is_rebuilt_by_browser()
            && let Some(renderer) = Renderer::new(&self.canvas)
        {
            self.surface = Surface::Card(Box::new(renderer));
        }
    }
}

impl Drop for Viewport {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer.disconnect();
        }
    }
}

fn surface(canvas: &HtmlCanvasElement) -> Surface {
    if let Some(renderer) = Renderer::new(canvas) {
        return Surface::Card(Box::new(renderer));
    }
    let context = canvas.get_context("2d").ok().flatten().and_then(|context| context.dyn_into().ok());
    let _ = canvas.set_attribute("data-plain", "");
    context.map_or(Surface::None, Surface::Plain)
}

fn measure(canvas: &HtmlCanvasElement) {
    let size = [f64::from(canvas.client_width()), f64::from(canvas.client_height())];
    let pixel_ratio = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    send(Msg::Reading(ReadingMsg::Resized { size, pixel_ratio }));
}

type Handler = Box<dyn FnMut(Event)>;

fn listen(canvas: &HtmlCanvasElement) -> Vec<Closure<dyn FnMut(Event)>> {
    let target = canvas.clone();
    let handlers: [(&[&str], Handler); 5] = [
        (&["pointerdown"], Box::new(move |event| pointer_down(&target, event.unchecked_ref()))),
        (&["pointermove"], Box::new(|event| pointer_moved(event.unchecked_ref()))),
        (
            &["pointerup", "pointercancel"],
            Box::new(|event| {
                let id = event.unchecked_ref::<PointerEvent>().pointer_id();
                send(Msg::Reading(ReadingMsg::Up { id }));
            }),
        ),
        (&["wheel"], Box::new(|event| wheel(event.unchecked_ref()))),
        // The right button zooms; a lost context may come back only if its loss was handled.
        (&["contextmenu", "webglcontextlost"], Box::new(|event| event.prevent_default())),
    ];
    let register = |(names, handler): (&[&str], Handler)| {
        let closure = Closure::wrap(handler);
        for name in names {
            let _ = canvas.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
        }
        closure
    };
    handlers.into_iter().map(register).collect()
}

fn pointer_down(canvas: &HtmlCanvasElement, event: &PointerEvent) {
    let grip = match (event.pointer_type().as_str(), event.button()) {
        ("touch", _) => Grip::Finger,
        (_, 0) if event.shift_key() => Grip::LeftShift,
        (_, 0) if page::space_is_down() => Grip::LeftSpace,
        (_, 0) => Grip::Left,
        (_, 1) => Grip::Middle,
        (_, 2) => Grip::Right,
        _ => return,
    };
    event.prevent_default();
    // Keys go to the image again after a tool was used.
    if let Some(active) = web_sys::window().and_then(|w| w.document()).and_then(|document| document.active_element()) {
        let _ = active.unchecked_into::<web_sys::HtmlElement>().blur();
    }
    let _ = canvas.set_pointer_capture(event.pointer_id());
    send(Msg::Reading(ReadingMsg::Down { id: event.pointer_id(), at: position(event), grip }));
}

fn pointer_moved(event: &PointerEvent) {
    if event.buttons() != 0 {
        send(Msg::Reading(ReadingMsg::Moved { id: event.pointer_id(), at: position(event) }));
    }
}

fn wheel(event: &WheelEvent) {
    event.prevent_default();
    // Lines and pages count as pixels of about that height.
    let unit = match event.delta_mode() {
        WheelEvent::DOM_DELTA_LINE => 33.0,
        WheelEvent::DOM_DELTA_PAGE => 400.0,
        _ => 1.0,
    };
    let delta = event.delta_y() * unit;
    let message = if event.ctrl_key() {
        ReadingMsg::ZoomBy { factor: NOTCH_ZOOM.powf(-delta / 100.0), at: position(event) }
    } else {
        ReadingMsg::Wheel { delta }
    };
    send(Msg::Reading(message));
}

fn position(event: &web_sys::MouseEvent) -> [f64; 2] {
    [f64::from(event.offset_x()), f64::from(event.offset_y())]
}
