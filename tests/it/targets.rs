//! Request targets and hosts byte for byte, on both protocols: what is not in the table in its own
//! spelling reaches nothing, and nothing beside the path decides.

use crate::support::caller::{Protocol, ask, get};
use crate::support::fields::{self, Reply};
use crate::support::wire::Wire;
use crate::support::{Stage, cookie};

type Field<'a> = (&'a [u8], &'a [u8]);

/// Paths that would mean an offered route, the mint or an admin path to a reader who normalises.
const UNKNOWN: [&str; 42] = [
    "/v1/models/%2e%2e/threads",
    "/v1/%2e/models",
    "/v1/%2E%2E/v1/models",
    "/v1/threads/a%2fmessages",
    "/v1/threads%2Fa/messages",
    "/v1/threads/a%5cmessages",
    "/v1/models/a%00",
    "/v1/models%00",
    "/v1/models%0d%0ax:y",
    "/v1/models%20",
    "/v1/%6dodels",
    "/v1/models;x=y",
    "/v1;x/models",
    "/v1/models/a;b",
    "/v1/models\\",
    "/v1\\models",
    "/\\v1/models",
    "/v1//models",
    "/v1/models//",
    "/v1/models/",
    "/v1/./models",
    "/v1/models/.",
    "/v1/x/../models",
    "/v1/models/..",
    "/x/../v1/models",
    "/./v1/models",
    "/v1/models/a,b",
    "/v1/models/a@b",
    "/v1/models/a+b",
    "/v1/models/a~b",
    "/v1/models/*",
    "/v1/models/{id}",
    "/V1/models",
    "/v1/MODELS",
    "/v1",
    "/v1/",
    "/v2/models",
    "/v1/auth/mint",
    "/v1/auth/../models",
    "/auth/v1/auth/mint",
    "/v1/admin/keys",
    "/health",
];

/// Targets that are no path at all, or hold bytes that none has.
const MALFORMED: [&[u8]; 13] = [
    b"http://a/v1/models",
    b"//v1/models",
    b"///v1/models",
    b"//evil.example/v1/models",
    b"http://evil.example/v1/models",
    b"https://evil.example@app.example/v1/models",
    b"*",
    b"v1/models",
    b"@evil.example/v1/models",
    b"evil.example:443",
    b"?x=/v1/models",
    b"#/v1/models",
    b"/v1/mod els",
];

/// Bytes outside ASCII and controls, which some parsers refuse and some pass on.
const STRANGE: [&[u8]; 8] = [
    b"/v1/models\xff",
    b"/v1/models/\xc3\xa9",
    "/v1/models\u{ff0f}a".as_bytes(),
    b"/v1/\xc0\xae\xc0\xae/models",
    b"/v1/models\x00",
    b"/v1/models\x01",
    b"/v1/models\x7f",
    b"/v1/models\t",
];

/// The head of the answer to a raw HTTP/1.1 request with a good session.
async fn http1(stage: &Stage, method: &str, target: &[u8], host: &[&str]) -> String {
    let mut request = format!("{method} ").into_bytes();
    request.extend(target);
    request.extend(b" HTTP/1.1\r\n");
    for host in host {
        request.extend(format!("host: {host}\r\n").bytes());
    }
    let session = cookie("ada", "1");
    request.extend(format!("cookie: {session}\r\nconnection: close\r\n\r\n").bytes());
    let mut wire = Wire::connect(stage.server.address()).await;
    wire.write(request).await.unwrap();
    wire.read_to_end().await.0
}

/// The answer to a raw HTTP/2 request with a good session.
async fn http2(stage: &Stage, fields: &[Field<'_>]) -> Reply {
    let session = cookie("ada", "1");
    let mut all = fields.to_vec();
    all.push((b"cookie", session.as_bytes()));
    fields::ask(stage.server.address(), &all).await
}

async fn http2_path(stage: &Stage, method: &str, path: &[u8]) -> Reply {
    let fields: [Field; 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"app.example"),
        (b":path", path),
    ];
    http2(stage, &fields).await
}

fn is(reply: &Reply, code: &str) -> bool {
    let word = format!("\"code\":\"{code}\"");
    matches!(reply, Reply::Body(body) if body.contains(&word))
}

/// Answered by Behest.
fn is_served(reply: &Reply) -> bool {
    matches!(reply, Reply::Body(body) if body.contains("\"object\":\"list\""))
}

/// Nothing of it reached Behest, and the next honest request is served.
async fn unharmed(stage: &Stage) {
    let total = stage.emulator.log().read(|seen| seen.total_requests);
    assert_eq!(total, 0, "it cost a call");
    let address = stage.server.address();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = ask(
            address,
            protocol,
            get(address, "/v1/models", &cookie("ada", "1")),
        )
        .await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_path_in_another_spelling_is_unknown() {
    let stage = Stage::new().await;
    for path in UNKNOWN {
        let query = format!("{path}?x=/v1/models");
        for target in [path, &query] {
            for method in ["GET", "POST"] {
                let answer = http1(&stage, method, target.as_bytes(), &["a"]).await;
                assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
                let code = "x-gateway-error: route_unknown\r\n";
                assert!(answer.contains(code), "{target}: {answer}");
                let reply = http2_path(&stage, method, target.as_bytes()).await;
                assert!(is(&reply, "route_unknown"), "{target}: {reply:?}");
            }
        }
    }
    unharmed(&stage).await;
}

#[tokio::test]
async fn a_target_that_is_no_path_is_malformed() {
    let stage = Stage::new().await;
    for target in MALFORMED {
        let shown = String::from_utf8_lossy(target);
        for method in ["GET", "OPTIONS"] {
            let answer = http1(&stage, method, target, &["a"]).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
            let reply = http2_path(&stage, method, target).await;
            // `?x` and `#x` alone are `/` to the parser.
            let codes = ["request_invalid", "route_unknown"];
            let refused = reply == Reply::Refused || codes.iter().any(|code| is(&reply, code));
            assert!(refused, "{shown}: {reply:?}");
        }
    }
    unharmed(&stage).await;
}

#[tokio::test]
async fn bytes_that_no_path_has_reach_nothing() {
    let stage = Stage::new().await;
    for target in STRANGE {
        let shown = String::from_utf8_lossy(target);
        let answer = http1(&stage, "GET", target, &["a"]).await;
        let refused = ["HTTP/1.1 404 ", "HTTP/1.1 400 "].iter();
        let refused = refused.copied().any(|start| answer.starts_with(start));
        assert!(refused, "{shown:?}: {answer}");
        let reply = http2_path(&stage, "GET", target).await;
        let refused = reply == Reply::Refused || is(&reply, "route_unknown");
        assert!(refused, "{shown:?}: {reply:?}");
    }
    unharmed(&stage).await;
}

#[tokio::test]
async fn tunnels_are_never_opened() {
    let stage = Stage::new().await;
    for target in ["evil.example:443", "/v1/models", "http://evil.example/"] {
        let answer = http1(&stage, "CONNECT", target.as_bytes(), &["evil.example:443"]).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    let connect: Field = (b":method", b"CONNECT");
    let plain: [Field; 2] = [connect, (b":authority", b"evil.example:443")];
    let extended: [Field; 5] = [
        connect,
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":path", b"/v1/models"),
        (b":authority", b"app.example"),
    ];
    let without_protocol: [Field; 4] = [connect, extended[2], extended[3], extended[4]];
    for fields in [&plain[..], &extended, &without_protocol] {
        let reply = http2(&stage, fields).await;
        let refused = reply == Reply::Refused || is(&reply, "request_invalid");
        assert!(refused, "{reply:?}");
    }
    unharmed(&stage).await;
}

#[tokio::test]
async fn an_upgrade_is_not_taken_up_and_is_judged_like_any_request() {
    let stage = Stage::with(&[("GATEWAY_PUBLIC_ORIGIN", "https://app.example")]).await;
    let session = cookie("ada", "1");
    let ask = async |path: &str, origin: &str| {
        let mut wire = Wire::connect(stage.server.address()).await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: app.example\r\ncookie: {session}\r\n{origin}\
             upgrade: websocket\r\nconnection: upgrade, close\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        wire.write(head).await.unwrap();
        wire.read_to_end().await.0
    };
    for origin in ["origin: https://evil.example\r\n", "origin: null\r\n"] {
        let answer = ask("/v1/models", origin).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("x-gateway-error: cross_origin_refused\r\n"));
    }
    let cross_site = "sec-fetch-site: cross-site\r\n";
    let answer = ask("/v1/models", cross_site).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let total = stage.emulator.log().read(|seen| seen.total_requests);
    assert_eq!(total, 0, "a refused request cost a call");
    let answer = ask("/v1/models", "origin: https://app.example\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let seen = stage.emulator.log();
    seen.read(|seen| {
        let got = seen.to_path("/v1/models").last().unwrap();
        assert_eq!(got.header("upgrade"), None);
        assert_eq!(got.header("connection"), None);
    });
}

#[tokio::test]
async fn a_query_passes_as_it_is_and_a_fragment_not_at_all() {
    let stage = Stage::new().await;
    for (target, path) in [
        (
            "/v1/models?a=%2e%2e&b=//&c=/../x&d=%00",
            "/v1/models?a=%2e%2e&b=//&c=/../x&d=%00",
        ),
        ("/v1/models?", "/v1/models?"),
        ("/v1/models#/../auth/mint", "/v1/models"),
        ("/v1/models?x=1#?y=2", "/v1/models?x=1"),
    ] {
        let answer = http1(&stage, "GET", target.as_bytes(), &["a"]).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer}");
        let reply = http2_path(&stage, "GET", target.as_bytes()).await;
        assert!(is_served(&reply), "{target}: {reply:?}");
        let targets: Vec<String> = stage.emulator.log().read(|seen| {
            let all = seen.to_path("/v1/models");
            all.map(|request| request.target.clone()).collect()
        });
        assert_eq!(targets, [path, path], "{target}");
        stage.emulator.reset();
    }
    for target in [
        "/v1/auth/mint#/v1/models",
        "/v1/nothing?/v1/models",
        "/?/v1/models",
    ] {
        let answer = http1(&stage, "GET", target.as_bytes(), &["a"]).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
    }
}

#[tokio::test]
async fn exactly_one_plain_host_is_needed_on_http1() {
    let stage = Stage::new().await;
    let refused: [&[&str]; 16] = [
        &[],
        &["a", "a"],
        &["a", "b"],
        &[""],
        &["", "a"],
        &["user@a"],
        &["user:pw@a"],
        &["a, b"],
        &["a/b"],
        &["a/"],
        &["http://a"],
        &["a:"],
        &["a:b"],
        &["a:99999"],
        &["a b"],
        &["a?x"],
    ];
    for hosts in refused {
        let answer = http1(&stage, "GET", b"/v1/models", hosts).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts:?}: {answer}");
        assert!(answer.contains("x-gateway-error: request_invalid\r\n"));
    }
    unharmed(&stage).await;
    for host in ["a", "app.example:8443", "[::1]:80", "127.0.0.1"] {
        let answer = http1(&stage, "GET", b"/v1/models", &[host]).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
}

#[tokio::test]
async fn exactly_one_plain_host_is_needed_on_http2() {
    let stage = Stage::new().await;
    let ask = async |hosts: &[Field<'_>]| {
        let mut fields: Vec<Field> = vec![
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/v1/models"),
        ];
        fields.extend(hosts);
        http2(&stage, &fields).await
    };
    let authority = |host: &'static str| -> Field<'static> { (b":authority", host.as_bytes()) };
    let host = |host: &'static str| -> Field<'static> { (b"host", host.as_bytes()) };
    let refused: [&[Field]; 17] = [
        &[],
        &[authority("a"), host("b")],
        &[authority("a"), host("A")],
        &[authority("a"), host("a:80")],
        &[authority("a"), host("a"), host("a")],
        &[authority("a"), host("")],
        &[host("a"), host("a")],
        &[host("a"), host("b")],
        &[host("")],
        &[host("user@a")],
        &[host("a, b")],
        &[host("a/b")],
        &[authority("")],
        &[authority("user@a")],
        &[authority("a,b")],
        &[authority("a/b")],
        &[authority("a"), authority("a")],
    ];
    for hosts in refused {
        let reply = ask(hosts).await;
        let refused = reply == Reply::Refused || is(&reply, "request_invalid");
        assert!(refused, "{hosts:?}: {reply:?}");
    }
    unharmed(&stage).await;
    let good: [&[Field]; 4] = [
        &[authority("a")],
        &[host("a")],
        &[authority("a:8443"), host("a:8443")],
        &[authority("[::1]:80")],
    ];
    for hosts in good {
        let reply = ask(hosts).await;
        assert!(is_served(&reply), "{hosts:?}: {reply:?}");
    }
}
