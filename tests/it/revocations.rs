//! Sessions that an operator ends: refused, cut, listed, lifted.

use std::time::Duration;

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::emulator::{Action, Fault, On, Seen};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::caller::{Answer, Caller, Protocol, ask, chat, chat_of, get};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, SECRET, Stage, cookie, cookie_with};

const TOKEN: &str = "an-operators-token-0123456789-0123456789";
const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const JSON: &str = "application/json";

async fn stage() -> Stage {
    Stage::with(&[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await
}

/// One request of an operator.
async fn operate(stage: &Stage, method: Method, path: &str, media: &str, body: &[u8]) -> Answer {
    let admin = stage.server.admin_address();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", admin.to_string())
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", media)
        .body(Full::new(Bytes::copy_from_slice(body)));
    ask(admin, Protocol::Http1, request.unwrap()).await
}

async fn revoke(stage: &Stage, order: &Value) -> Value {
    let body = order.to_string();
    let answer = operate(stage, Method::POST, "/revocations", JSON, body.as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn list(stage: &Stage, query: &str) -> Value {
    let path = format!("/revocations{query}");
    operate(stage, Method::GET, &path, JSON, b"").await.json()
}

async fn lift(stage: &Stage, id: &Value) -> StatusCode {
    let path = format!("/revocations/{}", id.as_str().unwrap());
    operate(stage, Method::DELETE, &path, JSON, b"")
        .await
        .status
}

/// What a request with this cookie comes to.
async fn visit(stage: &Stage, cookie: &str) -> Answer {
    let address = stage.server.address();
    ask(address, Protocol::Http1, get(address, "/v1/models", cookie)).await
}

async fn passes(stage: &Stage, cookie: &str) -> bool {
    let answer = visit(stage, cookie).await;
    match answer.code() {
        None => assert_eq!(answer.status, 200),
        Some(code) => assert_eq!((answer.status.as_u16(), code), (401, "session_revoked")),
    }
    answer.status == 200
}

fn session(user: &str, claims: &str) -> String {
    cookie_with(SECRET, user, &format!(r#""tier":1,{claims}"#))
}

#[tokio::test]
async fn a_revoked_user_is_refused_until_it_is_lifted_and_others_are_not() {
    let stage = stage().await;
    let (ada, eve) = (cookie("ada", "1"), cookie("eve", "1"));
    assert!(passes(&stage, &ada).await && passes(&stage, &eve).await);
    let entry = revoke(&stage, &json!({"user_id": "ada", "reason": "lost phone"})).await;
    assert_eq!(entry["user_id"], "ada");
    assert_eq!(entry["tokens_dropped"], 1);
    assert_eq!(entry["before"], Value::Null);
    let refused = visit(&stage, &ada).await;
    assert_eq!(refused.code(), Some("session_revoked"));
    assert_eq!(refused.headers["x-should-retry"], "false");
    assert_eq!(refused.json()["error"]["type"], "authentication_error");
    let text = "The session was ended by an operator: sign in to the app again.";
    assert_eq!(refused.json()["error"]["message"], text);
    assert!(passes(&stage, &eve).await);
    assert_eq!(stage.metric("behest_gateway_revocations"), 1.0);
    let series = "behest_gateway_refusals_total{code=\"session_revoked\",reason=\"revoked\"}";
    assert_eq!(stage.metric(series), 1.0);
    let minted = stage.emulator.log().read(Seen::minted);
    assert_eq!(lift(&stage, &entry["id"]).await, 204);
    assert_eq!(lift(&stage, &entry["id"]).await, 404);
    assert!(passes(&stage, &ada).await);
    let after = stage.emulator.log().read(Seen::minted);
    assert_eq!(after, minted + 1, "the old token was dropped");
    assert_eq!(stage.metric("behest_gateway_revocations"), 0.0);
}

#[tokio::test]
async fn a_session_goes_by_its_own_claim_and_by_its_derived_id() {
    let stage = stage().await;
    let one = session("ada", r#""sid":"one""#);
    let two = session("ada", r#""sid":"two""#);
    assert!(passes(&stage, &two).await && passes(&stage, &one).await);
    let derived = stage.emulator.log().read(|seen| {
        let last = seen.to_path("/v1/models").last().unwrap();
        last.header("x-session-id").unwrap().to_owned()
    });
    assert!(derived.starts_with("gw_"));
    for (name, dropped) in [(derived.as_str(), 1), ("one", 0)] {
        let entry = revoke(&stage, &json!({"session_id": name})).await;
        assert_eq!(entry["session_id"], name);
        assert_eq!(entry["tokens_dropped"], dropped, "{name}");
        assert!(!passes(&stage, &one).await, "{name}");
        assert!(passes(&stage, &two).await, "{name}");
        assert_eq!(lift(&stage, &entry["id"]).await, 204);
        assert!(passes(&stage, &one).await, "{name}");
    }
}

#[tokio::test]
async fn before_spares_the_sessions_that_began_later() {
    let stage = stage().await;
    let now = unix_time().as_secs();
    let issued = |at: u64| session("ada", &format!(r#""sid":"s","iat":{at}"#));
    let (old, new, silent) = (
        issued(now - 100),
        issued(now - 10),
        session("ada", r#""sid":"s""#),
    );
    let entry = revoke(&stage, &json!({"user_id": "ada", "before": now - 50})).await;
    assert!(!passes(&stage, &old).await);
    assert!(!passes(&stage, &silent).await, "it does not say");
    assert!(passes(&stage, &new).await);
    let stricter = revoke(&stage, &json!({"user_id": "ada", "before": "now"})).await;
    assert!(!passes(&stage, &new).await);
    assert_eq!(lift(&stage, &stricter["id"]).await, 204);
    assert!(passes(&stage, &new).await && !passes(&stage, &old).await);
    // As it is shown it can be sent.
    let same = revoke(
        &stage,
        &json!({"user_id": "eve", "before": entry["before"]}),
    )
    .await;
    assert_eq!(same["before"], entry["before"]);
}

#[tokio::test]
async fn the_list_is_newest_first_and_in_pages() {
    let stage = stage().await;
    for user in ["a", "b", "c"] {
        revoke(&stage, &json!({"user_id": user})).await;
    }
    let users = |page: &Value| -> Vec<String> {
        let entries = page["revocations"].as_array().unwrap().iter();
        entries
            .map(|e| e["user_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = list(&stage, "?limit=2").await;
    assert_eq!(users(&first), ["c", "b"]);
    assert_eq!(first["held"], 3);
    let next = first["next"].as_str().unwrap();
    let second = list(&stage, &format!("?limit=2&after={next}")).await;
    assert_eq!(users(&second), ["a"]);
    assert_eq!(second["next"], Value::Null);
    let head = operate(&stage, Method::HEAD, "/revocations", JSON, b"").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn only_operators_and_only_what_is_understood() {
    let stage = stage().await;
    let long = format!(r#"{{"user_id":"ada","reason":"{}"}}"#, "x".repeat(20_000));
    let cases: [(&str, &[u8], u16, Option<&str>); 9] = [
        ("text/plain", br#"{"user_id":"ada"}"#, 415, None),
        (JSON, long.as_bytes(), 413, None),
        (JSON, b"{", 400, None),
        (JSON, b"\xff", 400, None),
        (JSON, br#"{"user_id":"ada","befor":1}"#, 400, None),
        (JSON, b"{}", 400, Some("user_id")),
        (
            JSON,
            br#"{"user_id":"a","session_id":"b"}"#,
            400,
            Some("session_id"),
        ),
        (
            JSON,
            br#"{"user_id":"a","before":"soon"}"#,
            400,
            Some("before"),
        ),
        (JSON, br#"{"user_id":"a","reason":1}"#, 400, Some("reason")),
    ];
    for (media, body, status, field) in cases {
        let answer = operate(&stage, Method::POST, "/revocations", media, body).await;
        let shown = String::from_utf8_lossy(body.get(..40).unwrap_or(body));
        assert_eq!(answer.status, status, "{shown}");
        assert_eq!(answer.json()["error"]["field"].as_str(), field, "{shown}");
    }
    for (method, path, status, allow) in [
        (Method::PUT, "/revocations", 405, Some("GET, HEAD, POST")),
        (Method::GET, "/revocations/rv_1", 405, Some("DELETE")),
        (Method::DELETE, "/revocations/rv_1", 404, None),
        (Method::DELETE, "/revocations/", 404, None),
        (Method::GET, "/revocations?limit=0", 400, None),
        (Method::GET, "/revocations?page=2", 400, None),
        (Method::GET, "/revocationsx", 404, None),
    ] {
        let answer = operate(&stage, method.clone(), path, JSON, b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        let offered = answer
            .headers
            .get("allow")
            .map(|value| value.to_str().unwrap());
        assert_eq!(offered, allow, "{method} {path}");
    }
    let admin = stage.server.admin_address();
    for authorization in ["", "authorization: Bearer wrong\r\n"] {
        let mut wire = Wire::connect(admin).await;
        let request = format!(
            "POST /revocations HTTP/1.1\r\nhost: a\r\n{authorization}\
             content-type: application/json\r\ncontent-length: 17\r\n\r\n{{\"user_id\":\"ada\"}}"
        );
        wire.write(request).await.unwrap();
        assert!(wire.read_head().await.starts_with("HTTP/1.1 401"));
    }
    assert_eq!(list(&stage, "").await["held"], 0, "nothing was revoked");
}

#[tokio::test]
async fn a_body_that_never_comes_whole_is_not_waited_for_and_revokes_nothing() {
    let stage = stage().await;
    let mut socket = TcpStream::connect(stage.server.admin_address())
        .await
        .unwrap();
    let request = format!(
        "POST /revocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 18\r\n\r\n{{\"user_id\":\"ada\"}}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE * 3, socket.read_to_end(&mut rest)).await;
    // An end or a reset, and no answer.
    let _ = ended.expect("the connection stays open");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(list(&stage, "").await["held"], 0);
}

/// A chat whose first event is there.
async fn open(stage: &Stage, protocol: Protocol, user: &str, model: &str) -> (Caller, Incoming) {
    let address = stage.server.address();
    let mut caller = Caller::connect(address, protocol).await;
    let body = json!({
        "model": model, "stream": true,
        "messages": [{"role": "user", "content": "hi"}],
    });
    let request = chat_of(address, &cookie(user, "1"), &body);
    let mut body = caller.send(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    (caller, body)
}

/// Reads a stream that must break, and its last event.
async fn last_words(mut body: Incoming) -> Value {
    let mut text = Vec::new();
    let broken = loop {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
        match frame.expect("it is not cut") {
            Some(Ok(frame)) => text.extend(frame.into_data().unwrap()),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    let text = String::from_utf8(text).unwrap();
    assert!(broken, "a clean end: {text}");
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn live_streams_are_cut_with_a_reason_silent_or_not_and_another_users_goes_on() {
    for protocol in BOTH {
        let pace = Duration::from_millis(60);
        let stage = Stage::paced(pace, &[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
        let stall = Fault::once(On::Data, Action::StallAfter { frames: 2 });
        stage.emulator.faults().push(stall);
        let (_silent, mut silent) = open(&stage, protocol, "ada", "emulator").await;
        // Its last: from here on only a bell can tell it.
        silent.frame().await.unwrap().unwrap();
        let (_flowing, flowing) = open(&stage, protocol, "ada", "long").await;
        let (others, mut other) = open(&stage, protocol, "eve", "long").await;
        revoke(&stage, &json!({"user_id": "ada"})).await;
        for body in [silent, flowing] {
            let event = last_words(body).await;
            assert_eq!(event["error"]["code"], "session_revoked", "{event}");
            assert_eq!(event["error"]["type"], "authentication_error");
        }
        let left = |seen: &Seen| (seen.disconnects == 2).then_some(());
        let left = stage.emulator.log().wait_for(PATIENCE, left).await;
        assert!(left.is_some(), "Behest must see both end");
        for _ in 0..3 {
            other.frame().await.unwrap().unwrap();
        }
        let cut = "behest_gateway_requests_total{code=\"session_revoked\",route=\"/v1/chat/completions\"}";
        until("both are counted", async || stage.metric(cut) == 2.0).await;
        drop(others);
    }
}

#[tokio::test]
async fn a_request_that_waits_for_its_answer_is_ended() {
    for protocol in BOTH {
        let stage = stage().await;
        let address = stage.server.address();
        let stall = Fault::once(On::Data, Action::StallBeforeHead);
        stage.emulator.faults().push(stall);
        let request = chat(address, &cookie("ada", "1"), true);
        let waiting = tokio::spawn(ask(address, protocol, request));
        let sent = |seen: &Seen| seen.to_path("/v1/chat/completions").next().map(|_| ());
        let sent = stage.emulator.log().wait_for(PATIENCE, sent).await;
        assert!(sent.is_some());
        // Someone else's changes nothing.
        revoke(&stage, &json!({"user_id": "eve"})).await;
        revoke(&stage, &json!({"session_id": "browser-ada"})).await;
        let answer = tokio::time::timeout(PATIENCE, waiting).await;
        let answer = answer.expect("it still waits").unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.code(), Some("session_revoked"));
        let left = |seen: &Seen| (seen.disconnects == 1).then_some(());
        let left = stage.emulator.log().wait_for(PATIENCE, left).await;
        assert!(left.is_some(), "Behest must see it end");
    }
}

#[tokio::test]
async fn a_body_that_is_no_event_stream_breaks() {
    let stage = stage().await;
    let address = stage.server.address();
    let stall = Fault::once(On::Data, Action::StallAfter { frames: 0 });
    stage.emulator.faults().push(stall);
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    let request = chat(address, &cookie("ada", "1"), false);
    let response = caller.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    revoke(&stage, &json!({"user_id": "ada"})).await;
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await;
    assert!(body.expect("it is not cut").is_err(), "a clean end");
}

#[tokio::test]
async fn a_revocation_outlives_a_reload() {
    let stage = stage().await;
    let entry = revoke(&stage, &json!({"user_id": "ada"})).await;
    let stall = Fault::once(On::Data, Action::StallAfter { frames: 2 });
    stage.emulator.faults().push(stall);
    let (_caller, old) = open(&stage, Protocol::Http1, "eve", "emulator").await;
    stage.server.reload();
    let swapped = "behest_gateway_config_reloads_total{outcome=\"swapped\"}";
    until("the reload", async || stage.metric(swapped) == 1.0).await;
    assert!(!passes(&stage, &cookie("ada", "1")).await);
    assert_eq!(list(&stage, "").await["revocations"][0]["id"], entry["id"]);
    // A stream of the generation before hears of what the new one is told.
    revoke(&stage, &json!({"user_id": "eve"})).await;
    assert_eq!(last_words(old).await["error"]["code"], "session_revoked");
    assert_eq!(lift(&stage, &entry["id"]).await, 204);
    assert!(passes(&stage, &cookie("ada", "1")).await);
}

#[tokio::test]
async fn a_revocation_ends_after_the_longest_life_of_a_session() {
    let clock = Clock::manual(unix_time().as_secs());
    let env = [
        ("GATEWAY_ADMIN_TOKEN", TOKEN),
        ("GATEWAY_SESSION__MAX_AGE", "1m"),
    ];
    let stage = Stage::at(clock.clone(), &env).await;
    let ada = cookie("ada", "1");
    revoke(&stage, &json!({"user_id": "ada"})).await;
    clock.advance(Duration::from_secs(59));
    assert!(!passes(&stage, &ada).await);
    clock.advance(Duration::from_secs(1));
    assert!(passes(&stage, &ada).await);
    assert_eq!(list(&stage, "").await["revocations"], json!([]));
}
