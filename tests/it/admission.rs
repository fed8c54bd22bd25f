//! What is refused before a session is looked at, and how long a caller may take.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use behest_gateway::emulator::{Action, Fault, On};

use crate::support::caller::{Caller, Protocol, ask, chat, get, whole};
use crate::support::waiting::{after, is_past, until};
use crate::support::{PATIENCE, Stage, cookie};

/// Sends `text` as it stands and reads until the connection ends.
async fn raw(stage: &Stage, text: &str) -> String {
    let mut socket = TcpStream::connect(stage.server.address()).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    let ended = tokio::time::timeout(PATIENCE, reading).await;
    ended.expect("the connection stays open").unwrap();
    String::from_utf8(answer).unwrap()
}

/// A request for this target, byte for byte, with a good session.
async fn raw_get(stage: &Stage, method: &str, target: &str) -> String {
    let address = stage.server.address();
    let cookie = cookie("ada", "1");
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    );
    raw(stage, &head).await
}

pub fn nothing_went_up(stage: &Stage) {
    let total = stage.emulator.log().read(|seen| seen.total_requests);
    assert_eq!(total, 0, "a refused request cost a call");
}

#[tokio::test]
async fn only_the_table_is_offered_and_only_in_its_own_spelling() {
    let stage = Stage::new().await;
    for target in [
        "/",
        "/v1",
        "/v1/",
        "/V1/models",
        "/v1/Models",
        "/v1/models/",
        "/v1//models",
        "/v1/./models",
        "/v1/x/../models",
        "/v1/models/..",
        "/v1/models/.",
        "/v1/%6dodels",
        "/v1/models/%2e%2e",
        "/v1/%2e%2e/v1/models",
        "/v1/threads/a%2fb/messages",
        "/v1/threads/a%00/messages",
        "/v1/threads/a%5cb/messages",
        "/v1/models;a=b",
        "/v1/auth/mint",
        "/v1/AUTH/mint",
        "/auth/v1/auth/mint",
        "/v1/admin",
        "/.well-known/jwks.json",
        "/__emulator/stats",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            let answer = raw_get(&stage, method, target).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
            assert!(answer.contains("x-gateway-error: route_unknown\r\n"));
        }
    }
    for target in [
        "//v1/models",
        "http://evil.example/v1/models",
        "*",
        "v1/models",
        "/v1/a b",
    ] {
        let answer = raw_get(&stage, "GET", target).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    let connect = raw_get(&stage, "CONNECT", "evil.example:443").await;
    assert!(connect.starts_with("HTTP/1.1 4"), "{connect}");
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    for (method, path, allow) in [
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::PUT, "/v1/threads", "GET, HEAD"),
        (Method::GET, "/v1/threads/t1", "DELETE"),
        (Method::DELETE, "/v1/models/m", "GET, HEAD"),
        (Method::TRACE, "/v1/models", "GET, HEAD"),
    ] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut request = get(address, path, &cookie("ada", "1"));
            *request.method_mut() = method.clone();
            let answer = ask(address, protocol, request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.code(), Some("method_not_allowed"));
            assert_eq!(answer.headers["allow"], allow, "{method} {path}");
        }
    }
    nothing_went_up(&stage);
}

async fn refused_with(
    stage: &Stage,
    protocol: Protocol,
    request: Request<Full<Bytes>>,
) -> (u16, String) {
    let answer = ask(stage.server.address(), protocol, request).await;
    let code = answer.code().unwrap_or_default().to_owned();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn what_is_too_large_is_refused_by_its_own_name() {
    let env = [("GATEWAY_LIMITS__MAX_BODY", "2 KiB")];
    let stage = Stage::with(&env).await;
    let address = stage.server.address();
    let base = |path: &str| get(address, path, &cookie("ada", "1"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let long = format!("/v1/models?q={}", "x".repeat(9000));
        let answer = refused_with(&stage, protocol, base(&long)).await;
        assert_eq!(answer, (414, "uri_too_long".to_owned()), "{protocol:?}");
        let mut large = base("/v1/models");
        let value = HeaderValue::from_str(&"x".repeat(33 * 1024)).unwrap();
        large.headers_mut().insert("x-large", value);
        let answer = refused_with(&stage, protocol, large).await;
        assert_eq!(
            answer,
            (431, "headers_too_large".to_owned()),
            "{protocol:?}"
        );
        let mut many = base("/v1/models");
        for number in 0..100 {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            many.headers_mut()
                .insert(name, HeaderValue::from_static("1"));
        }
        let answer = refused_with(&stage, protocol, many).await;
        assert_eq!(
            answer,
            (431, "headers_too_large".to_owned()),
            "{protocol:?}"
        );
        let mut body = chat(address, &cookie("ada", "1"), false);
        *body.body_mut() = Full::new("x".repeat(4096).into());
        let answer = refused_with(&stage, protocol, body).await;
        assert_eq!(answer, (413, "body_too_large".to_owned()), "{protocol:?}");
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_body_too_large_without_a_declared_length_is_refused_and_never_sent_whole() {
    let env = [("GATEWAY_LIMITS__MAX_BODY", "2 KiB")];
    let stage = Stage::with(&env).await;
    let (address, cookie) = (stage.server.address(), cookie("ada", "1"));
    let chunk = "x".repeat(1024);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    let body = format!("400\r\n{chunk}\r\n").repeat(4) + "0\r\n\r\n";
    let answer = raw(&stage, &(head + &body)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    nothing_went_up(&stage);
}

#[tokio::test]
async fn an_uploader_whose_body_is_refused_still_reads_why() {
    let stage = Stage::new().await;
    let address = stage.server.address();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 100000000\r\n\r\n"
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 64 * 1024];
    for _ in 0..20 {
        // Once the gateway has had enough, writing may fail: the answer must be there all the same.
        if socket.write_all(&piece).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let reading = socket.read_to_end(&mut answer);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_malformed() {
    let stage = Stage::new().await;
    let cookie = format!("cookie: {}\r\n", cookie("ada", "1"));
    for (method, headers, body) in [
        ("GET", "", ""),
        ("GET", "host: a\r\nhost: a\r\n", ""),
        ("GET", "host: a, b\r\n", ""),
        ("GET", "host: user@a\r\n", ""),
        ("GET", "host: a/b\r\n", ""),
        ("GET", "host:\r\n", ""),
        (
            "POST",
            "host: a\r\ntransfer-encoding: gzip, chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "POST",
            "host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "POST",
            "host: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
            "{}",
        ),
        ("POST", "host: a\r\ncontent-length: +2\r\n", "{}"),
    ] {
        let path = if method == "GET" {
            "/v1/models"
        } else {
            "/v1/chat/completions"
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\n{headers}{cookie}connection: close\r\n\r\n");
        let answer = raw(&stage, &(head + body)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{headers:?}: {answer}");
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_head_must_come_in_its_time() {
    let env = [("GATEWAY_SERVER__HEAD_TIMEOUT", "300ms")];
    let stage = Stage::with(&env).await;
    for start in ["P", "GET /v1/models HTTP/1.1\r\nhost: a\r\nx-slow: "] {
        let mut socket = TcpStream::connect(stage.server.address()).await.unwrap();
        let earliest = after(Duration::from_millis(250));
        socket.write_all(start.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let reading = socket.read_to_end(&mut answer);
        let ended = tokio::time::timeout(Duration::from_secs(5), reading).await;
        assert!(ended.is_ok(), "{start:?}: it stays open");
        assert!(is_past(earliest), "{start:?}: closed too early");
    }
}

#[tokio::test]
async fn a_drop_at_a_time_does_not_extend_a_heads_time() {
    let env = [("GATEWAY_SERVER__HEAD_TIMEOUT", "300ms")];
    let stage = Stage::with(&env).await;
    let mut socket = TcpStream::connect(stage.server.address()).await.unwrap();
    socket.set_nodelay(true).unwrap();
    socket
        .write_all(b"GET /v1/models HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    let give_up = after(Duration::from_secs(5));
    while socket.write_all(b"y").await.is_ok() {
        assert!(!is_past(give_up), "it stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_kept_connection_lives_for_the_idle_time_whatever_its_last_answer_was() {
    let env = [
        ("GATEWAY_SERVER__HEAD_TIMEOUT", "200ms"),
        ("GATEWAY_SERVER__IDLE_TIMEOUT", "1500ms"),
    ];
    let stage = Stage::with(&env).await;
    let address = stage.server.address();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut caller = Caller::connect(address, protocol).await;
        for path in ["/nowhere", "/v1/models"] {
            let request = get(address, path, &cookie("ada", "1"));
            let answer = caller.send(request).await;
            let answer = answer.unwrap_or_else(|error| panic!("{protocol:?} {path}: {error}"));
            whole(answer).await.unwrap();
            // Longer than a head may take, and shorter than idle connections are kept.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        until("the idle connection is closed", async || {
            stage.metric("behest_gateway_connections") == 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_that_comes_after_its_head_is_no_new_head() {
    let env = [
        ("GATEWAY_SERVER__HEAD_TIMEOUT", "200ms"),
        ("GATEWAY_SERVER__IDLE_TIMEOUT", "1500ms"),
    ];
    let stage = Stage::with(&env).await;
    let body = r#"{"model":"emulator-fast","messages":[{"role":"user","content":"hi"}]}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         cookie: {}\r\ncontent-length: {}\r\n\r\n",
        cookie("ada", "1"),
        body.len()
    );
    let mut socket = TcpStream::connect(stage.server.address()).await.unwrap();
    // The timer of the connection's beginning fires between the second and the third.
    for _ in 0..3 {
        socket.write_all(head.as_bytes()).await.unwrap();
        let log = stage.emulator.log();
        // So that the head is read alone.
        tokio::time::sleep(Duration::from_millis(100)).await;
        socket.write_all(body.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200");
        log.wait_for(PATIENCE, |seen| (seen.in_flight == 0).then_some(()))
            .await
            .unwrap();
        // Longer than a head may take, and shorter than idle connections are kept.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut rest = vec![0; 64 * 1024];
        assert_ne!(socket.read(&mut rest).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn one_user_has_so_many_requests_at_once_and_the_next_user_is_free() {
    let env = [("GATEWAY_LIMITS__REQUESTS_PER_USER", "2")];
    let stage = Stage::with(&env).await;
    let address = stage.server.address();
    let faults = stage.emulator.faults();
    faults.push(Fault::times(2, On::Data, Action::StallAfter { frames: 1 }));
    let mut open = Vec::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut caller = Caller::connect(address, protocol).await;
        let response = caller.send(chat(address, &cookie("ada", "1"), true)).await;
        open.push((caller, response.unwrap()));
    }
    let models = async |user: &str| {
        let request = get(address, "/v1/models", &cookie(user, "1"));
        ask(address, Protocol::Http1, request).await
    };
    let answer = models("ada").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.code(), Some("user_busy"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(models("grace").await.status, 200);
    open.pop();
    until("the place is free again", async || {
        models("ada").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let env = [("GATEWAY_SERVER__MAX_CONNECTIONS", "2")];
    let stage = Stage::with(&env).await;
    let address = stage.server.address();
    let faults = stage.emulator.faults();
    faults.push(Fault::times(2, On::Data, Action::StallAfter { frames: 1 }));
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut caller = Caller::connect(address, Protocol::Http1).await;
        let request = chat(address, &cookie("ada", "1"), true);
        let response = caller.send(request).await.unwrap();
        open.push((caller, response));
    }
    let request = get(address, "/v1/models", &cookie("ada", "1"));
    let mut third = tokio::spawn(ask(address, Protocol::Http1, request));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut third).await;
    assert!(early.is_err(), "served over the limit");
    assert_eq!(stage.metric("behest_gateway_connections"), 2.0);
    open.pop();
    let answer = tokio::time::timeout(PATIENCE, third)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(stage.metric("behest_gateway_connections_shed_total"), 0.0);
}
