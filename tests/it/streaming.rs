//! Answers on their way down: one event in is one event out, and nothing is held back, changed or
//! piled up.

use std::time::Duration;

use behest_gateway::emulator::{Action, Fault, On, RequestRecord, Seen};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::json;

use crate::support::caller::{Caller, Protocol, ask, chat, chat_of, get, whole};
use crate::support::{PATIENCE, Stage, cookie};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const CHAT: &str = "/v1/chat/completions";

/// The next piece of a body, as it comes off the connection.
async fn next(body: &mut Incoming) -> Option<hyper::Result<http_body::Frame<Bytes>>> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
    frame.expect("nothing comes any more")
}

fn last(seen: &Seen) -> &RequestRecord {
    seen.to_path(CHAT).last().expect("no chat request came")
}

#[tokio::test]
async fn every_event_arrives_alone_and_before_the_next_was_sent() {
    for protocol in BOTH {
        let stage = Stage::paced(Duration::from_millis(120), &[]).await;
        let address = stage.server.address();
        let mut caller = Caller::connect(address, protocol).await;
        let body = json!({
            "model": "emulator", "stream": true, "max_tokens": 4,
            "messages": [{"role": "user", "content": "hi"}],
        });
        let request = chat_of(address, &cookie("ada", "1"), &body);
        let response = caller.send(request).await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
        assert_eq!(headers["x-accel-buffering"], "no");
        assert_eq!(headers["cache-control"], "no-store, no-transform");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("content-encoding"));
        let mut body = response.into_body();
        let mut events = Vec::new();
        while let Some(frame) = next(&mut body).await {
            let data = frame.unwrap().into_data().expect("no trailers");
            let text = String::from_utf8(data.into()).unwrap();
            if text.is_empty() {
                // HTTP/2 ends a stream with an empty frame.
                continue;
            }
            events.push(text.clone());
            assert!(
                text.starts_with("data: ") && text.ends_with("\n\n"),
                "{text:?}"
            );
            assert_eq!(
                text.matches("\n\n").count(),
                1,
                "two events at once: {text:?}"
            );
            let sent = stage.emulator.log().read(|seen| last(seen).frames_sent);
            assert_eq!(sent, events.len(), "{protocol:?}: held back");
        }
        assert_eq!(events.len(), 7, "{events:?}");
        assert_eq!(events.last().unwrap(), "data: [DONE]\n\n");
    }
}

#[tokio::test]
async fn what_is_no_event_stream_is_not_stored_either() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for protocol in BOTH {
        let plain = chat(address, &cookie("ada", "1"), false);
        let refused = get(address, "/v1/models", "");
        for request in [plain, refused] {
            let answer = ask(address, protocol, request).await;
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert!(!answer.headers.contains_key("x-accel-buffering"));
            assert_eq!(
                answer.headers["content-length"],
                answer.body.len().to_string()
            );
        }
    }
}

#[tokio::test]
async fn trailers_and_interim_answers_are_dropped() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let text = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
                HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
                trailer: x-trace-id\r\n\r\n2\r\n{}\r\n0\r\nx-trace-id: late\r\nset-cookie: a=b\r\n\r\n";
    for protocol in BOTH {
        let text = text.to_owned();
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Data, Action::Raw { text }));
        let mut caller = Caller::connect(address, protocol).await;
        let mut request = get(address, "/v1/models", &cookie("ada", "1"));
        request
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
        let response = caller.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("trailer"));
        assert!(!response.headers().contains_key("link"));
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), None, "{protocol:?}");
        assert_eq!(collected.to_bytes(), "{}");
    }
}

#[tokio::test]
async fn nothing_is_compressed_or_decompressed() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for protocol in BOTH {
        let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
        let fault = Fault::once(On::Data, Action::Headers { headers });
        stage.emulator.faults().push(fault);
        let ask_for = |encoding: &str| {
            let mut request = get(address, "/v1/models", &cookie("ada", "1"));
            let headers = request.headers_mut();
            headers.insert("accept-encoding", encoding.parse().unwrap());
            request
        };
        let labelled = ask(address, protocol, ask_for("gzip, br")).await;
        assert_eq!(labelled.headers["content-encoding"], "gzip");
        assert_eq!(
            labelled.json()["object"],
            "list",
            "the bytes are as they came"
        );
        let plain = ask(address, protocol, ask_for("gzip, br")).await;
        assert!(!plain.headers.contains_key("content-encoding"));
        assert_eq!(plain.body, labelled.body);
        stage.emulator.log().read(|seen| {
            for got in seen.to_path("/v1/models") {
                assert_eq!(got.headers.get_all("accept-encoding").iter().count(), 1);
                assert_eq!(got.header("accept-encoding"), Some("identity"));
            }
        });
    }
}

#[tokio::test]
async fn a_head_answer_keeps_the_length_and_the_connection() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for protocol in BOTH {
        let mut caller = Caller::connect(address, protocol).await;
        let session = cookie("ada", "1");
        let of_get = caller.send(get(address, "/v1/models", &session)).await;
        let of_get = whole(of_get.unwrap()).await.unwrap();
        let head = Request::head("/v1/models")
            .header("host", address.to_string())
            .header("cookie", &session)
            .body(Full::<Bytes>::default())
            .unwrap();
        let of_head = whole(caller.send(head).await.unwrap()).await.unwrap();
        assert_eq!(of_head.status, 200);
        assert!(of_head.body.is_empty());
        for name in ["content-length", "content-type", "cache-control"] {
            assert_eq!(
                of_head.headers[name], of_get.headers[name],
                "{protocol:?} {name}"
            );
        }
        assert_eq!(
            of_head.headers["content-length"],
            of_get.body.len().to_string()
        );
        let again = caller.send(get(address, "/v1/models", &session)).await;
        assert_eq!(whole(again.unwrap()).await.unwrap().body, of_get.body);
        let methods = |seen: &Seen| {
            let methods = seen.to_path("/v1/models").map(|got| got.method.clone());
            methods.collect::<Vec<_>>()
        };
        let methods = stage.emulator.log().read(methods);
        assert!(methods.ends_with(&["GET".into(), "HEAD".into(), "GET".into()]));
    }
    assert_eq!(stage.emulator.log().read(|seen| seen.disconnects), 0);
}

#[tokio::test]
async fn a_large_answer_is_passed_on_byte_for_byte() {
    const BYTES: usize = 5_000_000;
    let stage = Stage::new().await;
    let address = stage.server.address();
    for protocol in BOTH {
        let fault = Fault::once(On::Data, Action::HugeAnswer { bytes: BYTES });
        stage.emulator.faults().push(fault);
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let answer = ask(address, protocol, request).await;
        assert_huge(&answer.body, BYTES);
    }
}

fn assert_huge(body: &[u8], bytes: usize) {
    let inner = body.strip_prefix(b"{\"huge\":\"").unwrap();
    let inner = inner.strip_suffix(b"\"}").unwrap();
    assert_eq!(inner.len(), bytes);
    assert!(inner == vec![b'x'; bytes], "the bytes changed on the way");
}

/// Nothing is read of the answer: what upstream has got rid of then is what the sockets' buffers and
/// the gateway hold, and it stays so.
#[tokio::test]
async fn a_caller_who_stops_reading_holds_upstream_back() {
    const BYTES: usize = 40_000_000;
    for protocol in BOTH {
        let stage = Stage::new().await;
        let address = stage.server.address();
        let fault = Fault::once(On::Data, Action::HugeAnswer { bytes: BYTES });
        stage.emulator.faults().push(fault);
        let mut caller = Caller::connect(address, protocol).await;
        let request = get(address, "/v1/models", &cookie("ada", "1"));
        let response = caller.send(request).await.unwrap();
        let log = stage.emulator.log();
        let sent = |seen: &Seen| seen.to_path("/v1/models").last().unwrap().frames_sent;
        let mut held = log.read(sent);
        // Until nothing has moved for a while.
        while let Some(more) = log
            .wait_for(Duration::from_millis(400), |seen| {
                Some(sent(seen)).filter(|sent| *sent > held)
            })
            .await
        {
            held = more;
        }
        let all = BYTES.div_ceil(64 * 1024);
        assert!(
            held < all / 2,
            "{protocol:?}: {held} of {all} frames are somewhere"
        );
        let answer = whole(response).await.unwrap();
        assert_huge(&answer.body, BYTES);
    }
}
