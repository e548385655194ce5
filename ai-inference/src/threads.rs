//! The threads that decode and infer, apart from those that serve.

use crate::error::AiError;
use tokio::sync::oneshot;

/// Work on it that is still running never holds up the end of the program.
pub struct Threads(rayon::ThreadPool);

impl Threads {
    /// `count`: 0 for one a core.
    pub fn new(count: usize) -> Result<Self, AiError> {
        let builder = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|n| format!("ai-{n}"))
            // Whoever waits for the result learns of it; the program goes on.
            .panic_handler(|_| tracing::error!("a worker thread panicked"));
        builder.build().map(Self).map_err(|error| AiError::Config(format!("threads: {error}")))
    }

    /// Runs `work` on the pool, where its parallel iterators spread over all threads.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AiError> {
        let (answer, result) = oneshot::channel();
        // Nobody may be waiting any more: the program is stopping.
        self.0.spawn(move || drop(answer.send(work())));
        result.await.map_err(|_| AiError::Broken("it panicked".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_threads_go_on() {
        let threads = Threads::new(1).unwrap();
        assert!(matches!(threads.run(|| panic!("on purpose")).await, Err::<(), _>(AiError::Broken(_))));
        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
    }
}
