//! Sending on by rule to application entities: what the archive has queued goes by C-STORE, a series over one association.

use crate::{
    dimse::status,
    scu::{self, Delivery, Instance, Progress, Remote, ScuError},
    session::Node,
};
use pacs_core::AeTitle;
use std::{sync::Arc, time::Duration};
use storage::{
    AuditAction, AuditRecord, StoredInstance,
    routing::{Batch, Destination, Forward, Outcome, Receiver, Sender, dispatch},
};
use tokio::{sync::mpsc, time::interval};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Leases are extended so often.
const EXTEND: Duration = Duration::from_secs(10);
/// Outcomes that are written down together.
const TOGETHER: usize = 256;
/// Duplicate SOP Instance: it is there (PS3.7 §C.5.7).
const DUPLICATE: u16 = 0x0111;
/// Out of resources (PS3.4 Table B.2-1): the receiver may have room later.
const NO_ROOM: std::ops::RangeInclusive<u16> = 0xA700..=0xA7FF;

/// Sends until the node stops; what is under way then is ended in order.
pub(crate) async fn work(node: &Arc<Node>) {
    dispatch(&node.archive, StoreScu(Arc::clone(node)), &node.stop).await;
}

#[derive(Clone)]
struct StoreScu(Arc<Node>);

impl Sender for StoreScu {
    fn reaches(&self, destination: &Destination) -> bool {
        matches!(destination.receiver, Receiver::Ae(_))
    }

    async fn send(&self, batch: Batch) -> bool {
        let Receiver::Ae(ae_title) = batch.destination.receiver.clone() else { return true };
        Series { node: &self.0, batch: &batch, ae_title: &ae_title }.send().await
    }
}

/// Instances of a series on their way.
struct Series<'a> {
    node: &'a Node,
    batch: &'a Batch,
    ae_title: &'a AeTitle,
}

impl Series<'_> {
    /// Sends them, and writes down what became of each; returns whether the receiver is there.
    async fn send(&self) -> bool {
        let remote = match self.remote().await {
            Ok(remote) => remote,
            Err(why) => {
                let all = self.batch.claimed.iter().map(|forward| (forward, Outcome::Unreachable(why.clone())));
                self.settle(all.collect()).await;
                return false;
            }
        };
        let (ready, spoilt) = self.node.archive.load_forwards(self.batch).await;
        self.settle(spoilt).await;
        if ready.is_empty() {
            return true;
        }
        let sent = self.deliver(&remote, ready).await;
        self.audit(sent.instances).await;
        sent.is_reached
    }

    async fn remote(&self) -> Result<Remote, String> {
        let peers = self.node.archive.peers().await.map_err(|error| error.to_string())?;
        let peer = peers.into_iter().find(|peer| peer.ae_title == *self.ae_title);
        peer.and_then(|peer| self.node.remote(&peer)).ok_or_else(|| {
            let ae_title = self.ae_title;
            format!("{ae_title} has no host and port configured: pacs ae add {ae_title} --host … --port …")
        })
    }

    async fn deliver(&self, remote: &Remote, ready: Vec<(&Forward, StoredInstance)>) -> Sent {
        let (forwards, stored): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
        let archive = self.node.archive.clone();
        let instances = stored.into_iter().map(move |stored| Instance::Stored(archive.clone(), Arc::new(stored)));
        // No more wait in it than there are instances.
        let (report, mut reports) = mpsc::unbounded_channel();
        let stop = self.node.stop.child_token();
        let pace = Some(Arc::clone(&self.batch.pace));
        let delivery = Delivery { stop: stop.clone(), pace, ..Delivery::to(remote) };
        // Its own task: it goes on while an outcome is written down.
        let mut work = AbortOnDropHandle::new(tokio::spawn(async move {
            let tell = |progress: Progress<'_>| {
                let outcome = progress.outcome.map_err(str::to_owned);
                // Who does not listen any more has given up.
                let _ = report.send((progress.index, progress.sop_instance.map(str::to_owned), outcome));
            };
            scu::deliver(&delivery, instances, tell).await
        }));
        let mut told = Told { forwards: &forwards, is_told: vec![false; forwards.len()], instances: 0 };
        let mut extend = interval(EXTEND);
        let ended = loop {
            let mut some = Vec::new();
            tokio::select! {
                biased;
                _ = extend.tick() => self.extend(&stop).await,
                1.. = reports.recv_many(&mut some, TOGETHER) => self.settle(told.take(some)).await,
                () = self.node.cut.cancelled() => break None,
                ended = &mut work => break Some(ended),
            }
        };
        drop(work);
        let mut rest = Vec::new();
        while let Ok(one) = reports.try_recv() {
            rest.push(one);
        }
        self.settle(told.take(rest)).await;
        let failure = match ended {
            Some(Ok(Ok(_))) | None => None,
            Some(Ok(Err(error))) => Some(error),
            Some(Err(error)) => {
                tracing::error!(%error, "sending on broke off");
                None
            }
        };
        self.settle(told.untold(failure.as_ref(), remote, &stop)).await;
        Sent { instances: told.instances, is_reached: failure.is_none() }
    }

    /// Keeps what is claimed; a destination that was paused meanwhile gets no further instance.
    async fn extend(&self, stop: &CancellationToken) {
        let name = &self.batch.destination.name;
        if self.node.archive.destination(name).await.is_ok_and(|destination| destination.is_paused) {
            stop.cancel();
        }
        let Some(first) = self.batch.claimed.first() else { return };
        if let Err(error) = self.node.archive.extend_forwards(first).await {
            tracing::warn!(%error, "a lease was not extended");
        }
    }

    async fn settle(&self, ended: Vec<(&Forward, Outcome)>) {
        if let Err(error) = self.node.archive.settle_forwards(&ended).await {
            // They are due again when the lease is over.
            tracing::warn!(%error, destination = self.batch.destination.name, "outcomes were not written down");
        }
    }

    async fn audit(&self, instances: usize) {
        let Some(first) = self.batch.claimed.first().filter(|_| instances > 0) else { return };
        let destination = &self.batch.destination.name;
        tracing::info!(destination, instances, "instances sent on");
        let record = AuditRecord {
            at: 0,
            action: AuditAction::Export,
            actor: self.ae_title.to_string(),
            origin: String::new(),
            success: true,
            study: Some(first.study.to_string()),
            detail: format!("{instances} instances sent on to {destination} {}", first.occasion()),
        };
        if let Err(error) = self.node.archive.audit(&record).await {
            tracing::error!(%error, "audit record was not written");
        }
    }
}

struct Sent {
    instances: usize,
    is_reached: bool,
}

/// An instance's place, the UID under which it went, and what the receiver said or why it was not sent.
type Report = (usize, Option<String>, Result<u16, String>);

/// What became of instances so far.
struct Told<'a> {
    forwards: &'a [&'a Forward],
    is_told: Vec<bool>,
    /// How many were sent.
    instances: usize,
}

impl<'a> Told<'a> {
    fn take(&mut self, reports: Vec<Report>) -> Vec<(&'a Forward, Outcome)> {
        let mut ended = Vec::with_capacity(reports.len());
        for (index, sent_as, said) in reports {
            let Some((forward, is_told)) = self.forwards.get(index).zip(self.is_told.get_mut(index)) else { continue };
            *is_told = true;
            let outcome = outcome(said, sent_as);
            self.instances += usize::from(matches!(outcome, Outcome::Sent(_)));
            ended.push((*forward, outcome));
        }
        ended
    }

    /// Those of which nothing was heard. Where an association broke, the first of them may be why: it is put off, and the
    /// others go without it.
    fn untold(
        &self,
        failure: Option<&ScuError>,
        remote: &Remote,
        stop: &CancellationToken,
    ) -> Vec<(&'a Forward, Outcome)> {
        let untold = self.forwards.iter().zip(&self.is_told).filter(|(_, is_told)| !**is_told).map(|(one, _)| *one);
        let why = failure.map(|failure| format!("{}; {}", failure.chain(), remedy(failure, remote)));
        let outcome = |place: usize| match (failure, &why) {
            _ if stop.is_cancelled() => Outcome::Untried,
            (Some(ScuError::Connect { .. } | ScuError::Tls { .. } | ScuError::Rejected(_)), Some(why)) => {
                Outcome::Unreachable(why.clone())
            }
            (Some(_), Some(why)) if place == 0 => Outcome::Declined(why.clone()),
            _ => Outcome::Untried,
        };
        untold.enumerate().map(|(place, forward)| (forward, outcome(place))).collect()
    }
}

fn outcome(said: Result<u16, String>, sent_as: Option<String>) -> Outcome {
    match said {
        Ok(code) if code == status::SUCCESS || code & 0xF000 == 0xB000 || code == DUPLICATE => {
            Outcome::Sent(sent_as.unwrap_or_default())
        }
        Ok(code) if NO_ROOM.contains(&code) => {
            Outcome::Unreachable(format!("the receiver answered {code:04X}H, it has no room; make some there"))
        }
        Ok(code) => Outcome::Declined(format!("the receiver answered {code:04X}H; its log says what it dislikes")),
        Err(why) => Outcome::Declined(why),
    }
}

/// What an administrator can do.
fn remedy(failure: &ScuError, remote: &Remote) -> String {
    let (called, calling) = (&remote.called, &remote.calling);
    match failure {
        ScuError::Connect { .. } => format!("see that it runs, and mend host and port by pacs ae add {called} …"),
        ScuError::Tls { .. } => "see docs/dicom-tls.md".to_owned(),
        ScuError::Rejected(_) => format!("it must know us as {calling} and be called {called}"),
        _ => format!("its log says why; pacs echo {called} tries it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_room_is_waited_for_and_a_warning_is_success() {
        let of = |code| outcome(Ok(code), Some("1.2".into()));
        assert_eq!((of(0), of(0xB000)), (Outcome::Sent("1.2".into()), Outcome::Sent("1.2".into())));
        assert!(matches!(of(0xA700), Outcome::Unreachable(_)));
        assert!(matches!((of(0xA900), of(0x0122)), (Outcome::Declined(_), Outcome::Declined(_))));
    }
}
