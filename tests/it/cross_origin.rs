//! The defence against other sites' pages: what carries which signs of its origin is served or refused.

use http::{HeaderName, HeaderValue, Method};

use crate::admission::nothing_went_up;
use crate::support::caller::{Answer, Protocol, ask, chat, get};
use crate::support::{Stage, cookie};

async fn with_headers(
    stage: &Stage,
    protocol: Protocol,
    method: &Method,
    headers: &[(&str, &str)],
) -> Answer {
    let address = stage.server.address();
    let mut request = chat(address, &cookie("ada", "1"), false);
    if *method == Method::GET {
        request = get(address, "/v1/models", &cookie("ada", "1"));
    }
    request.headers_mut().remove("content-type");
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    ask(address, protocol, request).await
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn cross_site() -> [(Method, &'static [(&'static str, &'static str)]); 12] {
    [
        (Method::POST, &[JSON, ("content-type", "text/plain")]),
        (
            Method::POST,
            &[("content-type", "application/json, text/plain")],
        ),
        (Method::POST, &[]),
        (Method::POST, &[JSON, ("origin", "https://evil.example")]),
        (Method::POST, &[JSON, ("origin", "null")]),
        (
            Method::POST,
            &[JSON, ("origin", "https://app.example.evil.example")],
        ),
        (
            Method::GET,
            &[
                ("origin", "https://evil.example"),
                ("sec-fetch-site", "same-origin"),
            ],
        ),
        (Method::GET, &[("sec-fetch-site", "cross-site")]),
        (Method::GET, &[("sec-fetch-site", "same-site")]),
        (
            Method::POST,
            &[
                JSON,
                ("origin", "https://app.example"),
                ("sec-fetch-site", "cross-site"),
            ],
        ),
        (
            Method::POST,
            &[
                JSON,
                ("origin", "https://app.example"),
                ("origin", "https://app.example"),
            ],
        ),
        (Method::POST, &[("content-type", "text/plain")]),
    ]
}

#[tokio::test]
async fn another_sites_page_spends_nothing() {
    let env = [
        ("GATEWAY_PUBLIC_ORIGIN", "https://app.example"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://chat.example"),
    ];
    let stage = Stage::with(&env).await;
    for (method, headers) in cross_site() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answer = with_headers(&stage, protocol, &method, headers).await;
            assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
            assert_eq!(answer.code(), Some("cross_origin_refused"));
        }
    }
    let series = r#"behest_gateway_requests_total{code="cross_origin_refused",route="/v1/"#;
    assert!(stage.metrics().contains(series), "{}", stage.metrics());
    nothing_went_up(&stage);
    let accepted: [&[(&str, &str)]; 4] = [
        &[JSON],
        &[
            JSON,
            ("origin", "https://app.example"),
            ("sec-fetch-site", "same-origin"),
        ],
        &[
            JSON,
            ("origin", "https://chat.example"),
            ("sec-fetch-site", "cross-site"),
        ],
        &[
            ("content-type", "text/plain"),
            ("sec-fetch-site", "same-origin"),
        ],
    ];
    for headers in accepted {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answer = with_headers(&stage, protocol, &Method::POST, headers).await;
            assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn where_proof_is_required_silence_is_refused_for_every_method() {
    let env = [
        ("GATEWAY_PUBLIC_ORIGIN", "https://app.example"),
        ("GATEWAY_CROSS_ORIGIN__REQUIRE_PROOF", "true"),
    ];
    let stage = Stage::with(&env).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (method, headers) in [(Method::GET, &[][..]), (Method::POST, &[JSON])] {
            let answer = with_headers(&stage, protocol, &method, headers).await;
            assert_eq!(answer.code(), Some("cross_origin_refused"), "{method}");
        }
    }
    nothing_went_up(&stage);
    for proof in [
        ("origin", "https://app.example"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        let answer = with_headers(&stage, Protocol::Http1, &Method::GET, &[proof]).await;
        assert_eq!(answer.status, 200, "{proof:?}");
    }
}
