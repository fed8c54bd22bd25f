//! The caller leaves: Behest must see it at once, whatever was under way and however they left.

use std::time::{Duration, Instant};

use behest_gateway::clock::monotonic;
use behest_gateway::emulator::{Action, Ending, Fault, On, RequestRecord, Seen};
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use crate::support::caller::{Caller, Protocol, ask, chat, chat_of, get, whole};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, Stage, cookie};

const CHAT: &str = "/v1/chat/completions";

/// What Behest's bill depends on.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A busy machine may be late once; a gateway that waits for something is late every time.
const TRIES: u32 = 3;

/// How a caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// HTTP/1.1: the connection ends.
    Http1,
    /// HTTP/2: the connection ends.
    Http2,
    /// HTTP/2: the one stream is reset, the connection stays.
    Stream,
}

const WAYS: [Leaving; 3] = [Leaving::Http1, Leaving::Http2, Leaving::Stream];

impl Leaving {
    fn protocol(self) -> Protocol {
        match self {
            Self::Http1 => Protocol::Http1,
            Self::Http2 | Self::Stream => Protocol::Http2,
        }
    }
}

fn last(seen: &Seen) -> &RequestRecord {
    seen.to_path(CHAT).last().expect("no chat request came")
}

/// Asserts that Behest saw the last chat request's caller leave, and returns how late.
async fn left(stage: &Stage, at: Instant) -> Duration {
    let ended = |seen: &Seen| {
        let ended = last(seen).ended?;
        assert_eq!(last(seen).ending, Some(Ending::ClientLeft));
        Some(ended.saturating_duration_since(at))
    };
    let late = stage.emulator.log().wait_for(PATIENCE, ended).await;
    late.expect("Behest never saw the caller leave")
}

/// Runs `once` so often; Behest must have heard of the leaving within [`AT_ONCE`] in one of them,
/// each must be counted under `phase`, and no connection that was left may be used again.
async fn heard_at_once(
    stage: &Stage,
    way: Leaving,
    phase: &str,
    tries: u32,
    once: impl AsyncFn() -> Instant,
) {
    let phase = format!("behest_gateway_client_disconnects_total{{phase=\"{phase}\"}}");
    let gone = format!("behest_gateway_requests_total{{code=\"client_gone\",route=\"{CHAT}\"}}");
    let before = (stage.metric(&phase), stage.metric(&gone));
    let mut fastest = Duration::MAX;
    for _ in 0..tries {
        let at = once().await;
        fastest = fastest.min(left(stage, at).await);
        let abandoned = stage.emulator.log().read(|seen| last(seen).connection);
        let address = stage.server.address();
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        assert_eq!(ask(address, way.protocol(), request).await.status, 200);
        let used = stage
            .emulator
            .log()
            .read(|seen| seen.to_path("/v1/models").last().unwrap().connection);
        assert_ne!(used, abandoned, "a connection that was left is used again");
    }
    assert!(fastest < AT_ONCE, "{way:?} {phase}: {fastest:?}");
    // The record was dropped before the connection upstream was, or with it.
    let added = |series: &str, before: f64| stage.metric(series) - before;
    let tries = f64::from(tries);
    assert_eq!(
        added(&phase, before.0),
        tries,
        "{way:?}\n{}",
        stage.metrics()
    );
    assert_eq!(
        added(&gone, before.1),
        tries,
        "{way:?}\n{}",
        stage.metrics()
    );
    assert_eq!(stage.metric("behest_gateway_requests_in_flight"), 0.0);
}

/// Ends the caller's side in this way, having got this far.
fn leave(way: Leaving, caller: Caller, response: Response<Incoming>) -> Instant {
    let at = monotonic();
    match way {
        Leaving::Http1 | Leaving::Http2 => drop((caller, response)),
        Leaving::Stream => {
            drop(response);
            // The connection lives on, as a browser's would.
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                drop(caller);
            });
        }
    }
    at
}

async fn begin(stage: &Stage, way: Leaving) -> (Caller, Response<Incoming>) {
    let address = stage.server.address();
    let mut caller = Caller::connect(address, way.protocol()).await;
    let request = chat(address, &cookie("ada", "1"), true);
    let response = caller.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    (caller, response)
}

async fn next(body: &mut Incoming) -> Bytes {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
    let frame = frame.expect("nothing came").expect("it ended").unwrap();
    frame.into_data().unwrap()
}

#[tokio::test]
async fn before_the_head() {
    for way in WAYS {
        let stage = Stage::new().await;
        heard_at_once(&stage, way, "before_head", TRIES, async || {
            let fault = Fault::once(On::Path(CHAT.into()), Action::StallBeforeHead);
            stage.emulator.faults().push(fault);
            let address = stage.server.address();
            let mut caller = Caller::connect(address, way.protocol()).await;
            let already = stage.emulator.log().read(|seen| seen.to_path(CHAT).count());
            let request = chat(address, &cookie("ada", "1"), true);
            let arrived = |seen: &Seen| (seen.to_path(CHAT).count() > already).then_some(());
            let at;
            {
                let sending = caller.send(request);
                tokio::select! {
                    _ = sending => panic!("an answer came"),
                    arrived = stage.emulator.log().wait_for(PATIENCE, arrived) => {
                        arrived.expect("nothing came upstream");
                        at = monotonic();
                    }
                }
            }
            match way {
                // Dropping the future has reset the stream.
                Leaving::Stream => drop(tokio::spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    drop(caller);
                })),
                Leaving::Http1 | Leaving::Http2 => drop(caller),
            }
            at
        })
        .await;
    }
}

#[tokio::test]
async fn before_the_first_token() {
    for way in WAYS {
        let stage = Stage::new().await;
        heard_at_once(&stage, way, "before_first_byte", TRIES, async || {
            let action = Action::StallAfter { frames: 0 };
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Path(CHAT.into()), action));
            let (caller, response) = begin(&stage, way).await;
            leave(way, caller, response)
        })
        .await;
    }
}

#[tokio::test]
async fn in_the_middle_while_upstream_is_silent() {
    for way in WAYS {
        let stage = Stage::new().await;
        heard_at_once(&stage, way, "mid_stream", TRIES, async || {
            let action = Action::StallAfter { frames: 3 };
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Path(CHAT.into()), action));
            let (caller, mut response) = begin(&stage, way).await;
            for _ in 0..3 {
                next(response.body_mut()).await;
            }
            leave(way, caller, response)
        })
        .await;
    }
}

#[tokio::test]
async fn in_the_middle_while_events_flow() {
    for way in WAYS {
        let stage = Stage::paced(Duration::from_millis(20), &[]).await;
        heard_at_once(&stage, way, "mid_stream", TRIES, async || {
            let (caller, mut response) = begin(&stage, way).await;
            for _ in 0..3 {
                next(response.body_mut()).await;
            }
            leave(way, caller, response)
        })
        .await;
    }
}

/// A page that is closed while much is on its way to it and it reads nothing any more.
#[tokio::test]
async fn in_the_middle_of_what_the_caller_does_not_read() {
    for way in WAYS {
        let stage = Stage::new().await;
        heard_at_once(&stage, way, "mid_stream", 1, async || {
            let action = Action::HugeAnswer { bytes: 24_000_000 };
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Path(CHAT.into()), action));
            let (caller, mut response) = begin(&stage, way).await;
            next(response.body_mut()).await;
            leave(way, caller, response)
        })
        .await;
    }
}

#[tokio::test]
async fn a_reset_stream_leaves_its_siblings_alone() {
    let stage = Stage::paced(Duration::from_millis(20), &[]).await;
    let address = stage.server.address();
    let mut caller = Caller::connect(address, Protocol::Http2).await;
    let body = json!({
        "model": "emulator", "stream": true, "max_tokens": 20,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let staying = caller
        .send(chat_of(address, &cookie("ada", "1"), &body))
        .await;
    let mut leaving = caller
        .send(chat(address, &cookie("ada", "1"), true))
        .await
        .unwrap();
    for _ in 0..3 {
        next(leaving.body_mut()).await;
    }
    drop(leaving);
    let answer = whole(staying.unwrap()).await.unwrap();
    assert!(answer.text().ends_with("data: [DONE]\n\n"), "{answer:?}");
    assert_eq!(answer.text().matches("data: ").count(), 23);
    let endings = |seen: &Seen| {
        let endings = seen.to_path(CHAT).map(|got| got.ending);
        endings.collect::<Option<Vec<_>>>()
    };
    let endings = stage.emulator.log().wait_for(PATIENCE, endings).await;
    assert_eq!(endings.unwrap(), [Ending::Complete, Ending::ClientLeft]);
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    assert_eq!(caller.send(request).await.unwrap().status(), 200);
}

/// The places of one user in flight come back when their callers leave.
#[tokio::test]
async fn a_caller_who_left_takes_no_place_any_more() {
    let stage = Stage::with(&[("GATEWAY_LIMITS__REQUESTS_PER_USER", "1")]).await;
    let action = Action::StallAfter { frames: 1 };
    stage
        .emulator
        .faults()
        .push(Fault::forever(On::Path(CHAT.into()), action));
    for way in WAYS {
        let (caller, mut response) = begin(&stage, way).await;
        next(response.body_mut()).await;
        let address = stage.server.address();
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let busy = ask(address, Protocol::Http1, request).await;
        assert_eq!(busy.code(), Some("user_busy"));
        let at = leave(way, caller, response);
        left(&stage, at).await;
    }
}

/// Half a request, then nothing: no upstream request comes of it.
#[tokio::test]
async fn in_the_middle_of_sending() {
    let stage = Stage::new().await;
    let mut wire = Wire::connect(stage.server.address()).await;
    let session = cookie("ada", "1");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         cookie: {session}\r\ncontent-length: 100\r\n\r\n{{\"model\":"
    );
    wire.write(head).await.unwrap();
    drop(wire);
    // The session was opened by then; the record ends with the connection.
    let series = "behest_gateway_client_disconnects_total{phase=\"before_head\"}";
    let refused =
        format!("behest_gateway_requests_total{{code=\"request_invalid\",route=\"{CHAT}\"}}");
    let until = monotonic() + PATIENCE;
    while stage.metric(series) + stage.metric(&refused) < 1.0 {
        assert!(monotonic() < until, "{}", stage.metrics());
        tokio::task::yield_now().await;
    }
    assert_eq!(
        stage.emulator.log().read(|seen| seen.to_path(CHAT).count()),
        0
    );
}

#[tokio::test]
async fn an_http2_reader_that_gives_no_window_is_cut_and_upstream_with_it() {
    let stage = Stage::with(&[("GATEWAY_SERVER__WRITE_STALL_TIMEOUT", "400ms")]).await;
    let address = stage.server.address();
    // What fits into no buffer on the way.
    let huge = Action::HugeAnswer { bytes: 20_000_000 };
    stage.emulator.faults().push(Fault::once(On::Data, huge));
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake::<_, bytes::Bytes>(socket)
        .await
        .unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) });
    let request = http::Request::get(format!("http://{address}/v1/models"))
        .header("cookie", cookie("ada", "1"))
        .body(())
        .unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let ended = tokio::time::timeout(PATIENCE, driver).await;
    assert!(ended.is_ok(), "the connection stays open");
    drop(response);
    let left = stage.emulator.log().wait_for(PATIENCE, |seen| {
        let asked = seen.to_path("/v1/models").next()?;
        (asked.ending == Some(Ending::ClientLeft)).then_some(())
    });
    left.await.expect("upstream still sends");
}

#[tokio::test]
async fn an_http2_reader_that_waits_for_a_silent_upstream_is_not_cut() {
    let stage = Stage::with(&[("GATEWAY_SERVER__WRITE_STALL_TIMEOUT", "200ms")]).await;
    let address = stage.server.address();
    let every = Duration::from_millis(500);
    let drip = Action::SlowDrip { bytes: 100, every };
    stage.emulator.faults().push(Fault::once(On::Data, drip));
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    assert_eq!(ask(address, Protocol::Http2, request).await.status, 200);
}
