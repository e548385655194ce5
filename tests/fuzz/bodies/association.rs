//! What a peer sends over a connection, through everything that reads it before a service does: PDUs, the protocol machine,
//! negotiation, messages, command sets, identifiers. Shared by the fuzz target and by a test on stable.

use bytes::{Bytes, BytesMut};
use dicom_node::{
    NodeConfig,
    association::{
        machine::{Action, Event, State, step},
        negotiate::{self, Agreement, Refusal},
        policy::Rights,
        supported::Service,
    },
    dimse::{Assembler, Part},
    pdu::{self, AssociateRq, Pdv},
    scp::query::Find,
};

/// Plays an acceptor without socket, clock and archive, until the connection is over or the bytes are.
pub fn converse(bytes: &[u8]) {
    let config = NodeConfig::default();
    let mut acceptor = Acceptor { config, agreement: None, assembler: Assembler::default(), find: None };
    let mut buffer = BytesMut::from(bytes);
    let mut state = acceptor.drive(State::Idle, Event::TransportOpened);
    while state != State::Idle {
        let event = match pdu::take(&mut buffer, acceptor.config.max_pdu_length) {
            Ok(Some(pdu)) => {
                assert_eq!(pdu::take(&mut BytesMut::from(&*pdu.to_bytes()), u32::MAX), Ok(Some(pdu.clone())));
                Event::Received(pdu)
            }
            Ok(None) => Event::TransportClosed,
            Err(fault) => {
                state = acceptor.drive(state, Event::Unreadable(fault));
                Event::TransportClosed
            }
        };
        state = acceptor.drive(state, event);
    }
}

struct Acceptor {
    config: NodeConfig,
    agreement: Option<Agreement>,
    assembler: Assembler,
    find: Option<Find>,
}

impl Acceptor {
    fn drive(&mut self, mut state: State, event: Event) -> State {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let (after, actions) = step(state, event);
            state = after;
            for action in actions {
                next = self.perform(action).or(next);
            }
        }
        state
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Judge(rq) => Some(self.judge(&rq)),
            Action::Deliver(values) => values.into_iter().find_map(|value| self.deliver(value)),
            Action::ConfirmRelease => Some(Event::ReleaseResponse),
            Action::StartArtim | Action::StopArtim | Action::Send(_) | Action::Close => None,
        }
    }

    fn judge(&mut self, rq: &AssociateRq) -> Event {
        let parties = negotiate::parties(rq, &self.config).map_err(Refusal::Reject);
        match parties.and_then(|_| negotiate::negotiate(rq, Rights::ALL, &self.config)) {
            Ok((ac, agreement)) => {
                self.agreement = Some(agreement);
                Event::Accept(Box::new(ac))
            }
            Err(Refusal::Reject(rj)) => Event::Reject(rj),
            Err(Refusal::Abort(abort)) => Event::Abort(abort),
        }
    }

    fn deliver(&mut self, value: Pdv) -> Option<Event> {
        let contexts = &self.agreement.as_ref()?.contexts;
        match self.assembler.push(value, |id| contexts.contains_key(&id)) {
            Ok(None) => {}
            Ok(Some(Part::Command { context, command })) => {
                let context = contexts.get(&context)?;
                let syntax = context.transfer_syntax.clone();
                self.find = match context.service {
                    Service::Find(root) => Some(Find::new(*command, syntax, root, context.options)),
                    _ => None,
                };
            }
            Ok(Some(Part::Data { bytes, is_last })) => self.take(&bytes, is_last),
            Err(error) => return Some(Event::Abort(error.abort())),
        }
        None
    }

    fn take(&mut self, bytes: &Bytes, is_last: bool) {
        let Some(find) = &mut self.find else { return };
        find.write(bytes);
        if is_last {
            drop(find.search(&self.config));
        }
    }
}
