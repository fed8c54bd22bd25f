//! The data plane in good health.

use base64::Engine as _;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::super::{Ending, TierLimits};
use super::*;

#[tokio::test]
async fn a_minted_token_gets_a_chat_answer_that_knows_its_user() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let mut request = chat(&token, false);
    let headers = request.headers_mut();
    headers.insert("x-request-id", "mine".parse().unwrap());
    headers.insert("x-session-id", "s1".parse().unwrap());
    let reply = send(&emulator, request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-request-id"), "mine");
    assert_eq!(reply.header("x-trace-id").len(), 32);
    let body = reply.json();
    let text = body["choices"][0]["message"]["content"].as_str().unwrap();
    for part in ["Hello ada!", "pro tier", "session s1", "three two one"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.split_whitespace().count() > 60);
    assert_eq!(body["usage"]["prompt_tokens"], 3);
    emulator.log().read(|seen| {
        assert_eq!(seen.violations, []);
        assert_eq!(seen.requests[1].user(), Some("ada"));
        assert_eq!(seen.requests[1].bearer(), Some(token.as_str()));
        assert_eq!(seen.requests[1].json()["model"], "emulator");
        assert_eq!(seen.requests[1].ending, Some(Ending::Complete));
    });
}

#[tokio::test]
async fn a_stream_comes_event_by_event_and_ends_with_usage_and_done() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let plain = send(&emulator, chat(&token, false)).await.json();
    let reply = send(&emulator, chat(&token, true)).await;
    assert_eq!(
        reply.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    let stream = reply.text();
    let events: Vec<&str> = stream
        .strip_suffix("\n\n")
        .unwrap()
        .split("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap())
        .collect();
    let (last, chunks) = events.split_last().unwrap();
    let mut text = String::new();
    let mut usage = Value::Null;
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        let delta = &chunk["choices"][0]["delta"];
        text += delta["content"].as_str().unwrap_or_default();
        usage = chunk["usage"].clone();
    }
    assert_eq!(*last, "[DONE]");
    assert_eq!(text, plain["choices"][0]["message"]["content"]);
    assert_eq!(usage, plain["usage"]);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let stream = TcpStream::connect(emulator.addr()).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for method in ["GET", "HEAD", "GET"] {
        let request = call(&token, method, "/v1/models", &Value::Null, &[]);
        let reply = sender.send_request(request).await.unwrap();
        assert_eq!(reply.status(), 200);
        let length = reply.headers()["content-length"].clone();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.is_empty(), method == "HEAD");
        assert_ne!(length, "0");
    }
    emulator.log().read(|seen| {
        let connections: Vec<u64> = seen.to_path("/v1/models").map(|r| r.connection).collect();
        assert_eq!(connections, [2, 2, 2]);
        assert_eq!(seen.disconnects, 0);
    });
}

#[tokio::test]
async fn wrong_bodies_and_paths_are_refused() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let chat = "/v1/chat/completions";
    for (method, path, body, status) in [
        ("POST", chat, json!("x"), 400),
        ("POST", chat, json!({"model": "m"}), 400),
        ("POST", chat, json!({"model": "m", "messages": []}), 422),
        (
            "POST",
            chat,
            json!({"model": 1, "messages": [{"role": "user"}]}),
            400,
        ),
        (
            "POST",
            "/v1/embeddings",
            json!({"model": "m", "input": []}),
            422,
        ),
        ("POST", "/v1/audio/transcriptions", json!({}), 400),
        ("GET", "/v1/models/unknown", Value::Null, 404),
        ("GET", "/v1/unknown", Value::Null, 404),
        ("GET", "/v1/billing/usage?from=2026-01-01", Value::Null, 400),
        (
            "GET",
            "/v1/billing/usage?from=2026-02-30&to=2026-03-01",
            Value::Null,
            400,
        ),
        ("GET", "/v1/auth/mint", Value::Null, 404),
        ("GET", "/elsewhere", Value::Null, 404),
    ] {
        let reply = send(&emulator, call(&token, method, path, &body, &[])).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{path} {body} {}",
            reply.text()
        );
        assert!(reply.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn embeddings_honour_the_encoding_that_the_sdk_asks_for() {
    let emulator = started().await;
    let token = mint(&emulator, "ada").await;
    let ask = |format: &str| {
        let body =
            json!({"model": "e", "input": ["a b"], "dimensions": 8, "encoding_format": format});
        call(&token, "POST", "/v1/embeddings", &body, &[])
    };
    let floats = send(&emulator, ask("float")).await.json();
    let packed = send(&emulator, ask("base64")).await.json();
    let floats: Vec<f64> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(packed["data"][0]["embedding"].as_str().unwrap())
        .unwrap();
    let unpacked: Vec<f64> = bytes
        .chunks(4)
        .map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())))
        .collect();
    assert_eq!(floats.len(), 8);
    for (one, other) in floats.iter().zip(&unpacked) {
        assert!((one - other).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_thread_belongs_to_the_user_who_began_it() {
    let emulator = started().await;
    let (ada, bob) = (mint(&emulator, "ada").await, mint(&emulator, "bob").await);
    let mut request = chat(&ada, false);
    let id = "t-1".parse().unwrap();
    request.headers_mut().insert("x-thread-id", id);
    send(&emulator, request).await;
    let get = |token: &str, path: &str| call(token, "GET", path, &Value::Null, &[]);
    let list = send(&emulator, get(&ada, "/v1/threads")).await.json();
    assert_eq!(list["data"][0]["id"], "t-1");
    let path = "/v1/threads/t-1/messages";
    let messages = send(&emulator, get(&ada, path)).await.json();
    assert_eq!(messages["data"][0]["content"], "one two three");
    assert_eq!(messages["data"][1]["role"], "assistant");
    let none = send(&emulator, get(&bob, "/v1/threads")).await.json();
    assert_eq!(none["data"], json!([]));
    assert_eq!(send(&emulator, get(&bob, path)).await.status, 404);
    let delete = |token: &str| call(token, "DELETE", "/v1/threads/t-1", &Value::Null, &[]);
    assert_eq!(send(&emulator, delete(&bob)).await.status, 404);
    assert_eq!(send(&emulator, delete(&ada)).await.status, 200);
    assert_eq!(send(&emulator, get(&ada, path)).await.status, 404);
}

#[tokio::test]
async fn tiers_hold_their_users_to_their_limits() {
    let emulator = started_with(|config| {
        let two = TierLimits {
            requests_per_minute: Some(2),
            tokens: None,
        };
        let few = TierLimits {
            requests_per_minute: None,
            tokens: Some(10),
        };
        config.tiers = [("2".to_owned(), two), ("free".to_owned(), few)].into();
    })
    .await;
    let token = mint(&emulator, "ada").await;
    let models = || call(&token, "GET", "/v1/models", &Value::Null, &[]);
    assert_eq!(send(&emulator, models()).await.status, 200);
    assert_eq!(send(&emulator, models()).await.status, 200);
    let limited = send(&emulator, models()).await;
    assert_eq!(limited.status, 429);
    assert_eq!(limited.code(), "rate_limited");
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait));
    let free = mint_with(&emulator, &json!({"user_id": "bob", "tier": 1})).await;
    let free = free.json()["jwt"].as_str().unwrap().to_owned();
    assert_eq!(send(&emulator, chat(&free, false)).await.status, 200);
    let spent = send(&emulator, chat(&free, false)).await;
    assert_eq!(
        (spent.status, spent.code().as_str()),
        (StatusCode::PAYMENT_REQUIRED, "quota_exceeded")
    );
    let get = call(&free, "GET", "/v1/models", &Value::Null, &[]);
    assert_eq!(send(&emulator, get).await.status, 200);
}

#[tokio::test]
async fn usage_shows_the_project_and_only_the_caller() {
    let emulator = started().await;
    let (ada, bob) = (mint(&emulator, "ada").await, mint(&emulator, "bob").await);
    send(&emulator, chat(&ada, false)).await;
    send(&emulator, chat(&bob, true)).await;
    let path = "/v1/billing/usage?from=2020-01-01&to=2999-12-31";
    let usage = send(&emulator, call(&ada, "GET", path, &Value::Null, &[])).await;
    let usage = usage.json();
    assert_eq!(usage["user"]["user_id"], "ada");
    assert_eq!(usage["user"]["requests"], 1);
    assert_eq!(usage["project"]["requests"], 2);
    assert_eq!(usage["project"]["prompt_tokens"], 6);
    let (own, all) = (
        usage["user"]["completion_tokens"].as_u64().unwrap(),
        usage["project"]["completion_tokens"].as_u64().unwrap(),
    );
    assert_eq!(all, 2 * own, "a stream costs what the plain answer costs");
    assert!(!usage.to_string().contains("bob"));
}

#[tokio::test]
async fn a_request_without_a_connection_is_answered_too() {
    let emulator = started().await;
    let request = Request::get("/.well-known/jwks.json").body(Full::<Bytes>::default());
    let reply = emulator.handle(request.unwrap()).await;
    assert_eq!(reply.status(), 200);
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    let keys: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(keys["keys"][0]["kid"], emulator.signing_key().kid());
}
