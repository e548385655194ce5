//! The protocol machine of an association acceptor: PS3.8 Table 9-10 without the requestor's states.
//!
//! | here | in the standard |
//! |---|---|
//! | `Idle` | Sta1 no association |
//! | `AwaitRequest` | Sta2 transport open, awaiting A-ASSOCIATE-RQ |
//! | `AwaitJudgement` | Sta3 awaiting the local A-ASSOCIATE response |
//! | `Established` | Sta6 ready for data |
//! | `AwaitReleaseResponse` | Sta8 awaiting the local A-RELEASE response |
//! | `AwaitClose` | Sta13 awaiting the transport's close |

use crate::pdu::{Abort, AssociateAc, AssociateRj, AssociateRq, Fault, Pdu, Pdv};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Idle,
    AwaitRequest,
    AwaitJudgement,
    Established,
    AwaitReleaseResponse,
    AwaitClose,
}

/// What comes from the wire, the clock, and from us above the upper layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    TransportOpened,
    Received(Pdu),
    /// Bytes that are no valid PDU.
    Unreadable(Fault),
    TransportClosed,
    ArtimExpired,
    /// The local answers to [`Action::Judge`].
    Accept(Box<AssociateAc>),
    Reject(AssociateRj),
    /// The local answer to [`Action::ConfirmRelease`].
    ReleaseResponse,
    Abort(Abort),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    StartArtim,
    StopArtim,
    Send(Pdu),
    Judge(Box<AssociateRq>),
    Deliver(Vec<Pdv>),
    ConfirmRelease,
    Close,
}

/// The next state and what to do on the way, in order.
pub fn step(state: State, event: Event) -> (State, Vec<Action>) {
    use Action::{Close, ConfirmRelease, Deliver, Judge, Send, StartArtim, StopArtim};
    use Event::{
        Accept, ArtimExpired, Received, Reject, ReleaseResponse, TransportClosed, TransportOpened, Unreadable,
    };
    use State::{AwaitClose, AwaitJudgement, AwaitReleaseResponse, AwaitRequest, Established, Idle};

    match (state, event) {
        (Idle, TransportOpened) => (AwaitRequest, vec![StartArtim]), // AE-5
        (Idle, _) => (Idle, vec![]),
        // AA-4, AA-5, AR-5: nobody is left to talk to.
        (_, TransportClosed) => (Idle, vec![StopArtim, Close]),
        // AA-2
        (AwaitRequest | AwaitClose, ArtimExpired) => (Idle, vec![StopArtim, Close]),

        (AwaitRequest, Received(Pdu::AssociateRq(rq))) => (AwaitJudgement, vec![StopArtim, Judge(rq)]), // AE-6
        (AwaitJudgement, Accept(ac)) => (Established, vec![Send(Pdu::AssociateAc(ac))]),                // AE-7
        (AwaitJudgement, Reject(rj)) => (AwaitClose, vec![Send(Pdu::AssociateRj(rj)), StartArtim]),     // AE-8

        (Established, Received(Pdu::Data(values))) => (Established, vec![Deliver(values)]), // DT-2
        (Established, Received(Pdu::ReleaseRq)) => (AwaitReleaseResponse, vec![ConfirmRelease]), // AR-2
        (AwaitReleaseResponse, ReleaseResponse) => (AwaitClose, vec![Send(Pdu::ReleaseRp), StartArtim]), // AR-4

        // AA-7: after the end only what can be no late message is answered.
        (AwaitClose, Unreadable(fault)) => (AwaitClose, vec![Send(Pdu::Abort(fault.abort))]),
        (AwaitClose, Received(Pdu::AssociateRq(_))) => (AwaitClose, vec![Send(Pdu::Abort(Abort::UNEXPECTED_PDU))]),
        // AA-2, AA-3
        (_, Received(Pdu::Abort(_))) => (Idle, vec![StopArtim, Close]),
        // AA-6
        (AwaitClose, _) => (AwaitClose, vec![]),

        // AA-1, AA-8: the peer breaks the protocol, or we do not want to go on.
        (_, Unreadable(fault)) => abort(fault.abort),
        (_, Event::Abort(reason)) => abort(reason),
        (_, Received(_)) => abort(Abort::UNEXPECTED_PDU),

        // The clock does not run here, and answers nobody asked for are no events.
        (state, ArtimExpired | Accept(_) | Reject(_) | ReleaseResponse | TransportOpened) => (state, vec![]),
    }
}

fn abort(reason: Abort) -> (State, Vec<Action>) {
    (State::AwaitClose, vec![Action::Send(Pdu::Abort(reason)), Action::StartArtim])
}

#[cfg(test)]
mod tests {
    use super::{Action::*, Event, State::*, *};
    use crate::pdu::UserInformation;

    const RELEASE: Event = Event::Received(Pdu::ReleaseRq);

    fn rq() -> Box<AssociateRq> {
        Box::new(AssociateRq {
            protocol_version: 1,
            called: "YINGHAI".to_owned(),
            calling: "CT".to_owned(),
            application_context: String::new(),
            contexts: vec![],
            user: UserInformation::default(),
        })
    }

    fn ac() -> Box<AssociateAc> {
        let user = UserInformation::default();
        Box::new(AssociateAc { called: "YINGHAI".to_owned(), calling: "CT".to_owned(), contexts: vec![], user })
    }

    fn aborted(reason: Abort) -> (State, Vec<Action>) {
        (AwaitClose, vec![Send(Pdu::Abort(reason)), StartArtim])
    }

    #[test]
    fn an_association_is_opened_used_and_released() {
        assert_eq!(step(Idle, Event::TransportOpened), (AwaitRequest, vec![StartArtim]));
        let request = Event::Received(Pdu::AssociateRq(rq()));
        assert_eq!(step(AwaitRequest, request), (AwaitJudgement, vec![StopArtim, Judge(rq())]));
        assert_eq!(step(AwaitJudgement, Event::Accept(ac())), (Established, vec![Send(Pdu::AssociateAc(ac()))]));
        let data = Event::Received(Pdu::Data(vec![]));
        assert_eq!(step(Established, data), (Established, vec![Deliver(vec![])]));
        assert_eq!(step(Established, RELEASE), (AwaitReleaseResponse, vec![ConfirmRelease]));
        let released = (AwaitClose, vec![Send(Pdu::ReleaseRp), StartArtim]);
        assert_eq!(step(AwaitReleaseResponse, Event::ReleaseResponse), released);
        assert_eq!(step(AwaitClose, Event::TransportClosed), (Idle, vec![StopArtim, Close]));
    }

    /// The columns of Table 9-10 that an acceptor knows.
    const COLUMNS: [State; 5] = [AwaitRequest, AwaitJudgement, Established, AwaitReleaseResponse, AwaitClose];

    /// Its rows, with the action in Sta2, Sta3, Sta6, Sta8 and Sta13; `-` where the event cannot be.
    fn table() -> Vec<(Event, [&'static str; 5])> {
        let fault = Fault { what: "", abort: Abort::INVALID_PARAMETER };
        vec![
            (Event::Received(Pdu::AssociateAc(ac())), ["AA-1", "AA-8", "AA-8", "AA-8", "AA-6"]),
            (Event::Received(Pdu::AssociateRj(AssociateRj::CONGESTION)), ["AA-1", "AA-8", "AA-8", "AA-8", "AA-6"]),
            (Event::Received(Pdu::AssociateRq(rq())), ["AE-6", "AA-8", "AA-8", "AA-8", "AA-7"]),
            (Event::Accept(ac()), ["-", "AE-7", "-", "-", "-"]),
            (Event::Reject(AssociateRj::CONGESTION), ["-", "AE-8", "-", "-", "-"]),
            (Event::Received(Pdu::Data(vec![])), ["AA-1", "AA-8", "DT-2", "AA-8", "AA-6"]),
            (RELEASE, ["AA-1", "AA-8", "AR-2", "AA-8", "AA-6"]),
            (Event::Received(Pdu::ReleaseRp), ["AA-1", "AA-8", "AA-8", "AA-8", "AA-6"]),
            (Event::ReleaseResponse, ["-", "-", "-", "AR-4", "-"]),
            (Event::Abort(Abort::USER), ["AA-1", "AA-1", "AA-1", "AA-1", "AA-6"]),
            (Event::Received(Pdu::Abort(Abort::USER)), ["AA-2", "AA-3", "AA-3", "AA-3", "AA-2"]),
            (Event::TransportClosed, ["AA-5", "AA-4", "AA-4", "AA-4", "AR-5"]),
            (Event::ArtimExpired, ["AA-2", "-", "-", "-", "AA-2"]),
            (Event::Unreadable(fault), ["AA-1", "AA-8", "AA-8", "AA-8", "AA-7"]),
        ]
    }

    /// What an action of PS3.8 Tables 9-6 to 9-9 does.
    fn action(name: &str, state: State, event: &Event) -> (State, Vec<Action>) {
        let reason = match event {
            Event::Abort(reason) => *reason,
            Event::Unreadable(fault) => fault.abort,
            _ => Abort::UNEXPECTED_PDU,
        };
        match name {
            "AE-6" => (AwaitJudgement, vec![StopArtim, Judge(rq())]),
            "AE-7" => (Established, vec![Send(Pdu::AssociateAc(ac()))]),
            "AE-8" => (AwaitClose, vec![Send(Pdu::AssociateRj(AssociateRj::CONGESTION)), StartArtim]),
            "DT-2" => (Established, vec![Deliver(vec![])]),
            "AR-2" => (AwaitReleaseResponse, vec![ConfirmRelease]),
            "AR-4" => (AwaitClose, vec![Send(Pdu::ReleaseRp), StartArtim]),
            "AA-1" | "AA-8" => aborted(reason),
            "AA-6" => (AwaitClose, vec![]),
            "AA-7" => (AwaitClose, vec![Send(Pdu::Abort(reason))]),
            "AA-2" | "AA-3" | "AA-4" | "AA-5" | "AR-5" => (Idle, vec![StopArtim, Close]),
            _ => (state, vec![]),
        }
    }

    #[test]
    fn every_event_in_every_state_is_table_9_10() {
        for (event, actions) in table() {
            for (state, name) in COLUMNS.into_iter().zip(actions) {
                assert_eq!(step(state, event.clone()), action(name, state, &event), "{event:?} in {state:?}: {name}");
            }
            assert_eq!(step(Idle, event.clone()), (Idle, vec![]), "nothing is left to do after {event:?}");
        }
    }
}
