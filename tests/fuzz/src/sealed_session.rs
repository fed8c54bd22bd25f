//! What a token sealed with the app's own key gives, whatever is in it, and that a damaged one gives
//! nothing.
//!
//! Input: a byte that chooses the format and the case, then for a damaged token two bytes (where, and
//! what is changed), for an odd one a line with its header's JSON, and then the session's JSON.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::gateway::session::{Session, SessionError};
use super::input::{choice, line};
use super::rules::{self, Rules};
use super::sealer::Sealer;
use super::sessions::{self, SECRET};

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules {
    user: &["sub"],
    tier: &["tier"],
    session: &["sid"],
    tolerance: 15.0,
    ..Rules::default()
});

/// How a token is made: its cookie's name, and what its header says.
struct Format {
    provider: &'static str,
    cookie: &'static str,
    enc: &'static str,
    sealer: Sealer,
}

static FORMATS: LazyLock<[Format; 3]> = LazyLock::new(|| {
    let v5 = "authjs.session-token";
    let v4 = "next-auth.session-token";
    [
        ("authjs-v5", v5, "A256CBC-HS512", Sealer::v5(SECRET, v5)),
        ("authjs-v5", v5, "A256GCM", Sealer::v5_gcm(SECRET, v5)),
        ("nextauth-v4", v4, "A256GCM", Sealer::v4(SECRET)),
    ]
    .map(|(provider, cookie, enc, sealer)| Format {
        provider,
        cookie,
        enc,
        sealer,
    })
});

/// Checks one token.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let format = &FORMATS[usize::from(choice % 3)];
    match choice / 3 % 3 {
        0 => genuine(format, rest),
        1 => odd(format, rest),
        _ => damaged(format, rest),
    }
}

/// Sealed as the library does: judged by what it says, as the rules have it.
fn genuine(format: &Format, payload: &[u8]) {
    let Ok(payload) = std::str::from_utf8(payload) else {
        return;
    };
    let verdict = open(format, &format.sealer.seal(payload)).unwrap();
    if let Ok(session) = &verdict {
        rules::check_session(session);
        assert_eq!(session.provider, format.provider);
        assert_eq!(session.carrier.as_str(), format.cookie);
    }
    // Broken or deep JSON where nobody asks for it is no reason to refuse; what is read here is all
    // of it.
    let Ok(claims) = serde_json::from_str::<Value>(payload) else {
        return;
    };
    rules::compare(&verdict, &RULES.judge_jwt(&claims));
}

/// Sealed under another header: only what the library itself writes opens.
fn odd(format: &Format, rest: &[u8]) {
    let (header, payload) = line(rest);
    let (Ok(header), Ok(payload)) = (std::str::from_utf8(header), std::str::from_utf8(payload))
    else {
        return;
    };
    let own = member(&format.sealer.header, "kid");
    let token = format.sealer.clone().header(header).seal(payload);
    let opened = matches!(
        open(format, &token),
        Some(Ok(_) | Err(SessionError::Expired { .. }))
    );
    // What cannot be read here has parts that nobody asks for.
    let Ok(header) = serde_json::from_str::<Value>(header) else {
        return;
    };
    if opened {
        assert_eq!(header["alg"], "dir");
        assert_eq!(header["enc"], format.enc);
        assert!(header.get("zip").is_none() && header.get("crit").is_none());
        if format.provider == "authjs-v5" && header.get("kid").is_some() {
            assert_eq!(header["kid"], own);
        }
    }
}

/// Changed in one byte after it was sealed: invalid, and nothing is said about its content.
fn damaged(format: &Format, rest: &[u8]) {
    let [place, change, payload @ ..] = rest else {
        return;
    };
    let Ok(payload) = std::str::from_utf8(payload) else {
        return;
    };
    let mut token = format.sealer.seal(payload).into_bytes();
    let at = usize::from(*place) * token.len() / 256;
    token[at] ^= change | 1;
    let Ok(token) = String::from_utf8(token) else {
        return;
    };
    match open(format, &token) {
        // No header can hold it, or nothing is left before the semicolon.
        None => {}
        Some(Err(error)) if error.code() != "session_expired" => {}
        Some(other) => panic!("{other:?} of a damaged token"),
    }
}

fn open(format: &Format, token: &str) -> Option<Result<Session, SessionError>> {
    let field = format!("{}={token}", format.cookie);
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, HeaderValue::try_from(field).ok()?);
    Some(sessions::authenticate(&headers))
}

fn member(json: &str, name: &str) -> Value {
    let value: Value = serde_json::from_str(json).unwrap();
    value[name].clone()
}
