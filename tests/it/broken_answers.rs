//! Behest breaks off, or falls silent, after the head: the caller gets a broken answer that says why
//! where it can; never a clean end.

use std::time::Duration;

use behest_gateway::emulator::{Action, Fault, On, Seen};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::support::caller::{Answer, Caller, Protocol, ask, chat, get, whole};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const CHAT: &str = "/v1/chat/completions";

fn raw(text: impl Into<String>) -> Action {
    Action::Raw { text: text.into() }
}

async fn models(stage: &Stage, protocol: Protocol) -> Answer {
    let address = stage.server.address();
    ask(
        address,
        protocol,
        get(address, "/v1/models", &cookie("ada", "1")),
    )
    .await
}

/// What a caller of a chat stream got before it ended, and how it ended.
async fn stream(stage: &Stage, protocol: Protocol) -> (Vec<String>, hyper::Result<()>) {
    let address = stage.server.address();
    let mut caller = Caller::connect(address, protocol).await;
    let request = chat(address, &cookie("ada", "1"), true);
    let response = caller.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut got = Vec::new();
    loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
        match frame.expect("nothing came any more") {
            None => return (got, Ok(())),
            Some(Err(error)) => return (got, Err(error)),
            Some(Ok(frame)) => {
                let data: Bytes = frame.into_data().unwrap();
                // HTTP/2 ends a stream with an empty frame.
                if !data.is_empty() {
                    got.push(String::from_utf8(data.into()).unwrap());
                }
            }
        }
    }
}

fn assert_broken(protocol: Protocol, error: &hyper::Error) {
    let source = std::error::Error::source(error).expect("no cause");
    match protocol {
        // The chunked coding has not come to its last chunk.
        Protocol::Http1 => {
            let kind = source.downcast_ref::<std::io::Error>().unwrap().kind();
            assert_eq!(kind, std::io::ErrorKind::UnexpectedEof);
        }
        Protocol::Http2 => {
            let reason = source.downcast_ref::<h2::Error>().unwrap().reason();
            assert_eq!(reason, Some(h2::Reason::INTERNAL_ERROR));
        }
    }
}

/// The error that an event carries.
fn error_of(event: &str) -> Value {
    let json = event.strip_prefix("data: ").unwrap();
    let json = json.strip_suffix("\n\n").unwrap();
    serde_json::from_str::<Value>(json).unwrap()["error"].take()
}

#[tokio::test]
async fn a_stream_that_is_cut_says_so_and_breaks() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        for (frames, reset) in [(0, false), (1, false), (5, false), (5, true)].repeat(4) {
            let action = Action::CutAfter { frames, reset };
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Path(CHAT.into()), action));
            let (got, ended) = stream(&stage, protocol).await;
            assert_broken(protocol, &ended.expect_err("a clean end"));
            assert_eq!(got.len(), frames + 1, "{protocol:?} {got:?}");
            let error = error_of(got.last().unwrap());
            assert_eq!(error["code"], "upstream_cut");
            assert_eq!(error["type"], "server_error");
            assert!(error["request_id"].as_str().unwrap().starts_with("gwr_"));
            assert!(!got.concat().contains("[DONE]"));
        }
        let cut =
            format!("behest_gateway_requests_total{{code=\"upstream_cut\",route=\"{CHAT}\"}}");
        assert_eq!(stage.metric(&cut), 16.0, "{}", stage.metrics());
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_an_unfinished_chunked_body() {
    let stage = Stage::new().await;
    let action = Action::CutAfter {
        frames: 2,
        reset: false,
    };
    stage
        .emulator
        .faults()
        .push(Fault::once(On::Path(CHAT.into()), action));
    let mut wire = Wire::connect(stage.server.address()).await;
    let body = r#"{"model":"emulator","stream":true,"messages":[{"role":"user","content":"a"}]}"#;
    let session = cookie("ada", "1");
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         cookie: {session}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    wire.write(request).await.unwrap();
    let (answer, _) = wire.read_to_end().await;
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
    assert!(answer.contains("upstream_cut"), "{answer}");
    assert!(
        !answer.contains("\r\n0\r\n"),
        "a last chunk was sent: {answer}"
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_within_an_event_only_breaks() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    for protocol in BOTH {
        let stage = Stage::new().await;
        let text = format!("{head}transfer-encoding: chunked\r\n\r\n8\r\ndata: {{\"\r\n");
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Path(CHAT.into()), raw(text)));
        let (got, ended) = stream(&stage, protocol).await;
        assert_broken(protocol, &ended.expect_err("a clean end"));
        assert_eq!(got.concat(), "data: {\"");
    }
}

/// An event more would fill the stated length: the broken stream would look whole.
#[tokio::test]
async fn a_stream_of_stated_length_that_is_cut_does_not_become_whole() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        let text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    content-length: 40\r\n\r\ndata: 1\n\n";
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Path(CHAT.into()), raw(text)));
        let (got, ended) = stream(&stage, protocol).await;
        ended.expect_err("a clean end");
        assert_eq!(got.concat(), "data: 1\n\n");
    }
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_breaks() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        for reset in [false, true] {
            let action = Action::CutAfter { frames: 1, reset };
            stage.emulator.faults().push(Fault::once(On::Data, action));
            let address = stage.server.address();
            let mut caller = Caller::connect(address, protocol).await;
            let request = get(address, "/v1/models", &cookie("ada", "1"));
            let response = caller.send(request).await.unwrap();
            assert_eq!(response.status(), 200);
            whole(response).await.expect_err("a clean end");
        }
        let cut = "behest_gateway_requests_total{code=\"upstream_cut\",route=\"/v1/models\"}";
        assert_eq!(stage.metric(cut), 2.0, "{}", stage.metrics());
    }
}

#[tokio::test]
async fn a_silent_stream_ends_after_the_idle_timeout_and_names_it() {
    for protocol in BOTH {
        let stage = Stage::with(&[("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "200ms")]).await;
        let action = Action::StallAfter { frames: 2 };
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Path(CHAT.into()), action));
        let (got, ended) = stream(&stage, protocol).await;
        assert_broken(protocol, &ended.expect_err("a clean end"));
        let error = error_of(got.last().unwrap());
        assert_eq!(error["code"], "upstream_idle");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("upstream.idle_timeout")
        );
        let gone = |seen: &Seen| (seen.in_flight == 0).then_some(());
        let gone = stage.emulator.log().wait_for(PATIENCE, gone).await;
        gone.expect("the silent exchange is still under way");
    }
}

/// The timeout is between bytes: a stream may last longer.
#[tokio::test]
async fn a_slow_stream_is_not_an_idle_one() {
    let env = [("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "600ms")];
    let stage = Stage::paced(Duration::from_millis(25), &env).await;
    let (got, ended) = stream(&stage, Protocol::Http1).await;
    ended.unwrap();
    assert_eq!(got.last().unwrap(), "data: [DONE]\n\n");
}

#[tokio::test]
async fn an_answer_that_only_its_connections_end_delimits_passes() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        let whole = models(&stage, protocol).await;
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Data, Action::NoLength));
        let answer = models(&stage, protocol).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, whole.body);
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Path(CHAT.into()), Action::NoLength));
        let (got, ended) = stream(&stage, protocol).await;
        ended.unwrap();
        assert!(got.concat().ends_with("data: [DONE]\n\n"));
    }
}

/// HTTP/1.0 has no chunks: a stream ends with its connection, so that only its last event tells a cut
/// from an end.
#[tokio::test]
async fn a_stream_that_is_cut_says_so_to_a_caller_of_http_1_0_too() {
    let stage = Stage::new().await;
    let action = Action::CutAfter {
        frames: 2,
        reset: false,
    };
    let fault = Fault::once(On::Path(CHAT.into()), action);
    stage.emulator.faults().push(fault);
    let mut wire = Wire::connect(stage.server.address()).await;
    let body = r#"{"model":"emulator","stream":true,"messages":[{"role":"user","content":"a"}]}"#;
    let session = cookie("ada", "1");
    let request = format!(
        "POST {CHAT} HTTP/1.0\r\nhost: a\r\ncontent-type: application/json\r\n\
         cookie: {session}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    wire.write(request).await.unwrap();
    let (answer, _) = wire.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.contains("\"code\":\"upstream_cut\""), "{answer}");
    assert!(!answer.contains("[DONE]"), "{answer}");
}
