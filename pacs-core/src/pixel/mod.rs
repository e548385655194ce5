//! The one pixel pipeline: decode → modality LUT → VOI LUT → presentation (PS3.3 C.7.6.3, C.11, PS3.4 N.2).
//!
//! `/rendered`, the AI and the browser all use it. Every dimension is checked before anything is allocated; the
//! foreign decoders are pure Rust and may still panic on hostile input, so native callers run [`decode_caught`] on a
//! thread that may fail.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`image_pixel`], [`palette`] | how samples are laid out, checked | PS3.3 C.7.6.3, C.7.9 |
//! | [`decode`] | encoded frame → samples | PS3.5 §8, Annex A |
//! | `encode`, `transcode` | frame → encoded frame, and the proof that it is the same | PS3.5 §8.2 |
//! | `codec` | one file or folder for every compression | PS3.5 §A.4, Annex G |
//! | [`progressive`] | smaller images at the start of a codestream | PS3.5 §10.18 |
//! | [`modality_lut`] | stored → rescaled values | PS3.3 C.11.1 |
//! | [`voi_lut`] | rescaled → display values | PS3.3 C.11.2 |
//! | [`presentation`] | display values → 8-bit pixels | PS3.4 N.2 |

mod codec;
mod colour;
pub mod decode;
#[cfg(feature = "encode")]
pub mod encode;
mod functional_group;
pub mod image_pixel;
mod lookup_table;
pub mod modality_lut;
mod native;
pub mod palette;
pub mod presentation;
pub mod progressive;
pub mod samples;
// Decoders and encoders may panic, which the browser does not survive.
#[cfg(all(feature = "encode", not(target_family = "wasm")))]
pub mod transcode;
pub mod voi_lut;

#[cfg(not(target_family = "wasm"))]
pub use decode::decode_caught;
pub use decode::{Frame, decode};
#[cfg(feature = "encode")]
pub use encode::{Lossless, Lossy, Target, encode};
pub use image_pixel::{ImagePixel, PhotometricInterpretation};
pub use modality_lut::ModalityLut;
pub use palette::Palette;
pub use presentation::{Presentation, Rendered, render, rescaled_range};
pub use samples::Samples;
#[cfg(all(feature = "encode", not(target_family = "wasm")))]
pub use transcode::{Transcoder, Unfit};
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

impl PixelError {
    fn codec(reason: impl std::fmt::Display) -> Self {
        Self::Codec(reason.to_string())
    }
}
