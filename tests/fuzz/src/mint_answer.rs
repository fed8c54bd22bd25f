//! What a mint's answer is taken for: a token for the user that was asked for, or an error that says
//! nothing of the answer's text.
//!
//! Input: a byte that chooses the status and the shape, a line with `Retry-After`, a line with the
//! token's claims, and the rest of the body (in one shape, all of it).

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::gateway::clock::Now;
use super::gateway::identity::{Identity, UserId};
use super::gateway::token::{Exchange, Minted, TokenError};
use super::input::{choice, line};

const NOW: Duration = Duration::from_secs(1_795_430_000);

const STATUSES: [u16; 12] = [200, 200, 200, 200, 201, 204, 302, 400, 401, 422, 429, 503];

/// Every name that the token has had; an answer of its own; a token that is no JWT.
const NAMES: [&str; 3] = ["jwt", "access_token", "token"];

/// Checks one answer.
pub fn check(data: &[u8]) {
    let Some((choice, rest)) = choice(data) else {
        return;
    };
    let (retry_after, rest) = line(rest);
    let (claims, rest) = line(rest);
    let status = STATUSES[usize::from(choice & 15) % STATUSES.len()];
    let body = match usize::from(choice >> 4) % 5 {
        shape @ 0..3 => {
            let token = [&br#"{"alg":"RS256","kid":"k"}"#[..], claims, b"signature"]
                .map(|part| BASE64URL.encode(part))
                .join(".");
            let mut body = format!(r#"{{"{}":"{token}""#, NAMES[shape]).into_bytes();
            body.extend_from_slice(rest);
            body
        }
        3 => [&br#"{"jwt":""#[..], claims, b"\"", rest].concat(),
        _ => rest.to_vec(),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Ok(value) = HeaderValue::from_bytes(retry_after) {
        response.headers_mut().insert("retry-after", value);
    }
    let identity = Identity {
        user: UserId::parse("ada").unwrap(),
        tier: None,
        session_id: None,
    };
    let asked = Now {
        unix: NOW,
        elapsed: Duration::ZERO,
    };
    match Exchange::judge(&response, &identity, asked) {
        Ok(minted) => {
            assert_eq!(status, 200);
            check_token(&minted, response.body());
        }
        Err(error) => check_error(&error, status),
    }
}

/// Whatever the answer was, this may be sent for Ada.
fn check_token(minted: &Minted, body: &[u8]) {
    assert!(minted.authorization.is_sensitive());
    let token = minted.authorization.to_str().unwrap();
    let token = token.strip_prefix("Bearer ").unwrap();
    assert!(token.len() <= 8192);
    let body: Value = serde_json::from_slice(body).unwrap();
    let names = NAMES.into_iter().filter_map(|name| body[name].as_str());
    assert!(names.into_iter().any(|named| named == token));

    let parts: Vec<Vec<u8>> = token
        .split('.')
        .map(|part| BASE64URL.decode(part).unwrap())
        .collect();
    assert_eq!(parts.len(), 3);
    let claims: Value = serde_json::from_slice(&parts[1]).unwrap();
    assert_eq!(claims["uid"], "ada", "another user's token");
    assert!(!minted.life.is_zero());
    assert_eq!(minted.ends, NOW + minted.life);
    let second = 1.0;
    if let Some(exp) = claims["exp"].as_f64() {
        assert!(minted.ends.as_secs_f64() <= exp.max(0.0) + second);
    }
    for name in ["ttl", "expires_in"] {
        if let Some(ttl) = body[name].as_f64() {
            // The second name counts only where the first is absent.
            let counts = name == "ttl" || body["ttl"].is_null();
            assert!(!counts || minted.life.as_secs_f64() <= ttl + second);
        }
    }
    if let Some(session_id) = &minted.session_id {
        let session_id = session_id.to_str().unwrap();
        assert_eq!(claims["sid"], session_id);
        assert!((1..=128).contains(&session_id.len()));
    }
    assert!(!format!("{minted:?}").contains(token));
}

/// The kind of the error follows from the status alone, and a wait is bounded.
fn check_error(error: &TokenError, status: u16) {
    match (status, error) {
        (200 | 201 | 204, TokenError::Invalid(_))
        | (302 | 400 | 401 | 422, TokenError::Refused { .. }) => {}
        (429 | 503, TokenError::Unavailable { retry_after, .. }) => {
            assert!(retry_after.is_none_or(|wait| wait <= Duration::from_mins(5)));
        }
        _ => panic!("{error:?} for {status}"),
    }
    assert!(format!("{error} {error:?}").len() < 300);
}
