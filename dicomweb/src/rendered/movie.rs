//! A multi-frame image as a moving picture (PS3.18 §8.7.4).

use super::{
    parameters::{Format, Parameters, Viewport},
    show,
};
use crate::{buffer::Buffer, decode, error::WebError, frames, resource::Resource, web::Web};
use bytes::Bytes;
use image::{
    Delay, Frame,
    codecs::gif::{GifEncoder, Repeat},
};
use pacs_core::{Attributes, pixel::PixelError, tags};
use serde_json::Value;
use std::time::Duration;
use storage::StoredInstance;

/// A longer one is shown by every second, third ... of its frames, in the same time.
const MOST_FRAMES: u32 = 300;
/// The largest side: all of the picture is in memory until it is whole.
const SIDE: u32 = 512;
/// Between frames whose image says nothing of time, in milliseconds.
const USUAL: f64 = 100.0;

/// Whether the whole of a multi-frame image is asked for, in a form that moves.
pub fn is_wanted(resource: &Resource, instance: &StoredInstance, format: Format) -> bool {
    let names_instance = resource.sop_instance.is_some() && resource.segment("frames").is_empty();
    names_instance && format == Format::Gif && frames::count(instance) > 1
}

/// One frame is decoded at a time, so that memory stays that of one and of what is written.
pub async fn draw(web: &Web, instance: &StoredInstance, parameters: &Parameters) -> Result<Bytes, WebError> {
    let count = frames::count(instance);
    let step = count.div_ceil(MOST_FRAMES);
    let time = frame_time(&*decode::metadata(web, instance).await?) * f64::from(step);
    let mut parameters = parameters.clone();
    let asked = parameters.viewport.unwrap_or(Viewport { width: SIDE, height: SIDE, source: None });
    let (width, height) = (asked.width.min(SIDE), asked.height.min(SIDE));
    parameters.viewport = Some(Viewport { width, height, ..asked });
    let written = Buffer::default();
    let mut encoder = GifEncoder::new_with_speed(written.clone(), 10);
    encoder.set_repeat(Repeat::Infinite).map_err(unwritten)?;
    for index in (0..count).step_by(step as usize) {
        let parameters = parameters.clone();
        encoder = decode::frame(web, instance, index, move |frame, image, attributes| {
            let picture = parameters.fit(show(frame, image, attributes, index, &parameters)?).into_rgba8();
            let delay = Delay::from_saturating_duration(Duration::from_secs_f64(time / 1000.0));
            let mut encoder = encoder;
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).map_err(unwritten)?;
            Ok(encoder)
        })
        .await?;
    }
    // It ends the file when it goes.
    drop(encoder);
    Ok(written.take())
}

fn unwritten(error: impl ToString) -> PixelError {
    PixelError::Codec(error.to_string())
}

/// From frame to frame, in milliseconds (PS3.3 C.7.6.5.1.1).
fn frame_time(metadata: &Value) -> f64 {
    let Some(attributes) = Attributes::of(metadata) else { return USUAL };
    let rate = |tag| attributes.number(tag).filter(|rate| *rate > 0.0).map(|rate| 1000.0 / rate);
    let time = attributes.number(tags::FRAME_TIME).or_else(|| rate(tags::CINE_RATE));
    let time = time.or_else(|| rate(tags::RECOMMENDED_DISPLAY_FRAME_RATE));
    time.filter(|time| (1.0..=60_000.0).contains(time)).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_time_between_frames_is_what_the_image_says() {
        for (metadata, expected) in [
            (json!({"00181063": {"vr": "DS", "Value": ["40"]}}), 40.0),
            (json!({"00180040": {"vr": "IS", "Value": ["20"]}}), 50.0),
            (json!({"00082144": {"vr": "IS", "Value": ["25"]}}), 40.0),
            (json!({"00181063": {"vr": "DS", "Value": ["0"]}}), USUAL),
            (json!({}), USUAL),
        ] {
            assert_eq!(frame_time(&metadata), expected, "{metadata}");
        }
    }
}
