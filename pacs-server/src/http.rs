//! The HTTP sockets: whom to let in, how long to wait, when to cut.
//!
//! What is cut here never got as far as a handler, or no longer takes its answer; how long a request may take is the
//! web room's affair.

mod pulse;

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::ConnectInfo,
};
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use pacs_core::admission::Admission;
use pulse::{Beating, Pulse};
use serde::{Deserialize, Serialize};
use socket2::{SockRef, TcpKeepalive};
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Limits of HTTP connections, whatever they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// HTTP connections at a time; a further one is closed at once.
    pub max_connections: usize,
    /// Of these, from one address. Behind a reverse proxy all come from its address: raise it to `max_connections`.
    pub max_connections_per_address: usize,
    /// A connection on which no request is under way, because its header does not end or none has begun, is closed
    /// after this many seconds.
    pub header_seconds: u64,
    /// A client that takes none of its answer for this many seconds is cut off.
    pub write_seconds: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { max_connections: 1024, max_connections_per_address: 256, header_seconds: 15, write_seconds: 60 }
    }
}

/// Header fields of a request.
const MAX_HEADERS: usize = 100;
/// A request's header, and what lies between a connection and its socket, in bytes.
const MAX_BUFFER: usize = 128 << 10;
/// An HTTP/2 request's header, in bytes.
const MAX_HEADER_LIST: u32 = 64 << 10;
/// Requests under way on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// When the system asks whether a silent host still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long accepting rests after a failure such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown`; requests under way then have `grace` to end.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: HttpConfig,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let door = Admission::new(limits.max_connections, limits.max_connections_per_address);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match door.admit(peer.ip()) {
                    Some(pass) => {
                        let connection = connection(stream, peer, router.clone(), limits.clone(), shutdown.clone());
                        connections.spawn(async move {
                            connection.await;
                            drop(pass);
                        });
                    }
                    None => tracing::warn!(%peer, "HTTP connection refused: too many"),
                },
                Err(error) => {
                    tracing::error!(%error, "accepting HTTP failed");
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    }
    drop(listener);
    // Event streams never end by themselves: what is still open after the grace is cut.
    let ended = async { while connections.join_next().await.is_some() {} };
    _ = timeout(grace, ended).await;
}

/// One connection to its end, HTTP/1 or HTTP/2 as the client begins.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: HttpConfig,
    shutdown: CancellationToken,
) {
    settle(&stream);
    let pulse = Pulse::new();
    let requests = pulse.clone();
    let service = service_fn(move |request| answer(router.clone(), request, peer, requests.clone()));
    let builder = builder(&limits);
    // Event channels: what became a WebSocket is no longer among the connections, and has a limit of its own.
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(Beating::new(stream, pulse.clone())), service);
    tokio::pin!(connection);
    let overdue = pulse.overdue(&limits);
    tokio::pin!(overdue);
    let mut stopping = false;
    loop {
        tokio::select! {
            served = connection.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%peer, error, "HTTP connection ended badly");
                }
                return;
            }
            reason = overdue.as_mut() => {
                tracing::debug!(%peer, reason, "HTTP connection cut");
                return;
            }
            () = shutdown.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Small answers leave at once, and a host that vanished is noticed. A socket that refuses still serves.
fn settle(stream: &TcpStream) {
    _ = stream.set_nodelay(true);
    _ = SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE));
}

fn builder(limits: &HttpConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_headers(MAX_HEADERS).max_buf_size(MAX_BUFFER);
    // Later than a quiet connection is closed: our own pings must not keep it open.
    let ping = Duration::from_secs(limits.header_seconds.saturating_mul(2));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(ping)
        .keep_alive_timeout(Duration::from_secs(limits.header_seconds));
    builder
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    pulse: Pulse,
) -> Result<Response<Body>, Infallible> {
    let under_way = pulse.request();
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request.map(Body::new)).await?;
    if response.body().is_end_stream() {
        return Ok(response);
    }
    // The request ends when its answer's last byte has been taken over for sending.
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &under_way;
            frame
        }))
    }))
}

#[cfg(test)]
mod tests;
