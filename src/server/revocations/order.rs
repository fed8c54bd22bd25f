//! Reads what an operator asks for: the body of `POST /revocations`.
//!
//! Guarantees: an unknown or repeated field is refused, so that a misspelt `before` does not end more
//! than was meant; every refusal names the field.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use super::answer::Fault;
use crate::clock::Now;
use crate::revocation::{Order, Subject};

/// The longest reason, in bytes.
const MAX_REASON: usize = 500;

/// How far ahead `before` may be: clocks differ. Beyond it is probably in milliseconds.
const AHEAD: Duration = Duration::from_hours(24);

/// The fields, not looked at yet; null is the same as absent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    user_id: Option<Value>,
    session_id: Option<Value>,
    before: Option<Value>,
    reason: Option<Value>,
}

/// Reads `body` as of `now`.
///
/// # Errors
/// Which field is wrong, and how it would be right.
pub(super) fn read(body: &[u8], now: Now) -> Result<Order, Fault> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        let text = "must be one JSON object with user_id or session_id, and before and reason";
        // The parser speaks of our own types where it meets something else than an object.
        if body.trim_ascii().starts_with(b"{") {
            return Fault::body(format!("the body {text}: {error}"));
        }
        Fault::body(format!("the body {text}"))
    })?;
    Ok(Order {
        subject: subject(body.user_id.as_ref(), body.session_id.as_ref())?,
        before: body.before.map(|value| before(&value, now)).transpose()?,
        reason: body.reason.map(|value| reason(&value)).transpose()?,
    })
}

fn subject(user: Option<&Value>, session: Option<&Value>) -> Result<Subject, Fault> {
    let (field, value, parse): (_, _, fn(&str) -> _) = match (user, session) {
        (Some(user), None) => ("user_id", user, Subject::user),
        (None, Some(session)) => ("session_id", session, Subject::session),
        (Some(_), Some(_)) => {
            let text = "stands beside user_id; send one of the two";
            return Err(Fault::field("session_id", text));
        }
        (None, None) => return Err(Fault::field("user_id", "is missing; or send session_id")),
    };
    let number = || Fault::field(field, "must be a text; write a number in quotes");
    let text = value.as_str().ok_or_else(number)?;
    parse(text).map_err(|error| Fault::field(field, format!("cannot be used: {error}")))
}

fn before(value: &Value, now: Now) -> Result<Duration, Fault> {
    const FORMS: &str = "must be Unix seconds, \"now\", or RFC 3339 in UTC such as \
                         \"2026-01-31T12:00:00Z\"";
    let time = match value {
        Value::Number(seconds) => seconds
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        Value::String(text) if text == "now" => Some(now.unix),
        Value::String(text) => humantime::parse_rfc3339(text)
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let time = time.ok_or_else(|| Fault::field("before", FORMS))?;
    if time > now.unix.saturating_add(AHEAD) {
        let text = "is more than a day ahead: is it in milliseconds?";
        return Err(Fault::field("before", text));
    }
    Ok(time)
}

fn reason(value: &Value) -> Result<Box<str>, Fault> {
    let text = value
        .as_str()
        .filter(|text| text.len() <= MAX_REASON && !text.chars().any(char::is_control));
    let fault = || {
        let text = "must be a text of at most 500 bytes without control characters";
        Fault::field("reason", text)
    };
    text.map(Box::from).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        unix: Duration::from_millis(1_795_430_000_500),
        elapsed: Duration::ZERO,
    };

    fn field(body: &str) -> Option<&'static str> {
        match read(body.as_bytes(), NOW) {
            Err(Fault::Field { field, .. }) => field,
            other => panic!("{body}: {other:?}"),
        }
    }

    fn before(value: &str) -> Option<Duration> {
        let body = format!(r#"{{"user_id":"ada","before":{value}}}"#);
        read(body.as_bytes(), NOW).unwrap().before
    }

    #[test]
    fn exactly_one_subject_is_needed() {
        let ada = read(br#"{"user_id":"ada"}"#, NOW).unwrap();
        assert_eq!(ada.subject, Subject::user("ada").unwrap());
        let session = read(
            br#"{"session_id":"s 1","user_id":null,"reason":"lost"}"#,
            NOW,
        );
        let session = session.unwrap();
        assert_eq!(session.subject, Subject::session("s 1").unwrap());
        assert_eq!(session.reason.as_deref(), Some("lost"));
        assert_eq!(field("{}"), Some("user_id"));
        let both = r#"{"user_id":"a","session_id":"b"}"#;
        assert_eq!(field(both), Some("session_id"));
        for value in ["7", "\"\"", "\"admin\"", "[]", "\"a\\n\""] {
            let body = format!(r#"{{"user_id":{value}}}"#);
            assert_eq!(field(&body), Some("user_id"), "{value}");
        }
        assert_eq!(field(r#"{"session_id":""}"#), Some("session_id"));
    }

    #[test]
    fn before_is_seconds_or_a_date_or_now() {
        assert_eq!(before("null"), None);
        assert_eq!(before("\"now\""), Some(NOW.unix));
        assert_eq!(before("1795430000.5"), Some(NOW.unix));
        assert_eq!(before("0"), Some(Duration::ZERO));
        let date = "\"2026-11-23T12:00:00Z\"";
        assert_eq!(before(date), Some(Duration::from_hours(498_732)));
        let milliseconds = "1795430000000";
        for value in [
            milliseconds,
            "-1",
            "1e400",
            "\"yesterday\"",
            "true",
            "\"\"",
            "[1]",
        ] {
            let body = format!(r#"{{"user_id":"ada","before":{value}}}"#);
            let refused = read(body.as_bytes(), NOW).unwrap_err();
            let is_named = matches!(
                refused,
                Fault::Field {
                    field: Some("before") | None,
                    ..
                }
            );
            assert!(is_named, "{value}");
        }
    }

    #[test]
    fn what_is_unknown_repeated_or_no_object_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "{",
            r#"{"user_id":"ada"} {}"#,
            r#"{"user_id":"ada","befor":"now"}"#,
            r#"{"user_id":"ada","user_id":"eve"}"#,
            "{\"user_id\":\"\u{fffd}",
        ] {
            assert_eq!(field(body), None, "{body}");
        }
        assert_eq!(
            field(r#"{"user_id":"ada","reason":"a\nb"}"#),
            Some("reason")
        );
        let long = format!(r#"{{"user_id":"ada","reason":"{}"}}"#, "x".repeat(501));
        assert_eq!(field(&long), Some("reason"));
    }
}
