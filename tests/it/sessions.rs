//! Sessions over the wire: the cookies that browsers really send, and those that nobody should.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tempfile::NamedTempFile;

use crate::support::caller::{Answer, Protocol, ask, get};
use crate::support::cookies::{SECURE, V4, chunks, claims, ending, header, v4, v5, v5_gcm};
use crate::support::waiting::{after, is_past};
use crate::support::{COOKIE, SECRET, Stage, sources};

const OLD: &str = "it-old-secret-3f9a7c51d02b4e86a1c7f5309d8e6b24";

async fn send(stage: &Stage, protocol: Protocol, cookies: &[String]) -> Answer {
    let address = stage.server.address();
    let mut request = get(address, "/v1/models", "");
    let mut headers = HeaderMap::new();
    headers.insert("host", request.headers()["host"].clone());
    for cookie in cookies {
        headers.append("cookie", HeaderValue::from_str(cookie).unwrap());
    }
    *request.headers_mut() = headers;
    ask(address, protocol, request).await
}

/// The user whose token went up with the last request.
fn user(stage: &Stage) -> String {
    stage.emulator.log().read(|seen| {
        assert!(seen.violations.is_empty(), "{:?}", seen.violations);
        let last = seen.to_path("/v1/models").last().unwrap();
        last.user().unwrap().to_owned()
    })
}

async fn is_session_of(stage: &Stage, protocol: Protocol, expected: &str, cookies: &[String]) {
    let answer = send(stage, protocol, cookies).await;
    assert_eq!(answer.status, 200, "{expected}: {answer:?}");
    assert_eq!(user(stage), expected);
}

async fn is_refused(stage: &Stage, code: &str, cookie: &str) -> Answer {
    let answer = send(stage, Protocol::Http1, &[cookie.to_owned()]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!(answer.code(), Some(code));
    assert_eq!(answer.headers["x-should-retry"], "false");
    for name in ["set-cookie", "www-authenticate", "location"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    answer
}

#[tokio::test]
async fn every_form_of_a_genuine_cookie_is_a_session() {
    let stage = Stage::new().await;
    let payload = |user: &str| claims(user);
    let forms = [
        (
            "plain",
            format!("{COOKIE}={}", v5(SECRET, COOKIE, &payload("plain"))),
        ),
        (
            "secure",
            format!("{SECURE}={}", v5(SECRET, SECURE, &payload("secure"))),
        ),
        (
            "gcm",
            format!("{COOKIE}={}", v5_gcm(SECRET, COOKIE, &payload("gcm"))),
        ),
        ("four", format!("{V4}={}", v4(SECRET, &payload("four")))),
        (
            "four-secure",
            format!("__Secure-{V4}={}", v4(SECRET, &payload("four-secure"))),
        ),
    ];
    for (user, cookie) in forms {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let among = format!("theme=dark; {cookie}; lang=en");
            is_session_of(&stage, protocol, user, &[among]).await;
        }
    }
}

#[tokio::test]
async fn chunks_are_joined_in_their_order_also_over_the_fields_of_http_2() {
    let stage = Stage::new().await;
    let mut large = claims("ada");
    large.insert_str(1, &format!("\"picture\":\"{}\",", "x".repeat(6000)));
    let mut chunks = chunks(COOKIE, &v5(SECRET, COOKIE, &large), 800);
    assert!(chunks.len() > 10, "the order must not be that of the text");
    chunks.reverse();
    is_session_of(&stage, Protocol::Http1, "ada", &[chunks.join("; ")]).await;
    is_session_of(&stage, Protocol::Http2, "ada", &[chunks.join("; ")]).await;
    chunks.push("theme=dark".to_owned());
    is_session_of(&stage, Protocol::Http2, "ada", &chunks).await;
    chunks.remove(3);
    let answer = send(&stage, Protocol::Http2, &chunks).await;
    assert_eq!(answer.code(), Some("session_invalid"));
}

#[tokio::test]
async fn an_integer_is_a_user_id_as_its_decimal_text() {
    let stage = Stage::new().await;
    let payload = claims("x").replace("\"x\"", "42");
    is_session_of(&stage, Protocol::Http1, "42", &[header(&payload)]).await;
}

#[tokio::test]
async fn what_is_no_session_is_401_before_anything_is_minted() {
    let stage = Stage::new().await;
    is_refused(&stage, "session_missing", "theme=dark").await;
    is_refused(&stage, "session_missing", &format!("{COOKIE}=")).await;
    is_refused(&stage, "session_expired", &header(&ending("ada", -60))).await;
    let genuine = v5(SECRET, COOKIE, &claims("ada"));
    let mut altered = genuine.clone();
    let last = if altered.ends_with('A') { 'B' } else { 'A' };
    altered.truncate(altered.len() - 4);
    altered.push(last);
    altered.push_str("AAA");
    let forged = [
        v5(OLD, COOKIE, &claims("ada")),
        v5(OLD, COOKIE, &ending("ada", -60)),
        v5(SECRET, SECURE, &claims("ada")),
        v4(SECRET, &claims("ada")),
        altered,
        "eyJhbGciOiJub25lIn0..".to_owned(),
        "x".repeat(9000),
        v5(SECRET, COOKIE, r#"{"sub":"ada"}"#),
        v5(SECRET, COOKIE, &claims(" ADMIN ")),
        v5(SECRET, COOKIE, &claims("")),
        v5(SECRET, COOKIE, r#"["ada"]"#),
    ];
    let mut texts = Vec::new();
    for value in &forged {
        let cookie = format!("{COOKIE}={value}");
        let answer = is_refused(&stage, "session_invalid", &cookie).await;
        texts.push(answer.json()["error"]["message"].clone());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "one text for every cause: {texts:?}");
    let first = format!("{COOKIE}={}; {COOKIE}={genuine}", forged[0]);
    is_refused(&stage, "session_invalid", &first).await;
    assert_eq!(stage.emulator.log().read(|seen| seen.total_requests), 0);
    let outcome =
        "behest_gateway_sessions_total{outcome=\"session_expired\",provider=\"authjs-v5\"}";
    assert_eq!(stage.metric(outcome), 1.0);
}

#[tokio::test]
async fn the_apps_own_rotation_variables_open_the_cookies_of_all_their_secrets() {
    let stage = Stage::with(&[("AUTH_SECRET_1", OLD)]).await;
    for (user, secret) in [("ada", OLD), ("grace", SECRET)] {
        let cookie = format!("{COOKIE}={}", v5(secret, COOKIE, &claims(user)));
        is_session_of(&stage, Protocol::Http1, user, &[cookie]).await;
        let cookie = format!("{V4}={}", v4(secret, &claims(user)));
        is_session_of(&stage, Protocol::Http1, user, &[cookie]).await;
    }
}

#[tokio::test]
async fn a_file_of_secrets_has_one_a_line() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{SECRET}\r\n\n{OLD}\n")).unwrap();
    let emulator = behest_gateway::emulator::Emulator::start(
        behest_gateway::emulator::EmulatorConfig::default(),
    );
    let emulator = emulator.await.unwrap();
    let path = file.path().to_str().unwrap();
    let mut sources = sources(&emulator.base_url(), &[("AUTH_SECRET_FILE", path)]);
    sources.env.remove("AUTH_SECRET");
    let stage = Stage::of(emulator, sources, behest_gateway::clock::Clock::system());
    for (user, secret) in [("ada", OLD), ("grace", SECRET)] {
        let cookie = format!("{COOKIE}={}", v5(secret, COOKIE, &claims(user)));
        is_session_of(&stage, Protocol::Http1, user, &[cookie]).await;
    }
}

#[tokio::test]
async fn a_session_ends_while_its_connection_stays() {
    // Fifteen seconds of tolerance are the library's own.
    let stage = Stage::new().await;
    let cookie = header(&ending("ada", -14));
    is_session_of(
        &stage,
        Protocol::Http1,
        "ada",
        std::slice::from_ref(&cookie),
    )
    .await;
    let give_up = after(Duration::from_secs(5));
    loop {
        let answer = send(&stage, Protocol::Http1, std::slice::from_ref(&cookie)).await;
        if answer.status == 401 {
            assert_eq!(answer.code(), Some("session_expired"));
            break;
        }
        assert!(!is_past(give_up), "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
