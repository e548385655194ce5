//! Work on pixels and bytes off the async threads: as much at a time as processors and memory allow.

use crate::error::WebError;
use pacs_core::{Failure, pixel::PixelError};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// All work together takes at most about this much memory: what the largest frame alone needs.
const MEMORY: u64 = 6 << 30;
/// Memory is handed out in units, so many in all.
const UNITS: u32 = 256;

pub struct Workers {
    units: Arc<Semaphore>,
    /// Of one piece of work that needs little memory: with these, all processors are busy.
    share: u32,
}

impl Workers {
    /// At most `count` pieces of work at a time.
    pub fn new(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(UNITS).clamp(1, UNITS);
        Self { units: Arc::new(Semaphore::new(UNITS as usize)), share: UNITS / count }
    }

    /// Waits until there is room for `work`, which takes about `bytes` of memory, and runs it. A decoder that panics on
    /// hostile bytes costs its own request and nothing else.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> Result<T, WebError> + Send + 'static,
    ) -> Result<T, WebError> {
        let closed = |_| WebError::Refused(Failure::Internal, "workers are closed".into());
        let room = Arc::clone(&self.units).acquire_many_owned(self.units_of(bytes)).await.map_err(closed)?;
        let outcome = tokio::task::spawn_blocking(move || {
            // Held by the work, not by the request: that may be given up while the decoder still runs.
            let _room = room;
            work()
        });
        outcome.await.map_err(|_| PixelError::Codec("the decoder gave up".into()))?
    }

    fn units_of(&self, bytes: u64) -> u32 {
        let units = bytes.div_ceil(MEMORY / u64::from(UNITS)).min(UNITS.into());
        u32::try_from(units).unwrap_or(UNITS).max(self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        time::Duration,
    };

    /// The most pieces of work, each of `bytes`, that ran at the same time.
    async fn most_at_once(count: usize, bytes: u64) -> usize {
        let workers = Workers::new(count);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..8).map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            workers.run(bytes, move || {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                running.fetch_sub(1, SeqCst);
                Ok(())
            })
        });
        futures::future::try_join_all(works).await.unwrap();
        most.load(SeqCst)
    }

    #[tokio::test]
    async fn small_work_fills_the_processors_and_large_work_the_memory() {
        assert_eq!(most_at_once(4, 1 << 20).await, 4);
        assert_eq!(most_at_once(1, 0).await, 1);
        assert_eq!(most_at_once(4, MEMORY / 2).await, 2);
        assert_eq!(most_at_once(4, u64::MAX).await, 1);
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_room_back() {
        let workers = Workers::new(1);
        for _ in 0..2 {
            let outcome: Result<(), _> = workers.run(MEMORY, || panic!("hostile bytes")).await;
            assert!(matches!(outcome, Err(WebError::Pixel(_))));
        }
    }
}
