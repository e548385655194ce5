//! What we ask of others as Service Class User: C-ECHO, C-STORE, storage commitment; and what we tell them unasked.

mod availability;
mod commitment;
mod echo;
mod mpps;
mod outgoing;
mod report;
mod store;

pub use availability::{INSTANCE_AVAILABILITY_NOTIFICATION, notify_availability};
pub use commitment::request_commitment;
pub use echo::echo;
pub use mpps::tell_step;
pub use outgoing::Instance;
pub use report::{EventReport, report};
pub use store::{Delivery, Progress, Summary, deliver, store};

pub(crate) use outgoing::{Fitted, Opened, Outgoing, Source, Unsent};
pub(crate) use store::{send_store, store_request};

use crate::{
    NodeConfig, Tls,
    association::supported::STORAGE_COMMITMENT,
    dimse::{Assembler, CommandSet, Part},
    pdu::{
        APPLICATION_CONTEXT, Abort, AssociateRj, AssociateRq, ContextOutcome, MAX_CONTEXTS, Pdu, ProposedContext,
        RoleSelection, UserInformation,
    },
    wire::{self, Received, Wire},
};
use pacs_core::{
    AeTitle,
    mpps::MPPS,
    part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME},
    sop_class::VERIFICATION,
    transfer_syntax::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN},
    ups::UPS_EVENT,
};
use std::{collections::BTreeMap, io, time::Duration};
use storage::Peer;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// How long a connection may take to open.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take: a peer may be busy writing a large instance to a slow disk.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A peer to call.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `host:port`; by TLS, the peer's certificate must bear the host.
    pub address: String,
    /// Our own AE title.
    pub calling: AeTitle,
    /// The peer's AE title.
    pub called: AeTitle,
    /// Who we are and whom we trust, to call it by TLS; `None`: in plain.
    pub tls: Option<Tls>,
}

impl Remote {
    /// A configured peer, where its host and port are known; by TLS if it is called so.
    pub fn of(peer: &Peer, calling: &AeTitle, tls: &Tls) -> Option<Self> {
        Some(Self {
            address: format!("{}:{}", peer.host.as_ref()?, peer.port?),
            calling: calling.clone(),
            called: peer.ae_title.clone(),
            tls: peer.tls.then(|| tls.clone()),
        })
    }
}

/// A SOP Class that we ask others for, other than those of the instances that we send.
pub struct Requested {
    pub uid: &'static str,
    /// As PS3.6 Table A-1 has it.
    pub name: &'static str,
    pub transfer_syntaxes: &'static [&'static str],
    /// We propose to be SCP, to report.
    pub is_scp: bool,
    pub when: &'static str,
}

const PLAIN: &[&str] = &[EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN];

/// All of them.
pub static REQUESTED: [Requested; 6] = [
    Requested {
        uid: VERIFICATION,
        name: "Verification",
        transfer_syntaxes: &[IMPLICIT_VR_LITTLE_ENDIAN],
        is_scp: false,
        when: "`pacs echo`, `pacs doctor`, the page of devices",
    },
    Requested {
        uid: STORAGE_COMMITMENT,
        name: "Storage Commitment Push Model",
        transfer_syntaxes: PLAIN,
        is_scp: false,
        when: "N-ACTION for what was sent on by rule",
    },
    Requested {
        uid: STORAGE_COMMITMENT,
        name: "Storage Commitment Push Model",
        transfer_syntaxes: PLAIN,
        is_scp: true,
        when: "N-EVENT-REPORT to who asked us",
    },
    Requested {
        uid: UPS_EVENT,
        name: "Unified Procedure Step - Event",
        transfer_syntaxes: PLAIN,
        is_scp: true,
        when: "N-EVENT-REPORT to subscribers",
    },
    Requested {
        uid: INSTANCE_AVAILABILITY_NOTIFICATION,
        name: "Instance Availability Notification",
        transfer_syntaxes: PLAIN,
        is_scp: false,
        when: "N-CREATE for a series that is complete",
    },
    Requested {
        uid: MPPS,
        name: "Modality Performed Procedure Step",
        transfer_syntaxes: PLAIN,
        is_scp: false,
        when: "N-CREATE and N-SET of what modalities reported, told on by rule",
    },
];

/// What to propose of one of them.
fn requested(uid: &str, is_scp: bool) -> Vec<(String, Vec<String>)> {
    let ours = REQUESTED.iter().filter(|requested| requested.uid == uid && requested.is_scp == is_scp);
    let syntaxes = |requested: &Requested| requested.transfer_syntaxes.iter().map(|uid| (*uid).to_owned()).collect();
    ours.map(|requested| (requested.uid.to_owned(), syntaxes(requested))).collect()
}

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

#[derive(Debug, thiserror::Error)]
pub enum ScuError {
    #[error("{address} cannot be reached")]
    Connect { address: String, source: io::Error },
    #[error("{address} cannot be called by TLS")]
    Tls { address: String, source: io::Error },
    #[error("sending failed")]
    Send(#[from] io::Error),
    #[error("association rejected: {}", .0.reason_text())]
    Rejected(AssociateRj),
    #[error("association aborted by the peer: {}", .0.reason_text())]
    Aborted(Abort),
    #[error("the peer closed the connection")]
    Closed,
    /// By TLS perhaps with an alert that says what the peer did not like.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the peer did not answer in time")]
    Silent,
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the peer does not support Verification")]
    NotSupported,
    #[error("the peer does not take {0}")]
    NotTaken(&'static str),
    #[error("the peer answered with status {0:04X}H")]
    Status(u16),
}

impl ScuError {
    /// With its causes, on one line.
    pub(crate) fn chain(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        causes.fold(self.to_string(), |text, cause| format!("{text}: {cause}"))
    }
}

/// An association that we asked for.
struct Requestor {
    wire: Wire<Stream>,
    /// Accepted presentation contexts.
    contexts: BTreeMap<u8, String>,
    send_max: u32,
    last_message_id: u16,
}

/// The ID of the presentation context at a place in the request: odd, from 1.
fn context_id(index: usize) -> Option<u8> {
    (index < MAX_CONTEXTS).then(|| u8::try_from(index * 2 + 1).ok()).flatten()
}

impl Requestor {
    /// Opens an association that proposes (abstract syntax, transfer syntaxes), at most 128 of them.
    async fn open(remote: &Remote, proposed: &[(String, Vec<String>)]) -> Result<Self, ScuError> {
        Self::open_as(remote, proposed, Vec::new()).await
    }

    /// As [`Self::open`], in roles other than that of an SCU.
    async fn open_as(
        remote: &Remote,
        proposed: &[(String, Vec<String>)],
        roles: Vec<RoleSelection>,
    ) -> Result<Self, ScuError> {
        let config = NodeConfig::default();
        let mut wire = Wire::new(connect(remote).await?, &config);
        let mut rq = request(remote, proposed, &config);
        rq.user.roles = roles;
        wire.send(&Pdu::AssociateRq(Box::new(rq)).to_bytes()).await?;
        match receive(&mut wire).await? {
            Pdu::AssociateAc(ac) => {
                let accepted = ac.contexts.into_iter().filter(|c| c.outcome == ContextOutcome::Acceptance);
                let contexts = accepted.map(|c| (c.id, c.transfer_syntax)).collect();
                let peer_max = if ac.user.max_length == 0 { config.max_pdu_length } else { ac.user.max_length };
                Ok(Self { wire, contexts, send_max: peer_max.min(config.max_pdu_length), last_message_id: 0 })
            }
            Pdu::AssociateRj(rj) => Err(ScuError::Rejected(rj)),
            _ => Err(ScuError::Protocol("no answer to the association request")),
        }
    }

    /// Message IDs are unique among the operations under way, and we have one at a time.
    fn next_message_id(&mut self) -> u16 {
        self.last_message_id = self.last_message_id.wrapping_add(1);
        self.last_message_id
    }

    /// The response to message `id`; a data set that comes with it is passed over.
    async fn response(&mut self, id: u16) -> Result<CommandSet, ScuError> {
        let mut assembler = Assembler::default();
        let mut answer = None;
        loop {
            let Pdu::Data(values) = receive(&mut self.wire).await? else {
                return Err(ScuError::Protocol("something else than a response"));
            };
            for value in values {
                let part = assembler.push(value, |id| self.contexts.contains_key(&id));
                match part.map_err(|_| ScuError::Protocol("fragments that make no message"))? {
                    Some(Part::Command { command, .. }) if command.message_id_being_responded_to != Some(id) => {
                        return Err(ScuError::Protocol("response to another message"));
                    }
                    Some(Part::Command { command, .. }) => answer = Some(*command),
                    Some(Part::Data { .. }) | None => {}
                }
            }
            if !assembler.is_within_message()
                && let Some(answer) = answer
            {
                return Ok(answer);
            }
        }
    }

    async fn release(mut self) -> Result<(), ScuError> {
        self.wire.send(&Pdu::ReleaseRq.to_bytes()).await?;
        let answer = receive(&mut self.wire).await;
        self.wire.close().await;
        match answer {
            // A peer that closes instead of answering has released too.
            Ok(Pdu::ReleaseRp) | Err(ScuError::Closed | ScuError::Broken(_)) => Ok(()),
            Ok(_) => Err(ScuError::Protocol("no answer to the release request")),
            Err(error) => Err(error),
        }
    }
}

/// Opens the connection, by TLS where the peer is called so.
async fn connect(remote: &Remote) -> Result<Stream, ScuError> {
    let address = || remote.address.clone();
    let stream = wire::connect(&remote.address, CONNECT_LIMIT).await;
    let stream = stream.map_err(|source| ScuError::Connect { address: address(), source })?;
    let Some(tls) = &remote.tls else { return Ok(Either::Left(stream)) };
    let secured = timeout(CONNECT_LIMIT, tls.connect(host(&remote.address), stream)).await;
    let secured = secured.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    secured.map(Either::Right).map_err(|source| ScuError::Tls { address: address(), source })
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn request(remote: &Remote, proposed: &[(String, Vec<String>)], config: &NodeConfig) -> AssociateRq {
    let context = |(index, (abstract_syntax, transfer_syntaxes)): (usize, &(String, Vec<String>))| {
        Some(ProposedContext {
            id: context_id(index)?,
            abstract_syntax: abstract_syntax.clone(),
            transfer_syntaxes: transfer_syntaxes.clone(),
        })
    };
    AssociateRq {
        protocol_version: 1,
        called: remote.called.to_string(),
        calling: remote.calling.to_string(),
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: proposed.iter().enumerate().filter_map(context).collect(),
        user: UserInformation {
            max_length: config.max_pdu_length,
            implementation_class_uid: IMPLEMENTATION_CLASS_UID.to_owned(),
            implementation_version_name: IMPLEMENTATION_VERSION_NAME.to_owned(),
            ..UserInformation::default()
        },
    }
}

async fn receive(wire: &mut Wire<Stream>) -> Result<Pdu, ScuError> {
    receive_until(wire, Instant::now() + ANSWER_LIMIT).await
}

async fn receive_until(wire: &mut Wire<Stream>, until: Instant) -> Result<Pdu, ScuError> {
    match wire.receive(Some(until)).await {
        Received::Pdu(Pdu::Abort(abort)) => Err(ScuError::Aborted(abort)),
        Received::Pdu(pdu) => Ok(pdu),
        Received::Fault(fault) => Err(ScuError::Protocol(fault.what)),
        Received::Closed(None) => Err(ScuError::Closed),
        Received::Closed(Some(error)) => Err(ScuError::Broken(error)),
        Received::Expired => Err(ScuError::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_that_a_certificate_must_bear_is_what_stands_before_the_port() {
        for (address, expected) in [("pacs.ward:104", "pacs.ward"), ("10.0.0.7:2762", "10.0.0.7"), ("[::1]:104", "::1")]
        {
            assert_eq!(host(address), expected);
        }
    }
}
