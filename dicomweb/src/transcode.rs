//! Frames and whole instances in a compression that they are not stored in (PS3.18 §8.7.3).

use crate::{decode, error::WebError, web::Web};
use bytes::Bytes;
use futures::{Stream, TryStreamExt, stream};
use pacs_core::{
    Attributes, Failure, TransferSyntax, Uid, part10,
    pixel::{ImagePixel, PixelError, Target, Transcoder, Unfit},
    transcode::{Wanted, write_encoded},
    transfer_syntax::{
        DEFLATED_IMAGE_FRAME, HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, JPEG_BASELINE, JPEG_LOSSLESS_SV1,
        JPEG_LS_LOSSLESS, JPEG_LS_NEAR_LOSSLESS, JPEG_XL_LOSSLESS, RLE_LOSSLESS,
    },
};
use sha2::{Digest, Sha256};
use std::{
    io::{Seek, Write},
    sync::Arc,
};
use storage::{InstanceReader, StoredInstance};
use tokio::{fs::File, io::AsyncReadExt};

/// How far a lossy compression goes where the client does not say, 1 to 100.
pub const QUALITY: u8 = 90;
/// Memory that encoding takes, proof and decoded samples included.
const BYTES_A_SAMPLE: u64 = 40;
/// A written file is sent in pieces of this many bytes.
const STEP: usize = 256 << 10;

/// What a media type stands for where no transfer syntax is named (PS3.18 Tables 8.7.3-2, 8.7.3-4).
const DEFAULTS: [(&str, &str); 5] = [
    ("image/jpeg", JPEG_LOSSLESS_SV1),
    ("image/dicom-rle", RLE_LOSSLESS),
    ("image/jls", JPEG_LS_LOSSLESS),
    ("image/jphc", HTJ2K_LOSSLESS_RPCL),
    ("image/jxl", JPEG_XL_LOSSLESS),
];

/// The compressions that frames can be had in, as transfer syntaxes with their media types.
pub fn offered() -> impl Iterator<Item = TransferSyntax> {
    let others = [HTJ2K_LOSSLESS, HTJ2K, JPEG_BASELINE, JPEG_LS_NEAR_LOSSLESS, DEFLATED_IMAGE_FRAME];
    let all = DEFAULTS.into_iter().map(|(_, uid)| uid).chain(others);
    all.filter_map(|uid| uid.parse().ok().map(TransferSyntax::new))
}

/// The compression that a transfer syntax stands for.
pub fn target(transfer_syntax: &str, quality: u8) -> Option<Target> {
    Target::of(&TransferSyntax::new(transfer_syntax.parse().ok()?), quality)
}

/// The compressions that a media type, or a range of them, stands for.
pub fn targets_of(covers: impl Fn(&str) -> bool, quality: u8) -> impl Iterator<Item = Target> {
    let covered = DEFAULTS.into_iter().filter(move |(essence, _)| covers(essence));
    covered.filter_map(move |(_, uid)| target(uid, quality))
}

async fn image(web: &Web, instance: &StoredInstance) -> Result<ImagePixel, WebError> {
    let metadata = decode::metadata(web, instance).await?;
    let attributes = Attributes::of(&metadata).ok_or(PixelError::Attribute("metadata"))?;
    Ok(ImagePixel::of(attributes)?)
}

/// Why an instance cannot be written so; `None` if it can, as far as its attributes tell.
pub async fn refusal(web: &Web, instance: &StoredInstance, target: Target) -> Result<Option<String>, WebError> {
    if instance.frames.is_none() {
        return Ok(Some("it has no pixel data".to_owned()));
    }
    let made = image(web, instance)
        .await
        .and_then(|image| Transcoder::for_reader(&instance.transfer_syntax, &image, target).map(drop).map_err(unfit));
    match made {
        Ok(()) => Ok(None),
        Err(error) if error.failure() == Failure::Internal => Err(error),
        Err(error) => Ok(Some(error.to_string())),
    }
}

fn unfit(error: Unfit) -> WebError {
    match error {
        Unfit::Io(error) => storage::ArchiveError::from(error).into(),
        Unfit::Pixels(error) => error.into(),
        other => WebError::Refused(Failure::NotAcceptable, other.to_string()),
    }
}

/// A frame (from 0) encoded anew; from memory, if it was asked for a moment ago.
pub async fn frame(web: &Web, instance: &StoredInstance, index: u32, target: Target) -> Result<Bytes, WebError> {
    let key = (instance.id, index, format!("{target:?}"));
    if let Some(encoded) = web.encoded.get(&key) {
        return Ok(encoded);
    }
    let image = image(web, instance).await?;
    let bytes = image.samples() as u64 * BYTES_A_SAMPLE;
    let transcoder = Transcoder::for_reader(&instance.transfer_syntax, &image, target).map_err(unfit)?;
    let (stored, _) = web.archive.read_frame(instance, index).await?;
    let encoded: Bytes = web.workers.run(bytes, move || Ok(transcoder.frame(&stored).map_err(unfit)?.into())).await?;
    web.encoded.put(key, encoded.clone());
    Ok(encoded)
}

/// The SOP Instance UID of what is derived by a lossy compression: the same each time it is asked for.
fn derived_uid(instance: &StoredInstance, target: Target) -> Uid {
    let text = format!("{} {} {:?} {target:?}", instance.sop_instance, instance.id, instance.corrected_at());
    let digest = Sha256::digest(text.as_bytes());
    Uid::from_uuid(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// The Part 10 file of an instance in a compression, with its length. It is written to a file of no name first: what
/// cannot be encoded is an error and not a body that breaks off.
pub async fn file(web: &Web, instance: &Arc<StoredInstance>, target: Target) -> Result<(u64, File), WebError> {
    let image = image(web, instance).await?;
    let bytes = image.samples() as u64 * BYTES_A_SAMPLE;
    let mut out = web.archive.scratch().await?;
    let mut reader = InstanceReader::new(web.archive.clone(), Arc::clone(instance));
    let instance = Arc::clone(instance);
    let work = move || {
        let uid = derived_uid(&instance, target);
        let (named, wanted) = match target {
            Target::Lossless(lossless) => (&instance.sop_instance, Wanted::Same(lossless)),
            Target::Lossy(lossy) => (&uid, Wanted::Derived(lossy, &uid)),
        };
        let meta = part10::write_meta(&instance.sop_class, named, &target.transfer_syntax(), None);
        let written = out.write_all(&meta).map_err(Unfit::from).and_then(|()| {
            let correct = |data_set: &mut _| instance.correct(data_set);
            let (stored, start) = (&instance.transfer_syntax, instance.data_set_offset);
            write_encoded(&mut reader, stored, start, correct, wanted, &mut out)?;
            let len = out.stream_position()?;
            out.rewind()?;
            Ok(len)
        });
        Ok((written.map_err(unfit)?, out))
    };
    let (len, out) = web.workers.run(bytes, work).await?;
    Ok((len, File::from_std(out)))
}

/// All of a file, in pieces.
pub fn content(file: File) -> impl Stream<Item = Result<Bytes, WebError>> {
    let read = stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; STEP];
        let len = file.read(&mut piece).await?;
        piece.truncate(len);
        Ok::<_, std::io::Error>((len > 0).then(|| (Bytes::from(piece), file)))
    });
    read.map_err(|error| storage::ArchiveError::from(error).into())
}
