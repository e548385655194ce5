//! Decoding frames off the async threads.

use crate::{error::WebError, web::Web};
use bytes::Bytes;
use pacs_core::{
    Attributes, Failure,
    pixel::{self, Frame, ImagePixel, PixelError},
};
use serde_json::Value;
use std::sync::Arc;
use storage::StoredInstance;

/// Memory that decoding takes: 17 bytes measured of the greediest codec (JPEG 2000), the rest is for what becomes of the
/// samples.
const BYTES_A_SAMPLE: u64 = 24;

/// Parsed metadata of an instance, from memory for neighbouring frames.
pub async fn metadata(web: &Web, instance: &StoredInstance) -> Result<Arc<Value>, WebError> {
    if let Some(metadata) = web.metadata.get(&instance.id) {
        return Ok(metadata);
    }
    let text = web.archive.metadata_of(instance).await?;
    let unreadable = |_| WebError::Refused(Failure::Internal, "stored metadata is not JSON".into());
    let metadata: Arc<Value> = Arc::new(serde_json::from_str(&text).map_err(unreadable)?);
    web.metadata.put(instance.id, Arc::clone(&metadata));
    Ok(metadata)
}

/// Reads a frame (from 0), decodes it and hands it to `then`, which runs off the async threads too.
pub async fn frame<T: Send + 'static>(
    web: &Web,
    instance: &StoredInstance,
    index: u32,
    then: impl FnOnce(&Frame, &ImagePixel, Attributes<'_>) -> Result<T, PixelError> + Send + 'static,
) -> Result<T, WebError> {
    let metadata = metadata(web, instance).await?;
    let (encoded, bit_offset) = web.archive.read_frame(instance, index).await?;
    let transfer_syntax = instance.transfer_syntax.clone();
    let image = ImagePixel::of(attributes(&metadata)?)?;
    let bytes = image.samples() as u64 * BYTES_A_SAMPLE;
    let work = move || {
        let frame = pixel::decode(&transfer_syntax, &image, &encoded, bit_offset)?;
        Ok(then(&frame, &image, attributes(&metadata)?)?)
    };
    web.workers.run(bytes, work).await
}

fn attributes(metadata: &Value) -> Result<Attributes<'_>, PixelError> {
    Attributes::of(metadata).ok_or(PixelError::Attribute("metadata"))
}

/// The samples of a frame as Explicit VR Little Endian pixel data.
pub async fn little_endian(web: &Web, instance: &StoredInstance, index: u32) -> Result<Bytes, WebError> {
    frame(web, instance, index, |frame, _, _| Ok(frame.samples.to_le_bytes().into())).await
}
