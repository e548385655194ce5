//! C-GET and C-MOVE as conversations: instances go out, over this association or to another application entity, while
//! numbers of them are answered and a C-CANCEL may come in (PS3.7 §9.3.3, §9.3.4; PS3.4 §C.4.2, §C.4.3).

use super::{
    Association, Session,
    find::{Interrupt, failed, watch},
};
use crate::{
    association::machine::Event,
    dimse::{CommandSet, Part, command::field, message, status},
    pdu::{Abort, Pdu},
    scp::{
        keys::Refusal,
        retrieve::{Retrieve, Tally, instances},
    },
    scu::{self, Delivery, Fitted, Instance, Opened, Outgoing, Source, Unsent},
    wire::{Received, Transport, Wire},
};
use bytes::Bytes;
use futures::future::{OptionFuture, join};
use pacs_core::{Failure, query::Query};
use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};
use storage::{AuditAction, AuditRecord, Peer, StoredInstance};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long the receiver of a sub-operation may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// What became of a sub-operation over this association.
enum Sent {
    Answered(u16),
    /// Not sent, and why.
    Not(String),
    Cancelled(u16),
    Ended(Event),
}

impl<S: Transport> Session<S> {
    /// Answers a retrieval; an event ends the association.
    pub(super) async fn retrieve(&mut self, context: u8, retrieve: &Retrieve) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let destination = match self.destination(retrieve).await {
            Ok(destination) => destination,
            Err(refusal) => return self.refuse(context, retrieve, &refusal).await,
        };
        let query = match retrieve.wanted() {
            Ok(query) => Query { view: self.association.as_ref()?.view.clone(), ..query },
            Err(refusal) => return self.refuse(context, retrieve, &refusal).await,
        };
        let found = match instances(&node.archive, &query).await {
            Ok(Ok(found)) => found,
            Ok(Err(refusal)) => return self.refuse(context, retrieve, &refusal).await,
            Err(error) => return self.respond(context, &failed(&retrieve.request, &error)).await,
        };
        let how = destination.as_ref().map_or("C-GET".to_owned(), |peer| format!("C-MOVE to {}", peer.ae_title));
        self.audit_retrieval(&how, &found).await;
        let tally = Tally::of(found.len());
        let found = found.into_iter().map(Arc::new);
        match destination {
            None => self.get(context, retrieve, found.collect(), tally).await,
            Some(peer) => self.relay(context, retrieve, peer, found.collect(), tally).await,
        }
    }

    async fn refuse(&mut self, context: u8, retrieve: &Retrieve, refusal: &Refusal) -> Option<Event> {
        tracing::warn!(reason = refusal.comment, "retrieval refused");
        self.respond(context, &refusal.response(&retrieve.request)).await
    }

    /// Where a C-MOVE goes; `None` for a C-GET.
    async fn destination(&self, retrieve: &Retrieve) -> Result<Option<Peer>, Refusal> {
        if !retrieve.is_move() {
            return Ok(None);
        }
        let title = retrieve.request.move_destination.as_deref().unwrap_or_default();
        let unknown = |why: &str| Refusal::new(status::UNKNOWN_DESTINATION, why);
        let peers = self.node.archive.peers().await.map_err(|error| {
            tracing::error!(%error, "configured peers cannot be read");
            Refusal::new(Failure::CannotUnderstand.dimse(), "the move destination cannot be looked up")
        })?;
        let known = peers.into_iter().find(|peer| peer.ae_title.as_str() == title);
        let known = known.ok_or_else(|| unknown("the move destination is not configured"))?;
        match (&known.host, known.port) {
            (Some(_), Some(_)) => Ok(Some(known)),
            _ => Err(unknown("the move destination has no host or port configured")),
        }
    }

    async fn audit_retrieval(&self, how: &str, found: &[StoredInstance]) {
        let Some(association) = &self.association else { return };
        let studies: BTreeSet<_> = found.iter().map(|instance| &instance.study).collect();
        for study in studies {
            let count = found.iter().filter(|instance| instance.study == *study).count();
            self.audit(AuditRecord {
                at: 0,
                action: AuditAction::Export,
                actor: association.calling.to_string(),
                origin: association.address.clone(),
                success: true,
                study: Some(study.to_string()),
                detail: format!("{how}, {count} instances{}", self.shown()),
            })
            .await;
        }
    }

    /// The last answer.
    async fn conclude(&mut self, context: u8, retrieve: &Retrieve, tally: &Tally, is_cancelled: bool) -> Option<Event> {
        let Tally { completed, warning, failed, remaining, .. } = tally;
        tracing::info!(completed, warning, failed, remaining, is_cancelled, "retrieval ended");
        let (answer, identifier) = retrieve.last(tally, is_cancelled);
        self.answer_with(context, &answer, identifier.as_ref()).await
    }

    async fn answer_with(&mut self, context: u8, answer: &CommandSet, identifier: Option<&Bytes>) -> Option<Event> {
        let send_max = self.association.as_ref()?.agreement.send_max;
        let mut out = Vec::new();
        message::write(&mut out, context, answer, identifier, send_max);
        self.send(&out).await
    }

    // ---- C-GET ----------------------------------------------------------------------------------------------

    async fn get(
        &mut self,
        context: u8,
        retrieve: &Retrieve,
        found: Vec<Arc<StoredInstance>>,
        mut tally: Tally,
    ) -> Option<Event> {
        let archive = self.node.archive.clone();
        let mut is_cancelled = false;
        let mut found = found.into_iter().enumerate();
        let mut next = || found.next().map(|(index, stored)| Outgoing::stored(index, archive.clone(), stored));
        let mut opened = match next() {
            Some(first) => Some(self.fit(first)?.open().await),
            None => None,
        };
        while let Some(Opened { outgoing, source }) = opened.take() {
            if self.node.cut.is_cancelled() {
                return Some(Event::Abort(Abort::NOT_SPECIFIED));
            }
            // The next one is read while this one is sent and answered.
            let following = match next() {
                Some(following) => Some(self.fit(following)?.open()),
                None => None,
            };
            let sent = self.send_one(&outgoing, source, retrieve.request.message_id);
            let (outcome, following) = join(sent, OptionFuture::from(following)).await;
            opened = following;
            match &outcome {
                Sent::Answered(code) | Sent::Cancelled(code) => tally.add(&outgoing.sop_instance, Ok(*code)),
                Sent::Not(reason) => tally.add(&outgoing.sop_instance, Err(reason)),
                Sent::Ended(_) => {}
            }
            match outcome {
                Sent::Ended(event) => return Some(event),
                Sent::Cancelled(_) => {
                    is_cancelled = true;
                    break;
                }
                Sent::Answered(_) | Sent::Not(_) if tally.remaining == 0 => {}
                Sent::Answered(_) | Sent::Not(_) => {
                    if let Some(ended) = self.answer_with(context, &retrieve.pending(&tally), None).await {
                        return Some(ended);
                    }
                }
            }
        }
        self.conclude(context, retrieve, &tally, is_cancelled).await
    }

    fn fit(&self, outgoing: Outgoing) -> Option<Fitted> {
        let way = context_for(self.association.as_ref()?, &outgoing);
        Some(Fitted { outgoing, way })
    }

    async fn send_one(
        &mut self,
        outgoing: &Outgoing,
        source: Result<(u8, Source), Unsent>,
        cancels: Option<u16>,
    ) -> Sent {
        let Some(association) = &mut self.association else { return Sent::Ended(Event::Abort(Abort::NOT_SPECIFIED)) };
        let (context, mut source) = match source {
            Ok(opened) => opened,
            Err(reason @ Unsent::NoContext) => return Sent::Not(reason.to_string()),
            // The peer learns no more than that.
            Err(Unsent::Unreadable(reason)) => {
                tracing::error!(sop_instance = outgoing.sop_instance, reason, "an instance cannot be sent");
                return Sent::Not("the instance cannot be read or converted".to_owned());
            }
        };
        // Message IDs of ours and of the peer are apart: each names the operations of its side.
        let message_id = u16::try_from(outgoing.index + 1).unwrap_or(u16::MAX);
        let request = scu::store_request(outgoing, message_id);
        let sent =
            scu::send_store(&mut self.wire, context, association.agreement.send_max, &request, &mut source).await;
        if let Err(error) = sent {
            tracing::error!(%error, sop_instance = outgoing.sop_instance, "sending an instance broke off");
            return Sent::Ended(Event::Abort(Abort::NOT_SPECIFIED));
        }
        let limit = Instant::now() + ANSWER_LIMIT;
        answer_to(&mut self.wire, association, message_id, cancels, limit).await
    }

    // ---- C-MOVE ---------------------------------------------------------------------------------------------

    /// Has the instances sent to another application entity, and counts.
    async fn relay(
        &mut self,
        context: u8,
        retrieve: &Retrieve,
        peer: Peer,
        found: Vec<Arc<StoredInstance>>,
        mut tally: Tally,
    ) -> Option<Event> {
        let node = Arc::clone(&self.node);
        let delivery = self.delivery(retrieve, &peer)?;
        let uids: Vec<_> = found.iter().map(|stored| stored.sop_instance.to_string()).collect();
        let archive = node.archive.clone();
        let stored = found.into_iter().map(move |stored| Instance::Stored(archive.clone(), stored));
        // No more wait in it than there are instances.
        let (report, mut reports) = mpsc::unbounded_channel::<(usize, Result<u16, String>)>();
        let (stop, mut told) = (delivery.stop.clone(), vec![false; uids.len()]);
        // Its own task: it goes on while an answer is on its way to a slow peer.
        let work = tokio::spawn(async move {
            let tell = |progress: scu::Progress<'_>| {
                // Who does not listen any more has gone.
                let _ = report.send((progress.index, progress.outcome.map_err(str::to_owned)));
            };
            scu::deliver(&delivery, stored, tell).await
        });
        let mut work = pin!(work);
        let mut is_cancelled = false;
        let outcome = loop {
            tokio::select! {
                biased;
                Some((index, outcome)) = reports.recv() => {
                    let (Some(uid), Some(is_told)) = (uids.get(index), told.get_mut(index)) else { continue };
                    *is_told = true;
                    tally.add(uid, outcome.as_ref().map(|code| *code).map_err(String::as_str));
                    if tally.remaining > 0
                        && let Some(ended) = self.answer_with(context, &retrieve.pending(&tally), None).await
                    {
                        stop.cancel();
                        return Some(ended);
                    }
                }
                interrupt = watch(&mut self.wire, &mut self.backlog, &retrieve.request), if !is_cancelled => {
                    stop.cancel();
                    match interrupt {
                        Interrupt::Cancelled => is_cancelled = true,
                        Interrupt::Ended(event) => return Some(event),
                    }
                }
                () = node.cut.cancelled() => {
                    stop.cancel();
                    return Some(Event::Abort(Abort::NOT_SPECIFIED));
                }
                done = &mut work => break done,
            }
        };
        let reason = match outcome {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.chain()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(reason) = &reason {
            tracing::warn!(destination = %peer.ae_title, reason, "sending to a move destination failed");
        }
        if !is_cancelled {
            let reason = reason.unwrap_or_else(|| "it was not sent".to_owned());
            let untold = uids.iter().zip(&told).filter(|(_, is_told)| !**is_told);
            untold.for_each(|(uid, _)| tally.add(uid, Err(&reason)));
        }
        self.conclude(context, retrieve, &tally, is_cancelled).await
    }

    fn delivery(&self, retrieve: &Retrieve, peer: &Peer) -> Option<Delivery> {
        let association = self.association.as_ref()?;
        Some(Delivery {
            remote: self.node.remote(peer)?,
            originator: Some((association.calling.to_string(), retrieve.request.message_id.unwrap_or_default())),
            associations: self.node.config.move_associations,
            pace: None,
            stop: CancellationToken::new(),
        })
    }
}

/// The presentation context in which an instance goes best to the peer, and its transfer syntax.
fn context_for(association: &Association, outgoing: &Outgoing) -> Option<(u8, String)> {
    let contexts = association.agreement.contexts.iter();
    let own = contexts.filter(|(_, known)| known.is_scp && known.abstract_syntax.as_str() == outgoing.sop_class);
    let fit = own.filter_map(|(id, known)| {
        let target = known.transfer_syntax.to_string();
        Some((outgoing.fitness(&target)?, *id, target))
    });
    fit.min().map(|(_, id, target)| (id, target))
}

/// The answer to a C-STORE of ours over an association that the peer opened. It has nothing else to say meanwhile but that
/// the retrieval is cancelled: one operation at a time was agreed.
async fn answer_to<S: Transport>(
    wire: &mut Wire<S>,
    association: &mut Association,
    message_id: u16,
    cancels: Option<u16>,
    limit: Instant,
) -> Sent {
    let mut is_cancelled = false;
    loop {
        let values = match wire.receive(Some(limit)).await {
            Received::Pdu(Pdu::Data(values)) => values,
            Received::Pdu(pdu) => return Sent::Ended(Event::Received(pdu)),
            Received::Fault(fault) => return Sent::Ended(Event::Unreadable(fault)),
            Received::Closed(_) => return Sent::Ended(Event::TransportClosed),
            Received::Expired => return Sent::Ended(Event::Abort(Abort::NOT_SPECIFIED)),
        };
        for value in values {
            let contexts = &association.agreement.contexts;
            let command = match association.assembler.push(value, |id| contexts.contains_key(&id)) {
                Ok(Some(Part::Command { command, .. })) => command,
                Ok(Some(Part::Data { .. }) | None) => continue,
                Err(error) => return Sent::Ended(Event::Abort(error.abort())),
            };
            let responds_to = command.message_id_being_responded_to;
            match command.command_field {
                field::C_CANCEL_RQ => is_cancelled |= responds_to == cancels,
                field::C_STORE_RSP if responds_to == Some(message_id) => {
                    let code = command.status.unwrap_or(Failure::CannotUnderstand.dimse());
                    return if is_cancelled { Sent::Cancelled(code) } else { Sent::Answered(code) };
                }
                _ => return Sent::Ended(Event::Abort(Abort::USER)),
            }
        }
    }
}
