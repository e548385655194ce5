//! One association: the protocol machine, its clock, the messages and the services joined.

mod admit;
mod commitment;
mod find;
mod normalized;
mod retrieve;

use crate::{
    association::{
        machine::{Action, Event, State, step},
        negotiate::Agreement,
    },
    commitment::{Delivery, Requesters},
    config::NodeConfig,
    conformance::statuses,
    dimse::{Assembler, CommandSet, Part, command::field, message},
    pdu::{Abort, Pdv},
    places::{Place, Places},
    scp::{Caller, Done, Operation},
    scu::Remote,
    tls::{Certificate, Tls},
    wire::{Received, Transport, Wire},
};
use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use pacs_core::{
    AeTitle, Uid,
    admission::{Admission, Pass},
    query::View,
};
use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use storage::{Archive, AuditRecord, Peer};
use tokio::{
    sync::Notify,
    task::{JoinError, JoinHandle},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a peer may take to close after we end the association at shutdown.
const CLOSE_AT_SHUTDOWN: Duration = Duration::from_secs(1);

/// What all associations share.
pub(crate) struct Node {
    pub archive: Archive,
    pub config: NodeConfig,
    pub tls: Tls,
    /// Counts the connections that have no association, before it and after.
    pub door: Admission,
    pub places: Places,
    /// Who waits for reports of storage commitment.
    pub requesters: Requesters,
    /// There may be something to tell of workitems.
    pub notifications: Notify,
    /// There may be something to tell on of procedure steps.
    pub steps: Notify,
    /// No new message is begun.
    pub stop: CancellationToken,
    /// Messages under way are given up.
    pub cut: CancellationToken,
}

impl Node {
    /// How a configured peer is called, where its host and port are known.
    pub fn remote(&self, peer: &Peer) -> Option<Remote> {
        Remote::of(peer, &self.config.ae_title, &self.tls)
    }
}

/// A transport connection and what became of it.
pub(crate) struct Session<S> {
    node: Arc<Node>,
    wire: Wire<S>,
    address: SocketAddr,
    /// What the caller showed by TLS.
    certificate: Option<Certificate>,
    state: State,
    artim: Option<Instant>,
    association: Option<Association>,
    /// Held while there is no association.
    pending: Option<Pass>,
    /// What arrived while an operation answered.
    backlog: VecDeque<Event>,
}

/// What there is to do.
enum Next {
    Event(Event),
    Report(Box<Delivery>),
    /// An instance was committed, or refused.
    Done(u8, Box<Done>),
}

/// An established association.
struct Association {
    calling: AeTitle,
    /// Else what it stores goes into quarantine.
    is_known: bool,
    called: AeTitle,
    /// The user that the caller proved to be.
    user: Option<String>,
    /// The patients and studies that the caller sees.
    view: View,
    address: String,
    agreement: Agreement,
    assembler: Assembler,
    /// The message whose data set is coming: presentation context, operation, span.
    running: Option<(u8, Operation, tracing::Span)>,
    /// Series that instances were stored in.
    series: BTreeSet<Uid>,
    reports: commitment::Reports,
    /// Instances that are complete and not yet committed, where more than one operation at a time was agreed.
    committing: FuturesUnordered<JoinHandle<(u8, Done)>>,
    _place: Place,
}

impl<S: Transport> Session<S> {
    pub fn new(node: Arc<Node>, stream: S, address: SocketAddr, pass: Pass, certificate: Option<Certificate>) -> Self {
        let wire = Wire::new(stream, &node.config);
        let (state, backlog) = (State::Idle, VecDeque::new());
        Self { node, wire, address, certificate, state, artim: None, association: None, pending: Some(pass), backlog }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self) {
        self.handle(Event::TransportOpened).await;
        while self.state != State::Idle {
            match self.next().await {
                Next::Event(event) => self.handle(event).await,
                Next::Report(delivery) => {
                    let ended = self.report(*delivery).await;
                    self.handle_any(ended).await;
                }
                Next::Done(context, done) => {
                    let ended = self.stored(context, *done).await;
                    self.handle_any(ended).await;
                }
            }
        }
        self.end_association().await;
        self.wire.close().await;
    }

    async fn next(&mut self) -> Next {
        if let Some(event) = self.backlog.pop_front() {
            return Next::Event(event);
        }
        let deadline = self.artim.unwrap_or_else(|| Instant::now() + self.node.config.idle());
        let (stop, cut) = (self.node.stop.clone(), self.node.cut.clone());
        let may_stop = self.may_stop();
        let may_report = self.state == State::Established && may_stop;
        let own = async {
            let Some(association) = self.association.as_mut() else { return std::future::pending().await };
            tokio::select! {
                Some(done) = association.committing.next() => joined(done),
                delivery = association.reports.next(), if may_report => Next::Report(Box::new(delivery)),
                else => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cut.cancelled() => Next::Event(self.stop_event()),
            () = stop.cancelled(), if may_stop => Next::Event(self.stop_event()),
            // Before what else is to be read: answers make room for it.
            next = own => next,
            received = self.wire.receive(Some(deadline)) => Next::Event(self.event(received)),
        }
    }

    fn event(&self, received: Received) -> Event {
        match received {
            Received::Pdu(pdu) => Event::Received(pdu),
            Received::Fault(fault) => {
                tracing::warn!(reason = fault.what, "PDU refused");
                Event::Unreadable(fault)
            }
            Received::Closed(error) => {
                if let Some(error) = error {
                    tracing::info!(%error, "connection broke");
                }
                Event::TransportClosed
            }
            Received::Expired if self.artim.is_some() => Event::ArtimExpired,
            Received::Expired => {
                tracing::warn!("peer was silent, or a PDU was not complete, for too long");
                Event::Abort(Abort::NOT_SPECIFIED)
            }
        }
    }

    /// Whether nothing is under way that a shutdown should wait for.
    fn may_stop(&self) -> bool {
        match self.state {
            State::Established => {
                self.association.as_ref().is_none_or(|a| !a.assembler.is_within_message() && a.committing.is_empty())
            }
            State::AwaitClose => false,
            _ => true,
        }
    }

    fn stop_event(&self) -> Event {
        if self.state == State::Established { Event::Abort(Abort::NOT_SPECIFIED) } else { Event::TransportClosed }
    }

    async fn handle_any(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.handle(event).await;
        }
    }

    /// Drives the machine by an event and what follows from it at once.
    async fn handle(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let (state, actions) = step(self.state, event);
            self.state = state;
            for action in actions {
                next = self.perform(action).await.or(next);
            }
        }
        if !matches!(self.state, State::Established | State::AwaitReleaseResponse) {
            self.end_association().await;
            self.wait_for_close();
        }
    }

    /// What ended without the peer closing counts again among those without an association, or is closed by us.
    fn wait_for_close(&mut self) {
        if self.pending.is_none() && self.state != State::Idle {
            self.pending = self.node.door.admit(self.address.ip());
            if self.pending.is_none() {
                self.state = State::Idle;
            }
        }
    }

    async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::StartArtim => {
                let stopping = self.node.stop.is_cancelled();
                let limit = if stopping { CLOSE_AT_SHUTDOWN } else { self.node.config.artim() };
                self.artim = Some(Instant::now() + limit);
            }
            Action::StopArtim => self.artim = None,
            Action::Send(pdu) => return self.send(&pdu.to_bytes()).await,
            Action::Judge(rq) => return Some(self.judge(&rq).await),
            Action::Deliver(values) => return self.deliver(values).await,
            Action::ConfirmRelease => {
                if let Some(ended) = self.settle(0).await {
                    return Some(ended);
                }
                tracing::info!("association released");
                self.end_association().await;
                return Some(Event::ReleaseResponse);
            }
            // The transport closes when the session is dropped.
            Action::Close => {}
        }
        None
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<Event> {
        match self.wire.send(bytes).await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "sending failed");
                Some(Event::TransportClosed)
            }
        }
    }

    /// Tells the archive which series may be complete.
    async fn end_association(&mut self) {
        let Some(mut association) = self.association.take() else { return };
        // What is complete is committed, though nobody is there to be told.
        while let Some(done) = association.committing.next().await {
            association.series.extend(done.ok().and_then(|(_, done)| done.series));
        }
        let series: Vec<_> = association.series.into_iter().collect();
        if series.is_empty() {
            return;
        }
        if let Err(error) = self.node.archive.released(&series).await {
            tracing::error!(%error, "announcing the series of a closed association failed");
        }
    }

    /// The certificate that the caller showed and the user that it proved to be, for an audit record.
    fn shown(&self) -> String {
        let certificate = self.certificate.as_ref().map(|certificate| format!("; certificate {certificate}"));
        let user =
            self.association.as_ref().and_then(|association| Some(format!("; user {}", association.user.as_ref()?)));
        [certificate, user].into_iter().flatten().collect()
    }

    async fn audit(&self, record: AuditRecord) {
        if let Err(error) = self.node.archive.audit(&record).await {
            tracing::error!(%error, "audit record was not written");
        }
    }

    /// Takes the values of a P-DATA-TF; an event ends the association.
    async fn deliver(&mut self, values: Vec<Pdv>) -> Option<Event> {
        for value in values {
            let association = self.association.as_mut()?;
            let contexts = &association.agreement.contexts;
            let part = match association.assembler.push(value, |id| contexts.contains_key(&id)) {
                Ok(Some(part)) => part,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "message refused");
                    return Some(Event::Abort(error.abort()));
                }
            };
            let event = match part {
                Part::Command { context, command } => self.begin(context, *command).await,
                Part::Data { bytes, is_last } => self.data(&bytes, is_last).await,
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    async fn begin(&mut self, context: u8, command: CommandSet) -> Option<Event> {
        if command.command_field == field::C_CANCEL_RQ {
            // What it was to cancel has ended meanwhile: answers and cancel crossed on the wire.
            return None;
        }
        if self.association.as_mut()?.reports.take_answer(&command) {
            return None;
        }
        if command.command_field & field::RESPONSE != 0 {
            tracing::warn!("peer sent a response to no request of ours");
            return Some(Event::Abort(Abort::USER));
        }
        let window = self.association.as_ref()?.agreement.window;
        // Beside instances nothing else is under way.
        let room = if command.command_field == field::C_STORE_RQ { window.saturating_sub(1) } else { 0 };
        if let Some(ended) = self.settle(room).await {
            return Some(ended);
        }
        let node = Arc::clone(&self.node);
        let association = self.association.as_mut()?;
        let agreed = association.agreement.contexts.get(&context)?;
        let span = tracing::info_span!("dimse", op = command.operation(), message_id = command.message_id);
        let caller = Caller {
            archive: &node.archive,
            config: &node.config,
            calling: &association.calling,
            is_known: association.is_known,
            address: &association.address,
        };
        let has_data_set = command.has_data_set;
        let operation = Operation::begin(&caller, agreed, command).instrument(span.clone()).await;
        association.running = Some((context, operation, span));
        if has_data_set { None } else { self.finish().await }
    }

    async fn data(&mut self, bytes: &[u8], is_last: bool) -> Option<Event> {
        let (_, operation, _) = self.association.as_mut()?.running.as_mut()?;
        operation.data(bytes).await;
        if is_last { self.finish().await } else { None }
    }

    /// Answers the operation whose message is complete.
    async fn finish(&mut self) -> Option<Event> {
        let (context, operation, span) = self.association.as_mut()?.running.take()?;
        match operation {
            Operation::Answered(response) => self.respond(context, &response).await,
            Operation::Store(reception) if self.association.as_ref()?.agreement.window > 1 => {
                let commit = async move { (context, reception.finish().await) };
                self.association.as_mut()?.committing.push(tokio::spawn(commit.instrument(span)));
                None
            }
            Operation::Store(reception) => {
                let done = reception.finish().instrument(span).await;
                self.stored(context, done).await
            }
            Operation::Find(find) => self.find(context, &find).instrument(span).await,
            Operation::FindItems(find) => self.find_items(context, &find).instrument(span).await,
            Operation::Commit(commitment) => self.commit(context, &commitment).instrument(span).await,
            Operation::Hear(report) => self.hear(context, &report).instrument(span).await,
            Operation::Normalized(request) => self.normalized(context, &request).instrument(span).await,
            Operation::Retrieve(retrieve) => self.retrieve(context, &retrieve).instrument(span).await,
        }
    }

    /// Answers for an instance.
    async fn stored(&mut self, context: u8, done: Done) -> Option<Event> {
        self.association.as_mut()?.series.extend(done.series);
        self.respond(context, &done.response).await
    }

    /// Answers for instances until so many at most are still to be committed.
    async fn settle(&mut self, left: usize) -> Option<Event> {
        while self.association.as_ref()?.committing.len() > left {
            let done = self.association.as_mut()?.committing.next().await?;
            let ended = match joined(done) {
                Next::Done(context, done) => self.stored(context, *done).await,
                Next::Event(event) => Some(event),
                Next::Report(_) => None,
            };
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    async fn respond(&mut self, context: u8, response: &CommandSet) -> Option<Event> {
        self.respond_with(context, response, None).await
    }

    async fn respond_with(&mut self, context: u8, response: &CommandSet, data_set: Option<&Bytes>) -> Option<Event> {
        let agreement = &self.association.as_ref()?.agreement;
        let (agreed, send_max) = (agreement.contexts.get(&context)?, agreement.send_max);
        debug_assert!(statuses::is_stated(agreed.service, response), "not stated: {:?} {response:?}", agreed.service);
        let mut out = Vec::new();
        message::write(&mut out, context, response, data_set, send_max);
        self.send(&out).await
    }
}

/// A task that did not end has told nobody what became of its instance: the peer is to send it again.
fn joined(done: Result<(u8, Done), JoinError>) -> Next {
    match done {
        Ok((context, done)) => Next::Done(context, Box::new(done)),
        Err(error) => {
            tracing::error!(%error, "committing an instance broke off");
            Next::Event(Event::Abort(Abort::NOT_SPECIFIED))
        }
    }
}
