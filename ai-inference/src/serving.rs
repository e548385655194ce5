//! The model in service: its engine is made ready when there is work, and let go when there has been none for a while.

use crate::{engine::Engine, error::AiError, models::Model, threads::Threads};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// An engine without work takes memory that others need.
const KEPT: Duration = Duration::from_secs(60);

pub(crate) struct Serving {
    pub(crate) model: Arc<Model>,
    ready: Mutex<Option<Ready>>,
}

struct Ready {
    engine: Arc<Engine>,
    used: Instant,
}

impl Serving {
    pub(crate) fn new(model: Model) -> Self {
        Self { model: Arc::new(model), ready: Mutex::default() }
    }

    /// The engine, tried before it first serves.
    pub(crate) async fn engine(&self, threads: &Threads) -> Result<Arc<Engine>, AiError> {
        if let Some(engine) = self.held() {
            return Ok(engine);
        }
        let model = Arc::clone(&self.model);
        let engine = Arc::new(threads.run(move || model.engine()).await??);
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Ready { engine: Arc::clone(&engine), used: Instant::now() });
        Ok(engine)
    }

    fn held(&self) -> Option<Arc<Engine>> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = ready.as_mut()?;
        ready.used = Instant::now();
        Some(Arc::clone(&ready.engine))
    }

    /// There is no work.
    pub(crate) fn rest(&self) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        _ = ready.take_if(|ready| ready.used.elapsed() >= KEPT);
    }
}
