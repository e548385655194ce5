//! Routes against receivers that misbehave, on loopback.

use super::*;
use crate::{
    config::{FhirMode, Secret},
    error::FailureKind,
    hl7::{Charset, Message, charset, mllp},
    imaging_result::example,
};
use serde_json::{Value, json};
use std::future::Future;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Serves one connection and gives back what `serve` makes of it.
async fn receiver<F, T>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (String, JoinHandle<T>)
where
    F: Future<Output = T> + Send,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await }))
}

async fn read_until(stream: &mut TcpStream, complete: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !complete(&bytes) {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the sender gave up");
    }
    bytes
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let bytes = read_until(stream, |bytes| bytes.ends_with(b"\x1c\r")).await;
    mllp::Decoder::new(1 << 20).next_frame(&mut &bytes[..]).unwrap().unwrap()
}

fn hl7(address: &str, charset: Charset) -> Route {
    let route = Hl7Route {
        name: "emr".into(),
        address: address.into(),
        charset,
        acknowledgement_seconds: 1,
        ..Hl7Route::default()
    };
    Route::hl7(&route, &IntegrationConfig::default())
}

/// Delivers to a receiver that answers the message with what `answer` makes of its control id.
async fn deliver(answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static) -> Result<String, DeliveryError> {
    let (address, serving) = receiver(|mut stream| async move {
        let message = read_frame(&mut stream).await;
        let text = String::from_utf8(message).unwrap();
        let control_id = Message::parse(&text).unwrap().segment("MSH").unwrap().component(10, 1);
        stream.write_all(&answer(&control_id)).await.unwrap();
    })
    .await;
    let delivered = hl7(&address, Charset::Utf8).deliver(&example::result()).await;
    serving.await.unwrap();
    delivered
}

fn framed(msa: &str) -> Vec<u8> {
    mllp::frame(format!("MSH|^~\\&|EMR||YINGHAI||20261123||ACK^R01^ACK|9|P|2.5.1\r{msa}\r").as_bytes())
}

async fn check(answer: impl FnOnce(&str) -> Vec<u8> + Send + 'static, expected: FailureKind) {
    let error = deliver(answer).await.unwrap_err();
    assert_eq!(error.kind(), expected, "{error}");
}

#[tokio::test]
async fn an_accepted_message_is_delivered() {
    assert_eq!(deliver(|id| framed(&format!("MSA|AA|{id}|filed"))).await.unwrap(), "AA: filed");
}

#[tokio::test]
async fn an_answer_that_says_nothing_about_the_message_leaves_it_to_be_sent_again() {
    check(|_| framed("MSA|AA|other"), FailureKind::Unreachable).await;
    check(|_| framed("NTE|1"), FailureKind::Unreachable).await;
    check(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), FailureKind::Unreachable).await;
    check(|_| b"\x0b\xff\xfe\x1c\r".to_vec(), FailureKind::Unreachable).await;
    check(|_| Vec::new(), FailureKind::Unreachable).await;
    check(|id| framed(&format!("MSA|AA|{id}"))[..60].to_vec(), FailureKind::Unreachable).await;
}

#[tokio::test]
async fn a_refusal_is_told_from_a_rejection() {
    check(|id| framed(&format!("MSA|AE|{id}|busy")), FailureKind::Refused).await;
    check(|id| framed(&format!("MSA|AR|{id}|never")), FailureKind::Final).await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, serving) = receiver(|mut stream| async move {
        read_frame(&mut stream).await;
        stream.write_all(b"\x0b").await.unwrap();
        while stream.write_all(&[b'A'; 4096]).await.is_ok() {}
    })
    .await;
    let error = hl7(&address, Charset::Utf8).deliver(&example::result()).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Frame(_)), "{error}");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_silent_receiver_and_an_absent_one_are_given_up_in_time() {
    let (address, serving) = receiver(|mut stream| async move {
        read_frame(&mut stream).await;
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    let error = hl7(&address, Charset::Utf8).deliver(&example::result()).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Timeout(_)), "{error}");
    serving.await.unwrap();
    let error = hl7(&address, Charset::Utf8).deliver(&example::result()).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Connect(_)), "{error}");
}

#[tokio::test]
async fn a_chinese_receiver_gets_gb18030_and_the_same_bytes_again() {
    let mut messages = Vec::new();
    for _ in 0..2 {
        let (address, serving) = receiver(|mut stream| async move { read_frame(&mut stream).await }).await;
        hl7(&address, Charset::Gb18030).deliver(&example::result()).await.unwrap_err();
        messages.push(serving.await.unwrap());
    }
    assert_eq!(messages[0], messages[1]);
    let text = charset::decode(&messages[0], Charset::Utf8);
    assert!(text.contains("|GB 18030-2000\r") && text.contains("王^小东"), "{text}");
}

fn fhir(address: &str, mode: FhirMode) -> Route {
    let route = FhirRoute {
        name: "emr".into(),
        base_url: format!("http://{address}/r4/"),
        token: Some(Secret::new("hunter2")),
        mode,
        ..FhirRoute::default()
    };
    Route::fhir(&route).unwrap()
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let bytes = read_until(stream, |bytes| body_of(bytes).is_some()).await;
    let (head, body) = body_of(&bytes).unwrap();
    (head.to_owned(), serde_json::from_slice(body).unwrap())
}

/// Head and body of a request that is complete.
fn body_of(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().unwrap();
    let body = &bytes[end + 4..];
    (body.len() == length).then_some((head, body))
}

fn response(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

async fn post(status: &'static str, body: Value) -> (Result<String, DeliveryError>, (String, Value)) {
    let (address, serving) = receiver(move |mut stream| async move {
        let request = read_request(&mut stream).await;
        stream.write_all(&response(status, &body)).await.unwrap();
        request
    })
    .await;
    let delivered = fhir(&address, FhirMode::Transaction).deliver(&example::result()).await;
    (delivered, serving.await.unwrap())
}

#[tokio::test]
async fn a_transaction_is_posted_to_the_base_with_the_token() {
    let (delivered, (head, body)) = post("200 OK", json!({"resourceType": "Bundle", "entry": []})).await;
    assert_eq!(delivered.unwrap(), "HTTP 200, 0 entries");
    assert!(head.starts_with("POST /r4 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer hunter2") && head.contains("application/fhir+json"), "{head}");
    assert_eq!(body["type"], "transaction");
}

#[tokio::test]
async fn a_server_that_says_no_is_quoted() {
    let issue = json!({"severity": "error", "code": "invalid", "diagnostics": "no such profile"});
    let outcome = json!({"resourceType": "OperationOutcome", "issue": [issue]});
    let error = post("422 Unprocessable", outcome).await.0.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Final);
    assert_eq!(error.to_string(), "server answered 422: invalid no such profile");
    assert_eq!(post("503 Busy", Value::Null).await.0.unwrap_err().kind(), FailureKind::Unreachable);
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let error = post("307 Elsewhere", Value::Null).await.0.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Final);
}

#[tokio::test]
async fn single_resources_go_one_by_one_until_one_is_refused() {
    let (address, serving) = receiver(|mut stream| async move {
        let mut heads = Vec::new();
        for status in ["201 Created", "200 OK", "400 Bad Request"] {
            heads.push(read_request(&mut stream).await.0);
            stream.write_all(&response(status, &Value::Null)).await.unwrap();
        }
        heads
    })
    .await;
    let error = fhir(&address, FhirMode::Resources).deliver(&example::result()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Final);
    let heads = serving.await.unwrap();
    for (head, kind) in heads.iter().zip(["Patient", "Device", "ImagingStudy"]) {
        assert!(head.starts_with(&format!("PUT /r4/{kind}/")), "{head}");
    }
}

#[test]
fn a_route_may_take_one_algorithm_only() {
    let report = example::report();
    let mut route = hl7("127.0.0.1:1", Charset::Utf8);
    assert!(route.takes(&report));
    route.algorithms = vec!["Other".into()];
    assert!(!route.takes(&report));
    route.algorithms.push(report.algorithm_name.clone());
    assert!(route.takes(&report));
}
