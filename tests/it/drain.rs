//! The end: not ready, no new connections, live streams finish or are told why they do not.

use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On};
use behest_gateway::server::Server;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::support::caller::{Caller, Protocol, ask, chat, get};
use crate::support::program::{Program, environment};
use crate::support::waiting::{after, is_past, until};
use crate::support::{Stage, cookie};

/// Waits for the server's end, which must come within `limit`.
async fn join_within(server: Server, limit: Duration) {
    let ended = tokio::task::spawn_blocking(move || server.join());
    let ended = tokio::time::timeout(limit, ended).await;
    ended.expect("the server did not end").unwrap();
}

/// A stream whose first frame is there.
async fn open_stream(stage: &Stage, protocol: Protocol) -> (Caller, Incoming, Vec<u8>) {
    let address = stage.server.address();
    let mut caller = Caller::connect(address, protocol).await;
    let request = chat(address, &cookie("ada", "1"), true);
    let mut body = caller.send(request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    (caller, body, first.to_vec())
}

async fn ready(stage: &Stage) -> u16 {
    let admin = stage.server.admin_address();
    let answer = ask(admin, Protocol::Http1, get(admin, "/readyz", "")).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn readiness_goes_first_then_the_listener_and_live_streams_finish() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let stage = Stage::with(&[("GATEWAY_SERVER__DRAIN_DELAY", "400ms")]).await;
        let address = stage.server.address();
        assert_eq!(ready(&stage).await, 200);
        let (caller, body, _) = open_stream(&stage, protocol).await;
        let delay_ends = after(Duration::from_millis(400));
        stage.server.drain();
        assert_eq!(ready(&stage).await, 503);
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let answer = ask(address, protocol, request).await;
        assert!(answer.status == 200 || is_past(delay_ends), "{answer:?}");
        until("the listener is closed", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        assert!(is_past(delay_ends), "closed too early");
        assert_eq!(ready(&stage).await, 503, "readiness is told to the end");
        let text = body.collect().await.unwrap().to_bytes();
        assert!(text.ends_with(b"data: [DONE]\n\n"), "{protocol:?}");
        let Stage {
            server, emulator, ..
        } = stage;
        // The caller keeps its connection: it is the server that closes it.
        join_within(server, Duration::from_secs(3)).await;
        emulator.log().read(|seen| assert_eq!(seen.disconnects, 0));
        drop(caller);
    }
}

#[tokio::test]
async fn beyond_the_limit_a_stream_is_told_why_and_cut() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let stage = Stage::with(&[("GATEWAY_SERVER__DRAIN_LIMIT", "300ms")]).await;
        let faults = stage.emulator.faults();
        faults.push(Fault::once(On::Data, Action::StallAfter { frames: 3 }));
        let (caller, mut body, mut text) = open_stream(&stage, protocol).await;
        stage.server.drain();
        let broken = loop {
            match body.frame().await {
                Some(Ok(frame)) => text.extend(frame.into_data().unwrap()),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        let text = String::from_utf8(text).unwrap();
        assert!(broken, "a clean end: {text}");
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        let last = last.strip_prefix("data: ").unwrap();
        let event: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["error"]["code"], "drained", "{text}");
        assert!(!text.contains("[DONE]"));
        let drained =
            "behest_gateway_requests_total{code=\"drained\",route=\"/v1/chat/completions\"}";
        until("it is counted", async || stage.metric(drained) == 1.0).await;
        let Stage {
            server, emulator, ..
        } = stage;
        join_within(server, Duration::from_secs(3)).await;
        let left = |seen: &behest_gateway::emulator::Seen| (seen.disconnects == 1).then_some(());
        let left = emulator.log().wait_for(Duration::from_secs(2), left).await;
        assert!(left.is_some(), "Behest must see it end");
        drop(caller);
    }
}

#[tokio::test]
async fn a_stream_that_flows_beyond_the_limit_is_cut_too() {
    let stage = Stage::with(&[("GATEWAY_SERVER__DRAIN_LIMIT", "200ms")]).await;
    let address = stage.server.address();
    let mut request = chat(address, &cookie("ada", "1"), true);
    let body = r#"{"model":"long","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    *request.body_mut() = http_body_util::Full::new(body.into());
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let body = caller.send(request).await.unwrap().into_body();
    let reading = tokio::spawn(body.collect());
    stage.server.drain();
    join_within(stage.server, Duration::from_secs(3)).await;
    assert!(reading.await.unwrap().is_err(), "a clean end");
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_the_end_up() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let mut idle = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut caller = Caller::connect(address, protocol).await;
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let response = caller.send(request).await.unwrap();
        crate::support::caller::whole(response).await.unwrap();
        idle.push(caller);
    }
    let silent = TcpStream::connect(address).await.unwrap();
    until("all are open", async || {
        stage.metric("behest_gateway_connections") == 3.0
    })
    .await;
    stage.server.drain();
    join_within(stage.server, Duration::from_secs(3)).await;
    drop((idle, silent));
}

#[tokio::test]
async fn the_program_finishes_a_live_stream_on_term_and_exits_0() {
    let emulator = Emulator::start(EmulatorConfig {
        frame_delay: Duration::from_millis(10),
        ..EmulatorConfig::default()
    });
    let emulator = emulator.await.unwrap();
    let mut program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let mut caller = Caller::connect(program.address, Protocol::Http1).await;
    let request = chat(program.address, &cookie("ada", "1"), true);
    let mut body = caller.send(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    program.signal("TERM");
    until("it drains", async || program.text().contains("draining")).await;
    let text = body.collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"data: [DONE]\n\n"));
    assert_eq!(program.exit_code().await, Some(0));
    // What it has written may not have been read yet.
    let flushed = async || program.accesses().len() == 1;
    until("its line was flushed at the end", flushed).await;
    assert_eq!(program.accesses()[0]["status"], 200);
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let emulator = Emulator::start(EmulatorConfig::default()).await.unwrap();
    let faults = emulator.faults();
    faults.push(Fault::once(On::Data, Action::StallAfter { frames: 2 }));
    let mut program = Program::serve(&environment(&emulator.base_url(), &[])).await;
    let mut caller = Caller::connect(program.address, Protocol::Http1).await;
    let request = chat(program.address, &cookie("ada", "1"), true);
    let response = caller.send(request).await.unwrap();
    program.signal("INT");
    until("it drains", async || program.text().contains("draining")).await;
    program.signal("INT");
    let began = after(Duration::ZERO);
    assert_eq!(program.exit_code().await, Some(1));
    assert!(after(Duration::ZERO) - began < Duration::from_secs(5));
    drop(response);
}
