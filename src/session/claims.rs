//! Reads a decrypted session: is it still valid, whose is it, and what is its tier?
//!
//! Guarantees: a session without an end is refused, and so is one without a usable user id; times
//! are judged as jose does with Auth.js' tolerance.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::error::InvalidReason;
use super::{ClaimPaths, json};
use crate::clock::Now;
use crate::identity::{Tier, UserId};

/// How far the app's clock may be from ours, in seconds: `clockTolerance` of both libraries.
const TOLERANCE: f64 = 15.0;

/// The longest tier that is passed on, in bytes.
const MAX_TIER: usize = 255;

/// What the gateway takes from a session.
pub(super) struct Claims<'t> {
    /// The `exp` claim as it stands.
    pub(super) expires_at: Number,
    /// Whose session it is.
    pub(super) user: UserId,
    /// The tier claim, whatever its type; null when absent.
    pub(super) tier: Value,
    /// The claim that is stable for one browser session.
    pub(super) session: Option<Cow<'t, str>>,
    /// The `iat` claim, in seconds.
    pub(super) issued_at: Option<f64>,
}

/// Why a genuine session is of no use.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// It has ended.
    Expired,
    /// Something in it is not as it must be.
    Invalid(InvalidReason),
}

impl From<InvalidReason> for Refusal {
    fn from(reason: InvalidReason) -> Self {
        Self::Invalid(reason)
    }
}

impl<'t> Claims<'t> {
    /// Reads `payload`, whose authenticity was checked before, as of `now`.
    pub(super) fn read(payload: &'t [u8], paths: &ClaimPaths, now: Now) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(payload).map_err(|_| InvalidReason::Payload)?;
        let keys = [
            "exp",
            "nbf",
            "iat",
            first(&paths.user),
            first(&paths.tier),
            first(&paths.session),
        ];
        let [exp, nbf, iat, user, tier, session] =
            json::members(text, keys).ok_or(InvalidReason::Payload)?;
        let expires_at = check_times(exp, nbf, iat, now)?;
        Ok(Self {
            expires_at,
            user: user_id(follow(user, &paths.user))?,
            tier: follow(tier, &paths.tier)
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
                .unwrap_or(Value::Null),
            session: follow(session, &paths.session).and_then(session_name),
            issued_at: iat.and_then(|iat| Some(time(iat, "iat").ok()?.1)),
        })
    }
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
    now: Now,
) -> Result<Number, Refusal> {
    let now = now.unix.as_secs_f64().floor();
    if let Some(iat) = iat {
        // One in the future is none of our concern, as it is none of the library's.
        time(iat, "iat")?;
    }
    if let Some(nbf) = nbf {
        let (_, not_before) = time(nbf, "nbf")?;
        if not_before > now + TOLERANCE {
            return Err(InvalidReason::NotYetValid.into());
        }
    }
    let (number, expiry) = time(exp.ok_or(InvalidReason::NoExpiry)?, "exp")?;
    if expiry <= now - TOLERANCE {
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
fn user_id(raw: Option<&RawValue>) -> Result<UserId, InvalidReason> {
    let raw = raw
        .filter(|raw| raw.get() != "null")
        .ok_or(InvalidReason::NoUser)?;
    let text = text_or_integer(raw).ok_or(InvalidReason::UserType)?;
    UserId::parse(&text).map_err(InvalidReason::User)
}

/// The stable claim where it is text or an integer; an empty one names nothing.
fn session_name(raw: &RawValue) -> Option<Cow<'_, str>> {
    text_or_integer(raw).filter(|name| !name.is_empty())
}

fn text_or_integer(raw: &RawValue) -> Option<Cow<'_, str>> {
    json::text(raw).or_else(|| json::integer(raw).map(|number| number.to_string().into()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::identity::UserIdError;

    const NOW: u64 = 1_795_430_000;

    fn read(payload: &str) -> Result<Claims<'_>, Refusal> {
        let now = Now {
            unix: Duration::from_millis(NOW * 1000 + 999),
            elapsed: Duration::ZERO,
        };
        Claims::read(payload.as_bytes(), &ClaimPaths::default(), now)
    }

    #[track_caller]
    fn assert_refused(payload: &str, reason: InvalidReason) {
        let refusal = read(payload).err();
        assert_eq!(refusal, Some(Refusal::Invalid(reason)), "{payload}");
    }

    #[track_caller]
    fn assert_user(user: &str, expected: Result<&str, InvalidReason>) {
        let payload = format!(r#"{{"sub":{user},"exp":4102444800}}"#);
        let found = read(&payload).map(|claims| claims.user.as_str().to_owned());
        assert_eq!(
            found,
            expected.map(str::to_owned).map_err(Refusal::Invalid),
            "{user}"
        );
    }

    #[test]
    fn a_session_ends_15_seconds_after_exp() {
        for (ago, alive) in [
            ("-14", true),
            ("-14.5", true),
            ("-15", false),
            ("-16", false),
        ] {
            let exp = 1_795_430_000.0 + ago.parse::<f64>().unwrap();
            let payload = format!(r#"{{"sub":"u","exp":{exp}}}"#);
            assert_eq!(read(&payload).is_ok(), alive, "{ago}");
            if !alive {
                assert_eq!(read(&payload).err(), Some(Refusal::Expired));
            }
        }
    }

    #[test]
    fn times_must_be_numbers_and_exp_is_required() {
        assert_refused(r#"{"sub":"u"}"#, InvalidReason::NoExpiry);
        for bad in ["\"4102444800\"", "null", "true", "[1]", "{}", "1e999"] {
            for claim in ["exp", "nbf", "iat"] {
                let payload = format!(r#"{{"sub":"u","exp":4102444800,"{claim}":{bad}}}"#);
                assert_refused(&payload, InvalidReason::TimeNotNumber(claim));
            }
        }
    }

    #[test]
    fn nbf_may_be_15_seconds_ahead_and_iat_as_far_as_it_likes() {
        let payload = |nbf: u64| format!(r#"{{"sub":"u","iat":5e9,"exp":6e9,"nbf":{nbf}}}"#);
        assert!(read(&payload(NOW + 15)).is_ok());
        assert_refused(&payload(NOW + 16), InvalidReason::NotYetValid);
    }

    #[test]
    fn user_ids_are_text_or_exact_integers() {
        assert_user(r#""usr_1""#, Ok("usr_1"));
        assert_user(r#""\u30e6""#, Ok("ユ"));
        assert_user("42", Ok("42"));
        assert_user("-9007199254740991", Ok("-9007199254740991"));
        assert_user("null", Err(InvalidReason::NoUser));
        for odd in [
            "9007199254740992",
            "4.5",
            "true",
            "[\"u\"]",
            "{}",
            "\"\\ud800\"",
        ] {
            assert_user(odd, Err(InvalidReason::UserType));
        }
        assert_user(r#""""#, Err(InvalidReason::User(UserIdError::Empty)));
        let control = InvalidReason::User(UserIdError::ControlCharacter);
        assert_user(r#""a\nb""#, Err(control));
        assert_user(r#""a\u0000""#, Err(control));
        assert_user(
            r#""admin""#,
            Err(InvalidReason::User(UserIdError::Reserved)),
        );
        assert_refused(r#"{"exp":4102444800}"#, InvalidReason::NoUser);
    }

    #[test]
    fn only_a_json_object_in_utf8_is_a_session() {
        for text in ["", "null", "[]", "\"a\"", "1", "{", "{}x"] {
            assert_refused(text, InvalidReason::Payload);
        }
        let now = Now {
            unix: Duration::ZERO,
            elapsed: Duration::ZERO,
        };
        let found = Claims::read(b"{\"sub\":\"\xff\"}", &ClaimPaths::default(), now);
        assert_eq!(found.err(), Some(Refusal::Invalid(InvalidReason::Payload)));
    }

    #[test]
    fn a_tier_enters_a_token_as_a_number_or_a_text() {
        assert_eq!(tier(&json!(2)), Some(Tier::Number(2.into())));
        assert_eq!(tier(&json!("プロ")), Some(Tier::Text("プロ".into())));
        for other in [
            json!(null),
            json!(true),
            json!([1]),
            json!({"a": 1}),
            json!(""),
        ] {
            assert_eq!(tier(&other), None, "{other}");
        }
        assert_eq!(tier(&json!("a\tb")), None);
        assert_eq!(tier(&json!("t".repeat(256))), None);
    }

    #[test]
    fn the_session_keeps_its_tier_and_its_exp_as_they_stand() {
        let claims = read(r#"{"sub":"u","exp":4102444800,"tier":{"plan":[1]}}"#).unwrap();
        assert_eq!(claims.tier, json!({"plan": [1]}));
        assert_eq!(claims.expires_at, 4_102_444_800_u64.into());
        assert_eq!(read(r#"{"sub":"u","exp":6e9}"#).unwrap().tier, Value::Null);
    }

    #[test]
    fn the_stable_claim_is_text_or_an_integer() {
        let session = |sid: &str| {
            let payload = format!(r#"{{"sub":"u","exp":4102444800,"sid":{sid}}}"#);
            read(&payload).unwrap().session.map(Cow::into_owned)
        };
        assert_eq!(session("\"abc\"").as_deref(), Some("abc"));
        assert_eq!(session("7").as_deref(), Some("7"));
        for absent in ["\"\"", "null", "true", "[1]", "1.5"] {
            assert_eq!(session(absent), None, "{absent}");
        }
    }
}
