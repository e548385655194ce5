//! Sending on by rule to DICOMweb peers: STOW-RS as user (PS3.18 §10.5), some instances of a series in each request.

pub mod answer;

use crate::wire::StowServer;
use answer::Answer;
use futures::{StreamExt, TryStreamExt, stream};
use std::{io, sync::Arc, time::Duration};
use storage::{
    Archive, ArchiveError, AuditAction, AuditRecord, StoredInstance,
    routing::{Batch, Destination, Forward, Outcome, Receiver, Sender, WebReceiver, dispatch},
};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

/// Leases are extended so often.
const EXTEND: Duration = Duration::from_secs(10);
/// In one request: a failure costs no more than these.
const INSTANCES: usize = 16;
const BYTES: u64 = 64 << 20;

/// Sends until `shutdown`; requests under way then are ended.
pub async fn forward(archive: Archive, shutdown: CancellationToken) -> Result<(), reqwest::Error> {
    let server = StowServer::new()?;
    let client = StowClient { archive: archive.clone(), server: Arc::new(server), stop: shutdown.clone() };
    dispatch(&archive, client, &shutdown).await;
    Ok(())
}

#[derive(Clone)]
struct StowClient {
    archive: Archive,
    server: Arc<StowServer>,
    stop: CancellationToken,
}

impl Sender for StowClient {
    fn reaches(&self, destination: &Destination) -> bool {
        matches!(destination.receiver, Receiver::Web(_))
    }

    async fn send(&self, batch: Batch) -> bool {
        let Receiver::Web(receiver) = &batch.destination.receiver else { return true };
        let (mut ready, spoilt) = self.archive.load_forwards(&batch).await;
        self.settle(&batch, spoilt).await;
        let (mut is_reached, mut sent) = (true, 0);
        while is_reached && !ready.is_empty() && !self.stop.is_cancelled() {
            let some = request(&mut ready);
            for (_, stored) in &some {
                // Who waits too long at the door is asked again after the restart.
                _ = self.stop.run_until_cancelled(batch.pace.wait(stored.len)).await;
            }
            let answer = self.post(receiver, &batch, &some).await;
            is_reached = answer.is_reached();
            let ended: Vec<_> = some.iter().map(|(forward, stored)| (*forward, answer.outcome(stored))).collect();
            sent += ended.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Sent(_))).count();
            self.settle(&batch, ended).await;
        }
        let left = ready.into_iter().map(|(forward, _)| (forward, Outcome::Untried)).collect();
        self.settle(&batch, left).await;
        self.audit(&batch, sent).await;
        is_reached
    }
}

/// As many as go in one request.
fn request<'a>(ready: &mut Vec<(&'a Forward, StoredInstance)>) -> Vec<(&'a Forward, StoredInstance)> {
    let mut bytes = 0_u64;
    let fits = |(_, stored): &&(&Forward, StoredInstance)| {
        bytes = bytes.saturating_add(stored.len);
        bytes <= BYTES
    };
    let count = ready.iter().take(INSTANCES).take_while(fits).count().max(1);
    ready.drain(..count.min(ready.len())).collect()
}

impl StowClient {
    async fn post(&self, receiver: &WebReceiver, batch: &Batch, some: &[(&Forward, StoredInstance)]) -> Answer {
        // Nobody can have put it into an instance, where it would end one part and begin another.
        let boundary = format!("yinghai-{:032x}", rand::random::<u128>());
        let parts = self.parts(&boundary, some.iter().map(|(_, stored)| stored.clone()).collect());
        let mut answer = std::pin::pin!(self.server.store(receiver, &boundary, parts));
        let mut extend = interval(EXTEND);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                _ = extend.tick() => self.extend(batch).await,
            }
        }
    }

    /// The body of a multipart/related request. What is found damaged at its end breaks the request off.
    fn parts(
        &self,
        boundary: &str,
        some: Vec<StoredInstance>,
    ) -> impl futures::Stream<Item = io::Result<bytes::Bytes>> + Send + 'static {
        let (archive, boundary) = (self.archive.clone(), boundary.to_owned());
        let end = format!("--{boundary}--\r\n");
        let part = move |stored: StoredInstance| {
            let (archive, boundary) = (archive.clone(), boundary.clone());
            async move {
                let head = format!(
                    "--{boundary}\r\nContent-Type: application/dicom; transfer-syntax={}\r\n\r\n",
                    stored.transfer_syntax.uid()
                );
                let body = archive.read_leaving(&stored).await?;
                let around = |text: String| stream::iter([Ok::<_, ArchiveError>(bytes::Bytes::from(text))]);
                Ok::<_, ArchiveError>(around(head).chain(body).chain(around("\r\n".to_owned())))
            }
        };
        let parts = stream::iter(some).then(part).try_flatten().map_err(io::Error::other);
        parts.chain(stream::iter([Ok(bytes::Bytes::from(end))]))
    }

    async fn extend(&self, batch: &Batch) {
        let Some(first) = batch.claimed.first() else { return };
        if let Err(error) = self.archive.extend_forwards(first).await {
            tracing::warn!(%error, "a lease was not extended");
        }
    }

    async fn settle(&self, batch: &Batch, ended: Vec<(&Forward, Outcome)>) {
        if let Err(error) = self.archive.settle_forwards(&ended).await {
            // They are due again when the lease is over.
            tracing::warn!(%error, destination = batch.destination.name, "outcomes were not written down");
        }
    }

    async fn audit(&self, batch: &Batch, instances: usize) {
        let Some(first) = batch.claimed.first().filter(|_| instances > 0) else { return };
        let destination = &batch.destination.name;
        tracing::info!(destination, instances, "instances sent on");
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Export,
            actor: destination.clone(),
            origin: String::new(),
            success: true,
            study: Some(first.study.to_string()),
            detail: format!("{instances} instances sent on to {destination} {}", first.occasion()),
        };
        if let Err(error) = self.archive.audit(&record).await {
            tracing::error!(%error, "audit record was not written");
        }
    }
}
