//! The DICOM node: associations in, C-ECHO, C-STORE, C-FIND, C-GET and C-MOVE answered, C-ECHO and C-STORE asked of others.
//!
//! | module | what | source |
//! |---|---|---|
//! | [`pdu`] | PDUs ↔ bytes | PS3.8 §9.3 |
//! | [`association`] | the protocol machine, negotiation, who may do what; pure | PS3.8 §9.2, PS3.7 Annex D |
//! | [`dimse`] | command sets ↔ types, fragments ↔ messages; pure | PS3.7, PS3.8 Annex E |
//! | [`scp`] | Verification, Storage, Query and Retrieve as provider | PS3.4 Annexes A, B, C |
//! | [`scu`] | C-ECHO and C-STORE as user | PS3.4 Annexes A, B |
//! | `commitment` | requests for storage commitment, from the question to the report | PS3.4 Annex J |
//! | `session` | one association: machine, clock and services joined | |
//! | `wire` | the only sockets | |
//! | [`config`], [`error`] | settings and failures | |
//!
//! Absent on purpose: no data set is ever held whole on its way in, whatever its size; nothing is answered with success
//! before the archive has committed it; no service knows another.

pub mod association;
mod commitment;
pub mod config;
pub mod dimse;
pub mod error;
pub mod pdu;
pub mod scp;
pub mod scu;
mod session;
mod wire;

pub use config::NodeConfig;
pub use error::NodeError;

use commitment::Requesters;
use pacs_core::admission::Admission;
use session::{Node, Session};
use std::{sync::Arc, time::Duration};
use storage::Archive;
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field::Empty};

/// What associations that were cut off get for their A-ABORT and its answer.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves DICOM on `listener` until `shutdown`. Messages under way then get `config.shutdown_seconds` to finish.
pub async fn serve(
    listener: TcpListener,
    archive: Archive,
    config: NodeConfig,
    shutdown: CancellationToken,
) -> Result<(), NodeError> {
    config.check()?;
    tracing::info!(address = %listener.local_addr()?, ae_title = %config.ae_title, "DICOM node listens");
    let grace = config.shutdown();
    let door = Admission::new(config.max_pending, config.max_pending_per_address);
    let node = Arc::new(Node {
        archive,
        door: door.clone(),
        associations: Arc::new(Semaphore::new(config.max_associations)),
        requesters: Requesters::default(),
        config,
        stop: shutdown.clone(),
        cut: CancellationToken::new(),
    });
    let cut_late = {
        let node = Arc::clone(&node);
        async move {
            node.stop.cancelled().await;
            sleep(grace).await;
            node.cut.cancel();
        }
    };
    let listen = wire::listen(listener, door, &shutdown, grace + FAREWELL, |stream, address, pass| {
        let span = tracing::info_span!("association", %address, calling = Empty, called = Empty);
        Session::new(Arc::clone(&node), stream, address, pass).run().instrument(span)
    });
    let alongside = tokio::spawn(cut_late);
    let committing = {
        let node = Arc::clone(&node);
        tokio::spawn(async move { commitment::work(&node).await })
    };
    listen.await;
    alongside.abort();
    committing.abort();
    Ok(())
}
