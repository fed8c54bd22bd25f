//! Which `Authorization` counts: one JWT decides, two are refused, one beside a session cookie is
//! refused, and whatever is no JWT is as if it were not there.
//!
//! Input: headers, one a line. In their values `$good` is a genuine token, `$ended` one that has
//! expired, and `$cookie` a genuine session.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use http::{HeaderMap, header};
use serde_json::Value;

use super::gateway::session::{
    Carrier, CookieName, FormatConfig, ProviderConfig, ProviderKind, Session, SessionAuthenticator,
    SessionError,
};
use super::input;
use super::rules::{EXPIRED, INVALID};
use super::sessions;
use super::signed_session::{SIGNERS, config, usual_header};

/// The cookie that has a session where `Authorization` has none.
const COOKIE: &str = "app";

static AUTHENTICATOR: LazyLock<SessionAuthenticator> = LazyLock::new(|| {
    let provider = |kind| {
        let signed = config(&["EdDSA", "ES256", "HS256"]);
        ProviderConfig::new(kind, FormatConfig::Signed(signed))
    };
    let mut cookie = provider(ProviderKind::Signed);
    cookie.cookie_names = vec![CookieName::parse(COOKIE).unwrap()];
    sessions::authenticator(vec![cookie, provider(ProviderKind::Bearer)])
});

/// What stands in the input for tokens, and the tokens: of Ada, ended, and of Bob.
static TOKENS: LazyLock<[(&str, String); 3]> = LazyLock::new(|| {
    let token = |claims: &str| {
        let (kid, signer) = &SIGNERS[0];
        signer.token(&usual_header(kid, signer), claims)
    };
    [
        ("$good", token(r#"{"sub":"ada","exp":1795440000}"#)),
        ("$ended", token(r#"{"sub":"ada","exp":1795420000}"#)),
        ("$cookie", token(r#"{"sub":"bob","exp":1795440000}"#)),
    ]
});

/// Checks one request.
pub fn check(data: &[u8]) {
    let headers = match std::str::from_utf8(data) {
        Ok(text) => {
            let put = |text: String, (name, token): &(&str, String)| text.replace(name, token);
            let text = TOKENS.iter().fold(text.to_owned(), put);
            input::headers(text.as_bytes())
        }
        Err(_) => input::headers(data),
    };
    let mut without = headers.clone();
    without.remove(header::AUTHORIZATION);
    let verdict = sessions::authenticate_by(&AUTHENTICATOR, &headers);
    let by_cookie = sessions::authenticate_by(&AUTHENTICATOR, &without);
    let Some(tokens) = tokens(&headers) else {
        return;
    };
    check_looks(&headers, !tokens.is_empty());
    let has_cookie = by_cookie.as_ref().err().map(SessionError::code) != Some("session_missing");
    match tokens.as_slice() {
        [] => assert!(sessions::same(&verdict, &by_cookie)),
        [token] if !has_cookie => decides(token, &verdict),
        _ => assert_eq!(code(&verdict), INVALID),
    }
    if let Err(error) = &verdict {
        let is_bearers = error.provider() == "bearer";
        assert_eq!(is_bearers, !tokens.is_empty());
    }
}

/// One token alone: it is Ada's, or hers and over, or nobody's.
fn decides(token: &[u8], verdict: &Result<Session, SessionError>) {
    let bobs = TOKENS[2].1.as_bytes();
    let (user, expected) = match token {
        token if token == TOKENS[0].1.as_bytes() => ("ada", ""),
        token if token == bobs => ("bob", ""),
        token if token == TOKENS[1].1.as_bytes() => ("", EXPIRED),
        _ => ("", INVALID),
    };
    assert_eq!(code(verdict), expected);
    if let Ok(session) = verdict {
        assert_eq!(session.identity.user.as_str(), user);
        assert_eq!(session.provider, "bearer");
        assert_eq!(session.carrier, Carrier::Authorization);
    }
}

/// What is told of who looked where is what was done.
fn check_looks(headers: &HeaderMap, has_token: bool) {
    let looks = AUTHENTICATOR.looks(headers);
    let found = looks.iter().find(|look| look.is_there);
    let by_bearer = found.is_some_and(|look| look.carrier == Carrier::Authorization);
    assert_eq!(by_bearer, has_token);
    assert_eq!(looks[0].carrier, Carrier::Authorization);
}

fn code(verdict: &Result<Session, SessionError>) -> &'static str {
    verdict.as_ref().err().map_or("", SessionError::code)
}

/// Every JWT that a `Bearer` line holds; `None` if that cannot be said here.
fn tokens(headers: &HeaderMap) -> Option<Vec<Vec<u8>>> {
    let mut tokens = Vec::new();
    for line in headers.get_all(header::AUTHORIZATION) {
        let line = line.as_bytes();
        let Some((scheme, rest)) = line.split_at_checked(7) else {
            continue;
        };
        let token = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer ") && is_jwt(token)? {
            tokens.push(token.to_vec());
        }
    }
    Some(tokens)
}

/// Whether it has three parts of the right letters, the first of which is a JSON object and the last
/// of which may be empty; `None` if the object is one that cannot be read here.
fn is_jwt(token: &[u8]) -> Option<bool> {
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    let [first, second, third] = parts.as_slice() else {
        return Some(false);
    };
    let are_letters = |part: &[u8]| {
        let mut letters = part.iter().map(|byte| char::from(*byte));
        letters.all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
    };
    if second.is_empty() || !are_letters(second) || !are_letters(third) {
        return Some(false);
    }
    let Some(text) = BASE64URL
        .decode(first)
        .ok()
        .and_then(|first| String::from_utf8(first).ok())
    else {
        return Some(false);
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(header) => Some(header.is_object()),
        // It may be deep, or hold half a letter: nobody asks for that.
        Err(_) if text.trim_ascii().starts_with('{') => None,
        Err(_) => Some(false),
    }
}
