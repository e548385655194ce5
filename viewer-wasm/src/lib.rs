//! The viewer: study list and stack viewport, in the browser.
//!
//! All that it knows is one [`model::Model`]; [`update::update`] changes it and answers with effects; the view is drawn
//! from it. Everything but `browser` and the Leptos elements in `view` is plain Rust that native tests run.
//!
//! | module | what |
//! |---|---|
//! | [`model`] | the whole state, messages, effects |
//! | [`update`] | `update(model, message) -> effects`, pure |
//! | [`study_list`], [`series`] | answers of QIDO-RS and WADO-RS metadata as rows and slices in reading order |
//! | [`devices`] | application entities, for administrators |
//! | [`requests`], [`frames`] | which frames to fetch in what order, and what is kept of them |
//! | [`shading`], [`camera`] | the window and the placement of the image |
//! | [`picture`], [`raster`] | slice → texels → RGBA: the reference of what `browser/gl` draws |
//! | [`marks`] | findings and scale bar over the image |
//! | [`keys`], [`i18n`], [`date`] | keyboard, texts, days |
//! | [`view`] | the elements on the page (Leptos) |
//! | [`browser`] | fetch, events, workers, canvas: what only a browser can do |

pub mod browser;
pub mod camera;
pub mod date;
pub mod devices;
pub mod frames;
pub mod i18n;
pub mod keys;
pub mod marks;
pub mod model;
pub mod picture;
pub mod raster;
pub mod requests;
pub mod series;
pub mod shading;
pub mod study_list;
pub mod update;
pub mod view;
