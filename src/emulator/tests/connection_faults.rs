//! Faults that end, stall or corrupt the connection, and clients who leave.

use std::io::ErrorKind;
use std::time::Instant;

use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::time::monotonic;
use super::super::{Action, Ending, Fault, On};
use super::*;

/// Sends a request and reads until the connection ends; what came, and how it ended.
async fn raw(
    emulator: &Emulator,
    token: &str,
    path: &str,
    body: &str,
) -> (String, Option<ErrorKind>) {
    let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
    let method = if body.is_empty() { "GET" } else { "POST" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).await.err();
    (
        String::from_utf8_lossy(&answer).into_owned(),
        error.map(|error| error.kind()),
    )
}

const STREAM: &str =
    r#"{"model":"emulator-fast","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const CHAT: &str = "/v1/chat/completions";

async fn with_fault(action: Action) -> (Emulator, String) {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    emulator.faults().push(Fault::once(On::Data, action));
    (emulator, token)
}

#[tokio::test]
async fn a_connection_can_end_before_the_answer() {
    let (emulator, token) = with_fault(Action::Close).await;
    let (answer, error) = raw(&emulator, &token, "/v1/models", "").await;
    assert_eq!((answer.as_str(), error), ("", None));
    emulator.faults().push(Fault::once(On::Data, Action::Reset));
    let (answer, error) = raw(&emulator, &token, "/v1/models", "").await;
    assert_eq!(
        (answer.as_str(), error),
        ("", Some(ErrorKind::ConnectionReset))
    );
    emulator.log().read(|seen| {
        let endings: Vec<_> = seen.to_path("/v1/models").map(|r| r.ending).collect();
        assert_eq!(endings, [Some(Ending::Fault), Some(Ending::Fault)]);
        assert_eq!(seen.disconnects, 0);
    });
}

#[tokio::test]
async fn raw_bytes_arrive_as_they_stand() {
    let text = "HTTP/1.1 2000 ?\r\nx: y\r\n\r\nrest";
    let (emulator, token) = with_fault(Action::Raw { text: text.into() }).await;
    let (answer, error) = raw(&emulator, &token, "/v1/models", "").await;
    assert_eq!((answer.as_str(), error), (text, None));
}

#[tokio::test]
async fn a_stream_can_be_cut_after_so_many_events() {
    for (reset, ending) in [(false, None), (true, Some(ErrorKind::ConnectionReset))] {
        let (emulator, token) = with_fault(Action::CutAfter { frames: 3, reset }).await;
        let (answer, error) = raw(&emulator, &token, CHAT, STREAM).await;
        assert_eq!(answer.matches("data: ").count(), 3, "{answer}");
        assert!(!answer.contains("[DONE]") && !answer.ends_with("0\r\n\r\n"));
        assert_eq!(error, ending);
        emulator.log().read(|seen| {
            let cut = seen.requests.back().unwrap();
            assert_eq!((cut.ending, cut.frames_sent), (Some(Ending::Fault), 3));
        });
    }
}

#[tokio::test]
async fn a_plain_answer_can_be_cut_in_its_middle_or_after_its_head() {
    for frames in [0, 1] {
        let action = Action::CutAfter {
            frames,
            reset: false,
        };
        let (emulator, token) = with_fault(action).await;
        let (answer, _) = raw(&emulator, &token, "/v1/models", "").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let stated = head.split("content-length: ").nth(1).unwrap();
        let stated: usize = stated.lines().next().unwrap().parse().unwrap();
        assert_eq!(body.len(), frames * stated.div_ceil(2));
    }
}

#[tokio::test]
async fn a_client_who_leaves_a_silent_stream_is_seen_at_once() {
    let (emulator, token) = with_fault(Action::StallAfter { frames: 2 }).await;
    let mut body = open(emulator.addr(), chat(&token, true))
        .await
        .unwrap()
        .into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    assert_left(&emulator, CHAT, monotonic()).await;
}

#[tokio::test]
async fn a_client_who_leaves_before_the_head_is_seen_at_once() {
    let (emulator, token) = with_fault(Action::StallBeforeHead).await;
    let request = call(&token, "GET", "/v1/models", &Value::Null, &[]);
    let waiting = tokio::spawn(open(emulator.addr(), request));
    let came = emulator.log().wait_for(LIMIT, |seen| {
        (seen.in_flight == 1 && seen.to_path("/v1/models").count() == 1).then_some(())
    });
    came.await.unwrap();
    waiting.abort();
    assert_left(&emulator, "/v1/models", monotonic()).await;
}

#[tokio::test]
async fn a_client_who_leaves_a_running_stream_is_billed_for_what_went_out() {
    let emulator = started_with(|config| config.frame_delay = Duration::from_millis(20)).await;
    let token = mint(&emulator, "ada").await;
    let mut body = open(emulator.addr(), chat(&token, true))
        .await
        .unwrap()
        .into_body();
    for _ in 0..4 {
        body.frame().await.unwrap().unwrap();
    }
    drop(body);
    assert_left(&emulator, CHAT, monotonic()).await;
    let sent = emulator
        .log()
        .read(|seen| seen.requests.back().unwrap().frames_sent);
    let path = "/v1/billing/usage?from=2020-01-01&to=2999-12-31";
    let usage = send(&emulator, call(&token, "GET", path, &Value::Null, &[])).await;
    let billed = usage.json()["user"]["completion_tokens"].as_u64().unwrap();
    assert_eq!(
        billed,
        u64::try_from(sent - 1).unwrap(),
        "the first frame is no word"
    );
}

#[tokio::test]
async fn connections_are_counted_and_end_with_the_emulator() {
    let emulator = started().await;
    let stream = TcpStream::connect(emulator.addr()).await.unwrap();
    let open = |seen: &super::super::Seen| (seen.open_connections == 1).then_some(());
    emulator.log().wait_for(LIMIT, open).await.unwrap();
    drop(stream);
    let closed = |seen: &super::super::Seen| (seen.open_connections == 0).then_some(());
    emulator.log().wait_for(LIMIT, closed).await.unwrap();
    let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
    emulator.log().wait_for(LIMIT, open).await.unwrap();
    let addr = emulator.addr();
    emulator.shutdown().await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(addr).await.is_err());
    let again = started_with(|config| config.listen = addr).await;
    assert_eq!(again.addr(), addr);
}

/// The last request to `path` ended within a second of `left` because its client went.
async fn assert_left(emulator: &Emulator, path: &str, left: Instant) {
    let ended = emulator.log().wait_for(LIMIT, |seen| {
        let last = seen.to_path(path).last()?;
        (last.ending? == Ending::ClientLeft).then_some(last.ended?)
    });
    let ended = ended.await.unwrap();
    let took = ended.saturating_duration_since(left);
    assert!(took < Duration::from_secs(1), "{took:?}");
}
