//! Stored frames → volume in Hounsfield units.

use crate::{
    error::{AiError, Refusal},
    stack::{Slice, Stack},
    threads::Threads,
    volume::{OUTSIDE, Volume},
};
use futures::{StreamExt, TryStreamExt, stream};
use ndarray::Array3;
use pacs_core::{
    Attributes, TransferSyntax,
    pixel::{ImagePixel, decode::decode_caught},
};
use rayon::prelude::*;
use serde_json::Value;
use std::sync::Arc;
use storage::{Archive, StoredInstance};

/// Slices read, decoded and let go together: bounds the encoded bytes in memory.
const TOGETHER: usize = 32;
/// Reads under way at a time.
const READS: usize = 8;

/// A series to be read: its instances and their metadata, in the same order.
pub struct Series {
    pub instances: Vec<StoredInstance>,
    pub metadata: Vec<Value>,
}

impl Series {
    pub fn attributes(&self) -> Vec<Attributes<'_>> {
        self.metadata.iter().filter_map(Attributes::of).collect()
    }
}

/// An encoded frame and what is needed to decode it.
struct Encoded {
    /// Place in the stack.
    at: usize,
    slice: Slice,
    transfer_syntax: TransferSyntax,
    bytes: bytes::Bytes,
    bit_offset: u8,
}

/// Reads and decodes every slice of the stack.
///
/// # Errors
/// The inner error says which image does not decode.
pub async fn load(
    archive: &Archive,
    series: &Arc<Series>,
    stack: &Stack,
    threads: &Threads,
) -> Result<Result<Volume, Refusal>, AiError> {
    let mut hu = Array3::<i16>::zeros((stack.slices.len(), stack.rows, stack.columns));
    for (batch, slices) in stack.slices.chunks(TOGETHER).enumerate() {
        let encoded = read(archive, series, slices, batch * TOGETHER).await?;
        let (series, size) = (series.clone(), (stack.rows, stack.columns));
        let decoding = move || encoded.par_iter().map(|e| slice_hu(&series, e, size)).collect::<Vec<_>>();
        let decoded = threads.run(decoding).await?;
        for slice in decoded {
            match slice {
                Ok((at, values)) => {
                    let mut place = hu.index_axis_mut(ndarray::Axis(0), at);
                    place.iter_mut().zip(values).for_each(|(place, value)| *place = value);
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    }
    Ok(Ok(Volume { hu, grid: stack.grid.clone() }))
}

async fn read(archive: &Archive, series: &Series, slices: &[Slice], first: usize) -> Result<Vec<Encoded>, AiError> {
    // Owned by each read: a stream of borrowing futures cannot cross threads.
    let reads: Vec<_> = (first..)
        .zip(slices)
        .map(|(at, slice)| read_frame(archive.clone(), series.instances[slice.instance].clone(), at, slice.clone()))
        .collect();
    stream::iter(reads).buffer_unordered(READS).try_collect().await
}

async fn read_frame(archive: Archive, instance: StoredInstance, at: usize, slice: Slice) -> Result<Encoded, AiError> {
    let (bytes, bit_offset) = archive.read_frame(&instance, slice.frame).await?;
    Ok(Encoded { at, slice, transfer_syntax: instance.transfer_syntax, bytes, bit_offset })
}

/// The slice's place and its values, rescaled and rounded to whole HU.
fn slice_hu(series: &Series, encoded: &Encoded, (rows, columns): (usize, usize)) -> Result<(usize, Vec<i16>), Refusal> {
    let instance = series.instances[encoded.slice.instance].sop_instance.to_string();
    let undecodable = |reason: String| Refusal::Undecodable { instance: instance.clone(), reason };
    let metadata = Attributes::of(&series.metadata[encoded.slice.instance]);
    let metadata = metadata.ok_or_else(|| undecodable("its metadata is unreadable".to_owned()))?;
    let image = ImagePixel::of(metadata).map_err(|e| undecodable(e.to_string()))?;
    let frame = decode_caught(&encoded.transfer_syntax, &image, &encoded.bytes, encoded.bit_offset);
    let frame = frame.map_err(|e| undecodable(e.to_string()))?;
    let values = frame.to_f32(&encoded.slice.modality_lut);
    if values.len() != rows * columns {
        return Err(undecodable(format!("{} pixels, not {rows} × {columns}", values.len())));
    }
    // Outside of the field of view scanners pad with down to -3024: that is air. Casting saturates.
    Ok((encoded.at, values.into_iter().map(|hu| hu.round().max(OUTSIDE) as i16).collect()))
}
