//! Instances on their way into the archive.

use super::report::Report;
use crate::{auth::Caller, error::chain, web::Web};
use futures::{StreamExt, stream::FuturesOrdered};
use pacs_core::{Failure, Uid, part10};
use std::io::Cursor;
use storage::{ArchiveError, Expected, Incoming, Ingested, Origin};
use tokio::task::JoinHandle;

/// Instances being made durable while the next is read.
const COMMITS: usize = 8;
/// Bytes kept of each part, to name it if it fails.
const HEAD: usize = 2 << 10;

/// The instances of one request, in order.
pub struct Uploads<'a> {
    web: &'a Web,
    origin: Origin,
    expected: Expected,
    current: Option<Part>,
    commits: FuturesOrdered<JoinHandle<Report>>,
    reports: Vec<Report>,
}

struct Part {
    incoming: Result<Incoming, Failure>,
    head: Vec<u8>,
}

impl<'a> Uploads<'a> {
    pub fn new(web: &'a Web, caller: &Caller, expected: Expected) -> Self {
        let origin = Origin::Web { user: caller.principal.name.clone(), address: caller.address.clone() };
        Self { web, origin, expected, current: None, commits: FuturesOrdered::new(), reports: Vec::new() }
    }

    /// Starts an instance; `refused` says why it will not be taken whatever its bytes.
    pub async fn begin(&mut self, refused: Option<Failure>) {
        let incoming = match refused {
            Some(failure) => Err(failure),
            None => self.web.archive.receive(self.origin.clone()).await.map_err(failure),
        };
        self.current = Some(Part { incoming, head: Vec::new() });
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        let Some(part) = &mut self.current else { return };
        let missing = HEAD.saturating_sub(part.head.len());
        part.head.extend(bytes.iter().take(missing));
        if let Ok(incoming) = &mut part.incoming
            && let Err(error) = incoming.write(bytes).await
        {
            part.incoming = Err(failure(error));
        }
    }

    /// The instance is complete: it is committed in the background, with as many others as is good for the disk.
    pub async fn end(&mut self) {
        let Some(part) = self.current.take() else { return };
        if self.commits.len() >= COMMITS {
            self.await_one().await;
        }
        let expected = self.expected.clone();
        self.commits.push_back(tokio::spawn(async move { part.commit(&expected).await }));
    }

    /// What became of each; an instance still under way broke off and is lost.
    pub async fn finish(mut self) -> Vec<Report> {
        while !self.commits.is_empty() {
            self.await_one().await;
        }
        if let Some(part) = self.current.take() {
            self.reports.push(Report { named: named(&part.head), outcome: Err(Failure::CannotUnderstand) });
        }
        self.reports
    }

    async fn await_one(&mut self) {
        if let Some(report) = self.commits.next().await {
            self.reports.push(report.unwrap_or(Report { named: None, outcome: Err(Failure::Internal) }));
        }
    }
}

impl Part {
    async fn commit(self, expected: &Expected) -> Report {
        let outcome: Result<Ingested, Failure> = match self.incoming {
            Ok(incoming) => incoming.commit(expected).await.map_err(failure),
            Err(failure) => Err(failure),
        };
        Report { named: named(&self.head), outcome }
    }
}

fn failure(error: ArchiveError) -> Failure {
    match error.failure() {
        Failure::Internal => tracing::error!(error = chain(&error), "instance not stored"),
        _ => tracing::warn!(error = chain(&error), "instance refused"),
    }
    error.failure()
}

/// SOP Class and Instance UID, where the File Meta Information gives them.
fn named(head: &[u8]) -> Option<(Uid, Uid)> {
    let meta = part10::read_meta(&mut Cursor::new(head)).ok()?;
    Some((meta.media_storage_sop_class_uid?, meta.media_storage_sop_instance_uid?))
}
