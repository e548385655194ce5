//! The DICOM node: associations in, C-ECHO, C-STORE, C-FIND, C-GET and C-MOVE answered, C-ECHO and C-STORE asked of others.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`pdu`] | PDUs ↔ bytes | PS3.8 §9.3 |
//! | [`association`] | the protocol machine, negotiation, who may do what; pure | PS3.8 §9.2, PS3.7 Annex D |
//! | [`dimse`] | command sets ↔ types, fragments ↔ messages; pure | PS3.7, PS3.8 Annex E |
//! | [`scp`] | Verification, Storage, Query and Retrieve, commitment, worklist, procedure steps as provider | PS3.4 Annexes A, B, C, F, J, K, CC |
//! | [`scu`] | C-ECHO and C-STORE as user | PS3.4 Annexes A, B |
//! | [`tls`] | secure transport | PS3.15 §B.12 |
//! | `notifications` | what happens to workitems, told to who is subscribed | PS3.4 Annex CC |
//! | `availability` | series that are complete, told to who wants to know | PS3.4 Annex R |
//! | `telling_on` | what modalities report of procedure steps, told on by rule | PS3.4 Annex F |
//! | `worker` | durable jobs | |
//! | `commitment` | requests for storage commitment, from the question to the report | PS3.4 Annex J |
//! | `forwarding` | what the archive has queued for application entities, sent on | PS3.4 Annex B |
//! | `asking` | storage commitment for what was sent on | PS3.4 Annex J |
//! | `places` | associations under way, of all and of each peer | |
//! | `session` | one association: machine, clock and services joined | |
//! | `wire` | the only sockets | |
//! | [`conformance`] | what the node says of itself | PS3.2 |
//! | [`config`], [`error`] | settings and failures | |
//!
//! Absent on purpose: no data set is ever held whole on its way in, whatever its size; nothing is answered with success
//! before the archive has committed it; no service knows another.

mod asking;
pub mod association;
mod availability;
mod commitment;
pub mod config;
pub mod conformance;
pub mod dimse;
pub mod error;
mod forwarding;
mod notifications;
pub mod pdu;
mod places;
pub mod scp;
pub mod scu;
mod session;
mod telling_on;
pub mod tls;
mod wire;
mod worker;

pub use config::NodeConfig;
pub use error::NodeError;
pub use tls::{Tls, TlsConfig};

use commitment::Requesters;
use pacs_core::admission::{Admission, Pass};
use places::Places;
use session::{Node, Session};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use storage::Archive;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field::Empty};

/// What associations that were cut off get for their A-ABORT and its answer.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where we listen.
pub struct Ports {
    pub plain: TcpListener,
    pub tls: Option<TcpListener>,
}

impl From<TcpListener> for Ports {
    fn from(plain: TcpListener) -> Self {
        Self { plain, tls: None }
    }
}

/// Serves DICOM on `ports` until `shutdown`. Messages under way then get `config.shutdown_seconds` to finish.
pub async fn serve(
    ports: impl Into<Ports>,
    archive: Archive,
    config: NodeConfig,
    shutdown: CancellationToken,
) -> Result<(), NodeError> {
    config.check()?;
    let Ports { plain, tls: secure } = ports.into();
    let tls = Tls::load(&config.tls)?;
    if secure.is_some() && !tls.can_accept() {
        return Err(NodeError::Config("a TLS port needs dicom.tls.certificate and dicom.tls.key".to_owned()));
    }
    tracing::info!(address = %plain.local_addr()?, ae_title = %config.ae_title, "DICOM node listens");
    if let Some(listener) = &secure {
        tracing::info!(address = %listener.local_addr()?, "DICOM node listens for TLS");
    }
    let limit = config.shutdown() + FAREWELL;
    let node = Arc::new(Node {
        archive,
        door: Admission::new(config.max_pending, config.max_pending_per_address),
        places: Places::new(config.max_associations),
        requesters: Requesters::default(),
        notifications: Notify::default(),
        steps: Notify::default(),
        tls,
        config,
        stop: shutdown,
        cut: CancellationToken::new(),
    });
    let committing = {
        let node = Arc::clone(&node);
        async move { commitment::work(&node).await }
    };
    let forwarding = {
        let node = Arc::clone(&node);
        tokio::spawn(async move { tokio::join!(forwarding::work(&node), asking::work(&node)) })
    };
    let notifying = {
        let node = Arc::clone(&node);
        async move { notifications::work(&node).await }
    };
    let announcing = {
        let node = Arc::clone(&node);
        async move { availability::work(&node).await }
    };
    let telling_on = {
        let node = Arc::clone(&node);
        async move { telling_on::work(&node).await }
    };
    let alongside = [
        tokio::spawn(cut_late(Arc::clone(&node))),
        tokio::spawn(node.tls.clone().watch()),
        tokio::spawn(committing),
        tokio::spawn(notifying),
        tokio::spawn(announcing),
        tokio::spawn(telling_on),
    ];
    let in_plain = wire::listen(plain, &node.door, &node.stop, limit, wire::TURNED_AWAY, |stream, address, pass| {
        Session::new(Arc::clone(&node), stream, address, pass, None).run().instrument(span(address))
    });
    tokio::join!(in_plain, listen_secure(secure, &node, limit));
    // Ends by itself: what is being sent is settled.
    drop(forwarding.await);
    alongside.iter().for_each(|task| task.abort());
    Ok(())
}

fn span(address: SocketAddr) -> tracing::Span {
    tracing::info_span!("association", %address, calling = Empty, called = Empty, certificate = Empty)
}

async fn cut_late(node: Arc<Node>) {
    node.stop.cancelled().await;
    sleep(node.config.shutdown()).await;
    node.cut.cancel();
}

async fn listen_secure(listener: Option<TcpListener>, node: &Arc<Node>, limit: Duration) {
    let Some(listener) = listener else { return };
    // Who is turned away could not read an answer in plain.
    wire::listen(listener, &node.door, &node.stop, limit, 0, |stream, address, pass| {
        serve_secure(Arc::clone(node), stream, address, pass).instrument(span(address))
    })
    .await;
}

/// The handshake, within ARTIM, and what follows. Until there is an association it counts as having none.
async fn serve_secure(node: Arc<Node>, stream: TcpStream, address: SocketAddr, pass: Pass) {
    let done = tokio::select! {
        () = node.stop.cancelled() => return,
        done = timeout(node.config.artim(), node.tls.accept(stream)) => done,
    };
    match done {
        Ok(Ok((stream, certificate))) => Session::new(node, stream, address, pass, certificate).run().await,
        Ok(Err((error, stream))) => {
            tracing::warn!(%error, "TLS handshake failed");
            // Who has gone does not hear why.
            _ = wire::part(stream).await;
        }
        Err(_) => tracing::warn!("TLS handshake took too long"),
    }
}
