//! Pages on other origins: what an allowed one may read, and that no other learns anything.

use behest_gateway::emulator::{Action, Fault, On};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;

use crate::admission::nothing_went_up;
use crate::support::caller::{Answer, Protocol, ask, chat, get};
use crate::support::{Stage, cookie};

pub const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
pub const PUBLIC: &str = "https://app.example";
pub const ALLOWED: &str = "https://chat.example";
pub const ASKS: (&str, &str) = ("access-control-request-method", "POST");
pub const CHAT: &str = "/v1/chat/completions";
pub const ENV: [(&str, &str); 2] = [
    ("GATEWAY_PUBLIC_ORIGIN", PUBLIC),
    ("GATEWAY_ALLOWED_ORIGINS", ALLOWED),
];
/// Readable on every answer, as a browser parses the list.
const EXPOSED: [&str; 13] = [
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "x-gateway-request-id",
    "x-trace-id",
    "x-should-retry",
    "x-gateway-error",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
];

pub async fn allowing() -> Stage {
    Stage::with(&ENV).await
}

fn request(
    stage: &Stage,
    method: &str,
    path: &str,
    lines: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = get(stage.server.address(), path, "");
    request.headers_mut().remove("cookie");
    *request.method_mut() = method.parse().unwrap();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

pub async fn send(
    stage: &Stage,
    protocol: Protocol,
    method: &str,
    path: &str,
    lines: &[(&str, &str)],
) -> Answer {
    let request = request(stage, method, path, lines);
    ask(stage.server.address(), protocol, request).await
}

/// The CORS headers of an answer, sorted, but for `Vary`.
pub fn cors(answer: &Answer) -> Vec<(&str, &str)> {
    let all = answer.headers.iter();
    let all = all.map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let mut found: Vec<_> = all
        .filter(|(name, _)| name.starts_with("access-control-"))
        .collect();
    found.sort_unstable();
    found
}

/// Every answer varies by origin, and says so once.
pub fn varies(answer: &Answer) {
    let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["Origin"], "{answer:?}");
}

pub fn readable_by(answer: &Answer, origin: &str) {
    varies(answer);
    let found = cors(answer);
    let [
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", echoed),
        ("access-control-expose-headers", exposed),
    ] = *found
    else {
        panic!("{found:?} in {answer:?}");
    };
    assert_eq!(echoed, origin);
    let exposed: Vec<_> = exposed.split(',').map(str::trim).collect();
    assert_eq!(exposed, EXPOSED);
}

pub fn readable_by_nobody(answer: &Answer) {
    varies(answer);
    assert_eq!(cors(answer), [], "{answer:?}");
}

/// A request, and the status of its answer.
struct Case {
    request: Request<Full<Bytes>>,
    status: u16,
}

/// One request for each way in which the gateway itself answers, and good ones of each kind.
fn every_kind(stage: &Stage) -> Vec<Case> {
    let address = stage.server.address();
    let ada = cookie("ada", "1");
    let mut cases = Vec::new();
    let mut add = |status, request| cases.push(Case { request, status });
    add(200, get(address, "/v1/models", &ada));
    add(200, chat(address, &ada, true));
    let mut head = get(address, "/v1/models", &ada);
    *head.method_mut() = Method::HEAD;
    add(200, head);
    add(401, get(address, "/v1/models", "theme=dark"));
    add(
        401,
        get(address, "/v1/models", "authjs.session-token=forged"),
    );
    add(404, get(address, "/v1/nothing", &ada));
    add(404, get(address, "/", &ada));
    let mut wrong_method = get(address, "/v1/models", &ada);
    *wrong_method.method_mut() = Method::DELETE;
    add(405, wrong_method);
    let mut large = chat(address, &ada, false);
    *large.body_mut() = Full::new("x".repeat(4096).into());
    add(413, large);
    let long = format!("/v1/models?q={}", "x".repeat(9000));
    add(414, get(address, &long, &ada));
    let mut many = get(address, "/v1/models", &ada);
    for number in 0..100 {
        let name: HeaderName = format!("x-{number}").parse().unwrap();
        many.headers_mut()
            .insert(name, HeaderValue::from_static("1"));
    }
    add(431, many);
    let mut host = get(address, "/v1/models", &ada);
    host.headers_mut()
        .insert("host", HeaderValue::from_static("user@app.example"));
    add(400, host);
    cases
}

#[tokio::test]
async fn every_answer_varies_and_is_readable_by_the_allowed_page_and_nobody_else() {
    let stage = Stage::with(&[ENV[0], ENV[1], ("GATEWAY_LIMITS__MAX_BODY", "2 KiB")]).await;
    let address = stage.server.address();
    for protocol in BOTH {
        let pages = [None, Some(ALLOWED), Some(PUBLIC)];
        for origin in pages {
            for Case {
                mut request,
                status,
            } in every_kind(&stage)
            {
                if let Some(origin) = origin {
                    let origin = HeaderValue::from_static(origin);
                    request.headers_mut().insert("origin", origin);
                }
                let answer = ask(address, protocol, request).await;
                assert_eq!(answer.status, status, "{protocol:?} {answer:?}");
                match origin {
                    Some(ALLOWED) => readable_by(&answer, ALLOWED),
                    _ => readable_by_nobody(&answer),
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_refused_as_cross_origin_is_readable_by_nobody() {
    let stage = allowing().await;
    let session = cookie("ada", "1");
    let refused: [&[(&str, &str)]; 5] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        &[("origin", PUBLIC), ("sec-fetch-site", "same-site")],
        &[("origin", ALLOWED), ("origin", ALLOWED)],
        &[("origin", ALLOWED), ("origin", "https://evil.example")],
    ];
    for protocol in BOTH {
        for lines in refused {
            let mut lines = lines.to_vec();
            lines.push(("cookie", &session));
            let answer = send(&stage, protocol, "GET", "/v1/models", &lines).await;
            assert_eq!(answer.code(), Some("cross_origin_refused"), "{lines:?}");
            readable_by_nobody(&answer);
            // Where there is no such path, nobody may learn even that.
            let answer = send(&stage, protocol, "GET", "/v1/nothing", &lines).await;
            assert_eq!(answer.status, 404);
            readable_by_nobody(&answer);
        }
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn an_allowed_page_may_read_why_it_is_refused() {
    let stage = allowing().await;
    let lines = [("origin", ALLOWED), ("sec-fetch-site", "anything")];
    for protocol in BOTH {
        let answer = send(&stage, protocol, "GET", "/v1/models", &lines).await;
        assert_eq!(answer.code(), Some("cross_origin_refused"));
        readable_by(&answer, ALLOWED);
    }
}

#[tokio::test]
async fn behests_own_words_on_cors_never_pass_and_its_errors_are_readable() {
    let own = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "false"),
        ("access-control-expose-headers", "*"),
        ("access-control-allow-private-network", "true"),
        ("vary", "Accept-Encoding"),
        ("vary", "*"),
    ];
    let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for protocol in BOTH {
        let stage = allowing().await;
        let address = stage.server.address();
        for status in [200, 402, 404, 429, 503] {
            for origin in [ALLOWED, PUBLIC] {
                let action = match status {
                    200 => Action::Headers {
                        headers: headers.to_vec(),
                    },
                    code => Action::Status {
                        code,
                        headers: headers.to_vec(),
                        body: String::new(),
                    },
                };
                stage.emulator.faults().push(Fault::once(On::Data, action));
                let mut request = chat(address, &cookie("ada", "1"), status == 200);
                let value = HeaderValue::from_static(origin);
                request.headers_mut().insert("origin", value);
                let answer = ask(address, protocol, request).await;
                assert_eq!(answer.status, status, "{answer:?}");
                match origin {
                    ALLOWED => readable_by(&answer, ALLOWED),
                    _ => readable_by_nobody(&answer),
                }
            }
        }
    }
}

#[tokio::test]
async fn failures_on_the_way_are_readable_too() {
    for protocol in BOTH {
        for (on, action, code) in [
            (On::Mint, Action::Garbage, "mint_unavailable"),
            (On::Data, Action::Close, "upstream_unreachable"),
        ] {
            let stage = allowing().await;
            stage.emulator.faults().push(Fault::forever(on, action));
            let mut request = chat(stage.server.address(), &cookie("ada", "1"), false);
            let value = HeaderValue::from_static(ALLOWED);
            request.headers_mut().insert("origin", value);
            let answer = ask(stage.server.address(), protocol, request).await;
            assert_eq!(answer.code(), Some(code), "{answer:?}");
            readable_by(&answer, ALLOWED);
        }
    }
}

#[tokio::test]
async fn rate_limits_and_configured_headers_are_exposed_by_their_names() {
    let env = ("GATEWAY_ROUTES__RESPONSE_HEADERS", "x-cost");
    let stage = Stage::with(&[ENV[0], ENV[1], env]).await;
    let headers = [
        ("x-ratelimit-remaining-tokens", "7"),
        ("x-ratelimit-limit-images", "8"),
        ("x-cost", "9"),
    ];
    let action = Action::Headers {
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    stage.emulator.faults().push(Fault::once(On::Data, action));
    let session = cookie("ada", "1");
    let lines = [("origin", ALLOWED), ("cookie", &session)];
    let answer = send(&stage, Protocol::Http1, "GET", "/v1/models", &lines).await;
    let exposed = &answer.headers["access-control-expose-headers"];
    let exposed: Vec<_> = exposed.to_str().unwrap().split(", ").collect();
    for (name, value) in headers {
        assert_eq!(answer.headers[name], value);
        assert!(exposed.contains(&name), "{name} in {exposed:?}");
    }
}

#[tokio::test]
async fn pages_on_one_public_origin_reach_another_only_where_that_is_allowed() {
    let both = format!("{PUBLIC},https://other.example");
    let session = cookie("ada", "1");
    let crossing = [
        ("origin", PUBLIC),
        ("sec-fetch-site", "same-site"),
        ("cookie", &session),
    ];
    let stage = Stage::with(&[("GATEWAY_PUBLIC_ORIGIN", &both)]).await;
    let answer = send(&stage, Protocol::Http1, "GET", "/v1/models", &crossing).await;
    assert_eq!(answer.code(), Some("cross_origin_refused"));
    nothing_went_up(&stage);
    let stage = Stage::with(&[
        ("GATEWAY_PUBLIC_ORIGIN", &both),
        ("GATEWAY_ALLOWED_ORIGINS", PUBLIC),
    ])
    .await;
    let preflight = [("origin", PUBLIC), ASKS];
    let answer = send(&stage, Protocol::Http1, "OPTIONS", CHAT, &preflight).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let answer = send(&stage, Protocol::Http1, "GET", "/v1/models", &crossing).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    readable_by(&answer, PUBLIC);
}

#[tokio::test]
async fn nobody_crosses_where_nothing_is_configured() {
    let stage = Stage::new().await;
    let session = cookie("ada", "1");
    let own = format!("http://{}", stage.server.address());
    for protocol in BOTH {
        for (origin, status) in [
            (&*own, 200),
            ("https://evil.example", 403),
            ("null", 403),
            ("http://127.0.0.1", 403),
            (&*format!("{own}0"), 403),
            (&*format!("{own}/"), 403),
        ] {
            let lines = [("origin", origin), ("cookie", &session)];
            let answer = send(&stage, protocol, "GET", "/v1/models", &lines).await;
            assert_eq!(answer.status, status, "{origin}: {answer:?}");
            readable_by_nobody(&answer);
            let lines = [("origin", origin), ASKS];
            let answer = send(&stage, protocol, "OPTIONS", CHAT, &lines).await;
            assert_eq!(answer.status, 403, "{origin}: {answer:?}");
            readable_by_nobody(&answer);
        }
    }
}
