use super::*;
use axum::routing::get;
use std::future::pending;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::Instant,
};

const LIMITS: HttpConfig =
    HttpConfig { max_connections: 8, max_connections_per_address: 4, header_seconds: 1, write_seconds: 1 };

/// Much more than the system holds between two sockets, in bytes.
const LARGE: usize = 64 << 20;

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: HttpConfig) -> Self {
        let router = Router::new()
            .route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()))
            .route("/slow", get(async || sleep(Duration::from_secs(3)).await))
            .route("/never", get(async || pending::<()>().await))
            .route("/large", get(async || vec![0_u8; LARGE]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let serving = tokio::spawn(serve(listener, router, limits, shutdown.clone(), Duration::from_secs(5)));
        Self { address, shutdown, serving }
    }

    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn answer(&self, request: &str) -> String {
        read(self.send(request).await).await
    }
}

/// What comes until the end of the connection, in some seconds at the most.
async fn read(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end too.
    _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await.expect("the connection ends");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_request_is_answered_and_its_address_known() {
    let server = Server::start(LIMITS).await;
    let answer = server.answer(&request("/")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    assert!(answer.to_lowercase().contains("content-length: 9"), "{answer}");
}

#[tokio::test]
async fn who_sends_nothing_or_half_a_header_or_half_a_preface_is_cut() {
    let server = Server::start(LIMITS).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost:", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let start = Instant::now();
        read(server.send(begun).await).await;
        assert!((1..4).contains(&start.elapsed().as_secs()), "{begun:?} held on for {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_header_that_trickles_in_is_cut() {
    let server = Server::start(LIMITS).await;
    let mut stream = server.send("GET / HTTP/1.1\r\nX: ").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) && stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(4), "still open after {:?}", start.elapsed());
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_slow_handler_is_not() {
    let server = Server::start(LIMITS).await;
    let idle = read(server.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await).await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert!(server.answer(&request("/slow")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_after_a_while() {
    for (write_seconds, is_cut) in [(1, true), (60, false)] {
        let server = Server::start(HttpConfig { write_seconds, ..LIMITS }).await;
        let stalled = server.send(&request("/large")).await;
        sleep(Duration::from_secs(3)).await;
        assert_eq!(read(stalled).await.len() < LARGE, is_cut, "{write_seconds} s");
    }
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let server = Server::start(LIMITS).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(server.send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n").await);
    }
    assert_eq!(server.answer(&request("/")).await, "", "a fifth connection was served");
    held.pop();
    sleep(Duration::from_millis(100)).await;
    assert!(server.answer(&request("/")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn at_shutdown_requests_end_and_new_ones_are_refused() {
    let server = Server::start(LIMITS).await;
    let slow = server.send(&request("/slow")).await;
    sleep(Duration::from_millis(200)).await;
    server.shutdown.cancel();
    assert!(read(slow).await.starts_with("HTTP/1.1 200"));
    server.serving.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let server = Server::start(LIMITS).await;
    let fields = "X: y\r\n".repeat(MAX_HEADERS + 1);
    let answer = server.answer(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}
