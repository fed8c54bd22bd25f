//! `compat.token_path`: pages from before the gateway ask for a token there, and get the shape that they
//! know with nothing in it.

use behest_gateway::clock::{Clock, unix_time};
use behest_gateway::server::Server;
use bytes::Bytes;
use http::{HeaderName, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::admission::nothing_went_up;
use crate::cors::{ALLOWED, PUBLIC, cors, readable_by, readable_by_nobody};
use crate::support::app::{self, App};
use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::cookies::header;
use crate::support::wire::Wire;
use crate::support::{Stage, cookie, cookie_with};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const PATH: &str = "/api/behest/token";
const AT: (&str, &str) = ("GATEWAY_COMPAT__TOKEN_PATH", PATH);

/// A POST of the app's own page.
async fn post(server: &Server, protocol: Protocol, cookie: &str, more: &[(&str, &str)]) -> Answer {
    send(server, protocol, Method::POST, PATH, cookie, more).await
}

async fn send(
    server: &Server,
    protocol: Protocol,
    method: Method,
    path: &str,
    cookie: &str,
    more: &[(&str, &str)],
) -> Answer {
    let address = server.address();
    let mut request: Request<Full<Bytes>> = get(address, path, cookie);
    if cookie.is_empty() {
        request.headers_mut().remove("cookie");
    }
    *request.method_mut() = method;
    if !more.iter().any(|(name, _)| *name == "origin") {
        // As browsers say of the app's own pages.
        let site = "same-origin".parse().unwrap();
        request.headers_mut().insert("sec-fetch-site", site);
    }
    for (name, value) in more {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    ask(address, protocol, request).await
}

/// The session id that a page is told.
async fn told(stage: &Stage, cookie: &str, more: &[(&str, &str)]) -> String {
    let answer = post(&stage.server, Protocol::Http1, cookie, more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["sessionId"].as_str().unwrap().to_owned()
}

/// The session id that Behest sees of a request whose page sends `own`.
async fn seen(stage: &Stage, cookie: &str, own: &str) -> String {
    let address = stage.server.address();
    let mut request = get(address, "/v1/models", cookie);
    let headers = request.headers_mut();
    headers.insert("x-session-id", own.parse().unwrap());
    headers.insert("authorization", "Bearer placeholder".parse().unwrap());
    let answer = ask(address, Protocol::Http1, request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        let got = seen.to_path("/v1/models").last().unwrap();
        got.header("x-session-id").unwrap().to_owned()
    })
}

#[tokio::test]
async fn the_answer_has_the_shape_of_the_guides_and_nothing_of_behests() {
    let now = unix_time().as_secs();
    let stage = Stage::at(Clock::manual(now), &[AT]).await;
    for protocol in BOTH {
        let answer = post(&stage.server, protocol, &cookie("ada", "1"), &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(answer.headers.contains_key("x-gateway-request-id"));
        assert!(!answer.headers.contains_key("set-cookie"));
        let Value::Object(mut body) = answer.json() else {
            panic!("no object: {answer:?}");
        };
        let token = body.remove("token").unwrap();
        let token = token.as_str().unwrap();
        assert!(
            token.contains("placeholder") && !token.contains('.'),
            "{token}"
        );
        assert!(
            !token.contains("eyJ") && !token.contains("behest_"),
            "{token}"
        );
        let session_id = body.remove("sessionId").unwrap();
        assert!(session_id.as_str().unwrap().starts_with("gw_"));
        let rest = json!({ "ttl": 900, "expiresAt": now + 900 });
        assert_eq!(Value::Object(body), rest);
        let others = post(&stage.server, protocol, &cookie("grace", "1"), &[]).await;
        assert_eq!(others.json()["token"], token, "the same for everybody");
        assert_ne!(others.json()["sessionId"], session_id);
    }
    let counted = "behest_gateway_requests_total{code=\"ok\",route=\"compat\"}";
    assert_eq!(stage.metric(counted), 4.0);
    nothing_went_up(&stage);
}

#[tokio::test]
async fn it_lasts_as_long_as_a_token_and_no_longer_than_the_session() {
    let now = unix_time().as_secs();
    let env = [AT, ("GATEWAY_MINT__TTL", "30m")];
    let stage = Stage::at(Clock::manual(now), &env).await;
    let lasting = async |exp: u64| {
        let payload = format!(r#"{{"sub":"ada","exp":{exp}}}"#);
        let answer = post(&stage.server, Protocol::Http1, &header(&payload), &[]).await;
        let body = answer.json();
        (
            body["ttl"].as_u64().unwrap(),
            body["expiresAt"].as_u64().unwrap(),
        )
    };
    assert_eq!(lasting(now + 3600).await, (1800, now + 1800));
    assert_eq!(lasting(now + 120).await, (120, now + 120));
    // Within the tolerance of the app's library.
    assert_eq!(lasting(now - 5).await, (0, now));
}

#[tokio::test]
async fn the_id_is_the_one_that_behest_sees() {
    let stage = Stage::with(&[AT]).await;
    for user in ["ada", "grace"] {
        let session = cookie(user, "1");
        let id = told(&stage, &session, &[]).await;
        assert_eq!(seen(&stage, &session, &id).await, id);
    }
}

#[tokio::test]
async fn a_page_that_sends_the_id_back_keeps_it_where_page_ids_are_mixed_in() {
    let mixing = ("GATEWAY_SESSION_ID__MIX_CLIENT", "true");
    let stage = Stage::with(&[AT, mixing]).await;
    let (ada, grace) = (cookie("ada", "1"), cookie("grace", "1"));
    let id = told(&stage, &ada, &[]).await;
    assert_eq!(seen(&stage, &ada, &id).await, id);
    assert_eq!(told(&stage, &ada, &[("x-session-id", "chat-2")]).await, id);
    assert_ne!(seen(&stage, &ada, "chat-2").await, id);
    assert_ne!(seen(&stage, &grace, &id).await, id, "nobody else's");
}

#[tokio::test]
async fn where_behest_chooses_the_page_has_a_name_that_is_discarded() {
    let minted = ("GATEWAY_SESSION_ID__SOURCE", "minted");
    let stage = Stage::with(&[AT, minted]).await;
    let session = cookie("ada", "1");
    let id = told(&stage, &session, &[]).await;
    assert!(id.starts_with("gw_"), "{id}");
    assert_eq!(told(&stage, &session, &[]).await, id);
    assert!(seen(&stage, &session, &id).await.starts_with("ses_"));
}

#[tokio::test]
async fn who_is_not_signed_in_gets_nothing() {
    let stage = Stage::with(&[AT]).await;
    let expired = header(r#"{"sub":"ada","exp":1700000000}"#);
    let forged = cookie_with(
        "another-secret-another-secret-another",
        "ada",
        r#""tier":1"#,
    );
    for protocol in BOTH {
        for (cookie, code) in [
            ("", "session_missing"),
            (&expired, "session_expired"),
            (&forged, "session_invalid"),
        ] {
            let answer = post(&stage.server, protocol, cookie, &[]).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (401, Some(code)));
            assert_eq!(answer.json()["error"]["code"], code);
            assert!(answer.json().get("sessionId").is_none());
        }
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn a_revoked_user_gets_nothing() {
    const TOKEN: &str = "an-operators-token-0123456789-0123456789";
    let stage = Stage::with(&[AT, ("GATEWAY_ADMIN_TOKEN", TOKEN)]).await;
    told(&stage, &cookie("ada", "1"), &[]).await;
    let admin = stage.server.admin_address();
    let order = Request::post("/revocations")
        .header("host", admin.to_string())
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(Full::<Bytes>::from(r#"{"user_id":"ada"}"#))
        .unwrap();
    assert_eq!(ask(admin, Protocol::Http1, order).await.status, 201);
    let answer = post(&stage.server, Protocol::Http1, &cookie("ada", "1"), &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (401, Some("session_revoked"))
    );
    told(&stage, &cookie("grace", "1"), &[]).await;
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_and_those_of_allowed_origins_may_ask() {
    let env = [
        AT,
        ("GATEWAY_PUBLIC_ORIGIN", PUBLIC),
        ("GATEWAY_ALLOWED_ORIGINS", ALLOWED),
    ];
    let stage = Stage::with(&env).await;
    let server = &stage.server;
    let session = cookie("ada", "1");
    for protocol in BOTH {
        let hostile = [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        let answer = post(server, protocol, &session, &hostile).await;
        let refused = (403, Some("cross_origin_refused"));
        assert_eq!((answer.status.as_u16(), answer.code()), refused);
        readable_by_nobody(&answer);
        let allowed = [("origin", ALLOWED), ("sec-fetch-site", "same-site")];
        let answer = post(server, protocol, &session, &allowed).await;
        assert_eq!(answer.status, 200);
        readable_by(&answer, ALLOWED);
        let asking = [
            ("origin", ALLOWED),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ];
        let answer = send(server, protocol, Method::OPTIONS, PATH, "", &asking).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert!(cors(&answer).contains(&("access-control-allow-methods", "POST")));
    }
    nothing_went_up(&stage);
}

#[tokio::test]
async fn only_a_post_to_exactly_this_path_is_answered() {
    let stage = Stage::with(&[AT]).await;
    let server = &stage.server;
    let session = cookie("ada", "1");
    for protocol in BOTH {
        for method in [
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ] {
            let answer = send(server, protocol, method.clone(), PATH, &session, &[]).await;
            assert_eq!(answer.status, 405, "{method}");
            assert_eq!(answer.headers["allow"], "POST");
            assert_eq!(answer.code(), Some("method_not_allowed"));
        }
        for path in [
            "/api/behest/token/",
            "/api/behest/Token",
            "/api/behest/%74oken",
            "/api//behest/token",
            "/v1/api/behest/token",
        ] {
            let answer = send(server, protocol, Method::POST, path, &session, &[]).await;
            assert_eq!(answer.status, 404, "{path}");
        }
        let with_query = format!("{PATH}?fresh=1");
        let answer = send(server, protocol, Method::POST, &with_query, &session, &[]).await;
        assert_eq!(answer.status, 200);
    }
    nothing_went_up(&stage);
    let without = Stage::new().await;
    let answer = post(&without.server, Protocol::Http1, &session, &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (404, Some("route_unknown"))
    );
}

#[tokio::test]
async fn the_app_does_not_see_it() {
    let app = App::start(|_| app::json("{}")).await;
    let stage = Stage::with(&[AT, ("GATEWAY_APP_URL", &format!("http://{}", app.address))]).await;
    let server = &stage.server;
    told(&stage, &cookie("ada", "1"), &[]).await;
    let answer = send(server, Protocol::Http1, Method::GET, PATH, "", &[]).await;
    assert_eq!(answer.status, 405);
    assert!(app.heads().is_empty(), "{:?}", app.heads());
    // Nor in a spelling that the app may take for it: it may still have its route there.
    for alias in [format!("{PATH}/"), PATH.replace("token", "%74oken")] {
        let answer = send(server, Protocol::Http1, Method::POST, &alias, "", &[]).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    assert!(app.heads().is_empty(), "{:?}", app.heads());
    let beside = format!("{PATH}s");
    let answer = send(server, Protocol::Http1, Method::GET, &beside, "", &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.heads().len(), 1);
}

#[tokio::test]
async fn a_body_is_ignored_and_its_limits_hold() {
    let stage = Stage::with(&[AT]).await;
    let address = stage.server.address();
    let session = cookie("ada", "1");
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\nsec-fetch-site: same-origin\r\ncookie: {session}\r\n"
    );
    let pipelined = format!("POST {PATH} HTTP/1.1\r\nhost: a\r\n\r\n");
    for (framing, body) in [
        ("content-length: 2\r\n", "{}".to_owned()),
        (
            "transfer-encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n".to_owned(),
        ),
        (
            &*format!("content-length: {}\r\n", pipelined.len()),
            pipelined.clone(),
        ),
    ] {
        let mut wire = Wire::connect(address).await;
        let request = format!("{head}connection: close\r\n{framing}\r\n{body}");
        wire.write(request).await.unwrap();
        let (answer, _) = wire.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let mut wire = Wire::connect(address).await;
    let large = format!("{head}content-length: 99999999999\r\n\r\n");
    wire.write(large).await.unwrap();
    assert!(wire.read_head().await.starts_with("HTTP/1.1 413 "));
    nothing_went_up(&stage);
}
