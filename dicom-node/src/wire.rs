//! The only sockets of the node: accept, connect, read, write, each under a clock.

use crate::{
    association::policy::KnownPeer,
    config::NodeConfig,
    pdu::{self, AssociateRj, Fault, Pdu},
};
use bytes::{Bytes, BytesMut};
use pacs_core::{
    AeTitle,
    admission::{Admission, Pass},
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use storage::Peer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, lookup_host},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{client, server};
use tokio_util::{either::Either, sync::CancellationToken};

/// What is read at once. A PDU that claims to be large gets its room as its bytes come.
const READ_AHEAD: usize = 64 << 10;
/// A connection on which nothing has come for so long keeps room for as many bytes only.
const QUIET: Duration = Duration::from_secs(2);
const READ_AFTER_QUIET: usize = 512;
/// When the system asks whether a silent host still lives: also keeps firewalls from forgetting the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// How long accepting rests after a failure such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a peer may take to hear that we close.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Connections too many that get an answer at a time, and how long each of them has to ask and to take it.
pub(crate) const TURNED_AWAY: usize = 64;
const TURNED_AWAY_LIMIT: Duration = Duration::from_secs(1);

/// What came from the peer.
#[derive(Debug)]
pub(crate) enum Received {
    Pdu(Pdu),
    Fault(Fault),
    /// By the peer, or by an error of the connection.
    Closed(Option<io::Error>),
    /// Nothing, or not the whole of it, in time.
    Expired,
}

/// What PDUs travel on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Has the system acknowledge at once what was read, and what comes next.
    ///
    /// Many peers leave Nagle's algorithm on and write a message in two pieces: they hold the second one back until the
    /// first is acknowledged, which a system that delays acknowledgements does some 40 ms later.
    fn acknowledge(&self);
}

impl Transport for TcpStream {
    fn acknowledge(&self) {
        // Linux takes it back by itself from time to time. Who cannot do it is only slower.
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(self).set_tcp_quickack(true);
    }
}

impl Transport for server::TlsStream<TcpStream> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl Transport for client::TlsStream<TcpStream> {
    fn acknowledge(&self) {
        self.get_ref().0.acknowledge();
    }
}

impl<L: Transport, R: Transport> Transport for Either<L, R> {
    fn acknowledge(&self) {
        match self {
            Self::Left(stream) => stream.acknowledge(),
            Self::Right(stream) => stream.acknowledge(),
        }
    }
}

/// A connection that speaks PDUs.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: BytesMut,
    /// When the PDU that now lies incomplete in `buffer` began.
    begun: Option<Instant>,
    /// After a PDU that could not be read nobody knows where the next one starts: what follows is dropped.
    broken: bool,
    max_length: u32,
    pdu_limit: Duration,
    write_limit: Duration,
}

impl<S: Transport> Wire<S> {
    pub fn new(stream: S, config: &NodeConfig) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            begun: None,
            broken: false,
            max_length: config.max_pdu_length,
            pdu_limit: Duration::from_secs(config.pdu_seconds),
            write_limit: Duration::from_secs(config.write_seconds),
        }
    }

    /// The next PDU. A PDU that has begun has its own limit beside `deadline`, so that a peer cannot hold us by
    /// trickling. Dropped before it is ready, it loses nothing.
    pub async fn receive(&mut self, deadline: Option<Instant>) -> Received {
        loop {
            if self.broken {
                self.buffer.clear();
                self.begun = None;
            }
            match pdu::take(&mut self.buffer, self.max_length) {
                Ok(Some(pdu)) => {
                    self.begun = None;
                    return Received::Pdu(pdu);
                }
                Ok(None) => {}
                Err(fault) => {
                    self.broken = true;
                    return Received::Fault(fault);
                }
            }
            if !self.buffer.is_empty() {
                self.begun.get_or_insert_with(Instant::now);
            }
            let limit = [deadline, self.begun.map(|at| at + self.pdu_limit)].into_iter().flatten().min();
            match self.read(limit).await {
                None => return Received::Expired,
                Some(Ok(1..)) => self.stream.acknowledge(),
                Some(Ok(0)) => return Received::Closed(None),
                Some(Err(error)) => return Received::Closed(Some(error)),
            }
        }
    }

    /// Reads what is there, `None` if nothing came in time.
    async fn read(&mut self, limit: Option<Instant>) -> Option<io::Result<usize>> {
        self.buffer.reserve(READ_AHEAD);
        let quiet = Instant::now() + QUIET;
        if !self.buffer.is_empty() || limit.is_some_and(|limit| limit <= quiet) {
            return before(limit, self.stream.read_buf(&mut self.buffer)).await;
        }
        if let Ok(read) = timeout_at(quiet, self.stream.read_buf(&mut self.buffer)).await {
            return Some(read);
        }
        self.buffer = BytesMut::with_capacity(READ_AFTER_QUIET);
        before(limit, self.stream.read_buf(&mut self.buffer)).await
    }

    /// Writes whole PDUs; fails when the peer takes nothing for too long.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send_slices(&mut [IoSlice::new(bytes)]).await
    }

    /// As [`Self::send`], of PDUs that lie in pieces one after the other.
    pub async fn send_pieces(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        self.send_slices(&mut slices).await
    }

    async fn send_slices(&mut self, mut rest: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty ones would be taken for a peer that takes nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = timeout(self.write_limit, self.stream.write_vectored(rest)).await??;
            IoSlice::advance_slices(&mut rest, written);
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        // TLS keeps back what the socket did not take at once.
        timeout(self.write_limit, self.stream.flush()).await?
    }

    /// Tells the peer that no more will come: by TLS, the end of a connection is else taken for an attack.
    pub async fn close(&mut self) {
        // A peer that has gone need not be told.
        _ = timeout(CLOSE_LIMIT, self.stream.shutdown()).await;
    }
}

/// `future`, or `None` once `limit` has passed.
async fn before<T>(limit: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout_at(limit, future).await.ok(),
        None => Some(future.await),
    }
}

/// Accepts until `stop` whom the `door` lets in, each in its own task; then waits for the tasks for `grace`.
///
/// A connection too many is told to come again later, `answered` of them at a time; more are closed at once.
pub(crate) async fn listen<F>(
    listener: TcpListener,
    door: &Admission,
    stop: &CancellationToken,
    grace: Duration,
    answered: usize,
    serve: impl Fn(TcpStream, SocketAddr, Pass) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let answers = Arc::new(Semaphore::new(answered));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match door.admit(address.ip()) {
                    Some(pass) => {
                        // A socket that refuses still serves.
                        _ = settle(&stream);
                        tasks.spawn(serve(stream, address, pass));
                    }
                    None => {
                        tracing::warn!(%address, "connection refused: too many without an association");
                        if let Ok(permit) = Arc::clone(&answers).try_acquire_owned() {
                            tasks.spawn(async move {
                                _ = timeout(TURNED_AWAY_LIMIT, turn_away(stream)).await;
                                drop(permit);
                            });
                        }
                    }
                },
                Err(error) => {
                    tracing::error!(%error, "accepting failed");
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    }
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(grace, all).await.is_err() {
        tracing::warn!("associations were cut off at shutdown");
    }
}

/// Rejects the association that a peer asks for, whatever it asks.
///
/// Its request is read first and what follows dropped until it closes: closing over unread bytes would reset the
/// connection, and the answer would be lost.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    if stream.read(&mut buffer).await? == 0 {
        return Ok(());
    }
    stream.write_all(&Pdu::AssociateRj(AssociateRj::LOCAL_LIMIT).to_bytes()).await?;
    part(stream).await
}

/// Closes a connection so that what was sent last arrives.
pub(crate) async fn part(mut stream: TcpStream) -> io::Result<()> {
    let drained = async {
        stream.shutdown().await?;
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    timeout(CLOSE_LIMIT, drained).await?
}

/// Connects to a peer.
pub(crate) async fn connect(address: &str, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address)).await??;
    settle(&stream)?;
    Ok(stream)
}

/// Sends at once, since requests and answers alternate, and notices a host that vanished.
fn settle(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))
}

/// The configured peers of an AE title with the addresses of their hosts. A host that does not resolve has none.
pub(crate) async fn resolve(peers: Vec<Peer>, calling: &AeTitle) -> Vec<KnownPeer> {
    let mut known = Vec::new();
    for peer in peers.into_iter().filter(|peer| peer.ae_title == *calling) {
        let addresses = match &peer.host {
            Some(host) => Some(addresses(host).await),
            None => None,
        };
        known.push(KnownPeer { peer, addresses });
    }
    known
}

async fn addresses(host: &str) -> Vec<IpAddr> {
    if let Ok(address) = host.parse() {
        return vec![address];
    }
    match timeout(RESOLVE_LIMIT, lookup_host((host, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(host, "host of a configured peer does not resolve");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::Abort;
    use tokio::io::{DuplexStream, duplex};

    const RELEASE: [u8; 10] = [5, 0, 0, 0, 0, 4, 0, 0, 0, 0];

    impl Transport for DuplexStream {
        fn acknowledge(&self) {}
    }

    /// Both ends, ours with limits that a test can wait for.
    fn pair(room: usize) -> (DuplexStream, Wire<DuplexStream>) {
        let (peer, ours) = duplex(room);
        let mut wire = Wire::new(ours, &NodeConfig::default());
        (wire.pdu_limit, wire.write_limit) = (Duration::from_millis(200), Duration::from_millis(200));
        (peer, wire)
    }

    #[tokio::test]
    async fn one_pdu_in_many_segments_and_many_in_one_segment() {
        let (mut peer, mut wire) = pair(4096);
        let writer = async {
            for byte in RELEASE {
                peer.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            peer.write_all(&RELEASE.repeat(5)).await.unwrap();
        };
        let reader = async {
            for _ in 0..6 {
                assert!(matches!(wire.receive(None).await, Received::Pdu(Pdu::ReleaseRq)));
            }
        };
        tokio::join!(writer, reader);
    }

    #[tokio::test]
    async fn a_pdu_that_trickles_in_expires_and_silence_does_at_the_deadline() {
        let (mut peer, mut wire) = pair(4096);
        let trickle = async {
            for byte in RELEASE {
                peer.write_all(&[byte]).await.unwrap();
                sleep(Duration::from_millis(50)).await;
            }
        };
        let (_, received) = tokio::join!(trickle, wire.receive(None));
        assert!(matches!(received, Received::Expired));

        let (_peer, mut wire) = pair(4096);
        let deadline = Instant::now() + Duration::from_millis(20);
        assert!(matches!(wire.receive(Some(deadline)).await, Received::Expired));
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (_peer, mut wire) = pair(16);
        assert_eq!(wire.send(&[0; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn both_ends_send_at_once_and_keep_the_connection_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let serve = |stream: TcpStream, _, _| {
            let (settled, stop) = (is_settled(&stream), stop.clone());
            async move {
                assert!(settled);
                stop.cancel();
            }
        };
        let door = Admission::new(1, 1);
        let ask = async {
            let stream = connect(&address, Duration::from_secs(5)).await.unwrap();
            assert!(is_settled(&stream));
            stop.cancelled().await;
        };
        let listening = listen(listener, &door, &stop, Duration::from_secs(5), TURNED_AWAY, serve);
        timeout(Duration::from_secs(5), async { tokio::join!(listening, ask) }).await.unwrap();
    }

    fn is_settled(stream: &TcpStream) -> bool {
        stream.nodelay().unwrap() && SockRef::from(stream).keepalive().unwrap()
    }

    #[tokio::test]
    async fn a_truncated_pdu_is_a_close_and_an_oversized_one_a_fault() {
        let (mut peer, mut wire) = pair(4096);
        peer.write_all(&RELEASE[..7]).await.unwrap();
        drop(peer);
        assert!(matches!(wire.receive(None).await, Received::Closed(None)));

        let (mut peer, mut wire) = pair(4096);
        peer.write_all(&[4, 0, 0x7F, 0xFF, 0xFF, 0xFF]).await.unwrap();
        let received = wire.receive(None).await;
        assert!(matches!(received, Received::Fault(Fault { abort: Abort::INVALID_PARAMETER, .. })));
    }
}
