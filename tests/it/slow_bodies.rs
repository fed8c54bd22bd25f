//! Bodies that come more slowly than `limits.min_body_rate`: told so where no answer was begun, and
//! never whole for Behest.

use std::time::Duration;

use behest_gateway::emulator::Seen;
use bytes::Bytes;
use http::Request;

use crate::request_bodies::bytes;
use crate::support::caller::{Caller, Protocol, ask, get, whole};
use crate::support::frames::{END_HEADERS, Frames, HEADERS, frame, request as h2_request};
use crate::support::upload::{Upload, upload};
use crate::support::waiting::{after, is_past, until};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const PATH: &str = "/v1/audio/transcriptions";
const HOLD: usize = 256 * 1024;

/// A kilobyte a second, and half a second to fall behind.
const ENV: [(&str, &str); 2] = [
    ("GATEWAY_LIMITS__MIN_BODY_RATE", "1 KiB"),
    ("GATEWAY_LIMITS__BODY_GRACE", "500ms"),
];

fn request(stage: &Stage, body: Upload) -> Request<Upload> {
    Request::post(PATH)
        .header("host", stage.server.address().to_string())
        .header("content-type", "multipart/form-data; boundary=x")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookie("ada", "1"))
        .body(body)
        .unwrap()
}

/// Sends `first`, then ten bytes every tenth of a second for as long as they are taken.
async fn drip(stage: &Stage, protocol: Protocol, first: Bytes) -> crate::support::caller::Answer {
    let (pieces, body) = upload();
    let mut caller = Caller::connect(stage.server.address(), protocol).await;
    let sending = tokio::spawn(async move {
        if !first.is_empty() {
            pieces.send(Ok(first)).await.unwrap();
        }
        let give_up = after(PATIENCE);
        while !is_past(give_up) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let piece = Bytes::from_static(b"ten bytes.");
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    let response = tokio::time::timeout(PATIENCE, caller.send(request(stage, body))).await;
    let response = response.expect("it drips for ever").unwrap();
    let answer = whole(response).await.unwrap();
    sending.abort();
    answer
}

#[tokio::test]
async fn a_slow_body_that_is_held_is_told_so_and_goes_nowhere() {
    let stage = Stage::with(&ENV).await;
    for protocol in BOTH {
        for first in [0, 100, HOLD / 2] {
            let answer = drip(&stage, protocol, bytes(first)).await;
            assert_eq!(answer.status, 408, "{protocol:?} {answer:?}");
            assert_eq!(answer.code(), Some("request_timeout"));
            assert_eq!(answer.json()["error"]["code"], "request_timeout");
            let close = answer
                .headers
                .get("connection")
                .map(|v| v.to_str().unwrap());
            let expected = (protocol == Protocol::Http1).then_some("close");
            assert_eq!(close, expected, "{protocol:?}");
        }
    }
    let sent = stage.emulator.log().read(|seen| seen.to_path(PATH).count());
    assert_eq!(sent, 0, "upstream was called for it");
    let series =
        format!("behest_gateway_requests_total{{code=\"request_timeout\",route=\"{PATH}\"}}");
    until("they are counted", async || stage.metric(&series) == 6.0).await;
}

#[tokio::test]
async fn a_slow_body_that_is_passed_on_is_cut_upstream() {
    let stage = Stage::with(&ENV).await;
    for protocol in BOTH {
        stage.emulator.reset();
        let answer = drip(&stage, protocol, bytes(HOLD + 1)).await;
        assert_eq!(answer.status, 408, "{protocol:?} {answer:?}");
        let ended = |seen: &Seen| seen.to_path(PATH).last()?.ended;
        let ended = stage.emulator.log().wait_for(PATIENCE, ended).await;
        ended.expect("upstream's connection stays open");
        stage.emulator.log().read(|seen| {
            let got = seen.to_path(PATH).last().unwrap();
            assert_eq!(got.status, None, "it was answered as if it were whole");
        });
    }
}

#[tokio::test]
async fn a_body_that_keeps_the_rate_may_take_its_time() {
    let stage = Stage::with(&ENV).await;
    for protocol in BOTH {
        for first in [1000, HOLD + 1] {
            let (pieces, body) = upload();
            let mut caller = Caller::connect(stage.server.address(), protocol).await;
            let sending = async {
                pieces.send(Ok(bytes(first))).await.unwrap();
                // Four times the grace, at ten times the rate: a busy machine is late.
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    pieces.send(Ok(bytes(1000))).await.unwrap();
                }
                drop(pieces);
            };
            let (response, ()) = tokio::join!(caller.send(request(&stage, body)), sending);
            let answer = whole(response.unwrap()).await.unwrap();
            assert_eq!(answer.status, 200, "{protocol:?} {answer:?}");
        }
    }
}

/// On HTTP/1.1 the rest of the body would be the next request.
#[tokio::test]
async fn after_a_slow_body_the_connection_is_closed() {
    let stage = Stage::with(&ENV).await;
    let session = cookie("ada", "1");
    let mut wire = Wire::connect(stage.server.address()).await;
    wire.write(format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\ncookie: {session}\r\n\
         content-length: 1000\r\n\r\nslow"
    ))
    .await
    .unwrap();
    let head = wire.read_head().await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert!(head.contains("connection: close\r\n"), "{head}");
    let next = format!("GET /v1/models HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\r\n");
    let _ = wire.write(next).await;
    let (rest, _) = wire.read_to_end().await;
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
}

/// Streams that are opened and never say anything hold places of their user, for the grace.
#[tokio::test]
async fn streams_without_a_body_give_their_places_back() {
    let mut env = ENV.to_vec();
    env.push(("GATEWAY_LIMITS__REQUESTS_PER_USER", "100"));
    let stage = Stage::with(&env).await;
    let session = cookie("ada", "1");
    let block = h2_request(
        "POST",
        "/v1/chat/completions",
        &[("cookie", &session), ("content-type", "application/json")],
    );
    let mut frames = Frames::connect(stage.server.address()).await;
    for turn in 0..100 {
        frames
            .write(frame(HEADERS, END_HEADERS, turn * 2 + 1, &block))
            .await;
    }
    until("all of them wait", async || {
        stage.metric("behest_gateway_requests_in_flight") == 100.0
    })
    .await;
    let series =
        "behest_gateway_requests_total{code=\"request_timeout\",route=\"/v1/chat/completions\"}";
    until("all of them are told", async || {
        stage.metric(series) == 100.0
    })
    .await;
    let request = get(stage.server.address(), "/v1/models", &session);
    let answer = ask(stage.server.address(), Protocol::Http2, request).await;
    assert_eq!(answer.status, 200);
    assert!(!frames.is_ended(), "the connection itself did no wrong");
}

#[tokio::test]
async fn without_a_rate_a_body_may_take_for_ever() {
    let mut env = ENV.to_vec();
    env[0].1 = "0 B";
    let stage = Stage::with(&env).await;
    let (pieces, body) = upload();
    let mut caller = Caller::connect(stage.server.address(), Protocol::Http1).await;
    let sending = async {
        pieces.send(Ok(bytes(10))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1200)).await;
        drop(pieces);
    };
    let (response, ()) = tokio::join!(caller.send(request(&stage, body)), sending);
    assert_eq!(response.unwrap().status(), 200);
}
