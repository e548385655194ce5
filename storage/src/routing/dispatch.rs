//! Who sends when: for each destination for which something is due as many at a time as it takes, until it has all. A
//! destination that cannot be reached is left alone for a while.

use super::{Destination, Forward, Pace};
use crate::{archive::Archive, error::ArchiveError};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// Look this often while anything happens.
const LOOK: Duration = Duration::from_secs(1);
/// What another process left behind is looked for so often.
const TEND: Duration = Duration::from_secs(10);
/// Instances of a series that are claimed together.
const BATCH: u32 = 500;
/// Who could not be reached is left alone so long, then twice as long, and so on.
const FIRST_REST: Duration = Duration::from_secs(2);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Sends to destinations of some kind.
pub trait Sender: Clone + Send + Sync + 'static {
    fn reaches(&self, destination: &Destination) -> bool;

    /// Sends, and settles each instance; returns whether the receiver is there.
    fn send(&self, batch: Batch) -> impl Future<Output = bool> + Send;
}

/// Claimed instances of one series.
pub struct Batch {
    pub destination: Destination,
    pub claimed: Vec<Forward>,
    /// Of all that goes there from this process.
    pub pace: Arc<Pace>,
}

/// What is known of a destination.
#[derive(Default)]
struct Standing {
    /// Senders at work.
    running: u16,
    /// In a row.
    failures: u32,
    rests_until: Option<Instant>,
    pace: Arc<Pace>,
}

impl Standing {
    fn may_begin(&self, destination: &Destination) -> bool {
        self.running < destination.associations && self.rests_until.is_none_or(|until| until <= Instant::now())
    }

    fn ended(&mut self, is_reached: bool) {
        self.running = self.running.saturating_sub(1);
        self.failures = if is_reached { 0 } else { self.failures.saturating_add(1) };
        self.rests_until = (!is_reached).then(|| Instant::now() + rest(self.failures));
    }
}

/// After so many failures in a row.
fn rest(failures: u32) -> Duration {
    FIRST_REST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_REST)
}

/// Name of a destination, and whether the receiver is there.
type Ended = (String, bool);

/// Sends until `stop`; what is being sent then is ended in order.
pub async fn dispatch(archive: &Archive, sender: impl Sender, stop: &CancellationToken) {
    let mut standings: HashMap<String, Standing> = HashMap::new();
    let mut lines: JoinSet<Ended> = JoinSet::new();
    let mut stirrings = archive.stirrings();
    let mut tended: Option<Instant> = None;
    loop {
        if tended.is_none_or(|at| at.elapsed() >= TEND) {
            tell(archive.tend_forwards().await);
            tended = Some(Instant::now());
        }
        stirrings.begin();
        match archive.due_destinations().await {
            Ok(due) => begin(archive, &sender, due, &mut standings, &mut lines, stop),
            Err(error) => tell::<()>(Err(error)),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = stirrings.rest(LOOK) => {}
            Some(ended) = lines.join_next() => match ended {
                Ok((name, is_reached)) => standings.entry(name).or_default().ended(is_reached),
                // Nobody knows which it was; what it had claimed is due again when its lease is over.
                Err(error) => {
                    tracing::error!(%error, "sending on broke off");
                    standings.clear();
                }
            },
        }
    }
    while lines.join_next().await.is_some() {}
}

fn tell<T>(done: Result<T, ArchiveError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "the queues of destinations cannot be read or written");
    }
}

fn begin(
    archive: &Archive,
    sender: &impl Sender,
    due: Vec<Destination>,
    standings: &mut HashMap<String, Standing>,
    lines: &mut JoinSet<Ended>,
    stop: &CancellationToken,
) {
    for destination in due.into_iter().filter(|destination| sender.reaches(destination)) {
        let standing = standings.entry(destination.name.clone()).or_default();
        if standing.may_begin(&destination) {
            standing.running += 1;
            let (archive, sender, stop) = (archive.clone(), sender.clone(), stop.clone());
            let pace = Arc::clone(&standing.pace);
            lines.spawn(async move {
                let name = destination.name.clone();
                (name, drain(&archive, &sender, &destination, &pace, &stop).await)
            });
        }
    }
}

/// Sends what is due, series by series; returns whether the receiver is there.
async fn drain(
    archive: &Archive,
    sender: &impl Sender,
    destination: &Destination,
    pace: &Arc<Pace>,
    stop: &CancellationToken,
) -> bool {
    while !stop.is_cancelled() {
        let claimed = match archive.claim_forwards(&destination.name, BATCH).await {
            Ok(claimed) if claimed.is_empty() => break,
            Ok(claimed) => claimed,
            Err(error) => {
                tell::<()>(Err(error));
                return false;
            }
        };
        // It may have been changed since.
        let destination = archive.destination(&destination.name).await.unwrap_or_else(|_| destination.clone());
        pace.set(&destination);
        if !sender.send(Batch { destination, claimed, pace: Arc::clone(pace) }).await {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_up_to_a_minute() {
        let seconds: Vec<_> = [1, 2, 3, 6, u32::MAX].into_iter().map(|failures| rest(failures).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 60, 60]);
    }
}
