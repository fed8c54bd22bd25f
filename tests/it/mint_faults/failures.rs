//! Every way in which a mint fails, and the answer that is designed for it.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use behest_gateway::clock::unix_time;
use behest_gateway::emulator::{Action, FIXTURE_KEY};
use serde_json::{Value, json};

/// What no answer may contain.
pub const MINT_TEXT: &str = "words-of-the-mint";

/// A way in which the mint fails, and the answer that is designed for it.
#[derive(Clone)]
pub struct Failing {
    pub name: String,
    pub action: Action,
    pub status: u16,
    pub code: &'static str,
    pub retry_after: Option<&'static str>,
}

fn failing(name: &str, action: Action, status: u16, code: &'static str) -> Failing {
    Failing {
        name: name.to_owned(),
        action,
        status,
        code,
        retry_after: None,
    }
}

/// The operator's fault: the key, the path, the address, or a user that Behest will not have.
fn refused(status: u16) -> Failing {
    let name = format!("status {status}");
    failing(&name, answer(status, &[]), 502, "mint_refused")
}

pub fn unavailable(name: &str, action: Action) -> Failing {
    let mut failing = failing(name, action, 503, "mint_unavailable");
    failing.retry_after = Some("1");
    failing
}

fn retry_after(status: u16, said: &str, told: &'static str) -> Failing {
    let name = format!("status {status}, retry-after {said}");
    let mut failing = unavailable(&name, answer(status, &[("retry-after", said)]));
    failing.retry_after = Some(told);
    failing
}

fn late(name: &str, action: Action) -> Failing {
    failing(name, action, 504, "mint_timeout")
}

fn raw(text: &str) -> Failing {
    let name: String = text.chars().take(60).collect();
    let text = text.to_owned();
    unavailable(&name, Action::Raw { text })
}

/// An answer in the contract's form that tells more than any caller may read.
pub fn answer(code: u16, headers: &[(&str, &str)]) -> Action {
    let headers = headers.iter();
    Action::Status {
        code,
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: format!(r#"{{"error":{{"message":"{MINT_TEXT} {FIXTURE_KEY}"}}}}"#),
    }
}

fn body(body: impl Into<String>) -> Failing {
    let body = body.into();
    let name: String = body.chars().take(60).collect();
    let headers = Vec::new();
    unavailable(
        &name,
        Action::Status {
            code: 200,
            headers,
            body,
        },
    )
}

/// A token with this header and these claims, and a signature that means nothing.
fn token(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
    let signature = BASE64_URL_SAFE_NO_PAD.encode([7; 256]);
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// An answer with a token for the first user, changed in one place.
fn twisted(name: &str, value: Value) -> Failing {
    let exp = unix_time().as_secs() + 900;
    let mut header = json!({"alg": "RS256", "kid": "k", "typ": "JWT"});
    let mut claims = json!({"uid": "user-0", "sid": "s", "exp": exp, "note": MINT_TEXT});
    let mut answer = json!({"project_id": MINT_TEXT, "ttl": 900});
    match name.split_once('.') {
        Some(("header", name)) => header[name] = value.clone(),
        Some((_, name)) => claims[name] = value.clone(),
        None => {}
    }
    answer["jwt"] = token(&header, &claims).into();
    if !name.contains('.') {
        answer[name] = value;
    }
    body(answer.to_string())
}

pub fn statuses() -> Vec<Failing> {
    let mut all: Vec<_> = [
        300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 422,
        451,
    ]
    .into_iter()
    .map(refused)
    .collect();
    all.extend(
        [201, 202, 204, 206, 429, 500, 501, 502, 503, 504, 529, 599]
            .map(|status| unavailable(&format!("status {status}"), answer(status, &[]))),
    );
    let html = Action::Status {
        code: 502,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: format!("<html><h1>502 Bad Gateway</h1>{MINT_TEXT}</html>"),
    };
    all.push(unavailable("502 in HTML", html));
    all.extend([
        retry_after(503, "3", "3"),
        retry_after(429, "7", "7"),
        retry_after(503, "0", "0"),
        retry_after(503, "86400", "300"),
        retry_after(503, "99999999999999999999999", "300"),
        retry_after(503, "-5", "1"),
        retry_after(503, "soon", "1"),
        retry_after(503, MINT_TEXT, "1"),
        retry_after(429, "Sun, 06 Nov 1994 08:49:37 GMT", "0"),
        retry_after(429, "Sat, 06 Nov 2094 08:49:37 GMT", "300"),
        retry_after(429, "Sat, 99 Nov 2094 99:99:99 GMT", "1"),
    ]);
    all
}

pub fn connections() -> Vec<Failing> {
    let cut = |frames, reset| Action::CutAfter { frames, reset };
    let every = Duration::from_millis(100);
    vec![
        unavailable("closed", Action::Close),
        unavailable("reset", Action::Reset),
        unavailable("cut after the head", cut(0, false)),
        unavailable("reset after the head", cut(0, true)),
        unavailable("cut within the body", cut(1, false)),
        unavailable("reset within the body", cut(1, true)),
        unavailable("huge", Action::HugeAnswer { bytes: 66_000 }),
        unavailable("gigantic", Action::HugeAnswer { bytes: 500_000 }),
        late("silent", Action::StallBeforeHead),
        late("silent after the head", Action::StallAfter { frames: 0 }),
        late("silent within the body", Action::StallAfter { frames: 1 }),
        late("dripping", Action::SlowDrip { bytes: 1, every }),
        late(
            "slow",
            Action::Delay {
                by: Duration::from_secs(30),
            },
        ),
        raw(&format!("{MINT_TEXT}\r\n\r\n")),
        raw("HTTP/1.1 2000 x\r\n\r\n"),
        raw("HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n"),
        raw("HTTP/1.1 101 x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        raw("HTTP/1.1 100 Continue\r\n\r\n"),
        raw(&format!(
            "HTTP/1.1 103 {MINT_TEXT}\r\n\r\nHTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n"
        )),
        raw("HTTP/1.0 200 OK\r\n\r\nno JSON"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"),
        raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
        raw(&format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x-more: 1\r\n".repeat(300)
        )),
        raw(&format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
            "x".repeat(200_000)
        )),
    ]
}

pub fn answers() -> Vec<Failing> {
    let user_id = "mallory".to_owned();
    vec![
        unavailable("garbage", Action::Garbage),
        unavailable("truncated", Action::TruncatedJson),
        unavailable("for another user", Action::WrongUser { user_id }),
        unavailable("expired", Action::ExpiredToken),
        body(" "),
        body("null"),
        body("[]"),
        body(format!("\"{MINT_TEXT}\"")),
        body("{}"),
        body("[".repeat(50_000)),
        body(r#"{"jwt":"#),
        body(r#"{"jwt":null,"ttl":900}"#),
        body(r#"{"jwt":7,"ttl":900}"#),
        body(r#"{"jwt":"","ttl":900}"#),
        body(r#"{"jwt":"opaque","ttl":900}"#),
        body(r#"{"jwt":"a.b.c","ttl":900}"#),
        body(format!(r#"{{"error":"{MINT_TEXT}"}}"#)),
        twisted("ttl", json!("15m")),
        twisted("ttl", json!(0)),
        twisted("ttl", json!(-900)),
        twisted("token_type", json!("DPoP")),
        twisted("jwt", json!(["a"])),
        twisted("claims.uid", json!(null)),
        twisted("claims.uid", json!("USER-0")),
        twisted("claims.uid", json!(["user-0"])),
        twisted("claims.exp", json!(1)),
        twisted("claims.exp", json!("tomorrow")),
        twisted("claims.sid", json!("a\r\nx-role: admin")),
        twisted("claims.sid", json!({"a": 1})),
        twisted("claims.pad", json!("x".repeat(10_000))),
        twisted("header.alg", json!("none")),
        twisted("header.alg", json!(null)),
    ]
}
