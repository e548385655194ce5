//! An instance → its copy with frames encoded anew.

use super::{Recompressed, RecompressionTarget, switch::Candidate};
use crate::{
    archive::{Archive, Inner},
    clock::now,
    error::ArchiveError,
    index::NewInstance,
    ingest::{Body, Described, Incoming, Origin, blocking},
    pack::Record,
};
use futures::TryStreamExt;
use pacs_core::{pixel::Unfit, recompress::recompress};
use std::{
    io::{self, Read, Seek, Write},
    path::Path,
    sync::Arc,
};
use tempfile::SpooledTempFile;

/// A longer file is on the disk while it is worked on.
const IN_MEMORY: usize = 4 << 20;
const STEP: usize = 256 << 10;

/// A copy that is not in a pack yet.
pub(super) struct Written {
    described: Described,
    body: Body,
}

impl Written {
    pub(super) fn len(&self) -> u64 {
        self.described.record.byte_len
    }

    /// Durable when this returns.
    pub(super) async fn placed(self, archive: &Arc<Inner>) -> Result<NewInstance, ArchiveError> {
        let archive = archive.clone();
        let Self { described, body } = self;
        blocking(move || {
            let folder = described.facts.folder();
            let placed = body.place(&archive, &described, &folder, false)?;
            NewInstance::new(described, placed, archive.config.same_uid_other_content)
        })
        .await
    }
}

impl Archive {
    /// The copy, or the reason why the instance stays as it is.
    pub(super) async fn rewritten(
        &self,
        candidate: &Candidate,
        target: RecompressionTarget,
    ) -> Result<Result<Written, String>, ArchiveError> {
        let original = self.fetched(candidate).await?;
        let folder = self.inner.packs.folder().to_owned();
        let copy = match blocking(move || copy_of(original, target, &folder)).await? {
            Ok((_, len)) if len >= candidate.len => return Ok(Err("it would not be smaller".to_owned())),
            Ok((copy, _)) => copy,
            Err(reason) => return Ok(Err(reason)),
        };
        let (mut described, body) = self.described(copy).await?;
        let (original, _) = self.inner.record_at(&candidate.place, candidate.len).await?;
        described.record = record(described.record, original, candidate);
        Ok(Ok(Written { described, body }))
    }

    /// The whole file; an error if it is damaged.
    async fn fetched(&self, candidate: &Candidate) -> Result<SpooledTempFile, ArchiveError> {
        let mut file = tempfile::spooled_tempfile_in(IN_MEMORY, self.inner.packs.folder());
        let mut stream =
            self.read_whole(candidate.key, &candidate.place, candidate.len, &candidate.sop_instance).await?;
        while let Some(piece) = stream.try_next().await? {
            file = blocking(move || {
                file.write_all(&piece)?;
                Ok(file)
            })
            .await?;
        }
        Ok(file)
    }

    /// The copy, looked at as if it had just come.
    async fn described(&self, mut copy: SpooledTempFile) -> Result<(Described, Body), ArchiveError> {
        let mut incoming = Incoming::new(self.inner.clone(), Origin::Room(super::KIND));
        loop {
            let (rest, piece) = blocking(move || {
                let mut piece = Vec::with_capacity(STEP);
                (&mut copy).take(STEP as u64).read_to_end(&mut piece)?;
                Ok((copy, piece))
            })
            .await?;
            if piece.is_empty() {
                return incoming.describe().await;
            }
            incoming.write(&piece).await?;
            copy = rest;
        }
    }
}

/// The copy, at its start, with its length in bytes, or the reason why there is none.
fn copy_of(
    mut original: SpooledTempFile,
    target: RecompressionTarget,
    folder: &Path,
) -> Result<Result<(SpooledTempFile, u64), String>, ArchiveError> {
    let mut copy = tempfile::spooled_tempfile_in(IN_MEMORY, folder);
    match recompress(&mut original, target.lossless(), &mut copy) {
        Ok(()) => {
            let len = copy.seek(io::SeekFrom::End(0))?;
            copy.rewind()?;
            Ok(Ok((copy, len)))
        }
        Err(Unfit::Io(error)) => Err(error.into()),
        Err(reason) => Ok(Err(reason.to_string())),
    }
}

/// The copy's record: where and how it lies is its own, all that tells of its coming is the original's.
fn record(copy: Record, original: Record, candidate: &Candidate) -> Record {
    let received = original.recompressed.unwrap_or(Recompressed {
        transfer_syntax: original.transfer_syntax,
        byte_len: original.byte_len,
        checksum: original.checksum,
        at: now(),
        by: concat!("YINGHAI ", env!("CARGO_PKG_VERSION")).to_owned(),
    });
    Record {
        digest: candidate.digest.clone(),
        received_at: original.received_at,
        actor: original.actor,
        place: original.place,
        is_copy: true,
        recompressed: Some(received),
        ..copy
    }
}
