//! Whether a connection lives: what it waits for, and since when.

use super::HttpConfig;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep},
};

/// How often a connection is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Of one connection; clones are the same.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Beat>>);

#[derive(Debug, PartialEq)]
struct Beat {
    requests: usize,
    /// The client takes nothing of what we have for it.
    is_blocked: bool,
    /// The last change, or the last byte that the client took. What it sends does not count: it could trickle.
    at: Instant,
}

impl Beat {
    /// Why the connection is to be cut, if it is.
    fn fault(&self, limits: &HttpConfig, now: Instant) -> Option<&'static str> {
        let (limit, reason) = match self {
            Self { is_blocked: true, .. } => (limits.write_seconds, "the client takes nothing"),
            Self { requests: 0, .. } => (limits.header_seconds, "no request came"),
            _ => return None,
        };
        (now.duration_since(self.at) >= Duration::from_secs(limit)).then_some(reason)
    }
}

impl Pulse {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Beat { requests: 0, is_blocked: false, at: Instant::now() })))
    }

    /// Notes a request, under way until the result is dropped.
    pub fn request(&self) -> UnderWay {
        let mut beat = self.beat();
        beat.requests += 1;
        beat.at = Instant::now();
        UnderWay(self.clone())
    }

    /// Ends when the connection is to be cut, with the reason.
    pub async fn overdue(&self, limits: &HttpConfig) -> &'static str {
        loop {
            sleep(TICK).await;
            if let Some(reason) = self.beat().fault(limits, Instant::now()) {
                return reason;
            }
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        let mut beat = self.beat();
        if outcome.is_ready() || !beat.is_blocked {
            *beat = Beat { requests: beat.requests, is_blocked: outcome.is_pending(), at: Instant::now() };
        }
    }

    /// Every change is whole before the lock is given back.
    fn beat(&self) -> MutexGuard<'_, Beat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub struct UnderWay(Pulse);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut beat = self.0.beat();
        beat.requests -= 1;
        beat.at = Instant::now();
    }
}

/// A stream that notes what the client takes.
pub struct Beating<S> {
    stream: S,
    pulse: Pulse,
}

impl<S> Beating<S> {
    pub fn new(stream: S, pulse: Pulse) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Beating<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Beating<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.pulse.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.pulse.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_cut_for_what_it_waits_for() {
        let limits = HttpConfig { header_seconds: 15, write_seconds: 60, ..HttpConfig::default() };
        let at = Instant::now();
        let check = |requests, is_blocked, seconds, cut| {
            let fault = Beat { requests, is_blocked, at }.fault(&limits, at + Duration::from_secs(seconds));
            assert_eq!(fault.is_some(), cut, "{requests} requests, blocked {is_blocked}, {seconds} s");
        };
        check(0, false, 14, false);
        check(0, false, 15, true);
        check(1, false, 3600, false);
        check(1, true, 59, false);
        check(1, true, 60, true);
        check(0, true, 59, false);
    }
}
