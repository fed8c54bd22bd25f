//! What the rules make of a genuine session's claims: a naive reading of JSON values, for every kind.

use serde_json::Value;

use super::gateway::identity::Tier;
use super::gateway::session::{Session, SessionError};

/// The code of a session that is none.
pub const INVALID: &str = "session_invalid";

/// The code of a session that has ended.
pub const EXPIRED: &str = "session_expired";

/// The code of a session that lacks what is required.
pub const NOT_ALLOWED: &str = "session_not_allowed";

/// The time, in seconds since the Unix epoch.
pub const NOW: f64 = 1_795_430_000.0;

/// The time as JavaScript's `toISOString` has it.
const NOW_TEXT: &str = "2026-11-23T10:33:20.000Z";

/// What one provider reads, and what it demands.
#[derive(Default)]
pub struct Rules {
    /// Path of the user id.
    pub user: &'static [&'static str],
    /// Path of the tier.
    pub tier: &'static [&'static str],
    /// Path of the session's stable name.
    pub session: &'static [&'static str],
    /// What stands before the user id.
    pub prefix: &'static str,
    /// How far clocks may be apart, in seconds.
    pub tolerance: f64,
    /// Whether a session from the future is refused.
    pub refuses_future: bool,
    /// `iss`.
    pub issuer: Option<&'static str>,
    /// `aud` must hold one of these, if there are any.
    pub audiences: &'static [&'static str],
    /// `azp` must be one of these, if it is there and there are any.
    pub parties: &'static [&'static str],
    /// `sub` is text of 1 to so many UTF-16 units.
    pub most_of_subject: Option<usize>,
    /// `sts` must not be this.
    pub pending: Option<&'static str>,
    /// `email_verified` must be true.
    pub wants_verified: bool,
}

/// Whose session it is.
#[derive(Debug, PartialEq)]
pub struct Expected {
    /// The user id.
    pub user: String,
    /// The tier claim.
    pub tier: Value,
    /// The stable claim.
    pub session: Option<String>,
}

/// A session, or the code of the error.
pub type Judgement = Result<Expected, &'static str>;

impl Rules {
    /// What a JWT with these claims is.
    ///
    /// # Errors
    /// The code.
    pub fn judge_jwt(&self, claims: &Value) -> Judgement {
        if !claims.is_object() || !self.is_for_us(claims) {
            return Err(INVALID);
        }
        self.judge_times(claims)?;
        self.judge_user(claims)
    }

    /// Whether the token is of the issuer, for us, and of a kind that its library takes.
    fn is_for_us(&self, claims: &Value) -> bool {
        let is_one_of = |value: &Value, all: &[&str]| all.iter().any(|one| value == one);
        let aud = &claims["aud"];
        // A list with anything but texts is none.
        let list = aud
            .as_array()
            .filter(|list| list.iter().all(Value::is_string));
        let is_audience = is_one_of(aud, self.audiences)
            || list.is_some_and(|list| list.iter().any(|one| is_one_of(one, self.audiences)));
        let subject = claims["sub"].as_str().map(|sub| sub.encode_utf16().count());
        let fits = |most| subject.is_some_and(|length| (1..=most).contains(&length));
        self.issuer.is_none_or(|issuer| claims["iss"] == issuer)
            && (self.audiences.is_empty() || is_audience)
            && (self.parties.is_empty()
                || claims
                    .get("azp")
                    .is_none_or(|azp| is_one_of(azp, self.parties)))
            && self.pending.is_none_or(|pending| claims["sts"] != pending)
            && self.most_of_subject.is_none_or(fits)
    }

    /// `exp`, `nbf` and `iat` as jose judges them, but that `exp` must be there.
    ///
    /// # Errors
    /// The code.
    pub fn judge_times(&self, claims: &Value) -> Result<(), &'static str> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(INVALID),
        };
        let is_future = |time: Option<f64>| time.is_some_and(|time| time > NOW + self.tolerance);
        if is_future(time("nbf")?) || (is_future(time("iat")?) && self.refuses_future) {
            return Err(INVALID);
        }
        if time("exp")?.ok_or(INVALID)? <= NOW - self.tolerance {
            return Err(EXPIRED);
        }
        Ok(())
    }

    /// Whose session it is, its times apart.
    ///
    /// # Errors
    /// The code.
    pub fn judge_user(&self, claims: &Value) -> Judgement {
        if !claims.is_object() {
            return Err(INVALID);
        }
        let id = at(claims, self.user).and_then(text_or_integer);
        let id = id.ok_or(INVALID)?;
        let user = format!("{}{id}", self.prefix);
        if id.trim().is_empty() || !is_user(&user) {
            return Err(INVALID);
        }
        if self.wants_verified && !is_verified(&claims["email_verified"]) {
            return Err(NOT_ALLOWED);
        }
        let name = at(claims, self.session).and_then(text_or_integer);
        Ok(Expected {
            user,
            tier: at(claims, self.tier).cloned().unwrap_or_default(),
            session: name.filter(|name| !name.is_empty()),
        })
    }
}

/// Checks that a session, or an error, is the one that is expected.
pub fn compare(verdict: &Result<Session, SessionError>, expected: &Judgement) {
    match (verdict, expected) {
        (Ok(session), Ok(expected)) => {
            assert_eq!(session.identity.user.as_str(), expected.user);
            assert_eq!(session.tier, expected.tier);
            assert_eq!(session.claim.as_deref(), expected.session.as_deref());
        }
        (Err(error), Err(code)) if error.code() == *code => {}
        _ => panic!("{verdict:?} is not {expected:?}"),
    }
}

/// What holds for every session.
pub fn check_session(session: &Session) {
    let identity = &session.identity;
    assert!(is_user(identity.user.as_str()));
    match &identity.tier {
        None => assert!(!session.tier.is_number()),
        Some(Tier::Number(number)) => assert_eq!(session.tier, Value::Number(number.clone())),
        Some(Tier::Text(tier)) => {
            assert!((1..=255).contains(&tier.len()));
            assert!(!tier.chars().any(char::is_control));
            assert_eq!(session.tier, **tier);
        }
    }
    let id = identity.session_id.as_ref().unwrap().as_str();
    assert!(id.len() == 25 && id.starts_with("gw_"));
}

/// Whether a moment of Better Auth's lies before now: milliseconds, seconds or text; `None` of text
/// that is not as the library writes it.
#[must_use]
pub fn is_past(moment: &Value) -> Option<bool> {
    match moment {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let milliseconds = if number.abs() >= 1e11 { 1000.0 } else { 1.0 };
            Some(number / milliseconds < NOW)
        }
        // Texts of one form are in the order of their times; that of no moment is not looked into.
        Value::String(text) if is_iso(text) => Some(text.as_str() < NOW_TEXT),
        Value::String(_) => None,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(true),
    }
}

fn is_iso(text: &str) -> bool {
    let digits: String = text
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    let number = |at: usize| text.get(at..at + 2).and_then(|part| part.parse().ok());
    let is_below = |at: usize, end: u8| number(at).is_some_and(|number: u8| number < end);
    digits == "0000-00-00T00:00:00.000Z"
        && (1..=12).contains(&number(5).unwrap_or(0))
        && (1..=28).contains(&number(8).unwrap_or(0))
        && is_below(11, 24)
        && is_below(14, 60)
        && is_below(17, 60)
}

fn at<'v>(claims: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter()
        .try_fold(claims, |value, key| value.as_object()?.get(*key))
}

fn text_or_integer(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let exact = value.as_i64().filter(|id| id.unsigned_abs() < 1 << 53);
    exact.map(|id| id.to_string())
}

fn is_verified(value: &Value) -> bool {
    let list = value.as_array();
    *value == true || list.is_some_and(|list| list.contains(&Value::Bool(true)))
}

/// Whether a text can be a user id.
fn is_user(text: &str) -> bool {
    let folded: String = text.to_lowercase().split_whitespace().collect();
    !folded.is_empty()
        && text.len() <= 255
        && !text.chars().any(char::is_control)
        && !["admin", "system", "dashboard-service"].contains(&folded.as_str())
}
