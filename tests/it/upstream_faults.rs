//! Behest misbehaves: before the head the caller gets the designed error, after it a broken stream
//! that says why; never a clean end, never a second POST, never somebody else's bytes.

use std::time::Duration;

use behest_gateway::emulator::{Action, Emulator, EmulatorConfig, Fault, On, Seen};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::support::caller::{Answer, Caller, Protocol, ask, chat, get, whole};
use crate::support::upstream::{self, Peer};
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
async fn no_answer_is_unreachable_and_no_http_is_invalid() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\n{}",
        "x-more: and more\r\n".repeat(20_000)
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-more: 1\r\n".repeat(400));
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let cases = [
        (Action::Close, "upstream_unreachable"),
        (Action::Reset, "upstream_unreachable"),
        (raw("HTTP/1.1 200 OK\r\ncontent-"), "upstream_unreachable"),
        (raw("HTTP/1.1 2000 ?\r\n\r\n"), "upstream_invalid"),
        (raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "upstream_invalid"),
        (
            raw("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
            "upstream_invalid",
        ),
        (raw(endless), "upstream_invalid"),
        (raw(many), "upstream_invalid"),
        (
            raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
            "upstream_invalid",
        ),
        (
            Action::Redirect {
                to: "http://evil.example/".into(),
            },
            "upstream_invalid",
        ),
        (
            raw("HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"),
            "upstream_invalid",
        ),
        (
            raw(format!(
                "{ok}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}"
            )),
            "upstream_invalid",
        ),
        (
            raw(format!(
                "{ok}content-length: 2\r\ncontent-length: 2\r\n\r\n{{}}"
            )),
            "upstream_invalid",
        ),
        (
            raw(format!(
                "{ok}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
            )),
            "upstream_invalid",
        ),
        (
            raw(format!("{ok}content-length: -2\r\n\r\n{{}}")),
            "upstream_invalid",
        ),
    ];
    for protocol in BOTH {
        for (action, code) in &cases {
            let stage = Stage::new().await;
            stage
                .emulator
                .faults()
                .push(Fault::once(On::Data, action.clone()));
            let answer = models(&stage, protocol).await;
            assert_eq!(
                answer.code(),
                Some(*code),
                "{protocol:?} {action:?} {answer:?}"
            );
            assert_eq!(answer.status, 502);
            assert_eq!(answer.json()["error"]["code"], *code);
            assert!(!answer.headers.contains_key("location"));
            assert_eq!(
                models(&stage, protocol).await.status,
                200,
                "the next is served"
            );
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_and_a_returned_behest_is_found_again() {
    for protocol in BOTH {
        let stage = Stage::new().await;
        assert_eq!(models(&stage, protocol).await.status, 200);
        let Stage {
            emulator,
            server,
            process,
        } = stage;
        let listen = emulator.addr();
        emulator.shutdown().await;
        let address = server.address();
        let request = || get(address, "/v1/models", &cookie("ada", "1"));
        let answer = ask(address, protocol, request()).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.code(), Some("upstream_unreachable"));
        let config = EmulatorConfig {
            listen,
            ..EmulatorConfig::default()
        };
        let emulator = Emulator::start(config).await.unwrap();
        assert_eq!(ask(address, protocol, request()).await.status, 200);
        drop((emulator, process));
    }
}

#[tokio::test]
async fn a_late_head_is_a_timeout_that_names_its_setting() {
    for protocol in BOTH {
        let env = [("GATEWAY_UPSTREAM__FIRST_BYTE_TIMEOUT", "150ms")];
        let stage = Stage::with(&env).await;
        stage
            .emulator
            .faults()
            .push(Fault::once(On::Data, Action::StallBeforeHead));
        let answer = models(&stage, protocol).await;
        assert_eq!(answer.status, 504);
        assert_eq!(answer.code(), Some("upstream_timeout"));
        let text = answer.text();
        assert!(text.contains("upstream.first_byte_timeout"), "{text}");
        let gone = |seen: &Seen| (seen.in_flight == 0).then_some(());
        let gone = stage.emulator.log().wait_for(PATIENCE, gone).await;
        gone.expect("the late exchange is still under way");
    }
}

/// A listener whose queue is full answers no SYN: the connection hangs.
#[tokio::test]
async fn a_late_connection_is_a_timeout_that_names_its_setting() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..64 {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(connected) => queue.push(connected.unwrap()),
            Err(_) => break,
        }
    }
    assert!(
        queue.len() < 64,
        "the queue takes more than it was made for"
    );
    let env = [("GATEWAY_UPSTREAM__CONNECT_TIMEOUT", "150ms")];
    let (server, _process) = upstream::over(&listener, &env);
    let address = server.address();
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    let answer = ask(address, Protocol::Http1, request).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.code(), Some("upstream_timeout"));
    assert!(answer.text().contains("upstream.connect_timeout"));
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

#[tokio::test]
async fn behests_own_errors_pass_as_they_are() {
    let codes = [400, 402, 403, 404, 409, 422, 429, 500, 502, 503, 529];
    for protocol in BOTH {
        let stage = Stage::new().await;
        for code in codes {
            let body = format!(r#"{{"error":{{"code":"c{code}","message":"m"}}}}"#);
            let headers = [
                ("retry-after", "7"),
                ("x-request-id", "req_b"),
                ("x-trace-id", "tr_b"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let action = Action::Status {
                code,
                headers: headers.to_vec(),
                body: body.clone(),
            };
            stage.emulator.faults().push(Fault::once(On::Data, action));
            let answer = models(&stage, protocol).await;
            assert_eq!(answer.status, code);
            assert_eq!(answer.text(), body);
            assert_eq!(
                answer.code(),
                None,
                "it is Behest's error, not the gateway's"
            );
            assert_eq!(answer.headers["retry-after"], "7");
            assert_eq!(answer.headers["x-request-id"], "req_b");
            assert_eq!(answer.headers["x-trace-id"], "tr_b");
            assert!(answer.headers.contains_key("x-gateway-request-id"));
            let seen = |seen: &Seen| seen.to_path("/v1/models").count();
            assert_eq!(stage.emulator.log().read(seen), 1, "sent again");
            stage.emulator.reset();
        }
        let series = |code: &str| {
            format!("behest_gateway_requests_total{{code=\"{code}\",route=\"/v1/models\"}}")
        };
        assert_eq!(
            stage.metric(&series("upstream_4xx")),
            7.0,
            "{}",
            stage.metrics()
        );
        assert_eq!(stage.metric(&series("upstream_5xx")), 4.0);
    }
}

#[tokio::test]
async fn one_connection_serves_all_that_comes_one_after_another() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for protocol in BOTH {
        for round in 0..6 {
            let request = if round % 2 == 0 {
                get(address, "/v1/models", &session)
            } else {
                chat(address, &session, round == 3)
            };
            assert_eq!(ask(address, protocol, request).await.status, 200);
        }
    }
    let accepted = stage.emulator.log().read(|seen| seen.accepted_connections);
    assert_eq!(accepted, 1, "a connection was opened in vain");
}

/// The pooled connection dies while it is idle; a race decides who notices first, so it is run often.
#[tokio::test]
async fn a_dead_pooled_connection_is_not_the_callers_concern() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    let Stage {
        mut emulator,
        server,
        process,
    } = stage;
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    for _ in 0..20 {
        let answer = caller.send(chat(address, &session, false)).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().status, 200);
        let config = EmulatorConfig {
            listen: emulator.addr(),
            ..EmulatorConfig::default()
        };
        emulator.shutdown().await;
        emulator = Emulator::start(config).await.unwrap();
        let answer = caller.send(chat(address, &session, false)).await.unwrap();
        assert_eq!(whole(answer).await.unwrap().status, 200);
        let came = emulator.log().read(|seen| seen.to_path(CHAT).count());
        assert_eq!(came, 1);
    }
    drop((server, process));
}

#[tokio::test]
async fn a_post_whose_first_byte_was_written_is_not_sent_again() {
    let stage = Stage::with(&[("GATEWAY_WORKERS", "1")]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    for action in [Action::Close, Action::Reset] {
        // On a connection that was used before, and on a fresh one.
        for warm in [true, false] {
            if warm {
                assert_eq!(models(&stage, Protocol::Http1).await.status, 200);
            }
            let before = stage.emulator.log().read(|seen| seen.to_path(CHAT).count());
            let fault = Fault::once(On::Path(CHAT.into()), action.clone());
            stage.emulator.faults().push(fault);
            let answer = ask(address, Protocol::Http1, chat(address, &session, false)).await;
            assert_eq!(answer.status, 502);
            assert_eq!(answer.code(), Some("upstream_unreachable"));
            let after = stage.emulator.log().read(|seen| seen.to_path(CHAT).count());
            assert_eq!(after, before + 1);
        }
    }
}

/// Bytes after an answer's end belong to nobody.
#[tokio::test]
async fn surplus_bytes_never_answer_the_next_request() {
    let listener = upstream::listen().await;
    let (server, _process) = upstream::over(&listener, &[("GATEWAY_WORKERS", "1")]);
    let address = server.address();
    let request = |user: &str| get(address, "/v1/models", &cookie(user, "1"));
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for _ in 0..10 {
        let upstream = async {
            let mut first = Peer::accept(&listener).await;
            first.read_head().await;
            first.write(answer("\"ada\"") + &answer("\"stray\"")).await;
            let mut second = Peer::accept(&listener).await;
            second.read_head().await;
            second.write(answer("\"grace\"")).await;
            assert_eq!(
                first.read_to_end().await,
                b"",
                "the tainted connection is used"
            );
        };
        let callers = async {
            let mut ada = Caller::connect(address, Protocol::Http1).await;
            let got = whole(ada.send(request("ada")).await.unwrap())
                .await
                .unwrap();
            assert_eq!(got.text(), "\"ada\"");
            let got = whole(ada.send(request("grace")).await.unwrap())
                .await
                .unwrap();
            assert_eq!(got.text(), "\"grace\"");
        };
        tokio::join!(upstream, callers);
    }
}
