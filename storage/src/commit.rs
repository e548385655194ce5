//! The committer: one task per process that writes waiting instances and audit records in one transaction.
//!
//! A sync costs the same for one row and for a hundred. Whatever waits while a transaction is under way goes into the
//! next one together.

use crate::{
    audit::{AuditRecord, write_audit},
    batch::{Batch, Learnt, Memory},
    database::Database,
    error::ArchiveError,
    index::{NewInstance, store, write_counts},
    ingest::Outcome,
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// At most this many go into one transaction.
const BATCH: usize = 256;
/// Senders wait when so many are in line.
const LINE: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, ArchiveError>>;

pub(crate) enum Work {
    Store(Box<NewInstance>, Reply<Outcome>),
    Audit(AuditRecord, Reply<()>),
    /// Write the audit lines about transfers that have ended.
    EndTransfers(Reply<()>),
    /// Take nothing more; answered when all that came before is committed.
    Close(Reply<()>),
}

/// The way to the committer. Its task ends when the last of these is dropped.
pub(crate) struct Committer(mpsc::Sender<Work>);

impl Committer {
    pub(crate) fn start(database: Arc<Database>, newest: watch::Sender<i64>) -> Self {
        let (sender, receiver) = mpsc::channel(LINE);
        tokio::spawn(commit_until_closed(database, newest, receiver));
        Self(sender)
    }

    /// Hands work over and waits until it is durable.
    pub(crate) async fn submit<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, ArchiveError> {
        let (reply, answer) = oneshot::channel();
        let closed = || ArchiveError::Internal("the archive is closed".into());
        self.0.send(work(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn commit_until_closed(database: Arc<Database>, newest: watch::Sender<i64>, mut line: mpsc::Receiver<Work>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut closing = Vec::new();
    let mut desk = Desk { database, newest, memory: Memory::default() };
    while line.recv_many(&mut batch, BATCH).await > 0 {
        let mut work = Vec::with_capacity(batch.len());
        for item in batch.drain(..) {
            match item {
                Work::Close(reply) => {
                    line.close();
                    closing.push(reply);
                }
                Work::EndTransfers(reply) => {
                    desk.end_transfers(false).await;
                    drop(reply.send(Ok(())));
                }
                item => work.push(item),
            }
        }
        desk.commit(work).await;
    }
    desk.end_transfers(true).await;
    for reply in closing {
        // Who asked may have gone; there is nothing to tell then.
        let _ = reply.send(Ok(()));
    }
}

/// Where the work is done.
struct Desk {
    database: Arc<Database>,
    newest: watch::Sender<i64>,
    memory: Memory,
}

impl Desk {
    /// Commits all of `work` at once; when that fails, each piece by itself, so that a bad one harms no other.
    async fn commit(&mut self, work: Vec<Work>) {
        if work.is_empty() {
            return;
        }
        match self.write_all(&work).await {
            Ok(outcomes) => work.into_iter().zip(outcomes).for_each(|(piece, outcome)| answer(piece, Ok(outcome))),
            Err(error) if work.len() == 1 => work.into_iter().for_each(|piece| answer(piece, Err(&error))),
            Err(error) => {
                tracing::warn!(%error, pieces = work.len(), "batch failed, committing piece by piece");
                for piece in work {
                    let alone = self.write_all(std::slice::from_ref(&piece)).await;
                    let outcome = alone.map(|outcomes| outcomes.first().copied().flatten());
                    answer(piece, outcome.as_ref().map(|outcome| *outcome));
                }
            }
        }
    }

    /// One transaction; what became of each piece, `None` for audit records.
    async fn write_all(&mut self, work: &[Work]) -> Result<Vec<Option<Outcome>>, sqlx::Error> {
        let written = write(&self.database, &self.memory, work).await;
        match written {
            Ok((position, learnt, outcomes)) => {
                self.memory.keep(learnt);
                announce(&self.newest, position);
                Ok(outcomes)
            }
            Err(error) => {
                self.memory.forget_keys();
                Err(error)
            }
        }
    }

    async fn end_transfers(&mut self, all: bool) {
        let lines = self.memory.ended(all);
        if self.memory.has_transfers() {
            // They end by the clock: whoever asks for it is to ask again.
            self.database.stir.tell();
        }
        if lines.is_empty() {
            return;
        }
        let written = async {
            let mut change = self.database.change().await?;
            for line in &lines {
                write_audit(&mut change, line).await?;
            }
            change.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, transfers = lines.len(), "audit lines about ended transfers are lost");
        }
    }
}

async fn write(
    database: &Database,
    memory: &Memory,
    work: &[Work],
) -> Result<(i64, Learnt, Vec<Option<Outcome>>), sqlx::Error> {
    let mut change = database.change_of(work.len()).await?;
    let mut batch = Batch::new(memory);
    let mut outcomes = Vec::with_capacity(work.len());
    for piece in work {
        outcomes.push(match piece {
            Work::Store(instance, _) => {
                let outcome = store(&mut change, &mut batch, instance).await?;
                let line = AuditRecord::of_store(&instance.record);
                if outcome != Outcome::Stored || batch.begins_transfer(&line) {
                    write_audit(&mut change, &line.with_outcome(outcome)).await?;
                }
                Some(outcome)
            }
            Work::Audit(record, _) => {
                write_audit(&mut change, record).await?;
                None
            }
            Work::EndTransfers(_) | Work::Close(_) => None,
        });
    }
    write_counts(&mut change, &batch).await?;
    let learnt = batch.learnt();
    Ok((change.commit().await?, learnt, outcomes))
}

/// Tells those who wait for events. Positions only rise, whoever is first to tell.
pub(crate) fn announce(newest: &watch::Sender<i64>, position: i64) {
    newest.send_if_modified(|known| {
        let newer = position > *known;
        *known = position.max(*known);
        newer
    });
}

/// Whoever asked may have gone: then there is no one to tell, and the work is done all the same.
fn answer(piece: Work, outcome: Result<Option<Outcome>, &sqlx::Error>) {
    let refusal = ArchiveError::of_commit;
    match piece {
        Work::Store(instance, reply) => {
            // First: whoever hears the answer may seal the pack, which waits for what is undecided.
            drop(instance);
            let none = || ArchiveError::Internal("no outcome of a stored instance".into());
            drop(reply.send(outcome.map_err(refusal).and_then(|outcome| outcome.ok_or_else(none))));
        }
        Work::Audit(_, reply) | Work::EndTransfers(reply) | Work::Close(reply) => {
            drop(reply.send(outcome.map(drop).map_err(refusal)))
        }
    }
}
