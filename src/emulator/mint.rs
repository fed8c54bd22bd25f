//! The mint: an API key and a user id go in, an RS256 token comes out.
//!
//! It refuses what the contract refuses, and a `role` in any case: the gateway must not send one.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::behest::Behest;
use super::config::MintShape;
use super::record::Exchange;
use super::refusal::Refusal;
use super::time::{fresh_id, unix_seconds};
use super::token::{self, ISSUER};

const LONGEST_ID: usize = 255;
const EXPIRED_FOR: u64 = 3600;

/// What a fault makes of the minted token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Twist {
    user_id: Option<String>,
    expired: bool,
}

impl Twist {
    /// Another user's token.
    pub(super) fn user(user_id: String) -> Self {
        Self {
            user_id: Some(user_id),
            expired: false,
        }
    }

    /// A token that has ended.
    pub(super) fn expired() -> Self {
        Self {
            user_id: None,
            expired: true,
        }
    }
}

/// What a mint was asked for, valid.
#[derive(Debug, PartialEq)]
struct Wanted {
    user: String,
    ttl: u64,
    tier: Option<Value>,
    session: String,
}

/// Answers a mint.
pub(super) fn answer(
    behest: &Behest,
    headers: &HeaderMap,
    body: &[u8],
    exchange: &Exchange,
    twist: &Twist,
) -> Result<Answer, Refusal> {
    if !knows_key(behest, headers) {
        return Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "the API key is missing, unknown or revoked",
        ));
    }
    let wanted = read(behest, body)?;
    let now = unix_seconds();
    let claims = claims(behest, &wanted, twist, now);
    let token = token::sign(&behest.signing_key, &claims).ok_or_else(|| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "the token could not be signed",
        )
    })?;
    behest.log.minted(&wanted.user);
    exchange.claims(claims);
    Ok(Answer::ok(&shaped(behest, &wanted, &token, now)))
}

fn knows_key(behest: &Behest, headers: &HeaderMap) -> bool {
    headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|key| behest.accepts_key(key))
}

fn read(behest: &Behest, body: &[u8]) -> Result<Wanted, Refusal> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| Refusal::invalid("the body is not JSON"))?;
    let body = body
        .as_object()
        .ok_or_else(|| Refusal::unprocessable("the body is not an object"))?;
    if body.contains_key("role") {
        return Err(Refusal::breach("a mint carried a role"));
    }
    Ok(Wanted {
        user: read_user(behest, body)?,
        ttl: read_ttl(behest, body)?,
        tier: read_tier(body)?,
        session: read_session(body)?,
    })
}

fn read_user(behest: &Behest, body: &Map<String, Value>) -> Result<String, Refusal> {
    let user = body
        .get("user_id")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::unprocessable("user_id is required, a string"))?;
    if user.is_empty() || user.chars().count() > LONGEST_ID {
        return Err(Refusal::invalid("user_id has 1 to 255 characters"));
    }
    let folded = user.trim().to_lowercase();
    let reserved = &behest.config.reserved_users;
    if reserved.iter().any(|name| name.to_lowercase() == folded) {
        return Err(Refusal::invalid("user_id is reserved"));
    }
    Ok(user.to_owned())
}

fn read_ttl(behest: &Behest, body: &Map<String, Value>) -> Result<u64, Refusal> {
    let rule = behest.config.ttl;
    let Some(ttl) = body.get("ttl") else {
        return Ok(rule.default);
    };
    let ttl = ttl
        .as_u64()
        .ok_or_else(|| Refusal::unprocessable("ttl is a whole number of seconds"))?;
    if ttl < rule.min || ttl > rule.max {
        let text = format!("ttl is {} to {} seconds", rule.min, rule.max);
        return Err(Refusal::invalid(&text));
    }
    Ok(rule.cap.map_or(ttl, |cap| ttl.min(cap)))
}

fn read_tier(body: &Map<String, Value>) -> Result<Option<Value>, Refusal> {
    match body.get("tier") {
        None => Ok(None),
        Some(tier) if tier.is_number() => Ok(Some(tier.clone())),
        Some(tier) if tier.as_str().is_some_and(|word| !word.is_empty()) => Ok(Some(tier.clone())),
        Some(_) => Err(Refusal::unprocessable("tier is a number or a word")),
    }
}

fn read_session(body: &Map<String, Value>) -> Result<String, Refusal> {
    let Some(session) = body.get("session_id") else {
        return Ok(fresh_id("ses_"));
    };
    session
        .as_str()
        .filter(|id| !id.is_empty() && id.chars().count() <= LONGEST_ID)
        .map(str::to_owned)
        .ok_or_else(|| Refusal::unprocessable("session_id is a string of 1 to 255 characters"))
}

fn claims(behest: &Behest, wanted: &Wanted, twist: &Twist, now: u64) -> Value {
    let end = now + wanted.ttl;
    let (begin, end) = if twist.expired {
        (
            now.saturating_sub(2 * EXPIRED_FOR),
            now.saturating_sub(EXPIRED_FOR),
        )
    } else {
        (now, end)
    };
    let mut claims = json!({
        "iss": ISSUER,
        "tid": behest.config.tenant_id,
        "pid": behest.config.project_id,
        "uid": twist.user_id.as_ref().unwrap_or(&wanted.user),
        "sid": wanted.session,
        "role": "user",
        "iat": begin, "nbf": begin, "exp": end,
    });
    if let (Some(tier), Some(claims)) = (&wanted.tier, claims.as_object_mut()) {
        claims.insert("tier".to_owned(), tier.clone());
    }
    claims
}

fn shaped(behest: &Behest, wanted: &Wanted, token: &str, now: u64) -> Value {
    let project = &behest.config.project_id;
    match behest.config.mint_shape {
        MintShape::Jwt => json!({
            "jwt": token, "project_id": project, "ttl": wanted.ttl, "session_id": wanted.session,
        }),
        MintShape::AccessToken => json!({
            "access_token": token, "token_type": "Bearer", "project_id": project,
            "expires_in": wanted.ttl,
        }),
        MintShape::Sdk => json!({
            "token": token, "ttl": wanted.ttl, "sessionId": wanted.session,
            "expiresAt": (now + wanted.ttl) * 1000,
        }),
    }
}
