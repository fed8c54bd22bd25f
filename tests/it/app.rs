//! The app behind the gateway: what is outside `/v1` reaches it as it is, and comes back as it is.

use std::net::SocketAddr;
use std::time::Duration;

use behest_gateway::emulator::RequestRecord;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};

use crate::support::app::{App, Reply, answer, json, line};
use crate::support::caller::{Answer, Caller, Protocol, ask, chat, get};
use crate::support::upload::upload;
use crate::support::upstream::{Peer, listen};
use crate::support::waiting::until;
use crate::support::wire::Wire;
use crate::support::{Stage, cookie};

/// Of an answer of the app's that is passed on.
const ANSWER: &str = "content-type: text/html\r\nset-cookie: a=1; Path=/; HttpOnly\r\nset-cookie: b=2\r\nlocation: /sign-in\r\nserver: Next\r\nx-accel-buffering: yes\r\naccess-control-allow-origin: *\r\ncontent-encoding: br\r\n";

/// A gateway before `app`.
async fn before(app: SocketAddr, env: &[(&str, &str)]) -> Stage {
    let url = format!("http://{app}");
    let mut all = vec![("GATEWAY_APP_URL", url.as_str())];
    all.extend_from_slice(env);
    Stage::with(&all).await
}

fn request(
    stage: &Stage,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", stage.server.address().to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

async fn asked(stage: &Stage, request: Request<Full<Bytes>>) -> Answer {
    ask(stage.server.address(), Protocol::Http1, request).await
}

#[tokio::test]
async fn every_method_and_path_outside_the_api_reaches_the_app_as_it_is() {
    let app = App::start(|_| json("{}")).await;
    let stage = before(app.address, &[]).await;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND",
    ];
    for (protocol, method) in [Protocol::Http1, Protocol::Http2]
        .into_iter()
        .flat_map(|protocol| methods.map(|method| (protocol, method)))
    {
        let target = "/auth/callback/x%20y/..%2e?code=a%2Fb&state=%7B%7D&empty=";
        let request = request(&stage, method, target, &[]);
        let answer = ask(stage.server.address(), protocol, request).await;
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.text(), if method == "HEAD" { "" } else { "{}" });
        let head = app.heads().pop().unwrap();
        let expected = format!("{method} {target} HTTP/1.1");
        assert_eq!(head.lines().next(), Some(expected.as_str()), "{protocol:?}");
        let host = stage.server.address().to_string();
        assert_eq!(line(&head, "host"), Some(host.as_str()));
    }
    assert_eq!(
        stage.metric(r#"behest_gateway_requests_total{code="ok",route="app"}"#),
        16.0
    );
}

#[tokio::test]
async fn nothing_of_behests_reaches_the_app() {
    let app = App::start(|_| json("{}")).await;
    let stage = before(app.address, &[]).await;
    let address = stage.server.address();
    let cookie = cookie("ada", "1");
    // The user has a token, minted and cached, and the very same connection is used for both.
    let mut caller = Caller::connect(address, Protocol::Http1).await;
    for _ in 0..20 {
        let answer = caller.send(chat(address, &cookie, false)).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        let answer = caller.send(get(address, "/chat", &cookie)).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    let tokens: Vec<String> = stage.emulator.log().read(|seen| {
        let bearers = seen.requests.iter().filter_map(RequestRecord::bearer);
        bearers.map(ToOwned::to_owned).collect()
    });
    assert!(tokens.len() >= 20);
    assert_eq!(app.heads().len(), 20);
    for head in app.heads() {
        assert_eq!(
            line(&head, "cookie"),
            Some(cookie.as_str()),
            "the app's own"
        );
        assert_eq!(line(&head, "authorization"), None);
        assert_eq!(line(&head, "x-session-id"), None);
        // The cookie's own, and no other: nothing else that looks like a token.
        assert_eq!(head.matches("eyJ").count(), cookie.matches("eyJ").count());
        assert!(tokens.iter().all(|token| !head.contains(token.as_str())));
    }
    // What a caller says itself is the app's to judge.
    let own = request(&stage, "GET", "/api", &[("authorization", "Basic dTpw")]);
    asked(&stage, own).await;
    let head = app.heads().pop().unwrap();
    assert_eq!(line(&head, "authorization"), Some("Basic dTpw"));
}

#[tokio::test]
async fn an_answer_of_the_apps_comes_back_as_it_is() {
    let app = App::start(|_| Reply::Text(answer("307 Temporary Redirect", ANSWER, "hello"))).await;
    let stage = before(app.address, &[]).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let request = request(&stage, "GET", "/", &[]);
        let answer = ask(stage.server.address(), protocol, request).await;
        assert_eq!(answer.status, 307);
        assert_eq!(answer.text(), "hello");
        for wanted in ANSWER.lines() {
            let (name, value) = wanted.split_once(": ").unwrap();
            let all = answer.headers.get_all(name);
            assert!(
                all.iter().any(|given| given == value),
                "{wanted} {protocol:?}"
            );
        }
        let added = [
            "cache-control",
            "x-content-type-options",
            "x-gateway-request-id",
        ];
        assert!(added.iter().all(|name| !answer.headers.contains_key(*name)));
    }
}

/// What a caller could claim about where it comes from.
const LIES: [(&str, &str); 9] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-proto", "ftp"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-prefix", "/admin"),
    ("forwarded", "for=6.6.6.6"),
    ("x-real-ip", "6.6.6.6"),
    ("x-middleware-subrequest", "middleware"),
    ("x_forwarded_for", "6.6.6.6"),
    ("connection", "x-forwarded-proto, cookie"),
];

/// The last request's head, and what it tells of where the request came from: addresses, scheme,
/// host, port and the caller's own address.
fn told(app: &App) -> (String, [String; 5]) {
    let head = app.heads().pop().unwrap();
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
    ];
    let told = names.map(|name| line(&head, name).unwrap_or_default().to_owned());
    (head, told)
}

#[tokio::test]
async fn the_app_is_told_where_a_request_came_from_by_the_gateway_alone() {
    let app = App::start(|_| json("{}")).await;
    let stage = before(app.address, &[]).await;
    let host = stage.server.address();
    asked(&stage, request(&stage, "GET", "/", &LIES)).await;
    let (head, told) = told(&app);
    let (port, host) = (host.port().to_string(), host.to_string());
    assert_eq!(told, ["127.0.0.1", "http", &host, &port, "127.0.0.1"]);
    let forwarded = format!("for=127.0.0.1;host=\"{host}\";proto=http");
    assert_eq!(line(&head, "forwarded"), Some(forwarded.as_str()));
    for gone in [
        "x-forwarded-prefix",
        "x-middleware-subrequest",
        "x_forwarded_for",
        "connection",
    ] {
        assert_eq!(line(&head, gone), None, "{gone}");
    }
    assert_eq!(head.matches("6.6.6.6").count(), 0);
}

#[tokio::test]
async fn the_app_is_told_the_public_origin_or_what_a_trusted_proxy_says() {
    let app = App::start(|_| json("{}")).await;
    let public = [("GATEWAY_PUBLIC_ORIGIN", "https://app.example")];
    let stage = before(app.address, &public).await;
    asked(&stage, request(&stage, "GET", "/", &LIES)).await;
    let expected = ["127.0.0.1", "https", "app.example", "443", "127.0.0.1"];
    assert_eq!(told(&app).1, expected);

    let trusted = [("GATEWAY_SERVER__TRUSTED_PROXIES", "127.0.0.1")];
    let stage = before(app.address, &trusted).await;
    let words = [
        ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example:8443"),
    ];
    asked(&stage, request(&stage, "GET", "/", &words)).await;
    let (chain, host) = ("192.0.2.7, 127.0.0.1", "shop.example:8443");
    assert_eq!(told(&app).1, [chain, "https", host, "8443", "192.0.2.7"]);
}

#[tokio::test]
async fn a_path_that_may_be_taken_for_the_apis_is_nobodys() {
    let app = App::start(|_| json("{}")).await;
    let stage = before(app.address, &[]).await;
    let cookie = cookie("ada", "1");
    for path in [
        "/V1/models",
        "/%76%31/models",
        "/x/../v1/models",
        "/x/%2e%2e/v1/chat/completions",
        "/./v1/models",
        "/v1;x/models",
        "/v1%2Fmodels",
        "/v1%5cmodels",
        "/v1/unknown",
        "/v1/auth/mint",
        "/v1/../admin",
        "/v1",
    ] {
        let answer = asked(&stage, get(stage.server.address(), path, &cookie)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (404, Some("route_unknown")),
            "{path}"
        );
    }
    for path in ["/v10", "/api/v1/models", "/auth/v1/auth/mint", "/v1x"] {
        let answer = asked(&stage, get(stage.server.address(), path, &cookie)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(app.heads().len(), 4);
}

#[tokio::test]
async fn malformed_requests_do_not_reach_the_app() {
    let app = App::start(|_| json("{}")).await;
    let stage = before(app.address, &[]).await;
    for head in [
        "GET http://evil.example/ HTTP/1.1\r\nhost: a\r\n",
        "GET //evil.example/ HTTP/1.1\r\nhost: a\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
        "GET / HTTP/1.1\r\nhost: a@b\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n",
    ] {
        let mut wire = Wire::connect(stage.server.address()).await;
        wire.write(format!("{head}\r\n")).await.unwrap();
        let answer = wire.read_head().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
    let long = format!("/{}", "a".repeat(9000));
    assert_eq!(
        asked(&stage, request(&stage, "GET", &long, &[]))
            .await
            .code(),
        Some("uri_too_long")
    );
    assert!(app.heads().is_empty());
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let listener = listen().await;
        let stage = before(listener.local_addr().unwrap(), &[]).await;
        let address = stage.server.address();
        let (pieces, body) = upload();
        let request = Request::post("/talk")
            .header("host", address.to_string())
            .body(body)
            .unwrap();
        let talking = tokio::spawn(async move {
            let mut caller = Caller::connect(address, protocol).await;
            let answer = caller.send(request).await.unwrap();
            (caller, answer.into_body())
        });
        pieces.send(Ok(Bytes::from_static(b"one"))).await.unwrap();
        let mut app = Peer::accept(&listener).await;
        let head = app.read_head().await;
        assert_eq!(line(&head, "transfer-encoding"), Some("chunked"));
        app.read_body("3\r\none\r\n".len()).await;
        app.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuno\r\n")
            .await;
        let (_caller, mut answer) = talking.await.unwrap();
        let next = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(next, "uno");
        // The answer has begun, and the request goes on.
        pieces.send(Ok(Bytes::from_static(b"two"))).await.unwrap();
        app.read_body("3\r\ntwo\r\n".len()).await;
        app.write("3\r\ndos\r\n").await;
        let next = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(next, "dos");
        drop(pieces);
        app.read_body("0\r\n\r\n".len()).await;
        app.write("0\r\n\r\n").await;
        let rest = answer.collect().await.unwrap().to_bytes();
        assert!(rest.is_empty(), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_apis_limits_reaches_the_app() {
    let app = App::start(|head| {
        let length = line(head, "content-length").unwrap_or_default();
        json(&format!("\"{length}\""))
    })
    .await;
    let stage = before(app.address, &[("GATEWAY_LIMITS__MAX_BODY", "1 KiB")]).await;
    let body = Full::new(Bytes::from(vec![b'x'; 100_000]));
    let request = Request::post("/upload")
        .header("host", stage.server.address().to_string())
        .body(body)
        .unwrap();
    assert_eq!(asked(&stage, request).await.text(), "\"100000\"");
    let empty = Request::post("/empty")
        .header("host", stage.server.address().to_string())
        .body(Full::default())
        .unwrap();
    assert_eq!(asked(&stage, empty).await.text(), "\"0\"");
}

#[tokio::test]
async fn a_small_body_that_does_not_come_is_given_up_and_holds_no_connection_of_the_apps() {
    let listener = listen().await;
    let env = [("GATEWAY_APP__IDLE_TIMEOUT", "300ms")];
    let stage = before(listener.local_addr().unwrap(), &env).await;
    let mut wire = Wire::connect(stage.server.address()).await;
    let head = "POST /form HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf";
    wire.write(head).await.unwrap();
    let answer = wire.read_head().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "the app has heard of it");
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_apps_work() {
    let listener = listen().await;
    let stage = before(listener.local_addr().unwrap(), &[]).await;
    let mut wire = Wire::connect(stage.server.address()).await;
    wire.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut app = Peer::accept(&listener).await;
    app.read_head().await;
    app.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        .await;
    wire.read_head().await;
    drop(wire);
    assert!(app.read_to_end().await.is_empty());
}

#[tokio::test]
async fn an_app_that_does_not_answer_gets_an_error_of_the_gateways() {
    let listener = listen().await;
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let stage = before(nobody, &[]).await;
    let answer = asked(&stage, request(&stage, "GET", "/", &[])).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (502, Some("app_unreachable"))
    );
    assert_eq!(answer.json()["error"]["code"], "app_unreachable");
    // Who opens a page is shown one.
    let page = request(&stage, "GET", "/", &[("accept", "text/html,*/*;q=0.8")]);
    let answer = asked(&stage, page).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (502, Some("app_unreachable"))
    );
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert!(answer.text().contains("app.url") && answer.text().contains("app_unreachable"));
    // The API is not the app.
    let answer = asked(
        &stage,
        get(stage.server.address(), "/v1/models", &cookie("ada", "1")),
    )
    .await;
    assert_eq!(answer.status, 200);
    let admin = stage.server.admin_address();
    assert_eq!(
        ask(admin, Protocol::Http1, get(admin, "/readyz", ""))
            .await
            .status,
        200
    );

    let app = App::start(|head| {
        if head.starts_with("GET /garbage") {
            Reply::Text("garbage\r\n\r\n".to_owned())
        } else if head.starts_with("GET /twice") {
            Reply::Text("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx".to_owned())
        } else if head.starts_with("GET /switch") {
            Reply::Text("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".to_owned())
        } else {
            Reply::Hang
        }
    })
    .await;
    let stage = before(app.address, &[("GATEWAY_APP__FIRST_BYTE_TIMEOUT", "300ms")]).await;
    for (path, status, code) in [
        ("/garbage", 502, "app_invalid"),
        ("/twice", 502, "app_invalid"),
        ("/switch", 502, "app_invalid"),
        ("/hang", 504, "app_timeout"),
    ] {
        let answer = asked(&stage, request(&stage, "GET", path, &[])).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (status, Some(code)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_falls_silent_never_looks_whole() {
    let listener = listen().await;
    let stage = before(
        listener.local_addr().unwrap(),
        &[("GATEWAY_APP__IDLE_TIMEOUT", "300ms")],
    )
    .await;
    for breaks in [true, false] {
        let mut wire = Wire::connect(stage.server.address()).await;
        wire.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let mut app = Peer::accept(&listener).await;
        app.read_head().await;
        app.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuno\r\n")
            .await;
        if breaks {
            drop(app);
        }
        let (text, _) = wire.read_to_end().await;
        assert!(text.ends_with("3\r\nuno\r\n"), "{text}");
    }
    until("both are counted", async || {
        stage.metric(r#"behest_gateway_requests_total{code="app_cut",route="app"}"#) == 2.0
    })
    .await;
}

#[tokio::test]
async fn without_an_app_what_is_outside_the_api_is_nobodys() {
    let stage = Stage::new().await;
    let answer = asked(&stage, request(&stage, "GET", "/", &[])).await;
    assert_eq!(answer.code(), Some("route_unknown"));
}

#[tokio::test]
async fn the_apps_own_cors_and_cross_site_forms_are_its_own_affair() {
    let app = App::start(|_| json("{}")).await;
    let public = [("GATEWAY_PUBLIC_ORIGIN", "https://app.example")];
    let stage = before(app.address, &public).await;
    for method in [Method::OPTIONS, Method::POST] {
        let headers = [
            ("origin", "https://accounts.example"),
            ("sec-fetch-site", "cross-site"),
            ("access-control-request-method", "POST"),
        ];
        let answer = asked(
            &stage,
            request(&stage, method.as_str(), "/auth/callback", &headers),
        )
        .await;
        assert_eq!(answer.status, 200, "{method}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert!(!answer.headers.contains_key("vary"));
    }
    assert_eq!(app.heads().len(), 2);
}

#[tokio::test]
async fn a_connection_that_the_app_has_closed_is_not_used_again() {
    let listener = listen().await;
    let stage = before(listener.local_addr().unwrap(), &[]).await;
    for _ in 0..3 {
        let asking = request(&stage, "POST", "/", &[]);
        let asking = ask(stage.server.address(), Protocol::Http1, asking);
        let answering = async {
            let mut app = Peer::accept(&listener).await;
            app.read_head().await;
            // Ends the connection without having said that it would.
            app.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .await;
        };
        let (answer, ()) = tokio::join!(asking, answering);
        assert_eq!(answer.status, 200);
    }
}
