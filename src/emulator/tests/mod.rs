//! The emulator over a real socket, driven by hyper's client and by raw bytes.

mod calls;
mod connection_faults;
mod control;
mod faults;
mod tokens;
mod writes;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Emulator, EmulatorConfig, FIXTURE_KEY, SigningKey};

const LIMIT: Duration = Duration::from_secs(10);

/// An answer, read whole.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

/// A ready key: making one costs a third of a second of every test.
pub(super) fn signing_key() -> SigningKey {
    SigningKey::from_pem("fixture", include_str!("signing_key.pem")).unwrap()
}

async fn started() -> Emulator {
    started_with(|_| ()).await
}

async fn started_with(change: impl FnOnce(&mut EmulatorConfig)) -> Emulator {
    let mut config = EmulatorConfig {
        frame_delay: Duration::ZERO,
        signing_key: Some(signing_key()),
        ..EmulatorConfig::default()
    };
    change(&mut config);
    Emulator::start(config).await.unwrap()
}

fn request(method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap()
}

/// Sends on a connection of its own; the head of the answer, its body unread.
async fn open(
    addr: SocketAddr,
    request: Request<Full<Bytes>>,
) -> hyper::Result<http::Response<Incoming>> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    sender.send_request(request).await
}

async fn send(emulator: &Emulator, request: Request<Full<Bytes>>) -> Reply {
    let (head, body) = open(emulator.addr(), request).await.unwrap().into_parts();
    Reply {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn mint_with(emulator: &Emulator, body: &Value) -> Reply {
    let bearer = format!("Bearer {FIXTURE_KEY}");
    let headers = [("authorization", bearer.as_str())];
    let request = request("POST", "/v1/auth/mint", &body.to_string(), &headers);
    send(emulator, request).await
}

async fn mint(emulator: &Emulator, user: &str) -> String {
    let body = json!({"user_id": user, "ttl": 900, "tier": "pro", "session_id": "s1"});
    let reply = mint_with(emulator, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["jwt"].as_str().unwrap().to_owned()
}

/// A data-plane request with a token, and further headers.
fn call(
    token: &str,
    method: &str,
    path: &str,
    body: &Value,
    more: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend_from_slice(more);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    request(method, path, &body, &headers)
}

fn chat(token: &str, stream: bool) -> Request<Full<Bytes>> {
    let body = json!({
        "model": "emulator", "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "one two three"}],
    });
    call(token, "POST", "/v1/chat/completions", &body, &[])
}
