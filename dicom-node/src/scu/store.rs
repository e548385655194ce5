//! Storage as user (PS3.4 Annex B): Part 10 files are sent in the transfer syntax that they are in.

use super::{Remote, Requestor, ScuError, context_id};
use crate::{
    dimse::{CommandSet, command::field, message, status},
    pdu::MAX_CONTEXTS,
};
use bytes::Bytes;
use pacs_core::{
    Uid,
    data_set::{Limits, scan},
    part10::read_meta,
    tags,
};
use std::{
    io::{self, BufReader, Cursor, Read, Seek, SeekFrom},
    path::PathBuf,
};
use tokio::task::spawn_blocking;

/// Read from a file at once, in bytes.
const CHUNK: usize = 1 << 20;

/// An instance to send.
#[derive(Debug, Clone)]
pub enum Instance {
    File(PathBuf),
    /// A whole Part 10 file in memory.
    Bytes(Bytes),
}

/// What became of one instance.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Its place in what was given to [`store`].
    pub index: usize,
    pub sop_instance: Option<&'a str>,
    /// The peer's status, or why it was not sent.
    pub outcome: Result<u16, &'a str>,
}

/// How many instances went which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Answered with success or a warning.
    pub stored: usize,
    /// Answered with a failure.
    pub refused: usize,
    /// No DICOM file, or its presentation context was not accepted.
    pub not_sent: usize,
}

/// What an instance needs to be proposed and sent.
struct Outgoing {
    index: usize,
    instance: Instance,
    sop_class: String,
    sop_instance: String,
    transfer_syntax: String,
    data_set_offset: u64,
}

/// Sends instances over one association, or several in turn when they need more than 128 presentation contexts.
///
/// What a peer refuses, and what is no DICOM file, is reported to `progress` and passed over; only a connection that
/// fails is an error.
pub async fn store(
    remote: &Remote,
    instances: impl IntoIterator<Item = Instance>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Summary, ScuError> {
    let mut summary = Summary::default();
    let mut outgoing = Vec::new();
    for (index, instance) in instances.into_iter().enumerate() {
        match look_into(index, instance).await {
            Ok(found) => outgoing.push(found),
            Err(reason) => {
                summary.not_sent += 1;
                progress(Progress { index, sop_instance: None, outcome: Err(&reason) });
            }
        }
    }
    while !outgoing.is_empty() {
        let proposed = propose(&outgoing);
        let fits = |o: &mut Outgoing| proposed.contains(&o.pair());
        let batch: Vec<_> = outgoing.extract_if(.., fits).collect();
        send_batch(remote, &proposed, batch, &mut summary, &mut progress).await?;
    }
    Ok(summary)
}

impl Outgoing {
    /// One presentation context for each pair, so that the peer cannot choose a transfer syntax that we do not have.
    fn pair(&self) -> (String, Vec<String>) {
        (self.sop_class.clone(), vec![self.transfer_syntax.clone()])
    }
}

/// The presentation contexts of as many instances as one association can take.
fn propose(outgoing: &[Outgoing]) -> Vec<(String, Vec<String>)> {
    let mut proposed = Vec::new();
    for pair in outgoing.iter().map(Outgoing::pair) {
        if proposed.len() < MAX_CONTEXTS && !proposed.contains(&pair) {
            proposed.push(pair);
        }
    }
    proposed
}

async fn send_batch(
    remote: &Remote,
    proposed: &[(String, Vec<String>)],
    batch: Vec<Outgoing>,
    summary: &mut Summary,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), ScuError> {
    let mut association = Requestor::open(remote, proposed).await?;
    for outgoing in batch {
        let index = outgoing.index;
        let sop_instance = outgoing.sop_instance.clone();
        let id = proposed.iter().position(|pair| *pair == outgoing.pair()).and_then(context_id);
        let accepted = id.filter(|id| association.contexts.contains_key(id));
        let outcome = match accepted {
            None => Err("the peer does not take its SOP Class in its transfer syntax".to_owned()),
            Some(context) => association.store_one(context, outgoing).await?,
        };
        match &outcome {
            Ok(code) if *code == status::SUCCESS || code & 0xF000 == 0xB000 => summary.stored += 1,
            Ok(_) => summary.refused += 1,
            Err(_) => summary.not_sent += 1,
        }
        let outcome = outcome.as_ref().map(|code| *code).map_err(String::as_str);
        progress(Progress { index, sop_instance: Some(&sop_instance), outcome });
    }
    association.release().await
}

impl Requestor {
    /// Sends one instance; the inner error says why it could not be read.
    async fn store_one(&mut self, context: u8, outgoing: Outgoing) -> Result<Result<u16, String>, ScuError> {
        let id = self.next_message_id();
        let request = CommandSet {
            command_field: field::C_STORE_RQ,
            affected_sop_class_uid: Some(outgoing.sop_class.clone()),
            affected_sop_instance_uid: Some(outgoing.sop_instance.clone()),
            message_id: Some(id),
            priority: Some(0),
            has_data_set: true,
            ..CommandSet::default()
        };
        // The first piece before the command: a file that cannot be read must not leave half a message behind.
        let mut source = Source::new(outgoing);
        let mut piece = match source.next().await {
            Ok(piece) => piece,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut out = Vec::new();
        message::write(&mut out, context, &request, None, self.send_max);
        loop {
            let following = if piece.len() < CHUNK { Bytes::new() } else { source.next().await? };
            message::write_fragments(&mut out, context, false, &piece, following.is_empty(), self.send_max);
            self.wire.send(&out).await?;
            out.clear();
            if following.is_empty() {
                break;
            }
            piece = following;
        }
        let answer = self.response(id).await?;
        answer.status.map(Ok).ok_or(ScuError::Protocol("a response without status"))
    }
}

/// The data set of an instance, piece by piece.
struct Source {
    instance: Instance,
    offset: u64,
}

impl Source {
    fn new(outgoing: Outgoing) -> Self {
        Self { instance: outgoing.instance, offset: outgoing.data_set_offset }
    }

    /// The next at most [`CHUNK`] bytes; fewer at the end only.
    async fn next(&mut self) -> io::Result<Bytes> {
        let (instance, offset) = (self.instance.clone(), self.offset);
        let piece = spawn_blocking(move || read_piece(&instance, offset)).await.map_err(io::Error::other)??;
        self.offset += piece.len() as u64;
        Ok(piece)
    }
}

fn read_piece(instance: &Instance, offset: u64) -> io::Result<Bytes> {
    match instance {
        Instance::File(path) => {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut piece = Vec::with_capacity(CHUNK);
            file.take(CHUNK as u64).read_to_end(&mut piece)?;
            Ok(piece.into())
        }
        Instance::Bytes(bytes) => {
            let start = usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
            Ok(bytes.slice(start..bytes.len().min(start + CHUNK)))
        }
    }
}

/// Reads where the data set is and what it holds. A command must name the UIDs of the data set; those of the File Meta
/// Information, which some files lack, have been seen to differ.
async fn look_into(index: usize, instance: Instance) -> Result<Outgoing, String> {
    let look = move || match &instance {
        Instance::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
            outgoing(index, instance.clone(), &mut BufReader::new(file))
        }
        Instance::Bytes(bytes) => outgoing(index, instance.clone(), &mut Cursor::new(bytes)),
    };
    spawn_blocking(look).await.map_err(|error| error.to_string())?
}

fn outgoing(index: usize, instance: Instance, reader: &mut (impl Read + Seek)) -> Result<Outgoing, String> {
    let meta = read_meta(reader).map_err(|error| error.to_string())?;
    let limits = Limits { kept_value: 1024, ..Limits::default() };
    let data_set = scan(reader, &meta.transfer_syntax, limits).map_err(|error| error.to_string())?;
    let uid = |tag, keyword| {
        let text = data_set.text(tag).unwrap_or_default();
        text.parse::<Uid>().map(|uid| uid.to_string()).map_err(|error| format!("{keyword}: {error}"))
    };
    Ok(Outgoing {
        index,
        sop_class: uid(tags::SOP_CLASS_UID, "SOP Class UID")?,
        sop_instance: uid(tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
        instance,
        transfer_syntax: meta.transfer_syntax.to_string(),
        data_set_offset: meta.data_set_offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(class: usize) -> Outgoing {
        Outgoing {
            index: class,
            instance: Instance::Bytes(Bytes::new()),
            sop_class: format!("1.2.{class}"),
            sop_instance: "1.2".to_owned(),
            transfer_syntax: "1.2.840.10008.1.2".to_owned(),
            data_set_offset: 0,
        }
    }

    #[test]
    fn an_association_proposes_each_pair_once_and_128_at_most() {
        let many: Vec<_> = (0..200).flat_map(|class| [outgoing(class), outgoing(class)]).collect();
        assert_eq!(propose(&many).len(), 128);
        assert_eq!(propose(&many[..4]).len(), 2);
        assert_eq!((context_id(0), context_id(127), context_id(128)), (Some(1), Some(255), None));
    }

    #[test]
    fn a_data_set_comes_in_pieces_and_then_not_at_all() {
        let instance = Instance::Bytes(vec![7; CHUNK + 10].into());
        let len = |offset| read_piece(&instance, offset).unwrap().len();
        assert_eq!((len(0), len(CHUNK as u64), len(CHUNK as u64 + 10), len(u64::MAX)), (CHUNK, 10, 0, 0));
    }
}
