//! Query parameters of rendered resources (PS3.18 §8.3.5).

use crate::{error::WebError, media_type::Acceptable};
use pacs_core::pixel::{VoiFunction, Window};
use std::hash::{Hash, Hasher};

const QUALITY: u8 = 90;
const THUMBNAIL_SIDE: u32 = 128;
const MAX_THUMBNAIL: u32 = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    /// Of several frames a moving picture.
    Gif,
    WebP,
}

/// What rendered resources and thumbnails are drawn as, the default first.
pub const RENDERED: [Format; 4] = [Format::Jpeg, Format::Png, Format::Gif, Format::WebP];
pub const THUMBNAIL: [Format; 4] = RENDERED;

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    fn of(accepted: &[Acceptable], formats: &[Self]) -> Result<Self, WebError> {
        // Browsers name WebP first and take anything: without loss, as it is here, it is several times a JPEG.
        let takes_jpeg = accepted.iter().any(|a| !a.multipart && a.media.covers(Self::Jpeg.media_type()));
        let offered = formats.iter().copied().filter(|format| !takes_jpeg || *format != Self::WebP);
        let suits = |a: &Acceptable| offered.clone().find(|f| !a.multipart && a.media.covers(f.media_type()));
        let available = || formats.iter().map(|f| f.media_type()).collect::<Vec<_>>().join(", ");
        accepted.iter().find_map(suits).ok_or_else(|| WebError::not_acceptable(&available()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Viewport {
    pub width: u32,
    pub height: u32,
    /// Left, top, width and height of the part to show, in pixels of the image.
    pub source: Option<[u32; 4]>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    pub viewport: Option<Viewport>,
    pub window: Option<Window>,
    /// Of JPEG, 1 to 100.
    pub quality: u8,
    pub format: Format,
}

impl Hash for Parameters {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.viewport, self.quality, self.format).hash(state);
        let window = self.window.as_ref().map(|w| (w.center.to_bits(), w.width.to_bits(), w.function as u8));
        window.hash(state);
    }
}

impl Parameters {
    pub fn read(pairs: &[(String, String)], accepted: &[Acceptable]) -> Result<Self, WebError> {
        let get = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        Ok(Self {
            viewport: get("viewport").map(viewport).transpose()?,
            window: get("window").map(window).transpose()?,
            quality: get("quality").map_or(Ok(QUALITY), quality)?,
            format: Format::of(accepted, &RENDERED)?,
        })
    }

    /// At most 256 by 256 pixels, 128 unless a viewport says otherwise.
    pub fn thumbnail(pairs: &[(String, String)], accepted: &[Acceptable]) -> Result<Self, WebError> {
        let format = Format::of(accepted, &THUMBNAIL)?;
        let mut parameters = Self { format, ..Self::read(pairs, &crate::media_type::accept([].into_iter(), None))? };
        let asked =
            parameters.viewport.unwrap_or(Viewport { width: THUMBNAIL_SIDE, height: THUMBNAIL_SIDE, source: None });
        let (width, height) = (asked.width.min(MAX_THUMBNAIL), asked.height.min(MAX_THUMBNAIL));
        parameters.viewport = Some(Viewport { width, height, ..asked });
        Ok(parameters)
    }
}

/// Width and height of the viewport, then left, top, width and height of the source region.
fn viewport(text: &str) -> Result<Viewport, WebError> {
    let usage = || WebError::bad_request("viewport is width,height or width,height,left,top,width,height in pixels");
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| (0.0..=65535.0).contains(n)).map(|n| n as u32);
    let numbers = text.split(',').map(number).collect::<Option<Vec<_>>>().ok_or_else(usage)?;
    let (width, height, source) = match numbers[..] {
        [width, height] => (width, height, None),
        [width, height, x, y, w, h] if w > 0 && h > 0 => (width, height, Some([x, y, w, h])),
        _ => return Err(usage()),
    };
    if width > 0 && height > 0 { Ok(Viewport { width, height, source }) } else { Err(usage()) }
}

/// Center and width in rescaled units, and the function.
fn window(text: &str) -> Result<Window, WebError> {
    let usage = || WebError::bad_request("window is center,width or center,width,linear|linear-exact|sigmoid");
    let mut pieces = text.split(',').map(str::trim);
    let mut number = || pieces.next()?.parse::<f64>().ok().filter(|n| n.is_finite());
    let (center, width) = (number().ok_or_else(usage)?, number().ok_or_else(usage)?);
    let function = match pieces.next().map(str::to_ascii_lowercase).as_deref() {
        None | Some("linear") => VoiFunction::Linear,
        Some("linear-exact") => VoiFunction::LinearExact,
        Some("sigmoid") => VoiFunction::Sigmoid,
        Some(_) => return Err(usage()),
    };
    // LINEAR needs a width of 1 at least, the others one above 0 (PS3.3 §C.11.2.1.2).
    let is_sound = if function == VoiFunction::Linear { width >= 1.0 } else { width > 0.0 };
    if is_sound { Ok(Window { center, width, function, explanation: None }) } else { Err(usage()) }
}

fn quality(text: &str) -> Result<u8, WebError> {
    let quality = text.trim().parse().ok().filter(|q| (1..=100).contains(q));
    quality.ok_or_else(|| WebError::bad_request("quality is 1 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_window_has_center_width_and_function() {
        let read = |text| window(text).map(|w| (w.center, w.width, w.function)).ok();
        assert_eq!(read("-600,1500"), Some((-600.0, 1500.0, VoiFunction::Linear)));
        assert_eq!(read("40,0.5,linear-exact"), Some((40.0, 0.5, VoiFunction::LinearExact)));
        for bad in ["", "40", "40,0", "NaN,1", "40,400,cubic", "40,inf"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_viewport_may_name_a_region() {
        assert_eq!(viewport("512,256").unwrap(), Viewport { width: 512, height: 256, source: None });
        assert_eq!(viewport("5,5,1,2,3,4").unwrap().source, Some([1, 2, 3, 4]));
        for bad in ["", "5", "0,5", "5,5,1", "5,5,0,0,0,0", "-1,5", "1e9,5"] {
            assert!(viewport(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thumbnail_is_small_whatever_is_asked() {
        let pairs = [("viewport".to_owned(), "4000,4000".to_owned())];
        let parameters = Parameters::thumbnail(&pairs, &crate::media_type::accept([].into_iter(), None)).unwrap();
        assert_eq!(parameters.viewport.unwrap().width, MAX_THUMBNAIL);
    }

    proptest! {
        #[test]
        fn any_parameters_are_read_without_panic(text in any::<String>()) {
            _ = (viewport(&text), window(&text), quality(&text));
        }
    }
}
