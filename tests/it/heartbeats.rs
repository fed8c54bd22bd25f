//! Heartbeats: comments in an event stream while Behest is silent, so that what stands in front does
//! not cut a model that thinks; and nowhere else.

use std::time::Duration;

use behest_gateway::emulator::{Action, Fault, On, Seen};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::support::caller::{Caller, Protocol, ask, chat, get};
use crate::support::upstream::{Peer, Scripted, Step, listen, over, write};
use crate::support::waiting::{after, is_past, until};
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const OFTEN: (&str, &str) = ("GATEWAY_SERVER__HEARTBEAT", "20ms");
const BEAT: &str = ": heartbeat\n\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// Long enough for many heartbeats, where there are any.
const A_WHILE: Duration = Duration::from_millis(300);

/// What a caller has read of a stream.
struct Reading {
    body: Incoming,
    text: String,
}

impl Reading {
    /// Reads on until what has come satisfies `look`.
    async fn until(&mut self, look: impl Fn(&str) -> bool) {
        let give_up = after(PATIENCE);
        while !look(&self.text) {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let data = frame.expect("nothing comes any more").expect("it ended");
            let data = data.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
            assert!(!is_past(give_up), "not what was expected: {:?}", self.text);
        }
    }

    /// Reads on to the end; whether it was a good one.
    async fn read_to_end(&mut self) -> bool {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            match frame.expect("nothing comes any more") {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap();
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                }
            }
        }
    }
}

/// Whether two heartbeats have come after `event`.
fn beats_after(event: &str) -> impl Fn(&str) -> bool {
    move |text| {
        let after = text.split_once(event).map(|(_, after)| after);
        after.is_some_and(|after| after.matches(BEAT).count() >= 2)
    }
}

/// A stream whose head has come, and the upstream that has sent no more than it. The caller's
/// connection comes first and must be kept.
async fn begun(
    protocol: Protocol,
    env: &[(&str, &str)],
) -> (Caller, Reading, Peer, impl Sized + use<>) {
    let listener: TcpListener = listen().await;
    let gateway = over(&listener, env);
    let address = gateway.0.address();
    let mut caller = Caller::connect(address, protocol).await;
    let request = chat(address, &cookie("ada", "1"), true);
    let length = usize::try_from(request.body().size_hint().exact().unwrap()).unwrap();
    let sending = caller.send(request);
    let answering = async {
        let mut peer = Peer::accept(&listener).await;
        peer.read_head().await;
        peer.read_body(length).await;
        peer.write(STREAM).await;
        peer
    };
    let (response, peer) = tokio::join!(sending, answering);
    let body = response.unwrap().into_body();
    let text = String::new();
    (caller, Reading { body, text }, peer, gateway)
}

#[tokio::test]
async fn they_fill_silence_between_events_and_never_stand_within_one() {
    for protocol in BOTH {
        let (_caller, mut reading, mut peer, _gateway) = begun(protocol, &[OFTEN]).await;
        reading.until(beats_after("")).await;
        peer.write("data: one\n\n").await;
        reading.until(beats_after("data: one\n\n")).await;
        for cut in ["data: tw", "o\n"] {
            peer.write(cut).await;
            reading.until(|text| text.ends_with(cut)).await;
            tokio::time::sleep(A_WHILE).await;
        }
        peer.write("\n").await;
        reading.until(beats_after("data: two\n\n")).await;
        peer.write("data: [DONE]\n\n").await;
        drop(peer);
        assert!(reading.read_to_end().await);
        let events = reading.text.replace(BEAT, "");
        assert_eq!(
            events, "data: one\n\ndata: two\n\ndata: [DONE]\n\n",
            "{protocol:?}: {:?}",
            reading.text
        );
    }
}

#[tokio::test]
async fn answers_that_are_no_plain_event_stream_have_none() {
    let upstream = Scripted::new(&[OFTEN]).await;
    let address = upstream.server.address();
    for head in [
        "content-type: application/json\r\ntransfer-encoding: chunked",
        "content-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked",
        "content-type: text/event-stream\r\ncontent-length: 6",
    ] {
        let chunked = head.ends_with("chunked");
        let framed = |piece: &str| {
            let framed = format!("{:x}\r\n{piece}\r\n", piece.len());
            write(if chunked { &*framed } else { piece })
        };
        let end = if chunked { "0\r\n\r\n" } else { "" };
        upstream.script(vec![
            write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")),
            Step::Pause(A_WHILE),
            framed("a\n\n"),
            Step::Pause(A_WHILE),
            framed("b\n\n"),
            write(end),
        ]);
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let answer = ask(address, Protocol::Http1, request).await;
        assert_eq!(answer.text(), "a\n\nb\n\n", "{head}");
    }
}

#[tokio::test]
async fn off_means_none() {
    let off = ("GATEWAY_SERVER__HEARTBEAT", "0s");
    let (_caller, mut reading, mut peer, _gateway) = begun(Protocol::Http1, &[off]).await;
    tokio::time::sleep(A_WHILE).await;
    peer.write("data: [DONE]\n\n").await;
    drop(peer);
    assert!(reading.read_to_end().await);
    assert_eq!(reading.text, "data: [DONE]\n\n");
}

#[tokio::test]
async fn they_do_not_keep_a_silent_behest_from_being_given_up() {
    for protocol in BOTH {
        let env = [OFTEN, ("GATEWAY_UPSTREAM__IDLE_TIMEOUT", "400ms")];
        let stage = Stage::with(&env).await;
        let stall = Fault::once(On::Data, Action::StallAfter { frames: 2 });
        stage.emulator.faults().push(stall);
        let address = stage.server.address();
        let mut caller = Caller::connect(address, protocol).await;
        let response = caller.send(chat(address, &cookie("ada", "1"), true)).await;
        let body = response.unwrap().into_body();
        let text = String::new();
        let mut reading = Reading { body, text };
        assert!(!reading.read_to_end().await, "a clean end");
        assert!(reading.text.contains(BEAT));
        assert!(
            reading.text.contains("\"code\":\"upstream_idle\""),
            "{}",
            reading.text
        );
        // They are 20 ms apart at least, and the end does not move.
        assert!(reading.text.matches(BEAT).count() < 20);
        let gone = |seen: &Seen| (seen.in_flight == 0).then_some(());
        let gone = stage.emulator.log().wait_for(PATIENCE, gone).await;
        gone.expect("the silent exchange is still under way");
    }
}

#[tokio::test]
async fn they_are_no_bytes_of_behests() {
    let stage = Stage::with(&[OFTEN]).await;
    let stall = Fault::once(On::Data, Action::StallAfter { frames: 0 });
    stage.emulator.faults().push(stall);
    let address = stage.server.address();
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let response = caller.send(chat(address, &cookie("ada", "1"), true)).await;
    let body = response.unwrap().into_body();
    let text = String::new();
    let mut reading = Reading { body, text };
    reading.until(beats_after("")).await;
    drop((reading, caller));
    let left = "behest_gateway_client_disconnects_total{phase=\"before_first_byte\"}";
    until("the caller's leaving is counted", async || {
        stage.metric(left) == 1.0
    })
    .await;
}
