//! Preflights: browsers' questions before a page's request, answered here and for allowed origins only.

use crate::admission::nothing_went_up;
use crate::cors::{
    ALLOWED, ASKS, BOTH, CHAT, ENV, PUBLIC, allowing, cors, readable_by, readable_by_nobody, send,
    varies,
};
use crate::support::caller::Protocol;
use crate::support::{Stage, cookie};

#[tokio::test]
async fn an_allowed_pages_preflight_is_answered_here_and_without_a_session() {
    let stage = allowing().await;
    for protocol in BOTH {
        let lines = [
            ("origin", ALLOWED),
            ASKS,
            (
                "access-control-request-headers",
                "authorization,content-type,x-stainless-retry-count,x-evil,cookie",
            ),
            ("access-control-request-private-network", "true"),
            ("access-control-request-local-network", "true"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
        ];
        let answer = send(&stage, protocol, "OPTIONS", CHAT, &lines).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(answer.body.is_empty());
        varies(&answer);
        let mut found = cors(&answer);
        // Means nothing here: a page never sees the answer to a preflight.
        found.retain(|(name, _)| *name != "access-control-expose-headers");
        assert_eq!(
            found,
            [
                ("access-control-allow-credentials", "true"),
                (
                    "access-control-allow-headers",
                    "authorization, content-type, x-stainless-retry-count"
                ),
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-origin", ALLOWED),
                ("access-control-max-age", "600"),
            ]
        );
        for name in ["content-type", "content-length", "x-gateway-error", "allow"] {
            assert!(!answer.headers.contains_key(name), "{name}: {answer:?}");
        }
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert!(answer.headers.contains_key("x-gateway-request-id"));
    }
    let counted =
        "behest_gateway_requests_total{code=\"preflight\",route=\"/v1/chat/completions\"}";
    assert_eq!(stage.metric(counted), 2.0);
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_preflight_lists_the_methods_of_its_path_whatever_is_asked_for() {
    let stage = Stage::with(&[
        ENV[0],
        ENV[1],
        ("GATEWAY_ROUTES__EXTRA", "PUT /v1/files/{id}"),
        ("GATEWAY_ROUTES__REQUEST_HEADERS", "x-app-version"),
    ])
    .await;
    for (path, methods) in [
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/m-1", "GET, HEAD"),
        ("/v1/responses/r1", "GET, DELETE, HEAD"),
        ("/v1/threads/t1", "DELETE"),
        ("/v1/files/f1", "PUT"),
        ("/v1/models?limit=3", "GET, HEAD"),
    ] {
        for asked in ["GET", "PATCH", "get", "TRACE"] {
            let lines = [
                ("origin", ALLOWED),
                ("access-control-request-method", asked),
                ("access-control-request-headers", "X-App-Version, x-other"),
            ];
            let answer = send(&stage, Protocol::Http2, "OPTIONS", path, &lines).await;
            assert_eq!(answer.status, 204, "{path}: {answer:?}");
            assert_eq!(answer.headers["access-control-allow-methods"], methods);
            assert_eq!(
                answer.headers["access-control-allow-headers"],
                "X-App-Version"
            );
        }
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn other_preflights_are_granted_nothing() {
    let stage = allowing().await;
    for protocol in BOTH {
        for origin in [
            "https://evil.example",
            "https://chat.example.evil.example",
            "https://chat.example:443",
            "https://chat.example/",
            "http://chat.example",
            "https://CHAT.example",
            PUBLIC, // its pages ask for no leave on their own origin
            "null",
            "*",
            "",
        ] {
            let lines = [("origin", origin), ASKS, ("sec-fetch-site", "same-origin")];
            let answer = send(&stage, protocol, "OPTIONS", CHAT, &lines).await;
            assert_eq!(answer.status, 403, "{origin}: {answer:?}");
            assert_eq!(answer.code(), Some("cross_origin_refused"));
            readable_by_nobody(&answer);
        }
        let twice = [("origin", ALLOWED), ("origin", ALLOWED), ASKS];
        let answer = send(&stage, protocol, "OPTIONS", CHAT, &twice).await;
        assert_eq!(answer.code(), Some("cross_origin_refused"), "{answer:?}");
        readable_by_nobody(&answer);
        for path in ["/v1/nothing", "/", "/v1/auth/mint", "/v1/models/..", "/v1"] {
            let lines = [("origin", ALLOWED), ASKS];
            let answer = send(&stage, protocol, "OPTIONS", path, &lines).await;
            assert_eq!(answer.status, 404, "{path}: {answer:?}");
            readable_by(&answer, ALLOWED);
        }
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn an_options_that_is_no_preflight_is_a_wrong_method() {
    let stage = allowing().await;
    let session = cookie("ada", "1");
    for protocol in BOTH {
        let alone: [&[(&str, &str)]; 4] = [
            &[],
            &[ASKS],
            &[("cookie", &session)],
            &[
                ("access-control-request-headers", "x"),
                ("sec-fetch-site", "none"),
            ],
        ];
        for lines in alone {
            let answer = send(&stage, protocol, "OPTIONS", CHAT, lines).await;
            assert_eq!(answer.status, 405, "{lines:?}: {answer:?}");
            assert_eq!(answer.headers["allow"], "POST");
            readable_by_nobody(&answer);
        }
        let answer = send(&stage, protocol, "OPTIONS", CHAT, &[("origin", ALLOWED)]).await;
        assert_eq!(answer.status, 405, "{answer:?}");
        readable_by(&answer, ALLOWED);
        // A question by another method is a request like any other.
        let lines = [("origin", ALLOWED), ASKS];
        let answer = send(&stage, protocol, "GET", "/v1/models", &lines).await;
        assert_eq!(answer.code(), Some("session_missing"));
    }
    nothing_went_up(&stage);
}
