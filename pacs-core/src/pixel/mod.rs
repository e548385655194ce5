//! The one pixel pipeline: decode → modality LUT → VOI LUT → presentation (PS3.3 C.7.6.3, C.11, PS3.4 N.2).
//!
//! `/rendered`, the AI and the browser all use it. Every dimension is checked before anything is allocated; decoders
//! are pure Rust and may still panic on hostile input, so native callers run [`decode::decode`] under `catch_unwind`
//! on a thread that may fail.

pub mod decode;
pub mod image_pixel;
pub mod modality_lut;
pub mod presentation;
pub mod voi_lut;

pub use decode::{Frame, Samples, decode};
pub use image_pixel::{ImagePixel, PhotometricInterpretation};
pub use modality_lut::ModalityLut;
pub use presentation::{Presentation, render};
pub use voi_lut::{VoiFunction, VoiLut, Window};

/// Why pixels cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    #[error("{0} is missing or out of range")]
    Attribute(&'static str),
    #[error("transfer syntax {0} cannot be decoded here")]
    Unsupported(String),
    #[error("frame does not decode: {0}")]
    Codec(String),
    #[error("frame has {actual} bytes, {expected} are needed")]
    Length { expected: usize, actual: usize },
}
