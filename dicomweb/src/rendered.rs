//! Rendered images and thumbnails (PS3.18 §10.4.1.1.3, §10.4.1.1.4), drawn by the pipeline that the viewer uses.
//!
//! A study, series or multi-frame instance is shown by the middle one of its images, as GIF a multi-frame instance by all.
//! Documents and video are passed on as they are.

mod document;
mod movie;
mod parameters;

use crate::{
    asked::Asked,
    decode,
    error::WebError,
    frames,
    resource::Resource,
    respond::{cache_headers, entity_tag, is_held, not_modified},
    web::Web,
};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};
use pacs_core::{
    Attributes, Failure,
    pixel::{self, Frame, ImagePixel, ModalityLut, PixelError, Presentation, Rendered, VoiLut},
};
use parameters::{Format, Parameters};
pub use parameters::{RENDERED, THUMBNAIL};
use std::{io::Cursor, sync::Arc};
use storage::{AuditAction, StoredInstance};

/// Pictures of at most this many bytes are kept in memory: thumbnails, asked for again with every list.
const SMALL: usize = 64 << 10;

pub async fn rendered(asked: Asked) -> Result<Response, WebError> {
    if let Some(document) = document::passed_on(&asked).await? {
        return Ok(document);
    }
    let parameters = Parameters::read(&asked.parameters, &asked.accepted())?;
    answer(&asked, parameters, || Err(no_image())).await
}

/// Of what has no image, a sheet of paper: lists ask for a picture of each.
pub async fn thumbnail(asked: Asked) -> Result<Response, WebError> {
    let parameters = Parameters::thumbnail(&asked.parameters, &asked.accepted())?;
    let format = parameters.format;
    let sheet = encode(&parameters.fit(sheet().into()), &parameters)?;
    answer(&asked, parameters, || Ok(image(format, &entity_tag(("sheet", format)), sheet))).await
}

/// A sheet with lines of text, on black.
fn sheet() -> GrayImage {
    const SIDE: u32 = 128;
    GrayImage::from_fn(SIDE, SIDE, |x, y| {
        let is_sheet = (34..94).contains(&x) && (24..104).contains(&y);
        let is_line = (44..84).contains(&x) && (34..96).contains(&y) && y % 10 < 3;
        Luma([if is_line { 96 } else { u8::from(is_sheet) * 184 }])
    })
}

async fn answer(
    asked: &Asked,
    parameters: Parameters,
    without_image: impl FnOnce() -> Result<Response, WebError>,
) -> Result<Response, WebError> {
    let web = &asked.web;
    let Some((instance, index)) = target(web, &asked.resource).await? else { return without_image() };
    asked.audit(AuditAction::Read, Some(&instance.study), "rendered").await;
    let is_movie = movie::is_wanted(&asked.resource, &instance, parameters.format);
    let tag = entity_tag((instance.id, index, &parameters, is_movie));
    if is_held(&asked.headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let format = parameters.format;
    // All that the picture depends on, and not a hash of it: no parameters may be found that show another's picture.
    let key = format!("{} {index} {parameters:?} {is_movie}", instance.id);
    let encoded = match web.pictures.get(&key) {
        Some(encoded) => encoded,
        None if is_movie => movie::draw(web, &instance, &parameters).await?,
        None => draw(web, &instance, index, parameters).await?,
    };
    if encoded.len() <= SMALL {
        web.pictures.put(key, encoded.clone());
    }
    Ok(image(format, &tag, encoded))
}

fn image(format: Format, tag: &str, encoded: Bytes) -> Response {
    ([(header::CONTENT_TYPE, format.media_type())], cache_headers(tag), encoded).into_response()
}

/// The instance and frame (from 0) to show for a resource; `None` where there is no image.
async fn target(web: &Web, resource: &Resource) -> Result<Option<(Arc<StoredInstance>, u32)>, WebError> {
    let instance = if resource.sop_instance.is_some() {
        resource.sound_instance(web).await?
    } else {
        let mut images = resource.instances(web).await?;
        images.retain(|instance| frames::count(instance) > 0);
        let images = Resource::sound(web, images)?;
        let middle = images.len() / 2;
        let Some(image) = images.into_iter().nth(middle) else { return Ok(None) };
        Arc::new(image)
    };
    let count = frames::count(&instance);
    let text = resource.segment("frames");
    let index = match text {
        _ if count == 0 => return Ok(None),
        "" => count / 2,
        _ => match frames::list(text, count)?.as_slice() {
            [index] => *index,
            _ => return Err(WebError::bad_request("one frame is rendered at a time")),
        },
    };
    Ok(Some((instance, index)))
}

fn no_image() -> WebError {
    WebError::Refused(Failure::NotAcceptable, "there is no image to render; its metadata can be retrieved".into())
}

async fn draw(web: &Web, instance: &StoredInstance, index: u32, parameters: Parameters) -> Result<Bytes, WebError> {
    decode::frame(web, instance, index, move |frame, image, attributes| {
        let shown = show(frame, image, attributes, index, &parameters)?;
        encode(&parameters.fit(shown), &parameters)
    })
    .await
}

fn show(
    frame: &Frame,
    image: &ImagePixel,
    attributes: Attributes<'_>,
    index: u32,
    parameters: &Parameters,
) -> Result<DynamicImage, PixelError> {
    let asked = parameters.window.clone().map(VoiLut::Window);
    let presentation = Presentation {
        modality_lut: ModalityLut::of(attributes, index),
        voi_lut: asked.or_else(|| VoiLut::of(attributes, index).into_iter().next()),
        invert: false,
    };
    let mismatch = || PixelError::Attribute("Rows or Columns");
    match pixel::render(frame, image, &presentation)? {
        Rendered::Grey { rows, columns, pixels } => {
            GrayImage::from_raw(columns.into(), rows.into(), pixels).map(Into::into).ok_or_else(mismatch)
        }
        Rendered::Rgb { rows, columns, pixels } => {
            RgbImage::from_raw(columns.into(), rows.into(), pixels).map(Into::into).ok_or_else(mismatch)
        }
    }
}

impl Parameters {
    /// Cuts out the part of the image that is asked for and scales it into the viewport; its shape is kept, and it is
    /// never enlarged beyond four times.
    fn fit(&self, image: DynamicImage) -> DynamicImage {
        let Some(viewport) = self.viewport else { return image };
        let image = match viewport.source {
            Some([x, y, width, height]) => image.crop_imm(x, y, width, height),
            None => image,
        };
        let (width, height) = (viewport.width.min(image.width() * 4), viewport.height.min(image.height() * 4));
        if width == 0 || height == 0 {
            return image;
        }
        image.resize(width, height, FilterType::Triangle)
    }
}

fn encode(image: &DynamicImage, parameters: &Parameters) -> Result<Bytes, PixelError> {
    let mut encoded = Cursor::new(Vec::new());
    let outcome = match parameters.format {
        Format::Jpeg => image.write_with_encoder(JpegEncoder::new_with_quality(&mut encoded, parameters.quality)),
        Format::Png => image.write_to(&mut encoded, ImageFormat::Png),
        // Its encoder makes the table of colours of R, G, B only.
        Format::Gif => image.to_rgb8().write_to(&mut encoded, ImageFormat::Gif),
        Format::WebP => image.write_to(&mut encoded, ImageFormat::WebP),
    };
    outcome.map_err(|error| PixelError::Codec(error.to_string()))?;
    Ok(encoded.into_inner().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parameters::Viewport;

    fn fit(width: u32, height: u32, source: Option<[u32; 4]>) -> (u32, u32) {
        let viewport = Some(Viewport { width, height, source });
        let parameters = Parameters { viewport, window: None, quality: 90, format: Format::Png };
        let image = parameters.fit(DynamicImage::new_luma8(40, 20));
        (image.width(), image.height())
    }

    #[test]
    fn an_image_fits_the_viewport_and_keeps_its_shape() {
        assert_eq!(fit(20, 20, None), (20, 10));
        assert_eq!(fit(80, 80, None), (80, 40));
        assert_eq!(fit(20, 20, Some([10, 0, 10, 10])), (20, 20));
    }

    #[test]
    fn a_viewport_cannot_ask_for_a_giant() {
        assert_eq!(fit(60000, 60000, None), (160, 80));
        assert_eq!(fit(10, 10, Some([4000, 4000, 1, 1])), (0, 0));
    }
}
