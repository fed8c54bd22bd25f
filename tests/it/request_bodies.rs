//! Requests' bodies on their way up: held or passed on, always whole or not at all.

use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::emulator::Seen;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use crate::support::caller::{Answer, Caller, Protocol, ask, get, whole};
use crate::support::upload::upload;
use crate::support::upstream::{self, Peer};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const PATH: &str = "/v1/audio/transcriptions";
const HOLD: usize = 256 * 1024;

fn request<B>(stage: &Stage, body: B) -> Request<B> {
    Request::post(PATH)
        .header("host", stage.server.address().to_string())
        .header("content-type", "multipart/form-data; boundary=x")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookie("ada", "1"))
        .body(body)
        .unwrap()
}

/// Bytes that show it when a piece is lost, repeated or moved.
pub fn bytes(length: usize) -> Bytes {
    let pattern = (0u32..).flat_map(u32::to_be_bytes);
    pattern.take(length).collect::<Vec<_>>().into()
}

/// Asserts that the one request upstream is this body, framed in this way.
fn assert_arrived(stage: &Stage, answer: &Answer, body: &Bytes, declared: bool) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = format!("received {} bytes", body.len());
    assert!(answer.text().contains(&said), "{}", answer.text());
    stage.emulator.log().read(|seen| {
        let got = seen.to_path(PATH).last().unwrap();
        assert_eq!(got.body_bytes, body.len());
        let kept = got.body.len();
        assert!(got.body == body[..kept], "the bytes changed on the way");
        let length = body.len().to_string();
        assert_eq!(got.header("content-length"), declared.then_some(&*length));
        let coding = (!declared).then_some("chunked");
        assert_eq!(got.header("transfer-encoding"), coding);
    });
}

#[tokio::test]
async fn a_declared_body_goes_up_whole_with_its_length() {
    let stage = Stage::new().await;
    for protocol in BOTH {
        for length in [1, 1000, HOLD, HOLD + 1, 3_000_000] {
            let body = bytes(length);
            let request = request(&stage, Full::new(body.clone()));
            let answer = ask(stage.server.address(), protocol, request).await;
            assert_arrived(&stage, &answer, &body, true);
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_goes_up_whole_held_or_chunked() {
    let stage = Stage::new().await;
    for protocol in BOTH {
        for length in [1, 1000, HOLD, HOLD + 1, 3_000_000] {
            let whole_body = bytes(length);
            let (pieces, body) = upload();
            let request = request(&stage, body);
            let mut caller = Caller::connect(stage.server.address(), protocol).await;
            let sending = async {
                let mut rest = whole_body.clone();
                while !rest.is_empty() {
                    let piece = rest.split_to(rest.len().min(10_007));
                    pieces.send(Ok(piece)).await.unwrap();
                }
                drop(pieces);
            };
            let (response, ()) = tokio::join!(caller.send(request), sending);
            let answer = whole(response.unwrap()).await.unwrap();
            assert_arrived(&stage, &answer, &whole_body, length <= HOLD);
        }
    }
}

#[tokio::test]
async fn a_body_over_the_hold_limit_is_passed_on_while_it_comes() {
    let stage = Stage::new().await;
    for protocol in BOTH {
        let (pieces, body) = upload();
        let request = request(&stage, body);
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let whole_body = bytes(HOLD * 2);
        let sending = async {
            let mut rest = whole_body.clone();
            let first = rest.split_to(HOLD + HOLD / 2);
            pieces.send(Ok(first.clone())).await.unwrap();
            let log = stage.emulator.log();
            let came = |seen: &Seen| {
                let got = seen.to_path(PATH).last()?;
                (got.ended.is_none() && got.body_bytes == first.len()).then_some(())
            };
            let came = log.wait_for(PATIENCE, came).await;
            came.expect("what was sent is held back");
            pieces.send(Ok(rest)).await.unwrap();
            drop(pieces);
        };
        let (response, ()) = tokio::join!(caller.send(request), sending);
        let answer = whole(response.unwrap()).await.unwrap();
        assert_arrived(&stage, &answer, &whole_body, false);
    }
}

/// The wait for an answer begins when the request is out: a long upload is no late answer.
#[tokio::test]
async fn a_slow_upload_is_not_a_late_answer_but_a_stalled_one_is() {
    let stage = Stage::with(&[("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "500ms")]).await;
    for protocol in BOTH {
        let (pieces, body) = upload();
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let sending = async {
            pieces.send(Ok(bytes(HOLD + 1))).await.unwrap();
            for _ in 0..12 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                pieces.send(Ok(Bytes::from_static(b"more"))).await.unwrap();
            }
            drop(pieces);
        };
        let (response, ()) = tokio::join!(caller.send(request(&stage, body)), sending);
        let answer = whole(response.unwrap()).await.unwrap();
        assert_eq!(answer.status, 200, "{protocol:?} {answer:?}");

        let (pieces, body) = upload();
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let sending = pieces.send(Ok(bytes(HOLD + 1)));
        let (response, sent) = tokio::join!(caller.send(request(&stage, body)), sending);
        sent.unwrap();
        let answer = whole(response.unwrap()).await.unwrap();
        assert_eq!(answer.status, 504, "{protocol:?} {answer:?}");
        assert_eq!(answer.code(), Some("upstream_timeout"));
    }
}

/// A slow sender of a small body takes no upstream connection.
#[tokio::test]
async fn a_body_under_the_hold_limit_is_read_before_upstream_is_called() {
    let stage = Stage::new().await;
    for protocol in BOTH {
        stage.emulator.reset();
        let (pieces, body) = upload();
        let request = request(&stage, body);
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let sending = async {
            pieces.send(Ok(bytes(100))).await.unwrap();
            let session = "behest_gateway_sessions_total{outcome=\"ok\",provider=\"authjs-v5\"}";
            let until = behest_gateway::clock::monotonic() + PATIENCE;
            let wanted = if protocol == Protocol::Http1 {
                1.0
            } else {
                2.0
            };
            while stage.metric(session) < wanted {
                assert!(
                    behest_gateway::clock::monotonic() < until,
                    "{}",
                    stage.metrics()
                );
                tokio::task::yield_now().await;
            }
            let early = |seen: &Seen| seen.to_path(PATH).next().map(|_| ());
            let early = stage
                .emulator
                .log()
                .wait_for(Duration::from_millis(50), early);
            assert_eq!(
                early.await,
                None,
                "upstream was called for half a small body"
            );
            drop(pieces);
        };
        let (response, ()) = tokio::join!(caller.send(request), sending);
        let answer = whole(response.unwrap()).await.unwrap();
        assert_arrived(&stage, &answer, &bytes(100), true);
    }
}

#[tokio::test]
async fn a_post_without_a_body_has_length_zero() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        let request = request(&stage, Full::<Bytes>::default());
        let answer = ask(stage.server.address(), protocol, request).await;
        assert_arrived(&stage, &answer, &Bytes::new(), true);
    }
}

#[tokio::test]
async fn a_body_is_asked_for_only_after_a_good_session() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let head = |cookie: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\n{cookie}content-type: multipart/form-data; boundary=x\r\n\
             expect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        )
    };
    let mut stranger = Wire::connect(address).await;
    stranger.write(head("")).await.unwrap();
    let refused = stranger.read_head().await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let mut user = Wire::connect(address).await;
    let session = format!("cookie: {}\r\n", cookie("ada", "1"));
    user.write(head(&session)).await.unwrap();
    assert_eq!(user.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        stage.emulator.log().read(|seen| seen.to_path(PATH).count()),
        0
    );
    user.write("hello").await.unwrap();
    let (answer, _) = user.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("received 5 bytes"));
    stage.emulator.log().read(|seen| {
        assert_eq!(seen.to_path(PATH).count(), 1);
        assert_eq!(seen.to_path(PATH).next().unwrap().header("expect"), None);
    });
}

/// Upstream answers before the body is there: the answer passes, and the body's end is not made up.
#[tokio::test]
async fn an_answer_to_half_a_body_passes() {
    let listener = upstream::listen().await;
    let (server, _process) = upstream::over(&listener, &[("GATEWAY_WORKERS", "1")]);
    for protocol in BOTH {
        let (pieces, body) = upload();
        let request = Request::post(PATH)
            .header("host", "a")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", cookie("ada", "1"))
            .body(body)
            .unwrap();
        let mut caller = Caller::connect(server.address(), protocol).await;
        let upstream = async {
            pieces.send(Ok(bytes(HOLD + 1))).await.unwrap();
            let mut peer = Peer::accept(&listener).await;
            let head = peer.read_head().await;
            assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
            let early = "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}";
            peer.write(early).await;
            peer
        };
        let (response, mut peer) = tokio::join!(caller.send(request), upstream);
        let answer = whole(response.unwrap()).await.unwrap();
        assert_eq!(answer.status, 413);
        assert_eq!(answer.text(), "{}");
        assert_eq!(answer.code(), None);
        let broken = std::io::Error::other("the user pulled the plug");
        // It may be gone already: the answer was all it wanted.
        let _ = pieces.send(Err(broken)).await;
        drop((caller, pieces));
        let rest = peer.read_to_end().await;
        assert!(
            !rest.ends_with(b"\r\n0\r\n\r\n"),
            "the half body was ended as if whole"
        );
    }
}

#[tokio::test]
async fn a_tokens_life_is_judged_by_the_time_after_the_body_was_read() {
    let clock = Clock::manual(unix_time().as_secs());
    let stage = Stage::at(clock.clone(), &[]).await;
    let session = cookie("ada", "1");
    let address = stage.server.address();
    let models = get(address, "/v1/models", &session);
    assert_eq!(ask(address, Protocol::Http1, models).await.status, 200);
    let body = r#"{"model":"emulator-fast","messages":[{"role":"user","content":"hi"}]}"#;
    let mut wire = Wire::connect(address).await;
    let length = body.len();
    wire.write(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncookie: {session}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ))
    .await
    .unwrap();
    let opened = r#"behest_gateway_sessions_total{outcome="ok",provider="authjs-v5"}"#;
    until("the session is open", async || stage.metric(opened) == 2.0).await;
    // Due for renewal, which the head's time would not show.
    clock.advance(Duration::from_secs(870));
    wire.write(body).await.unwrap();
    assert!(wire.read_head().await.starts_with("HTTP/1.1 200"));
    let renewed = |seen: &Seen| (seen.minted() == 2).then_some(());
    let renewed = stage.emulator.log().wait_for(PATIENCE, renewed).await;
    assert!(renewed.is_some(), "not renewed");
}
