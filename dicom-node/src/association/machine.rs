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

    #[test]
    fn who_says_nothing_is_cut_off() {
        assert_eq!(step(AwaitRequest, Event::ArtimExpired), (Idle, vec![StopArtim, Close]));
        assert_eq!(step(AwaitClose, Event::ArtimExpired), (Idle, vec![StopArtim, Close]));
        assert_eq!(step(Established, Event::ArtimExpired), (Established, vec![]));
    }

    #[test]
    fn a_rejected_peer_may_close_in_peace() {
        let rejected = (AwaitClose, vec![Send(Pdu::AssociateRj(AssociateRj::LOCAL_LIMIT)), StartArtim]);
        assert_eq!(step(AwaitJudgement, Event::Reject(AssociateRj::LOCAL_LIMIT)), rejected);
    }

    #[test]
    fn pdus_out_of_turn_are_aborted_with_the_reason() {
        for (state, pdu) in [
            (AwaitRequest, Pdu::Data(vec![])),
            (AwaitRequest, Pdu::ReleaseRq),
            (Established, Pdu::AssociateRq(rq())),
            (Established, Pdu::AssociateAc(ac())),
            (Established, Pdu::ReleaseRp),
            (AwaitJudgement, Pdu::Data(vec![])),
        ] {
            assert_eq!(step(state, Event::Received(pdu)), aborted(Abort::UNEXPECTED_PDU), "{state:?}");
        }
        let fault = Fault { what: "", abort: Abort::UNRECOGNIZED_PDU };
        assert_eq!(step(Established, Event::Unreadable(fault)), aborted(Abort::UNRECOGNIZED_PDU));
    }

    #[test]
    fn a_peer_that_aborts_is_let_go_from_every_state() {
        for state in [AwaitRequest, AwaitJudgement, Established, AwaitReleaseResponse, AwaitClose] {
            assert_eq!(step(state, Event::Received(Pdu::Abort(Abort::USER))), (Idle, vec![StopArtim, Close]));
        }
    }

    #[test]
    fn late_data_after_the_end_is_dropped_and_a_new_request_aborted() {
        assert_eq!(step(AwaitClose, Event::Received(Pdu::Data(vec![]))), (AwaitClose, vec![]));
        let abort = vec![Send(Pdu::Abort(Abort::UNEXPECTED_PDU))];
        assert_eq!(step(AwaitClose, Event::Received(Pdu::AssociateRq(rq()))), (AwaitClose, abort));
    }
}
