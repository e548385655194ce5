//! Instances on their way out: what each is, in which transfer syntaxes it can go, and its data set piece by piece.

use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use pacs_core::{
    DataSet, TransferSyntax, Uid,
    data_set::{Limits, scan},
    native::{is_convertible, write_native},
    part10::read_meta,
    tags,
    transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN},
};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};
use storage::{Archive, InstanceReader, StoredInstance};
use tokio::task::spawn_blocking;

/// Read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// A shorter instance of the archive is read whole before the first byte leaves: what is found damaged breaks no
/// association then.
const WHOLE: u64 = 4 << 20;
/// In which everything goes that can be decoded.
const NATIVE: [&str; 2] = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN];

/// An instance to send.
#[derive(Clone)]
pub enum Instance {
    File(PathBuf),
    /// A whole Part 10 file in memory.
    Bytes(Bytes),
    /// As it is seen: with the corrections in force.
    Stored(Archive, Arc<StoredInstance>),
}

/// What an instance needs to be proposed and sent.
pub(crate) struct Outgoing {
    /// Its place in what was given.
    pub(crate) index: usize,
    pub(crate) sop_class: String,
    pub(crate) sop_instance: String,
    pub(crate) transfer_syntax: TransferSyntax,
    /// Of what is stored, in bytes; 0 where it is not known.
    pub(crate) len: u64,
    instance: Instance,
    data_set_offset: u64,
}

impl Outgoing {
    /// Reads where the data set is and what it holds. A command must name the UIDs of the data set; those of the File Meta
    /// Information, which some files lack, have been seen to differ.
    pub(crate) async fn of(index: usize, instance: Instance) -> Result<Self, String> {
        if let Instance::Stored(archive, stored) = instance {
            return Ok(Self::stored(index, archive, stored));
        }
        let look = move || match &instance {
            Instance::File(path) => {
                let file = File::open(path).map_err(|error| error.to_string())?;
                Self::read(index, instance.clone(), &mut BufReader::new(file))
            }
            Instance::Bytes(bytes) => Self::read(index, instance.clone(), &mut Cursor::new(bytes)),
            Instance::Stored(archive, stored) => Ok(Self::stored(index, archive.clone(), Arc::clone(stored))),
        };
        spawn_blocking(look).await.map_err(|error| error.to_string())?
    }

    pub(crate) fn stored(index: usize, archive: Archive, stored: Arc<StoredInstance>) -> Self {
        Self {
            index,
            sop_class: stored.sop_class.to_string(),
            sop_instance: stored.leaves_as().to_string(),
            transfer_syntax: stored.transfer_syntax.clone(),
            len: stored.len,
            data_set_offset: stored.data_set_offset,
            instance: Instance::Stored(archive, stored),
        }
    }

    fn read(index: usize, instance: Instance, reader: &mut (impl Read + Seek)) -> Result<Self, String> {
        let meta = read_meta(reader).map_err(|error| error.to_string())?;
        let limits = Limits { kept_value: 1024, ..Limits::default() };
        let data_set = scan(reader, &meta.transfer_syntax, limits).map_err(|error| error.to_string())?;
        let uid = |tag, keyword| {
            let text = data_set.text(tag).unwrap_or_default();
            text.parse::<Uid>().map(|uid| uid.to_string()).map_err(|error| format!("{keyword}: {error}"))
        };
        Ok(Self {
            index,
            sop_class: uid(tags::SOP_CLASS_UID, "SOP Class UID")?,
            sop_instance: uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            instance,
            transfer_syntax: meta.transfer_syntax,
            len: 0,
            data_set_offset: meta.data_set_offset,
        })
    }

    /// The presentation contexts that it may go by, in order of preference. Each transfer syntax that it is in has one of
    /// its own, so that the peer cannot choose one that it is not in.
    pub(crate) fn pairs(&self) -> Vec<(String, Vec<String>)> {
        let own = self.transfer_syntax.to_string();
        let native = NATIVE.map(str::to_owned).to_vec();
        let mut pairs = vec![(self.sop_class.clone(), vec![own])];
        if self.is_convertible() {
            pairs.push((self.sop_class.clone(), native));
        }
        pairs
    }

    /// What comes from files is sent as it is.
    fn is_convertible(&self) -> bool {
        matches!(self.instance, Instance::Stored(..)) && is_convertible(&self.transfer_syntax)
    }

    /// How well it goes in a transfer syntax, 0 being best; `None` if not at all.
    pub(crate) fn fitness(&self, transfer_syntax: &str) -> Option<usize> {
        if self.transfer_syntax.uid().as_str() == transfer_syntax {
            return Some(0);
        }
        let native = NATIVE.iter().position(|uid| *uid == transfer_syntax).filter(|_| self.is_convertible());
        native.map(|at| at + 1)
    }

    /// Its data set in a transfer syntax in which it can go; an error if it cannot be read.
    pub(crate) async fn open(&self, target: &str) -> Result<Source, String> {
        let is_own = self.transfer_syntax.uid().as_str() == target;
        match &self.instance {
            Instance::File(path) => {
                let (path, offset) = (path.clone(), self.data_set_offset);
                let open = move || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(offset))?;
                    Ok(Source::Reader(Some(Box::new(file))))
                };
                blocking(open).await.map_err(|error| error.to_string())
            }
            Instance::Bytes(bytes) => {
                let start = usize::try_from(self.data_set_offset).map_or(bytes.len(), |at| at.min(bytes.len()));
                Ok(Source::Bytes(bytes.slice(start..)))
            }
            Instance::Stored(archive, stored) if is_own => as_stored(archive, stored).await,
            Instance::Stored(archive, stored) => {
                let target = target.parse().map(TransferSyntax::new).map_err(|_| "an odd transfer syntax")?;
                converted(archive.clone(), Arc::clone(stored), target).await
            }
        }
    }
}

/// An instance, and the presentation context and transfer syntax in which it goes best to the peer, if in any.
pub(crate) struct Fitted {
    pub(crate) outgoing: Outgoing,
    pub(crate) way: Option<(u8, String)>,
}

/// An instance whose data set can begin to go, or why it cannot.
pub(crate) struct Opened {
    pub(crate) outgoing: Outgoing,
    pub(crate) source: Result<(u8, Source), Unsent>,
}

/// Why an instance is not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsent {
    #[error("the peer does not take its SOP Class in its transfer syntax")]
    NoContext,
    #[error("{0}")]
    Unreadable(String),
}

impl Fitted {
    /// Before the command: an instance that cannot be read must not leave half a message behind.
    pub(crate) async fn open(self) -> Opened {
        let Self { outgoing, way } = self;
        let source = match way {
            None => Err(Unsent::NoContext),
            Some((context, target)) => match outgoing.open(&target).await {
                Ok(source) => Ok((context, source)),
                Err(reason) => Err(Unsent::Unreadable(reason)),
            },
        };
        Opened { outgoing, source }
    }
}

/// The rest of a data set.
pub(crate) enum Source {
    Bytes(Bytes),
    /// `None` after a failure.
    Reader(Option<Box<dyn Read + Send>>),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl Source {
    /// The next piece; empty at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.split_to(bytes.len().min(CHUNK))),
            Self::Stream(stream) => loop {
                match stream.try_next().await? {
                    None => return Ok(Bytes::new()),
                    Some(piece) if piece.is_empty() => {}
                    Some(piece) => return Ok(piece),
                }
            },
            Self::Reader(reader) => {
                let mut taken = reader.take().ok_or(io::ErrorKind::UnexpectedEof)?;
                let read = move || {
                    let mut piece = Vec::with_capacity(CHUNK);
                    taken.by_ref().take(CHUNK as u64).read_to_end(&mut piece)?;
                    Ok((Bytes::from(piece), taken))
                };
                let (piece, back) = blocking(read).await?;
                *reader = Some(back);
                Ok(piece)
            }
        }
    }
}

/// What is found damaged at its end has no end: the peer gets no whole message.
async fn as_stored(archive: &Archive, stored: &Arc<StoredInstance>) -> Result<Source, String> {
    let unread = |error: storage::ArchiveError| error.to_string();
    let stream = archive.read(stored).await.map_err(unread)?;
    let mut skip = stored.data_set_offset;
    let data_set = stream.map_err(io::Error::other).map_ok(move |mut piece| {
        let skipped = usize::try_from(skip).map_or(piece.len(), |skip| skip.min(piece.len()));
        skip -= skipped as u64;
        piece.split_off(skipped)
    });
    if stored.len > WHOLE {
        return Ok(Source::Stream(Box::pin(data_set)));
    }
    let pieces: Vec<Bytes> = data_set.try_collect().await.map_err(|error| error.to_string())?;
    Ok(Source::Bytes(match <[Bytes; 1]>::try_from(pieces) {
        Ok([only]) => only,
        Err(pieces) => pieces.concat().into(),
    }))
}

/// Converted before the first byte leaves: what cannot be decoded breaks no association.
async fn converted(archive: Archive, stored: Arc<StoredInstance>, target: TransferSyntax) -> Result<Source, String> {
    let mut reader = BufReader::with_capacity(CHUNK, InstanceReader::new(archive, Arc::clone(&stored)));
    let convert = move || {
        let mut file = BufWriter::new(tempfile::spooled_tempfile(WHOLE as usize));
        let mut prepared = Ok(());
        let prepare = |data_set: &mut DataSet| prepared = stored.prepare(data_set);
        let written =
            write_native(&mut reader, &stored.transfer_syntax, stored.data_set_offset, prepare, &target, &mut file);
        written.map_err(|error| error.to_string())?;
        // Nothing has left yet.
        prepared.map_err(|error| error.to_string())?;
        let mut file = file.into_inner().map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        Ok(Source::Reader(Some(Box::new(file))))
    };
    spawn_blocking(convert).await.map_err(|error| error.to_string())?
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn outgoing(class: usize) -> Outgoing {
        Outgoing {
            index: class,
            instance: Instance::Bytes(Bytes::new()),
            sop_class: format!("1.2.{class}"),
            sop_instance: "1.2".to_owned(),
            transfer_syntax: TransferSyntax::implicit_little(),
            len: 0,
            data_set_offset: 0,
        }
    }

    #[tokio::test]
    async fn a_data_set_comes_in_pieces_and_then_not_at_all() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &vec![7; CHUNK + 10]).unwrap();
        file.rewind().unwrap();
        for mut source in [Source::Bytes(vec![7; CHUNK + 10].into()), Source::Reader(Some(Box::new(file)))] {
            let mut lengths = Vec::new();
            for _ in 0..3 {
                lengths.push(source.next().await.unwrap().len());
            }
            assert_eq!(lengths, [CHUNK, 10, 0]);
        }
    }

    #[test]
    fn what_comes_from_files_goes_as_it_is() {
        let outgoing = outgoing(1);
        assert_eq!(outgoing.pairs().len(), 1);
        assert_eq!(
            (outgoing.fitness(IMPLICIT_VR_LITTLE_ENDIAN), outgoing.fitness(EXPLICIT_VR_LITTLE_ENDIAN)),
            (Some(0), None)
        );
    }
}
