//! How fast instances may go to a destination.

use super::Destination;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Shared by all who send to a destination from this process.
#[derive(Debug, Default)]
pub struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    instances_per_second: Option<u32>,
    bytes_per_second: Option<u64>,
    /// When the next one may go.
    next: Option<Instant>,
}

impl Pace {
    pub(super) fn set(&self, destination: &Destination) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.instances_per_second = destination.instances_per_second;
        state.bytes_per_second = destination.megabytes_per_second.map(|megabytes| u64::from(megabytes) * 1_000_000);
    }

    /// Waits until an instance of so many bytes may go.
    pub async fn wait(&self, len: u64) {
        let at = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(len, Instant::now());
        if let Some(at) = at {
            sleep_until(at).await;
        }
    }
}

impl State {
    /// When it may go; it is counted as gone.
    fn take(&mut self, len: u64, now: Instant) -> Option<Instant> {
        let by_number = self.instances_per_second.map(|most| Duration::from_secs(1) / most.max(1));
        let by_size = self.bytes_per_second.map(|most| Duration::from_secs_f64(len as f64 / most.max(1) as f64));
        let cost = by_number.max(by_size)?;
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + cost);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_of_both_limits_counts_and_a_rest_is_not_saved_up() {
        let now = Instant::now();
        let mut state = State { instances_per_second: Some(10), bytes_per_second: Some(1_000_000), next: None };
        let mut after = |len, at: u64| {
            let taken = state.take(len, now + Duration::from_millis(at)).expect("a limit");
            (taken - now).as_millis()
        };
        assert_eq!(
            [after(1, 0), after(500_000, 0), after(1, 0), after(1, 0), after(1, 5000), after(1, 5000)],
            [0, 100, 600, 700, 5000, 5100]
        );
        assert_eq!(State::default().take(1 << 40, now), None);
    }
}
