//! What a minted token says of itself: user, session and end.
//!
//! The signature is Behest's and Behest checks it; what is checked here is that the answer belongs to
//! the question. Guarantees: an [`Issued`] is for the user that was asked for, and fits a header.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::identity::{SessionId, UserId};

use super::{InvalidAnswer, Minted};

/// Larger than this no server takes a header.
const LONGEST: usize = 8192;

/// A token that was issued to the right user.
pub(super) struct Issued {
    /// `Bearer …`, marked sensitive.
    pub(super) authorization: HeaderValue,
    /// The claim `sid`.
    pub(super) session_id: Option<HeaderValue>,
    /// The claim `exp`, since the Unix epoch.
    pub(super) ends: Option<Duration>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    uid: Value,
    #[serde(default)]
    sid: Value,
    #[serde(default)]
    exp: Value,
}

impl Issued {
    /// Reads `token`, which must be for `user`.
    ///
    /// # Errors
    /// It is no signed JWT, it is for somebody else, or it cannot be sent.
    pub(super) fn parse(token: &str, user: &UserId) -> Result<Self, InvalidAnswer> {
        if token.len() > LONGEST {
            return Err(InvalidAnswer::TooLong);
        }
        let claims = claims(token).ok_or(InvalidAnswer::NotJwt)?;
        if claims.uid.as_str() != Some(user.as_str()) {
            return Err(InvalidAnswer::WrongUser);
        }
        Ok(Self {
            // Three base64url parts are visible ASCII, so this cannot fail.
            authorization: Minted::authorization(token).ok_or(InvalidAnswer::NotJwt)?,
            session_id: session_id(&claims.sid)?,
            ends: end(&claims.exp)?,
        })
    }
}

/// The claims of a token in JWS compact form (RFC 7515 section 7.1), signature unchecked.
fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Map<String, Value> = serde_json::from_slice(&header).ok()?;
    // Unsigned (RFC 7518 section 3.6), or not said: Behest issues no such token.
    let alg = header.get("alg")?.as_str()?;
    if alg.is_empty() || alg.eq_ignore_ascii_case("none") {
        return None;
    }
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    // By way of a map, since a struct would also be read from an array.
    let payload: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    Claims::deserialize(Value::Object(payload)).ok()
}

fn session_id(sid: &Value) -> Result<Option<HeaderValue>, InvalidAnswer> {
    match sid {
        Value::Null => Ok(None),
        Value::String(text) => SessionId::parse(text)
            .and_then(|id| HeaderValue::from_str(id.as_str()).ok())
            .map(Some)
            .ok_or(InvalidAnswer::SessionId),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(InvalidAnswer::SessionId)
        }
    }
}

/// `exp` is a `NumericDate` (RFC 7519 section 2): seconds, with or without a fraction.
fn end(exp: &Value) -> Result<Option<Duration>, InvalidAnswer> {
    if exp.is_null() {
        return Ok(None);
    }
    seconds(exp).map(Some).ok_or(InvalidAnswer::NoEnd)
}

/// A JSON number of seconds; below zero is zero. `None` if it is no number.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    // Ten thousand years: keeps later sums far from overflow.
    const MOST: f64 = 3.2e11;
    let seconds = value.as_f64()?.clamp(0.0, MOST);
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::jwt;
    use super::*;
    use serde_json::json;

    fn parse(token: &str) -> Result<Issued, InvalidAnswer> {
        Issued::parse(token, &UserId::parse("ada").unwrap())
    }

    #[test]
    fn a_token_for_the_user_gives_a_sensitive_header_its_sid_and_its_end() {
        let token = jwt(&json!({"uid": "ada", "sid": "s-1", "exp": 1_000, "x": {}}));
        let issued = parse(&token).unwrap();
        assert!(issued.authorization.is_sensitive());
        assert_eq!(issued.authorization, format!("Bearer {token}"));
        assert_eq!(issued.session_id.unwrap(), "s-1");
        assert_eq!(issued.ends, Some(Duration::from_secs(1_000)));
    }

    #[test]
    fn a_token_for_anybody_else_is_refused() {
        for uid in [
            json!("eve"),
            json!("Ada"),
            json!("ada "),
            json!(1),
            json!(null),
            json!(["ada"]),
        ] {
            let error = parse(&jwt(&json!({"uid": uid, "exp": 1}))).err();
            assert_eq!(error, Some(InvalidAnswer::WrongUser), "{uid}");
        }
        assert_eq!(
            parse(&jwt(&json!({"exp": 1}))).err(),
            Some(InvalidAnswer::WrongUser)
        );
    }

    #[test]
    fn what_is_no_jwt_is_refused() {
        let good = jwt(&json!({"uid": "ada"}));
        let (head, signature) = good.rsplit_once('.').unwrap();
        let payload = head.split_once('.').unwrap().1;
        let array = BASE64_URL_SAFE_NO_PAD.encode(r#"["ada","s",1]"#);
        let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let of = |header: &str| {
            let header = BASE64_URL_SAFE_NO_PAD.encode(header);
            format!("{header}.{payload}.{signature}")
        };
        assert!(parse(&of(r#"{"alg":"RS256"}"#)).is_ok());
        for token in [
            String::new(),
            "..".into(),
            "opaque".into(),
            head.into(),
            format!("{head}."),
            format!("{good}.x"),
            format!("{good}\r\nx-role: admin"),
            format!("{head}.ü"),
            format!(".{payload}.{signature}"),
            format!("{header}.{array}.{signature}"),
            format!("{payload}=.{payload}.{signature}"),
            format!("{array}.{payload}.{signature}"),
            of("{}"),
            of(r#"{"alg":"none"}"#),
            of(r#"{"alg":"NonE"}"#),
            of(r#"{"alg":""}"#),
            of(r#"{"alg":["RS256"]}"#),
        ] {
            assert_eq!(parse(&token).err(), Some(InvalidAnswer::NotJwt), "{token}");
        }
        let long = jwt(&json!({"uid": "ada", "x": "x".repeat(LONGEST)}));
        assert_eq!(parse(&long).err(), Some(InvalidAnswer::TooLong));
    }

    #[test]
    fn a_sid_that_fits_no_header_or_an_exp_that_is_no_number_is_refused() {
        for sid in [
            json!(""),
            json!("a b"),
            json!("a\nb"),
            json!(7),
            json!("x".repeat(129)),
        ] {
            let error = parse(&jwt(&json!({"uid": "ada", "sid": sid}))).err();
            assert_eq!(error, Some(InvalidAnswer::SessionId), "{sid}");
        }
        for exp in [json!("soon"), json!([1]), json!(true)] {
            let error = parse(&jwt(&json!({"uid": "ada", "exp": exp}))).err();
            assert_eq!(error, Some(InvalidAnswer::NoEnd), "{exp}");
        }
        let huge = parse(&jwt(&json!({"uid": "ada", "exp": 1e300}))).unwrap();
        assert!(huge.ends.unwrap() < Duration::MAX / 2);
    }
}
