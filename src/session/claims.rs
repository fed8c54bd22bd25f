//! Reads a decrypted session: is it still valid, whose is it, and what is its tier?
//!
//! Guarantees: a session without an end is refused, and so is one without a usable user id; times
//! are judged as jose does with Auth.js' tolerance.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::config::Requirement;
use super::error::{InvalidReason, Refusal};
use super::{ClaimRules, json, moment};
use crate::clock::Now;
use crate::identity::{Tier, UserId, UserIdError};

/// The longest tier that is passed on, in bytes.
const MAX_TIER: usize = 255;

/// How a session's end is known.
pub(super) enum Expiry {
    /// By its claims `exp`, `nbf` and `iat`.
    Claims(Tolerance),
    /// The format says it, and it was judged; `None`: it has no end of its own.
    Judged(Option<Number>),
}

/// How a session's times are judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tolerance {
    /// How far the clocks may be apart, in seconds.
    pub(super) seconds: f64,
    /// Whether a session from the future is refused.
    pub(super) refuses_future: bool,
}

impl Tolerance {
    /// Clocks that agree to the second.
    pub(super) const NONE: Self = Self {
        seconds: 0.0,
        refuses_future: false,
    };

    /// `clockTolerance` of Auth.js, NextAuth, Auth0 and Better Auth.
    pub(super) const OF_SEALED: Self = Self {
        seconds: 15.0,
        refuses_future: false,
    };
}

/// What the gateway takes from a session.
pub(super) struct Claims<'t> {
    /// When the session ends, as it stands; `None` if it does not say.
    pub(super) expires_at: Option<Number>,
    /// When it began, in Unix seconds, where it says so.
    pub(super) issued_at: Option<f64>,
    /// Whose session it is.
    pub(super) user: UserId,
    /// The tier claim, whatever its type; null when absent.
    pub(super) tier: Value,
    /// The claim that is stable for one browser session.
    pub(super) session: Option<Cow<'t, str>>,
}

impl<'t> Claims<'t> {
    /// Reads `payload`, whose authenticity was checked before, as of `now`.
    pub(super) fn read(
        payload: &'t [u8],
        rules: &ClaimRules,
        expiry: Expiry,
        now: Now,
    ) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(payload).map_err(|_| InvalidReason::Payload)?;
        let paths = &rules.paths;
        let keys = [
            "exp",
            "nbf",
            "iat",
            first(&paths.user),
            first(&paths.tier),
            first(&paths.session),
            first(&paths.issued),
        ];
        let [exp, nbf, iat, user, tier, session, issued] =
            json::members(text, keys).ok_or(InvalidReason::Payload)?;
        let expires_at = match expiry {
            Expiry::Claims(tolerance) => Some(check_times(exp, nbf, iat, tolerance, now)?),
            Expiry::Judged(expires_at) => expires_at,
        };
        let user = user_id(follow(user, &paths.user), &rules.user_prefix)?;
        for requirement in &rules.required {
            require(text, requirement)?;
        }
        Ok(Self {
            expires_at,
            issued_at: follow(issued, &paths.issued).and_then(moment::seconds),
            user,
            tier: follow(tier, &paths.tier)
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or(Value::Null),
            session: follow(session, &paths.session).and_then(session_name),
        })
    }
}

/// Refuses a session without a claim that it must have.
fn require(payload: &str, requirement: &Requirement) -> Result<(), Refusal> {
    let found: Option<Value> = json::at_path(payload, &requirement.claim)
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    let is_met = found.is_some_and(|found| match &found {
        Value::Array(items) => items.iter().any(|item| requirement.one_of.contains(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            requirement.one_of.contains(&found)
        }
    });
    if is_met {
        return Ok(());
    }
    Err(Refusal::NotAllowed(requirement.claim.join(".")))
}

/// The tier as it enters a token: a number or a text; anything else is none.
pub(super) fn tier(raw: &Value) -> Option<Tier> {
    match raw {
        Value::Number(number) => Some(Tier::Number(number.clone())),
        Value::String(text) => {
            let fits = (1..=MAX_TIER).contains(&text.len()) && !text.chars().any(char::is_control);
            fits.then(|| Tier::Text(text.as_str().into()))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The first key of a path; the empty path has none, and [`follow`] finds nothing by it.
fn first(path: &[String]) -> &str {
    path.first().map_or("", String::as_str)
}

/// Goes on from the value of a path's first key.
fn follow<'t>(value: Option<&'t RawValue>, path: &[String]) -> Option<&'t RawValue> {
    let (_, rest) = path.split_first()?;
    json::follow(value, rest)
}

/// Judges the times as jose does, but that `exp` is required; hands back `exp`.
fn check_times(
    exp: Option<&RawValue>,
    nbf: Option<&RawValue>,
    iat: Option<&RawValue>,
    tolerance: Tolerance,
    now: Now,
) -> Result<Number, Refusal> {
    let seconds = tolerance.seconds;
    let now = now.unix.as_secs_f64().floor();
    if let Some(iat) = iat {
        let (_, issued) = time(iat, "iat")?;
        if tolerance.refuses_future && issued > now + seconds {
            return Err(InvalidReason::IssuedInFuture.into());
        }
    }
    if let Some(nbf) = nbf {
        let (_, not_before) = time(nbf, "nbf")?;
        if not_before > now + seconds {
            return Err(InvalidReason::NotYetValid.into());
        }
    }
    let (number, expiry) = time(exp.ok_or(InvalidReason::NoExpiry)?, "exp")?;
    if expiry <= now - seconds {
        return Err(Refusal::Expired);
    }
    Ok(number)
}

/// A time claim, as it stands and in seconds.
fn time(raw: &RawValue, claim: &'static str) -> Result<(Number, f64), InvalidReason> {
    let number: Number =
        serde_json::from_str(raw.get()).map_err(|_| InvalidReason::TimeNotNumber(claim))?;
    let seconds = number.as_f64().ok_or(InvalidReason::TimeNotNumber(claim))?;
    Ok((number, seconds))
}

/// The user id: text, or an integer as its decimal text (Rails and Django ids).
fn user_id(raw: Option<&RawValue>, prefix: &str) -> Result<UserId, InvalidReason> {
    let raw = raw
        .filter(|raw| raw.get() != "null")
        .ok_or(InvalidReason::NoUser)?;
    let text = text_or_integer(raw).ok_or(InvalidReason::UserType)?;
    if prefix.is_empty() {
        return UserId::parse(&text).map_err(InvalidReason::User);
    }
    if text.trim().is_empty() {
        return Err(InvalidReason::User(UserIdError::Empty));
    }
    UserId::parse(&format!("{prefix}{text}")).map_err(InvalidReason::User)
}

/// The stable claim where it is text or an integer; an empty one names nothing.
fn session_name(raw: &RawValue) -> Option<Cow<'_, str>> {
    text_or_integer(raw).filter(|name| !name.is_empty())
}

fn text_or_integer(raw: &RawValue) -> Option<Cow<'_, str>> {
    json::text(raw).or_else(|| json::integer(raw).map(|number| number.to_string().into()))
}

#[cfg(test)]
mod tests;
