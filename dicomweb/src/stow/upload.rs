//! Instances on their way into the archive.

use super::report::Report;
use crate::{auth::Caller, error::chain, web::Web};
use futures::{StreamExt, stream::FuturesOrdered};
use pacs_core::{Failure, Uid, part10};
use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use storage::{ArchiveError, Expected, Incoming, Ingested, Origin};
use tokio::task::JoinHandle;

/// Instances being made durable while the next is read.
const COMMITS: usize = 8;
/// Bytes kept of each part, to name it if it fails.
const HEAD: usize = 2 << 10;
/// Instances of one request, each of which is kept in mind for the response; empty parts cost their sender five bytes.
const MOST_INSTANCES: usize = 50_000;
/// Failures of one request that get a line each in the log.
const LOGGED: usize = 5;

/// The instances of one request, in order.
pub struct Uploads<'a> {
    web: &'a Web,
    origin: Origin,
    expected: Expected,
    current: Option<Part>,
    commits: FuturesOrdered<JoinHandle<Report>>,
    reports: Vec<Report>,
    failures: Failures,
}

struct Part {
    incoming: Result<Incoming, Failure>,
    head: Vec<u8>,
}

impl<'a> Uploads<'a> {
    pub fn new(web: &'a Web, caller: &Caller, expected: Expected) -> Self {
        let origin = Origin::Web { user: caller.principal.name.clone(), address: caller.address.clone() };
        let (commits, reports, failures) = (FuturesOrdered::new(), Vec::new(), Failures::default());
        Self { web, origin, expected, current: None, commits, reports, failures }
    }

    /// Whether the request has had as many instances as one may have.
    pub fn is_full(&self) -> bool {
        self.reports.len() + self.commits.len() >= MOST_INSTANCES
    }

    /// Starts an instance; `refused` says why it will not be taken whatever its bytes.
    pub async fn begin(&mut self, refused: Option<Failure>) {
        let incoming = match refused {
            Some(failure) => Err(failure),
            None => self.web.archive.receive(self.origin.clone()).await.map_err(|error| self.failures.log(error)),
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
            part.incoming = Err(self.failures.log(error));
        }
    }

    /// The instance is complete: it is committed in the background, with as many others as is good for the disk.
    pub async fn end(&mut self) {
        let Some(part) = self.current.take() else { return };
        if self.commits.len() >= COMMITS {
            self.await_one().await;
        }
        let (expected, failures) = (self.expected.clone(), self.failures.clone());
        self.commits.push_back(tokio::spawn(async move { part.commit(&expected, &failures).await }));
    }

    /// Reports an instance that did not come to be one.
    pub fn refuse(&mut self, failure: Failure, named: Option<(Uid, Uid)>) {
        self.commits.push_back(tokio::spawn(async move { Report { named, outcome: Err(failure) } }));
    }

    /// What became of each; an instance still under way broke off and is lost.
    pub async fn finish(mut self) -> Vec<Report> {
        while !self.commits.is_empty() {
            self.await_one().await;
        }
        if let Some(part) = self.current.take() {
            self.reports.push(Report { named: named(&part.head), outcome: Err(Failure::CannotUnderstand) });
        }
        self.failures.summarise();
        self.reports
    }

    async fn await_one(&mut self) {
        if let Some(report) = self.commits.next().await {
            self.reports.push(report.unwrap_or(Report { named: None, outcome: Err(Failure::Internal) }));
        }
    }
}

impl Part {
    async fn commit(self, expected: &Expected, failures: &Failures) -> Report {
        let outcome: Result<Ingested, Failure> = match self.incoming {
            Ok(incoming) => incoming.commit(expected).await.map_err(|error| failures.log(error)),
            Err(failure) => Err(failure),
        };
        Report { named: named(&self.head), outcome }
    }
}

/// The failures of one request in the log: the first ones alone, the rest in one line, so that nobody fills the disk
/// with empty parts. Clones count together.
#[derive(Debug, Clone, Default)]
struct Failures(Arc<AtomicUsize>);

impl Failures {
    fn log(&self, error: ArchiveError) -> Failure {
        let failure = error.failure();
        if self.0.fetch_add(1, Ordering::Relaxed) < LOGGED {
            match failure {
                Failure::Internal => tracing::error!(error = chain(&error), "instance not stored"),
                _ => tracing::warn!(error = chain(&error), "instance refused"),
            }
        }
        failure
    }

    /// Failures that were not logged alone.
    fn more(&self) -> usize {
        self.0.load(Ordering::Relaxed).saturating_sub(LOGGED)
    }

    fn summarise(&self) {
        match self.more() {
            0 => {}
            more => tracing::warn!(more, "further instances of the request failed"),
        }
    }
}

/// SOP Class and Instance UID, where the File Meta Information gives them.
fn named(head: &[u8]) -> Option<(Uid, Uid)> {
    let meta = part10::read_meta(&mut Cursor::new(head)).ok()?;
    Some((meta.media_storage_sop_class_uid?, meta.media_storage_sop_instance_uid?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_logged_alone_and_the_rest_together() {
        let failures = Failures::default();
        let fail = || failures.clone().log(ArchiveError::NotFound("instance".into()));
        (0..LOGGED).for_each(|_| _ = fail());
        assert_eq!(failures.more(), 0);
        assert_eq!(fail(), Failure::NoSuchInstance);
        assert_eq!(failures.more(), 1);
    }
}
