//! WebSockets between a page and the app: opened by pages of the app's own, then bytes both ways until
//! either end, and never one for the API.

use std::time::Duration;

use crate::support::app::line;
use crate::support::caller::{Protocol, ask, get};
use crate::support::upstream::{Peer, listen};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{Stage, cookie};
use tokio::net::TcpListener;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\nset-cookie: ws=1\r\n\r\n";

/// A request for a WebSocket with these lines besides.
fn opening(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: app.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n{lines}\r\n"
    )
}

async fn before(listener: &TcpListener, env: &[(&str, &str)]) -> Stage {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut all = vec![("GATEWAY_APP_URL", url.as_str())];
    all.extend_from_slice(env);
    Stage::with(&all).await
}

/// An open WebSocket: the page's end and the app's.
async fn open(stage: &Stage, listener: &TcpListener) -> (Wire, Peer) {
    let mut page = Wire::connect(stage.server.address()).await;
    page.write(opening("/_next/hmr?id=1", "")).await.unwrap();
    let mut app = Peer::accept(listener).await;
    app.read_head().await;
    app.write(SWITCHED).await;
    page.read_head().await;
    (page, app)
}

/// Requests under way.
fn in_flight(stage: &Stage) -> f64 {
    stage.metric("behest_gateway_requests_in_flight")
}

#[tokio::test]
async fn a_websocket_is_opened_by_the_app_and_bytes_pass_both_ways() {
    let listener = listen().await;
    let stage = before(&listener, &[]).await;
    let mut page = Wire::connect(stage.server.address()).await;
    let cookie = cookie("ada", "1");
    let lines = format!(
        "cookie: {cookie}\r\norigin: http://app.example\r\nsec-fetch-site: same-origin\r\n"
    );
    // The page does not wait to be answered.
    page.write(format!("{}early", opening("/ws?room=1", &lines)))
        .await
        .unwrap();
    let mut app = Peer::accept(&listener).await;
    let head = app.read_head().await;
    assert!(head.starts_with("GET /ws?room=1 HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("host", "app.example"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("cookie", cookie.as_str()),
        ("origin", "http://app.example"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(line(&head, name), Some(value), "{head}");
    }
    assert_eq!(line(&head, "authorization"), None);
    app.write(format!("{SWITCHED}first")).await;
    let answer = page.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    for (name, value) in [
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
        ("set-cookie", "ws=1"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
    ] {
        assert_eq!(line(&answer, name), Some(value), "{answer}");
    }
    app.read_body("early".len()).await;
    let large = "x".repeat(100_000);
    page.write(&large).await.unwrap();
    app.read_body(large.len()).await;
    assert!((in_flight(&stage) - 1.0).abs() < 0.1);
    app.write("last").await;
    drop(app);
    let (text, _) = page.read_to_end().await;
    assert_eq!(text, "firstlast");
    until("it is counted as a request of the app's", async || {
        in_flight(&stage) == 0.0
            && stage.metric(r#"behest_gateway_requests_total{code="ok",route="app"}"#) == 1.0
    })
    .await;
}

#[tokio::test]
async fn a_page_that_leaves_closes_the_apps_end() {
    let listener = listen().await;
    let stage = before(&listener, &[]).await;
    let (page, mut app) = open(&stage, &listener).await;
    drop(page);
    assert!(app.read_to_end().await.is_empty());
    until("nothing is under way", async || in_flight(&stage) == 0.0).await;
}

#[tokio::test]
async fn silence_does_not_end_a_websocket() {
    let listener = listen().await;
    let env = [
        ("GATEWAY_SERVER__IDLE_TIMEOUT", "100ms"),
        ("GATEWAY_SERVER__HEAD_TIMEOUT", "100ms"),
        ("GATEWAY_APP__IDLE_TIMEOUT", "100ms"),
    ];
    let stage = before(&listener, &env).await;
    let (mut page, mut app) = open(&stage, &listener).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    page.write("still here").await.unwrap();
    app.read_body("still here".len()).await;
    app.write("here too").await;
    drop(app);
    assert_eq!(page.read_to_end().await.0, "here too");
}

#[tokio::test]
async fn other_sites_pages_open_none() {
    let listener = listen().await;
    let public = [("GATEWAY_PUBLIC_ORIGIN", "http://app.example")];
    let stage = before(&listener, &public).await;
    for lines in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "sec-fetch-site: cross-site\r\n",
        "origin: http://app.example\r\norigin: https://evil.example\r\n",
        "origin: http://app.example\r\nsec-fetch-site: cross-site\r\n",
    ] {
        // However the header is written.
        for (from, to) in [
            ("websocket", "websocket"),
            ("websocket", "WebSocket"),
            ("websocket", "h2c, websocket"),
        ] {
            let mut page = Wire::connect(stage.server.address()).await;
            page.write(opening("/ws", lines).replacen(from, to, 1))
                .await
                .unwrap();
            let answer = page.read_head().await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{lines}: {answer}");
            assert_eq!(
                line(&answer, "x-gateway-error"),
                Some("cross_origin_refused")
            );
        }
    }
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "the app has heard of it");
}

#[tokio::test]
async fn a_websocket_for_the_api_or_another_protocol_is_none() {
    let listener = listen().await;
    let stage = before(&listener, &[]).await;
    let mut page = Wire::connect(stage.server.address()).await;
    let with_cookie = format!("cookie: {}\r\n", cookie("ada", "1"));
    page.write(opening("/v1/models", &with_cookie))
        .await
        .unwrap();
    let answer = page.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Asked for anything else, the app hears of an ordinary request.
    for odd in [
        opening("/", "").replace("upgrade: websocket", "upgrade: h2c"),
        opening("/", "").replace("GET", "POST"),
        opening("/", "").replace("keep-alive, Upgrade", "keep-alive"),
        opening("/", "content-length: 1\r\n") + "x",
    ] {
        let mut page = Wire::connect(stage.server.address()).await;
        page.write(&odd).await.unwrap();
        let mut app = Peer::accept(&listener).await;
        let head = app.read_head().await;
        assert_eq!(
            (line(&head, "upgrade"), line(&head, "connection")),
            (None, None),
            "{odd}"
        );
        app.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert!(page.read_head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn an_app_that_declines_answers_and_one_that_switches_elsewhere_does_not() {
    let listener = listen().await;
    let stage = before(&listener, &[]).await;
    for (answer, expected) in [
        (
            "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno",
            "426",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: Upgrade\r\n\r\n",
            "502",
        ),
        ("garbage\r\n\r\n", "502"),
    ] {
        let mut page = Wire::connect(stage.server.address()).await;
        page.write(opening("/ws", "")).await.unwrap();
        let mut app = Peer::accept(&listener).await;
        app.read_head().await;
        app.write(answer).await;
        let head = page.read_head().await;
        assert_eq!(head.split(' ').nth(1), Some(expected), "{head}");
    }
    // A connection that was answered on goes on with HTTP.
    let mut page = Wire::connect(stage.server.address()).await;
    for _ in 0..2 {
        page.write(opening("/ws", "")).await.unwrap();
        let mut app = Peer::accept(&listener).await;
        app.read_head().await;
        app.write("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        assert!(page.read_head().await.starts_with("HTTP/1.1 404 "));
    }
}

#[tokio::test]
async fn open_websockets_last_until_the_drain_limit() {
    let listener = listen().await;
    let stage = before(&listener, &[("GATEWAY_SERVER__DRAIN_LIMIT", "600ms")]).await;
    let (mut page, mut app) = open(&stage, &listener).await;
    stage.server.drain();
    let admin = stage.server.admin_address();
    until("it drains", async || {
        ask(admin, Protocol::Http1, get(admin, "/readyz", ""))
            .await
            .status
            == 503
    })
    .await;
    page.write("more").await.unwrap();
    app.read_body(4).await;
    assert_eq!(page.read_to_end().await.0, "", "cut at the limit");
    assert!(app.read_to_end().await.is_empty());
}
