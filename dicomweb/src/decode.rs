//! Decoding frames off the async threads, a bounded number at a time.

use crate::{error::WebError, web::Web};
use bytes::Bytes;
use pacs_core::{
    Attributes, Failure,
    pixel::{self, Frame, ImagePixel, PixelError},
};
use serde_json::Value;
use std::sync::Arc;
use storage::StoredInstance;

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
    blocking(web, move || {
        let attributes = Attributes::of(&metadata).ok_or(PixelError::Attribute("metadata"))?;
        let image = ImagePixel::of(attributes)?;
        let frame = pixel::decode(&transfer_syntax, &image, &encoded, bit_offset)?;
        then(&frame, &image, attributes)
    })
    .await
}

/// The samples of a frame as Explicit VR Little Endian pixel data.
pub async fn little_endian(web: &Web, instance: &StoredInstance, index: u32) -> Result<Bytes, WebError> {
    frame(web, instance, index, |frame, _, _| Ok(frame.samples.to_le_bytes().into())).await
}

/// A decoder that panics on hostile bytes costs its own request and nothing else.
async fn blocking<T: Send + 'static>(
    web: &Web,
    work: impl FnOnce() -> Result<T, PixelError> + Send + 'static,
) -> Result<T, WebError> {
    let closed = |_| WebError::Refused(Failure::Internal, "decoders are closed".into());
    let permit = Arc::clone(&web.decoders).acquire_owned().await.map_err(closed)?;
    let outcome = tokio::task::spawn_blocking(move || {
        // Held by the work, not by the request: that may be given up while the decoder still runs.
        let _permit = permit;
        work()
    });
    Ok(outcome.await.map_err(|_| PixelError::Codec("the decoder gave up".into()))??)
}
