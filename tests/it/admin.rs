//! The operators' listener under those who are none: what it guards, and what it bears.

use std::time::Duration;

use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{SECRET, Stage};

const TOKEN: &str = "an-operators-token-0123456789-0123456789";
const PAGE: &str = "/config";

async fn visit(stage: &Stage, method: Method, path: &str, tokens: &[&str]) -> Answer {
    let admin = stage.server.admin_address();
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("host", admin.to_string().parse().unwrap());
    for token in tokens {
        let value = HeaderValue::try_from(*token).unwrap();
        headers.append("authorization", value);
    }
    ask(admin, Protocol::Http1, request).await
}

#[tokio::test]
async fn without_a_token_there_is_nothing_but_health_and_metrics() {
    let stage = Stage::new().await;
    for tokens in [&[][..], &["Bearer "], &["Bearer x"]] {
        for method in [Method::GET, Method::POST] {
            let answer = visit(&stage, method, PAGE, tokens).await;
            assert_eq!(answer.status, 404, "{tokens:?}");
        }
    }
}

#[tokio::test]
async fn with_a_token_everything_else_asks_for_it() {
    let stage = Stage::with(&[("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
    let good = format!("Bearer {TOKEN}");
    let longer = format!("{good}x");
    let basic = format!("Basic {TOKEN}");
    let wrong: [&[&str]; 7] = [
        &[],
        &["Bearer "],
        &[TOKEN],
        &[&basic],
        &[&longer],
        &[good.strip_suffix('9').unwrap()],
        &[&good, &good],
    ];
    for tokens in wrong {
        for (method, path) in [
            (Method::GET, PAGE),
            (Method::POST, PAGE),
            (Method::GET, "/any"),
        ] {
            let answer = visit(&stage, method, path, tokens).await;
            assert_eq!(answer.status, 401, "{tokens:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(!answer.text().contains("mint."), "{}", answer.text());
        }
    }
    assert_eq!(
        visit(&stage, Method::GET, "/any", &[&good]).await.status,
        404
    );
    assert_eq!(
        visit(&stage, Method::POST, PAGE, &[&good]).await.status,
        405
    );
    let lower = format!("bearer {TOKEN}");
    for tokens in [[&*good], [&*lower]] {
        let answer = visit(&stage, Method::GET, PAGE, &tokens).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["cache-control"], "no-store");
        for word in ["mint.ttl", "\"15m\"", "AUTH_SECRET", "warning"] {
            assert!(answer.text().contains(word), "{word}: {}", answer.text());
        }
        for secret in [TOKEN, SECRET, behest_gateway::emulator::FIXTURE_KEY] {
            assert!(!answer.text().contains(secret), "{secret}");
        }
    }
    let head = visit(&stage, Method::HEAD, PAGE, &[&good]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let open = visit(&stage, Method::GET, "/metrics", &["Bearer wrong"]).await;
    assert_eq!(open.status, 200, "what is open stays open");
    let public = stage.server.address();
    let answer = ask(public, Protocol::Http1, get(public, PAGE, "")).await;
    assert_eq!(
        answer.code(),
        Some("route_unknown"),
        "never on the public listener"
    );
}

#[tokio::test]
async fn the_token_and_the_page_follow_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin_token");
    std::fs::write(&file, TOKEN).unwrap();
    let stage = Stage::with(&[("GATEWAY_ADMIN_TOKEN_FILE", file.to_str().unwrap())]).await;
    let length = |answer: &Answer| {
        let line = answer
            .text()
            .lines()
            .find(|line| line.starts_with("admin.token "));
        line.unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    let old = format!("Bearer {TOKEN}");
    let answer = visit(&stage, Method::GET, PAGE, &[&old]).await;
    assert_eq!(length(&answer), "40");
    std::fs::write(&file, format!("{TOKEN}-new")).unwrap();
    stage.server.reload();
    until("the old token is refused", async || {
        visit(&stage, Method::GET, PAGE, &[&old]).await.status == 401
    })
    .await;
    let new = format!("Bearer {TOKEN}-new");
    until("the page is the new one", async || {
        let answer = visit(&stage, Method::GET, PAGE, &[&new]).await;
        answer.status == 200 && length(&answer) == "44"
    })
    .await;
}

#[tokio::test]
async fn silent_connections_are_bounded_and_keep_no_probe_waiting() {
    let stage = Stage::new().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let socket = TcpStream::connect(stage.server.admin_address())
            .await
            .unwrap();
        silent.push(socket);
    }
    let probe = visit(&stage, Method::GET, "/readyz", &[]);
    let answer = tokio::time::timeout(Duration::from_secs(5), probe).await;
    assert_eq!(answer.expect("the probe starves").status, 200);
    let mut nothing = [0];
    let closed = tokio::time::timeout(Duration::from_secs(5), silent[0].read(&mut nothing));
    // An end or a reset; the newest stay.
    let closed = closed.await.expect("the oldest is kept");
    assert!(!matches!(closed, Ok(1..)), "{closed:?}");
}

#[tokio::test]
async fn no_body_is_read_no_large_head_and_no_second_request() {
    let stage = Stage::new().await;
    let admin = stage.server.admin_address();
    let mut wire = Wire::connect(admin).await;
    wire.write("POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    assert!(wire.read_head().await.starts_with("HTTP/1.1 405"));
    let mut wire = Wire::connect(admin).await;
    let large = "a".repeat(20_000);
    // The listener may close before all of it is written.
    let _ = wire
        .write(format!(
            "GET /livez HTTP/1.1\r\nhost: a\r\nx: {large}\r\n\r\n"
        ))
        .await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 431"));
    let mut wire = Wire::connect(admin).await;
    let request = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
    wire.write(request.repeat(2)).await.unwrap();
    let (answers, _) = wire.read_to_end().await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let stage = Stage::new().await;
    let mut wire = Wire::connect(stage.server.admin_address()).await;
    wire.write("GET /livez HTTP/1.1\r\nhost:").await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        // It has patience for ten seconds, and the test's own is as long.
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if wire.write("x").await.is_err() {
                return;
            }
        }
    });
    ended.await.expect("the connection stays open");
}
