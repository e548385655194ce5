//! Storage as user (PS3.4 Annex B): instances are sent in the transfer syntax that they are in, those of the archive also
//! in a native one to a peer that takes no other.

use super::{
    Remote, Requestor, ScuError, context_id,
    outgoing::{Fitted, Instance, Opened, Outgoing, Source, Unsent},
};
use crate::{
    dimse::{CommandSet, command::field, message, status},
    pdu::MAX_CONTEXTS,
    wire::{Transport, Wire},
};
use bytes::Bytes;
use futures::future::{OptionFuture, join, join_all};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};
use storage::routing::Pace;
use tokio_util::sync::CancellationToken;

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
    /// Not readable, its presentation context was not accepted, or there was no time for it.
    pub not_sent: usize,
}

/// How to send.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub remote: Remote,
    /// AE title and Message ID of a C-MOVE that this is part of.
    pub originator: Option<(String, u16)>,
    /// Associations at the same time.
    pub associations: usize,
    /// How fast instances may go; `None`: as fast as they do.
    pub pace: Option<Arc<Pace>>,
    /// After this no further instance is begun.
    pub stop: CancellationToken,
}

impl Delivery {
    /// Over one association, to the end.
    pub fn to(remote: &Remote) -> Self {
        let stop = CancellationToken::new();
        Self { remote: remote.clone(), originator: None, associations: 1, pace: None, stop }
    }
}

/// Sends instances over one association, or several in turn when they need more than 128 presentation contexts.
///
/// What a peer refuses, and what is no DICOM file, is reported to `progress` and passed over; only a connection that
/// fails is an error.
pub async fn store(
    remote: &Remote,
    instances: impl IntoIterator<Item = Instance>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Summary, ScuError> {
    deliver(&Delivery::to(remote), instances, progress).await
}

/// As [`store`], in another way. After an error what was not reported was not sent, or nobody knows.
pub async fn deliver(
    delivery: &Delivery,
    instances: impl IntoIterator<Item = Instance>,
    progress: impl FnMut(Progress<'_>),
) -> Result<Summary, ScuError> {
    let report = Report(Mutex::new((Summary::default(), progress)));
    let mut outgoing = VecDeque::new();
    for (index, instance) in instances.into_iter().enumerate() {
        match Outgoing::of(index, instance).await {
            Ok(found) => outgoing.push_back(found),
            Err(reason) => report.tell(index, None, Err(&reason)),
        }
    }
    while !outgoing.is_empty() && !delivery.stop.is_cancelled() {
        let proposed = propose(&outgoing);
        let fits = |one: &Outgoing| one.pairs().iter().any(|pair| proposed.contains(pair));
        let (batch, rest): (VecDeque<_>, VecDeque<_>) = outgoing.into_iter().partition(fits);
        outgoing = rest;
        send_batch(delivery, &proposed, batch, &report).await?;
    }
    Ok(report.0.into_inner().unwrap_or_else(PoisonError::into_inner).0)
}

/// Counts, and tells.
struct Report<F>(Mutex<(Summary, F)>);

impl<F: FnMut(Progress<'_>)> Report<F> {
    fn tell(&self, index: usize, sop_instance: Option<&str>, outcome: Result<u16, &str>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (summary, progress) = &mut *held;
        match outcome {
            Ok(code) if code == status::SUCCESS || code & 0xF000 == 0xB000 => summary.stored += 1,
            Ok(_) => summary.refused += 1,
            Err(_) => summary.not_sent += 1,
        }
        progress(Progress { index, sop_instance, outcome });
    }
}

/// The presentation contexts of as many instances as one association can take.
fn propose(outgoing: &VecDeque<Outgoing>) -> Vec<(String, Vec<String>)> {
    let mut proposed = Vec::new();
    for pair in outgoing.iter().flat_map(Outgoing::pairs) {
        if proposed.len() < MAX_CONTEXTS && !proposed.contains(&pair) {
            proposed.push(pair);
        }
    }
    proposed
}

/// One batch, over as many associations as there may be. One that cannot be opened beside others is not missed.
async fn send_batch<F: FnMut(Progress<'_>)>(
    delivery: &Delivery,
    proposed: &[(String, Vec<String>)],
    batch: VecDeque<Outgoing>,
    report: &Report<F>,
) -> Result<(), ScuError> {
    let associations = delivery.associations.clamp(1, batch.len().max(1));
    let queue = Mutex::new(batch);
    let lines = (0..associations).map(|_| send_from(delivery, proposed, &queue, report));
    let ends = join_all(lines).await;
    let is_done = queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    match ends.into_iter().collect::<Result<Vec<_>, _>>() {
        Err(error @ (ScuError::Connect { .. } | ScuError::Tls { .. } | ScuError::Rejected(_))) if !is_done => {
            Err(error)
        }
        Err(ScuError::Connect { .. } | ScuError::Tls { .. } | ScuError::Rejected(_)) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn send_from<F: FnMut(Progress<'_>)>(
    delivery: &Delivery,
    proposed: &[(String, Vec<String>)],
    queue: &Mutex<VecDeque<Outgoing>>,
    report: &Report<F>,
) -> Result<(), ScuError> {
    let mut association = Requestor::open(&delivery.remote, proposed).await?;
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let mut opened = match next() {
        Some(first) => Some(association.fit(proposed, first).open().await),
        None => None,
    };
    while !delivery.stop.is_cancelled()
        && let Some(Opened { outgoing, source }) = opened.take()
    {
        if let Some(pace) = &delivery.pace
            && delivery.stop.run_until_cancelled(pace.wait(outgoing.len)).await.is_none()
        {
            break;
        }
        // The next one is read while this one is sent and answered.
        let following = next().map(|following| association.fit(proposed, following));
        let following = OptionFuture::from(following.map(Fitted::open));
        let sent = association.store_one(&outgoing, source, delivery.originator.as_ref());
        let (outcome, following) = join(sent, following).await;
        let outcome = outcome?;
        let told = outcome.as_ref().map(|code| *code).map_err(String::as_str);
        report.tell(outgoing.index, Some(&outgoing.sop_instance), told);
        opened = following;
    }
    association.release().await
}

impl Requestor {
    fn fit(&self, proposed: &[(String, Vec<String>)], outgoing: Outgoing) -> Fitted {
        let own = proposed.iter().enumerate().filter(|(_, (class, _))| *class == outgoing.sop_class);
        let accepted = own.filter_map(|(at, _)| {
            let id = context_id(at)?;
            let target = self.contexts.get(&id)?;
            Some((outgoing.fitness(target)?, id, target))
        });
        let way = accepted.min().map(|(_, id, target)| (id, target.clone()));
        Fitted { outgoing, way }
    }

    /// Sends one instance; the inner error says why it could not be read.
    async fn store_one(
        &mut self,
        outgoing: &Outgoing,
        source: Result<(u8, Source), Unsent>,
        originator: Option<&(String, u16)>,
    ) -> Result<Result<u16, String>, ScuError> {
        let (context, mut source) = match source {
            Ok(opened) => opened,
            Err(reason) => return Ok(Err(reason.to_string())),
        };
        let id = self.next_message_id();
        let request = CommandSet { move_originator: originator.cloned(), ..store_request(outgoing, id) };
        send_store(&mut self.wire, context, self.send_max, &request, &mut source).await?;
        let answer = self.response(id).await?;
        answer.status.map(Ok).ok_or(ScuError::Protocol("a response without status"))
    }
}

/// The C-STORE-RQ of an instance.
pub(crate) fn store_request(outgoing: &Outgoing, message_id: u16) -> CommandSet {
    CommandSet {
        command_field: field::C_STORE_RQ,
        affected_sop_class_uid: Some(outgoing.sop_class.clone()),
        affected_sop_instance_uid: Some(outgoing.sop_instance.clone()),
        message_id: Some(message_id),
        priority: Some(0),
        has_data_set: true,
        ..CommandSet::default()
    }
}

/// Sends a C-STORE-RQ with its data set. After an error half a message is on the wire: the association cannot go on.
pub(crate) async fn send_store<S: Transport>(
    wire: &mut Wire<S>,
    context: u8,
    send_max: u32,
    request: &CommandSet,
    source: &mut Source,
) -> io::Result<()> {
    let mut piece = source.next().await?;
    let mut command = Vec::new();
    message::write(&mut command, context, request, None, send_max);
    let mut out = vec![Bytes::from(command)];
    loop {
        let following = source.next().await?;
        out.extend(message::fragments(context, &piece, following.is_empty(), send_max));
        wire.send_pieces(&out).await?;
        out.clear();
        if following.is_empty() {
            return Ok(());
        }
        piece = following;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::outgoing::tests::outgoing, *};

    #[test]
    fn an_association_proposes_each_pair_once_and_128_at_most() {
        let many: VecDeque<_> = (0..200).flat_map(|class| [outgoing(class), outgoing(class)]).collect();
        assert_eq!(propose(&many).len(), 128);
        assert_eq!(propose(&many.into_iter().take(4).collect()).len(), 2);
        assert_eq!((context_id(0), context_id(127), context_id(128)), (Some(1), Some(255), None));
    }
}
