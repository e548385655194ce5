//! An HTTP proxy in front of the S3 server of the tests, which does to requests what networks and stores do.

use crate::support::{Home, bucket};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Connections are closed before they are answered.
    Down,
    /// Each answer takes so long.
    Slow(Duration),
    /// Each fifth PUT is answered with 500.
    OnePutInFiveFails,
    /// Only half of what is asked for comes before the connection breaks.
    Torn,
    /// Only half of what is asked for comes, and the header says that it is all.
    Short,
    /// A bit in the middle of what is asked for is another.
    Garbled,
}

pub struct Proxy {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    weather: Weather,
    puts: u32,
    requests: u32,
}

impl Proxy {
    /// `None`, with the reason printed, without an S3 server.
    pub async fn start() -> Option<Self> {
        bucket()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(Mutex::new(State { weather: Weather::Fair, puts: 0, requests: 0 }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A connection that breaks is what this is about.
                tokio::spawn(pass_on(client, shared.clone()));
            }
        });
        Some(Self { port, state })
    }

    /// The archive's store is behind this proxy.
    pub fn before(&self, home: Home) -> Home {
        let mut home = home.in_bucket(&bucket().expect("a bucket"), "S3 behind a proxy");
        let query = format!("?endpoint=http://127.0.0.1:{}", self.port);
        home.config.store_url.as_mut().expect("a store").push_str(&query);
        home
    }

    pub fn set(&self, weather: Weather) {
        self.state.lock().expect("the state").weather = weather;
    }

    /// Requests so far, each attempt.
    pub fn requests(&self) -> u32 {
        self.state.lock().expect("the state").requests
    }

    /// PUT requests so far.
    pub fn puts(&self) -> u32 {
        self.state.lock().expect("the state").puts
    }
}

async fn pass_on(mut client: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    let weather = {
        let mut state = state.lock().expect("the state");
        state.requests += 1;
        state.puts += u32::from(head.starts_with("PUT "));
        if state.weather == Weather::OnePutInFiveFails && (!head.starts_with("PUT ") || !state.puts.is_multiple_of(5)) {
            Weather::Fair
        } else {
            state.weather
        }
    };
    match weather {
        Weather::Down => return Ok(()),
        Weather::Slow(wait) => tokio::time::sleep(wait).await,
        Weather::OnePutInFiveFails => {
            let answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(answer).await;
        }
        Weather::Fair | Weather::Torn | Weather::Short | Weather::Garbled => {}
    }
    let mut answer = ask(&head, &body).await?;
    if head.starts_with("GET ") && matches!(weather, Weather::Torn | Weather::Short) {
        answer = halved(&answer, weather == Weather::Short);
    }
    if head.starts_with("GET ") && weather == Weather::Garbled {
        let middle = (answer.len() + start_of_body(&answer)) / 2;
        answer[middle] ^= 1;
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).map_err(io::Error::other)?;
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

async fn ask(head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let endpoint = std::env::var("AWS_ENDPOINT").map_err(io::Error::other)?;
    let mut server = TcpStream::connect(endpoint.trim_start_matches("http://")).await?;
    server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes()).await?;
    server.write_all(body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// An answer with half of its body; `told` when its header says so.
fn halved(answer: &[u8], told: bool) -> Vec<u8> {
    let (head, body) = answer.split_at(start_of_body(answer));
    let mut head = String::from_utf8_lossy(head).into_owned();
    let half = &body[..body.len() / 2];
    if let Some(length) = header(&head, "content-length").filter(|_| told).map(str::to_owned) {
        head = head.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", half.len()));
    }
    [head.as_bytes(), half].concat()
}

fn start_of_body(answer: &[u8]) -> usize {
    answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a header") + 4
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
