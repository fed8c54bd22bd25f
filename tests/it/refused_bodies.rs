//! Requests' bodies that are too large, break off or are badly framed: Behest never sees one as whole.

use behest_gateway::clock::monotonic;
use behest_gateway::emulator::Seen;
use http::Request;
use http_body_util::Full;

use crate::request_bodies::bytes;
use crate::support::caller::{Caller, Protocol, ask, whole};
use crate::support::upload::upload;
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

#[tokio::test]
async fn a_body_declared_over_the_limit_is_refused_unread() {
    for protocol in BOTH {
        let stage = Stage::with(&[("GATEWAY_LIMITS__MAX_BODY", "1 MiB")]).await;
        let request = request(&stage, Full::new(bytes(1024 * 1024 + 1)));
        let answer = ask(stage.server.address(), protocol, request).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.code(), Some("body_too_large"));
        assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
    }
}

/// A browser shows the answer only if it is there before the reset that unread bytes cause.
#[tokio::test]
async fn a_caller_who_keeps_sending_still_reads_the_refusal() {
    let stage = Stage::with(&[("GATEWAY_LIMITS__MAX_BODY", "1 MiB")]).await;
    for _ in 0..5 {
        let mut wire = Wire::connect(stage.server.address()).await;
        let session = cookie("ada", "1");
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\ncookie: {session}\r\ncontent-length: 8000000\r\n\r\n"
        );
        wire.write(head).await.unwrap();
        // As a browser does: everything first, then the answer.
        wire.write(vec![b'x'; 8_000_000])
            .await
            .expect("reset while sending");
        let (answer, ended) = wire.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("body_too_large"));
        ended.expect("reset while reading");
    }
    assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
}

#[tokio::test]
async fn a_body_that_grows_over_the_limit_never_reaches_behest_whole() {
    for protocol in BOTH {
        let stage = Stage::with(&[("GATEWAY_LIMITS__MAX_BODY", "1 MiB")]).await;
        let (pieces, body) = upload();
        let request = request(&stage, body);
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let sending = async {
            // Refused at some point: then nobody takes the rest.
            while pieces.send(Ok(bytes(100_000))).await.is_ok() {}
        };
        let answer = async {
            let response = caller.send(request).await;
            let answer = whole(response.unwrap()).await;
            drop(caller);
            answer.unwrap()
        };
        let both = async { tokio::join!(answer, sending) };
        let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
        assert_eq!(answer.status, 413, "{answer:?}");
        assert_eq!(answer.code(), Some("body_too_large"));
        let ended = |seen: &Seen| seen.to_path(PATH).last()?.ended;
        stage
            .emulator
            .log()
            .wait_for(PATIENCE, ended)
            .await
            .unwrap();
        stage.emulator.log().read(|seen| {
            let got = seen.to_path(PATH).last().unwrap();
            assert_ne!(got.status, Some(200), "it was answered as if it were whole");
            assert!(got.body_bytes <= 1024 * 1024);
        });
    }
}

#[tokio::test]
async fn a_small_limit_holds_for_held_bodies_too() {
    for protocol in BOTH {
        let stage = Stage::with(&[("GATEWAY_LIMITS__MAX_BODY", "1 KiB")]).await;
        let (pieces, body) = upload();
        let request = request(&stage, body);
        let mut caller = Caller::connect(stage.server.address(), protocol).await;
        let sending = async { while pieces.send(Ok(bytes(400))).await.is_ok() {} };
        let answer = async {
            let answer = whole(caller.send(request).await.unwrap()).await;
            drop(caller);
            answer.unwrap()
        };
        let both = async { tokio::join!(answer, sending) };
        let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
        assert_eq!(answer.code(), Some("body_too_large"), "{answer:?}");
        assert_eq!(
            stage.emulator.log().read(|seen| seen.to_path(PATH).count()),
            0
        );
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_never_reaches_behest_whole() {
    for protocol in BOTH {
        for (length, seen_upstream) in [(1000, false), (HOLD * 2, true)] {
            let stage = Stage::new().await;
            let (pieces, body) = upload();
            let request = request(&stage, body);
            let mut caller = Caller::connect(stage.server.address(), protocol).await;
            let sending = async {
                pieces.send(Ok(bytes(length))).await.unwrap();
                if seen_upstream {
                    let came = |seen: &Seen| {
                        (seen.to_path(PATH).last()?.body_bytes == length).then_some(())
                    };
                    stage.emulator.log().wait_for(PATIENCE, came).await.unwrap();
                }
                let broken = std::io::Error::other("the user pulled the plug");
                pieces.send(Err(broken)).await.unwrap();
            };
            let (response, ()) = tokio::join!(caller.send(request), sending);
            drop(response.expect_err("the caller itself broke it off"));
            drop(caller);
            let gone = |stage: &Stage| stage.metric("behest_gateway_requests_in_flight") == 0.0;
            let until = monotonic() + PATIENCE;
            while !gone(&stage) {
                assert!(monotonic() < until, "still under way");
                tokio::task::yield_now().await;
            }
            if seen_upstream {
                let ended = |seen: &Seen| seen.to_path(PATH).last()?.ended;
                stage
                    .emulator
                    .log()
                    .wait_for(PATIENCE, ended)
                    .await
                    .unwrap();
            }
            stage.emulator.log().read(|seen| {
                assert_eq!(seen.to_path(PATH).count(), usize::from(seen_upstream));
                assert!(seen.to_path(PATH).all(|got| got.status != Some(200)));
            });
        }
    }
}

/// A body that ends early by the framing's own word: what came is refused, not sent.
#[tokio::test]
async fn a_body_that_is_badly_framed_never_reaches_behest_whole() {
    let stage = Stage::new().await;
    let session = cookie("ada", "1");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\ncookie: {session}\r\n"
    );
    let chunked = "transfer-encoding: chunked\r\n\r\n";
    let large = format!("{:x}\r\n{}\r\n", HOLD * 2, "x".repeat(HOLD * 2));
    for rest in [
        "content-length: 10\r\n\r\nhalf".to_owned(),
        format!("{chunked}5\r\nhello\r\n"),
        format!("{chunked}5\r\nhello\r\nzz\r\n\r\n"),
        format!("{chunked}5\r\nhelloworld\r\n0\r\n\r\n"),
        format!("{chunked}-1\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}{large}nonsense\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(stage.server.address()).await;
        wire.write(format!("{head}{rest}")).await.unwrap();
        wire.finish().await;
        let (answer, _) = wire.read_to_end().await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
    }
    let done = |seen: &Seen| (seen.in_flight == 0).then_some(());
    stage.emulator.log().wait_for(PATIENCE, done).await.unwrap();
    stage.emulator.log().read(|seen| {
        let answered: Vec<_> = seen.to_path(PATH).map(|got| got.status).collect();
        assert!(
            answered.iter().all(|status| *status != Some(200)),
            "{answered:?}"
        );
        assert!(answered.len() <= 1, "a held body went up: {answered:?}");
    });
}

#[tokio::test]
async fn ambiguous_framing_ends_the_connection() {
    let stage = Stage::new().await;
    let next = "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
    for head in [
        "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    ] {
        let mut wire = Wire::connect(stage.server.address()).await;
        wire.write(&format!("{head}{next}")).await.unwrap();
        let (answers, _) = wire.read_to_end().await;
        assert!(answers.starts_with("HTTP/1.1 400 "), "{head}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{head}: {answers}");
        assert!(answers.to_lowercase().contains("\r\nconnection: close\r\n"));
    }
    let went_up = stage
        .emulator
        .log()
        .read(|seen| seen.to_path("/v1/models").count());
    assert_eq!(went_up, 0);
}
