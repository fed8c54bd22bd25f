//! Every way in which a request can end.

use std::time::Duration;

use behest_gateway::emulator::{Action, On};
use http::{HeaderValue, Method};
use tokio::task::JoinSet;

use super::behind;
use super::drive::{ASKED_COOKIE, Drive, KeyKind, PAGE, STAFF_COOKIE};
use crate::support::COOKIE;
use crate::support::caller::{Caller, Protocol, get};
use crate::support::cookies::{ending, v4, v5};

/// All of them, once.
pub async fn all(drive: &mut Drive) {
    passed(drive).await;
    sessions(drive).await;
    admission(drive).await;
    if drive.kind == KeyKind::Api {
        mints(drive).await;
        overloaded(drive).await;
    }
    tokens(drive).await;
    upstream(drive).await;
    echoes(drive).await;
    streams(drive).await;
    busy(drive).await;
    budgets(drive).await;
    revoked(drive).await;
    behind::all(drive).await;
    drive.admin_pages().await;
}

fn status(code: u16) -> Action {
    Action::Status {
        code,
        headers: vec![("set-cookie".to_owned(), "stolen=1".to_owned())],
        body: String::new(),
    }
}

async fn passed(drive: &mut Drive) {
    for stream in [false, true] {
        let request = drive.chat(stream);
        assert_eq!(drive.send(request).await, None);
    }
    for code in [400, 402, 403, 404, 429, 500, 503] {
        drive.fault(1, On::Data, status(code));
        let request = drive.chat(true);
        assert_eq!(drive.send(request).await, None);
    }
}

async fn sessions(drive: &mut Drive) {
    let address = drive.program.address;
    let expired = v5(
        &drive.secrets.auth,
        COOKIE,
        &ending(&drive.secrets.user, -60),
    );
    let outsider = v4(&drive.secrets.auth, &ending(&drive.secrets.user, 60));
    let sealed = drive.cookie();
    let half = sealed.len() / 2;
    for (cookie, code) in [
        ("theme=dark".to_owned(), "session_missing"),
        (format!("{COOKIE}={expired}"), "session_expired"),
        (sealed.replace("..", ".x."), "session_invalid"),
        (sealed.split_at(half).0.to_owned(), "session_invalid"),
        (
            format!("{COOKIE}={}", drive.secrets.auth),
            "session_invalid",
        ),
        (format!("{STAFF_COOKIE}={outsider}"), "session_not_allowed"),
        (format!("{ASKED_COOKIE}={sealed}"), "session_unavailable"),
    ] {
        let request = get(address, "/v1/models", &cookie);
        assert_eq!(drive.send(request).await.as_deref(), Some(code));
    }
}

async fn admission(drive: &mut Drive) {
    let mut requests = Vec::new();
    let mut refused = |code: &'static str, request| requests.push((code, request));
    let evil = HeaderValue::from_static("https://evil.example");
    let mut request = drive.chat(false);
    request.headers_mut().insert("origin", evil);
    refused("cross_origin_refused", request);
    let cookie = drive.cookie();
    let address = drive.program.address;
    refused(
        "route_unknown",
        get(
            address,
            &format!("/v1/nowhere?{}", drive.secrets.user),
            &cookie,
        ),
    );
    let mut request = drive.chat(false);
    *request.method_mut() = Method::DELETE;
    refused("method_not_allowed", request);
    let long = format!("/v1/models?{}", "x".repeat(9000));
    refused("uri_too_long", get(address, &long, &cookie));
    let mut request = get(address, "/v1/models", &cookie);
    for number in 0..120 {
        request
            .headers_mut()
            .append("x-many", HeaderValue::from(number));
    }
    refused("headers_too_large", request);
    refused("body_too_large", drive.chat_as(&cookie, false, 10_000));
    for (code, request) in requests {
        assert_eq!(drive.send(request).await.as_deref(), Some(code));
    }
    let mut request = drive.chat(false);
    *request.method_mut() = Method::OPTIONS;
    for (name, value) in [("origin", PAGE), ("access-control-request-method", "POST")] {
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    drive.send(request).await;
    let two_hosts = format!(
        "GET /v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n"
    );
    drive.raw(&two_hosts).await;
    let prompt = &drive.secrets.prompt;
    let slow = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncookie: {cookie}\r\n\
         content-type: application/json\r\ncontent-length: 4000\r\n\r\n{prompt}"
    );
    drive.raw(&slow).await;
    let no_http = format!("GET /v1/models HTP/9\r\ncookie: {cookie}\r\n\r\n");
    drive.raw(&no_http).await;
}

async fn mints(drive: &mut Drive) {
    let (timeout, unavailable) = ("mint_timeout", "mint_unavailable");
    let to = drive.emulator.base_url();
    for (action, code) in [
        (status(400), "mint_refused"),
        (status(401), "mint_refused"),
        (status(500), unavailable),
        (Action::Garbage, unavailable),
        (Action::TruncatedJson, unavailable),
        (
            Action::WrongUser {
                user_id: "eve".to_owned(),
            },
            unavailable,
        ),
        (Action::ExpiredToken, unavailable),
        (Action::HugeAnswer { bytes: 100_000 }, unavailable),
        (Action::Redirect { to }, "mint_refused"),
        (Action::Reset, unavailable),
        (Action::Close, unavailable),
        (Action::StallBeforeHead, timeout),
    ] {
        drive.fault(1, On::Mint, action);
        let request = drive.chat(true);
        assert_eq!(drive.send(request).await.as_deref(), Some(code));
        drive.recover().await;
    }
}

/// Several new users at once, while there is one place and the mint is slow.
async fn overloaded(drive: &mut Drive) {
    let by = Duration::from_millis(900);
    drive.fault(3, On::Mint, Action::Delay { by });
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let request = drive.chat(false);
        let mut caller = Caller::connect(drive.program.address, drive.protocol).await;
        callers.spawn(async move { (caller.send(request).await.unwrap(), caller) });
    }
    while let Some(answered) = callers.join_next().await {
        let (response, caller) = answered.unwrap();
        drive.read(response).await;
        drop(caller);
    }
    drive.emulator.faults().clear();
    drive.recover().await;
}

async fn tokens(drive: &mut Drive) {
    drive.fault(2, On::Data, Action::RejectToken);
    let request = drive.chat(false);
    let code = drive.send(request).await;
    assert_eq!(code.as_deref(), Some("token_rejected"));
    drive.fault(1, On::Data, Action::RejectToken);
    let cookie = drive.cookie();
    let code = drive.send(drive.chat_as(&cookie, false, 4000)).await;
    assert_eq!(code.as_deref(), Some("token_renewed"));
}

async fn upstream(drive: &mut Drive) {
    let invalid = "upstream_invalid";
    let to = drive.emulator.base_url();
    let text = "junk and no HTTP\r\n\r\n".to_owned();
    for (action, code) in [
        (Action::Reset, "upstream_unreachable"),
        (Action::Close, "upstream_unreachable"),
        (Action::StallBeforeHead, "upstream_timeout"),
        (Action::Redirect { to }, invalid),
        (Action::Raw { text }, invalid),
    ] {
        drive.fault(1, On::Data, action);
        let request = drive.chat(false);
        assert_eq!(drive.send(request).await.as_deref(), Some(code));
    }
}

/// Errors that quote what they were sent.
async fn echoes(drive: &mut Drive) {
    let cookie = drive.cookie();
    assert_eq!(drive.send(drive.chat_as(&cookie, false, 0)).await, None);
    let mut quoted = vec![drive.emulator.log().read(|seen| {
        let bearers = seen.requests.iter().rev().find_map(|r| r.bearer());
        bearers.unwrap().to_owned()
    })];
    if drive.kind == KeyKind::Api {
        quoted.push(drive.secrets.key.clone());
    }
    for (quoted, code) in quoted
        .iter()
        .flat_map(|quoted| [(quoted, 400), (quoted, 500)])
    {
        let body = format!(r#"{{"error":{{"message":"no good: Bearer {quoted}"}}}}"#);
        let headers = Vec::new();
        drive.fault(
            1,
            On::Data,
            Action::Status {
                code,
                headers,
                body,
            },
        );
        drive.send(drive.chat_as(&cookie, false, 0)).await;
    }
}

async fn streams(drive: &mut Drive) {
    for action in [
        Action::CutAfter {
            frames: 2,
            reset: true,
        },
        Action::CutAfter {
            frames: 1,
            reset: false,
        },
        Action::StallAfter { frames: 2 },
    ] {
        drive.fault(1, On::Data, action);
        let request = drive.chat(true);
        assert_eq!(drive.send(request).await, None);
    }
    // One who leaves.
    drive.fault(1, On::Data, Action::StallAfter { frames: 2 });
    let request = drive.chat(true);
    let mut caller = Caller::connect(drive.program.address, drive.protocol).await;
    let response = caller.send(request).await.unwrap();
    drive.head(&response);
}

/// An ended session: in the middle of its stream, and from then on.
async fn revoked(drive: &mut Drive) {
    drive.fault(1, On::Data, Action::StallAfter { frames: 2 });
    let cookie = drive.cookie();
    let mut caller = Caller::connect(drive.program.address, drive.protocol).await;
    let request = drive.chat_as(&cookie, true, 0);
    let response = caller.send(request).await.unwrap();
    drive.revoke().await;
    assert_eq!(drive.read(response).await, None);
    let request = drive.chat_as(&cookie, false, 0);
    let code = drive.send(request).await;
    assert_eq!(code.as_deref(), Some("session_revoked"));
}

async fn budgets(drive: &mut Drive) {
    for (tier, code) in [("broke", "quota_exceeded"), ("slow", "rate_limited")] {
        let cookie = drive.cookie_of(tier);
        let request = drive.chat_as(&cookie, true, 0);
        assert_eq!(drive.send(request).await.as_deref(), Some(code));
    }
}

async fn busy(drive: &mut Drive) {
    drive.fault(2, On::Data, Action::StallAfter { frames: 1 });
    let cookie = drive.cookie();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut caller = Caller::connect(drive.program.address, Protocol::Http1).await;
        let response = caller.send(drive.chat_as(&cookie, true, 0)).await.unwrap();
        open.push((caller, response));
    }
    let third = drive.chat_as(&cookie, false, 0);
    assert_eq!(drive.send(third).await.as_deref(), Some("user_busy"));
}
