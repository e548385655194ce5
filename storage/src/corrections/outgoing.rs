//! An instance's file as corrected: its data set written anew around the stretches that stay, which are checked as the
//! file is read through.

use super::View;
use crate::{
    archive::Archive,
    error::ArchiveError,
    ingest::blocking,
    read::{StoredInstance, Stream},
    reader::InstanceReader,
};
use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self},
};
use pacs_core::{
    DataSet, TransferSyntax,
    correction::{Step, correct},
    data_set::{Limits, Stretch, inflate, scan, write},
    transfer_syntax::Encoding,
};
use std::{
    collections::VecDeque,
    io::{Cursor, Seek, SeekFrom, Write},
    sync::Arc,
};

/// Bytes of a stretch read at once.
const STEP: u64 = 1 << 20;
/// A deflated data set may inflate to so many bytes here, where it is held whole.
const MAX_INFLATED: u64 = 256 << 20;

impl StoredInstance {
    /// What is laid over it; empty where it is seen as it was received.
    fn steps(&self) -> Vec<Step> {
        let view = self.view.as_deref();
        view.map(|view: &View| view.steps(&self.series, &self.sop_instance)).unwrap_or_default()
    }

    /// Whether it is seen otherwise than it was received. Its length as it leaves is not known beforehand then.
    pub fn is_corrected(&self) -> bool {
        !self.steps().is_empty()
    }

    /// Position of the last change of what is laid over it: together with [`Self::id`] it stands for what a reader gets.
    pub fn corrected_at(&self) -> i64 {
        self.view.as_deref().map_or(0, |view| view.position)
    }

    /// Lays the corrections in force over its scanned data set.
    pub fn correct(&self, data_set: &mut DataSet) {
        correct(data_set, &self.steps());
    }
}

/// The whole file; `None` if it is seen as it was received.
pub(crate) async fn corrected(archive: &Archive, instance: &StoredInstance) -> Result<Option<Stream>, ArchiveError> {
    if !instance.is_corrected() && instance.alteration.is_none() {
        return Ok(None);
    }
    let own = instance.clone();
    let reader = InstanceReader::new(archive.clone(), Arc::new(instance.clone()));
    let start = instance.data_set_offset;
    if instance.transfer_syntax.encoding() == Encoding::Deflated {
        let data_set = blocking(move || deflated(reader, &own)).await?;
        let meta = archive.read_range(instance, 0..start).await?;
        return Ok(Some(stream::iter([Ok(meta), Ok(data_set)]).boxed()));
    }
    let stretches = blocking(move || rewritten(reader, &own)).await?;
    let stretches = [vec![Stretch::Old(0..start)], stretches].concat();
    Ok(Some(if is_ascending(&stretches) {
        let whole = archive.read_as_received(instance).await?;
        spliced(whole, stretches.into())
    } else {
        piece_by_piece(archive.clone(), Arc::new(instance.clone()), stretches)
    }))
}

fn rewritten(mut reader: InstanceReader, instance: &StoredInstance) -> Result<Vec<Stretch>, ArchiveError> {
    let syntax = &instance.transfer_syntax;
    reader.seek(SeekFrom::Start(instance.data_set_offset))?;
    let mut data_set = scan(&mut reader, syntax, Limits::default())?;
    instance.prepare(&mut data_set)?;
    write(&data_set, syntax).map_err(|error| ArchiveError::Internal(error.to_string()))
}

/// Held whole: deflated instances are small, as they have no compressed frames.
fn deflated(mut reader: InstanceReader, instance: &StoredInstance) -> Result<Bytes, ArchiveError> {
    reader.seek(SeekFrom::Start(instance.data_set_offset))?;
    let inflated = inflate(reader, MAX_INFLATED)?;
    let syntax = TransferSyntax::explicit_little();
    let mut data_set = scan(&mut Cursor::new(&inflated), &syntax, Limits::default())?;
    instance.prepare(&mut data_set)?;
    let stretches = write(&data_set, &syntax).map_err(|error| ArchiveError::Internal(error.to_string()))?;
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    for stretch in stretches {
        match stretch {
            Stretch::New(bytes) => packed.write_all(&bytes)?,
            Stretch::Old(range) => {
                let stays = inflated.get(range.start as usize..range.end as usize);
                packed.write_all(stays.unwrap_or_default())?;
            }
        }
    }
    let mut packed = packed.finish()?;
    // PS3.5 §A.5: a byte of zero makes the length even.
    packed.resize(packed.len().next_multiple_of(2), 0);
    Ok(packed.into())
}

fn is_ascending(stretches: &[Stretch]) -> bool {
    let mut at = 0;
    stretches.iter().all(|stretch| match stretch {
        Stretch::New(_) => true,
        Stretch::Old(range) => {
            let follows = range.start >= at;
            at = range.end;
            follows
        }
    })
}

/// Takes the stretches that stay out of the whole file as it passes, so that its checksum is checked.
fn spliced(whole: Stream, stretches: VecDeque<Stretch>) -> Stream {
    let passing = Passing { whole, at_hand: Bytes::new(), at: 0 };
    let next = |(mut passing, mut stretches): (Passing, VecDeque<Stretch>)| async move {
        loop {
            match stretches.front_mut() {
                None => {
                    // Whatever follows is read too: a checksum is of the whole.
                    passing.read_out().await?;
                    return Ok(None);
                }
                Some(Stretch::New(bytes)) => {
                    let bytes = Bytes::from(std::mem::take(bytes));
                    stretches.pop_front();
                    return Ok(Some((bytes, (passing, stretches))));
                }
                Some(Stretch::Old(range)) if range.is_empty() => _ = stretches.pop_front(),
                Some(Stretch::Old(range)) => {
                    let bytes = passing.take(range.start, range.end).await?;
                    range.start += bytes.len() as u64;
                    return Ok(Some((bytes, (passing, stretches))));
                }
            }
        }
    };
    stream::try_unfold((passing, stretches), next).boxed()
}

/// The file, as far as it has come by.
struct Passing {
    whole: Stream,
    at_hand: Bytes,
    /// Of the first byte at hand.
    at: u64,
}

impl Passing {
    /// Some bytes from `start` on, not beyond `end`; what comes before is passed over.
    async fn take(&mut self, start: u64, end: u64) -> Result<Bytes, ArchiveError> {
        loop {
            self.advance(start.saturating_sub(self.at));
            if !self.at_hand.is_empty() {
                let len = (self.at_hand.len() as u64).min(end.saturating_sub(self.at));
                self.at += len;
                return Ok(self.at_hand.split_to(len as usize));
            }
            let more = self.whole.try_next().await?;
            self.at_hand = more.ok_or_else(|| ArchiveError::Internal("a file ended while it was corrected".into()))?;
        }
    }

    fn advance(&mut self, len: u64) {
        let len = len.min(self.at_hand.len() as u64);
        drop(self.at_hand.split_to(len as usize));
        self.at += len;
    }

    async fn read_out(&mut self) -> Result<(), ArchiveError> {
        while self.whole.try_next().await?.is_some() {}
        Ok(())
    }
}

/// A long value went into the Original Attributes Sequence, before others that were before it.
fn piece_by_piece(archive: Archive, instance: Arc<StoredInstance>, stretches: Vec<Stretch>) -> Stream {
    let pieces = stretches.into_iter().flat_map(|stretch| match stretch {
        Stretch::New(bytes) => vec![Stretch::New(bytes)],
        Stretch::Old(range) => {
            let steps = range.clone().step_by(STEP as usize);
            steps.map(|at| Stretch::Old(at..range.end.min(at + STEP))).collect()
        }
    });
    let read = move |piece| {
        let (archive, instance) = (archive.clone(), instance.clone());
        async move {
            match piece {
                Stretch::New(bytes) => Ok(bytes.into()),
                Stretch::Old(range) => archive.read_range(&instance, range).await,
            }
        }
    };
    stream::iter(pieces).then(read).boxed()
}
