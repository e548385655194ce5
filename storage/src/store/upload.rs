//! An object goes into a bucket: in one request, or in a few parts.

use super::place::Stream;
use crate::error::ArchiveError;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, path::Path as Key};
use tokio::sync::Mutex;

/// Smaller objects go in one request. Each request costs money and a round trip, each part its length in memory.
const SMALLEST_PART: u64 = 8 << 20;
const LARGEST_PART: u64 = 128 << 20;
/// As many, unless they would be larger than the largest.
const PARTS: u64 = 3;

/// Longer parts than the smallest are in memory one at a time: whose turn it is. Each store has its own, for that of another
/// site may be slow, and what has come in must not wait for it.
pub(super) type Turn = Mutex<()>;

/// Makes an object of about `len` bytes; there as a whole or not at all when this returns.
pub(super) async fn upload(
    store: &dyn ObjectStore,
    turn: &Turn,
    key: &Key,
    bytes: Stream,
    len: u64,
) -> Result<(), ArchiveError> {
    let part = part_len(len);
    let _turn = if part > SMALLEST_PART { Some(turn.lock().await) } else { None };
    let mut parts = Parts { bytes, rest: Bytes::new(), len: usize::try_from(part).unwrap_or(usize::MAX) };
    let first = parts.next().await?;
    if first.content_length() < parts.len {
        store.put(key, first).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(key).await?;
    if let Err(error) = send(&mut *upload, first, &mut parts).await {
        // Parts that stay behind cost money; the first error is the one to tell.
        let _ = upload.abort().await;
        return Err(error);
    }
    Ok(())
}

async fn send(upload: &mut dyn MultipartUpload, first: PutPayload, parts: &mut Parts) -> Result<(), ArchiveError> {
    let mut part = first;
    while part.content_length() > 0 {
        upload.put_part(part).await?;
        part = parts.next().await?;
    }
    upload.complete().await?;
    Ok(())
}

/// How long the parts of an object are.
pub(super) fn part_len(len: u64) -> u64 {
    let part = len.div_ceil(PARTS).clamp(SMALLEST_PART, LARGEST_PART);
    // Whole megabytes: sealing and reading go in steps of one.
    part.next_multiple_of(1 << 20)
}

/// Bytes, part by part; all but the last are of the same length.
struct Parts {
    bytes: Stream,
    /// Came with the last part and belongs to the next.
    rest: Bytes,
    len: usize,
}

impl Parts {
    /// Empty behind the last.
    async fn next(&mut self) -> Result<PutPayload, ArchiveError> {
        let (mut pieces, mut len) = (Vec::new(), 0);
        loop {
            let mut piece = std::mem::take(&mut self.rest);
            if piece.is_empty() {
                let Some(more) = self.bytes.try_next().await? else { break };
                piece = more;
            }
            self.rest = piece.split_off(piece.len().min(self.len - len));
            len += piece.len();
            pieces.push(piece);
            if len == self.len {
                break;
            }
        }
        Ok(pieces.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt, stream};
    use object_store::memory::InMemory;

    #[test]
    fn few_parts_each_within_its_bounds() {
        for (len, part, parts) in [
            (0, 8 << 20, 0),
            (24 << 20, 8 << 20, 3),
            (25 << 20, 9 << 20, 3),
            (287_760_000, 92 << 20, 3),
            (863_280_000, 128 << 20, 7),
            (4 << 30, 128 << 20, 32),
        ] {
            assert_eq!((part_len(len), len.div_ceil(part_len(len))), (part, parts), "{len}");
        }
    }

    #[tokio::test]
    async fn what_comes_in_any_pieces_is_the_object() {
        let store = InMemory::new();
        for len in [0, 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 20 << 20] {
            let whole: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            for piece in [1 << 20, 3_000_001, 30 << 20] {
                let pieces: Vec<_> = whole.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                let key = Key::from("object");
                upload(&store, &Turn::default(), &key, stream::iter(pieces).boxed(), len as u64).await.expect("put");
                let there = store.get(&key).await.expect("it is there").bytes().await.expect("its bytes");
                assert!(there == whole, "{len} bytes in pieces of {piece}");
            }
        }
    }

    #[tokio::test]
    async fn what_breaks_off_leaves_no_object() {
        let store = InMemory::new();
        let pieces = [Ok(Bytes::from(vec![1; 9 << 20])), Err(ArchiveError::Internal("broken off".into()))];
        let key = Key::from("object");
        upload(&store, &Turn::default(), &key, stream::iter(pieces).boxed(), 20 << 20).await.expect_err("a failure");
        assert!(store.get(&key).await.is_err());
    }
}
